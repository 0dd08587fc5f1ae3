"""Contents of Reports as the evaluate verb and the comparison make them, from random answers."""

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.report import plain
from yanmo.combine.cascading import StageTable
from yanmo.reporting.comparison import compare_rows
from yanmo.reporting.members import agreement_matrix, cascade_facts, compare_members, leave_one_out
from yanmo.reporting.quality import compare_answers, measure_quality, worst_mistakes
from yanmo.tasks import get_task

HOSTILE = "<script>alert(1)</script> \"quoted\" & 'single' <img src=https://evil.example/x.png onerror=alert(2)>"
TASK = get_task("single_label")
LABELS = ["退款/售后", "delivery", "<b>bold</b>", "发票", "产品质量", "other"]
MACHINE = {"processor": "Example <CPU>", "num_cores": 2, "memory_gib": 15.6, "system": "Linux", "python": "3.11.9"}
COMMON = {
    "dataset": {"name": "messages", "digest": "d" * 64, "model": None, "format": None},
    "split": "test",
    "inputs": ["text"],
    "num_resamples": 200,
    "seed": 0,
    "machine": MACHINE,
    "date": "2026-11-30",
    "versions": {"yanmo": "0.1.0", "python": "3.11.9", "numpy": "2.2.0"},
}


def answers(num_rows, labels, seed, lean=1.2):
    generator = np.random.default_rng(seed)
    truth_N = np.random.default_rng(0).integers(0, len(labels), num_rows)
    targets_NC = np.eye(len(labels), dtype=np.float32)[truth_N]
    scores_NC = generator.dirichlet(np.full(len(labels), 0.4), num_rows) + lean * generator.random((num_rows, 1)) * (
        targets_NC
    )
    probabilities_NC = (scores_NC / scores_NC.sum(axis=1, keepdims=True)).astype(np.float32)
    return Choices(probabilities_NC, SOFTMAX), targets_NC


def evaluation(num_rows=400, labels=LABELS, *, against=False, task=TASK):
    evidence, targets_NC = answers(num_rows, labels, 1)
    quality = measure_quality(evidence, targets_NC, labels, task, num_resamples=200, seed=0)
    worst = worst_mistakes(evidence, targets_NC, task, num_mistakes=6)
    predicted = task.decide(evidence, labels).predictions
    texts = [HOSTILE, "快递到了，但是盒子坏了", "Where is my parcel?? " * 40, "x" * 300, "发票抬头写错了😡", "ok"]
    mistakes = [
        {
            "id": str(row),
            "text": texts[place % len(texts)],
            "label": labels[targets_NC[row].argmax()],
            "predicted": predicted[row],
            "probability": probability,
        }
        for place, (row, probability) in enumerate(worst)
    ]
    facts = {
        "size_mb": 4.21,
        "truncated_share": 0.0123,
        "unknown_token_share": 0.002,
        "tokens_per_text": 24.3,
        "latency_ms": {"p50": 0.1312, "p95": 0.201, "p99": 0.4, "num_texts": 200},
        "throughput_texts_per_second": 61234.5,
    }
    other = None
    if against:
        worse, _ = answers(num_rows, labels, 2, lean=0.8)
        difference = compare_answers(evidence, worse, targets_NC, task, num_resamples=200, seed=0)
        bundle = {"name": "ngram", "digest": "a" * 64, "model": "ngram", "format": "ngram"}
        other = {"bundle": bundle, **difference, **facts, "size_mb": 1.5}
    return plain(
        {
            "report": "evaluation",
            **COMMON,
            "bundle": {"name": "textcnn-中文", "digest": "b" * 64, "model": "textcnn", "format": "torch"},
            **quality,
            **facts,
            "num_threads": 2,
            "against": other,
            "uncalibrated": None,
            "composite": None,
            "mistakes": mistakes,
            "command": "yanmo evaluate models/textcnn-中文 data/messages --out reports/textcnn",
        }
    )


def comparison(num_rows=400, *, task=TASK):
    names = ("bert-4x312", "textcnn", "ngram", "线性模型 linear")
    models = [answers(num_rows, LABELS, seed, lean) for seed, lean in enumerate((1.6, 1.5, 1.3, 0.9))]
    facts = [
        {
            "name": name,
            "digest": str(place) * 64,
            "model": name,
            "format": "torch",
            "size_mb": 40 / 4**place,
            "latency_ms": 8 / 3**place,
            "throughput_texts_per_second": 500.0 * 5**place,
        }
        for place, name in enumerate(names)
    ]
    rows = compare_rows(facts, [model[0] for model in models], models[0][1], task, num_resamples=200, seed=0)
    measures = [one.describe() for one in task.measures if one is task.measures[0] or one.is_second]
    facts = {"headline": measures[0], "measures": measures, "num_rows": num_rows}
    links = [{"name": "quality/线性", "page": "../quality/%E7%BA%BF%E6%80%A7/report.html"}]
    rows = [{**row, "links": links if row["name"] == "线性模型 linear" else []} for row in rows]
    return plain({"report": "comparison", **COMMON, **facts, "rows": rows})


def benchmark(names=("bert", HOSTILE), *, labeled=True):
    rows = [
        {
            "name": name,
            "digest": str(place) * 64,
            "model": "textcnn",
            "format": "onnx",
            "runtime": "openvino" if place else None,
            "size_mb": 4.0 * (place + 1),
            "load_seconds": 0.5,
            "latency_ms": {"p50": 0.5 + place, "p95": 2.0, "p99": 3.0, "num_texts": 200},
            "throughput_texts_per_second": 1234.0,
            "throughput_range": [1200.0, 1300.0],
            "num_runs": 3,
            "peak_memory_mb": 150.0,
            "truncated_share": 0.01,
            "throughput_without_preparation": None if place else 1500.0,
            "share_of_peak": None if place else 0.654,
            "peak_gflops": None if place else 700.0,
            "precision": None if place else "int8",
            "no_share": "nothing to count" if place else None,
            "accuracy": 0.9 - 0.1 * place if labeled else None,
            "accuracy_interval": [0.7, 0.95],
            "by_batch_size": [{"batch_size": size, "texts_per_second": 100.0 * size} for size in (1, 8, 32)],
            "by_length": [
                {"length": 16, "tokens_per_text": 15.0, "texts_per_second": 900.0},
                {"length": 512, "tokens_per_text": None, "texts_per_second": None},
            ],
            "by_threads": [{"num_threads": 1, "texts_per_second": 700.0}],
        }
        for place, name in enumerate(names)
    ]
    facts = {"report": "benchmark", **COMMON, "texts": None, "num_texts": 2000, "num_threads": 2, "quick": False}
    facts["headline"] = TASK.measures[0].describe()
    return plain({**facts, "rows": rows, "command": "yanmo benchmark bert"})


@pytest.fixture(scope="session")
def make_benchmark():
    return benchmark


def cascade(num_rows=400, *, task=TASK, kind="agreement"):
    """An evaluation of a cascade of three stages that may abstain, calibrated."""
    report = evaluation(num_rows, task=task)
    models = [answers(num_rows, LABELS, seed, lean) for seed, lean in enumerate((1.0, 1.3, 1.6))]
    found, targets_NC = [model[0] for model in models], models[0][1]
    table = StageTable(
        np.stack([task.confidence_N(one) for one in found]),
        np.stack([task.same_N(one, found[-1]) for one in found]),
        np.stack([task.right_N(one, targets_NC) for one in found]),
        [0.01, 0.4, 12.5],
    )
    curve = [[2.0, 2.0], *([level, 0.9] for level in (0.99, 0.9, 0.8, 0.7))]
    facts = [
        {
            "bundle": {"name": f"{place}-{HOSTILE[:8]}", "digest": "e" * 64, "model": "m", "format": "onnx"},
            "size_mb": 1.0,
        }
        for place in (1, 2, 3)
    ]
    sampling = {"num_resamples": 200, "seed": 0}
    whole = {
        "method": "cascade of 3",
        "members": compare_members(facts, found, found[1], targets_NC, task, **sampling),
        "agreement": agreement_matrix(found, task),
        "leave_one_out": leave_one_out(
            ["1", "2", "3"], [None, found[0], found[2]], found[1], targets_NC, task, **sampling
        ),
        "cascade": {
            "kind": kind,
            "alpha": 0.1,
            "delta": 0.05,
            "bound": 0.09,
            "num_rows": 280,
            "split": "valid",
            "max_wrong": 0.02,
            "wrong_bound": 0.019,
            "thresholds": [0.9, 0.9],
            "abstain": 0.5,
            "costs_ms": table.costs_S,
            "curve": [{"thresholds": one, "cost_ms": 1.0, "risk": 0.0, "bound": 0.0} for one in curve],
            **cascade_facts(table, [0.9, 0.9], curve, np.arange(num_rows) % 9 == 0, task),
        },
    }
    uncalibrated = {key: report[key] for key in ("log_loss", "expected_calibration_error", "calibration")}
    return plain({**report, "composite": whole, "uncalibrated": uncalibrated})


def audit(num_rows=400):
    """An audit whose rows hold markup and long texts."""
    report = evaluation(num_rows)
    rows = [
        {"id": one["id"], "text": one["text"], "given": one["label"], "suggested": one["predicted"]}
        for one in report["mistakes"]
    ]
    pairs = [{"given": LABELS[2], "probably": LABELS[0], "num_rows": 3}]
    found = {"num_wrong": 6, "wrong_share": 0.015, "num_folds": 5, "pairs": pairs, "report": "label_noise"}
    return {**report, **found, "rows": [{**row, "margin": -0.5} for row in rows]}


def grinding():
    """A search of which every column has something to say."""
    names = ["ngram-student-int8", "bert-4x312-student-int8", "cascade-ngram-bert-4x312", "textcnn-student-2"]
    rows = [
        {
            "name": name,
            "verb": "quantize",
            "format": "onnx",
            "accuracy": 0.9 - 0.01 * place,
            "accuracy_interval": [0.88 - 0.01 * place, 0.92],
            "teacher_accuracy": 0.93,
            "drop": 0.03 + 0.01 * place,
            "drop_interval": [-0.0123, 0.0678],
            "latency_ms": 0.2 * 3**place,
            "throughput": 54_321.0 / (place + 1),
            "size_mb": 25.3,
            "memory_mb": 312.0,
            "seconds": 754.0,
            "num_rows": 960,
            "misses": ["latency_ms", "drop"] if place else [],
            "worse": ["slower", "accuracy"] if place > 1 else [],
        }
        for place, name in enumerate(names)
    ]
    shape = {"name": "bert-4x312", "latency_ms": 1.2, "throughput": 1234.0, "size_mb": 14.0}
    bundle = {"name": "teacher", "digest": "a" * 64, "model": "bert-12x768", "format": "torch"}
    facts = {
        "report": "grinding",
        "teacher": bundle,
        "budget": {"max_latency_ms": 1.0, "max_drop": 0.05, "max_size_mb": None},
        "winner": names[0],
        "test": {"accuracy": 0.89, "teacher_accuracy": 0.93},
        "is_teacher_enough": False,
        "nearest": [],
        "shapes": [shape, {**shape, "name": "ngram"}],
        "present": [{**shape, "name": "teacher"}, {**shape, "name": "teacher-onnx"}],
        "skipped": ["bert-12x768: too slow on this machine"],
        "late": [],
        "failed": {},
        "recipe": '[stage.student]\nverb = "distill"\n',
        "command": "yanmo grind teacher data --out small",
    }
    return {**COMMON, **facts, "headline": TASK.measures[0].describe(), "rows": rows}


@pytest.fixture(scope="session")
def grinding_report():
    return grinding()


@pytest.fixture(scope="session")
def cascade_report():
    return cascade()


@pytest.fixture(scope="session")
def make_cascade():
    return cascade


@pytest.fixture(scope="session")
def audit_report():
    return audit()


@pytest.fixture(scope="session")
def evaluation_report():
    return evaluation(against=True)


@pytest.fixture(scope="session")
def comparison_report():
    return comparison()


@pytest.fixture(scope="session")
def make_comparison():
    return comparison


@pytest.fixture(scope="session")
def make_evaluation():
    return evaluation
