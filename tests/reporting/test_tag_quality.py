"""The values of a Report about tags against scores computed by hand, and its page."""

import json

import numpy as np
import polars as pl
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.parquet import write_parquet
from yanmo.artifacts.report import plain
from yanmo.reporting.pages import render_evaluation
from yanmo.reporting.sections import sections_of
from yanmo.reporting.tag_mistakes import worst_tag_mistakes
from yanmo.reporting.tag_quality import measure_tag_calibration, measure_tag_quality
from yanmo.tasks import get_task
from yanmo.text.pipeline import TextConfig

LABELS = ["B-loc", "B-per", "I-loc", "I-per", "O"]
TEXTS = ["Ada Lovelace saw Paris", "in 北京 today", ""]
PLACES = [[0, 3], [4, 12], [13, 16], [17, 22], [0, 2], [3, 5], [6, 11]]
OFFSETS = np.array([0, 4, 7, 7])


def says(tags, sure, labels=LABELS, offsets=OFFSETS, places=PLACES):
    """Evidence in which every unit has one tag with a probability; the others share the rest."""
    columns = [labels.index(tag) for tag in tags.split()]
    values_MC = np.repeat((1 - np.array(sure))[:, None] / (len(labels) - 1), len(labels), axis=1)
    values_MC[np.arange(len(columns)), columns] = sure
    return Choices(values_MC.astype(np.float32), SOFTMAX, offsets, np.array(places))


def truth_of(tags, labels=LABELS, offsets=OFFSETS):
    return Ragged(np.array([-1 if tag == "?" else labels.index(tag) for tag in tags.split()]), offsets)


FOUND = says("B-per I-per O B-per O B-loc B-loc", [0.9, 0.78, 0.95, 0.7, 0.99, 0.6, 0.85])
TRUTH = truth_of("B-per I-per O B-loc O B-loc O")
TASK = get_task("token_labels").of(LABELS)
SAMPLING = {"num_resamples": 200, "seed": 0}


def measure(evidence=FOUND, targets=TRUTH, labels=LABELS):
    values = plain(measure_tag_quality(evidence, targets, labels, get_task("token_labels").of(labels), **SAMPLING))
    json.dumps(values, allow_nan=False)
    return values


def test_scores_and_tables_are_those_of_spans():
    values = measure()
    assert (values["num_rows"], values["num_units"], values["num_unlabeled_units"]) == (3, 7, 0)
    assert (values["headline"]["name"], values["counted"]) == ("span_f1", "spans")
    assert values["span_f1"] == pytest.approx(2 * 2 / (4 + 3))
    assert values["unit_accuracy"] == pytest.approx(5 / 7)
    assert [one["name"] for one in values["measures"]] == [one.name for one in TASK.measures]
    assert all(len(values[f"{one.name}_interval"]) == 2 for one in TASK.measures)
    loc, per = values["per_label"]
    assert loc == {"label": "loc", "precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2, "predicted": 2}
    assert (per["label"], per["precision"], per["recall"], per["support"]) == ("per", 0.5, 1.0, 1)
    assert values["confusion_matrix"] == [[1, 1], [0, 1]]
    assert values["most_confused"] == [{"label": "loc", "predicted": "per", "count": 1, "share": 0.5}]
    assert values["span_errors"] == {
        "right": 2,
        "wrong_kind": 1,
        "wrong_boundary": 0,
        "wrong_kind_and_boundary": 0,
        "invented": 1,
        "lost": 0,
    }
    assert (values["roc_auc"], values["roc_auc_interval"]) == (None, None)


def test_a_calibrated_span_is_right_as_often_as_it_is_sure():
    values = measure()
    # Spans of 0.78 and 0.6 are right; of 0.7 and 0.85 wrong; each stands in a bin of its own.
    assert values["expected_calibration_error"] == pytest.approx((0.22 + 0.4 + 0.7 + 0.85) / 4)
    assert sum(one["count"] for one in values["calibration"]) == 4
    low, high = values["expected_calibration_error_interval"]
    assert 0 <= low <= values["expected_calibration_error"] <= high <= 1
    assert values["log_loss"] == pytest.approx(TASK.losses_N(FOUND, TRUTH).mean())
    names = ("log_loss", "expected_calibration_error", "calibration")
    alone = plain(measure_tag_calibration(FOUND, TRUTH, LABELS, TASK))
    assert alone == {name: values[name] for name in names}


def test_of_plain_tags_units_are_counted():
    labels = ["ADJ", "NOUN", "VERB"]
    values = measure(
        says("NOUN NOUN VERB NOUN ADJ NOUN ADJ", [0.5] * 7, labels),
        truth_of("NOUN NOUN VERB ADJ ? NOUN ADJ", labels),
        labels,
    )
    assert (values["headline"]["name"], values["counted"]) == ("unit_accuracy", "units")
    assert values["unit_accuracy"] == pytest.approx(5 / 6)
    assert values["num_unlabeled_units"] == 1
    assert values["confusion_matrix"] == [[1, 1, 0], [0, 3, 0], [0, 0, 1]]
    assert values["span_errors"] is None


def test_kinds_that_never_occur_stand_in_the_matrix():
    labels = ["ADJ", "NOUN", "VERB"]
    values = measure(says("NOUN " * 7, [0.5] * 7, labels), truth_of("NOUN " * 7, labels), labels)
    assert values["confusion_matrix"] == [[0, 0, 0], [0, 7, 0], [0, 0, 0]]


def test_one_kind_is_confused_with_none():
    labels = ["B", "E", "M", "S"]
    values = measure(says("S B E S S B E", [0.9] * 7, labels), truth_of("S S S S B M E", labels), labels)
    assert (values["confusion_matrix"], values["most_confused"]) == (None, [])
    assert [one["label"] for one in values["per_label"]] == ["word"]


def test_where_nothing_is_found_nothing_is_sure():
    values = measure(says("O O O O O O O", [0.9] * 7))
    assert (values["span_f1"], values["span_precision"]) == (0.0, None)
    assert (values["expected_calibration_error"], values["expected_calibration_error_interval"]) == (None, None)
    assert values["span_errors"]["lost"] == 3


def test_mistakes_stand_in_their_texts_the_most_confident_first():
    found = worst_tag_mistakes(FOUND, TRUTH, LABELS, TEXTS, num_mistakes=9)
    assert [(one["error"], one["predicted"], one["span"]) for one in found] == [
        ("invented", "loc", "today"),
        ("wrong_kind", "per", "Paris"),
    ]
    assert found[0] == {
        "error": "invented",
        "predicted": "loc",
        "probability": pytest.approx(0.85),
        "row": 1,
        "start": 6,
        "end": 11,
        "before": "in 北京 ",
        "span": "today",
        "after": "",
        "truth": [],
    }
    assert found[1]["truth"] == [{"label": "loc", "start": 17, "end": 22, "span": "Paris"}]
    assert len(worst_tag_mistakes(FOUND, TRUTH, LABELS, TEXTS, num_mistakes=1)) == 1
    assert worst_tag_mistakes(FOUND, truth_of("B-per I-per O B-per O B-loc B-loc"), LABELS, TEXTS, num_mistakes=9) == []


def test_of_a_long_text_what_is_near_the_mistake_is_shown():
    text = "a " * 100 + "Paris" + " b" * 100
    evidence = says("B-per", [0.9], offsets=np.array([0, 1]), places=[[200, 205]])
    targets = truth_of("B-loc", offsets=np.array([0, 1]))
    (found,) = worst_tag_mistakes(evidence, targets, LABELS, [text], num_mistakes=9)
    assert (found["before"], found["span"], found["after"]) == ("a " * 40, "Paris", " b" * 40)


def test_what_was_lost_is_as_sure_as_what_was_said_instead():
    lost, short = worst_tag_mistakes(
        says("B-per O O O O O O", [0.7, 0.9, 0.95, 0.8, 0.99, 0.6, 0.85]), TRUTH, LABELS, TEXTS, num_mistakes=2
    )
    assert (lost["error"], lost["predicted"], lost["span"], lost["row"]) == ("lost", None, "Paris", 0)
    assert lost["probability"] == pytest.approx(0.8)
    assert lost["truth"] == [{"label": "loc", "start": 17, "end": 22, "span": "Paris"}]
    assert (short["error"], short["span"], short["before"], short["after"]) == (
        "wrong_boundary",
        "Ada",
        "",
        " Lovelace saw Paris",
    )
    assert short["truth"] == [{"label": "per", "start": 0, "end": 12, "span": "Ada Lovelace"}]


@pytest.fixture
def make_dataset(tmp_path):
    """A Dataset whose training rows have the spans Ada Lovelace, 北京 and, in two units, Paris Texas."""

    def make(labels=LABELS, *, units="words", splits=("train",)):
        texts = ["Ada Lovelace wrote", "北京 and Paris Texas"]
        tags = [["B-per", "I-per", "O"], ["B-loc", "O", "B-loc", "I-loc"]]
        if labels is not LABELS:
            tags = [labels[:1] * 3, [*labels[:1] * 3, None]]
        frame = pl.DataFrame({"id": ["0", "1"], "text": texts, "label": tags})
        folder, text = tmp_path / "-".join((units, *splits, *labels)), TextConfig(units=units).model_dump(mode="json")
        identity = Identity(kind="dataset", verb="prepare", task="token_labels", labels=labels, info={"text": text})
        with publish(folder, identity) as staging:
            for name in splits:
                write_parquet(frame, staging / f"{name}.parquet")
        return Dataset.open(folder)

    return make


def test_spans_that_training_has_not_are_counted_apart(make_dataset):
    frame = pl.DataFrame({"id": ["a", "b", "c"], "text": TEXTS})
    answers = (FOUND, TRUTH, LABELS, TASK)
    values = sections_of(FOUND).novelty(*answers, frame=frame, dataset=make_dataset())
    # Ada Lovelace and 北京 are known, and found; Paris alone is new, and was found as another kind.
    assert values == {
        "new_spans": {"num_known": 3, "new_share": pytest.approx(1 / 3), "new_recall": 0.0, "known_recall": 1.0}
    }
    assert sections_of(FOUND).novelty(*answers, frame=frame, dataset=make_dataset(splits=("test",))) == {
        "new_spans": None
    }
    plain_tags = ["ADJ", "NOUN"]
    evidence, targets = says("NOUN " * 7, [0.6] * 7, plain_tags), truth_of("NOUN " * 7, plain_tags)
    answers = (evidence, targets, plain_tags, get_task("token_labels").of(plain_tags))
    assert sections_of(evidence).novelty(*answers, frame=frame, dataset=make_dataset(plain_tags)) == {"new_spans": None}


def test_the_evidence_says_which_parts_a_report_has():
    frame = pl.DataFrame({"id": ["a", "b", "c"], "text": TEXTS})
    first, *_ = sections_of(FOUND).mistakes(FOUND, TRUTH, LABELS, TASK, frame=frame, num_mistakes=9)
    assert (first["id"], first["span"]) == ("b", "today")
    assert "row" not in first
    assert sections_of(FOUND).quality is measure_tag_quality
    assert sections_of(Choices(np.eye(2, dtype=np.float32), SOFTMAX)).quality is not measure_tag_quality


@pytest.fixture
def make_page(make_evaluation, make_dataset):
    def make(evidence=FOUND, targets=TRUTH, labels=LABELS):
        frame = pl.DataFrame({"id": ["a", "b", "c"], "text": ["<b>" + TEXTS[0][3:], *TEXTS[1:]]})
        answers = (evidence, targets, labels, get_task("token_labels").of(labels))
        quality = sections_of(evidence).quality(*answers, **SAMPLING)
        novelty = sections_of(evidence).novelty(*answers, frame=frame, dataset=make_dataset(labels))
        mistakes = sections_of(evidence).mistakes(*answers, frame=frame, num_mistakes=9)
        return render_evaluation(plain({**make_evaluation(), **quality, **novelty, "mistakes": mistakes}))

    return make


def test_the_page_shows_mistakes_in_their_texts_and_what_is_wrong_with_spans(make_page):
    page = make_page()
    assert "in 北京 <mark>today</mark>" in page
    assert "<mark>Paris</mark>" in page
    assert "wrong kind" in page
    assert "&lt;b&gt; Lovelace" in page
    assert "What is wrong with spans" in page
    assert "ROC AUC</span>" not in page
    assert "<th>spans</th>" in page
    assert "of these 50.0 % were found, of the others 100.0 %" in page


def test_the_page_of_plain_tags_and_that_of_nothing_found(make_page):
    labels = ["ADJ", "NOUN"]
    page = make_page(says("NOUN " * 7, [0.6] * 7, labels), truth_of("NOUN NOUN ADJ NOUN ? ADJ NOUN", labels), labels)
    assert "<th>units</th>" in page
    assert "What is wrong with spans" not in page
    assert "7 units, of which 1 have no label and are left out" in page
    nothing = make_page(says("O " * 7, [0.9] * 7))
    assert nothing.count('<td class="left few">lost</td>') == 3
