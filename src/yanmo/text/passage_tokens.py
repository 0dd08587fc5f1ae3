"""Token ids of questions with their passages: the question whole, the passage unit by unit, long ones in windows.

Every window is the question and a part of the passage, as the tokenizer's template puts a pair together. Each unit of
the passage is decided about in the one window where it stands deepest, with the most text on both sides; "none", for
which the first token of each window stands, in every one of them. It knows no model.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from tokenizers import Tokenizer

from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.text.columns import replace_surrogates
from yanmo.text.inputs import Units, Windows
from yanmo.text.tokenizer import Encoded, UnitTokens, count_unknown
from yanmo.text.unit_tokens import UnitTokenizer, cut_unit_windows
from yanmo.text.words import untruncated

__all__ = ["PassageTokenizer"]

QUESTION_SHARE = 2
"""A question has at most this part of a window's tokens; the end of a longer one is not read."""
OVERLAP = Windows(overlap=0.25)
"""How much of a window's passage the one before has, too, if nothing else is said: about 100 tokens of 400."""


class PassageTokenizer:
    """A tokenizer of questions and passages; safe to use from several threads.

    Args:
        tokenizer: Any one; it is not changed.
        max_length: Most tokens of a window, the question and special ones included.
        reads_ends: Whether a unit's last token is decided about, too, behind its first one: as the end of an answer.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int, *, reads_ends: bool = False) -> None:
        self._tokenizer = untruncated(tokenizer)
        self._units = UnitTokenizer(tokenizer, max_length)
        self._max_length = max_length
        self._reads_ends = reads_ends
        self._parts, self._types = _template(self._tokenizer)

    def encode(self, questions: Sequence[str], units: Units, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N questions in W windows; no unit of a passage is left out.

        Args:
            questions: Cleaned.
            units: Of the passages. Equal passages are tokenized once, as equal units are.
            windows: How much windows overlap, as a share of what a question leaves of them; their number has no limit.
        """
        before, between, behind = self._parts
        num_special = len(before) + len(between) + len(behind)
        asked, cut_N = self._questions(questions, max(1, (self._max_length - num_special) // QUESTION_SHARE))
        room_N = self._max_length - num_special - np.array([len(one) for one in asked], dtype=np.int64)
        flat, starts, num_cut_N = self._units.flat(units, int(room_N.min(initial=self._max_length)))
        overlap_N = ((windows or OVERLAP).overlap * room_N).astype(np.int64)
        windows_W4, text_W = cut_unit_windows(starts, units.places.offsets, room_N, overlap_N)
        rows, types, firsts, places = [], [], [], []
        length_N = _lengths(units.places)
        for (first, stop, begin, end), text in zip(windows_W4.tolist(), text_W.tolist(), strict=True):
            head = [*before, *asked[text], *between]
            inside = flat[starts[first] : starts[stop]]
            rows.append(np.concatenate([head, inside, behind]).astype(np.int64))
            types.append(np.repeat(self._types, [len(head), len(inside) + len(behind)]))
            firsts.append(self._decided(starts[begin : end + 1] - starts[first] + len(head)))
            none = [[length_N[text], length_N[text] + 1]]
            places.append(np.concatenate([none, units.places.values[begin:end]]))
        return Encoded(
            ids := _ragged(rows),
            _ragged(types),
            cut_N | num_cut_N,
            count_unknown(self._tokenizer, ids),
            text_W,
            num_special,
            UnitTokens(_ragged(firsts), _by_text(places, text_W, len(questions))),
        )

    def starts_and_ends(self, scores_M2: FloatArray) -> FloatArray:
        """Return of the scores at all places that are decided about those of each unit as a start and as an end."""
        return np.stack([scores_M2[::2, 0], scores_M2[1::2, 1]], axis=1) if self._reads_ends else scores_M2

    def _decided(self, bounds_U: IntArray) -> IntArray:
        """Return the places that are decided about in a window: "none" at its first token, then those of the units.

        Args:
            bounds_U: Where each unit's tokens begin, and the end of the last.
        """
        firsts = np.concatenate(([0], bounds_U[:-1]))
        if not self._reads_ends:
            return firsts
        return np.stack([firsts, np.concatenate(([0], bounds_U[1:] - 1))], axis=1).ravel()

    def _questions(
        self, questions: Sequence[str], most: int
    ) -> tuple[list[list[int]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Return the tokens of every question, and whether its end was cut off."""
        distinct = list(dict.fromkeys(questions))
        encodings = self._tokenizer.encode_batch_fast(
            [replace_surrogates(one) for one in distinct], add_special_tokens=False
        )
        known = {text: one.ids for text, one in zip(distinct, encodings, strict=True)}
        rows = [known[one] for one in questions]
        return [row[:most] for row in rows], np.array([len(row) > most for row in rows], dtype=np.bool_)


def _lengths(places: Ragged) -> list[int]:
    """Return where each passage's last unit ends, 0 where it has none."""
    ends, offsets = places.values[:, 1], places.offsets.tolist()
    return [int(ends[stop - 1]) if stop > start else 0 for start, stop in pairwise(offsets)]


def _template(tokenizer: Tokenizer) -> tuple[tuple[list[int], list[int], list[int]], IntArray]:
    """Return the special tokens before, between and behind the two texts of a pair, and the types of both."""
    found = tokenizer.encode("a", "a")
    places = [[place for place, one in enumerate(found.sequence_ids) if one == side] for side in (0, 1)]
    (first, second), ids = places, found.ids
    parts = ids[: first[0]], ids[first[-1] + 1 : second[0]], ids[second[-1] + 1 :]
    return parts, np.array([found.type_ids[first[0]], found.type_ids[second[0]]], dtype=np.int64)


def _ragged(rows: Sequence[IntArray]) -> Ragged:
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.concatenate([np.zeros(0, dtype=np.int64), *rows]).astype(np.int64), offsets)


def _by_text(places: Sequence[IntArray], text_W: IntArray, num_texts: int) -> Ragged:
    """Return the places of all windows, those of one text as one row."""
    lengths_W = np.array([len(one) for one in places], dtype=np.int64)
    ends = np.cumsum(np.bincount(text_W, lengths_W, minlength=num_texts)).astype(np.int64)
    values = np.concatenate([np.zeros((0, 2), dtype=np.int64), *places]).astype(np.int64)
    return Ragged(values, np.concatenate(([0], ends)).astype(np.int64))
