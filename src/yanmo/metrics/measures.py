"""Measures: a score is a function of sums over rows, so that intervals, paired tests and gates work for every task.

A task says what it counts in each row; a measure turns the counts' sums into a score. Resampling draws rows, sums their
counts and scores the sums. It knows no label, no text and no model.

Legend: N rows, S statistics of a row, R resamples, U distinct rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yanmo.arrays import Array, Doubles
from yanmo.metrics.resampling import Interval, percentile_interval, resample_statistics, wilson_interval

__all__ = [
    "Comparison",
    "Measure",
    "Measured",
    "Resampled",
    "compare",
    "measure_with_intervals",
    "resample",
    "shown_measures",
]


@dataclass(frozen=True)
class Measure:
    """One score of answers.

    Attributes:
        name: Its name in Reports and manifests.
        of_sums: From sums of statistics, shape (..., S), to scores, shape (...); NaN where there is none.
        title: Its name for people.
        higher_is_better: Whether a larger score is a better one.
        is_rate: Whether it lies in [0, 1] and is read in percent.
        is_share: Whether it is a share of rows, whose interval is Wilson's.
        is_second: Whether tables of several models show it beside the headline.
    """

    name: str
    of_sums: Callable[[Doubles], Doubles]
    title: str
    higher_is_better: bool = True
    is_rate: bool = True
    is_share: bool = False
    is_second: bool = False

    def describe(self) -> dict[str, Any]:
        """Return what a Report says about it, as JSON values."""
        names = ("name", "title", "higher_is_better", "is_rate")
        return {name: getattr(self, name) for name in names}

    def score(self, statistics_NS: Array) -> float:
        """Return the score of all rows together; NaN where there is none."""
        return float(self.of_sums(statistics_NS.sum(axis=0, dtype=np.float64)))

    def show(self, score: float) -> str:
        """Return a score as a person reads it: a rate in percent."""
        return f"{100 * score:.2f} %" if self.is_rate else f"{score:.4f}"

    def gain(self, score: float) -> float:
        """Return a score so that more is better: itself, or else its negative."""
        return score if self.higher_is_better else -score


@dataclass(frozen=True)
class Measured:
    """A score and its 95 % interval; None where no resample has the score."""

    value: float
    interval: Interval | None


@dataclass(frozen=True)
class Comparison:
    """Answers held against others on the same rows.

    Attributes:
        measure: What was measured.
        ours: The score of the first answers.
        theirs: The score of the others.
        interval: The 95 % interval of the first score minus the second, of the paired bootstrap; None where no
            resample has both.
        num_rows: N.
    """

    measure: Measure
    ours: float
    theirs: float
    interval: Interval | None
    num_rows: int

    @property
    def difference(self) -> float:
        """The first score minus the second."""
        return self.ours - self.theirs

    @property
    def drop(self) -> float:
        """How much worse the first answers are, in the measure's unit; a gain is a negative drop."""
        # Subtracted and not negated: a difference of 0 would become -0.0 and be shown with its sign.
        return 0.0 - self.measure.gain(self.difference)

    @property
    def drop_interval(self) -> Interval:
        """The interval of the drop; NaN where there is none."""
        if self.interval is None:
            return float("nan"), float("nan")
        low, high = self.interval
        return (0.0 - high, 0.0 - low) if self.measure.higher_is_better else (low, high)


@dataclass(frozen=True)
class Resampled:
    """The answers of K models to the same rows, and their scores on the same resamples of these.

    Attributes:
        statistics: What was counted in each row of every model's answers, each of shape (N, S).
        measures: The scores.
        scores: Of every model, by name, each of shape (R,).
    """

    statistics: Sequence[Array]
    measures: Sequence[Measure]
    scores: Sequence[Mapping[str, Doubles]]

    def measured(self, place: int) -> dict[str, Measured]:
        """Return every score of one model with its interval, by name: Wilson's of a share, else the bootstrap's."""
        statistics_NS, scores, found = self.statistics[place], self.scores[place], {}
        for one in self.measures:
            value = one.score(statistics_NS)
            # The share times its rows is the count that it was made of, but for rounding.
            share = wilson_interval(round(value * len(statistics_NS)), len(statistics_NS)) if one.is_share else None
            found[one.name] = Measured(value, share or percentile_interval(scores[one.name]))
        return found

    def compared(self, place: int, other: int) -> dict[str, Comparison]:
        """Return how much better one model is than another, by name of measure; the intervals are paired."""
        # The same resamples of both: what is hard for both cancels in the difference.
        return {
            one.name: Comparison(
                one,
                one.score(self.statistics[place]),
                one.score(self.statistics[other]),
                percentile_interval(self.scores[place][one.name] - self.scores[other][one.name]),
                len(self.statistics[place]),
            )
            for one in self.measures
        }


def shown_measures(measures: Sequence[Measure]) -> list[Measure]:
    """Return what a comparison of models says: the headline, shares of rows, and what tables show beside it."""
    return [one for one in measures if one is measures[0] or one.is_share or one.is_second]


def measure_with_intervals(
    statistics_NS: Array, measures: Sequence[Measure], *, num_resamples: int, seed: int
) -> dict[str, Measured]:
    """Return every score with its interval, by name: Wilson's of a share of rows, else the percentile bootstrap's.

    Args:
        statistics_NS: What was counted in each row, N >= 1.
        measures: The scores.
        num_resamples: How many times N rows are drawn with replacement.
        seed: Of the draws.
    """
    return resample([statistics_NS], measures, num_resamples=num_resamples, seed=seed).measured(0)


def compare(
    ours_NS: Array, theirs_NS: Array, measures: Sequence[Measure], *, num_resamples: int, seed: int
) -> dict[str, Comparison]:
    """Return how much better the first answers are than the others, by name of measure; intervals are paired.

    Args:
        ours_NS: What was counted in each row of the first answers, N >= 1.
        theirs_NS: What was counted in the same rows of the others.
        measures: The scores.
        num_resamples: How many times N rows are drawn with replacement.
        seed: Of the draws.
    """
    return resample([ours_NS, theirs_NS], measures, num_resamples=num_resamples, seed=seed).compared(0, 1)


def resample(statistics: Sequence[Array], measures: Sequence[Measure], *, num_resamples: int, seed: int) -> Resampled:
    """Return K models with their scores on resampled rows; all see the same resamples.

    Args:
        statistics: What was counted in each row of K models' answers, each of shape (N, S), N >= 1.
        measures: The scores.
        num_resamples: R.
        seed: Of the draws.
    """
    sums = resample_statistics(statistics, num_resamples=num_resamples, seed=seed)
    scores = [{one.name: one.of_sums(sums_RS) for one in measures} for sums_RS in sums]
    return Resampled(statistics, measures, scores)
