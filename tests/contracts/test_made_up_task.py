"""A task that stands in this file only goes through every verb: ordered stars, with a link and a headline of its own.

Nothing of the package knows it. It is one row in the table of tasks, and its link one row in the table of losses.
"""

import importlib.util
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import yanmo
from yanmo.answers.answered import Decided
from yanmo.answers.links import Link, Softmax
from yanmo.metrics.measures import Measure
from yanmo.modeling.objectives import choices as objective
from yanmo.tasks import TASKS
from yanmo.tasks.labels import LabelTask, label_columns, sort_labels

JSON = {"content-type": "application/json"}
STARS = ["1", "2", "3", "4", "5"]
GRADES = ["awful", "poor", "fair", "good", "superb"]
NOUNS = ["meal", "room", "film", "book", "trip", "shop", "play", "song"]


@dataclass(frozen=True)
class Ordered(Softmax):
    """A softmax over labels in an order: an answer is as sure as the label and its neighbors are together."""

    name: str = "ordered"

    def confidence_M(self, probabilities_MC):
        best_M = np.rint(probabilities_MC @ np.arange(probabilities_MC.shape[1])).astype(int)
        near_MC = np.abs(np.arange(probabilities_MC.shape[1]) - best_M[:, None]) <= 1
        return np.asarray((probabilities_MC * near_MC).sum(axis=1), dtype=np.float32).clip(0, 1)


def stars_apart(sums):
    return sums[..., 0] / sums[..., 1]


MEAN_ERROR = Measure("mean_error", stars_apart, "mean error in stars", higher_is_better=False, is_rate=False)


@dataclass(frozen=True)
class OrderedStars(LabelTask):
    """How many stars a text has: the mean of the stars is what is decided, rounded."""

    name: str = "ordered_stars"
    inputs: tuple[str, ...] = ("text",)
    link: Link = Ordered()
    measures: tuple[Measure, ...] = (MEAN_ERROR,)

    def parse_labels(self, column, separator):  # noqa: ARG002
        stars = column.cast(pl.String).str.strip_chars()
        return stars.set(~stars.is_in(STARS), None)

    def label_names(self, column):
        return sort_labels(column.drop_nulls().to_list())

    def encode(self, column, labels):
        return np.eye(len(labels), dtype=np.float32)[label_columns(column, labels)]

    def choose(self, probabilities_NC):
        best_N = np.rint(probabilities_NC @ np.arange(probabilities_NC.shape[1])).astype(int)
        return np.eye(probabilities_NC.shape[1], dtype=bool)[best_N]

    def decide(self, evidence, labels, *, threshold=None):
        best_N = self.choose(evidence.values_MC).argmax(axis=1)
        decided = Decided([labels[best] for best in best_N.tolist()], self.confidence_N(evidence))
        return decided if threshold is None else decided.withhold(decided.probability_N < threshold)

    def frame_type(self):
        return pl.String()

    def statistics(self, evidence, targets):
        apart_N = np.abs(self.choose(evidence.values_MC).argmax(axis=1) - targets.argmax(axis=1))
        return np.column_stack([apart_N, np.ones(len(apart_N))]).astype(np.float64)


@pytest.fixture(autouse=True)
def rows_in_tables(monkeypatch):
    monkeypatch.setitem(TASKS, "ordered_stars", OrderedStars())
    monkeypatch.setitem(objective.LOSSES, "ordered", objective.LOSSES["softmax"])
    monkeypatch.setitem(objective.DIVERGENCES, "ordered", objective.DIVERGENCES["softmax"])


@pytest.fixture
def stars(tmp_path):
    """A Dataset of 400 rows whose words tell the stars, some of them by one too many."""
    generator = np.random.default_rng(5)
    rows = []
    for number in range(400):
        grade = int(generator.integers(0, 5))
        said = int(np.clip(grade + generator.integers(-1, 2) * (generator.random() < 0.2), 0, 4))
        rows.append({"text": f"a {GRADES[said]} {NOUNS[number % 8]} {number}", "label": STARS[grade]})
    (tmp_path / "stars.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return yanmo.prepare(
        tmp_path / "stars.jsonl", task="ordered_stars", valid_ratio=0.3, test_ratio=0.2, out=tmp_path / "data"
    )


def served():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", Path(__file__).parents[1] / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def train(stars, model, out, **options):
    return yanmo.train(stars, model=model, num_threads=1, out=out, **options)


def test_it_goes_through_training_measuring_and_compression(stars, tmp_path):
    linear = train(stars, "linear", tmp_path / "linear")
    ngram = train(stars, "ngram", tmp_path / "ngram", num_epochs=12)
    scores = ngram.manifest.info["summary"]
    assert scores["valid_mean_error"] < 1.0
    assert "valid_accuracy" not in scores

    report = yanmo.evaluate(
        ngram, stars, against=linear, measure_speed=False, num_resamples=200, out=tmp_path / "report"
    ).metrics
    assert report["headline"]["name"] == "mean_error"
    low, high = report["mean_error_interval"]
    assert low <= report["mean_error"] <= high
    assert report["against"]["mean_error_difference"] == pytest.approx(
        report["mean_error"] - report["against"]["mean_error"]
    )
    assert "mean error in stars" in (tmp_path / "report" / "report.html").read_text(encoding="utf-8")

    small = yanmo.quantize(ngram, stars, max_drop=0.5, num_threads=1, out=tmp_path / "small")
    facts = small.manifest.info["quantization"]
    assert facts["mean_error_drop"] == pytest.approx(facts["mean_error"] - facts["fp32_mean_error"])

    whole = yanmo.ensemble(stars, [linear, ngram], method="weighted-by-score", num_threads=1, out=tmp_path / "whole")
    assert whole.manifest.info["summary"]["valid_mean_error"] < 1.0
    assert whole.members()[0].task == "ordered_stars"

    staged = yanmo.cascade(
        stars, [linear, ngram], alpha=0.5, delta=0.2, costs=(0.1, 1.0), num_threads=1, out=tmp_path / "staged"
    )
    answers = yanmo.predict(staged, stars.path, out=tmp_path / "answers").frame()
    assert set(answers["prediction"]) <= set(STARS)
    assert set(answers["stage"]) <= {1, 2}


def test_the_lowest_mean_error_is_the_best_of_a_training(stars, tmp_path):
    ngram = train(stars, "ngram", tmp_path / "ngram", num_epochs=12)
    lines = (ngram.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    errors = [record["valid_mean_error"] for line in lines if "valid_mean_error" in (record := json.loads(line))]
    assert ngram.manifest.info["summary"]["valid_mean_error"] == pytest.approx(min(errors), abs=1e-6)


def test_a_gate_that_allows_no_loss_of_its_headline_can_refuse(stars, tmp_path, monkeypatch):
    linear = train(stars, "linear", tmp_path / "linear")
    worse = Measure("mean_error", lambda sums: -stars_apart(sums), "mean error in stars", is_rate=False)
    monkeypatch.setitem(TASKS, "ordered_stars", OrderedStars(measures=(worse,)))
    made = yanmo.quantize(linear, stars, max_drop=5.0, num_threads=1, out=tmp_path / "small")
    facts = made.manifest.info["quantization"]
    assert facts["mean_error_drop"] == pytest.approx(facts["fp32_mean_error"] - facts["mean_error"])


def test_it_is_served(stars, tmp_path):
    linear = train(stars, "linear", tmp_path / "linear")
    with served()._serving(linear) as client:
        reply = client.ask("POST", "/predict", b'{"text": "a superb meal"}', JSON)
        assert reply.status == 200
        assert reply.json["prediction"] in STARS
        assert set(reply.json["probabilities"]) == set(STARS)
        unsure = client.ask("POST", "/predict", b'{"text": "a superb meal", "threshold": 1.0}', JSON).json
        assert unsure["prediction"] is None


@pytest.mark.timeout(600)
def test_grind_finds_what_loses_little_of_its_headline(stars, tmp_path):
    teacher = yanmo.ensemble(
        stars,
        [train(stars, "linear", tmp_path / "linear"), train(stars, "ngram", tmp_path / "ngram", num_epochs=12)],
        num_threads=1,
        out=tmp_path / "teacher",
    )
    made = yanmo.grind(
        teacher,
        stars,
        max_latency_ms=1000.0,
        max_drop=1.0,
        students=("ngram",),
        hours=0.01,
        num_threads=1,
        out=tmp_path / "ground",
    )
    facts = made.manifest.info["summary"]
    assert facts["drop"] <= 1.0
    assert facts["mean_error"] < 1.0
    assert "test_mean_error" in facts
