"""Hashed features of the units around each unit: what the ``window`` family reads; whole columns, no loop over units.

A template names streams and distances; what they hold around a unit, hashed, is a bucket of one table. A stream is a
view of every unit: the unit itself, its shape, its first letters. It knows no label and no weight.

Source: Weinberger et al. 2009, "Feature Hashing for Large Scale Multitask Learning", arXiv:0902.2206; the templates for
characters are those of Ng, Low 2004, "Chinese Part-of-Speech Tagging: One-at-a-Time or All-at-Once?", section 3.1,
those for words of Ratnaparkhi 1996, "A Maximum Entropy Model for Part-Of-Speech Tagging", section 3.

Legend: U units, S slots: units with room for the edges of their texts, P characters, F templates.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from yanmo.answers.tags import TagStyle
from yanmo.arrays import IntArray
from yanmo.config import Config
from yanmo.text.inputs import Units
from yanmo.text.lexicon import MATCHES, Lexicon
from yanmo.text.unit_views import UnitViews
from yanmo.text.units import HashArray, cjk_share, mix

__all__ = ["WindowConfig", "WindowFeatures", "suited_config"]

BLOCK_SLOTS = 1 << 13
REACH = 3
"""Units on either side that a template may name."""
EDGE = np.uint64(0x5851F42D4C957F2D)
"""What stands before the first unit of a text and after its last one; its value only has to be no unit's."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
HASH_BITS = 64
CHINESE_SHARE = 0.5

Template = tuple[tuple[str, int], ...]
"""Streams and distances: ``(("unit", -1), ("unit", 0))`` is a unit together with the one before it."""


def _of(stream: str, *distances: int) -> Template:
    return tuple((stream, distance) for distance in distances)


OWN = (_of("unit", 0), _of("lower", 0))
_ENTITY_CHARACTERS: tuple[Template, ...] = (
    *(_of("unit", distance) for distance in range(-3, 4)),
    *(_of("unit", first, first + 1) for first in range(-2, 2)),
    *(_of("unit", first, first + 2) for first in (-2, -1, 0)),
    _of("kind", -1, 0, 1),
)
# Three characters in a row say where words end; entities are fewer and longer, and their triples are learned by heart.
_CHARACTERS = (
    *_ENTITY_CHARACTERS,
    *(_of("unit", first, first + 1, first + 2) for first in (-2, -1, 0)),
)
_SHAPES: tuple[Template, ...] = (*(_of("shape", distance) for distance in (-1, 0, 1)), _of("shape", -1, 0, 1))
_NEIGHBORS: tuple[Template, ...] = (
    *(_of("lower", distance) for distance in range(-2, 3)),
    *(_of("lower", *pair) for pair in ((-1, 0), (0, 1), (-1, 1))),
)
_AFFIXES: tuple[Template, ...] = (
    *(_of(f"prefix{length}", 0) for length in (1, 2, 3, 4)),
    *(_of(f"suffix{length}", 0) for length in (1, 2, 3, 4)),
)
_WORDS: tuple[Template, ...] = (
    _of("unit", 0),
    *_NEIGHBORS,
    *(_of("lower", distance) for distance in (-3, 3)),
    *(_of("lower", *pair) for pair in ((-2, -1), (1, 2))),
    *(_of("lower", first, first + 1, first + 2) for first in (-2, -1, 0)),
    *_AFFIXES,
    *(_of("suffix3", distance) for distance in (-1, 1)),
    *_SHAPES,
)
# A word of Chinese has hardly two characters: longer parts would be the word itself again and again.
_IDEOGRAPHS: tuple[Template, ...] = (
    *_NEIGHBORS,
    *(_of(f"prefix{length}", 0) for length in (1, 2)),
    *(_of(f"suffix{length}", 0) for length in (1, 2, 3)),
    _of("length", 0),
    *_SHAPES,
)
_MATCHES: tuple[Template, ...] = (
    *(_of(stream, 0) for stream in MATCHES),
    (("begins", 0), ("ends", 0), ("covers", 0)),
    (("begins", 0), ("ends", -1)),
    (("begins", 1), ("ends", 0)),
    _of("begins", 0, 1),
    _of("ends", -1, 0),
    (("begins", 0), ("unit", 0)),
    (("ends", 0), ("unit", 0)),
)
TEMPLATES: Mapping[str, tuple[Template, ...]] = {
    "characters": _CHARACTERS,
    "entity_characters": _ENTITY_CHARACTERS,
    "words": _WORDS,
    "ideographs": _IDEOGRAPHS,
    "tokens": (*_CHARACTERS, _of("lower", 0), *_AFFIXES, *_SHAPES),
}
"""By what a unit is, or what is looked for; ideographs are words of Chinese or Japanese."""


class WindowConfig(Config):
    """Which features, and how they are numbered."""

    units: Literal["characters", "entity_characters", "words", "ideographs", "tokens"]
    """What a unit is, or what is looked for in characters; ideographs are words of Chinese or Japanese."""

    has_lexicon: bool = False
    """Whether matches of a word list are features, too."""

    bits: int = Field(default=22, ge=8, le=30)
    """There are two to this power buckets; only those that training met often enough have weights."""

    min_count: int = Field(default=2, ge=1)
    """How often training must meet a feature for it to have weights."""

    max_rows: int = Field(default=350_000, ge=1)
    """The most features that have weights; those with the smallest weights are left out first."""

    @property
    def templates(self) -> tuple[Template, ...]:
        """What is looked at around every unit."""
        return TEMPLATES[self.units] + (_MATCHES if self.has_lexicon else ())


def suited_config(units: Units, style: TagStyle, *, has_lexicon: bool) -> WindowConfig:
    """Return the features that suit some units.

    Args:
        units: Of the training texts.
        style: Of their tags.
        has_lexicon: There is a word list.
    """
    look: Literal["characters", "entity_characters", "words", "ideographs", "tokens"] = units.rule
    if units.rule == "words" and cjk_share(units.surfaces) > CHINESE_SHARE:
        look = "ideographs"
    elif units.rule == "characters" and style == "iob2":
        look = "entity_characters"
    # A word that was met once teaches its part of speech; of spans a feature says little before it is met again.
    return WindowConfig(units=look, has_lexicon=has_lexicon, min_count=1 if style == "plain" else 2)


class WindowFeatures:
    """The features of all units of N texts, as buckets of a table, made when they are asked for.

    Args:
        units: Of the texts.
        config: Which features.
        lexicon: The word list; needed where the config says that there is one.

    Attributes:
        slots_U: Where each unit stands among the slots.
        num_slots: S; the first and the last few are edges.
        num_templates: F.
        number_S: The number of the text that stands in each slot; behind all of them that of an edge.
        alone: The places of the templates that look at one unit alone: what it has is looked up once a text.
        together: The places of all others.
        own: Which of these names the unit itself.
    """

    def __init__(self, units: Units, config: WindowConfig, lexicon: Lexicon | None = None) -> None:
        templates = config.templates
        offsets = units.places.offsets
        num_texts = len(offsets) - 1
        self.slots_U: IntArray = np.arange(offsets[-1]) + np.repeat(
            REACH * np.arange(1, num_texts + 1), np.diff(offsets)
        )
        self.num_slots = int(offsets[-1]) + REACH * (num_texts + 1)
        self.num_templates = len(templates)
        self.alone = [place for place, one in enumerate(templates) if len(one) == 1 and one[0][0] not in MATCHES]
        self.own = next(row for row, place in enumerate(self.alone) if templates[place] in OWN)
        self.together = [place for place in range(len(templates)) if place not in self.alone]
        self.number_S = np.full(self.num_slots, len(units.surfaces.distinct))
        self.number_S[self.slots_U] = units.surfaces.number_U
        names = {stream for template in templates for stream, _ in template} - set(MATCHES)
        views = UnitViews(units.surfaces.distinct)
        self._views = {name: np.append(views.view(name), EDGE) for name in sorted(names)}
        self._templates, self._shift = templates, np.uint64(HASH_BITS - config.bits)
        self._factors = mix(np.arange(len(templates), dtype=np.uint32)) | np.uint64(1)
        # Templates of one form, such as all pairs of neighbors, share what is hashed; each has its own odd factor.
        forms = [tuple((stream, distance - one[0][1]) for stream, distance in one) for one in templates]
        streams = self._streams({stream for place in self.together for stream, _ in forms[place]}, lexicon)
        hashed = {form: _hash_form(form, streams) for form in {forms[place] for place in self.together}}
        self._hashes = [(hashed[forms[place]], templates[place][0][1], self._factors[place]) for place in self.together]

    def _streams(self, names: set[str], lexicon: Lexicon | None) -> dict[str, HashArray]:
        """Return what every slot has of some streams, uint64, shape (S,)."""
        matched = {}
        if lexicon is not None:
            matched = {name: mix(found) for name, found in lexicon.match(self._views["unit"][self.number_S]).items()}
        return matched | {name: self._views[name][self.number_S] for name in names - set(MATCHES)}

    @cached_property
    def buckets_AD(self) -> IntArray:
        """The buckets of the templates that look at one unit alone, for every text and, behind them, the edge."""
        views = [self._views[self._templates[place][0][0]] for place in self.alone]
        mixed: HashArray = np.array(views) * self._factors[self.alone, None]
        mixed >>= self._shift
        return mixed.view(np.int64)

    def numbers(self, begin: int, end: int) -> list[IntArray]:
        """Return the text that each of these templates looks at for some slots; arguments as for :meth:`buckets`."""
        distances = [self._templates[place][0][1] for place in self.alone]
        return [self.number_S[begin + distance : end + distance] for distance in distances]

    def buckets(self, begin: int, end: int) -> IntArray:
        """Return the buckets of all other templates for some slots, int64, shape (templates, slots).

        Args:
            begin: The first of them, at least ``REACH``.
            end: The one behind the last, at most S less ``REACH``.
        """
        mixed = np.empty((len(self._hashes), end - begin), dtype=np.uint64)
        for row, (hashes_S, distance, factor) in zip(mixed, self._hashes, strict=True):
            np.multiply(hashes_S[begin + distance : end + distance], factor, out=row)
        # The high bits of a product depend on all bits of its factors, the low ones do not.
        mixed >>= self._shift
        return mixed.view(np.int64)

    def blocks(self, size: int) -> list[tuple[int, int]]:
        """Return where blocks of slots, each at most so large, begin and end; together they hold all units."""
        last = self.num_slots - REACH
        return [(begin, min(begin + size, last)) for begin in range(REACH, last, size)]

    def matrix(self) -> npt.NDArray[np.int32]:
        """Return all features at once, int32, shape (U, F)."""
        found = np.empty((len(self.slots_U), self.num_templates), dtype=np.int32)
        for begin, end in self.blocks(BLOCK_SLOTS):
            first, last = np.searchsorted(self.slots_U, (begin, end))
            slots = self.slots_U[first:last] - begin
            found[first:last, self.together] = self.buckets(begin, end)[:, slots].T
            for place, buckets_D, numbers in zip(self.alone, self.buckets_AD, self.numbers(begin, end), strict=True):
                found[first:last, place] = buckets_D[numbers[slots]]
        return found


def _hash_form(form: Template, streams: Mapping[str, HashArray]) -> HashArray:
    """Return the hash of some streams from every slot on; distances count from the slot that the first has."""
    stream, _ = form[0]
    hashes_S = streams[stream]
    for stream, distance in form[1:]:
        hashes_S = hashes_S * _FACTOR
        other = streams[stream]
        # Slots that the distance leads beyond are edges; no unit asks for them.
        if distance > 0:
            hashes_S[:-distance] ^= other[distance:]
        elif distance < 0:
            hashes_S[-distance:] ^= other[:distance]
        else:
            hashes_S ^= other
    return hashes_S
