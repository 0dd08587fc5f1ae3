"""What stands around a network that reads tokens: texts to token ids before it, its scores to evidence behind it.

There is one head for each form of evidence; whether torch or an engine runs the network is of no matter here.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import numpy as np
from msgspec.structs import replace
from safetensors import SafetensorError
from safetensors.numpy import load_file

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.gaps import Gaps
from yanmo.answers.passage_spans import passage_pointers
from yanmo.answers.pointers import Pointers
from yanmo.answers.vectors import Vectors
from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import TREES, Bundle
from yanmo.artifacts.silence import read_silence
from yanmo.errors import ArtifactError, InternalError
from yanmo.parsing.biaffine import BiaffineWeights
from yanmo.protocols import Inference
from yanmo.runtimes.batching import Condenser, pool_windows
from yanmo.runtimes.gap_head import GapHead
from yanmo.runtimes.unit_chain import as_choices, read_chain
from yanmo.runtimes.word_limit import first_words
from yanmo.runtimes.word_tagger import open_tagger
from yanmo.tasks import task_of
from yanmo.tasks.labels import label_task
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.passage_tokens import PassageTokenizer
from yanmo.text.tokenizer import Encoded, encode_column, open_tokenizer
from yanmo.text.unit_tokens import NO_KIND, UnitTokenizer

__all__ = ["Head", "LabelHead", "PassageHead", "TreeHead", "VectorHead", "open_head"]

TOKENIZER = "tokenizer.json"


class Head(Protocol):
    """From cleaned inputs to token ids, and from a network's scores to evidence."""

    @property
    def num_outputs(self) -> int:
        """How many scores the network gives for each text, or for each place that is decided about."""
        ...

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N cleaned rows."""
        ...

    def condenser(self, encoded: Encoded) -> Condenser | None:  # noqa: ARG002 - others keep less than all scores
        """Return what keeps less of the scores than all of them, None where all are needed."""
        return None

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Any]:
        """Return the evidence, not activated, that scores are.

        Args:
            scores_WC: Of every row of ``encoded``, or of every place in them that is decided about, condensed.
            encoded: What the network has read.
            num_cells: Tokens of all batches with their padding.
        """
        ...


class LabelHead(Head):
    """Labels of whole texts, or of their units, perhaps with a chain over these."""

    def __init__(self, bundle: Bundle) -> None:
        self._num_labels = len(bundle.labels)
        self._link = label_task(task_of(bundle), "A head for labels").link
        self._chain = read_chain(bundle)
        self._max_length = bundle.max_length
        self._tokenizer = open_tokenizer(bundle.path / TOKENIZER, max_length=bundle.max_length)
        # A tokenizer of its own, which takes time to make and is asked for units only.
        self._of_units = UnitTokenizer(self._tokenizer, bundle.max_length) if bundle.text_config.units else None

    @property
    def num_outputs(self) -> int:
        """One score a label."""
        return self._num_labels

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N cleaned rows."""
        if inputs.units is not None and self._of_units is not None:
            return self._of_units.encode(inputs.units, windows=windows)
        return encode_column(self._tokenizer, inputs.first, inputs.second, self._max_length, windows=windows)

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Choices]:
        """Return the scores of N texts, those of several windows of one pooled."""
        scores_NC, found = pool_windows(encoded, scores_WC, num_cells)
        return Inference(as_choices(scores_NC, self._link, encoded, self._chain), found)


class VectorHead(Head):
    """Vectors of whole texts."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            kept = bundle.architecture["vectors"]
            self._width, self._num_dimensions = int(kept["width"]), int(kept["num_dimensions"])
            self._are_unit = bool(kept["are_unit"])
        except (KeyError, TypeError, ValueError) as error:
            raise ArtifactError(
                f"The manifest of {bundle.path} does not say what its vectors are: {error}.",
                hint="Make the Bundle again.",
            ) from error
        self._max_length = bundle.max_length
        self._tokenizer = open_tokenizer(bundle.path / TOKENIZER, max_length=bundle.max_length)

    @property
    def num_outputs(self) -> int:
        """The width of the network's vectors, before any are cut."""
        return self._width

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N cleaned rows."""
        return encode_column(self._tokenizer, inputs.first, None, self._max_length, windows=windows)

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Vectors]:
        """Return the vectors of N texts, whole ones; of several windows of one the mean."""
        values_ND, found = pool_windows(encoded, scores_WC, num_cells)
        return Inference(Vectors(values_ND, self._num_dimensions, self._are_unit), found)


class TreeHead(Head):
    """Trees of words, whose arcs are scored from what a network says about each word, over whole texts."""

    def __init__(self, bundle: Bundle) -> None:
        self._weights = _read_trees(bundle)
        self._tagger, self._reads_kinds = open_tagger(bundle), bundle.architecture.get("reads_kinds", False)
        self._of_units = UnitTokenizer(
            open_tokenizer(bundle.path / TOKENIZER, max_length=bundle.max_length), bundle.max_length
        )

    @property
    def num_outputs(self) -> int:
        """As many numbers as the head reads of a word."""
        return self._weights.num_states

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N cleaned rows."""
        if inputs.units is None:
            raise InternalError("A head for trees reads words, but the texts have none.")
        units, is_long_N = first_words(inputs.units)
        if self._tagger is not None:
            units = replace(units, kinds_U=self._tagger.kinds_U(replace(inputs, units=units)))
        elif self._reads_kinds:
            units = replace(units, kinds_U=np.full(len(units.surfaces), NO_KIND))
        encoded = self._of_units.encode(units, windows=windows)
        return dataclasses.replace(encoded, truncated_N=encoded.truncated_N | is_long_N)

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Arcs]:
        """Return the scores of the heads and relations of all words."""
        states_US, found = pool_windows(encoded, scores_WC, num_cells)
        if encoded.units is None:
            raise InternalError("A head for trees reads words, but the texts have none.")
        return Inference(self._weights.evidence(states_US, encoded.units.places), found)


def _read_trees(bundle: Bundle) -> BiaffineWeights:
    path = bundle.path / TREES
    try:
        weights = BiaffineWeights.read(load_file(path))
    except (OSError, SafetensorError, KeyError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Make the Bundle again.") from error
    if len(weights.relations_CRR) != len(bundle.labels):
        raise ArtifactError(f"{path} is not about the {len(bundle.labels)} relations.", hint="Make the Bundle again.")
    return weights


class PassageHead(Head):
    """Where an answer begins in a passage and where it ends, unit by unit, and whether there is none."""

    num_outputs = 2

    def __init__(self, bundle: Bundle) -> None:
        self._tokenizer = PassageTokenizer(
            open_tokenizer(bundle.path / TOKENIZER),
            bundle.max_length,
            # Those that were trained elsewhere end an answer at its last token.
            reads_ends=bool(bundle.architecture.get("reads_ends")),
        )
        self._bias = read_silence(bundle.path)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N questions with their passages; all of a passage is read, whatever is asked for."""
        if inputs.units is None or inputs.second is None:
            raise InternalError("A model that finds answers was given no passages and questions.")
        return self._tokenizer.encode(inputs.second, inputs.units, windows=windows)

    def read(self, scores_WC: FloatArray, encoded: Encoded, num_cells: int) -> Inference[Pointers]:
        """Return the scores of all characters; of "none" the least of a passage's windows."""
        _, found = pool_windows(encoded, scores_WC, num_cells)
        if encoded.units is None:
            raise InternalError("What was read of passages does not say where their units are.")
        scores_U2 = self._tokenizer.starts_and_ends(scores_WC)
        return Inference(passage_pointers(scores_U2, encoded.units.places, none_bias=self._bias), found)


HEADS: dict[type[Any], type[Any]] = {
    Choices: LabelHead,
    Pointers: PassageHead,
    Arcs: TreeHead,
    Vectors: VectorHead,
    Gaps: GapHead,
}
"""Form of evidence to the head of networks that give it."""


def open_head(bundle: Bundle) -> Head:
    """Return the head of a Bundle's network.

    Raises:
        ArtifactError: A file of it is missing or damaged.
    """
    head: Head = row_of(HEADS, task_of(bundle).form, f"The format {bundle.format}")(bundle)
    return head
