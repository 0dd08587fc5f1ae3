"""Models that write a text from another, asked for their answers; how they compute is their session's matter.

Opening takes a Bundle of format encoder-decoder. Texts of like length are answered together.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct
from msgspec.structs import asdict, replace

from yanmo.answers.answered import Found
from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts.bundle import Bundle
from yanmo.counted import counted
from yanmo.errors import ArtifactError, ConfigError
from yanmo.protocols import AnswerSearch, AnswerWatcher, Inference, Runtime
from yanmo.runtimes.generating.answering import AnswerWishes, StepWatch, answer_texts
from yanmo.runtimes.generating.beams import Hypothesis
from yanmo.runtimes.generating.drafts import ReadingSession
from yanmo.runtimes.generating.encoder_decoder_session import EncoderDecoderSession
from yanmo.runtimes.generating.forced_phrases import ForcedPhrases
from yanmo.runtimes.generating.growing_answers import GrowingAnswers, GrowingPieces
from yanmo.runtimes.generating.joined_session import JoinedSession
from yanmo.runtimes.generating.repeats import Repeats, most_in_a_row
from yanmo.text.glossary import Glossary, read_glossary
from yanmo.text.growing import GrowingText
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.pair_tokens import PairMarks, PairTokenizer
from yanmo.text.tokenizer import unknown_id
from yanmo.text.wordpieces import joins_pieces, without_blanks

__all__ = [
    "READING_FILE",
    "WRITING_FILE",
    "EncoderDecoderRuntime",
    "SourceTexts",
    "open_runtime",
    "open_session_of",
]

READING_FILE = "onnx/encoder.onnx"
WRITING_FILE = "onnx/decoder.onnx"
MOST_ROWS = 64
"""Rows that are written at a time: more do not make a token cheaper."""
MOST_CELLS = 8192
"""Tokens of a batch of texts that are read at a time, padding included."""


class SourceTexts(Struct, frozen=True):
    """N texts, ready to be answered.

    Attributes:
        ids: Their tokens, with the marks around them.
        truncated_N: Whether the end of each was cut off.
        num_unknown_N: Tokens that the model has no entry for.
        forced: What must be written for each.
        watcher: Who is told of answers while they are written.
        limits_N: How many times in a row tokens may come before an answer is over; None: as often as they do.
    """

    ids: Ragged
    truncated_N: npt.NDArray[np.bool_]
    num_unknown_N: IntArray
    forced: list[list[str]]
    watcher: AnswerWatcher | None = None
    limits_N: IntArray | None = None


class EncoderDecoderRuntime(Runtime[SourceTexts]):
    """The Runtime protocol for models that write; a text is written when it is scored.

    Args:
        bundle: The Bundle.
        session: Its network.
    """

    def __init__(self, bundle: Bundle, session: ReadingSession) -> None:
        architecture = bundle.architecture
        marks = msgspec.convert(architecture["marks"], PairMarks)
        self._tokenizer = PairTokenizer.open(bundle.path / "tokenizer.json", marks, end=architecture["end"])
        self._max_length = bundle.max_length
        self._session = session
        self._wishes = AnswerWishes(
            begin_id=marks.begin_id,
            end_id=marks.end_id,
            max_new_tokens=int(architecture["max_target_length"]),
            num_beams=int(architecture.get("num_beams", 1)),
            length_penalty=float(architecture.get("length_penalty", 1.0)),
        )
        glossary = bundle.text_config.glossary
        self._glossary: Glossary | None = None
        if glossary is not None:
            # Its phrases are looked for in texts that were cleaned.
            self._glossary = read_glossary(bundle.path / glossary).cleaned(bundle.text_pipeline().apply)
        self._prefix = bundle.text_config.prefix
        # Such tokenizers put a blank between any two tokens, also where the language has none.
        self._has_blanks = joins_pieces(self._tokenizer.language.backend)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> SourceTexts:  # noqa: ARG002 - read at once
        """Return the tokens of N texts, cut to what the model reads."""
        ids, truncated_N = self._tokenizer.encode(inputs.first, max_length=self._max_length)
        unknown = unknown_id(self._tokenizer.language.backend)
        unknown_M = np.zeros(len(ids.values), np.int64) if unknown is None else ids.values == unknown
        sums = np.concatenate(([0], np.cumsum(unknown_M)))
        # A phrase of the prefix is none of the text.
        texts = [text.removeprefix(self._prefix) for text in inputs.first]
        forced = [self._glossary.forced(text) if self._glossary else [] for text in texts]
        num_unknown_N = sums[ids.offsets[1:]] - sums[ids.offsets[:-1]]
        limits_N = None
        if self._wishes.end_repeats is not None:
            # What a text has many times in a row, its answer may have, too.
            least = self._wishes.end_repeats
            counts_N = np.array([most_in_a_row(text, least) for text in texts], np.int64)
            limits_N = np.maximum(counts_N + 1, least)
        return SourceTexts(ids, truncated_N, num_unknown_N, forced, limits_N=limits_N)

    def watched(self, encoded: SourceTexts, watcher: AnswerWatcher) -> SourceTexts:
        """Return the same texts; a watcher is told of their answers, but of those that are searched by beams."""
        return replace(encoded, watcher=watcher)

    def reading(self, windows: Windows | None) -> dict[str, Any]:  # noqa: ARG002 - read at once
        """Return how texts are answered, as JSON values."""
        names = ("num_beams", "length_penalty", "max_new_tokens", "end_repeats")
        told = {name: getattr(self._wishes, name) for name in names}
        return {name: value for name, value in told.items() if value is not None}

    def with_search(self, search: AnswerSearch) -> EncoderDecoderRuntime:
        """Return the same model with another search.

        Raises:
            ConfigError: A number is out of its range, or does not go with beams.
        """
        other = copy.copy(self)
        other._wishes = wishes = replace(
            self._wishes, **{n: one for n, one in asdict(search).items() if one is not None}
        )
        if not 1 <= wishes.num_beams <= MOST_ROWS:
            raise ConfigError(
                f"The 'num_beams' parameter must be from 1 to {MOST_ROWS}. Got {wishes.num_beams} instead.",
                hint="4 is a good number; 1 always takes the likeliest token.",
            )
        if wishes.end_repeats is not None and (wishes.end_repeats < 2 or wishes.num_beams > 1):
            raise ConfigError(
                f"The 'end_repeats' parameter must be at least 2, without beams. Got {wishes.end_repeats} and "
                f"{counted(wishes.num_beams, 'beam')} instead.",
                hint="8 is a good number; --num-beams 1 searches without beams.",
            )
        return other

    def together(self, others: Sequence[EncoderDecoderRuntime]) -> EncoderDecoderRuntime:
        """Return a model whose next tokens have the mean of the probabilities that this one and others give them.

        Args:
            others: Models that cut texts into the same tokens; they are not to be used any more.
        """
        joined = copy.copy(self)
        joined._session = JoinedSession([self._session, *(one._session for one in others)])
        return joined

    def score(self, encoded: SourceTexts) -> Inference[Writings]:
        """Write an answer to each of N texts."""
        lengths_N = encoded.ids.lengths_N
        answers: list[list[Hypothesis]] = [[] for _ in range(len(lengths_N))]
        is_forced_N = np.array([bool(one) for one in encoded.forced], np.bool_)
        num_cells = 0
        # Phrases that must be written are forced into one beginning, and not into several.
        for is_forced, wishes in ((False, self._wishes), (True, replace(self._wishes, num_beams=1))):
            for rows_B in _batches(lengths_N, np.flatnonzero(is_forced_N == is_forced), MOST_ROWS // wishes.num_beams):
                ids_BS = _filled(encoded.ids.take(rows_B), self._tokenizer.pad_id)
                found = self._answer(encoded, rows_B, ids_BS, wishes)
                for row, one in zip(rows_B.tolist(), found, strict=True):
                    answers[row] = one
                num_cells += ids_BS.size
        told = Found(
            lengths_N,
            encoded.num_unknown_N,
            encoded.truncated_N,
            num_cells,
            ending_N=[found[0].ending for found in answers],
        )
        return Inference(self._told(answers), told)

    def _answer(
        self, encoded: SourceTexts, rows_B: IntArray, ids_BS: IntArray, wishes: AnswerWishes
    ) -> list[list[Hypothesis]]:
        """Return the answers to a batch of texts, of which all or none must have phrases."""
        lengths_B, forced = encoded.ids.lengths_N[rows_B], [encoded.forced[row] for row in rows_B.tolist()]
        constraints = [self._constraint(one) for one in forced] if any(forced) else []
        watches: list[StepWatch] = []
        repeats = None
        # Phrases are written in any case.
        if encoded.limits_N is not None and not constraints:
            repeats = Repeats(encoded.limits_N[rows_B], wishes.max_new_tokens)
            watches.append(repeats.step)
        if encoded.watcher is not None:
            watches.append(self._grow(encoded.watcher, rows_B))

        def watch(texts_R: IntArray, ids_R: IntArray) -> list[int]:
            return [place for one in watches for place in one(texts_R, ids_R)]

        found = answer_texts(
            self._session, ids_BS, lengths_B, wishes, constraints, when_stepped=watch if watches else None
        )
        for text in repeats.ended if repeats is not None else ():
            found[text] = [replace(one, ending="repeats") for one in found[text]]
        return found

    def _grow(self, watcher: AnswerWatcher, rows_B: IntArray) -> StepWatch:
        """Return what tells a watcher of a batch's answers while they are written."""
        backend = self._tokenizer.language.backend

        def open_text() -> GrowingText | GrowingPieces:
            return GrowingPieces(GrowingText(backend)) if self._has_blanks else GrowingText(backend)

        return GrowingAnswers(watcher, rows_B, end_id=self._wishes.end_id, open_text=open_text).step

    def _constraint(self, phrases: Sequence[str]) -> ForcedPhrases:
        # Behind a blank a word may have other tokens than at the beginning of a text.
        spelled = [self._tokenizer.language.encode([one, f" {one}"]).ids for one in phrases]
        tokens = [[two.take(np.array([row])).values.tolist() for row in (0, 1)] for two in spelled]
        return ForcedPhrases(tokens, self._wishes.end_id, self._wishes.max_new_tokens, self._text_of)

    def _text_of(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.language.backend.decode(list(tokens), skip_special_tokens=True)
        return without_blanks(text, np.zeros(0, np.int64))[0] if self._has_blanks else text

    def _told(self, answers: Sequence[Sequence[Hypothesis]]) -> Writings:
        every = [one for found in answers for one in found]
        texts, places = [], [np.zeros((0, 2), np.int64)]
        for one in every:
            text, ends_T = self._spell(one)
            texts.append(text)
            places.append(np.stack((np.concatenate(([0], ends_T[:-1])), ends_T), axis=1))
        values_M = np.array([value for one in every for value in one.log_likelihoods], np.float32)
        ends = np.concatenate(([0], np.cumsum([len(one.ids) for one in every]))).astype(np.int64)
        offsets = np.concatenate(([0], np.cumsum(list(map(len, answers))))).astype(np.int64)
        return Writings(Sequences(values_M, ends, np.concatenate(places), texts), offsets)

    def _spell(self, answer: Hypothesis) -> tuple[str, IntArray]:
        """Return the text of an answer, and how many characters there are behind each of its tokens."""
        text = GrowingText(self._tokenizer.language.backend)
        text.push(answer.ids[: len(answer.ids) - (answer.ending == "stop")], is_last=True)
        # The token that ended it adds nothing.
        ends_T = np.array([*text.ends, *[len(text.text)] * (len(answer.ids) - len(text.ends))], np.int64)
        if not self._has_blanks:
            return text.text, np.minimum(ends_T, len(text.text))
        return without_blanks(text.text, np.minimum(ends_T, len(text.text)))


def _batches(lengths_N: IntArray, rows_R: IntArray, most_rows: int) -> Iterator[IntArray]:
    """Yield the rows of every batch of some rows, longest texts first."""
    order_N = rows_R[np.argsort(-lengths_N[rows_R], kind="stable")]
    start = 0
    while start < len(order_N):
        width = max(int(lengths_N[order_N[start]]), 1)
        stop = start + max(min(most_rows, MOST_CELLS // width), 1)
        yield order_N[start:stop]
        start = stop


def _filled(rows: Ragged, pad_id: int) -> IntArray:
    lengths_B = rows.lengths_N
    is_here_BS = np.arange(max(1, int(lengths_B.max(initial=0)))) < lengths_B[:, None]
    filled_BS = np.full(is_here_BS.shape, pad_id, dtype=np.int64)
    filled_BS[is_here_BS] = rows.values
    return filled_BS


def open_session_of(bundle: Bundle, num_threads: int, *, folder: Path | None = None) -> EncoderDecoderSession:
    """Return the session of a Bundle's graphs.

    Args:
        bundle: Of format encoder-decoder.
        num_threads: Threads to compute with.
        folder: Where other graphs than its own stand, under the same names.

    Raises:
        ArtifactError: A graph is missing or broken.
    """
    paths = [(folder or bundle.path) / name for name in (READING_FILE, WRITING_FILE)]
    for path in paths:
        if not path.is_file():
            raise ArtifactError(f"{path} is missing.", hint="Export the Bundle again.")
    # One place more, for the token before an answer.
    max_length = int(bundle.architecture["max_target_length"]) + 1
    return EncoderDecoderSession(*paths, max_length=max_length, num_threads=num_threads)


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> EncoderDecoderRuntime:  # noqa: ARG001 - one signature
    """Return the runtime of an encoder-decoder Bundle."""
    return EncoderDecoderRuntime(bundle, open_session_of(bundle, num_threads))
