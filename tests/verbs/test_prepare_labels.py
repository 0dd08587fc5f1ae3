"""prepare: the care that labels get, from the raw cell to the answer."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.cli import main
from yanmo.errors import ConfigError, DataError
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


def test_a_pipeline_reads_a_file_of_pairs_from_its_own_folder(tmp_path: Path) -> None:
    write(tmp_path, ["neg", "Neg", "pos"])
    (tmp_path / "pairs.json").write_text('{"Neg": "neg"}')
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text('[stage.data]\nverb = "prepare"\nsource = "a.jsonl"\nlabel_map = "pairs.json"\n')
    assert main(["run", str(pipeline)]) == 0
    (made,) = tmp_path.rglob("train.parquet")
    assert Dataset.open(made.parent).labels == ["neg", "pos"]
    (tmp_path / "pairs.json").write_text('{"Neg": "other"}')
    assert main(["run", str(pipeline)]) == 0
    (made,) = tmp_path.rglob("train.parquet")
    assert Dataset.open(made.parent).labels == ["neg", "other", "pos"], "another file is other work"


def test_several_labels_in_every_usual_form_give_one_dataset(tmp_path: Path) -> None:
    names = ["toxic", "rude", "threat"]
    given = [[int(row % 3 == 0), int(row % 2 == 0), int(row % 5 == 0)] for row in range(40)]
    hot = tmp_path / "hot.jsonl"
    hot.write_text("".join(json.dumps({"text": f"t{row}", "label": one}) + "\n" for row, one in enumerate(given)))
    wide = tmp_path / "wide.csv"
    wide.write_text(
        "text,toxic,rude,threat\n" + "".join(f"t{row},{','.join(map(str, one))}\n" for row, one in enumerate(given))
    )
    fast = tmp_path / "fast.txt"
    held = [[name for name, yes in zip(names, one, strict=True) if yes] for one in given]
    fast.write_text("".join(f"{''.join(f'__label__{n} ' for n in one)}t{row}\n" for row, one in enumerate(held)))
    # The first line of fastText's must have a label; row 0 has all of them.
    order = ["--task", "multi_label", "--label-names"]
    same = "toxic=toxic,rude=rude,threat=threat"
    assert main(["prepare", str(hot), *order, "toxic,rude,threat", "--out", str(tmp_path / "1")]) == 0
    columns = ["--label-columns", "toxic,rude,threat"]
    assert main(["prepare", str(wide), *order, same, *columns, "--out", str(tmp_path / "2")]) == 0
    assert main(["prepare", str(fast), *order, same, "--out", str(tmp_path / "3")]) == 0
    made = [Dataset.open(tmp_path / name) for name in "123"]
    assert [one.labels for one in made] == [names] * 3
    for split in made[0].splits:
        assert made[0].split(split).equals(made[1].split(split))
        assert made[0].split(split).equals(made[2].split(split))


def test_columns_of_one_label_each_are_a_label_of_one_where_one_holds(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    source.write_text("text,neg,pos\n" + "".join(f"t{row},{row % 2},{1 - row % 2}\n" for row in range(20)) + "x,1,1\n")
    dataset = prepare(source, label_columns=("neg", "pos"), out=tmp_path / "data")
    assert dataset.labels == ["neg", "pos"]
    assert dataset.manifest.info["rejected"] == {"list of labels": 1}


def test_label_and_label_columns_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'label' and 'label_columns' parameters of prepare exclude each other"):
        prepare(write(tmp_path, ["a"]), label="x", label_columns=("a",), out=tmp_path / "data")


def test_a_check_of_a_pipeline_looks_for_the_columns_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("text,neg,pos\nx,0,1\n")
    pipeline = tmp_path / "pipeline.toml"
    stage = '[stage.data]\nverb = "prepare"\nsource = "a.csv"\nlabel_columns = '
    pipeline.write_text(stage + '["neg", "pos"]\n')
    assert main(["check", str(pipeline)]) == 0
    pipeline.write_text(stage + '["neg", "poss"]\n')
    assert main(["check", str(pipeline)]) == 2
    assert "a.csv has no column 'poss'. Did you mean 'pos'?" in capsys.readouterr().err
    (tmp_path / "a.txt").write_text("__label__a x\n__label__b y\n")
    pipeline.write_text('[stage.data]\nverb = "prepare"\nsource = "a.txt"\n')
    assert main(["check", str(pipeline)]) == 0


def test_lists_that_numpy_wrote_or_shortened_in_a_csv_file(tmp_path: Path) -> None:
    source = tmp_path / "a.csv"
    rows = [f"text {row},{'[1 0 1]' if row % 2 else '[0 1 0]'}\n" for row in range(20)]
    source.write_text("".join(["text,label\n", *rows, "last,[1 0 ... 1 0]\n"]))
    made = prepare(source, task="multi_label", label_names="a,b,c", out=tmp_path / "data")
    assert made.labels == ["a", "b", "c"]
    assert made.manifest.info["rejected"] == {"shortened list of labels": 1}
    train = pl.read_parquet(made.path / "train.parquet")
    assert dict(train.select("text", "label").iter_rows())["text 1"] == ["a", "c"]
    with pytest.raises(DataError) as caught:
        prepare(source, max_rejected=0.0, out=tmp_path / "other")
    assert "(shortened list of labels: 1, list of labels: 20)" in caught.value.message
    assert caught.value.hint.startswith("numpy leaves out the middle of a long array")
