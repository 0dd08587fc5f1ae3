"""Token ids of texts with hidden places: gaps that a user has marked, or every token in turn; it knows no model.

Marks are ``[MASK]`` and ``<mask>``, whatever the tokenizer calls its own; they are looked for without regard to case,
for texts are cleaned before. All gaps of a text are hidden at once; of a text without marks there is a row for each
token, which alone is hidden there. A text that is longer than a model reads is cut into windows, and each place is
hidden in the first one that has it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from tokenizers import Tokenizer

from yanmo.arrays import IntArray, Ragged
from yanmo.errors import ModelError
from yanmo.text.columns import replace_surrogates
from yanmo.text.gap_marks import marks_of, with_mark
from yanmo.text.inputs import Windows
from yanmo.text.tokenizer import Encoded, UnitTokens, unknown_id
from yanmo.text.unit_tokens import special_ids

__all__ = ["HiddenTokens", "MaskingTokenizer", "mask_token"]

MASK_TOKENS = ("[MASK]", "<mask>")
OPEN = -1
"""What stands in a gap is not known."""
OVERLAP = 0.5
"""Share of a window that the one before it has, too, where nothing else is asked for."""


@dataclass(frozen=True)
class HiddenTokens(Encoded):
    """The rows of N texts in which places are hidden; these are the units that are decided about.

    Attributes:
        texts: N texts.
        answers_M: The id of what stands in each place, -1 of a gap.
    """

    texts: list[str] = field(default_factory=list)
    answers_M: IntArray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def take(self, rows_W: IntArray) -> HiddenTokens:
        """Return some of the rows as texts of their own."""
        taken, units = super().take(rows_W), self.units
        firsts = Ragged(np.zeros(0, np.int64), np.zeros(len(self.ids) + 1, np.int64)) if units is None else units.firsts
        rows_N = rows_W if self.text_W is None else self.text_W[rows_W]
        return HiddenTokens(
            taken.ids,
            taken.type_ids,
            taken.truncated_N,
            taken.num_unknown_N,
            num_special=taken.num_special,
            units=taken.units,
            texts=[self.texts[row] for row in rows_N.tolist()],
            answers_M=Ragged(self.answers_M, firsts.offsets).take(rows_W).values,
        )


class MaskingTokenizer:
    """A tokenizer that hides tokens; safe to use from several threads.

    Args:
        tokenizer: Of the ``tokenizers`` library; it is not changed.
        max_length: Most tokens of a row, special ones included.

    Raises:
        ModelError: It has no token that hides others.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self.mask = mask_token(tokenizer)
        self._tokenizer = _reading_masks(tokenizer, self.mask)
        self._mask_id = self._tokenizer.token_to_id(self.mask) or 0
        self._unknown = unknown_id(self._tokenizer)
        self._before, self._after = special_ids(self._tokenizer)
        self._room = max(1, max_length - len(self._before) - len(self._after))

    def word(self, token: int) -> str:
        """Return a token as the tokenizer writes it."""
        return str(self._tokenizer.decode([token], skip_special_tokens=False))

    def encode(self, texts: Sequence[str], *, windows: Windows | None = None) -> HiddenTokens:
        """Return the rows of N texts; none is cut off.

        Args:
            texts: N cleaned texts.
            windows: How windows of long texts overlap; by default by half.
        """
        stride = max(1, self._room - int(self._room * (OVERLAP if windows is None else windows.overlap)))
        plain = [replace_surrogates(text) for text in texts]
        marked = [with_mark(text, self.mask) for text in plain]
        encodings = self._tokenizer.encode_batch(marked, add_special_tokens=False)
        rows = [
            self._rows_of(np.asarray(one.ids, dtype=np.int64), _places(one.offsets, text), text, stride)
            for one, text in zip(encodings, plain, strict=True)
        ]
        return self._joined(rows, list(texts))

    def _rows_of(self, ids_T: IntArray, places_T2: IntArray, text: str, stride: int) -> _Rows:
        marks = marks_of(text)
        is_hidden_T = ids_T == self._mask_id if marks else np.ones(len(ids_T), dtype=np.bool_)
        hidden = np.flatnonzero(is_hidden_T)
        # The first window that has a place; the last one is moved to the left, so that it is full.
        window_M = np.maximum(-(-(hidden + 1 - self._room) // stride), 0)
        start_M = np.minimum(window_M * stride, max(len(ids_T) - self._room, 0))
        if marks:
            starts, row_M = np.unique(start_M, return_inverse=True)
            answers_M, places = np.full(len(hidden), OPEN), np.asarray(marks, dtype=np.int64)[: len(hidden)]
        else:
            starts, row_M = start_M, np.arange(len(hidden))
            answers_M, places = ids_T[hidden], places_T2
        length = min(len(ids_T), self._room)
        read_RT = ids_T[starts[:, None] + np.arange(length)].reshape(len(starts), length)
        firsts_M = hidden - starts[row_M]
        read_RT[row_M, firsts_M] = self._mask_id
        around = (np.tile(np.asarray(one, np.int64), (len(starts), 1)) for one in (self._before, self._after))
        before_RS, after_RS = around
        unknown = int(np.count_nonzero(ids_T == self._unknown))
        counts_R = np.bincount(row_M, minlength=len(starts))
        rows = np.concatenate((before_RS, read_RT, after_RS), axis=1)
        return _Rows(rows, counts_R, firsts_M + len(self._before), places, answers_M.astype(np.int64), unknown)

    def _joined(self, rows: list[_Rows], texts: list[str]) -> HiddenTokens:
        num_rows = np.array([len(one.ids_RT) for one in rows], dtype=np.int64)
        lengths_W = np.concatenate([np.full(len(one.ids_RT), one.ids_RT.shape[1]) for one in rows] or [num_rows])
        counts_W = np.concatenate([one.counts_R for one in rows] or [num_rows]).astype(np.int64)
        units = UnitTokens(
            Ragged(_flat([one.firsts_M for one in rows]), _ends(counts_W)),
            Ragged(
                _flat([one.places_M2 for one in rows]).reshape(-1, 2),
                _ends(np.array([len(one.answers_M) for one in rows], dtype=np.int64)),
            ),
        )
        unknown_N = np.array([one.num_unknown for one in rows], dtype=np.int64)
        text_W = np.repeat(np.arange(len(rows)), num_rows)
        return HiddenTokens(
            Ragged(_flat([one.ids_RT for one in rows]), _ends(lengths_W.astype(np.int64))),
            None,
            np.zeros(len(rows), dtype=np.bool_),
            unknown_N[text_W],
            text_W=text_W,
            num_special=len(self._before) + len(self._after),
            units=units,
            texts=texts,
            answers_M=_flat([one.answers_M for one in rows]),
        )


@dataclass(frozen=True)
class _Rows:
    """The R rows of one text, and its M hidden places in their order."""

    ids_RT: IntArray
    counts_R: IntArray
    firsts_M: IntArray
    places_M2: IntArray
    answers_M: IntArray
    num_unknown: int


def mask_token(tokenizer: Tokenizer) -> str:
    """Return the token that hides others.

    Raises:
        ModelError: There is none of the usual names.
    """
    found = next((one for one in MASK_TOKENS if tokenizer.token_to_id(one) is not None), None)
    if found is None:
        raise ModelError(
            "The tokenizer has no token that hides others, so the model fills no gaps.",
            hint=f"Add one to the tokenizer under one of the names: {', '.join(MASK_TOKENS)}.",
        )
    return found


def _reading_masks(tokenizer: Tokenizer, mask: str) -> Tokenizer:
    """Return a copy that cuts nothing off and reads marks in a text, but no other special token."""
    content = json.loads(tokenizer.to_str())
    for one in content["added_tokens"]:
        if one["content"] == mask:
            one["special"] = False
    copy = Tokenizer.from_str(json.dumps(content))
    copy.no_padding()
    copy.no_truncation()
    copy.encode_special_tokens = True
    return copy


def _places(offsets: Sequence[tuple[int, int]], text: str) -> IntArray:
    """Return which characters each token adds, so that those of a text lie side by side and cover it."""
    places = np.zeros((len(offsets), 2), dtype=np.int64)
    if len(offsets):
        places[:, 1] = np.maximum.accumulate(np.asarray(offsets, dtype=np.int64)[:, 1])
        places[1:, 0] = places[:-1, 1]
        places[-1, 1] = len(text)
    return places


def _ends(lengths: IntArray) -> IntArray:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)


def _flat(parts: Sequence[IntArray]) -> IntArray:
    return np.concatenate([one.reshape(-1) for one in parts] or [np.zeros(0, np.int64)]).astype(np.int64)
