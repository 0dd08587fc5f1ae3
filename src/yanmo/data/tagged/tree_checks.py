"""Whether the heads that a file gives the words of a sentence form a tree, and where not; it reads no file."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.answers.trees import is_tree_N

__all__ = ["TREE_REASONS", "find_problem"]

TREE_REASONS = (
    "head is none of the words",
    "several roots",
    "no root",
    "cycle of heads",
    "white space in a word",
)


def find_problem(words: Sequence[str], heads: Sequence[int]) -> tuple[str | None, int]:
    """Return why words and heads are no tree, None where they are one, and the word at which that shows.

    Args:
        words: As they are written.
        heads: The number of each word's head, 0 for the root, -1 for what is no number.
    """
    num_words = len(words)
    outside = next((place for place, head in enumerate(heads) if not 0 <= head <= num_words), None)
    if outside is not None:
        return TREE_REASONS[0], outside
    roots = [place for place, head in enumerate(heads) if head == 0]
    if len(roots) > 1:
        return TREE_REASONS[1], roots[1]
    if not roots:
        return TREE_REASONS[2], 0
    if not is_tree_N(np.array(heads, dtype=np.int64), np.array([0, num_words]))[0]:
        return TREE_REASONS[3], _on_cycle(heads)
    spaced = next((place for place, word in enumerate(words) if len(word.split()) != 1 or word != word.strip()), None)
    return (None, 0) if spaced is None else (TREE_REASONS[4], spaced)


def _on_cycle(heads: Sequence[int]) -> int:
    """Return the first word from which the way up never ends; there is one."""
    return next(place for place in range(len(heads)) if not _reaches_root(heads, place))


def _reaches_root(heads: Sequence[int], place: int) -> bool:
    above = place + 1
    for _ in heads:
        above = heads[above - 1] if above else 0
    return not above
