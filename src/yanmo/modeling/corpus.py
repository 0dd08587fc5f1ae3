"""A corpus of token ids on disk: written once from documents, read row by row; it knows no network and no masking.

One flat file holds every row with its special tokens, so that training may be larger than memory: of a row only its
place is kept. The highest bit but one of a value says that the token continues a word.
"""

from __future__ import annotations

import functools
import json
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
import torch

from yanmo.modeling.features import Batch
from yanmo.protocols import IntArray, Ragged
from yanmo.text.words import WordTokens

__all__ = ["Corpus", "CorpusFeatures", "CorpusWriter", "Packing", "open_corpus", "split_corpus"]

TOKENS, PLACES, DONE = "tokens.bin", "rows.npy", "corpus.json"
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
        (folder / DONE).unlink(missing_ok=True)
        self._folder = folder
        self._file = (folder / TOKENS).open("wb")
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
        flat = np.concatenate([self._rest, *(piece for part in parts for piece in (part, self._after))])
        full = len(flat) // self._room * self._room
        self._write(flat[:full].reshape(-1, self._room))
        self._rest = flat[full:]

    def close(self) -> None:
        """Finish the files; the last one says that they are whole."""
        if len(self._rest) > len(self._after):
            self._write([self._rest])
        self._file.close()
        np.save(self._folder / PLACES, np.concatenate(([0], np.cumsum(self._lengths, dtype=np.int64))))
        facts = {
            "num_documents": self._num_documents,
            "num_rows": len(self._lengths),
            "num_tokens": sum(self._lengths),
        }
        (self._folder / DONE).write_text(json.dumps({"run_key": self._run_key, "facts": facts}), encoding="utf-8")

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
    done: dict[str, Any] = json.loads((folder / DONE).read_text(encoding="utf-8"))
    if done["run_key"] != run_key:
        return None
    offsets = np.load(folder / PLACES)
    values = np.memmap(folder / TOKENS, dtype=np.int32, mode="r") if offsets[-1] else np.zeros(0, dtype=np.int32)
    return Corpus(Ragged(values, offsets), done["facts"])


@dataclass(frozen=True)
class CorpusFeatures:
    """Some rows of a corpus, as the training loop reads them.

    Attributes:
        rows: The whole corpus.
        chosen_N: The rows that count here.
        pad_id: What fills a row of a batch on the right.
    """

    rows: Ragged
    chosen_N: IntArray
    pad_id: int
    is_padded: bool = True

    @functools.cached_property
    def lengths_N(self) -> IntArray:
        """Tokens of each row."""
        return self.rows.lengths_N[self.chosen_N]

    def collate(self, rows_B: IntArray) -> Batch:
        """Return ``input_ids`` and ``attention_mask``, int64, and ``continues``, bool, shape (B, T)."""
        lengths_B = self.lengths_N[rows_B]
        places_T = np.arange(max(1, int(lengths_B.max(initial=0))))
        mask_BT = places_T < lengths_B[:, None]
        places_BT = self.rows.offsets[self.chosen_N[rows_B]][:, None] + places_T
        values_BT = np.full(mask_BT.shape, self.pad_id, dtype=np.int64)
        values_BT[mask_BT] = self.rows.values[places_BT[mask_BT]]
        return {
            "input_ids": torch.from_numpy(values_BT & (CONTINUES - 1)),
            "attention_mask": torch.from_numpy(mask_BT.astype(np.int64)),
            "continues": torch.from_numpy((values_BT & CONTINUES) > 0),
        }


def split_corpus(corpus: Corpus, *, pad_id: int, seed: int) -> tuple[CorpusFeatures, CorpusFeatures]:
    """Return the rows to learn from, and one in a hundred, at most 2,000, to measure on.

    Args:
        corpus: With at least two rows.
        pad_id: What fills a row of a batch.
        seed: Chooses the rows.
    """
    order_N = np.random.default_rng(seed).permutation(len(corpus.rows))
    num_valid = min(MOST_VALID_ROWS, max(1, int(len(order_N) * VALID_SHARE)))
    learned, held = np.sort(order_N[num_valid:]), np.sort(order_N[:num_valid])
    return CorpusFeatures(corpus.rows, learned, pad_id), CorpusFeatures(corpus.rows, held, pad_id)
