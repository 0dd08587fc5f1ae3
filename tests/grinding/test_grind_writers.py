"""A language model ground to a budget: measured by what it writes, and refused where a limit has no meaning."""

import numpy as np
import pytest

import yanmo
from yanmo.artifacts import Report
from yanmo.errors import ConfigError
from yanmo.grinding.budget import Budget, choose, misses, nearest

LOOSE = {"max_drop": 4.0, "num_threads": 1}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lines")
    generator = np.random.default_rng(4)
    lines = [f"the {' '.join(generator.choice(['cat', 'dog', '小猫咪'], 3))}.\n" for _ in range(120)]
    (folder / "lines.txt").write_text("".join(lines), encoding="utf-8")
    return yanmo.prepare(folder / "lines.txt", task="causal_lm", out=folder / "data")


@pytest.fixture(scope="module")
def teacher(dataset, tmp_path_factory):
    keys = {"vocab_size": 272, "max_length": 24, "num_epochs": 2, "learning_rate": 0.01, "precision": "fp32"}
    out = tmp_path_factory.mktemp("teacher") / "teacher"
    return yanmo.train(dataset, model="gpt-2x32", num_threads=1, out=out, **keys)


@pytest.fixture(scope="module")
def ground(dataset, teacher, tmp_path_factory):
    """What is there in 8 bits: there is no time to train a student."""
    out = tmp_path_factory.mktemp("ground") / "ground"
    limits = {"min_tokens_per_second": 1, "max_first_token_ms": 60_000, "hours": 1e-4}
    return yanmo.grind(teacher, dataset, students=["gpt-1x32"], out=out, **limits, **LOOSE)


def test_the_winner_writes_and_its_rates_stand_in_the_report(ground):
    report = Report.open(ground.path / "grinding").metrics
    (row,) = report["rows"]
    assert (ground.format, report["winner"], row["writes"]) == ("decoder", "teacher-int8", True)
    assert row["tokens_per_second"] > 1
    assert 0 < row["first_token_ms"] < 60_000
    assert report["headline"]["name"] == "bits_per_character"
    assert report["test"]["drop_interval"][0] <= report["test"]["drop"] <= report["test"]["drop_interval"][1]
    assert [one.partition(":")[0] for one in report["late"]] == ["gpt-1x32-student", "teacher-pruned"]
    # A shape takes over the tokenizer of its teacher, so it was measured with as many tokens.
    assert report["shapes"][0]["tokens_per_second"] > 1
    assert report["shapes"][0]["size_mb"] < report["present"][0]["size_mb"] + 1
    page = (ground.path / "grinding" / "report.html").read_text("utf-8")
    assert "tokens/s" in page
    assert "ms to the first token" in page


def test_without_limits_of_writing_counted_n_grams_stand_beside_it(dataset, teacher, tmp_path):
    found = yanmo.grind(teacher, dataset, students=["kneser-ney"], max_size_mb=50, out=tmp_path / "ground", **LOOSE)
    report = Report.open(found.path / "grinding").metrics
    names = [row["name"] for row in report["rows"]]
    assert {"teacher-int8", "kneser-ney-student"} <= set(names)
    assert [name for name in names if name.startswith("ensemble-")]
    assert report["failed"] == {}
    assert not [name for name in names if "longer" in name or "calibrated" in name or "cascade" in name]
    best = min(report["rows"], key=lambda row: row["drop"])
    assert report["winner"] == best["name"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"min_tokens_per_second": 1, "students": ["kneser-ney"]}, "needs models that write, and kneser-ney only says"),
        ({"num_altered": 1, "students": ["gpt-1x32"]}, "does not suit language models"),
    ],
)
def test_what_has_no_meaning_for_a_language_model_is_refused(dataset, teacher, keys, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        yanmo.grind(teacher, dataset, out=tmp_path / "ground", **keys, **LOOSE)


def test_a_teacher_in_8_bits_teaches_no_tokens(dataset, ground, tmp_path):
    with pytest.raises(ConfigError, match="must be a torch Bundle of one language model"):
        yanmo.grind(ground, dataset, students=["gpt-1x32"], out=tmp_path / "ground", **LOOSE)


@pytest.mark.parametrize("limit", ["min_tokens_per_second", "max_first_token_ms"])
def test_limits_of_writing_are_refused_for_labels(grounds, limit, tmp_path):
    with pytest.raises(ConfigError, match=f"The '{limit}' parameter of grind is for language models"):
        yanmo.grind(grounds.teacher, grounds.data, out=tmp_path / "ground", **{limit: 1}, num_threads=1)


def test_what_writes_nothing_meets_no_limit_of_writing():
    costs = {"latency_ms": 1.0, "throughput": 9.0, "size_mb": 1.0, "drop": 0.0, "drop_at_most": 0.0}
    silent, slow, quick = (
        {"name": "silent", **costs, "writes": False},
        {"name": "slow", **costs, "writes": True, "tokens_per_second": 10.0, "first_token_ms": 50.0},
        {"name": "quick", **costs, "writes": True, "tokens_per_second": 99.0, "first_token_ms": 5.0},
    )
    budget = Budget(min_tokens_per_second=50, max_first_token_ms=20)
    assert misses(budget, silent) == {"min_tokens_per_second": 0.0, "max_first_token_ms": float("inf")}
    # A limit that nobody gave is not missed.
    assert misses(Budget(max_first_token_ms=20), silent) == {"max_first_token_ms": float("inf")}
    assert misses(budget, slow) == {"max_first_token_ms": 50.0, "min_tokens_per_second": 10.0}
    # It may become five times as fast; what writes nothing may be put into the format that does.
    assert misses(budget, slow, tolerance=5.0) == misses(budget, silent, tolerance=5.0) == {}
    assert choose(budget, [silent, slow, quick]) is quick
    assert nearest(budget, [silent, slow]) == [slow]
    assert misses(Budget(), silent) == {}
