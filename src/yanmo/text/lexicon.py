"""A user's word list: where its longest words begin, end and lie in a column of units; it knows no label and no model.

A word is a sequence of units and known by its hash alone. The list is looked up once a length for all places of a
column together; there is no loop over units.

Source: Low, Ng, Guo 2005, "A Maximum Entropy Approach to Chinese Word Segmentation", section 3 (features of the longest
word of a dictionary); Bloom 1970, "Space/Time Trade-offs in Hash Coding with Allowable Errors".

Legend: W words, S slots: units with edges between texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt

from yanmo.arrays import Array
from yanmo.text.inputs import Units
from yanmo.text.unit_places import UnitRule
from yanmo.text.unit_views import UnitViews
from yanmo.text.units import CodePoints, HashArray

__all__ = ["MATCHES", "Lexicon"]

MATCHES = ("begins", "ends", "covers")
"""What is found at every unit: the length of the longest word that begins or ends there, or lies around it."""
MAX_LENGTH = 8
"""Words of more units are left out: there are few, and each length costs a look at every place."""
BITS_PER_WORD = 32
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_SEATS = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


@dataclass(frozen=True)
class Lexicon:
    """The words of a list, known by their hashes; of other sequences one in 260 or more is taken for a word.

    Attributes:
        hashes_W: Sorted, uint64.
        shortest: The number of units of the shortest words that are looked for.
        longest: The number of units of the longest words.
    """

    hashes_W: HashArray
    shortest: int
    longest: int

    @classmethod
    def of(cls, words: Units, rule: UnitRule) -> Self:
        """Return the lexicon of a list of words.

        Args:
            words: Cut and cleaned as the texts are: one row a word. A word without units is left out.
            rule: What a unit is. That a single character is a word says nothing, as nearly all are one.
        """
        shortest = 2 if rule == "characters" else 1
        unit_U, offsets = UnitViews(words.surfaces).view("unit"), words.places.offsets
        lengths_W = words.places.lengths_N
        kept = np.flatnonzero((lengths_W >= shortest) & (lengths_W <= MAX_LENGTH))
        starts_W, lengths_W = offsets[kept], lengths_W[kept]
        hashes_W = unit_U[starts_W] if len(kept) else np.zeros(0, dtype=np.uint64)
        longest = int(lengths_W.max(initial=0))
        for place in range(1, longest):
            rows = np.flatnonzero(lengths_W > place)
            hashes_W[rows] = (hashes_W[rows] * _FACTOR) ^ unit_U[starts_W[rows] + place]
        return cls(np.unique(hashes_W), shortest, longest)

    @classmethod
    def read(cls, tensor: Array) -> Self:
        """Return the lexicon that :meth:`tensor` wrote."""
        shortest, longest = tensor[:2].tolist()
        return cls(tensor[2:], shortest, longest)

    def tensor(self) -> HashArray:
        """Return all of it in one array: the two lengths, then the hashes."""
        return np.concatenate([np.array([self.shortest, self.longest], dtype=np.uint64), self.hashes_W])

    def match(self, unit_S: HashArray) -> dict[str, CodePoints]:
        """Return the length of the longest word that begins at, ends at, and lies around each unit; 0 for none.

        Args:
            unit_S: Hashes of units; what stands between two texts is no unit's hash, so no word reaches across.

        Returns:
            A key of ``MATCHES`` to lengths, uint32, shape (S,).
        """
        begins, ends, covers = found = np.zeros((len(MATCHES), len(unit_S)), dtype=np.uint32)
        hashes_S = unit_S
        # Longer words come later and replace shorter ones.
        for length in range(1, min(self.longest, len(unit_S)) + 1):
            if length > 1:
                hashes_S = (hashes_S[:-1] * _FACTOR) ^ unit_S[length - 1 :]
            if length < self.shortest:
                continue
            places = np.flatnonzero(self._holds(hashes_S))
            begins[places] = ends[places + length - 1] = length
            for inside in range(1, length - 1):
                covers[places + inside] = length
        return dict(zip(MATCHES, found, strict=True))

    @cached_property
    def _bits(self) -> npt.NDArray[np.uint8]:
        """The table that says of a hash, by two of its bits, whether it is one of the list's."""
        num_bits = 1 << (BITS_PER_WORD * max(len(self.hashes_W), 32) - 1).bit_length()
        bits = np.zeros(num_bits, dtype=np.uint8)
        shift = np.uint64(64 - num_bits.bit_length() + 1)
        for seat in _SEATS:
            bits[(self.hashes_W * seat) >> shift] = 1
        return np.packbits(bits, bitorder="little")

    def _holds(self, hashes_S: HashArray) -> npt.NDArray[np.bool_]:
        bits = self._bits
        shift = np.uint64(64 - (8 * len(bits)).bit_length() + 1)
        held = np.ones(len(hashes_S), dtype=np.uint8)
        for seat in _SEATS:
            places = (hashes_S * seat) >> shift
            byte = bits.take((places >> np.uint64(3)).view(np.int64))
            held &= byte >> (places & np.uint64(7)).astype(np.uint8)
        return held.astype(np.bool_)
