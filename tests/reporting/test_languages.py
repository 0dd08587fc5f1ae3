"""Pages in Chinese: every sentence is, numbers and names stay, and what is said is in the catalogue."""

from __future__ import annotations

import re
from html import escape

import pytest

from yanmo.reporting import pages, plots, tuning
from yanmo.reporting.grinding import render_grinding
from yanmo.reporting.pages import render_audit, render_benchmark, render_comparison, render_evaluation
from yanmo.translations import catalogue, translate

NUMBER = re.compile(r"\d[\d,.]*\d|\d")
# Names of files and methods, units, and what stands for itself.
KEPT = re.compile(r"<style>.*?</style>|<script>.*?</script>|<svg.*?</svg>|<[^>]+>", re.DOTALL)


@pytest.fixture(scope="module")
def reports(evaluation_report, comparison_report, cascade_report, audit_report, grinding_report, make_benchmark):
    return {
        "evaluation": (render_evaluation, evaluation_report),
        "comparison": (render_comparison, comparison_report),
        "cascade": (render_evaluation, cascade_report),
        "audit": (render_audit, audit_report),
        "grinding": (render_grinding, grinding_report),
        "benchmark": (render_benchmark, make_benchmark(["bert", "textcnn"])),
    }


NAMES = ["evaluation", "comparison", "cascade", "audit", "grinding", "benchmark"]


def text_of(html):
    return " ".join(KEPT.sub(" ", html).split())


@pytest.mark.parametrize("name", NAMES)
def test_a_chinese_page_says_all_in_chinese_with_the_same_numbers(reports, name, monkeypatch):
    render, report = reports[name]
    asked = set()

    def recording(text, language, **values):
        asked.add(text)
        return translate(text, language, **values)

    for module in (pages, plots, tuning):
        monkeypatch.setattr(module, "translate", recording)
    pages._environment.cache_clear()
    english, chinese = render(report), render({**report, "language": "zh"})
    pages._environment.cache_clear()
    assert sorted(asked - catalogue().keys()) == []
    assert '<html lang="en">' in english
    assert '<html lang="zh-CN">' in chinese
    ours, theirs = text_of(chinese), text_of(english)
    assert sorted(NUMBER.findall(ours)) == sorted(NUMBER.findall(theirs))
    # No sentence of the English page is left but names, which are no sentences.
    left = [text for text in asked if len(text.split()) > 3 and text in ours]
    assert left == []
    # A full stop of one language does not stand behind a sentence of the other, nor a gap behind a Chinese one.
    texts = [
        " ".join(text.split())
        for text in re.findall(">([^<>]+)<", re.sub("<style>.*?</style>", "", chinese, flags=re.S))
    ]
    odd = re.compile("[\u4e00-\u9fff%][.;]( |$)|。 [\u4e00-\u9fff]")
    assert [text for text in texts if odd.search(text)] == []
    labels = [row["label"] for row in report.get("per_label", [])]
    assert all(escape(label) in chinese for label in labels)


def test_a_plot_is_labeled_in_chinese(comparison_report):
    chinese = render_comparison({**comparison_report, "language": "zh"})
    assert 'aria-label="准确率与单条文本 ms"' in chinese
    assert ">单条文本 ms，对数<" in chinese


def test_what_is_anybodys_stays_escaped_in_chinese(make_benchmark):
    page = render_benchmark({**make_benchmark(), "language": "zh"})
    assert "<script>alert" not in page
