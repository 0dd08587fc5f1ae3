"""prepare: the care that labels get, from the raw cell to the answer."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from yanmo.artifacts import Dataset
from yanmo.cli import main
from yanmo.errors import DataError
from yanmo.verbs.predict import predict
from yanmo.verbs.prepare import prepare
from yanmo.verbs.train import train


def write(folder: Path, labels: list[str], name: str = "a.jsonl") -> Path:
    rows = [{"text": f"{label} word {row}", "label": label} for label in labels for row in range(10)]
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_labels_that_look_alike_are_one_or_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path, ["neg", "neg\u200b", "Neg", "ｎｅｇ", "1", "1.0"])
    with caplog.at_level(logging.WARNING):
        dataset = prepare(source, out=tmp_path / "data")
    assert dataset.labels == ["1", "1.0", "Neg", "neg", "ｎｅｇ"]
    assert (
        "Labels look alike: 'neg' (20 rows), 'Neg' (10 rows), 'ｎｅｇ' (10 rows). "
        "If they mean the same: --label-map 'Neg=neg,ｎｅｇ=neg'"
    ) in caplog.messages
    assert (
        "Labels look alike: '1' (10 rows), '1.0' (10 rows). If they mean the same: --label-map 1.0=1" in caplog.messages
    )
    page = (dataset.path / "profile.html").read_text(encoding="utf-8")
    assert "These labels look alike: neg (20), Neg (10), ｎｅｇ (10)." in page


def test_a_control_character_in_a_label_refuses_its_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = prepare(write(tmp_path, ["neg", "po\ns", "pos"]), out=tmp_path / "data")
    assert dataset.labels == ["neg", "pos"]
    assert dataset.manifest.info["rejected"] == {"control character in label": 10}
    assert "10 of 30 rows were refused (control character in label: 10); they are in rejected.jsonl." in caplog.messages


def test_the_hint_of_the_log_is_the_key_that_mends_it(tmp_path: Path) -> None:
    source = write(tmp_path, ["neg", "Neg", "pos"])
    out = str(tmp_path / "data")
    assert main(["prepare", str(source), "--label-map", "Neg=neg", "--out", out]) == 0
    assert Dataset.open(out).labels == ["neg", "pos"]
    assert Dataset.open(out).manifest.config["label_map"] == [["Neg", "neg"]]


def test_names_of_labels_are_in_the_bundle_and_in_every_answer(tmp_path: Path) -> None:
    source = write(tmp_path, ["0", "1"])
    arguments = ["prepare", str(source), "--label-names", "1=positive,0=negative", "--out", str(tmp_path / "data")]
    assert main(arguments) == 0
    bundle = train(tmp_path / "data", model="linear", out=tmp_path / "model")
    assert bundle.labels == ["positive", "negative"]
    assert set(predict(bundle, source).frame()["prediction"]) == {"positive", "negative"}


def test_a_label_of_test_that_looks_like_one_of_train_gets_the_hint(tmp_path: Path) -> None:
    test = write(tmp_path, ["Neg"], "test.jsonl")
    with pytest.raises(DataError) as caught:
        prepare(write(tmp_path, ["neg", "pos"]), test=test, out=tmp_path / "data")
    assert caught.value.hint == (
        "Train has: neg, pos. Correct the label or add rows. If 'Neg' means 'neg': --label-map Neg=neg"
    )


def test_what_the_log_quotes_commands_no_terminal(tmp_path: Path) -> None:
    source = write(tmp_path, ["neg", "pos"]).rename(tmp_path / "a\x1b[31m.jsonl")
    # In a process of its own: pytest has the log already.
    command = [sys.executable, "-m", "yanmo", "prepare", str(source), "--out", str(tmp_path / "data")]
    said = subprocess.run(command, capture_output=True, check=True, encoding="utf-8").stderr
    assert "\x1b" not in said
    assert "a\\x1b[31m.jsonl: 20 rows" in said


def test_a_pipeline_may_name_labels_in_a_table(tmp_path: Path) -> None:
    write(tmp_path, ["0", "1"])
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text('[stage.data]\nverb = "prepare"\nsource = "a.jsonl"\nlabel_names = {0 = "neg", 1 = "pos"}\n')
    assert main(["check", str(pipeline)]) == 0
    assert main(["run", str(pipeline)]) == 0
    (made,) = tmp_path.rglob("train.parquet")
    assert Dataset.open(made.parent).labels == ["neg", "pos"]


def test_lists_for_a_task_of_one_label_name_the_other_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = write(tmp_path, ["neg", "pos"])
    lists = "".join(json.dumps({"text": f"x {row}", "label": ["neg", "pos"]}) + "\n" for row in range(5))
    source.write_text(source.read_text() + lists)
    with caplog.at_level(logging.WARNING):
        assert prepare(source, out=tmp_path / "data").labels == ["neg", "pos"]
    assert (
        "5 of 25 rows were refused (list of labels: 5); they are in rejected.jsonl. "
        "For several labels a text: --task multi_label."
    ) in caplog.messages
    with pytest.raises(DataError) as caught:
        prepare(source, max_rejected=0.1, out=tmp_path / "other")
    assert caught.value.hint.startswith("For several labels a text: --task multi_label. Check the column names")
