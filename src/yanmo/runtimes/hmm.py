"""Bundles of hidden Markov models with numpy alone: look up, gather, and sums over all paths; it knows no torch.

Legend: U units, K known units and endings, C labels.
"""

from __future__ import annotations

import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.choices import Choices
from yanmo.answers.second_order import SecondOrderChain
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, InternalError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.ngram import read_light_settings, read_tensors
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Units, Windows
from yanmo.text.unit_endings import UnitEndings

__all__ = ["HmmRuntime", "open_runtime"]

NAMES = ("words", "endings", "emissions", "transitions", "ends")


class HmmRuntime(Runtime[Units]):
    """The Runtime protocol for the format hmm; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        self._link = label_task(task_of(bundle), "The format hmm").link
        sharpness = float(read_light_settings(bundle, "hmm.json")["sharpness"])
        tensors = read_tensors(bundle, NAMES)
        self._endings = UnitEndings(tensors["words"], tensors["endings"])
        self._emissions_KC = tensors["emissions"].astype(np.float32)
        chain = SecondOrderChain(tensors["transitions"], tensors["ends"])
        self._chain = TagChain(chain, TagScheme.of(bundle.labels), sharpness)
        num_rows, num_labels = len(tensors["words"]) + len(tensors["endings"]), tensors["emissions"].shape[1]
        if len(self._emissions_KC) != num_rows or tensors["ends"].shape != (num_labels + 1, num_labels):
            raise ArtifactError(
                f"{bundle.path / 'model.safetensors'} has {len(self._emissions_KC)} rows of scores for {num_rows} "
                f"units and endings, and ends of shape {tensors['ends'].shape} for {num_labels} labels.",
                hint="Train the Bundle again.",
            )

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - texts of any length are read as they are
    ) -> Units:
        """Return the units of N texts; nothing is cut off."""
        if inputs.units is None:
            raise InternalError("The hidden Markov model reads units, but the texts have none.")
        return inputs.units

    def score(self, encoded: Units) -> Inference[Choices]:
        """Return the logarithms of every unit's probabilities, up to a constant of the unit."""
        ends, lengths_N = encoded.places.offsets, encoded.places.lengths_N
        # What is looked up is the text of a unit, once for all units that have it.
        rows_D, is_unknown_D = self._endings.find(encoded.surfaces.distinct)
        number_U = encoded.surfaces.number_U
        choices = self._chain.choices(self._emissions_KC[rows_D[number_U]], self._link, encoded.places)
        unknown_N = np.diff(np.concatenate(([0], np.cumsum(is_unknown_D[number_U])))[ends])
        found = Found(lengths_N, unknown_N, np.zeros(len(lengths_N), dtype=np.bool_), int(ends[-1]))
        return Inference(choices, found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> HmmRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of a Bundle of a hidden Markov model."""
    return HmmRuntime(bundle)
