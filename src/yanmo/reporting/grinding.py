"""The page of a search for the Bundle that meets a budget; it measures nothing and writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.reporting.pages import pareto_charts, render_page

__all__ = ["render_grinding"]

COSTS = {
    "latency_ms": "ms for one text",
    "first_token_ms": "ms to the first token",
    "size_mb": "size in MB",
    "memory_mb": "memory in MB",
}


def render_grinding(report: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        report: The content of ``report.json``: ``rows``, one a Bundle that was made.
    """
    rows = report["rows"]
    costs = {key: cost for key, cost in COSTS.items() if len(rows) > 1 and all(row.get(key) for row in rows)}
    return render_page("grinding.html", report, charts=pareto_charts(costs, rows, report))
