"""The small types that layers share: protocols and results; it knows no file and no model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import numpy.typing as npt

from yanmo.answers.links import Link
from yanmo.arrays import FloatArray, IntArray

__all__ = ["Inference", "Prediction", "Runtime", "Task", "Windows"]

EncodedT = TypeVar("EncodedT")


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer for a person: the label, or the labels, and how sure the model is.

    Attributes:
        label: The chosen label; for multi-label tasks a tuple of labels, perhaps empty; None where it abstained.
        probability: That of the label; for multi-label tasks that of the whole choice's weakest decision.
        probabilities: Every label's probability.
        stage: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained: Whether a cascade gave no answer, because even its last stage was unsure.
    """

    label: str | tuple[str, ...] | None
    probability: float
    probabilities: Mapping[str, float]
    stage: int | None = None
    abstained: bool = False


@dataclass(frozen=True)
class Inference:
    """What a runtime found out about N texts.

    Attributes:
        logits_NC: Unnormalized scores, float32, shape (N, C), columns in label order.
        num_tokens_N: Tokens or features the model saw of each text.
        num_unknown_N: How many of them the model had no entry for.
        truncated_N: Whether the end of the text was cut off, bool.
        num_cells: Tokens of all texts with the padding that was computed.
        stage_N: Of a cascade, the number of the stage that answered, from 1; else None.
        abstained_N: Of a cascade that may abstain, where it did, bool; else None.
    """

    logits_NC: FloatArray
    num_tokens_N: IntArray
    num_unknown_N: IntArray
    truncated_N: npt.NDArray[np.bool_]
    num_cells: int
    stage_N: IntArray | None = None
    abstained_N: npt.NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Windows:
    """How a text that is longer than a model reads is cut into windows, which are scored one by one and pooled.

    Attributes:
        overlap: Share of a window's own tokens that the window before it has, too; at least 0 and less than 1.
        max_windows: Most windows of one text; what comes after them is not read.
    """

    overlap: float = 0.25
    max_windows: int = 64


@runtime_checkable
class Runtime(Protocol[EncodedT]):
    """A loaded model: cleaned texts in, scores out. ``texts_b`` holds the second texts of pairs.

    The two steps are apart, so that one thread can encode the next texts while another scores these.
    """

    def encode(
        self, texts: Sequence[str], texts_b: Sequence[str] | None = None, *, windows: Windows | None = None
    ) -> EncodedT:
        """Return what the model reads of all texts; models that read texts of any length leave ``windows`` aside."""
        ...

    def score(self, encoded: EncodedT) -> Inference:
        """Return the scores of all texts, in their order."""
        ...

    def infer(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> Inference:
        """Return the scores of all texts, in their order: both steps in one."""
        return self.score(self.encode(texts, texts_b))


class Task(Protocol):
    """All that differs by task: how labels are read, encoded, decoded and measured."""

    @property
    def name(self) -> str:
        """Its name in configs and manifests."""
        ...

    @property
    def num_texts(self) -> Literal[1, 2]:
        """How many texts make one example."""
        ...

    @property
    def link(self) -> Link:
        """From scores to probabilities, and whether labels exclude each other."""
        ...

    def parse_labels(self, column: Any, separator: str | None) -> Any:
        """Return a raw polars column as the Dataset's label column; refused values become null."""
        ...

    def label_names(self, column: Any) -> list[str]:
        """Return the sorted distinct labels of a Dataset's label column."""
        ...

    def encode(self, column: Any, labels: Sequence[str]) -> FloatArray:
        """Return targets_NC, float32, shape (N, C): one-hot or multi-hot."""
        ...

    def decode(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> list[Prediction]:
        """Return one Prediction a row."""
        ...

    def answer(self, probabilities_NC: FloatArray, labels: Sequence[str]) -> tuple[Any, FloatArray]:
        """Return what ``decode`` finds as columns: the labels (polars, N rows) and how sure the model is (float32)."""
        ...

    def choose(self, probabilities_NC: FloatArray) -> npt.NDArray[np.bool_]:
        """Return which labels each row is given, bool, shape (N, C)."""
        ...
