"""Answers to several texts at a time, written greedily or by beams; it knows ids and no text.

Rows that end make room at once, so that a long answer costs nothing for the others.

Source: Graves 2012, arXiv:1211.3711, section 2.5; Wu et al. 2016, arXiv:1609.08144, section 7 (likelihoods divided by a
power of the length).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
from msgspec import Struct

from yanmo.arrays import FloatArray, IntArray
from yanmo.runtimes.generating.beams import Hypothesis
from yanmo.runtimes.generating.decoding import Constraint
from yanmo.runtimes.generating.drafts import Drafts, NextScores, ReadingSession

__all__ = ["AnswerWishes", "StepWatch", "answer_texts"]

StepWatch: TypeAlias = Callable[[IntArray, IntArray], Sequence[int]]
"""Takes which texts are still written and the next token of each; returns the places of those that nobody waits for."""
ENDS = 1
"""Ways in which a beam may end: a model has one token for that."""


class AnswerWishes(Struct, frozen=True, kw_only=True):
    """How texts are answered.

    Attributes:
        begin_id: The token before every answer.
        end_id: The token that ends one.
        max_new_tokens: The most tokens of an answer, with the one that ends it.
        num_beams: Beginnings of each answer that are kept; 1 always takes the likeliest token.
        length_penalty: Likelihoods of beams are divided by the number of tokens to this power: above 0 longer answers
            win more.
        end_repeats: An answer is over once its last tokens have come so many times in a row, or as often as any
            characters in the text that is read, and once more; None: only its end and the most tokens end one.
    """

    begin_id: int
    end_id: int
    max_new_tokens: int
    num_beams: int = 1
    length_penalty: float = 1.0
    end_repeats: int | None = None


def answer_texts(
    session: ReadingSession,
    ids_BS: IntArray,
    lengths_B: IntArray,
    wishes: AnswerWishes,
    constraints: Sequence[Constraint | None] = (),
    *,
    when_stepped: StepWatch | None = None,
) -> list[list[Hypothesis]]:
    """Return the best answers to B texts, the best first: one, or as many as beams.

    Args:
        session: The model; nobody else may use it meanwhile.
        ids_BS: The tokens of the texts, padded.
        lengths_B: Their numbers.
        wishes: How they are answered.
        constraints: What the answers must be, one a text; only without beams. None at all: anything.
        when_stepped: Told of every step; only without beams, which have no text before all is written. Texts that it
            returns are given up, and hold what was written of them.
    """
    if wishes.num_beams > 1:
        return _search(session, ids_BS, lengths_B, wishes)
    drafts = session.read(ids_BS, lengths_B, num_beams=1, num_best=1)
    return [[one] for one in _write(drafts, len(ids_BS), wishes, constraints, when_stepped)]


def _write(
    drafts: Drafts,
    num_texts: int,
    wishes: AnswerWishes,
    constraints: Sequence[Constraint | None],
    when_stepped: StepWatch | None,
) -> list[Hypothesis]:
    ids_BT = np.zeros((num_texts, wishes.max_new_tokens), np.int64)
    likelihoods_BT = np.zeros((num_texts, wishes.max_new_tokens), np.float32)
    counts_B = np.zeros(num_texts, np.int64)
    # The text of each row that is still written: rows that end give their place to others.
    texts_R = np.arange(num_texts)
    next_R = np.full(num_texts, wishes.begin_id)
    for place in range(wishes.max_new_tokens):
        scores = drafts.step(next_R)
        next_R, told_R = _choose(scores, [constraints[text] for text in texts_R.tolist()] if constraints else [])
        ids_BT[texts_R, place], likelihoods_BT[texts_R, place] = next_R, told_R
        counts_B[texts_R] = place + 1
        is_over_R = next_R == wishes.end_id
        if when_stepped is not None:
            is_over_R[when_stepped(texts_R, next_R)] = True
        if is_over_R.all():
            break
        if is_over_R.any():
            order = drafts.drop(np.flatnonzero(is_over_R).tolist())
            texts_R, next_R = texts_R[order], next_R[order]
    return [
        _whole(ids_BT[row, :count].tolist(), likelihoods_BT[row, :count].tolist(), wishes)
        for row, count in enumerate(counts_B.tolist())
    ]


def _choose(scores: NextScores, constraints: Sequence[Constraint | None]) -> tuple[IntArray, FloatArray]:
    """Return the next token of each row, and how likely it is."""
    # Copies, for the next step writes over the scores.
    ids_R, likelihoods_R = scores.ids_RK[:, 0].copy(), scores.best_RK[:, 0].copy()
    for row, constraint in enumerate(constraints):
        if constraint is None:
            continue
        allowed_V = scores.log_likelihoods_RV[row].copy()
        constraint.forbid(allowed_V)
        ids_R[row] = allowed_V.argmax()
        likelihoods_R[row] = scores.log_likelihoods_RV[row, ids_R[row]]
        constraint.accept(int(ids_R[row]))
    return ids_R, likelihoods_R


def _whole(ids: list[int], log_likelihoods: list[float], wishes: AnswerWishes) -> Hypothesis:
    score = sum(log_likelihoods) / len(ids) ** wishes.length_penalty
    return Hypothesis(score, ids, log_likelihoods, "stop" if ids[-1] == wishes.end_id else "length")


class _Search:
    """The beams of one text.

    Attributes:
        running: The beginning in each row; None where there is none yet.
        whole: Answers that have ended, the best first.
    """

    def __init__(self, num_beams: int) -> None:
        self.running: list[Hypothesis | None] = [Hypothesis(0.0, [], [], "length"), *[None] * (num_beams - 1)]
        self.whole: list[Hypothesis] = []

    def grow(self, best_BK: FloatArray, ids_BK: IntArray, wishes: AnswerWishes) -> list[int]:
        """Take how likely tokens are next, and return which row each row goes on from."""
        num_beams = wishes.num_beams
        sums_B = np.array([-np.inf if one is None else one.score for one in self.running])
        totals = (best_BK + sums_B[:, None]).ravel()
        # Each beam may end in one way, and as many beams must be left all the same.
        places = np.argsort(-totals, kind="stable")[: (1 + ENDS) * num_beams].tolist()
        kept: list[tuple[int, Hypothesis]] = []
        for rank, place in enumerate(places):
            row, column = divmod(place, best_BK.shape[1])
            before = self.running[row]
            if before is None:
                continue
            token, value = int(ids_BK[row, column]), float(best_BK[row, column])
            grown = Hypothesis(
                before.score + value, [*before.ids, token], [*before.log_likelihoods, value], before.ending
            )
            if token != wishes.end_id:
                kept.append((row, grown))
            # Only what is among the best may end: a rare end must not push out a better beginning.
            elif rank < num_beams:
                self.whole.append(_whole(grown.ids, grown.log_likelihoods, wishes))
        self.whole = sorted(self.whole, key=lambda one: -one.score)[:num_beams]
        return self._settle(kept[:num_beams])

    def _settle(self, kept: list[tuple[int, Hypothesis]]) -> list[int]:
        """Give each beginning a row: that of what it goes on from, where it can, for then nothing is moved."""
        sources = list(range(len(self.running)))
        rows: list[Hypothesis | None] = [None] * len(sources)
        moved = []
        for row, grown in kept:
            if rows[row] is None:
                rows[row] = grown
            else:
                moved.append((row, grown))
        free = (row for row, one in enumerate(rows) if one is None)
        for (source, grown), row in zip(moved, free, strict=False):
            rows[row], sources[row] = grown, source
        self.running = rows
        return sources

    def is_over(self, length: int, wishes: AnswerWishes) -> bool:
        """Return whether nothing better can come, as far as what runs now tells."""
        if len(self.whole) < wishes.num_beams:
            return False
        best = max((one.score for one in self.running if one is not None), default=-np.inf)
        return bool(self.whole[-1].score >= best / length**wishes.length_penalty)

    def found(self, wishes: AnswerWishes) -> list[Hypothesis]:
        """Return the best answers; what did not end counts as far as it came."""
        cut = [_whole(one.ids, one.log_likelihoods, wishes) for one in self.running if one is not None]
        return sorted([*self.whole, *cut], key=lambda one: -one.score)[: wishes.num_beams]


def _search(
    session: ReadingSession, ids_BS: IntArray, lengths_B: IntArray, wishes: AnswerWishes
) -> list[list[Hypothesis]]:
    num_texts, num_beams = len(ids_BS), wishes.num_beams
    drafts: Drafts = session.read(ids_BS, lengths_B, num_beams=num_beams, num_best=(1 + ENDS) * num_beams)
    searches = [_Search(num_beams) for _ in range(num_texts)]
    going = list(searches)
    next_R = np.full(num_texts * num_beams, wishes.begin_id)
    for length in range(1, wishes.max_new_tokens + 1):
        scores = drafts.step(next_R)
        sources: list[int] = []
        for place, search in enumerate(going):
            rows = slice(place * num_beams, (place + 1) * num_beams)
            grown = search.grow(scores.best_RK[rows], scores.ids_RK[rows], wishes)
            sources += [rows.start + one for one in grown]
        over = [place for place, search in enumerate(going) if search.is_over(length, wishes)]
        if len(over) == len(going):
            break
        drafts.reorder(sources)
        if over:
            going = [going[place] for place in drafts.drop(over)]
        next_R = np.array([wishes.end_id if one is None else one.ids[-1] for search in going for one in search.running])
    return [search.found(wishes) for search in searches]
