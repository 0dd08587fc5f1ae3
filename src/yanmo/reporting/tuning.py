"""The page of a search: history, parallel coordinates, importances, spread, cost; it knows no search."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from yanmo.reporting.pages import language_of, render_page
from yanmo.reporting.plots import BAR, SOFT, WARN, add_legend, figure_svg
from yanmo.translations import Language, translate

__all__ = ["render_tuning"]

Trials = Sequence[Mapping[str, Any]]


def render_tuning(report: Mapping[str, Any]) -> str:
    """Return the page of a search.

    Args:
        report: The content of ``report.json``: ``trials``, ``space``, ``best``, ``importances``, ``spread``.
    """
    complete = [one for one in report["trials"] if one["score"] is not None]
    states = [one["state"] for one in report["trials"]]
    varied = [name for name in report["space"] if len({str(one["values"].get(name)) for one in complete}) > 1]
    plots = [_history(report)]
    if varied:
        plots.append(_parallel_coordinates(complete, varied, report))
    if report["importances"]:
        plots.append(_importances(report["importances"], language_of(report)))
    ordered = sorted(complete, key=lambda one: one["score"], reverse=not report["lowest"])
    counts = {state: states.count(state) for state in ("complete", "pruned", "failed") if state in states}
    return render_page("tuning.html", report, plots=plots, ordered=ordered, counts=counts)


def _history(report: Mapping[str, Any]) -> str:
    """Return the score of every trial, those given up apart, and the best so far."""
    trials, lowest, say = report["trials"], report["lowest"], partial(translate, language=language_of(report))

    def draw(axes: Any) -> None:
        complete = [(one["number"], one["score"]) for one in trials if one["score"] is not None]
        pruned = [(one["number"], one["curve"][-1]) for one in trials if one["state"] == "pruned" and one["curve"]]
        axes.plot(*zip(*complete, strict=True), "o", color=BAR, markersize=5, label=say("trained to the end"))
        if pruned:
            axes.plot(*zip(*pruned, strict=True), "x", color=SOFT, markersize=5, label=say("given up"))
        best, steps = None, []
        for number, score in complete:
            best = score if best is None else min(best, score) if lowest else max(best, score)
            steps.append((number, best))
        axes.step(*zip(*steps, strict=True), where="post", color=WARN, linewidth=1.2, label=say("best so far"))
        scores = sorted(score for _, score in complete)
        if len(scores) > 4 and not lowest:  # a failure far below would flatten all others
            axes.set_ylim(bottom=scores[len(scores) // 4] - 2 * (scores[-1] - scores[len(scores) // 4]) - 0.002)
        axes.set(xlabel=say("trial"), ylabel=say(report["metric"].replace("_", " ")))
        add_legend(axes)

    return figure_svg(draw, name="history", title=say("Score of every trial"))


def _parallel_coordinates(complete: Trials, names: Sequence[str], report: Mapping[str, Any]) -> str:
    """Return one line a trial over all settings, each scaled to its range; the best fifth stands out."""
    say = partial(translate, language=language_of(report))

    def draw(axes: Any) -> None:
        sign = -1 if report["lowest"] else 1
        winner = report["best"]["number"]
        # The best is drawn last, above all others; of equals, the one that was published.
        ordered = sorted(complete, key=lambda one: (sign * one["score"], one["number"] == winner))
        first_best = len(ordered) - max(1, len(ordered) // 5)
        for place, one in enumerate(ordered):
            heights = [_height(one["values"].get(name), report["space"][name]) for name in names]
            is_best, is_last = place >= first_best, place == len(ordered) - 1
            color, width = (WARN, 2.0) if is_last else (BAR, 1.2) if is_best else (SOFT, 0.6)
            axes.plot(range(len(names)), heights, color=color, linewidth=width, alpha=1.0 if is_best else 0.5)
        axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names], fontsize=8)
        axes.set_yticks([0, 1], [say("low"), say("high")])
        axes.set(ylim=(-0.04, 1.04))

    title = say("Parallel coordinates: settings of every trial, the best fifth in color")
    return figure_svg(draw, name="parallel", title=title)


def _height(value: Any, part: Mapping[str, Any]) -> float:
    """Return where in its range a value lies, from 0 to 1."""
    if "values" in part:
        values = part["values"]
        # A value outside of the space, as a default may be, has no place on the axis.
        return values.index(value) / max(len(values) - 1, 1) if value in values else math.nan
    if value is None:
        return math.nan
    low, high, at = (math.log(one) if part["log"] else one for one in (part["low"], part["high"], value))
    return float((at - low) / (high - low))


def _importances(importances: Mapping[str, float], language: Language) -> str:
    """Return the share of the scores' spread that each setting explains."""
    say = partial(translate, language=language)

    def draw(axes: Any) -> None:
        names = list(importances)[::-1]
        axes.barh([name.replace("_", " ") for name in names], [importances[name] for name in names], color=BAR)
        axes.set(xlabel=say("share of the spread of the scores"))
        axes.figure.subplots_adjust(left=0.32)

    return figure_svg(draw, name="importances", title=say("Importance of each setting"))
