"""The pages open offline, say what was measured, and escape what users wrote."""

import base64
import dataclasses
import hashlib
import re
from html.parser import HTMLParser

import pytest

from yanmo.metrics.labels import ACCURACY
from yanmo.metrics.measures import Measure
from yanmo.reporting.pages import (
    _number,
    pareto_points,
    render_audit,
    render_benchmark,
    render_comparison,
    render_evaluation,
)
from yanmo.tasks import get_task

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """Collects elements, attributes and text, and notices tags that do not match."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.ids, self.open = [], [], [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.fixture(scope="module")
def pages(evaluation_report, comparison_report, cascade_report, audit_report, make_evaluation, make_benchmark):
    many = make_evaluation(500, [f"label {place}" for place in range(40)])
    htmls = {
        "evaluation": render_evaluation(evaluation_report),
        "many labels": render_evaluation(many),
        "comparison": render_comparison(comparison_report),
        "benchmark": render_benchmark(make_benchmark()),
        "cascade": render_evaluation(cascade_report),
        "audit": render_audit(audit_report),
    }
    return {name: (html, Page(html)) for name, html in htmls.items()}


@pytest.mark.parametrize("name", ["evaluation", "many labels", "comparison", "benchmark", "cascade", "audit"])
def test_a_page_needs_nothing_from_outside_and_runs_nothing_but_its_own_script(pages, name):
    html, page = pages[name]
    (script,) = re.findall("<script>(.*?)</script>", html, re.DOTALL)
    assert page.tags.count("script") == 1
    policy = next(value for _, value in page.attributes if value and value.startswith("default-src 'none'"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert re.search("script-src ([^;]*);", policy)[1] == f"'sha256-{digest}'"
    assert not {"link", "img", "iframe", "object", "form", "base", "image"} & set(page.tags)
    for key, value in page.attributes:
        assert not key.startswith("on")
        if key in {"href", "src", "xlink:href"}:
            assert value.startswith(("#", "../"))
        assert "http:" not in (value or "")
        assert "https:" not in (value or "")
    assert not re.search(r"@import|url\((?!#)", html)
    assert ("http-equiv", "Content-Security-Policy") in page.attributes
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme: dark" in html


@pytest.mark.parametrize("name", ["evaluation", "many labels", "comparison", "benchmark", "cascade"])
def test_ids_are_unique_and_every_reference_has_its_target(pages, name):
    html, page = pages[name]
    assert len(page.ids) == len(set(page.ids)) > 0
    references = re.findall(r'(?:href="#|url\(#)([^")]+)', html)
    assert set(references) <= set(page.ids)


def test_hostile_text_and_labels_are_shown_not_run(pages):
    html, page = pages["evaluation"]
    assert html.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "<script>alert(1)</script>" in page.text
    assert "&lt;b&gt;bold&lt;/b&gt;" in html


def test_an_evaluation_says_what_was_measured_where_and_how_to_do_it_again(pages, evaluation_report):
    _, page = pages["evaluation"]
    for expected in (
        "textcnn-中文 on messages",
        f"{100 * evaluation_report['accuracy']:.2f} %",
        " – ".join(f"{100 * bound:.2f}" for bound in evaluation_report["accuracy_interval"]),
        "Against ngram",
        "McNemar",
        "2026-11-30 , Yanmo 0.1.0",
        "day 2026-11-30",
        "Example <CPU>, 2 cores",
        "15.6 GiB",
        "numpy 2.2.0",
        "b" * 64,
        "d" * 64,
        "yanmo evaluate models/textcnn-中文 data/messages --out reports/textcnn",
        "61,234",
        "0.131 ms",
        "1.23 %",
        "快递到了，但是盒子坏了",
        "Confusion matrix",
    ):
        assert expected in page.text


def test_many_labels_get_the_most_confused_pairs_instead_of_a_matrix(pages):
    _, page = pages["many labels"]
    assert "Most confused" in page.text
    assert "Confusion matrix" not in page.text


def test_what_was_not_measured_is_left_out(make_evaluation):
    report = make_evaluation(30)
    report |= {"latency_ms": None, "throughput_texts_per_second": None, "roc_auc": None, "roc_auc_interval": None}
    page = Page(render_evaluation({**report, "mistakes": [], "unknown_token_share": None}))
    assert "one text alone" not in page.text
    assert "Most confident mistakes" not in page.text
    assert "ROC AUC –" in page.text


def test_a_mistake_about_a_pair_shows_both_texts(make_evaluation):
    report = make_evaluation(30)
    mistakes = [one | {"text_b": f"the other of {one['id']}"} for one in report["mistakes"]]
    page = Page(render_evaluation({**report, "inputs": ["text", "text_b"], "mistakes": mistakes}))
    assert mistakes
    for one in mistakes:
        assert one["text_b"] in page.text
    assert "the other of" not in Page(render_evaluation({**report, "mistakes": mistakes})).text


def test_a_comparison_lists_the_best_first(pages, comparison_report):
    _, page = pages["comparison"]
    accuracies = [row["accuracy"] for row in comparison_report["rows"]]
    assert accuracies == sorted(accuracies, reverse=True)
    places = [page.text.index(row["name"]) for row in comparison_report["rows"]]
    assert places == sorted(places)
    assert "线性模型 linear" in page.text
    assert [value for name, value in page.attributes if name == "href" and not value.startswith("#")] == [
        "../quality/%E7%BA%BF%E6%80%A7/report.html"
    ]


def test_a_benchmark_has_a_curve_for_each_sweep_and_says_what_has_no_value(pages, make_benchmark):
    html, page = pages["benchmark"]
    assert html.count("<svg") == 4  # two costs of accuracy; batch sizes and lengths, of threads there is one only
    assert html.count("<script") == 1
    assert "65.4 %" in page.text
    assert "nothing to count" in page.text
    only = Page(render_benchmark(make_benchmark(["bert"], labeled=False)))
    assert "bert: speed, memory, size" in only.text
    assert "1,200 – 1,300 in 3 runs" in only.text
    assert "What accuracy costs" not in only.text


def test_equal_values_give_equal_bytes(pages, evaluation_report, comparison_report):
    assert render_evaluation(evaluation_report) == pages["evaluation"][0]
    assert render_comparison(comparison_report) == pages["comparison"][0]


def test_the_front_holds_what_nothing_beats():
    rows = [
        {"name": name, "accuracy": accuracy, "size_mb": size}
        for name, accuracy, size in (("best", 0.9, 9.0), ("small", 0.8, 1.0), ("lost", 0.8, 2.0), ("twin", 0.9, 9.0))
    ]
    report = {"headline": get_task("single_label").measures[0].describe()}
    found = pareto_points(rows, "size_mb", report)
    assert [point.is_best for point in found.points] == [True, True, False, True]
    assert ([point.score for point in found.points], found.title, found.unit) == ([90, 80, 80, 90], "accuracy", ", %")


def test_the_front_of_what_should_be_low_holds_the_lowest():
    rows = [
        {"name": name, "bits": bits, "bits_interval": [bits - 0.5, bits + 0.5], "size_mb": size}
        for name, bits, size in (("best", 1.5, 9.0), ("small", 2.5, 1.0), ("lost", 2.5, 2.0))
    ]
    headline = {"name": "bits", "title": "bits a character", "higher_is_better": False, "is_rate": False}
    found = pareto_points(rows, "size_mb", {"headline": headline})
    assert [point.is_best for point in found.points] == [True, True, False]
    assert ([point.score for point in found.points], found.title, found.unit) == (
        [1.5, 2.5, 2.5],
        "bits a character",
        "",
    )
    assert found.points[0].interval == (1.0, 2.0)


def test_a_page_shows_another_headline_in_its_own_unit_and_sense(make_evaluation, make_comparison):
    single = get_task("single_label")
    errors = Measure(
        "errors",
        lambda sums: 3 * (1 - ACCURACY.of_sums(sums)),
        "errors a row",
        higher_is_better=False,
        is_rate=False,
    )
    task = dataclasses.replace(single, measures=(errors, *single.measures))
    report = make_evaluation(against=True, task=task)
    page = Page(render_evaluation(report))
    assert report["against"]["errors_difference"] < 0
    assert "Better than ngram" in page.text
    assert f"errors a row {report['errors']:.4g}" in page.text
    rows = make_comparison(task=task)["rows"]
    assert [row["name"] for row in rows] == [row["name"] for row in make_comparison()["rows"]]
    text = Page(render_comparison(make_comparison(task=task))).text
    assert "the best errors a row first" in text
    assert f"{rows[0]['errors']:.4g}" in text
    assert f"{rows[1]['behind_best']:+.4g}" in text


def own_measures(*, of_rows=False):
    """A task of stars with a headline of its own and a second measure, none of which any other task has."""
    apart = Measure(
        "apart", lambda sums: 2 - ACCURACY.of_sums(sums), "stars apart", higher_is_better=False, is_rate=False
    )
    near = Measure("near", lambda sums: (1 + ACCURACY.of_sums(sums)) / 2, "within one star", is_second=True)
    measures = (apart, near, ACCURACY) if of_rows else (apart, near)
    return dataclasses.replace(get_task("single_label"), measures=measures)


def test_tables_of_models_show_the_measures_of_their_task_and_no_others(make_comparison, make_cascade):
    compared, whole = make_comparison(task=own_measures()), make_cascade(task=own_measures())
    for page in (Page(render_comparison(compared)), Page(render_evaluation(whole))):
        assert "within one star" in page.text
        assert "macro F1" not in page.text
        assert "ccuracy" not in page.text
    assert f"{100 * compared['rows'][0]['near']:.2f} %" in Page(render_comparison(compared)).text
    assert f"{100 * whole['composite']['members'][0]['near']:.2f} %" in Page(render_evaluation(whole)).text
    usual = Page(render_comparison(make_comparison())).text
    assert "macro F1" in usual
    assert f"{100 * make_comparison()['rows'][0]['macro_f1']:.2f} %" in usual


def test_a_cascade_says_accuracy_only_where_that_is_the_headline(make_cascade):
    facts = make_cascade(task=own_measures(), kind="accuracy")["composite"]["cascade"]
    assert "accuracy_lost" not in facts
    assert facts["right_rows_lost"] == make_cascade()["composite"]["cascade"]["accuracy_lost"] != 0
    assert facts["measured_curve"][1].keys() == {"cost_ms", "disagreement", "right_rows_lost"}
    text = Page(render_evaluation(make_cascade(task=own_measures(), kind="accuracy"))).text
    assert "it loses at most +10.00 points of right rows against its last stage" in text
    assert f"it loses {100 * facts['right_rows_lost']:+.2f} points".replace("-", "−") in text
    both = make_cascade(task=own_measures(of_rows=True), kind="accuracy")
    assert "accuracy_lost" in both["composite"]["cascade"]
    assert "points of right rows against" in Page(render_evaluation(both)).text
    usual = Page(render_evaluation(make_cascade(kind="accuracy"))).text
    assert "it loses at most +10.00 points of accuracy against its last stage" in usual


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.13124, "0.131"),
        (8.0, "8"),
        (61234.5, "61,234"),
        (1234, "1,234"),
        (2e-7, "2.0e-07"),
        (999.6, "1,000"),
    ],
)
def test_numbers_read_well(value, expected):
    assert _number(value) == expected


def test_a_cascade_says_what_it_guarantees_what_it_costs_and_when_it_abstains(pages, cascade_report):
    html, page = pages["cascade"]
    facts = cascade_report["composite"]["cascade"]
    assert "it differs from its last stage on at most 10.00 % of texts, with a confidence of 95.0 %" in page.text
    assert f"{100 * facts['shares'][0]:.1f} %" in page.text
    assert "at most 2.00 % of its answers are wrong" in page.text
    assert "A stacked ensemble would have to be fitted again" in page.text
    assert html.count("<svg") == 4


def test_an_audit_lists_rows_with_their_suggested_labels(pages, audit_report):
    _, page = pages["audit"]
    assert "probably mislabelled 6 1.50 % of all rows, estimated" in page.text
    for row in audit_report["rows"]:
        assert row["id"] in page.text
        assert row["suggested"] in page.text
