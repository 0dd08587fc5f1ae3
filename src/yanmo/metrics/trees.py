"""What is counted of trees of words, and their measures; it knows no model and decides nothing.

A word is right where its head is and, for what is called labeled, its relation, too. The measures are those of the
CoNLL 2018 shared task, whose labeled attachment leaves subtypes of relations aside (``obl:tmod`` counts as ``obl``).

Legend: N rows, M words, C relations, S statistics of a row.

Source: Zeman et al. 2018, "CoNLL 2018 Shared Task: Multilingual Parsing from Raw Text to Universal Dependencies",
section 4 (LAS, CLAS); Buchholz, Marsi 2006, "CoNLL-X Shared Task", section 4 (without punctuation).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from yanmo.arrays import Array, Doubles, IntArray
from yanmo.metrics.measures import Measure

__all__ = ["TREE_MEASURES", "Attached", "RelationTable", "right_trees", "tree_statistics"]

PUNCTUATION = "punct"
FUNCTIONAL = frozenset(("aux", "auxpass", "cop", "mark", "det", "clf", "case", "cc"))
"""Relations of words without content of their own; auxpass is what version 1 of Universal Dependencies has, too."""
STATISTICS = (
    *("words", "right_heads", "right_arcs", "right_labels"),
    *("marked_words", "marked_heads", "marked_arcs"),
    *("content", "found_content", "right_content"),
    *("whole_heads", "whole_arcs", "rows"),
)
"""What is counted, in this order; ``marked`` leaves punctuation out."""
PLACES = {name: place for place, name in enumerate(STATISTICS)}


class RelationTable(Struct, frozen=True):
    """What each of C relations is.

    Attributes:
        universal_C: The number of its relation without the subtype, int64.
        is_punctuation_C: Whether it is that of punctuation, bool.
        is_content_C: Whether a word with it has content of its own, bool.
    """

    universal_C: IntArray
    is_punctuation_C: npt.NDArray[np.bool_]
    is_content_C: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Sequence[str]) -> Self:
        """Return the table of relations by their names."""
        names = [label.partition(":")[0] for label in labels]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        is_punctuation_C = np.array([name == PUNCTUATION for name in names], dtype=np.bool_)
        is_functional_C = np.array([name in FUNCTIONAL for name in names], dtype=np.bool_)
        universal_C = np.array([numbers[name] for name in names], dtype=np.int64)
        return cls(universal_C, is_punctuation_C, ~is_punctuation_C & ~is_functional_C)


class Attached(Struct, frozen=True):
    """The heads and relations of M words, those of the truth or of an answer; -1 where a word was not read.

    Attributes:
        heads_M: The number of the head in its row, 0 for the root, int64.
        relations_M: The relation, int64.
    """

    heads_M: IntArray
    relations_M: IntArray


def tree_statistics(found: Attached, truth: Attached, offsets: IntArray, table: RelationTable) -> Doubles:
    """Return what is counted in each row, float64, shape (N, S), in the order of ``STATISTICS``.

    Args:
        found: What was answered.
        truth: What holds.
        offsets: Row i has the words ``offsets[i]`` to ``offsets[i + 1]``.
        table: Of the relations.
    """
    right_M = found.heads_M == truth.heads_M
    same_M = found.relations_M == truth.relations_M
    alike_M = table.universal_C[found.relations_M] == table.universal_C[truth.relations_M]
    marked_M = ~table.is_punctuation_C[truth.relations_M]
    content_M = table.is_content_C[truth.relations_M]
    is_read_M = found.heads_M >= 0
    counted = [
        *(np.ones_like(right_M), right_M, right_M & alike_M, right_M & same_M),
        *(marked_M, right_M & marked_M, right_M & alike_M & marked_M),
        *(content_M, table.is_content_C[found.relations_M] & is_read_M, right_M & alike_M & content_M),
    ]
    sums_NS = np.concatenate((np.zeros((1, len(counted))), np.cumsum(np.stack(counted, axis=1), axis=0)))
    counts_NS = sums_NS[offsets[1:]] - sums_NS[offsets[:-1]]
    words_N, heads_N, arcs_N = counts_NS[:, :3].T
    return np.column_stack([counts_NS, heads_N == words_N, arcs_N == words_N, np.ones(len(words_N))])


def right_trees(statistics_NS: Array) -> npt.NDArray[np.bool_]:
    """Return in which rows all heads and relations are right, shape (N,)."""
    return np.asarray(statistics_NS[:, PLACES["whole_arcs"]].astype(bool))


def _share(above: str, below: str, sums: Doubles) -> Doubles:
    total = np.asarray(sums[..., PLACES[below]])
    return np.asarray(np.divide(sums[..., PLACES[above]], total, out=np.full(total.shape, np.nan), where=total != 0))


def _content_f1(sums: Doubles) -> Doubles:
    hits, found, truth = (sums[..., PLACES[name]] for name in ("right_content", "found_content", "content"))
    total = np.asarray(found + truth)
    return np.asarray(np.divide(2 * hits, total, out=np.full(total.shape, np.nan), where=total != 0))


def _measure(name: str, title: str, above: str, below: str, **flags: bool) -> Measure:
    return Measure(name, partial(_share, above, below), title, **flags)


TREE_MEASURES = (
    _measure("las", "labeled attachment", "right_arcs", "words"),
    _measure("uas", "unlabeled attachment", "right_heads", "words", is_second=True),
    Measure("clas", _content_f1, "labeled attachment of content words"),
    _measure("las_with_subtypes", "labeled attachment with subtypes", "right_labels", "words"),
    _measure("las_without_punctuation", "labeled attachment without punctuation", "marked_arcs", "marked_words"),
    _measure("uas_without_punctuation", "unlabeled attachment without punctuation", "marked_heads", "marked_words"),
    _measure("right_rows", "sentences right", "whole_arcs", "rows", is_share=True),
    _measure("right_structures", "sentences with all heads right", "whole_heads", "rows", is_share=True),
)
"""LAS, UAS and CLAS as the CoNLL 2018 shared task has them; LAS with subtypes; both without punctuation; and whole
sentences."""
