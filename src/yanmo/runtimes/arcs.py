"""Bundles of transition-based parsers with numpy alone: tag the words, parse them; it knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.arcs import Arcs
from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, InternalError
from yanmo.parsing.arc_evidence import Sharpness
from yanmo.parsing.arc_weights import ArcWeights, WeightTable
from yanmo.parsing.parser import ArcParser
from yanmo.parsing.sentences import WordHashes
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.ngram import read_light_settings, read_tensors
from yanmo.runtimes.word_tagger import open_tagger
from yanmo.text.inputs import Inputs, Units, Windows

__all__ = ["ArcsRuntime", "open_runtime"]

SETTINGS = "arcs.json"
MAX_WORDS = 1000
"""Words of a sentence that are read: every word chooses among all of them."""
NAMES = ("kept", "weights", "scale")


class ArcsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of ``arcs.json``.

    Attributes:
        sharpness: How the parser's scores become log odds.
        beam: How many sequences of actions of a sentence go forward together.
    """

    sharpness: Sharpness
    beam: int


@dataclass(frozen=True)
class EncodedWords:
    """What the parser reads of N texts.

    Attributes:
        words: Hashes of the words and their tags.
        places: Where they stand in the raw texts, int64, shape (U, 2), N rows.
        lengths_N: How many words each text has, those that are not read included.
        is_unknown_U: Which words training hardly met.
    """

    words: WordHashes
    places: Ragged
    lengths_N: IntArray
    is_unknown_U: np.ndarray[tuple[int], np.dtype[np.bool_]]


class ArcsRuntime(Runtime[EncodedWords]):
    """The Runtime protocol for the format arcs; safe to use from several threads."""

    def __init__(self, bundle: Bundle) -> None:
        try:
            settings = msgspec.convert(read_light_settings(bundle, SETTINGS), ArcsSettings)
        except msgspec.ValidationError as error:
            raise ArtifactError(
                f"{bundle.path / SETTINGS} is damaged: {error}.", hint="Train the Bundle again."
            ) from error
        tables = ("actions", "relations")
        tensors = read_tensors(bundle, [*(f"{table}_{name}" for table in tables for name in NAMES), "vocabulary"])
        weights = ArcWeights(*(WeightTable.read(tensors, table) for table in tables))
        if weights.num_relations != len(bundle.labels):
            raise ArtifactError(
                f"{bundle.path} has weights for {weights.num_relations} relations and names {len(bundle.labels)}.",
                hint="Train the Bundle again.",
            )
        self._parser = ArcParser(weights, tensors["vocabulary"], settings.sharpness, settings.beam)
        self._tagger = open_tagger(bundle)

    def encode(
        self,
        inputs: Inputs,
        *,
        windows: Windows | None = None,  # noqa: ARG002 - sentences are read as they are
    ) -> EncodedWords:
        """Return the words of N texts with their tags; of a very long one its beginning."""
        if inputs.units is None:
            raise InternalError("The parser reads words, but the texts have none.")
        lengths_N = inputs.units.places.lengths_N
        units = _beginnings(inputs.units)
        kinds_U = None if self._tagger is None else self._tagger.kinds_U(Inputs(inputs.columns, units=units))
        words = self._parser.read(units.surfaces, kinds_U, units.places.offsets)
        is_unknown_U = ~np.isin(words.words_U, self._parser.vocabulary_V)
        return EncodedWords(words, units.places, lengths_N, is_unknown_U)

    def score(self, encoded: EncodedWords) -> Inference[Arcs]:
        """Return scores of every word's heads and relations."""
        arcs = self._parser.evidence(encoded.words, encoded.places)
        read_N, ends = encoded.places.lengths_N, encoded.places.offsets
        unknown_N = np.diff(np.concatenate(([0], np.cumsum(encoded.is_unknown_U)))[ends])
        found = Found(read_N, unknown_N, read_N < encoded.lengths_N, int(ends[-1]))
        return Inference(arcs, found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> ArcsRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of an arcs Bundle."""
    return ArcsRuntime(bundle)


def _beginnings(units: Units) -> Units:
    """Return the units without those that are too far from the beginning of their text."""
    lengths_N, offsets = units.places.lengths_N, units.places.offsets
    if int(lengths_N.max(initial=0)) <= MAX_WORDS:
        return units
    kept_N = np.minimum(lengths_N, MAX_WORDS)
    ends = np.concatenate(([0], np.cumsum(kept_N))).astype(np.int64)
    kept = np.arange(int(ends[-1])) + np.repeat(offsets[:-1] - ends[:-1], kept_N)
    return Units([units.surfaces[one] for one in kept.tolist()], Ragged(units.places.values[kept], ends), units.rule)
