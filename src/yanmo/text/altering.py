"""Texts that nobody wrote, made from texts that people wrote: a student learns from what its teacher says of them.

A *piece* is a Chinese or Japanese character, or a word, with the white space after it; white space before the first
one is left out. It knows no model and no label.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

__all__ = ["ALTERATIONS", "Alteration", "alter"]

Alteration = Literal["drop", "swap", "mix"]

PIECES = re.compile(r"(?:[\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff66-\uff9f]+)\s*")
SHARE = 0.1
"""The share of pieces that are dropped, or change places with the next one; at least one, and one is always kept."""


def alter(texts: Sequence[str], kinds: Sequence[Alteration], generator: np.random.Generator) -> list[str]:
    """Return as many altered texts, each altered in one way that is drawn for it.

    Args:
        texts: N texts; one without pieces stays as it is.
        kinds: The ways to draw from: ``drop`` leaves out pieces, ``swap`` lets neighbours change places, ``mix`` puts
            a span of the text and a span of another one together.
        generator: The source of every choice.

    Source: Wei, Zou 2019, "EDA: Easy Data Augmentation Techniques for Boosting Performance on Text Classification
    Tasks", section 2 (swap, deletion), arXiv:1901.11196; Tang et al. 2019, "Distilling Task-Specific Knowledge from
    BERT into Simple Neural Networks", section 3.3, arXiv:1903.12136.
    Differs: neighbours change places, and the labels are the teacher's, so that a text may change its meaning.
    """
    pieces = [PIECES.findall(text) for text in texts]
    chosen_N = generator.integers(len(kinds), size=len(texts)).tolist()
    others_N = generator.integers(max(len(texts), 1), size=len(texts)).tolist()
    return [
        "".join(ALTERATIONS[kinds[kind]](pieces[place], pieces[other], generator)) if pieces[place] else texts[place]
        for place, (kind, other) in enumerate(zip(chosen_N, others_N, strict=True))
    ]


def _drop(pieces: list[str], _: list[str], generator: np.random.Generator) -> list[str]:
    if len(pieces) == 1:
        return pieces
    is_kept = generator.random(len(pieces)) >= SHARE
    if is_kept.all() or not is_kept.any():
        # Where chance would drop nothing one piece is dropped, and where it would drop everything one is kept.
        is_kept[generator.integers(len(pieces))] ^= True
    return [piece for piece, kept in zip(pieces, is_kept.tolist(), strict=True) if kept]


def _swap(pieces: list[str], _: list[str], generator: np.random.Generator) -> list[str]:
    found = list(pieces)
    if len(found) > 1:
        for place in generator.integers(len(found) - 1, size=max(1, round(SHARE * len(found)))).tolist():
            found[place], found[place + 1] = found[place + 1], found[place]
    return found


def _mix(pieces: list[str], others: list[str], generator: np.random.Generator) -> list[str]:
    return [*_span(pieces, generator), *_span(others, generator)]


def _span(pieces: list[str], generator: np.random.Generator) -> list[str]:
    """Return a run of pieces that has at least a quarter of them."""
    # At least a quarter, rounded up, so that both halves of a mixture say something.
    length = int(generator.integers(-(-len(pieces) // 4), len(pieces) + 1))
    start = int(generator.integers(len(pieces) - length + 1))
    return pieces[start : start + length]


ALTERATIONS: dict[Alteration, Callable[[list[str], list[str], np.random.Generator], list[str]]] = {
    "drop": _drop,
    "swap": _swap,
    "mix": _mix,
}
