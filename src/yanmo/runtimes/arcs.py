"""Bundles of transition-based parsers with numpy alone: tag the words, parse them; it knows no torch."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np

from yanmo.answers.answered import Found
from yanmo.answers.arcs import Arcs
from yanmo.arrays import Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, InternalError
from yanmo.parsing.arc_evidence import Sharpness
from yanmo.parsing.arc_weights import ArcWeights, WeightTable
from yanmo.parsing.parser import ArcParser
from yanmo.parsing.sentences import WordHashes
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.ngram import read_light_settings, read_tensors
from yanmo.runtimes.word_limit import first_words
from yanmo.runtimes.word_tagger import open_tagger
from yanmo.text.inputs import Inputs, Windows

__all__ = ["ArcsRuntime", "open_runtime"]

SETTINGS = "arcs.json"
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
        is_long_N: Which texts have more words than are read.
        is_unknown_U: Which words training hardly met.
    """

    words: WordHashes
    places: Ragged
    is_long_N: np.ndarray[tuple[int], np.dtype[np.bool_]]
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
        units, is_long_N = first_words(inputs.units)
        kinds_U = None if self._tagger is None else self._tagger.kinds_U(Inputs(inputs.columns, units=units))
        words = self._parser.read(units.surfaces, kinds_U, units.places.offsets)
        is_unknown_U = ~np.isin(words.words_U, self._parser.vocabulary_V)
        return EncodedWords(words, units.places, is_long_N, is_unknown_U)

    def score(self, encoded: EncodedWords) -> Inference[Arcs]:
        """Return scores of every word's heads and relations."""
        arcs = self._parser.evidence(encoded.words, encoded.places)
        read_N, ends = encoded.places.lengths_N, encoded.places.offsets
        unknown_N = np.diff(np.concatenate(([0], np.cumsum(encoded.is_unknown_U)))[ends])
        found = Found(read_N, unknown_N, encoded.is_long_N, int(ends[-1]))
        return Inference(arcs, found)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> ArcsRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of an arcs Bundle."""
    return ArcsRuntime(bundle)
