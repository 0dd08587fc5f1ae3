"""Pipes as sources of every command that takes raw files: real ones, from a shell, a FIFO and standard input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.data.read import ReadOptions, read_table
from yanmo.errors import DataError
from yanmo.verbs.predict import predict
from yanmo.verbs.prepare import prepare
from yanmo.verbs.train import train

YANMO = f"{sys.executable} -m yanmo"
ROWS = "text,label\n" + "".join(f"{word} {row},{word}\n" for row in range(20) for word in ("bad", "好"))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    (tmp_path / "a.csv").write_text(ROWS, encoding="utf-8")
    return tmp_path / "a.csv"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


def shell(command: str, folder: Path) -> None:
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=folder, check=True, capture_output=True, timeout=120
    )


def test_a_shell_s_pipes_and_standard_input_give_what_the_file_gives(
    table: Path, tmp_path: Path, temporary: Path
) -> None:
    shell(f"{YANMO} prepare <(cat a.csv) --file-type csv --out shell", tmp_path)
    shell(f"cat a.csv | {YANMO} prepare /dev/stdin --file-type csv --out stdin", tmp_path)
    shell(f"{YANMO} prepare /dev/stdin --file-type csv --out file < a.csv", tmp_path)
    made = prepare(table, out=tmp_path / "named")
    for name in ("shell", "stdin", "file"):
        dataset = Dataset.open(tmp_path / name)
        assert all(dataset.split(split).equals(made.split(split)) for split in made.splits), name
        assert list(dataset.manifest.parents.values()) == list(made.manifest.parents.values())
    assert Dataset.open(tmp_path / "shell").digest == Dataset.open(tmp_path / "stdin").digest
    assert list(temporary.iterdir()) == []


def test_predict_answers_what_comes_through_a_fifo_and_prints_or_writes(
    table: Path, tmp_path: Path, temporary: Path
) -> None:
    bundle = train(prepare(table, out=tmp_path / "data"), model="linear", out=tmp_path / "model")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_text, args=(ROWS,), kwargs={"encoding": "utf-8"})
    writer.start()
    answers = predict(bundle, fifo, file_type="csv", out=tmp_path / "fifo-answers").frame()
    writer.join()
    assert answers.equals(predict(bundle, table, out=tmp_path / "answers").frame())
    shell(f"{YANMO} predict model <(head -3 a.csv) --file-type csv > lines", tmp_path)
    assert len((tmp_path / "lines").read_text().splitlines()) == 2
    assert list(temporary.iterdir()) == []


def test_what_comes_through_two_pipes_is_read_in_their_order(tmp_path: Path) -> None:
    lines = [json.dumps({"text": f"t {row}", "label": "ab"[row % 2]}) for row in range(30)]
    for name, part in (("1", lines[:10]), ("2", lines[10:])):
        (tmp_path / name).write_text("\n".join(part))
    shell(f"{YANMO} prepare <(cat 1) <(cat 2) --file-type jsonl --out data", tmp_path)
    dataset = Dataset.open(tmp_path / "data")
    rows = pl.concat([dataset.split(split) for split in dataset.splits]).sort(pl.col("id").cast(pl.Int64))
    assert rows["text"].to_list() == [f"t {row}" for row in range(30)]
    assert list(dataset.manifest.parents) == ["source:pipe-1", "source:pipe-2"]


def test_without_its_type_a_pipe_is_refused_with_the_key(table: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{YANMO} prepare <(cat a.csv) --out data"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == 2
    assert "has no extension, so nothing says what it holds." in done.stderr
    assert "hint: Say it: --file-type csv." in done.stderr


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_the_type_that_is_said_counts_more_than_the_name(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "part-0000.dat"
    frame = pl.DataFrame({"text": ["a", "b"], "label": ["1", "0"]})
    writers = {
        "csv": frame.write_csv,
        "tsv": lambda file: frame.write_csv(file, separator="\t"),
        "jsonl": frame.write_ndjson,
        "parquet": frame.write_parquet,
    }
    writers[kind](path)
    found = read_table([path], ReadOptions(file_type=kind), ["text", "label"])  # type: ignore[arg-type]
    assert found.select("text", "label").equals(frame)
    with pytest.raises(DataError, match=r"has the unknown extension '\.dat'"):
        read_table([path], ReadOptions())
