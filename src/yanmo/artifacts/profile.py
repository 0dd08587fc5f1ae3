"""What the texts were like that a Bundle was measured on: lengths, unknown tokens, classes, confidence; no file here.

The profile stands in the manifest under ``input_profile``. A service holds what it is asked against it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ArtifactError

if TYPE_CHECKING:
    from yanmo.artifacts.bundle import Bundle

__all__ = ["InputProfile", "make_input_profile", "read_input_profile"]

KEY = "input_profile"
NUM_BINS = 10
# Not quantiles: most texts have no unknown token at all, and nearly all edges would be 0.
UNKNOWN_EDGES = [0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class InputProfile(msgspec.Struct, frozen=True):
    """Shares of texts by bin: K bins have K - 1 inner edges, and a value at an edge is in the bin below it.

    Attributes:
        length_edges: Of the number of tokens.
        length: Shares by length.
        unknown_edges: Of the share of unknown tokens.
        unknown: Shares by share of unknown tokens.
        confidence_edges: Of the answer's probability.
        confidence: Shares by probability.
        classes: Shares by predicted label, in label order; of all predicted labels for multi-label tasks.
    """

    length_edges: list[float]
    length: list[Share]
    unknown_edges: list[float]
    unknown: list[Share]
    confidence_edges: list[float]
    confidence: list[Share]
    classes: list[Share]

    def __post_init__(self) -> None:
        """Refuse edges that are out of order, and another number of shares than of bins."""
        for name in ("length", "unknown", "confidence"):
            edges, shares = getattr(self, f"{name}_edges"), getattr(self, name)
            if edges != sorted(edges):
                raise ValueError(f"the edges of '{name}' are out of order")
            if len(shares) != len(edges) + 1:
                raise ValueError(f"'{name}' has {len(shares)} shares for {len(edges) + 1} bins")

    def shares(self) -> dict[str, list[float]]:
        """Return the shares by statistic."""
        return {
            "length": self.length,
            "unknown": self.unknown,
            "confidence": self.confidence,
            "class": self.classes,
        }

    def count(
        self, tokens_N: IntArray, unknown_N: IntArray, confidence_N: FloatArray, given_C: IntArray
    ) -> dict[str, IntArray]:
        """Return counts by bin of each statistic.

        Args:
            tokens_N: Tokens of each text, shape (N,).
            unknown_N: How many of them the model has no entry for.
            confidence_N: The answers' probabilities.
            given_C: How often each label was predicted.
        """
        return {
            "length": _counts(tokens_N, self.length_edges),
            "unknown": _counts(unknown_N / np.maximum(tokens_N, 1), self.unknown_edges),
            "confidence": _counts(confidence_N, self.confidence_edges),
            "class": given_C,
        }


def make_input_profile(
    tokens_N: IntArray, unknown_N: IntArray, confidence_N: FloatArray, given_C: IntArray
) -> dict[str, Any]:
    """Return a profile as JSON values, for a manifest's ``info``.

    Args:
        tokens_N: Tokens of each text, shape (N,), at least one text.
        unknown_N: How many of them the model has no entry for.
        confidence_N: The answers' probabilities.
        given_C: How often each label was predicted.
    """
    length_edges, confidence_edges = _edges(tokens_N), _edges(confidence_N)
    profile = InputProfile(
        length_edges,
        _shares(_counts(tokens_N, length_edges)),
        UNKNOWN_EDGES,
        _shares(_counts(unknown_N / np.maximum(tokens_N, 1), UNKNOWN_EDGES)),
        confidence_edges,
        _shares(_counts(confidence_N, confidence_edges)),
        _shares(given_C),
    )
    return {KEY: msgspec.to_builtins(profile)}


def read_input_profile(bundle: Bundle) -> InputProfile | None:
    """Return a Bundle's profile, or None where it has none.

    Raises:
        ArtifactError: It is damaged.
    """
    raw = bundle.manifest.info.get(KEY)
    if raw is None:
        return None
    try:
        profile = msgspec.convert(raw, InputProfile)
    except msgspec.ValidationError as error:
        raise _damaged(bundle, str(error)) from error
    if len(profile.classes) != len(bundle.labels):
        raise _damaged(bundle, f"it has {len(profile.classes)} classes for {len(bundle.labels)} labels")
    return profile


def _damaged(bundle: Bundle, reason: str) -> ArtifactError:
    return ArtifactError(f"The input profile of {bundle.path} is damaged: {reason}.", hint="Make it again.")


def _edges(values_N: Any) -> list[float]:
    # Equal shares of the texts where values are many; where they are few, equal edges become one.
    inner = np.quantile(values_N, np.linspace(0, 1, NUM_BINS + 1)[1:-1])
    return [float(f"{one:.6g}") for one in np.unique(inner)]


def _counts(values_N: Any, edges: list[float]) -> IntArray:
    return np.bincount(np.searchsorted(edges, values_N, side="left"), minlength=len(edges) + 1)


def _shares(counts_K: Any) -> list[float]:
    return [float(f"{one:.6g}") for one in counts_K / max(int(counts_K.sum()), 1)]
