"""Pairs of texts to units of both sides: which symbols of a target stand for which of a source; it knows no n-gram.

A unit has one or two symbols of the source and none or some of the target, and a pair is a row of units in many ways.
How likely each unit is, is learned from all ways of all pairs, and then the best way of each is taken.

Legend: G pairs of one shape, S and T symbols of their sources and targets, A arcs of a shape, U units.

Source: Bisani, Ney 2008, "Joint-Sequence Models for Grapheme-to-Phoneme Conversion", section 3 (EM of joint units);
Jiampojamarn, Kondrak, Sherif 2007, "Applying Many-to-Many Alignments and Hidden Markov Models to Letter-to-Phoneme
Conversion", section 2.
Differs: no unit has symbols of the target alone, so that every step of a search reads a symbol; where both sides are
of equal length, symbols stand for each other one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from msgspec import Struct

from yanmo.arrays import Doubles, IntArray, Ragged

__all__ = ["Alignment", "align_pairs"]

NUM_ROUNDS = 8
EQUAL_SHARE = 0.99
"""From this share of pairs with sides of equal length on, symbols stand for each other one by one."""
MOST_SYMBOLS = 400
"""Pairs with a longer side are not learned from."""
MOST_TARGETS = 6
MOST_BITS = 22
"""The likelihoods of units are kept in a table of at most 2 to this power; those that share a cell count as one."""
MIX = np.uint64(0x9E3779B97F4A7C15)


class Alignment(Struct, frozen=True):
    """N pairs as rows of units.

    Attributes:
        num_sources: How many symbols of the source each unit has, int64, shape (U,).
        num_targets: How many of the target, int64, shape (U,).
        offsets: The units of pair i are ``offsets[i]`` to ``offsets[i + 1]``; none of a pair that was left out.
    """

    num_sources: IntArray
    num_targets: IntArray
    offsets: IntArray

    @property
    def num_left_out(self) -> int:
        """How many pairs cannot be cut into units."""
        return int((np.diff(self.offsets) == 0).sum())


class _Shape(Struct, frozen=True):
    """The pairs with S symbols of the source and T of the target.

    Attributes:
        pairs: Their numbers.
        sources_GS: Symbols.
        targets_GT: Symbols.
    """

    pairs: IntArray
    sources_GS: IntArray
    targets_GT: IntArray


def align_pairs(sources: Ragged, targets: Ragged) -> Alignment:
    """Return the best way to cut N pairs into units.

    Args:
        sources: Numbers of symbols.
        targets: Numbers of symbols.
    """
    steps = _steps(sources.lengths_N, targets.lengths_N)
    shapes = list(_shapes(sources, targets, max(num for _, num in steps)))
    table = np.ones(1 << _num_bits(shapes, len(steps)))
    for _ in range(NUM_ROUNDS if len(steps) > 1 and shapes else 0):
        counted = _Counts(np.zeros_like(table), [], [])
        scale = _scale_of(table)
        for shape in shapes:
            _count(shape, steps, table, scale, counted)
        counts = counted.sums()
        table = counts / counts.sum()
    ways: list[tuple[int, list[tuple[int, int]]]] = []
    for shape in shapes:
        ways += zip(shape.pairs.tolist(), _best_ways(shape, steps, table), strict=True)
    return _gathered(ways, len(sources))


def _steps(num_sources_N: IntArray, num_targets_N: IntArray) -> list[tuple[int, int]]:
    """Return the sizes that units may have, both sides."""
    if (num_sources_N == num_targets_N).mean() >= EQUAL_SHARE:
        return [(1, 1)]
    ratios = np.sort(-(-num_targets_N // np.maximum(num_sources_N, 1)))
    longest = min(max(int(ratios[int(EQUAL_SHARE * (len(ratios) - 1))]), 2), MOST_TARGETS)
    return [*((1, number) for number in range(longest + 1)), (2, 1)]


def _shapes(sources: Ragged, targets: Ragged, longest: int) -> Iterator[_Shape]:
    """Yield the pairs that can be cut, those of one shape together."""
    num_sources, num_targets = sources.lengths_N, targets.lengths_N
    fits = (num_sources > 0) & (num_targets > 0) & (num_targets <= longest * num_sources)
    chosen = np.flatnonzero(fits & (np.maximum(num_sources, num_targets) <= MOST_SYMBOLS))
    keys = num_sources[chosen] * (MOST_SYMBOLS + 1) + num_targets[chosen]
    order = chosen[np.argsort(keys, kind="stable")]
    starts = np.flatnonzero(np.diff(np.sort(keys), prepend=-1))
    for pairs in np.split(order, starts[1:]) if len(order) else ():
        # A shape of very many pairs is taken apart, so that its tables stay small.
        width = max((1 << 22) // int((num_sources[pairs[0]] + 1) * (num_targets[pairs[0]] + 1)), 1)
        for start in range(0, len(pairs), width):
            part = pairs[start : start + width]
            tables = [side.take(part).values.reshape(len(part), -1) for side in (sources, targets)]
            yield _Shape(part, *tables)


def _num_bits(shapes: Sequence[_Shape], num_steps: int) -> int:
    """Return of which power of 2 a table is that has room for all units of some pairs."""
    num_places = sum(shape.sources_GS.size * (shape.targets_GT.shape[1] + 1) for shape in shapes)
    return min(int(num_places * num_steps).bit_length() + 1, MOST_BITS)


def _cells(shape: _Shape, size: tuple[int, int], num_cells: int) -> IntArray:
    """Return the cell of a table of every unit of a size at every place, shape (S - s + 1, T - t + 1, G)."""
    hashes = []
    for symbols, number in zip((shape.sources_GS, shape.targets_GT), size, strict=True):
        width = symbols.shape[1] - number + 1
        found = np.full((len(symbols), width), number + 1, dtype=np.uint64)
        for place in range(number):
            found = (found ^ (found >> np.uint64(29))) * MIX + symbols[:, place : place + width].astype(np.uint64)
        hashes.append((found * MIX).T)
    ours, theirs = hashes
    mixed = (ours[:, None, :] ^ (theirs[None, :, :] >> np.uint64(7))) * MIX
    return np.asarray(mixed >> np.uint64(65 - num_cells.bit_length()), dtype=np.int64)


class _Counts(Struct):
    """Expected counts, added up now and then: a table is much longer than what a shape adds to it.

    Attributes:
        table: What has been added up.
        cells: Cells of the table.
        values: What is to be added to each.
    """

    table: Doubles
    cells: list[IntArray]
    values: list[Doubles]

    def add(self, cells: IntArray, values: Doubles) -> None:
        """Add values to cells of the table."""
        self.cells.append(cells.ravel())
        self.values.append(values.ravel())
        if sum(map(len, self.cells)) >= len(self.table):
            self.sums()

    def sums(self) -> Doubles:
        """Return the table with all that was added."""
        if self.cells:
            self.table += np.bincount(np.concatenate(self.cells), np.concatenate(self.values), len(self.table))
            self.cells.clear()
            self.values.clear()
        return self.table


def _count(shape: _Shape, steps: Sequence[tuple[int, int]], table: Doubles, scale: float, counts: _Counts) -> None:
    """Add to the counts how often each unit is expected in the pairs of a shape."""
    num_sources, num_targets = shape.sources_GS.shape[1], shape.targets_GT.shape[1]
    usable = [step for step in steps if step[0] <= num_sources and step[1] <= num_targets]
    cells = {step: _cells(shape, step, len(table)) for step in usable}
    # The same factor for every symbol changes no way against another, and keeps products within what floats hold.
    weights = {step: table[cells[step]] * scale ** sum(step) for step in usable}
    before = np.zeros((num_sources + 1, num_targets + 1, len(shape.pairs)))
    behind = np.zeros_like(before)
    before[0, 0] = behind[num_sources, num_targets] = 1.0
    for place in range(num_sources):
        for (down, right), weight in weights.items():
            if place + down <= num_sources:
                before[place + down, right:] += before[place, : num_targets - right + 1] * weight[place]
    for place in range(num_sources - 1, -1, -1):
        for (down, right), weight in weights.items():
            if place + down <= num_sources:
                behind[place, : num_targets - right + 1] += behind[place + down, right:] * weight[place]
    totals_G = before[num_sources, num_targets]
    is_good = np.isfinite(totals_G) & (totals_G > 0)
    shares_G = np.where(is_good, 1 / np.where(is_good, totals_G, 1), 0)
    for (down, right), cell in cells.items():
        part = before[: num_sources - down + 1, : num_targets - right + 1] * weights[down, right]
        counts.add(cell, part * behind[down:, right:] * shares_G)


def _scale_of(table: Doubles) -> float:
    """Return the factor of a symbol with which a usual pair has a likelihood of about 1."""
    shares = table / table.sum()
    # A unit has about two symbols.
    return float(np.exp(-(shares * np.log(np.maximum(table, 1e-300))).sum() / 2))


def _best_ways(shape: _Shape, steps: Sequence[tuple[int, int]], table: Doubles) -> list[list[tuple[int, int]]]:
    """Return the most likely units of each pair, by their sizes."""
    num_pairs, num_sources, num_targets = len(shape.pairs), shape.sources_GS.shape[1], shape.targets_GT.shape[1]
    usable = [step for step in steps if step[0] <= num_sources and step[1] <= num_targets]
    # A unit of many symbols stands for several decisions; counted as one it would win too often.
    weights = [np.log(np.maximum(table[_cells(shape, step, len(table))], 1e-12)) * max(step) for step in usable]
    best = np.full((num_sources + 1, num_targets + 1, num_pairs), -np.inf)
    taken = np.zeros((num_sources + 1, num_targets + 1, num_pairs), dtype=np.int8)
    best[0, 0] = 0.0
    for place in range(num_sources):
        for number, (down, right) in enumerate(usable):
            if place + down > num_sources:
                continue
            asked = best[place, : num_targets - right + 1] + weights[number][place]
            old = best[place + down, right:]
            is_better = asked > old
            np.copyto(old, asked, where=is_better)
            taken[place + down, right:][is_better] = number
    ways: list[list[tuple[int, int]]] = [[] for _ in range(num_pairs)]
    for pair, way in enumerate(ways):
        place, other = num_sources, num_targets
        while place:
            step = usable[taken[place, other, pair]]
            way.append(step)
            place, other = place - step[0], other - step[1]
        way.reverse()
        if not np.isfinite(best[num_sources, num_targets, pair]):
            way.clear()
    return ways


def _gathered(ways: Sequence[tuple[int, list[tuple[int, int]]]], num_pairs: int) -> Alignment:
    found: list[list[tuple[int, int]]] = [[] for _ in range(num_pairs)]
    for pair, way in ways:
        found[pair] = way
    flat = np.array([step for way in found for step in way], dtype=np.int64).reshape(-1, 2)
    offsets = np.concatenate(([0], np.cumsum([len(way) for way in found]))).astype(np.int64)
    return Alignment(flat[:, 0], flat[:, 1], offsets)
