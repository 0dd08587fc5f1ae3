"""The page of a search for the Bundle that meets a budget; it measures nothing and writes no file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from yanmo.reporting import plots
from yanmo.reporting.pages import pareto_points, render_page

__all__ = ["render_grinding"]

COSTS = {"latency_ms": "ms for one text", "size_mb": "size in MB", "memory_mb": "memory in MB"}


def render_grinding(report: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        report: The content of ``report.json``: ``rows``, one a Bundle that was made.
    """
    rows = report["rows"]
    charts = [
        plots.pareto_plot(pareto_points(rows, key, report), name=key, cost=cost)
        for key, cost in COSTS.items()
        if len(rows) > 1 and all(row[key] for row in rows)
    ]
    return render_page("grinding.html", report, charts=charts)
