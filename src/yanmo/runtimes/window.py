"""Window Bundles with numpy alone: hash, gather and add, then sums over all paths; it knows no torch and no tokenizer.

Whole columns at once: one gather a template for thousands of units, and one product a step for all rows.

Legend: U units, S slots: units and the edges of their texts, K features with weights, L labels in groups of four.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Found
from yanmo.answers.chains import Chain
from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Array, Ragged
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

BLOCK_LANES = 1 << 16
"""So many numbers of weights are gathered at a time: they stay in the cache until they are summed."""
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
        labels: The tags, columns in their order.
    """

    def __init__(self, bundle: Bundle, link: Link, labels: Sequence[str]) -> None:
        self._link = link
        settings = read_light_settings(bundle, "window.json")
        self._config = build(WindowConfig, settings, where=f"{bundle.path / 'window.json'}")
        names = (*NAMES, "lexicon") if self._config.has_lexicon else NAMES
        tensors = read_tensors(bundle, names)
        self._lexicon = Lexicon.read(tensors["lexicon"]) if self._config.has_lexicon else None
        chain = Chain(tensors["transitions"], tensors["start"], tensors["end"])
        self._chain = TagChain(chain, TagScheme.of(labels), float(tensors["sharpness"][0]))
        self._num_labels = tensors["weights"].shape[1]
        self._scale = float(tensors["unit"][0])
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
        choices = self._chain.choices(sums_UC, self._link, encoded.places, scale=self._scale)
        lengths_N = encoded.places.lengths_N
        unknown_N = np.diff(np.concatenate(([0], np.cumsum(is_unknown_U)))[encoded.places.offsets])
        found = Found(lengths_N, unknown_N, np.zeros(len(lengths_N), dtype=np.bool_), len(sums_UC))
        return Inference(choices, found)

    def _gather(self, features: WindowFeatures) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
        """Return the sums of every unit's weights, int16, shape (U, C), and which units training hardly met."""
        num_lanes, num_alone = self._lanes_KL.shape[1], len(features.alone)
        sums_SL = np.empty((features.num_slots, num_lanes), dtype=np.uint64)
        blocks = features.blocks(BLOCK_LANES // (features.num_templates * num_lanes) + 1)
        rows_AD = self._rows_V.take(features.buckets_AD)
        taken = np.empty((features.num_templates, blocks[0][1] - blocks[0][0] if blocks else 0, num_lanes), np.uint64)
        for begin, end in blocks:
            part = taken[:, : end - begin]
            # Checked already: what is in a table of rows is a row. Another mode would buffer the result.
            for rows_D, numbers, out in zip(rows_AD, features.numbers(begin, end), part, strict=False):
                self._lanes_KL.take(rows_D.take(numbers), axis=0, out=out, mode="clip")
            self._lanes_KL.take(
                self._rows_V.take(features.buckets(begin, end)), axis=0, out=part[num_alone:], mode="clip"
            )
            part.view(np.int16).sum(axis=0, dtype=np.int16, out=sums_SL[begin:end].view(np.int16))
        sums_UL = sums_SL[features.slots_U].view(np.int16)
        is_unknown_D = rows_AD[features.own] == 0
        return sums_UL[:, : self._num_labels], is_unknown_D[features.number_S[features.slots_U]]


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> WindowRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a window Bundle."""
    return WindowRuntime(bundle, label_task(task_of(bundle), "The format window").link, bundle.labels)


def _lanes(weights_KC: Array) -> npt.NDArray[np.uint64]:
    """Return the weights as 16 bits, four labels in a number, with a row of zeros before the first."""
    num_rows, num_labels = weights_KC.shape
    padded = np.zeros((num_rows + 1, -(-num_labels // LANES) * LANES), dtype=np.int16)
    padded[1:, :num_labels] = weights_KC
    return padded.view(np.uint64)
