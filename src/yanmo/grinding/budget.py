"""What a Bundle may cost, and by how much one misses it; it measures nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from yanmo.config import Config
from yanmo.metrics.measures import Measure

__all__ = ["WRITING_LIMITS", "Budget", "choose", "costs_only", "misses", "nearest", "say_misses"]

COSTS = {
    "max_latency_ms": "latency_ms",
    "max_first_token_ms": "first_token_ms",
    "max_size_mb": "size_mb",
    "max_memory_mb": "memory_mb",
    "max_drop": "drop_at_most",
}
"""Constraint to the value of a row that must not be above it."""
RATES = {"min_throughput": "throughput", "min_tokens_per_second": "tokens_per_second"}
"""Constraint to the value of a row that must not be below it."""
WRITING_LIMITS = ("min_tokens_per_second", "max_first_token_ms")
"""Constraints on Bundles that write texts."""


class Budget(Config):
    """What the Bundle may cost; what is not given is free."""

    max_latency_ms: float | None = Field(default=None, gt=0)
    """Most milliseconds for one text alone, the median over validation texts."""

    min_throughput: float | None = Field(default=None, gt=0)
    """Fewest texts a second, all validation texts at once."""

    min_tokens_per_second: float | None = Field(default=None, gt=0)
    """Fewest tokens a second of one text that a language model writes, behind the first token."""

    max_first_token_ms: float | None = Field(default=None, gt=0)
    """Most milliseconds from a prompt to the first token that a language model writes; prompts are the beginnings of
    validation texts, of at most half the length that the model reads."""

    max_size_mb: float | None = Field(default=None, gt=0)
    """Most megabytes of the whole Bundle."""

    max_memory_mb: float | None = Field(default=None, gt=0)
    """Most megabytes of a process that answers with it."""

    max_drop: float = Field(default=0.01, ge=0)
    """Most of the headline, such as accuracy, that may be lost against the teacher, in its unit, with a confidence of
    97.5 % on the validation split."""

    @property
    def is_about_writing(self) -> bool:
        """Whether the Bundle has to write texts."""
        return any(getattr(self, name) is not None for name in WRITING_LIMITS)


def misses(budget: Budget, row: Mapping[str, Any], *, tolerance: float = 1.0) -> dict[str, float]:
    """Return constraint to what it would have to be for a row, for those that the row misses.

    Args:
        budget: The constraints.
        row: ``latency_ms``, ``throughput``, ``size_mb``, and perhaps ``memory_mb``, ``drop_at_most``,
            ``first_token_ms`` and ``tokens_per_second``; what a row does not have is not held against it, unless
            ``writes`` is False.
        tolerance: Costs may be so many times what is allowed.
    """
    found = {}
    for name, key in COSTS.items():
        limit, value = getattr(budget, name), row.get(key)
        if limit is not None and value is not None and value > limit * tolerance:
            found[name] = float(value)
    for name, key in RATES.items():
        limit, value = getattr(budget, name), row.get(key)
        if limit is not None and value is not None and value * tolerance < limit:
            found[name] = float(value)
    # With some tolerance it is what a row may become, and what writes nothing now may be put into the format that does.
    if tolerance == 1 and _is_silent(budget, row):
        worst = {"min_tokens_per_second": 0.0, "max_first_token_ms": math.inf}
        found |= {name: value for name, value in worst.items() if getattr(budget, name) is not None}
    return found


def _is_silent(budget: Budget, row: Mapping[str, Any]) -> bool:
    return budget.is_about_writing and row.get("writes") is False


def costs_only(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row without what it loses, so that only what it costs is held against it."""
    return {name: value for name, value in row.items() if name != "drop_at_most"}


def choose(budget: Budget, rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """Return the most accurate row that meets all of a budget, of equal ones the fastest; None if there is none.

    The confidence of ``max_drop`` is that of each row by itself. The best of many rows is partly the luckiest, so its
    drop on other rows is expected to be a little larger; the test split, asked once, says what it is.
    """
    good = [row for row in rows if not misses(budget, row)]
    return max(good, key=lambda row: (-row["drop"], -row["latency_ms"]), default=None)


def nearest(budget: Budget, rows: Sequence[Mapping[str, Any]], *, num_rows: int = 3) -> list[Mapping[str, Any]]:
    """Return the rows that miss a budget by the least: the product of the factors, one for each constraint.

    What writes nothing where it has to is not near, however small it is.
    """

    def distance(row: Mapping[str, Any]) -> float:
        found = misses(budget, row)
        # In logarithms twice as slow is as far as twice as large; 0 has none, so it becomes a very small number.
        return sum(abs(math.log(max(value, 1e-9) / max(getattr(budget, name), 1e-9))) for name, value in found.items())

    return sorted((row for row in rows if not _is_silent(budget, row)), key=distance)[:num_rows]


def say_misses(budget: Budget, row: Mapping[str, Any], headline: Measure) -> str:
    """Return which constraints would have to be loosened for a row, and how far.

    Args:
        budget: The constraints.
        row: What it costs and loses.
        headline: Of which it loses; a rate is told in points.
    """
    found = misses(budget, row)
    parts = [f"{name} {value:.4g} instead of {getattr(budget, name):.4g}" for name, value in found.items()]
    said = f"{row['name']} needs {', '.join(parts)}" if parts else f"{row['name']} meets all of it"
    is_wide = "max_drop" in found and row["drop"] < budget.max_drop
    return said + (_say_few_rows(budget, row, headline) if is_wide else "")


def _say_few_rows(budget: Budget, row: Mapping[str, Any], headline: Measure) -> str:
    """Return that it is the interval that misses, and with how many rows it would not: it narrows with their root."""
    loss, bound, num_rows = row["drop"], row["drop_at_most"], row["num_rows"]
    needed = num_rows * ((bound - loss) / (budget.max_drop - loss)) ** 2
    lost, most = (f"{100 * one:.2f}" if headline.is_rate else f"{one:.3g}" for one in (loss, bound))
    return (
        f" (it loses {lost}{' points' if headline.is_rate else ''}, but {num_rows:,} rows only show that it is at most "
        f"{most}: about {float(f'{needed:.2g}'):,.0f} rows in the split valid would do)"
    )
