"""Token ids of the units of texts: every unit by itself, long texts as overlapping windows; it knows no model.

No token reaches from one unit into the next, so a model's answer at a unit's first token is an answer about the unit. A
text that is longer than a model reads is cut between units into windows, and each unit is decided about in the one
where it stands deepest, with the most text on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, pre_tokenizers

from yanmo.arrays import IntArray, Ragged
from yanmo.text.columns import replace_surrogates
from yanmo.text.inputs import Units, Windows
from yanmo.text.tokenizer import Encoded, UnitTokens, count_unknown, unknown_id
from yanmo.text.words import untruncated

__all__ = ["NO_KIND", "UnitTokenizer", "cut_unit_windows", "special_ids"]

MOST_KNOWN = 1 << 16
"""So many units are remembered with their tokens; a language's common words and all its characters fit."""
UNIT_SHARE = 4
"""A unit has at most this part of a window's tokens: a word of a thousand letters must not push all others out."""
NO_KIND = 0
"""The kind of what is no part of a unit."""
WORD_START = "▁"
"""How SentencePiece writes the space before a word."""


class UnitTokenizer:
    """A tokenizer with the tokens of the units it has seen; safe to use from several threads.

    Args:
        tokenizer: Any one; it is not changed.
        max_length: Most tokens of a window, special ones included.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int) -> None:
        self._tokenizer = untruncated(tokenizer)
        self._before, self._after = special_ids(self._tokenizer)
        self._room = max(1, max_length - len(self._before) - len(self._after))
        self._unknown = unknown_id(self._tokenizer) or 0
        self._word_start = self._tokenizer.token_to_id(WORD_START)
        inner = self._tokenizer.pre_tokenizer
        self._sees_spaces = isinstance(inner, pre_tokenizers.ByteLevel) and not inner.add_prefix_space
        self._known: dict[str, list[int]] = {}

    def encode(self, units: Units, *, windows: Windows | None = None) -> Encoded:
        """Return the token ids of N texts in W rows; no unit is left out.

        Args:
            units: Of the texts.
            windows: How much windows overlap; their number has no limit here.
        """
        flat, starts, cut_N = self.flat(units, self._room)
        room_N = np.full(len(units.places), self._room, dtype=np.int64)
        overlap_N = np.full_like(room_N, int((windows or Windows()).overlap * self._room))
        windows_W4, text_W = cut_unit_windows(starts, units.places.offsets, room_N, overlap_N)
        begins_W, stops_W = starts[windows_W4[:, 0]], starts[windows_W4[:, 1]]
        ids, shift_W = self._frame(flat, begins_W, stops_W, self._before, self._after)
        num_decided_W = windows_W4[:, 3] - windows_W4[:, 2]
        # The windows decide about all units in their order, so what belongs to them only has to be moved.
        firsts = Ragged(starts[:-1] - np.repeat(shift_W, num_decided_W), _offsets(num_decided_W))
        kinds = None
        if units.kinds_U is not None:
            # Every token of a unit is of its kind; special tokens are of none.
            flat_kinds = np.repeat(units.kinds_U, np.diff(starts))
            none = ([NO_KIND] * len(self._before), [NO_KIND] * len(self._after))
            kinds, _ = self._frame(flat_kinds, begins_W, stops_W, *none)
        return Encoded(
            ids,
            kinds,
            cut_N,
            count_unknown(self._tokenizer, ids),
            text_W,
            len(self._before) + len(self._after),
            UnitTokens(firsts, units.places),
        )

    def flat(self, units: Units, room: int) -> tuple[IntArray, IntArray, npt.NDArray[np.bool_]]:
        """Return the tokens of all units, one after the other, and where each unit's begin, with the end of the last.

        Also whether a unit of each text was cut off, as it has too many tokens.

        Args:
            units: Of N texts.
            room: Most tokens of a text's part of a window.
        """
        most, ends = max(1, room // UNIT_SHARE), units.places.offsets
        rows, lengths_U = self._tokens(self._surfaces(units))
        starts = np.concatenate(([0], np.cumsum(np.minimum(lengths_U, most)))).astype(np.int64)
        flat = np.fromiter(chain.from_iterable(row[:most] for row in rows), np.int64, int(starts[-1]))
        num_cut = np.concatenate(([0], np.cumsum(lengths_U > most)))
        return flat, starts, num_cut[ends[1:]] > num_cut[ends[:-1]]

    def _surfaces(self, units: Units) -> Sequence[str]:
        """Return the units as the tokenizer takes them; to one that tells words by the space before them, with it."""
        if not self._sees_spaces or units.rule == "characters" or not units.surfaces:
            return units.surfaces
        places_U2, is_spaced = units.places.values, np.zeros(len(units.surfaces), dtype=np.bool_)
        # The first unit of a text stands further left than the last one of the text before, so it gets no space.
        is_spaced[1:] = places_U2[1:, 0] > places_U2[:-1, 1]
        return [f" {one}" if spaced else one for one, spaced in zip(units.surfaces, is_spaced.tolist(), strict=True)]

    def _tokens(self, surfaces: Sequence[str]) -> tuple[list[list[int]], IntArray]:
        """Return the tokens of each unit, at least one, and how many they are."""
        # A full memory is begun anew and not emptied: other threads may be reading it.
        known = self._known = self._known if len(self._known) < MOST_KNOWN else {}
        missing = list(dict.fromkeys([one for one in surfaces if one not in known]))
        if missing:
            asked = [replace_surrogates(one) for one in missing]
            encodings = self._tokenizer.encode_batch_fast(asked, add_special_tokens=False)
            known.update(zip(missing, [self._whole(one.ids) for one in encodings], strict=True))
        rows = [known[one] for one in surfaces]
        return rows, np.fromiter(map(len, rows), dtype=np.int64, count=len(rows))

    def _whole(self, ids: list[int]) -> list[int]:
        """Return a unit's tokens: the unknown one where there is none, and no space that stands for itself."""
        return ids[1:] if len(ids) > 1 and ids[0] == self._word_start else ids or [self._unknown]

    @staticmethod
    def _frame(
        flat: IntArray, begins_W: IntArray, stops_W: IntArray, before: Sequence[int], after: Sequence[int]
    ) -> tuple[Ragged, IntArray]:
        """Return the rows with special tokens, and how much further left a token stands in its row than in all."""
        num_before, num_after = len(before), len(after)
        lengths_W = stops_W - begins_W
        offsets = _offsets(lengths_W + num_before + num_after)
        ids = np.empty(offsets[-1], dtype=np.int64)
        for place, token in enumerate(before):
            ids[offsets[:-1] + place] = token
        for place, token in enumerate(after):
            ids[offsets[1:] - num_after + place] = token
        inside = np.arange(lengths_W.sum()) - np.repeat(np.cumsum(lengths_W) - lengths_W, lengths_W)
        ids[inside + np.repeat(offsets[:-1] + num_before, lengths_W)] = flat[inside + np.repeat(begins_W, lengths_W)]
        return Ragged(ids, offsets), begins_W - num_before


def special_ids(tokenizer: Tokenizer) -> tuple[list[int], list[int]]:
    """Return the special tokens that stand before and after a text."""
    found = tokenizer.encode("a")
    inside = [place for place, is_special in enumerate(found.special_tokens_mask) if not is_special]
    if not inside:
        return found.ids[:1], found.ids[1:]
    return found.ids[: inside[0]], found.ids[inside[-1] + 1 :]


def cut_unit_windows(
    starts: IntArray, ends: IntArray, room_N: IntArray, overlap_N: IntArray
) -> tuple[IntArray, IntArray]:
    """Return the windows of all texts, and the text that each is of.

    Args:
        starts: Where each unit's tokens begin, and the end of the last, shape (U + 1,).
        ends: Row i has the units ``ends[i]`` to ``ends[i + 1]``.
        room_N: Most tokens of each text's windows.
        overlap_N: Tokens that a window has of the one before it.

    Returns:
        Of each window the first unit that is read and the one behind the last, and the same of those that are decided
        about, int64, shape (W, 4).
    """
    begins_N, stops_N = ends[:-1], ends[1:]
    is_long_N = starts[stops_N] - starts[begins_N] > room_N
    whole = np.flatnonzero((stops_N > begins_N) & ~is_long_N)
    found_W4 = np.stack([begins_N[whole], stops_N[whole]] * 2, axis=1)
    if not is_long_N.any():
        return found_W4, whole
    further = [
        (text, _slide(starts, int(ends[text]), int(ends[text + 1]), int(room_N[text]), int(overlap_N[text])))
        for text in np.flatnonzero(is_long_N)
    ]
    text_W = np.concatenate([whole, *(np.full(len(cut), text) for text, cut in further)])
    order_W = np.argsort(text_W, kind="stable")
    return np.concatenate([found_W4, *(cut for _, cut in further)])[order_W], text_W[order_W]


def _slide(starts: IntArray, begin: int, end: int, room: int, overlap: int) -> IntArray:
    """Return the windows of one long text, shape (W, 4)."""
    read: list[tuple[int, int]] = []
    first = begin
    while True:
        stop = min(int(np.searchsorted(starts, starts[first] + room, side="right")) - 1, end)
        read.append((first, stop))
        if stop == end:
            break
        # At least one unit further, however much windows are to overlap.
        first = min(max(int(np.searchsorted(starts, starts[stop] - overlap)), first + 1), stop)
    read_W2 = np.array(read)
    # Two windows share what both read: the one half is deeper in the first, the other in the second.
    middles = (starts[read_W2[1:, 0]] + starts[read_W2[:-1, 1]]) / 2
    bounds = np.concatenate(([begin], np.searchsorted(starts, middles), [end]))
    # With a large overlap a window may read nothing that is deepest there; it decides about nothing then.
    bounds = np.maximum.accumulate(np.clip(bounds, begin, end))
    return np.concatenate([read_W2, np.stack([bounds[:-1], bounds[1:]], axis=1)], axis=1).astype(np.int64)


def _offsets(lengths: IntArray) -> IntArray:
    return np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
