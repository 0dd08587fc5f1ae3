"""Window Bundles with numpy alone: hash, gather and add, then sums over all paths; it knows no torch and no tokenizer.

Whole columns at once: one gather a template for thousands of units, and one product a step for all rows.

Legend: U units, S slots: units and the edges of their texts, K features with weights, L labels in groups of four.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Found
from yanmo.answers.chains import Chain, Steps, log_marginals
from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.arrays import Array, IntArray, Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.config import build
from yanmo.errors import ArtifactError, InternalError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.ngram import read_light_settings, read_tensors
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.lexicon import Lexicon
from yanmo.text.window_features import WindowConfig, WindowFeatures

__all__ = ["WindowRuntime", "open_runtime"]

BLOCK_SLOTS = 1 << 13
"""Slots whose features are gathered at a time: their sums stay in the cache."""
BLOCK_SCORES = 1 << 20
"""Scores whose rows go through the chain at a time."""
LANES = 4
"""Sums of 16 bits in one number of 64: the gather of a row of weights is one move of as many such numbers."""
NAMES = ("kept", "weights", "unit", "transitions", "start", "end", "sharpness")


@dataclass(frozen=True)
class EncodedUnits:
    """What the model reads of N texts.

    Attributes:
        features: Of their units.
        places: Where these stand in the raw texts, int64, shape (U, 2), N rows.
    """

    features: WindowFeatures
    places: Ragged


class WindowRuntime(Runtime[EncodedUnits]):
    """The Runtime protocol for the format window; safe to use from several threads.

    Args:
        bundle: Where its files are.
        link: Of the labels.
    """

    def __init__(self, bundle: Bundle, link: Link) -> None:
        self._link = link
        settings = read_light_settings(bundle, "window.json")
        self._config = build(WindowConfig, settings, where=f"{bundle.path / 'window.json'}")
        names = (*NAMES, "lexicon") if self._config.has_lexicon else NAMES
        tensors = read_tensors(bundle, names)
        self._lexicon = Lexicon.read(tensors["lexicon"]) if self._config.has_lexicon else None
        self._chain = Chain(tensors["transitions"], tensors["start"], tensors["end"])
        self._num_labels = tensors["weights"].shape[1]
        self._sharpness = float(tensors["sharpness"][0])
        self._scale = np.float32(tensors["unit"][0])
        is_kept_V = np.unpackbits(tensors["kept"], bitorder="little")
        if len(is_kept_V) != 1 << self._config.bits or int(is_kept_V.sum()) != len(tensors["weights"]):
            raise ArtifactError(
                f"{bundle.path / 'model.safetensors'} has {int(is_kept_V.sum())} of {len(is_kept_V)} buckets and "
                f"{len(tensors['weights'])} rows of weights; window.json declares 2^{self._config.bits} buckets.",
                hint="Train the Bundle again.",
            )
        # Row 0 is that of all buckets without weights.
        self._rows_V = np.cumsum(is_kept_V, dtype=np.int32) * is_kept_V
        self._lanes_KL = _lanes(tensors["weights"])

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> EncodedUnits:
        """Return the features of N texts with units; nothing is cut off."""
        if inputs.units is None:
            raise InternalError("The window model reads units, but the texts have none.")
        return EncodedUnits(WindowFeatures(inputs.units, self._config, self._lexicon), inputs.units.places)

    def score(self, encoded: EncodedUnits) -> Inference[Choices]:
        """Return the logarithms of every unit's probabilities, up to a constant of the unit."""
        sums_UC, is_unknown_U = self._gather(encoded.features)
        ends = encoded.places.offsets
        scores_UC = np.empty(sums_UC.shape, dtype=np.float32)
        for rows in _blocks(encoded.places.lengths_N, max(BLOCK_SCORES // max(self._num_labels, 1), 1)):
            units, inner = _units_of(rows, ends)
            scores_UC[units] = log_marginals(
                sums_UC[units] * self._scale, Steps.of(inner), self._chain, sharpness=self._sharpness
            )
        lengths_N = encoded.places.lengths_N
        unknown_N = np.diff(np.concatenate(([0], np.cumsum(is_unknown_U)))[ends])
        found = Found(lengths_N, unknown_N, np.zeros(len(lengths_N), dtype=np.bool_), int(ends[-1]))
        return Inference(Choices(scores_UC, self._link, ends, encoded.places.values), found)

    def _gather(self, features: WindowFeatures) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
        """Return the sums of every unit's weights, int16, shape (U, C), and which units training hardly met."""
        num_lanes = self._lanes_KL.shape[1]
        sums_SL = np.zeros((features.num_slots, num_lanes), dtype=np.uint64)
        is_unknown_S = np.zeros(features.num_slots, dtype=np.bool_)
        own = features.own_template
        taken = np.empty((BLOCK_SLOTS, num_lanes), dtype=np.uint64)
        for begin, end in features.blocks(BLOCK_SLOTS):
            block = sums_SL[begin:end].view(np.int16)
            part = taken[: end - begin]
            for template in range(features.num_templates):
                rows = self._rows_V.take(features.buckets(template, begin, end))
                # Checked already: what is in the table of rows is a row. Another mode would buffer the result.
                self._lanes_KL.take(rows, axis=0, out=part, mode="clip")
                block += part.view(np.int16)
                if template == own:
                    np.equal(rows, 0, out=is_unknown_S[begin:end])
        sums_UL = sums_SL[features.slots_U].view(np.int16)
        return sums_UL[:, : self._num_labels], is_unknown_S[features.slots_U]


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> WindowRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a window Bundle."""
    return WindowRuntime(bundle, label_task(task_of(bundle), "The format window").link)


def _lanes(weights_KC: Array) -> npt.NDArray[np.uint64]:
    """Return the weights as 16 bits, four labels in a number, with a row of zeros before the first."""
    num_rows, num_labels = weights_KC.shape
    padded = np.zeros((num_rows + 1, -(-num_labels // LANES) * LANES), dtype=np.int16)
    padded[1:, :num_labels] = weights_KC
    return padded.view(np.uint64)


def _blocks(lengths_N: IntArray, num_units: int) -> list[IntArray]:
    """Return rows in blocks of about so many units or fewer, those of like lengths together; one row at least."""
    order_N = np.argsort(-lengths_N, kind="stable")
    order_N = order_N[lengths_N[order_N] > 0]
    block_N = (np.cumsum(lengths_N[order_N]) - 1) // num_units
    return np.split(order_N, np.flatnonzero(np.diff(block_N)) + 1) if len(order_N) else []


def _units_of(rows: IntArray, ends: IntArray) -> tuple[IntArray, IntArray]:
    """Return the units of some rows, one row after the other, and where each row then ends."""
    lengths = ends[rows + 1] - ends[rows]
    inner = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return np.arange(inner[-1]) + np.repeat(ends[rows] - inner[:-1], lengths), inner
