"""Tokens of models that read one text and write another: the marks around both sides, and rows of at most some length.

It knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct
from tokenizers import Tokenizer

from yanmo.arrays import IntArray, Ragged
from yanmo.errors import ModelError
from yanmo.text.language_tokens import LanguageTokenizer

__all__ = ["PAD", "PairMarks", "PairTokenizer"]

PAD = "<pad>"
"""Fills rows, and stands before a text that is written, as T5 has it."""


class PairMarks(Struct, frozen=True):
    """The tokens around both sides.

    Attributes:
        pad_id: What fills a row.
        begin_id: What stands before a text that is written.
        end_id: What ends one.
        before: Tokens that the model wants before every text.
        behind: Tokens that the model wants behind it.
    """

    pad_id: int
    begin_id: int
    end_id: int
    before: list[int]
    behind: list[int]


@dataclass(frozen=True)
class PairTokenizer:
    """A tokenizer with the marks around both sides.

    Attributes:
        language: Cuts texts.
        marks: What stands around them.
    """

    language: LanguageTokenizer
    marks: PairMarks

    @classmethod
    def of(cls, backend: Tokenizer, *, name: str, pad: str | None, end: str | None, begin_id: int | None) -> Self:
        """Return the tokenizer of a model.

        Args:
            backend: Of the ``tokenizers`` library.
            name: Of the model, for the message.
            pad: The token that fills rows.
            end: The token that ends a text.
            begin_id: Of the token that stands before a text that is written; None: the one that fills rows.

        Raises:
            ModelError: It lacks one of the two.
        """
        pad_id = _id_of(backend, pad, name=name, what="fills rows")
        end_id = _id_of(backend, end, name=name, what="ends a text")
        # It switches padding off, which would count as marks.
        language = LanguageTokenizer.of(backend, name=name, end=end)
        specials = backend.encode("").ids
        begin = pad_id if begin_id is None else begin_id
        # A tokenizer that was trained here adds none by itself; those of T5 and BART end a text so.
        cut = specials.index(end_id) if end_id in specials else len(specials)
        marks = PairMarks(pad_id, begin, end_id, specials[:cut], specials[cut:] or [end_id])
        return cls(language, marks)

    @classmethod
    def open(cls, path: Path, marks: PairMarks, *, end: str) -> Self:
        """Return the tokenizer of a ``tokenizer.json`` with its marks."""
        return cls(LanguageTokenizer.open(path, end=end), marks)

    @property
    def pad_id(self) -> int:
        """What fills a row."""
        return self.marks.pad_id

    @property
    def begin_id(self) -> int:
        """What stands before a text that is written."""
        return self.marks.begin_id

    def encode(self, texts: Sequence[str], *, max_length: int) -> tuple[Ragged, npt.NDArray[np.bool_]]:
        """Return the tokens of N texts with their marks, and which of them were cut."""
        found = self.language.encode(texts).ids
        room = max(max_length - len(self.marks.before) - len(self.marks.behind), 0)
        is_cut_N = found.lengths_N > room
        return _with_marks(found, np.minimum(found.lengths_N, room), self.marks), is_cut_N


def _id_of(backend: Tokenizer, token: str | None, *, name: str, what: str) -> int:
    """Return the id of a mark.

    Raises:
        ModelError: There is none.
    """
    found = None if token is None else backend.token_to_id(token)
    if found is None:
        raise ModelError(
            f"The tokenizer of {name} has no token that {what}{f' named {token!r}' if token else ''}.",
            hint="Give it a pad_token and an eos_token in tokenizer_config.json, as T5 has <pad> and </s>.",
        )
    return int(found)


def _with_marks(rows: Ragged, lengths_N: IntArray, marks: PairMarks) -> Ragged:
    """Return rows of at most some lengths with the tokens around them."""
    num_before, num_around = len(marks.before), len(marks.before) + len(marks.behind)
    offsets = np.concatenate(([0], np.cumsum(lengths_N + num_around)))
    values = np.empty(offsets[-1], dtype=np.int64)
    within_M = np.arange(int(lengths_N.sum())) - np.repeat(np.cumsum(lengths_N) - lengths_N, lengths_N)
    values[np.repeat(offsets[:-1] + num_before, lengths_N) + within_M] = rows.values[
        np.repeat(rows.offsets[:-1], lengths_N) + within_M
    ]
    for place, token in enumerate(marks.before):
        values[offsets[:-1] + place] = token
    for place, token in enumerate(reversed(marks.behind)):
        values[offsets[1:] - 1 - place] = token
    return Ragged(values, offsets)
