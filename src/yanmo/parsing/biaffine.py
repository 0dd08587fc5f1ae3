"""Biaffine scores of heads and relations, from what a network says about each word; it knows no network and no text.

A network gives every word four vectors: as a child and as a head, for arcs and for relations. An arc's score is a
product of two of them, so arcs reach over whole texts, whatever windows the network has read them in.

Legend: M words of N rows, S numbers of a word, A of them for arcs, R for relations, C relations, K cells.

Source: Dozat, Manning 2017, "Deep Biaffine Attention for Neural Dependency Parsing", sections 3.1-3.2,
arXiv:1611.01734. Differs: the root is a vector of its own; relations are scored for the arcs of the tree alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Self

import numpy as np
from msgspec import Struct

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.answers.trees import tree_heads_M
from yanmo.arrays import Array, FloatArray, IntArray, Ragged

__all__ = ["ARC_SIZE", "RELATION_SIZE", "SLOPE", "BiaffineWeights", "inner_heads", "state_names"]

ARC_SIZE, RELATION_SIZE = 128, 48
"""A and R of the networks that are trained here."""
SLOPE = np.float32(0.1)
"""What numbers below zero are multiplied with."""
BLOCK_NUMBERS = 1 << 22
"""Numbers that are held at a time while relations are scored."""


def state_names() -> list[str]:
    """Return a name for each of the numbers that a network gives every word."""
    sizes = {
        "arc child": ARC_SIZE,
        "arc head": ARC_SIZE,
        "relation child": RELATION_SIZE,
        "relation head": RELATION_SIZE,
    }
    return [f"{name} {number}" for name, size in sizes.items() for number in range(1, size + 1)]


class BiaffineWeights(Struct, frozen=True):
    """How arcs and relations are scored.

    Attributes:
        arcs_AA: From a child's numbers, and a 1, to a head's: float32, shape (A + 1, A).
        relations_CRR: From a child's numbers, and a 1, to a head's, and a 1: float32, shape (C, R + 1, R + 1).
        root_S: What the root is as a head: A numbers for arcs, then R for relations.
    """

    arcs_AA: FloatArray
    relations_CRR: FloatArray
    root_S: FloatArray

    @property
    def num_states(self) -> int:
        """S, the numbers that a network gives every word."""
        return 2 * int(self.arcs_AA.shape[1] + self.relations_CRR.shape[2] - 1)

    def evidence(self, states_MS: FloatArray, places: Ragged) -> Arcs:
        """Return scores of the heads and relations of words; a relation is that to the head in the best tree.

        Args:
            states_MS: What a network says about every word, float32.
            places: Where the words stand in their texts, int64, shape (M, 2), N rows.
        """
        num_arcs, num_relations = self.arcs_AA.shape[1], self.relations_CRR.shape[2] - 1
        states_MS = np.where(states_MS > 0, states_MS, states_MS * SLOPE)
        ends = np.cumsum([num_arcs, num_arcs, num_relations])
        child_MA, head_MA, child_MR, head_MR = np.split(states_MS, ends, axis=1)
        lengths_N = places.lengths_N
        heads = self._heads(child_MA, head_MA, places)
        heads_M = tree_heads_M(heads)
        begins_M = np.repeat(places.offsets[:-1], lengths_N)
        above_MR = (
            np.where((heads_M == 0)[:, None], self.root_S[num_arcs:], head_MR[np.maximum(begins_M + heads_M - 1, 0)])
            if len(heads_M)
            else head_MR
        )
        scores_MC = self._relations(child_MR, above_MR)
        return Arcs(heads, Choices(scores_MC, SOFTMAX, places.offsets, places.values))

    def _heads(self, child_MA: FloatArray, head_MA: FloatArray, places: Ragged) -> Pointers:
        lengths_N, ends = places.lengths_N, places.offsets
        num_cells_M = np.repeat(lengths_N + 1, lengths_N)
        cells = np.concatenate(([0], np.cumsum(num_cells_M))).astype(np.int64)
        values_K = np.empty(int(cells[-1]), dtype=np.float32)
        asked_MA = _with_one(child_MA) @ self.arcs_AA
        root_A = self.root_S[: head_MA.shape[1]]
        for first, last in pairwise(ends.tolist()):
            if first == last:
                continue
            scores_DH = values_K[cells[first] : cells[last]].reshape(last - first, last - first + 1)
            np.matmul(asked_MA[first:last], root_A, out=scores_DH[:, 0])
            np.matmul(asked_MA[first:last], head_MA[first:last].T, out=scores_DH[:, 1:])
            # No word is its own head.
            scores_DH.reshape(-1)[1 :: last - first + 2] = -np.inf
        return Pointers(values_K, cells, ends, places.values)

    def _relations(self, child_MR: FloatArray, head_MR: FloatArray) -> FloatArray:
        num_relations, width, _ = self.relations_CRR.shape
        weights = self.relations_CRR.transpose(1, 0, 2).reshape(width, num_relations * width)
        scores_MC = np.empty((len(child_MR), num_relations), dtype=np.float32)
        step = max(BLOCK_NUMBERS // (num_relations * width), 1)
        for begin in range(0, len(child_MR), step):
            part = slice(begin, begin + step)
            asked_BCR = (_with_one(child_MR[part]) @ weights).reshape(-1, num_relations, width)
            scores_MC[part] = np.matmul(asked_BCR, _with_one(head_MR[part])[:, :, None])[:, :, 0]
        return scores_MC

    def tensors(self) -> dict[str, Array]:
        """Return what a file holds."""
        return {"arcs": self.arcs_AA, "relations": self.relations_CRR, "root": self.root_S}

    @classmethod
    def read(cls, tensors: Mapping[str, Array]) -> Self:
        """Return the weights that :meth:`tensors` wrote."""
        return cls(tensors["arcs"], tensors["relations"], tensors["root"])


def _with_one(values_MD: FloatArray) -> FloatArray:
    return np.concatenate([values_MD, np.ones((len(values_MD), 1), dtype=np.float32)], axis=1)


def inner_heads(heads_M: IntArray, row_ends: IntArray, window_ends: IntArray) -> IntArray:
    """Return the heads of words counted in the windows that rows were cut into, -1 where a head is in another one.

    Args:
        heads_M: The number of each word's head in its row, from 1; 0 for the root.
        row_ends: Row i has the words ``row_ends[i]`` to ``row_ends[i + 1]``.
        window_ends: The same of windows.
    """
    places_M = np.arange(len(heads_M))
    row_begins_M, _ = _bounds(row_ends, places_M)
    first_M, last_M = _bounds(window_ends, places_M)
    head_M = row_begins_M + heads_M - 1
    is_inside = (head_M >= first_M) & (head_M < last_M)
    return np.where(heads_M == 0, 0, np.where(is_inside, head_M - first_M + 1, -1))


def _bounds(ends: IntArray, places_M: IntArray) -> tuple[IntArray, IntArray]:
    part_M = np.searchsorted(ends, places_M, side="right") - 1
    return ends[part_M], ends[part_M + 1]
