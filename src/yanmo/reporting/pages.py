"""The values of a Report to one HTML page; it measures nothing and writes no file."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from yanmo.reporting import plots
from yanmo.translations import Language, translate

__all__ = [
    "language_of",
    "pareto_charts",
    "pareto_points",
    "render_audit",
    "render_benchmark",
    "render_comparison",
    "render_evaluation",
    "render_gaps",
    "render_language",
    "render_page",
    "render_written",
]

TEMPLATES = Path(__file__).parent / "templates"
NOTHING = "–"
SHOWN_CHARACTERS = 280
SHOWN_ROWS = 200
MATRIX_LABELS = 30
PUNCTUATION: dict[Language, dict[str, str]] = {
    "en": {"stop": ".", "gap": " ", "comma": ", ", "semicolon": "; ", "colon": ": "},
    "zh": {"stop": "。", "gap": "", "comma": "，", "semicolon": "；", "colon": "："},
}
"""What stands between sentences and in lists that a template puts together."""
# As wide as a plus, so that signed numbers stand in one line.
MINUS = "−"
COSTS = {"latency_ms": "ms for one text", "size_mb": "size in MB"}
CURVES = (
    ("by_batch_size", "batch_size", "texts asked at once"),
    ("by_length", "length", "tokens of a text, about; batches of 32"),
    ("by_threads", "num_threads", "threads"),
)


def render_evaluation(report: Mapping[str, Any]) -> str:
    """Return the page of one Bundle's evaluation.

    Args:
        report: The content of ``report.json``, in which what has no value is None.
    """
    matrix, language = report["confusion_matrix"], language_of(report)
    return render_page(
        "evaluation.html",
        report,
        shows_matrix=bool(matrix) and len(matrix) <= MATRIX_LABELS,
        reliability=plots.reliability_diagram(report["calibration"], language=language),
        histogram=plots.confidence_histogram(report["calibration"], language=language),
        before=plots.reliability_diagram(report["uncalibrated"]["calibration"], name="uncalibrated", language=language)
        if report["uncalibrated"]
        else None,
        cost_curve=_cost_curve(report["composite"]["cascade"], language) if _is_cascade(report) else None,
    )


def render_language(report: Mapping[str, Any]) -> str:
    """Return the page of one language model's evaluation.

    Args:
        report: The content of ``report.json``, in which what has no value is None.
    """
    return render_page("language.html", report)


def render_gaps(report: Mapping[str, Any]) -> str:
    """Return the page of a Report about how well hidden tokens are guessed.

    Args:
        report: The whole ``report.json``.
    """
    return render_page("gaps.html", report)


def render_written(report: Mapping[str, Any]) -> str:
    """Return the page of the evaluation of one model that writes texts for others.

    Args:
        report: The content of ``report.json``, in which what has no value is None.
    """
    language = language_of(report)
    return render_page(
        "written.html",
        report,
        reliability=plots.reliability_diagram(report["calibration"], language=language),
        histogram=plots.confidence_histogram(report["calibration"], language=language),
        cost_curve=_cost_curve(report["composite"]["cascade"], language) if _is_cascade(report) else None,
    )


def render_audit(report: Mapping[str, Any]) -> str:
    """Return the page of the rows that are probably mislabelled.

    Args:
        report: The content of ``report.json``.
    """
    return render_page("audit.html", report, num_shown=SHOWN_ROWS)


def _is_cascade(report: Mapping[str, Any]) -> bool:
    return bool(report["composite"] and report["composite"]["cascade"])


def _cost_curve(cascade: Mapping[str, Any], language: Language) -> str:
    points = [(one["cost_ms"], one["disagreement"]) for one in cascade["measured_curve"]]
    # The curve in the manifest always holds the thresholds that were chosen.
    place = next(place for place, one in enumerate(cascade["curve"]) if one["thresholds"] == cascade["thresholds"])
    limit = cascade["alpha"] if cascade["kind"] == "agreement" else None
    return plots.cost_curve(points, chosen=points[place], limit=limit, language=language)


def render_comparison(report: Mapping[str, Any]) -> str:
    """Return the page that compares several Bundles on the same rows.

    Args:
        report: The content of ``report.json``: ``rows``, one a Bundle, and what they were measured on.
    """
    rows = report["rows"]
    charts = pareto_charts({key: cost for key, cost in COSTS.items() if all(row[key] for row in rows)}, rows, report)
    return render_page("comparison.html", report, charts=charts)


def render_benchmark(report: Mapping[str, Any]) -> str:
    """Return the page of a benchmark: a table of the Bundles, curves, and accuracy against what it costs.

    Args:
        report: The content of ``report.json``: ``rows``, one a Bundle.
    """
    rows, language = [{**row, "p50": row["latency_ms"]["p50"]} for row in report["rows"]], language_of(report)
    curves = [
        plots.curve_plot(_curve(rows, table, column), name=table, axis=translate(axis, language), language=language)
        for table, column, axis in CURVES
        if any(len(row[table]) > 1 for row in rows)
    ]
    name = report["headline"]["name"]
    is_labeled = len(rows) > 1 and all(row[name] is not None for row in rows)
    costs = {"p50": COSTS["latency_ms"], "size_mb": COSTS["size_mb"]} if is_labeled else {}
    charts = pareto_charts(costs, rows, report)
    return render_page("benchmark.html", report, curves=curves, charts=charts)


def _curve(rows: Sequence[Mapping[str, Any]], table: str, column: str) -> list[tuple[str, list[tuple[float, float]]]]:
    """Return name and points of every Bundle, without those that were left out."""
    return [
        (row["name"], [(one[column], one["texts_per_second"]) for one in row[table] if one["texts_per_second"]])
        for row in rows
    ]


def pareto_charts(costs: Mapping[str, str], rows: Sequence[Mapping[str, Any]], report: Mapping[str, Any]) -> list[str]:
    """Return a plot of scores against each cost.

    Args:
        costs: Key of a row to what it is called.
        rows: One a Bundle.
        report: Says what the headline is, and in which language it is read.
    """
    language = language_of(report)
    return [
        plots.pareto_plot(pareto_points(rows, key, report), name=key, cost=translate(cost, language), language=language)
        for key, cost in costs.items()
    ]


def language_of(report: Mapping[str, Any]) -> Language:
    """Return the language of a Report; older ones say none and are English."""
    language: Language = report.get("language", "en")
    return language


def pareto_points(rows: Sequence[Mapping[str, Any]], key: str, report: Mapping[str, Any]) -> plots.Points:
    """Return every row with a cost and its score, and whether no other row is as good in both and better in one.

    Args:
        rows: One a Bundle.
        key: The cost.
        report: Says what the headline is.
    """
    headline, name = report["headline"], report["headline"]["name"]
    sign = -1 if headline["higher_is_better"] else 1
    places = [(row[key], sign * row[name]) for row in rows]
    # A row never beats itself, nor one that is equal in both.
    beaten = [any(a <= cost and b <= loss and (a, b) != (cost, loss) for a, b in places) for cost, loss in places]
    factor, unit = (100, ", %") if headline["is_rate"] else (1, "")
    points = [
        plots.Point(row["name"], row[key], factor * row[name], not lost, _scaled(row.get(f"{name}_interval"), factor))
        for row, lost in zip(rows, beaten, strict=True)
    ]
    return plots.Points(points, translate(headline["title"], language_of(report)), unit)


def _scaled(interval: Sequence[float] | None, factor: int) -> tuple[float, float] | None:
    return None if interval is None else (factor * interval[0], factor * interval[1])


def render_page(template: str, report: Mapping[str, Any], **more: Any) -> str:
    """Return a template filled with a report's values and what else it shows."""
    headline = report.get("headline")
    page = _environment(language_of(report)).get_template(template)
    return page.render(report=report, headline=headline, **more) + "\n"


def _say(text: str, *, language: Language, **values: object) -> str:
    """Return a sentence of a page; values are anybody's, and sentences are ours."""
    told = Markup(translate(text, language))
    return told.format(**values) if values else told


@functools.cache
def _environment(language: Language) -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        # Pages show texts and labels of anybody's.
        autoescape=True,
        # A name that a Report lacks is an error, and no empty place on the page.
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (TEMPLATES / "sort.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    # The policy of the page names this one script by its digest, so that nothing else in it can run.
    environment.globals |= {"sort_script": Markup(script), "sort_digest": Markup(f"sha256-{digest}")}
    environment.globals |= PUNCTUATION[language]
    environment.globals |= {"language": language, "_": functools.partial(_say, language=language)}
    environment.filters |= {
        "percent": _percent,
        "number": _number,
        "points": _points,
        "score": _score,
        "score_span": _score_span,
        "change": _change,
        "labels": functools.partial(_labels, language=language),
        "short": _short,
    }
    return environment


def _percent(share: float | None, digits: int = 2) -> str:
    return NOTHING if share is None else f"{100 * share:.{digits}f} %"


def _points(difference: float | None) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    if difference is None:
        return NOTHING
    return f"{100 * difference:+.2f}".replace("-", MINUS)


def _score(value: float | None, measure: Mapping[str, Any]) -> str:
    """Return a score as a person reads it: a rate in percent."""
    return _percent(value) if measure["is_rate"] else _number(value, 4)


def _score_span(interval: Sequence[float], measure: Mapping[str, Any]) -> str:
    """Return an interval of scores, without a unit."""
    low, high = (100 * end if measure["is_rate"] else end for end in interval)
    return f"{low:.2f} – {high:.2f}" if measure["is_rate"] else f"{low:.4g} – {high:.4g}"


def _change(difference: float | None, measure: Mapping[str, Any] | None = None) -> str:
    """Return a difference of scores with its sign; that of rates in percentage points."""
    if measure is None or measure["is_rate"] or difference is None:
        return _points(difference)
    return f"{difference:+.4g}".replace("-", MINUS)


def _number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, and all those before the point."""
    if value is None:
        return NOTHING
    # From where rounding would need one more digit, g would write an exponent.
    if isinstance(value, int) or abs(value) >= 10**digits - 0.5:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if value == 0 or abs(value) >= 1e-4 else f"{value:.1e}"


def _labels(value: str | list[str], *, language: Language) -> str:
    return value if isinstance(value, str) else ", ".join(value) or translate("none", language)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
