"""A task that stands in this file only goes through every verb: ordered stars, with a link and a headline of its own.

Nothing of the package knows it. It is one row in the table of tasks; its link is trained as the one it derives from.
"""

import importlib.util
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import yanmo
from yanmo.answers.answered import Decided
from yanmo.answers.links import Link, Softmax
from yanmo.errors import ModelError
from yanmo.metrics.measures import Measure
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


@dataclass(frozen=True)
class LikeAnother(OrderedStars):
    """The same, measured by how far its mean stars are from another model's, in thousandths: nothing else is as good.

    Attributes:
        others: That model's mean stars of the rows of a split, by the number of these.
    """

    others: Mapping[int, np.ndarray] = field(default_factory=dict)
    measures: tuple[Measure, ...] = (replace(MEAN_ERROR, name="apart", title="thousandths of a star"),)

    def statistics(self, evidence, targets):  # noqa: ARG002
        mean_N = evidence.values_MC @ np.arange(evidence.values_MC.shape[1])
        apart_N = 1000 * np.abs(mean_N - self.others.get(len(mean_N), mean_N))
        return np.column_stack([apart_N, np.ones(len(apart_N))]).astype(np.float64)


def like(bundle, stars):
    """Return the task of answering as a Bundle does on the splits of a Dataset."""
    with yanmo.load(bundle) as predictor:
        found = [predictor.predict_proba(stars.split(one)["text"].to_list()) for one in ("train", "valid", "test")]
    return LikeAnother(others={len(values_NC): values_NC @ np.arange(5) for values_NC in found})


@pytest.fixture(scope="module", autouse=True)
def row_in_table():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(TASKS, "ordered_stars", OrderedStars())
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("stars")


@pytest.fixture(scope="module")
def stars(row_in_table, folder):
    """A Dataset of 400 rows whose words tell the stars, some of them by one too many."""
    generator = np.random.default_rng(5)
    rows = []
    for number in range(400):
        grade = int(generator.integers(0, 5))
        said = int(np.clip(grade + generator.integers(-1, 2) * (generator.random() < 0.2), 0, 4))
        rows.append({"text": f"a {GRADES[said]} {NOUNS[number % 8]} {number}", "label": STARS[grade]})
    (folder / "stars.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return yanmo.prepare(
        folder / "stars.jsonl", task="ordered_stars", valid_ratio=0.3, test_ratio=0.2, out=folder / "data"
    )


@pytest.fixture(scope="module")
def linear(stars, folder):
    return yanmo.train(stars, model="linear", num_threads=1, out=folder / "linear")


@pytest.fixture(scope="module")
def ngram(stars, folder):
    return yanmo.train(stars, model="ngram", num_threads=1, num_epochs=12, out=folder / "ngram")


def served():
    """Return what starts a service in a thread, which the tests of the service share."""
    spec = importlib.util.spec_from_file_location("served", Path(__file__).parents[1] / "serving" / "conftest.py")
    module = sys.modules.setdefault("served", importlib.util.module_from_spec(spec))
    spec.loader.exec_module(module)
    return module


def mean_error(answers, stars):
    """Return how many stars predictions of the validation rows are from the truth, in the mean."""
    truth_N, said_N = (
        column.cast(pl.Int64).to_numpy() for column in (stars.split("valid")["label"], answers["prediction"])
    )
    return np.abs(truth_N - said_N).mean()


def test_it_goes_through_training_measuring_and_compression(stars, linear, ngram, tmp_path):
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


@pytest.mark.parametrize(("guarantee", "kept"), [("agreement", "agreement"), ("accuracy", "right_rows")])
def test_a_cascade_says_its_headline_and_what_it_guarantees(stars, linear, ngram, tmp_path, guarantee, kept):
    values = {"alpha": 0.5, "delta": 0.2, "costs": (0.1, 1.0), "num_threads": 1}
    staged = yanmo.cascade(stars, [linear, ngram], guarantee=guarantee, **values, out=tmp_path / "staged")
    scores = staged.manifest.info["summary"]
    assert not any("accuracy" in name for name in scores)
    assert scores[f"bound_of_{kept}"] <= 0.5
    answers = yanmo.predict(staged, stars.path, split="valid", out=tmp_path / "answers").frame()
    assert set(answers["stage"]) == {1, 2}
    assert scores["valid_mean_error"] == pytest.approx(mean_error(answers, stars), abs=1e-6)
    last = yanmo.predict(ngram, stars.path, split="valid", out=tmp_path / "last").frame()
    assert scores["valid_mean_error_of_last_stage"] == pytest.approx(mean_error(last, stars), abs=1e-6)

    report = yanmo.evaluate(staged, stars, measure_speed=False, num_resamples=100, out=tmp_path / "report")
    facts = report.summary()["cascade"]
    assert "accuracy_lost" not in facts
    assert -1 <= facts["right_rows_lost"] <= 1
    page = report.html_path.read_text(encoding="utf-8")
    assert "macro F1" not in page
    assert ("points of right rows" in page) == (guarantee == "accuracy")
    assert "points of accuracy" not in page


def test_networks_learn_it_are_exported_and_predict(stars, ngram, tmp_path):
    values = {"num_epochs": 2, "r_drop": 0.5, "num_threads": 1}
    network = yanmo.train(stars, model="textcnn", **values, out=tmp_path / "textcnn")
    graph = yanmo.export(network, out=tmp_path / "graph")
    frames = {
        one.name: yanmo.predict(one, stars.path, out=tmp_path / f"{one.name}-answers").frame()
        for one in (network, graph, ngram)
    }
    assert frames["graph"]["prediction"].equals(frames["textcnn"]["prediction"])
    values_NC = np.stack(frames["ngram"]["probabilities"].to_list())
    assert frames["ngram"]["prediction"].to_list() == [STARS[round(one)] for one in (values_NC @ np.arange(5)).tolist()]
    sure_N = Ordered().confidence_M(values_NC)
    assert frames["ngram"]["probability"].to_numpy() == pytest.approx(sure_N, abs=1e-6)
    assert (sure_N > values_NC.max(axis=1) + 0.01).any()


def test_the_lowest_mean_error_is_the_best_of_a_training(ngram):
    lines = (ngram.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    errors = [record["valid_mean_error"] for line in lines if "valid_mean_error" in (record := json.loads(line))]
    assert ngram.manifest.info["summary"]["valid_mean_error"] == pytest.approx(min(errors), abs=1e-6)


def test_a_gate_refuses_what_loses_more_of_its_headline_than_is_allowed(stars, ngram, tmp_path, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "yanmo")
    monkeypatch.setitem(TASKS, "ordered_stars", like(ngram, stars))
    made = yanmo.quantize(ngram, stars, max_drop=500.0, num_threads=1, out=tmp_path / "free")
    lost = made.manifest.info["quantization"]["apart_drop"]
    assert lost > 0.001
    # A loss of more than 1 is a verdict where the headline is no rate, so it is told.
    assert any(message.startswith("All parts are int8: apart") for message in caplog.messages)
    made = yanmo.quantize(ngram, stars, max_drop=1.01 * lost, num_threads=1, out=tmp_path / "allowed")
    assert made.manifest.info["quantization"]["kept_fp32"] == []
    with pytest.raises(ModelError, match=r"loses more apart than 0; the last lost 0\.0"):
        yanmo.quantize(ngram, stars, max_drop=0.0, num_threads=1, out=tmp_path / "refused")
    assert not (tmp_path / "refused").exists()


def test_it_is_served(linear):
    with served()._serving(linear) as client:
        reply = client.ask("POST", "/predict", b'{"text": "a superb meal"}', JSON)
        assert reply.status == 200
        assert reply.json["prediction"] in STARS
        assert set(reply.json["probabilities"]) == set(STARS)
        unsure = client.ask("POST", "/predict", b'{"text": "a superb meal", "threshold": 1.0}', JSON).json
        assert (unsure["prediction"], unsure["abstained"]) == (None, True)


def test_whether_a_threshold_silenced_it_is_what_its_task_says(linear, monkeypatch):
    # Whether labels exclude each other says nothing about whether a task withholds.
    monkeypatch.setitem(TASKS, "ordered_stars", OrderedStars(link=Ordered(excludes=False)))
    with served()._serving(linear) as client:
        unsure, sure = (
            client.ask("POST", "/predict", b'{"text": "a superb meal", "threshold": %d}' % least, JSON).json
            for least in (1, 0)
        )
    assert (unsure["prediction"], unsure["abstained"]) == (None, True)
    assert (sure["prediction"] in STARS, sure["abstained"]) == (True, False)


@pytest.mark.timeout(600)
def test_grind_allows_the_loss_of_its_headline_that_was_asked_for(stars, linear, ngram, tmp_path, monkeypatch):
    teacher = yanmo.ensemble(stars, [linear, ngram], num_threads=1, out=tmp_path / "teacher")
    monkeypatch.setitem(TASKS, "ordered_stars", like(teacher, stars))
    values = {"students": ("ngram",), "hours": 1.0, "num_threads": 1, "out": tmp_path / "ground"}
    with pytest.raises(ModelError) as caught:
        yanmo.grind(teacher, stars, max_drop=0.0, **values)
    rows = json.loads((tmp_path / "ground-report" / "report.json").read_text(encoding="utf-8"))["rows"]
    assert all(set(row["misses"]) == {"max_drop"} and row["drop"] > 0 for row in rows)
    best, *others = sorted(rows, key=lambda row: row["drop_at_most"])
    assert f"{best['name']} needs max_drop {best['drop_at_most']:.4g} instead of 0" in str(caught.value)

    allowed = (best["drop_at_most"] + others[0]["drop_at_most"]) / 2
    made = yanmo.grind(teacher, stars, max_drop=allowed, **values)
    facts = made.manifest.info["summary"]
    assert facts["winner"].removesuffix("-calibrated") == best["name"]
    assert 0 < facts["apart"] == facts["drop"] <= allowed
    assert facts["test_apart"] == facts["test_drop"] > 0
