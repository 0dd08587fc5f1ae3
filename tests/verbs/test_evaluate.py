"""evaluate and the comparison of Bundles, on Bundles that answer by keyword and run in the real runtime."""

import json
import logging
import re
import shutil

import msgspec
import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from yanmo.answers.choices import Choices
from yanmo.artifacts import Bundle, Dataset, Report
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import write_golden
from yanmo.artifacts.effects import Effects
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, DataError
from yanmo.measuring.evaluation import publish_comparison
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs
from yanmo.text.ngrams import NgramConfig, hash_column
from yanmo.text.pipeline import TextConfig
from yanmo.verbs.evaluate import evaluate

WORDS = {"退款": ["退款", "refund"], "delivery": ["parcel", "快递"], "other": ["hello", "thanks"]}
NGRAMS = NgramConfig(word_ngrams=(1, 1), char_ngrams=None, cjk_words=True)
HOSTILE = "<script>alert(1)</script>"
NUM_BUCKETS = 2**14


def make_bundle(folder, name, words, *, task="single_label", scale=6.0, bias=0.0):
    """Publish an ngram Bundle whose embedding of a word is the label it stands for."""
    labels = list(words)
    embedding = np.zeros((NUM_BUCKETS, len(labels)), dtype=np.float32)
    for column, known in enumerate(words.values()):
        embedding[hash_column(known, NGRAMS).values & np.uint64(NUM_BUCKETS - 1), column] = 1.0
    eye = np.eye(len(labels), dtype=np.float32)
    tensors = {"embedding": embedding, "hidden.weight": eye, "hidden.bias": np.zeros(len(labels), np.float32)}
    tensors |= {"out.weight": scale * eye, "out.bias": np.full(len(labels), bias, np.float32)}
    tensors["seen"] = np.full(512, 255, np.uint8)
    info = {"format": "ngram", "model": "ngram", "max_length": 0, "text": TextConfig().model_dump(mode="json")}
    settings = {"num_buckets": NUM_BUCKETS, "ngrams": NGRAMS.model_dump(mode="json")}
    with publish(folder / name, Identity(kind="bundle", verb="train", task=task, labels=labels, info=info)) as staging:
        save_file(tensors, staging / "model.safetensors")
        (staging / "ngram.json").write_bytes(msgspec.json.encode(settings))
        none = Choices(np.zeros((0, len(labels)), np.float32), get_task(task).link)
        write_golden(staging, get_task(task).inputs, Inputs(([],) * len(get_task(task).inputs)), none)
    return Bundle.open(folder / name)


def make_dataset(folder, name, rows, labels, *, task="single_label", split="test"):
    frame = pl.DataFrame(
        {"id": [str(place) for place in range(len(rows))], "text": [row[0] for row in rows]}
        | {"label": [row[-1] for row in rows]}
        | ({"text_b": [row[1] for row in rows]} if task == "text_pair" else {})
    )
    info = {"text": TextConfig().model_dump(mode="json")}
    with publish(
        folder / name,
        Identity(kind="dataset", verb="prepare", task=task, labels=labels, info=info),
    ) as staging:
        frame.write_parquet(staging / "train.parquet")
        frame.write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder / name)


ROWS = [(f"{word} {place}", label) for place in range(20) for label, words in WORDS.items() for word in words]
ROWS += [(f"thanks {HOSTILE}", "退款"), ("refund", "other"), ("parcel refund parcel", "other")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("evaluate")


@pytest.fixture(scope="module")
def dataset(folder):
    return make_dataset(folder, "messages", ROWS, list(WORDS))


@pytest.fixture(scope="module")
def good(folder):
    return make_bundle(folder, "good", WORDS)


@pytest.fixture(scope="module")
def shuffled(folder):
    """The same model with its labels in another order."""
    return make_bundle(folder, "shuffled", dict(reversed(WORDS.items())))


@pytest.fixture(scope="module")
def half(folder):
    """A model that knows no Chinese."""
    return make_bundle(folder, "half", {label: [w for w in words if w.isascii()] for label, words in WORDS.items()})


@pytest.fixture(scope="module")
def report(good, half, dataset, folder):
    return evaluate(good, dataset, against=half, out=folder / "report", num_resamples=300, num_mistakes=2)


def test_the_report_holds_scores_intervals_speed_and_size(report, good, dataset):
    metrics = report.metrics
    num_right = len(ROWS) - 3
    assert metrics["num_rows"] == len(ROWS)
    assert metrics["accuracy"] == pytest.approx(num_right / len(ROWS))
    assert metrics["accuracy_interval"][0] < metrics["accuracy"] < metrics["accuracy_interval"][1]
    for name in ("macro_f1", "micro_f1", "weighted_f1", "log_loss", "expected_calibration_error", "roc_auc"):
        low, high = metrics[f"{name}_interval"]
        assert low <= metrics[name] <= high, name
        assert report.summary()[f"{name}_interval"] == [low, high]
    assert 0 < metrics["log_loss"] < 1
    assert 0 <= metrics["expected_calibration_error"] < 0.2
    assert 0.9 < metrics["roc_auc"] <= 1
    assert metrics["latency_ms"]["p50"] > 0
    assert metrics["latency_ms"]["p50"] <= metrics["latency_ms"]["p99"]
    assert metrics["throughput_texts_per_second"] > 0
    assert metrics["size_mb"] == pytest.approx(good.size_bytes / 1e6)
    assert (metrics["truncated_share"], metrics["unknown_token_share"]) == (0.0, 0.0)
    assert metrics["machine"]["num_cores"] >= 1
    assert report.manifest.parents["bundle"] == good.digest == metrics["bundle"]["digest"]
    assert report.manifest.parents["dataset"] == dataset.digest == metrics["dataset"]["digest"]


def test_the_report_is_strict_json(report):
    def refuse(word):
        raise AssertionError(word)

    json.loads((report.path / "report.json").read_bytes(), parse_constant=refuse)


def test_the_most_confident_mistakes_come_with_their_text_escaped(report):
    assert report.metrics["inputs"] == ["text"]
    # Copies: other tests read the same Report.
    first, second = map(dict, report.metrics["mistakes"])
    # The rows here are those of training, too, so the nearest one is the row itself.
    assert first.pop("similar")[0]["text"] == "refund"
    assert first == {
        "id": "121",
        "text": "refund",
        "label": "other",
        "predicted": "退款",
        "probability": pytest.approx(np.exp(6) / (np.exp(6) + 2)),
    }
    assert second["probability"] <= first["probability"]
    html = report.html_path.read_text(encoding="utf-8")
    assert html.count("<script") == 1


def test_hostile_text_in_a_mistake_is_escaped(good, dataset, folder):
    report = evaluate(good, dataset, out=folder / "hostile", num_resamples=100, measure_speed=False)
    assert HOSTILE in " ".join(one["text"] for one in report.metrics["mistakes"])
    html = report.html_path.read_text(encoding="utf-8")
    assert html.count("<script") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


def test_the_comparison_with_another_bundle_is_paired(report, half):
    against = report.metrics["against"]
    assert against["bundle"]["digest"] == half.digest == report.manifest.parents["against"]
    assert against["accuracy_difference"] == pytest.approx(report.metrics["accuracy"] - against["accuracy"])
    assert against["accuracy_difference_interval"][0] > 0
    assert against["mcnemar_p_value"] < 0.001
    assert against["only_this_right"] - against["only_against_right"] == round(
        against["accuracy_difference"] * len(ROWS)
    )


def test_the_summary_has_the_headlines(report):
    summary = report.summary()
    assert {"accuracy", "accuracy_interval", "macro_f1", "num_rows", "log_loss", "size_mb", "latency_ms"} <= set(
        summary
    )
    assert summary["against"]["accuracy_difference"] == report.metrics["against"]["accuracy_difference"]
    json.dumps(summary, allow_nan=False)


def test_labels_are_matched_by_name_never_by_place(good, shuffled, dataset, folder):
    values = [
        evaluate(one, dataset, out=folder / f"order-{one.name}", num_resamples=100, measure_speed=False).metrics
        for one in (good, shuffled)
    ]
    for name in ("accuracy", "macro_f1", "per_label", "confusion_matrix"):
        assert values[0][name] == values[1][name], name
    for name in ("log_loss", "roc_auc", "expected_calibration_error"):
        assert values[0][name] == pytest.approx(values[1][name], rel=1e-6), name
    rows = [[(one["id"], one["predicted"]) for one in value["mistakes"]] for value in values]
    assert rows[0] == rows[1]


def test_without_out_a_report_is_returned_and_printed_and_nothing_is_written(
    good, dataset, folder, monkeypatch, capsys
):
    place = folder / "nothing"
    place.mkdir()
    monkeypatch.chdir(place)
    values = {"num_resamples": 100, "measure_speed": False}
    report = evaluate(good, dataset, **values)
    saved = evaluate(good, dataset, **values, out=folder / "saved")
    assert report.path is None
    same = {name: value for name, value in saved.metrics.items() if name != "command"}
    assert {name: value for name, value in report.metrics.items() if name != "command"} == same
    arguments = ["evaluate", str(good.path), str(dataset.path), "--num-resamples", "100", "--no-measure-speed"]
    assert main(arguments) == 0
    assert f"{saved.metrics['accuracy']:.4g}" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == report.summary()
    assert told["accuracy"] == saved.metrics["accuracy"]
    assert list(place.iterdir()) == []


def test_without_speed_two_reports_are_the_same_byte_for_byte(good, dataset, folder):
    runs = []
    for _ in range(2):
        runs.append(evaluate(good, dataset, out=folder / "same", num_resamples=100, measure_speed=False))
        shutil.move(folder / "same", folder / f"same-{len(runs)}")
    assert runs[0].digest == runs[1].digest
    assert Report.open(folder / "same-1").metrics["latency_ms"] is None


def test_the_command_says_what_was_changed(monkeypatch, good, half, dataset, folder):
    monkeypatch.chdir(folder)
    values = {"num_resamples": 100, "measure_speed": False, "split": "train"}
    report = evaluate("good", "messages", against="half", out="a report", **values)
    assert report.metrics["command"] == (
        "yanmo evaluate good messages --against half --split train --num-resamples 100 --no-measure-speed "
        "--out 'a report'"
    )
    absolute = evaluate(good, dataset, out=folder / "absolute", num_resamples=100, measure_speed=False)
    assert str(folder) not in absolute.html_path.read_text(encoding="utf-8")
    assert str(folder) not in (absolute.path / "report.json").read_text(encoding="utf-8")


def test_a_missing_split_names_those_there_are(good, folder, tmp_path):
    no_test = make_dataset(folder, "no-test", ROWS, list(WORDS), split="valid")
    with pytest.raises(ArtifactError) as caught:
        evaluate(good, no_test, out=tmp_path / "report")
    assert str(caught.value) == f"{no_test.path} has no split 'test'.\nhint: It has: train, valid."


def test_a_split_without_labels_or_rows_is_refused(good, folder, tmp_path):
    empty = make_dataset(folder, "empty", [("x", "other")], list(WORDS))
    pl.DataFrame({"id": ["1"], "text": ["x"]}).write_parquet(empty.path / "test.parquet")
    with pytest.raises(DataError, match=r"The split 'test' of .* has no labels"):
        evaluate(good, empty, out=tmp_path / "report")
    pl.DataFrame(schema={"id": pl.String, "text": pl.String, "label": pl.String}).write_parquet(
        empty.path / "test.parquet"
    )
    with pytest.raises(DataError, match=r"The split 'test' of .* has no rows"):
        evaluate(good, empty, out=tmp_path / "report")


def test_a_label_that_one_side_lacks_is_named(good, half, folder, tmp_path):
    more = make_dataset(folder, "more", [*ROWS, ("invoice", "发票")], [*WORDS, "发票"])
    with pytest.raises(DataError) as caught:
        evaluate(good, more, out=tmp_path / "report")
    assert str(caught.value) == (
        f"{good.path} has no label '发票', which {more.path} has.\n"
        f"hint: Labels are matched by name. The labels of {good.path}: 退款, delivery, other."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_lacks_a_class_of_the_model_is_measured_and_it_is_said(good, half, folder, tmp_path, caplog):
    rows = [("refund", "退款"), ("parcel", "delivery"), ("parcel", "delivery"), ("hello", "delivery")]
    fewer = make_dataset(folder, "fewer", rows, ["退款", "delivery"])
    with caplog.at_level(logging.WARNING):
        report = evaluate(good, fewer, against=half, out=tmp_path / "report", num_resamples=100, measure_speed=False)
    assert f"{fewer.path} has no row of 1 of the model's labels: 'other'." in caplog.messages
    assert report.labels == ["退款", "delivery", "other"]
    metrics = report.metrics
    # The text that the model gives the third label is wrong, and not given to one of the other two.
    assert metrics["accuracy"] == 0.75
    assert {row["label"]: row["support"] for row in metrics["per_label"]} == {"退款": 1, "delivery": 3, "other": 0}
    assert metrics["mistakes"][0]["predicted"] == "other"
    assert "other" in report.html_path.read_text(encoding="utf-8")


def test_a_model_that_lacks_a_label_of_the_other_is_refused(good, folder, tmp_path):
    fewer = make_dataset(folder, "two", [("refund", "退款"), ("parcel", "delivery")], ["退款", "delivery"])
    two = make_bundle(folder, "knows-two", {"退款": ["refund"], "delivery": ["parcel"]})
    with pytest.raises(DataError, match=r"knows-two has no label 'other', which .*two has"):
        evaluate(good, fewer, against=two, out=tmp_path / "report")


def test_another_task_is_refused(good, folder, tmp_path):
    multi = make_dataset(folder, "multi-task", [("refund", ["退款"])], list(WORDS), task="multi_label")
    with pytest.raises(DataError, match=r"answers the task single_label, but .* is of the task multi_label"):
        evaluate(good, multi, out=tmp_path / "report")


def test_wrong_settings_are_refused(good, dataset, tmp_path):
    with pytest.raises(ConfigError, match="'num_resamples' parameter of evaluate"):
        evaluate(good, dataset, out=tmp_path / "report", num_resamples=1)
    with pytest.raises(ConfigError, match="Did you mean 'num_mistakes'"):
        evaluate(good, dataset, out=tmp_path / "report", num_mistake=1)


def test_many_labels_a_row(folder):
    rows = [("refund parcel", ["退款", "delivery"]), ("hello", ["other"]), ("zzz", []), ("refund", ["退款", "other"])]
    multi = make_dataset(folder, "multi", rows * 10, list(WORDS), task="multi_label")
    bundle = make_bundle(folder, "multi-bundle", WORDS, task="multi_label", scale=12.0, bias=-4.0)
    report = evaluate(bundle, multi, out=folder / "multi-report", num_resamples=100, measure_speed=False)
    assert report.metrics["accuracy"] == 0.75
    assert report.metrics["headline"]["name"] == "micro_f1"
    assert list(report.manifest.info["summary"])[2:4] == ["micro_f1", "micro_f1_interval"]
    assert report.metrics["micro_f1"] == pytest.approx(2 * 40 / (40 + 50))
    assert report.metrics["confusion_matrix"] is None
    assert report.metrics["mistakes"][0]["predicted"] == ["退款"]
    assert report.metrics["mistakes"][0]["label"] == ["退款", "other"]
    assert "退款, other" in report.html_path.read_text(encoding="utf-8")


def test_pairs_of_texts(folder):
    rows = [("refund", "hello", "退款"), ("zzz", "parcel", "delivery")] * 5
    pairs = make_dataset(folder, "pairs", rows, list(WORDS), task="text_pair")
    bundle = make_bundle(folder, "pair-bundle", WORDS, task="text_pair")
    report = evaluate(bundle, pairs, out=folder / "pair-report", num_resamples=100, measure_speed=False)
    assert (report.metrics["num_rows"], report.metrics["accuracy"]) == (10, 0.5)
    assert report.metrics["inputs"] == ["text", "text_b"]
    assert {(one["text"], one["text_b"]) for one in report.metrics["mistakes"]} == {("zzz", "parcel")}


def test_several_bundles_are_compared_best_first(good, half, shuffled, dataset, folder):
    report = publish_comparison([half, good, shuffled], dataset, out=folder / "comparison")
    assert report.metrics["report"] == "comparison"
    rows = report.metrics["rows"]
    assert [row["name"] for row in rows] == ["good", "shuffled", "half"]
    assert [row["behind_best"] for row in rows[:2]] == [0.0, 0.0]
    assert rows[2]["behind_best_interval"][1] < 0
    assert all(row["latency_ms"] > 0 and row["size_mb"] > 0 for row in rows)
    assert set(report.manifest.parents.values()) == {one.digest for one in (good, half, shuffled, dataset)}
    assert [set(row) for row in report.summary()["rows"]] == [
        {"name", "accuracy", "accuracy_interval", "macro_f1", "size_mb", "latency_ms"}
    ] * 3
    html = report.html_path.read_text(encoding="utf-8")
    assert len(re.findall("<svg", html)) == 2
    assert "command" not in report.metrics
    assert "The same again" not in html
    with pytest.raises(ArtifactError, match="exists already"):
        publish_comparison([good], dataset, out=folder / "comparison")
    assert (
        len(
            publish_comparison([good], dataset, out=folder / "comparison", effects=Effects(replace=True)).metrics[
                "rows"
            ]
        )
        == 1
    )


def test_what_is_reported_is_what_the_bundle_answers(good, report):
    mistake = report.metrics["mistakes"][0]
    with open_bundle(good) as predictor:
        answer = predictor.predict([mistake["text"]])[0]
    assert (answer.label, answer.probability) == (mistake["predicted"], pytest.approx(mistake["probability"]))
    assert Report.open(report.path).metrics == report.metrics


def test_long_texts_reach_the_runtime_and_stand_in_the_report(good, dataset, tmp_path, caplog):
    values = {"long_texts": "windows", "window_overlap": 0.5, "measure_speed": False, "num_resamples": 100}
    report = evaluate(good, dataset, out=tmp_path / "report", **values)
    assert f"long_texts has no effect: {good.path} reads all of every text." in caplog.messages
    assert "--long-texts windows --window-overlap 0.5" in report.metrics["command"]
    with pytest.raises(ConfigError, match="The 'window_overlap' parameter of evaluate must be"):
        evaluate(good, dataset, out=tmp_path / "other", window_overlap=1.5)
