"""Plots as SVG text for a page: matplotlib draws, the page's style sheet colors; it knows no HTML and no files.

Text stays text, so that the reader's fonts show any language, and equal values give equal bytes. Colors are named by
the page's variables, so that one plot serves light and dark.
"""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from yanmo.reporting.point_names import Box, place_names, short_name
from yanmo.translations import Language, translate

__all__ = [
    "BAR",
    "INK",
    "SOFT",
    "WARN",
    "Point",
    "add_legend",
    "confidence_histogram",
    "cost_curve",
    "curve_plot",
    "figure_svg",
    "pareto_plot",
    "reliability_diagram",
]

# Stand-ins that no drawing has by chance; each is replaced by the variable of the page that it stands for.
INK, SOFT, LINE, BAR, WARN, PAGE = "#010101", "#020202", "#030303", "#040404", "#050505", "#060606"
VARIABLES = {INK: "ink", SOFT: "soft", LINE: "line", BAR: "bar", WARN: "warn", PAGE: "page"}
STYLE: Any = {
    # Text as text, and not as outlines.
    "svg.fonttype": "none",
    # Ids come from this and not from chance, so that equal Reports are equal bytes.
    "svg.hashsalt": "yanmo",
    # A dollar sign in a Bundle's name begins no formula.
    "text.parse_math": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": LINE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
LINE_COLORS = (BAR, WARN, INK, SOFT)
MARKERS = "osD^vP"
MOST_TICKS = 9
SIZE_INCHES = (4.4, 3.4)
MAX_FINE_DECADES = 2.5
LEGEND_CHARACTERS, LEGEND_LINE = 62, 0.062
"""How many characters a line of a legend has, about, and what share of the figure's height it takes."""
MARGINS = {"left": 0.16, "right": 0.955, "bottom": 0.14, "top": 0.975}


def reliability_diagram(
    bins: Sequence[Mapping[str, Any]], *, name: str = "reliability", language: Language = "en"
) -> str:
    """Return confidence against accuracy: on the diagonal a probability means what it says.

    Args:
        bins: The ``calibration`` rows of a Report.
        name: Of the plot, unique on its page.
        language: Of what is written in it.
    """
    say = partial(translate, language=language)

    def draw(axes: Any) -> None:
        filled = [one for one in bins if one["count"]]
        width = bins[0]["upper"] - bins[0]["lower"]
        axes.plot([0, 1], [0, 1], color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        axes.bar(
            [one["lower"] for one in filled],
            [one["accuracy"] for one in filled],
            width=width * 0.92,
            align="edge",
            color=BAR,
            alpha=0.55,
        )
        points = [one["confidence"] for one in filled], [one["accuracy"] for one in filled]
        axes.plot(*points, color=BAR, marker="o", markersize=4, linewidth=1.2)
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel=say("confidence"), ylabel=say("share that was right"))

    return figure_svg(draw, name=name, title=say("Reliability diagram: share that was right against confidence"))


def confidence_histogram(bins: Sequence[Mapping[str, Any]], *, language: Language = "en") -> str:
    """Return how often the model was how sure, right and wrong answers apart.

    Args:
        bins: The ``calibration`` rows of a Report.
        language: Of what is written in the plot.
    """
    say = partial(translate, language=language)

    def draw(axes: Any) -> None:
        lower = [one["lower"] for one in bins]
        right = [one["num_right"] for one in bins]
        wrong = [one["count"] - one["num_right"] for one in bins]
        width = (bins[0]["upper"] - bins[0]["lower"]) * 0.92
        axes.bar(lower, right, width=width, align="edge", color=BAR, label=say("right"))
        axes.bar(lower, wrong, width=width, align="edge", bottom=right, color=WARN, label=say("wrong"))
        axes.set(xlim=(0, 1), xlabel=say("confidence"), ylabel=say("answers"))
        add_legend(axes)

    return figure_svg(draw, name="confidence", title=say("Histogram of confidence, right and wrong answers"))


class Point(NamedTuple):
    """One Bundle among others.

    Attributes:
        label: Its name.
        cost: Greater than 0.
        score: As it is drawn.
        is_best: Whether nothing is both cheaper and better.
        interval: Of the score; None draws none.
    """

    label: str
    cost: float
    score: float
    is_best: bool
    interval: tuple[float, float] | None = None


class Points(NamedTuple):
    """Bundles by score and cost.

    Attributes:
        points: One a Bundle.
        title: What the score is.
        unit: What follows the title on the axis, perhaps nothing.
    """

    points: Sequence[Point]
    title: str
    unit: str


def pareto_plot(places: Points, *, name: str, cost: str, language: Language = "en") -> str:
    """Return scores against a cost on a logarithmic axis; the line joins those that nothing beats on both.

    Args:
        places: The Bundles.
        name: Of the plot, unique on its page.
        cost: The label of the cost axis, with its unit.
        language: Of what is written in the plot besides.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    points, say = places.points, partial(translate, language=language)

    def draw(axes: Any) -> None:
        front = sorted((one for one in points if one.is_best), key=lambda one: one.cost)
        costs, scores = [one.cost for one in front], [one.score for one in front]
        axes.plot(costs, scores, color=BAR, linewidth=1.2, alpha=0.6)
        axes.set_xscale("log")
        axes.margins(x=0.22, y=0.22)
        for one in points:
            if one.interval is not None:
                axes.plot([one.cost] * 2, list(one.interval), color=SOFT, linewidth=1)
            fill = BAR if one.is_best else PAGE
            axes.plot([one.cost], [one.score], "o", color=BAR, markerfacecolor=fill, markersize=7)
        low, high = (math.log10(limit) for limit in axes.get_xlim())
        steps = (1, 2, 5) if high - low < MAX_FINE_DECADES else (1,)
        axes.xaxis.set(major_locator=LogLocator(subs=steps), minor_locator=NullLocator(), major_formatter="{x:g}")
        # The front first: its names are read most.
        _write_names(axes, sorted(points, key=lambda one: (not one.is_best, one.cost)))
        axes.set(xlabel=say("{cost}, logarithmic", cost=cost), ylabel=f"{places.title}{places.unit}")

    title = places.title[0].upper() + places.title[1:]
    return figure_svg(draw, name=name, title=say("{score} against {cost}", score=title, cost=cost))


def _write_names(axes: Any, points: Sequence[Point]) -> None:
    """Write the names of points where they cover no other one, and if possible neither point nor interval."""
    scale = 72 / axes.figure.dpi

    def at(cost: float, score: float) -> tuple[float, float]:
        x, y = axes.transData.transform((cost, score))
        return float(x) * scale, float(y) * scale

    names = [short_name(one.label) for one in points]
    intervals = [[at(one.cost, end) for end in one.interval] for one in points if one.interval is not None]
    lines = [Box(low[0] - 1, low[1], low[0] + 1, high[1]) for low, high in intervals]
    inside = axes.get_window_extent()
    frame = Box(*(float(one) * scale for one in (inside.x0, inside.y0, inside.x1, inside.y1)))
    found = place_names(names, [at(one.cost, one.score) for one in points], frame, lines)
    for name, one, place in zip(names, points, found, strict=True):
        if place is None:
            continue
        style = {"ha": place.alignment, "va": "center"}
        axes.annotate(name, (one.cost, one.score), (place.across, place.up), textcoords="offset points", **style)


def cost_curve(
    points: Sequence[tuple[float, float]],
    *,
    chosen: tuple[float, float],
    limit: float | None,
    language: Language = "en",
) -> str:
    """Return a cascade's agreement with its last stage against its mean cost on a logarithmic axis.

    Args:
        points: Cost in milliseconds and share of texts that differ, for every candidate.
        chosen: The one that was taken.
        limit: The share that was asked for, or None.
        language: Of what is written in the plot.
    """
    from matplotlib.ticker import LogLocator, NullLocator

    say = partial(translate, language=language)

    def draw(axes: Any) -> None:
        ordered = sorted(points)
        if limit is not None:
            axes.axhline(100 * (1 - limit), color=SOFT, linewidth=1, linestyle=(0, (4, 3)))
        agreements = [100 * (1 - share) for _, share in ordered]
        axes.plot([cost for cost, _ in ordered], agreements, color=BAR, marker=".", markersize=4, linewidth=1.2)
        axes.plot([chosen[0]], [100 * (1 - chosen[1])], "o", color=WARN, markerfacecolor=PAGE, markersize=9)
        axes.set_xscale("log")
        axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set(xlabel=say("mean ms a text, logarithmic"), ylabel=say("same answer as the last stage, %"))

    return figure_svg(draw, name="cost", title=say("Agreement with the last stage against mean cost"))


def curve_plot(
    curves: Sequence[tuple[str, Sequence[tuple[float, float]]]], *, name: str, axis: str, language: Language = "en"
) -> str:
    """Return texts per second against something, one line a Bundle.

    Args:
        curves: Name, and points with both values > 0.
        name: Of the plot, unique on its page.
        axis: The label of the axis across.
        language: Of what is written in the plot besides.
    """
    from matplotlib.ticker import FixedLocator, LogLocator, NullLocator

    say = partial(translate, language=language)

    def draw(axes: Any) -> None:
        for place, (label, points) in enumerate(curves):
            color, marker = LINE_COLORS[place % len(LINE_COLORS)], MARKERS[place % len(MARKERS)]
            across, up = [one[0] for one in points], [one[1] for one in points]
            axes.plot(across, up, color=color, marker=marker, markersize=5, linewidth=1.2, label=label)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        ticks = sorted({round(one[0]) for _, points in curves for one in points})
        axes.xaxis.set(major_locator=FixedLocator(ticks if len(ticks) < MOST_TICKS else ticks[::2]))
        axes.xaxis.set(minor_locator=NullLocator(), major_formatter="{x:g}")
        axes.yaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
        axes.yaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
        axes.margins(x=0.08, y=0.15)
        axes.set(xlabel=axis, ylabel=say("texts/s, logarithmic"))
        if len(curves) > 1:
            add_legend(axes)

    return figure_svg(draw, name=name, title=say("Texts per second against {axis}", axis=axis))


def add_legend(axes: Any) -> None:
    """Put the legend above the plot, where it lies on nothing that is drawn.

    Args:
        axes: What was drawn, with labels.
    """
    handles, labels = axes.get_legend_handles_labels()
    names = [short_name(label) for label in labels]
    longest = max(map(len, names))
    num_columns = max(1, min(len(names), int(LEGEND_CHARACTERS / (longest + 6))))
    num_lines = -(-len(names) // num_columns)
    axes.figure.subplots_adjust(top=MARGINS["top"] - 0.01 - num_lines * LEGEND_LINE)
    style = {"frameon": False, "fontsize": 8, "borderaxespad": 0.2, "borderpad": 0.0, "labelspacing": 0.3}
    axes.legend(handles, names, loc="lower left", bbox_to_anchor=(0, 1), ncols=num_columns, **style)


def figure_svg(draw: Callable[[Any], None], *, name: str, title: str) -> str:
    """Return one figure as an ``<svg>`` element that can stand among others in a page."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    buffer = io.StringIO()
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # matplotlib measures with its own font, which lacks Chinese; the reader's fonts draw the text.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        # Not pyplot, which keeps every figure and chooses a window system.
        figure = Figure(figsize=SIZE_INCHES)
        figure.subplots_adjust(**MARGINS)
        draw(figure.add_subplot())
        # No date and no version of matplotlib, so that equal values give equal bytes.
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", metadata=nothing)
    return _embed(buffer.getvalue(), name=name, title=title)


def _embed(svg: str, *, name: str, title: str) -> str:
    """Drop what only a file of its own needs, make ids unique, and let the page set colors and fonts."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    opening, rest = svg.split(">", 1)
    view_box = re.search(r'viewBox="[^"]*"', opening)
    rest = rest.replace("xlink:href", "href")
    # Ids are unique in a figure, but a page holds several: each gets the name of its plot.
    rest = re.sub(r'\bid="', f'id="{name}-', rest)
    rest = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", rest)
    rest = re.sub(r" font-family: [^;\"]*;", "", rest)
    rest = re.sub("|".join(VARIABLES), lambda found: f"var(--{VARIABLES[found[0]]})", rest)
    return f'<svg role="img" aria-label="{title}" {view_box[0] if view_box else ""}>{rest.rstrip()}'
