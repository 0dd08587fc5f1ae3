"""Plots are small SVG elements in the page's colors, whatever the names are."""

import itertools
import re

import pytest

from yanmo.reporting import plots

HOSTILE = 'a$x^2$ & <b id="q">粗体</b>'
COLORS = "#010101 #010203 𠮷"


def accuracies(points):
    return plots.Points(points, "accuracy", ", %")


@pytest.fixture(scope="module")
def svg():
    points = [
        plots.Point(HOSTILE, 0.1, 80.0, True),
        plots.Point("bert", 12.0, 90.0, True, (86.0, 93.0)),
        plots.Point(COLORS, 20.0, 70.0, False),
    ]
    return plots.pareto_plot(accuracies(points), name="latency", cost="ms for one text")


def test_a_plot_is_one_element_that_scales(svg):
    assert svg.startswith('<svg role="img" aria-label="Accuracy against ms for one text" viewBox="0 0 ')
    assert svg.endswith("</svg>")
    assert svg.count("<svg") == 1
    assert "<style" not in svg
    assert "<metadata" not in svg
    assert "font-family" not in svg


def test_names_stay_text_and_are_escaped(svg):
    assert "a$x^2$ &amp; &lt;b " in svg
    assert "粗体" in svg
    assert "𠮷" in svg
    assert "#010203" in svg


def test_colors_are_the_pages(svg):
    assert "var(--bar)" in svg
    assert "fill: #" not in svg
    assert "stroke: #" not in svg


@pytest.mark.parametrize(("costs", "num_decades"), [((0.05, 9.0, 409.0), 5), ((1.2, 8.5, 41.0), 2), ((0.02, 18.0), 4)])
def test_numbers_of_a_logarithmic_axis_never_overlap(costs, num_decades):
    points = accuracies([plots.Point(f"m{cost}", cost, 80.0, True) for cost in costs])
    svg = plots.pareto_plot(points, name="size", cost="MB")
    found = re.findall(r'xtick_\d+".*?<text [^>]*x="([\d.]+)"[^>]*>([^<]*)</text>', svg, flags=re.DOTALL)
    assert len(found) >= num_decades
    places = [(float(x), 6.4 * len(text) / 2) for x, text in found]
    for (x, half), (next_x, next_half) in itertools.pairwise(places):
        assert x + half < next_x - next_half, found


def test_an_interval_is_a_line_through_its_point():
    points = [plots.Point("a", 1.0, 75.0, True), plots.Point("b", 2.0, 80.0, True, (70.0, 90.0))]
    without = [one._replace(interval=None) for one in points]
    drawn, plain = (plots.pareto_plot(accuracies(one), name="x", cost="MB") for one in (points, without))
    upright = re.compile(r'<path d="M ([\d.]+) [\d.]+\s+L \1 [\d.]+\s+"[^>]*stroke: var\(--soft\)')
    assert (len(upright.findall(drawn)), len(upright.findall(plain))) == (1, 0)


@pytest.mark.parametrize("cost", [1.0, 0.013])
def test_one_point_alone_can_be_drawn(cost):
    assert "only" in plots.pareto_plot(accuracies([plots.Point("only", cost, 100.0, True)]), name="x", cost="MB")


def test_the_axis_says_what_the_score_is():
    points = plots.Points([plots.Point("a", 1.0, 2.5, True)], "bits a character", "")
    svg = plots.pareto_plot(points, name="x", cost="MB")
    assert 'aria-label="Bits a character against MB"' in svg
    assert ">bits a character</text>" in svg
    assert ">accuracy, %</text>" in plots.pareto_plot(accuracies(points.points), name="x", cost="MB")


def test_a_single_filled_bin_can_be_drawn():
    empty = {"count": 0, "num_right": 0, "confidence": None, "accuracy": None}
    bins = [{"lower": 0.0, "upper": 0.5, **empty}]
    bins.append({"lower": 0.5, "upper": 1.0, "count": 3, "num_right": 3, "confidence": 1.0, "accuracy": 1.0})
    assert "right" in plots.confidence_histogram(bins)
    assert "confidence" in plots.reliability_diagram(bins)
