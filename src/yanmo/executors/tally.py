"""Counts of what a model has found out about texts, window by window and in any order; it knows no model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from yanmo.answers.answered import Found
from yanmo.artifacts.ledger import FinishedPart

__all__ = ["Tally", "count_found"]


def count_found(found: Found) -> dict[str, Any]:
    """Return the counts of one window, as JSON values."""
    counts: dict[str, Any] = {
        "num_rows": len(found.truncated_N),
        "num_tokens": int(found.num_tokens_N.sum()),
        "num_unknown": int(found.num_unknown_N.sum()),
        "num_truncated": int(found.truncated_N.sum()),
    }
    if found.stage_N is not None:
        counts["stages"] = {str(stage): number for stage, number in Counter(found.stage_N.tolist()).items()}
    if found.abstained_N is not None:
        counts["num_abstained"] = int(found.abstained_N.sum())
    return counts


class Tally:
    """Counts over all windows of what the runtime found out about the texts."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._stages: Counter[str] = Counter()
        # None where the Bundle cannot abstain, which is not the same as never.
        self.num_abstained: int | None = None

    def add(self, found: Mapping[str, Any]) -> None:
        """Add the counts of one window, or those that another tally has added up."""
        counts = dict(found)
        self._stages.update(counts.pop("stages", {}))
        if (num_abstained := counts.pop("num_abstained", None)) is not None:
            self.num_abstained = (self.num_abstained or 0) + num_abstained
        self._counts.update(counts)

    @classmethod
    def of(cls, parts: Iterable[FinishedPart]) -> Tally:
        """Return the counts of finished parts, added up."""
        tally = cls()
        for part in parts:
            tally.add(part.facts)
        return tally

    def __getitem__(self, name: str) -> int:
        """Return one of the counts that :func:`count_found` makes."""
        return self._counts[name]

    def counts(self) -> dict[str, Any]:
        """Return all counts as JSON values, as :meth:`add` takes them."""
        counts: dict[str, Any] = dict(self._counts)
        if self._stages:
            counts["stages"] = dict(self._stages)
        return counts if self.num_abstained is None else {**counts, "num_abstained": self.num_abstained}

    def summary(self) -> dict[str, Any]:
        """Return the facts for the manifest."""
        num_tokens = self["num_tokens"]
        facts: dict[str, Any] = {
            "num_rows": self["num_rows"],
            "num_truncated": self["num_truncated"],
            "unknown_token_share": round(self["num_unknown"] / num_tokens, 6) if num_tokens else None,
        }
        if self._stages:
            facts["num_of_stage"] = {stage: self._stages[stage] for stage in sorted(self._stages, key=int)}
        return facts if self.num_abstained is None else {**facts, "num_abstained": self.num_abstained}
