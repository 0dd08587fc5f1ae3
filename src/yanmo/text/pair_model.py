"""Joint n-grams over pairs of texts: learned from pairs, kept in a folder, and asked what is written for a text.

It is the family ``pairs``, and the cheap model that stands beside every network that writes texts for others.

Legend: N texts, U units, V symbols of a side.

Source: Bisani, Ney 2008, "Joint-Sequence Models for Grapheme-to-Phoneme Conversion", sections 2 and 4.
Differs: modified Kneser-Ney over the best cut of each pair, not expected counts over all of them; a text's candidates
are added up over the cuts that a beam finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Self

import msgspec
import numpy as np
from msgspec import Struct
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import IntArray, Ragged
from yanmo.errors import ArtifactError
from yanmo.text.backoff_model import BackoffLevel, BackoffModel
from yanmo.text.backoff_states import BackoffStates
from yanmo.text.kneser_ney import count_kneser_ney
from yanmo.text.pair_alignment import align_pairs
from yanmo.text.pair_search import UnitRanges, search_units
from yanmo.text.pair_symbols import PairSymbols, SymbolCut, choose_cut

__all__ = ["PairModel", "Pairs", "fit_pairs"]

WEIGHTS, SYMBOLS = "model.safetensors", "symbols.json"
ORDER = 8
BEAM = 16
NUM_BEST = 8
BLOCK_SYMBOLS = 1 << 14
"""So many symbols of sources are searched side by side."""


class Pairs(Struct, frozen=True):
    """What a model is made of, as its folder holds it.

    Attributes:
        sources: The symbols of texts that are read.
        targets: The symbols of texts that are written.
        units: The symbols that each of the U units reads and then those that it writes, as numbers; the last one ends a
            text. A unit that reads a symbol which is not known has the number V for it.
        copies: Whether a symbol that is not known is written as it is.
        prefix: What stands before texts that are read, and is no part of them.
    """

    sources: PairSymbols
    targets: PairSymbols
    units: tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]
    copies: bool
    prefix: str = ""


class PairModel:
    """Joint n-grams.

    Args:
        pairs: The units.
        model: Their probabilities after each other.
    """

    def __init__(self, pairs: Pairs, model: BackoffModel) -> None:
        self.pairs, self.model = pairs, model
        self._states, self._ranges = BackoffStates(model), _ranges(pairs)

    @property
    def order(self) -> int:
        """The most units of an n-gram."""
        return len(self.model.levels)

    def write(self, texts: Sequence[str]) -> tuple[Writings, IntArray, IntArray]:
        """Return what is written for N texts, how many symbols each has, and how many of them are not known.

        A candidate's likelihood is its share of all that the beam has found, and every symbol, and the end, has an
        equal part in it: joint units say how likely a pair is, and not a symbol after another. What is written for a
        text of which no symbol is known has none, for nothing speaks for it.
        """
        texts = [text.removeprefix(self.pairs.prefix) for text in texts]
        sources = self.pairs.sources.encode(texts)
        is_unknown = sources.values == len(self.pairs.sources)
        unknown_N = Ragged(is_unknown.astype(np.int64), sources.offsets).sums_N()
        found: list[dict[tuple[str, ...], float]] = []
        start = 0
        while start < len(texts):
            stop = int(np.searchsorted(sources.offsets, sources.offsets[start] + BLOCK_SYMBOLS, side="right")) - 1
            stop = max(stop, start + 1)
            found += self._search(texts[start:stop], sources.take(np.arange(start, stop)))
            start = stop
        for row in np.flatnonzero((unknown_N > 0) & (unknown_N == sources.lengths_N)).tolist():
            found[row] = dict.fromkeys(found[row], 0.0)
        return self._writings(found), sources.lengths_N, unknown_N

    def _search(self, texts: Sequence[str], sources: Ragged) -> list[dict[tuple[str, ...], float]]:
        """Return the best candidates of each text with their shares, the best first."""
        rows, scores_H, row_H = search_units(sources, self._ranges, self._states, beam=BEAM)
        written: list[dict[tuple[str, ...], float]] = [{} for _ in texts]
        best_N = np.full(len(texts), -np.inf)
        np.maximum.at(best_N, row_H, scores_H)
        shares = np.exp(scores_H - best_N[row_H]).tolist()
        for row, units, share in zip(row_H.tolist(), rows, shares, strict=True):
            symbols = self._symbols(units, self.pairs.sources.raw(texts[row]))
            written[row][symbols] = written[row].get(symbols, 0.0) + share
        return [_best(one) for one in written]

    def _symbols(self, units: Sequence[int], raw: Sequence[str]) -> tuple[str, ...]:
        """Return the symbols that units write."""
        found: list[str] = []
        place, unknown = 0, len(self.pairs.sources)
        for unit in units:
            reads, writes = self.pairs.units[unit]
            if self.pairs.copies and reads == (unknown,):
                found.append(raw[place])
            found += [self.pairs.targets.symbols[one] for one in writes]
            place += len(reads)
        return tuple(found)

    def _writings(self, found: Sequence[dict[tuple[str, ...], float]]) -> Writings:
        rows = [(symbols, share) for one in found for symbols, share in one.items()]
        counts = np.array([len(symbols) + 1 for symbols, _ in rows], dtype=np.int64)
        logs = np.log(np.maximum([share for _, share in rows], 1e-30))
        places = [self.pairs.targets.places(symbols) for symbols, _ in rows]
        ends = [np.concatenate((one, np.full((1, 2), one[-1, 1] if len(one) else 0))) for one in places]
        candidates = Sequences(
            np.repeat(logs / counts, counts).astype(np.float32),
            np.concatenate(([0], np.cumsum(counts))).astype(np.int64),
            np.concatenate(ends) if ends else np.zeros((0, 2), dtype=np.int64),
            [self.pairs.targets.join(symbols) for symbols, _ in rows],
        )
        offsets = np.concatenate(([0], np.cumsum([len(one) for one in found]))).astype(np.int64)
        return Writings(candidates, offsets)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``symbols.json``."""
        tensors = {}
        for n, level in enumerate(self.model.levels, 1):
            tensors[f"keys.{n}"] = level.keys_K
            tensors[f"log_probabilities.{n}"] = level.log_probabilities_K.astype(np.float32)
            tensors[f"backoffs.{n}"] = level.backoffs_K.astype(np.float32)
        save_file(tensors, folder / WEIGHTS)
        (folder / SYMBOLS).write_bytes(msgspec.json.encode(self.pairs))

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Return the model of a folder that :meth:`save` wrote.

        Raises:
            ArtifactError: A file is missing or damaged.
        """
        try:
            pairs = msgspec.json.decode((folder / SYMBOLS).read_bytes(), type=Pairs)
            tensors: dict[str, Any] = load_file(folder / WEIGHTS)
            names, count = ("keys", "log_probabilities", "backoffs"), len(tensors) // 3
            arrays = [[tensors[f"{name}.{n}"] for name in names] for n in range(1, count + 1)]
        except (OSError, SafetensorError, KeyError, msgspec.DecodeError) as error:
            raise ArtifactError(f"{folder} holds no joint n-grams: {error}.", hint="Train the Bundle again.") from error
        # Kept in single precision; sums over a long text want more.
        levels = [BackoffLevel(keys, *(one.astype(np.float64) for one in values)) for keys, *values in arrays]
        return cls(pairs, BackoffModel(len(pairs.units), levels))


def _best(shares: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    total = sum(shares.values())
    ranked = sorted(shares.items(), key=lambda one: (-one[1], one[0]))[:NUM_BEST]
    return {symbols: share / total for symbols, share in ranked}


def _ranges(pairs: Pairs) -> UnitRanges:
    num_symbols = len(pairs.sources) + 1
    keys, firsts, stops, place = [], [], [], 0
    # The last unit ends a text and reads nothing.
    for reads, group in groupby(pairs.units[:-1], key=lambda unit: unit[0]):
        keys.append(reads[0] * (num_symbols + 1) + (reads[1] + 1 if len(reads) > 1 else 0))
        firsts.append(place)
        place += len(list(group))
        stops.append(place)
    arrays = [np.array(one, dtype=np.int64) for one in (keys, firsts, stops)]
    return UnitRanges(arrays[0], arrays[1], arrays[2], num_symbols, place)


def fit_pairs(
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    order: int | None = None,
    prefix: str = "",
    cuts: tuple[SymbolCut, SymbolCut] | None = None,
) -> tuple[PairModel, int]:
    """Return the model of N pairs, and how many of them could not be learned from.

    Args:
        sources: Texts that are read.
        targets: What is written for each.
        order: The most units of an n-gram; None: the usual number.
        prefix: What stands before texts that are read, and is not counted.
        cuts: What the symbols of both sides are; None: what suits them.
    """
    # Before every text it would be aligned with what is written, and hide what the symbols of the texts are.
    sources = [text.removeprefix(prefix) for text in sources]
    chosen = cuts or (choose_cut(sources), choose_cut(targets))
    sides = [PairSymbols.of(texts, cut) for texts, cut in zip((sources, targets), chosen, strict=True)]
    symbols = [side.encode(texts) for side, texts in zip(sides, (sources, targets), strict=True)]
    aligned = align_pairs(*symbols)
    learned = np.flatnonzero(np.diff(aligned.offsets))
    rows = _rows_of_units(symbols, aligned.num_sources, aligned.num_targets, learned)
    counted = list(dict.fromkeys(rows))
    # Every symbol is read by some unit, however rarely, and so is one that is not known.
    spare = [((symbol,), ()) for symbol in range(len(sides[0]) + 1)]
    units = sorted(dict.fromkeys([*counted, *spare]))
    numbers = {unit: number for number, unit in enumerate(units)}
    ids = Ragged(
        np.array([numbers[unit] for unit in rows], dtype=np.int64),
        np.concatenate(([0], np.cumsum(np.diff(aligned.offsets)[learned]))).astype(np.int64),
    )
    end = len(units)
    model = count_kneser_ney(ids, vocab_size=end + 1, end_id=end, order=order or ORDER)
    copies = chosen[0] == chosen[1] and any(_reads_itself(unit, sides) for unit in counted)
    pairs = Pairs(sides[0], sides[1], (*units, ((), ())), copies, prefix)
    return PairModel(pairs, model), len(sources) - len(learned)


def _rows_of_units(
    symbols: Sequence[Ragged], num_sources: IntArray, num_targets: IntArray, learned: IntArray
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Return the units of all pairs that were cut, one after the other."""
    sides = []
    for side, sizes in zip(symbols, (num_sources, num_targets), strict=True):
        values = side.take(learned).values.tolist()
        ends = np.cumsum(sizes).tolist()
        sides.append([tuple(values[end - size : end]) for end, size in zip(ends, sizes.tolist(), strict=True)])
    return list(zip(*sides, strict=True))


def _reads_itself(unit: tuple[tuple[int, ...], tuple[int, ...]], sides: Sequence[PairSymbols]) -> bool:
    reads, writes = ([side.symbols[one] for one in part] for side, part in zip(sides, unit, strict=True))
    return reads == writes
