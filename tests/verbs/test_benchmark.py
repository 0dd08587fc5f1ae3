"""benchmark: every number stands in the Report, a dead process is named, and what cannot be measured is refused."""

import json
import sys

import numpy as np
import pytest

from yanmo.artifacts import Bundle, Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.cli import main
from yanmo.errors import MissingExtraError, YanmoError
from yanmo.measuring.benchmarking.measuring import texts_of_length
from yanmo.measuring.benchmarking.processes import run_child
from yanmo.measuring.benchmarking.requests import MeasurePeak, thread_counts
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs import benchmark as benchmark_module
from yanmo.verbs.benchmark import benchmark
from yanmo.verbs.export import export
from yanmo.verbs.prepare import prepare
from yanmo.verbs.train import train

WORDS = {"good": ["很好吃", "tasty", "下次还来"], "bad": ["真难吃", "cold", "送得太慢了"]}
NUMBERS = ("load_seconds", "size_mb", "peak_memory_mb", "throughput_texts_per_second", "tokens_per_text")
QUICK = {"quick": True, "batch_sizes": (1, 4), "lengths": (8, 500), "num_threads": 1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A Dataset, an ngram Bundle, a torch Bundle and its export, all untrained or nearly so."""
    folder = tmp_path_factory.mktemp("benchmark")
    rows = [f"{word} number {n},{label}" for n in range(20) for label, words in WORDS.items() for word in words]
    (folder / "rows.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    (folder / "lines.txt").write_text("很好吃\n\ncold food\n", encoding="utf-8")
    (folder / "blank.txt").write_text("\n \n", encoding="utf-8")
    (folder / "wrong.txt").write_bytes("很好".encode("gb18030"))
    prepare(folder / "rows.csv", out=folder / "data")
    train(folder / "data", model="ngram", num_epochs=1, out=folder / "ngram")
    train(folder / "data", model="bert-1x32", num_epochs=1, out=folder / "bert")
    export(folder / "bert", out=folder / "graph")
    return folder


@pytest.fixture(scope="module")
def report(folder):
    return benchmark([folder / "ngram", folder / "graph"], dataset=folder / "data", out=folder / "report", **QUICK)


def test_every_number_of_every_bundle_stands_in_the_report(report):
    rows = {row["name"]: row for row in report.metrics["rows"]}
    assert set(rows) == {"ngram", "graph"}
    for row in rows.values():
        assert all(row[name] > 0 for name in NUMBERS)
        assert 0 < row["latency_ms"]["p50"] <= row["latency_ms"]["p95"] <= row["latency_ms"]["p99"]
        assert [one["batch_size"] for one in row["by_batch_size"]] == [1, 4]
        assert [one["num_threads"] for one in row["by_threads"]] == [1]
        assert all(one["texts_per_second"] > 0 for one in (*row["by_batch_size"], *row["by_threads"]))
        assert 0 < row["accuracy"] < 1
    assert rows["graph"]["by_length"][1] == {"length": 500, "tokens_per_text": None, "texts_per_second": None}
    assert 5 <= rows["graph"]["by_length"][0]["tokens_per_text"] <= 14
    assert rows["graph"]["throughput_without_preparation"] > rows["graph"]["throughput_texts_per_second"]
    assert "latency_ms" not in report.metrics


def test_the_share_of_the_peak_is_counted_or_its_absence_explained(report):
    rows = {row["name"]: row for row in report.metrics["rows"]}
    assert 0 < rows["graph"]["share_of_peak"] < 1
    assert rows["graph"]["precision"] == "fp32"
    assert rows["ngram"]["share_of_peak"] is None
    assert rows["ngram"]["no_share"] == "a Bundle of the format ngram is not made of matrix products"


def test_accuracy_is_what_the_bundle_answers_on_these_rows(report, folder):
    rows = Dataset.open(folder / "data").split("test")
    with open_bundle(folder / "ngram", num_threads=1) as predictor:
        answers = [one.label for one in predictor.predict(rows["text"].to_list())]
    (row,) = [row for row in report.metrics["rows"] if row["name"] == "ngram"]
    assert row["accuracy"] == np.mean([a == b for a, b in zip(answers, rows["label"], strict=True)])
    assert report.metrics["num_texts"] == rows.height


def test_the_page_stands_alone_and_gives_the_command(report):
    html = report.html_path.read_text(encoding="utf-8")
    assert html.count("<svg") == 4
    assert html.count("<script") == 1
    assert "--batch-sizes 1,4 --lengths 8,500 --quick --out report" in html
    assert "not made of matrix products" in html


def test_the_report_names_the_engine_that_auto_took(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark_module, "choose_runtime", lambda *_: "onnxruntime")
    bundles = [folder / "ngram", folder / "graph"]
    made = benchmark(bundles, texts=folder / "lines.txt", runtime="auto", out=tmp_path / "report", **QUICK)
    assert {row["name"]: row["runtime"] for row in made.metrics["rows"]} == {"ngram": None, "graph": "onnxruntime"}
    assert "onnx, onnxruntime" in made.html_path.read_text(encoding="utf-8")


def test_one_bundle_on_a_file_has_the_numbers_at_the_top(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    curves = ["--batch-sizes", "1", "--lengths", "8", "--num-threads", "1"]
    assert main(["benchmark", "bert", "--texts", "lines.txt", "--quick", "--json", *curves, "--out", "single"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {"p50", "p95", "p99"} <= set(printed["latency_ms"])
    assert all(printed[name] > 0 for name in ("throughput_texts_per_second", "size_mb", "peak_memory_mb"))
    assert 0 < printed["share_of_peak"] < 1
    assert (printed["accuracy"], printed["num_texts"]) == (None, 2)
    (row,) = printed["rows"]
    assert {"latency_ms", "throughput_texts_per_second", "size_mb", "peak_memory_mb", "share_of_peak"} <= set(row)


MISTAKES = {
    "no texts": (
        ["ngram"],
        "benchmark needs texts: either a Dataset or a file. Got neither.",
        "--dataset FOLDER, or --texts FILE.",
    ),
    "two sources": (
        ["ngram", "--dataset", "data", "--texts", "lines.txt"],
        "benchmark needs texts: either a Dataset or a file. Got both.",
        "--dataset FOLDER, or --texts FILE.",
    ),
    "blank file": (
        ["ngram", "--texts", "blank.txt"],
        "blank.txt has no texts.",
        "Give a file with one text a line.",
    ),
    "no file": (
        ["ngram", "--texts", "blanks.txt"],
        "There is no file blanks.txt. Did you mean 'blank.txt'?",
        "Files in .: blank.txt, lines.txt, rows.csv, wrong.txt",
    ),
    "wrong encoding": (
        ["ngram", "--texts", "wrong.txt"],
        "wrong.txt is not utf-8: byte 0xBA at offset 0, line 1 (invalid start byte).",
        "The whole file decodes as gb18030, big5. If that is what it is: --encoding gb18030.",
    ),
    "zero threads": (
        ["ngram", "--dataset", "data", "--num-threads", "0"],
        "The 'num_threads' parameter of benchmark must be greater than or equal to 1. Got 0 instead.",
        "Change the value; --help and the reference page say what each parameter allows.",
    ),
    "empty batch": (
        ["ngram", "--dataset", "data", "--batch-sizes", "8,0"],
        "The 'batch_sizes.1' parameter of benchmark must be greater than or equal to 1. Got '0' instead.",
        "Change the value; --help and the reference page say what each parameter allows.",
    ),
    "runtime of no use": (
        ["ngram", "--dataset", "data", "--runtime", "openvino"],
        "The 'runtime' parameter is for ONNX Bundles; ngram is of format ngram.",
        "Leave it out, or export the Bundle first.",
    ),
    "no such runtime": (
        ["ngram", "graph", "--dataset", "data", "--runtime", "openvin"],
        "The 'runtime' parameter must be one of: auto, onnxruntime, openvino. Got 'openvin' instead. Did you mean "
        "'openvino'?",
        "Leave it out for onnxruntime; auto takes the fastest that is installed.",
    ),
    "no such split": (
        ["ngram", "--dataset", "data", "--split", "tset"],
        "data has no split 'tset'. Did you mean 'test'?",
        "It has: train, valid, test.",
    ),
    "empty split": (
        ["ngram", "--dataset", "empty"],
        "The split 'test' of empty has no rows.",
        "Choose of: train, test.",
    ),
}


@pytest.fixture(scope="module")
def empty(folder):
    """A Dataset whose test split has no rows."""
    data = Dataset.open(folder / "data")
    identity = {"task": data.task, "labels": data.labels, "parents": {}, "config": {}, "info": data.manifest.info}
    with publish(folder / "empty", Identity(kind="dataset", verb="prepare", **identity)) as staging:
        data.split("train").write_parquet(staging / "train.parquet")
        data.split("test").clear().write_parquet(staging / "test.parquet")


@pytest.mark.parametrize("name", list(MISTAKES))
def test_a_mistake_has_its_message_and_leaves_nothing(name, folder, empty, monkeypatch, capsys):
    arguments, message, hint = MISTAKES[name]
    monkeypatch.chdir(folder)
    assert main(["benchmark", *arguments, "--out", "new"]) == 2
    assert capsys.readouterr().err.endswith(f"{message}\nhint: {hint}\n")
    assert not (folder / "new").exists()


def test_texts_without_labels_are_measured_without_accuracy(folder):
    data = Dataset.open(folder / "data")
    identity = {"task": data.task, "labels": data.labels, "parents": {}, "config": {}, "info": data.manifest.info}
    with publish(folder / "unlabeled", Identity(kind="dataset", verb="prepare", **identity)) as staging:
        data.split("test").drop("label").write_parquet(staging / "unlabeled.parquet")
    small = {**QUICK, "batch_sizes": (), "lengths": ()}
    report = benchmark(folder / "ngram", dataset=folder / "unlabeled", split="unlabeled", out=folder / "none", **small)
    assert report.metrics["accuracy"] is None
    assert report.metrics["rows"][0]["by_length"] == []


def test_a_missing_extra_is_said_by_the_process_that_misses_it(folder, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ImportError('no torch', name='torch')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    with pytest.raises(MissingExtraError) as caught:
        benchmark(folder / "bert", dataset=folder / "data", out=tmp_path / "report", **QUICK)
    assert str(caught.value) == (
        "A torch Bundle needs the package 'torch', which is not installed.\nhint: pip install 'yanmo[train]'"
    )
    assert not (tmp_path / "report").exists()


def test_without_onnx_the_share_is_null_and_says_why(folder, tmp_path, monkeypatch):
    (tmp_path / "onnx.py").write_text("raise ImportError('no onnx', name='onnx')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{':'.join(sys.path)}")
    request = MeasurePeak(bundle=str(folder / "graph"), num_threads=1, quick=True)
    facts, _ = run_child(request, timeout_seconds=60, report=lambda _: None)
    assert facts == {
        "no_share": "Counting the operations of a model needs the package 'onnx', which is not installed. "
        "pip install 'yanmo[train]'"
    }


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (
            "os.kill(os.getpid(), signal.SIGFPE)",
            "was ended by SIGFPE: the engine cannot run this Bundle on this processor.",
        ),
        ("os.kill(os.getpid(), signal.SIGILL)", "was ended by SIGILL: the engine cannot run"),
        ("sys.exit('out of luck')", "ended with exit code 1. It said: out of luck"),
        ("time.sleep(60)", "was not done after 1 s."),
    ],
)
def test_a_process_that_dies_is_named(code, message, folder, tmp_path, monkeypatch):
    (tmp_path / "dying.py").write_text(f"import os, signal, sys, time\n{code}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    request = MeasurePeak(bundle="models/x", num_threads=1, quick=True)
    with pytest.raises(YanmoError) as caught:
        run_child(request, timeout_seconds=1, report=lambda _: None, module="dying")
    assert caught.value.message.startswith(f"Measuring models/x {message}")


def test_texts_have_about_the_wanted_length(folder):
    rows = Dataset.open(folder / "data").split("train")["text"].to_list()
    with open_bundle(Bundle.open(folder / "graph"), num_threads=1) as predictor:
        usual = float(predictor.infer(rows)[1].num_tokens_N.mean())
        for length in (6, 24, 60):
            found_N = predictor.infer(texts_of_length(rows, length, usual))[1].num_tokens_N
            assert 0.6 * length <= found_N.mean() <= 1.5 * length
    pairs = texts_of_length([("ab", "cd")], 7, 1.0)
    assert {(len(one), len(other)) for one, other in pairs} == {(17, 18)}


def test_thread_counts_double_up_to_the_number_itself():
    assert [thread_counts(number) for number in (1, 2, 6, 8)] == [[1], [1, 2], [1, 2, 4, 6], [1, 2, 4, 8]]
