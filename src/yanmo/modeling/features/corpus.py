"""A corpus of token ids on disk: written once from documents, read row by row; it knows no network and no masking.

One flat file holds every row with its special tokens, so that training may be larger than memory: of a row only its
place is kept. The highest bit but one of a value says that the token continues a word.
"""

from __future__ import annotations

import functools
import json
import logging
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts import durable
from yanmo.text.words import WordTokens

__all__ = ["Corpus", "CorpusRows", "CorpusTokens", "CorpusWriter", "Packing", "open_corpus", "split_corpus"]

logger = logging.getLogger(__name__)

TOKENS, PLACES, DONE = "tokens.bin", "rows.npy", "corpus.json"
# Not the highest bit: it would make an int32 negative.
CONTINUES = 1 << 30
MOST_VALID_ROWS = 2000
VALID_SHARE = 0.01

Packing = Literal["documents", "rows"]


@dataclass(frozen=True)
class Corpus:
    """An opened corpus.

    Attributes:
        rows: int32 values in the file, N rows.
        facts: What its writer counted: ``num_documents``, ``num_rows``, ``num_tokens``.
    """

    rows: Ragged
    facts: dict[str, int]


class CorpusWriter:
    """Writes documents as rows of at most ``max_length`` tokens; use it as a context manager.

    Args:
        folder: Where the files are made; what is there is replaced.
        special: The tokens before and after every row.
        max_length: Most tokens of a row, special ones included.
        packing: ``documents``: every document begins a row of its own, and one that is longer goes on in further rows.
            ``rows``: documents follow each other, the tokens after a row between two of them, and every row is full.
        run_key: Names the work; a corpus of another key is not taken up.
    """

    def __init__(
        self, folder: Path, *, special: tuple[list[int], list[int]], max_length: int, packing: Packing, run_key: str
    ) -> None:
        folder.mkdir(exist_ok=True)
        # First of all: without this file the other two count for nothing.
        (folder / DONE).unlink(missing_ok=True)
        self._folder = folder
        self._file = _partial(folder / TOKENS).open("wb")
        self._before, self._after = (np.asarray(one, dtype=np.int32) for one in special)
        self._room = max_length - len(self._before) - len(self._after)
        self._is_packed = packing == "rows"
        self._rest = np.zeros(0, dtype=np.int32)
        self._lengths = array("q")
        self._num_documents = 0
        self._run_key = run_key

    def add(self, tokens: WordTokens) -> None:
        """Append documents; those without a token leave nothing."""
        values = tokens.ids.values.astype(np.int32) | (tokens.continues.astype(np.int32) * CONTINUES)
        parts = [part for part in np.split(values, tokens.ids.offsets[1:-1]) if len(part)]
        self._num_documents += len(parts)
        if not self._is_packed:
            self._write(part[start : start + self._room] for part in parts for start in range(0, len(part), self._room))
            return
        # What does not fill a row waits for the documents that follow.
        flat = np.concatenate([self._rest, *(piece for part in parts for piece in (part, self._after))])
        full = len(flat) // self._room * self._room
        self._write(flat[:full].reshape(-1, self._room))
        self._rest = flat[full:]

    def close(self) -> None:
        """Finish the files; the last one says that they are whole."""
        # A separator stands behind every document, so a rest of no more than one holds no text.
        if len(self._rest) > len(self._after):
            self._write([self._rest])
        self._file.close()
        # Opened here, since np.save would give a path of this name another ending.
        with _partial(self._folder / PLACES).open("wb") as file:
            np.save(file, np.concatenate(([0], np.cumsum(self._lengths, dtype=np.int64))))
        facts = {
            "num_documents": self._num_documents,
            "num_rows": len(self._lengths),
            "num_tokens": sum(self._lengths),
        }
        done = json.dumps({"run_key": self._run_key, "facts": facts})
        _partial(self._folder / DONE).write_text(done, encoding="utf-8")
        for name in (TOKENS, PLACES, DONE):
            durable.put(_partial(self._folder / name), self._folder / name)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self._file.close()

    def _write(self, pieces: Iterable[npt.NDArray[np.int32]]) -> None:
        rows = [np.concatenate((self._before, piece, self._after)) for piece in pieces]
        if rows:
            self._file.write(np.concatenate(rows).tobytes())
            self._lengths.extend(len(row) for row in rows)


def open_corpus(folder: Path, run_key: str) -> Corpus | None:
    """Return the corpus of a folder, None where there is no whole one of this key."""
    if not (folder / DONE).is_file():
        return None
    try:
        done: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
        if done["run_key"] != run_key:
            return None
        offsets: IntArray = np.load(folder / PLACES)
        shape = (int(offsets[-1]),)
        # An empty file cannot be mapped.
        values = np.memmap(folder / TOKENS, np.int32, "r", shape=shape) if shape[0] else np.zeros(0, dtype=np.int32)
        return Corpus(Ragged(values, offsets), done["facts"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        logger.warning("The corpus in %s cannot be read (%s): it is made again.", folder, error)
        return None


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


@dataclass(frozen=True)
class CorpusTokens:
    """The tokens of B rows, one row after the other.

    Attributes:
        ids: int64.
        continues: Whether a token is of the same word as the one before it in its row, bool.
        places: Where each token stands in the corpus, int64.
        lengths_B: Tokens of each row.
    """

    ids: IntArray
    continues: npt.NDArray[np.bool_]
    places: IntArray
    lengths_B: IntArray


@dataclass(frozen=True)
class CorpusRows:
    """Some rows of a corpus.

    Attributes:
        rows: The whole corpus.
        chosen_N: The rows that count here.
    """

    rows: Ragged
    chosen_N: IntArray

    @functools.cached_property
    def lengths_N(self) -> IntArray:
        """Tokens of each row."""
        return self.rows.lengths_N[self.chosen_N]

    def take(self, rows_B: IntArray) -> CorpusTokens:
        """Return the tokens of some of the rows."""
        lengths_B = self.lengths_N[rows_B]
        starts_B = np.cumsum(lengths_B) - lengths_B
        # Within a row the distance between a token's place in the batch and its place in the file is the same for all.
        shifts_B = self.rows.offsets[self.chosen_N[rows_B]] - starts_B
        places = np.arange(lengths_B.sum()) + np.repeat(shifts_B, lengths_B)
        values = self.rows.values[places]
        continues = (values & CONTINUES) > 0
        # A long document may be cut inside of a word: what stands before a row is not in it.
        continues[starts_B] = False
        return CorpusTokens((values & (CONTINUES - 1)).astype(np.int64), continues, places, lengths_B)


def split_corpus(corpus: Corpus, *, seed: int) -> tuple[CorpusRows, CorpusRows]:
    """Return the rows to learn from, and one in a hundred, at most 2,000, to measure on.

    Args:
        corpus: With at least two rows.
        seed: Chooses the rows.
    """
    order_N = np.random.default_rng(seed).permutation(len(corpus.rows))
    num_valid = min(MOST_VALID_ROWS, max(1, int(len(order_N) * VALID_SHARE)))
    learned, held = np.sort(order_N[num_valid:]), np.sort(order_N[:num_valid])
    return CorpusRows(corpus.rows, learned), CorpusRows(corpus.rows, held)
