"""Hashed features of parser states: what stands on the stack, in the buffer and around both; it knows no weight.

A template names a few atoms, such as ``s0t b0w``, the tag of the stack's top and the next word; the hash of what they
are is a bucket of a table. One set of templates is for the next action, one for the relation of an arc that is made.

Legend: R states, S atoms, F templates, P places.

Source: Zhang, Nivre 2011, "Transition-based Dependency Parsing with Rich Non-local Features", table 2. Differs: for the
arc-hybrid system, without sets of relations, with endings of words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.arrays import Array, IntArray
from yanmo.parsing.states import States
from yanmo.text.units import HashArray, mix

__all__ = ["ActionFeatures", "RelationFeatures", "TemplateHasher"]

FAR = 11
"""Distances from here on are one."""
MANY = 3
"""Counts of children from here on are one."""
HASH_BITS = 64
# s: the stack from its top, b: what comes next, l and r: the outermost children, l2 and r2 the ones inside of these;
# then w: the word, x: its ending, o: how it begins, t: its tag, r: its relation. d, e: how far b0 and s1 are from s0;
# v: how many children s0 has on either side, u: b0 on the left.
_ACTION_PLACES = ("s0", "s1", "s2", "b0", "b1", "b2", "s0l", "s0l2", "s0r", "s0r2", "b0l", "b0l2", "s1l", "s1r")
_ACTION_NUMBERS = ("d", "e", "vl", "vr", "u")
_ACTION_TEMPLATES = """
s0w s0t, s0w, s0t, b0w b0t, b0w, b0t, b1w b1t, b1w, b1t, b2w b2t, b2t, s1w s1t, s1w, s1t, s0x s0t, b0x b0t, b1x, s1x
s0w s0t b0w b0t, s0w b0w b0t, s0w s0t b0w, s0w s0t b0t, s0t b0w b0t, s0w b0w, s0t b0t, s0x b0x, s0x b0t, s0t b0x
b0t b1t, s0t b0t b1t, s1t s0t b0t, b0t b1t b2t, s2t s1t s0t, s0w b0t b1t, s0t b0w b1t
s1w s0w, s1t s0t, s1w s0t s1t, s1t s0w s0t, s1t s0t b1t, s1w b0w, s1t b0t, s1x s0x, s1w s0t b0t, s1t s0w b0t
s1t s0t b0w
s0w d, s0t d, b0w d, b0t d, s0t b0t d, s0w b0w d, s1t s0t e, s1w s0w e, s0w vl vr, s0t vl vr, b0t u, b0w u
s0t s0lt b0t, s0t s0rt b0t, s0t b0t b0lt, s0t s0lt s0l2t, s0t s0rt s0r2t, b0t b0lt b0l2t, s1t s0t s1rt, s1t s0t s1lt
s1t s0t s0lt, s1t s0t s0rt, s0lw s0t, s0rw s0t, b0lw b0t, s0lr s0rr s0t, b0lr b0t s0t, s0rr s0t b0t, s0lr s0t b0t
s0w s0lr s0rr, s1t s1rr s0t, b0w b0lr, s0w s0rr
s0o s0t, b0o b0t, s0o b0t, s0t b0o, s0o s0x
"""
_RELATION_PLACES = ("h", "c", "c-", "c+", "h-", "h+", "cl", "cr", "hl", "hr")
_RELATION_NUMBERS = ("d", "side")
_RELATION_TEMPLATES = """
d, hw side, ht side, cw side, ct side, hx cx side, hw cw, ht ct d, hw ct side, ht cw side, hx ct side, ht cx side
ht ct c-t c+t, ht ct h-t h+t, ht ct h+t c-t, c-w ct ht, c+w ct ht, cw c-t c+t, clt ct ht, crt ct ht, clr ct ht
crr ct ht, clw cw, clw ct ht, crw ct ht, hlr ht ct, hrr ht ct, cw clr crr, hw hlr ct, hw hrr ct
ho ct side, ht co side, ho co side, co cx
"""


class TemplateHasher:
    """What a set of templates makes of atoms.

    Args:
        places: Names of places that atoms are about.
        numbers: Names of atoms about none.
        templates: With commas or line ends between; atoms with spaces between.

    Attributes:
        num_templates: F.
        kinds: Of ``w``, ``x``, ``o``, ``t`` and ``r`` the places whose atoms are used, as rows of the places.
    """

    def __init__(self, places: Sequence[str], numbers: Sequence[str], templates: str) -> None:
        parsed = [one.split() for line in templates.strip().splitlines() for one in line.split(",")]
        used = {atom for template in parsed for atom in template}
        self.kinds = {
            kind: [row for row, place in enumerate(places) if f"{place}{kind}" in used]
            for kind in ("w", "x", "o", "t", "r")
        }
        names = [f"{places[row]}{kind}" for kind, rows in self.kinds.items() for row in rows] + list(numbers)
        rows = {name: row for row, name in enumerate(names)}
        self.num_templates = len(parsed)
        # By size, so that those of one size are one gather an atom.
        self._groups: list[tuple[IntArray, IntArray]] = []
        for size in sorted({len(one) for one in parsed}):
            chosen = [number for number, one in enumerate(parsed) if len(one) == size]
            atoms = np.array([[rows[atom] for atom in parsed[number]] for number in chosen])
            self._groups.append((np.array(chosen), atoms.T))
        # Odd, so that no atom loses a bit; another one for each, so that words may stand in any slot.
        self._slots_S1 = (mix(np.arange(len(names), dtype=np.uint32)) | np.uint64(1))[:, None]
        numbers_F = np.arange(self.num_templates, dtype=np.uint32) + np.uint32(0x1000)
        self._factors_F1 = (mix(numbers_F) | np.uint64(1))[:, None]

    def buckets_FR(self, atoms_SR: HashArray, bits: int) -> IntArray:
        """Return the bucket of every template, of two to the power ``bits``, int64."""
        slotted_SR = atoms_SR * self._slots_S1
        hashes_FR: HashArray = np.empty((self.num_templates, atoms_SR.shape[1]), dtype=np.uint64)
        for numbers, (first, *others) in self._groups:
            sums_FR = slotted_SR[first]
            for other in others:
                sums_FR += slotted_SR[other]
            hashes_FR[numbers] = sums_FR
        hashes_FR *= self._factors_F1
        # The high bits of a product depend on all bits of its factors, the low ones do not.
        hashes_FR >>= np.uint64(HASH_BITS - bits)
        return hashes_FR.view(np.int64)


class _Atoms:
    """The tables that atoms are looked up in.

    Args:
        states: Whose sentences they are about.
        relations_C: A hash of each relation, and of none, behind the last.
    """

    def __init__(self, states: States, relations_C: HashArray) -> None:
        self._rows, self._relations_C = states.rows, relations_C
        self._numbers = mix(np.arange(0x3000, 0x3000 + 64, dtype=np.uint32))

    def of(
        self, hasher: TemplateHasher, places: Sequence[IntArray], numbers: Sequence[IntArray], states: States
    ) -> HashArray:
        """Return the atoms of places and of small numbers, shape (S, R)."""
        kinds = hasher.kinds
        chosen = {kind: np.stack([places[row] for row in rows]) for kind, rows in kinds.items() if rows}
        found = [
            self._rows.words_P.take(chosen["w"]),
            self._rows.endings_P.take(chosen["x"]),
            self._rows.openings_P.take(chosen["o"]),
            self._rows.tags_P.take(chosen["t"]),
            self._relations_C.take(states.relations_P.take(chosen["r"])),
            self._numbers.take(np.stack(numbers)),
        ]
        return np.concatenate(found)


class ActionFeatures:
    """What the next action of states is chosen by.

    Args:
        states: The states.
        relations_C: A hash of each relation, and of none, behind the last.
        bits: There are two to this power buckets.
    """

    hasher = TemplateHasher(_ACTION_PLACES, _ACTION_NUMBERS, _ACTION_TEMPLATES)

    def __init__(self, states: States, relations_C: HashArray, bits: int) -> None:
        self._states, self._atoms, self._bits = states, _Atoms(states, relations_C), bits

    def buckets_FR(self, num: int) -> IntArray:
        """Return the buckets of the first states, shape (F, num)."""
        states = self._states
        top, second, third, ahead = (*(states.top(num, below) for below in range(3)), states.next_R[:num])
        lefts, seconds, rights, inners = states.children_4P
        places = [
            *(top, second, third, ahead, ahead + 1, ahead + 2),
            *(side.take(top) for side in (lefts, seconds, rights, inners)),
            *(lefts.take(ahead), seconds.take(ahead), lefts.take(second), rights.take(second)),
        ]
        has_top, has_second = top != states.nothing_R[:num], second != states.nothing_R[:num]
        num_left, num_right = states.counts_2P
        numbers = [
            np.where(has_top, _near(ahead - top), 0),
            np.where(has_second, _near(top - second), 0),
            *(np.minimum(count.take(place), MANY) for count, place in ((num_left, top), (num_right, top))),
            np.minimum(num_left.take(ahead), MANY),
        ]
        return self.hasher.buckets_FR(self._atoms.of(self.hasher, places, numbers, states), self._bits)


class RelationFeatures:
    """What the relation of new arcs is chosen by; parameters as of :class:`ActionFeatures`."""

    hasher = TemplateHasher(_RELATION_PLACES, _RELATION_NUMBERS, _RELATION_TEMPLATES)

    def __init__(self, states: States, relations_C: HashArray, bits: int) -> None:
        self._states, self._atoms, self._bits = states, _Atoms(states, relations_C), bits

    def buckets_FR(self, heads_R: IntArray, children_R: IntArray) -> IntArray:
        """Return the buckets of arcs, shape (F, R); the words have no such arc yet."""
        lefts, _, rights, _ = self._states.children_4P
        places = [
            *(heads_R, children_R, children_R - 1, children_R + 1, heads_R - 1, heads_R + 1),
            *(lefts.take(children_R), rights.take(children_R), lefts.take(heads_R), rights.take(heads_R)),
        ]
        side_R = (heads_R > children_R).astype(np.int64)
        numbers = [_near(np.abs(heads_R - children_R)) + 16 * side_R, side_R]
        # Before the first row stands nothing, as behind the last.
        places = [np.where(one < 0, self._states.nothing_R[-1], one) for one in places]
        return self.hasher.buckets_FR(self._atoms.of(self.hasher, places, numbers, self._states), self._bits)


def _near(distance_R: Array) -> IntArray:
    """Return distances up to 5 as they are, longer ones as 6, and those from 11 on as 7."""
    return np.where(distance_R > 5, np.where(distance_R >= FAR, 7, 6), distance_R)
