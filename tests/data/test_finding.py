"""Raw files by name, by folder and by pattern, in every command that takes several."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from yanmo.artifacts import Dataset
from yanmo.cli import main
from yanmo.data.finding import companions, find_files
from yanmo.errors import DataError
from yanmo.verbs.predict import predict
from yanmo.verbs.prepare import prepare
from yanmo.verbs.train import train


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    folder = tmp_path / "parts"
    folder.mkdir()
    for number in range(3):
        rows = "".join(f"{word} {number} {row},{word}\n" for row in range(8) for word in ("bad", "good"))
        (folder / f"part-{number}.csv").write_text("text,label\n" + rows)
    for name in (".hidden.csv", "_SUCCESS", "notes.md"):
        (folder / name).write_text("x")
    return folder


def test_a_folder_stands_for_its_files_in_the_order_of_their_names(
    parts: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert [file.name for file in find_files([parts])] == ["part-0.csv", "part-1.csv", "part-2.csv"]
    assert caplog.messages == [f"{parts}: 1 file left out: notes.md"]


def test_a_pattern_stands_for_what_matches(parts: Path) -> None:
    assert [file.name for file in find_files([parts / "part-[12].csv"])] == ["part-1.csv", "part-2.csv"]
    assert len(find_files([parts.parent / "**" / "*.csv"])) == 3
    with pytest.raises(DataError) as caught:
        find_files([parts / "*.tsv"])
    assert caught.value.message == f"No file matches {parts}/*.tsv."


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    for name in ("a[1].csv", "a1.csv"):
        (tmp_path / name).write_text("text\nx\n")
    assert find_files([tmp_path / "a[1].csv"]) == (tmp_path / "a[1].csv",)
    for name in ("no.csv", "no[1].csv"):
        assert find_files([tmp_path / name]) == (tmp_path / name,), "what is missing is told by its name"


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder, but no Dataset, and no file in it can be read\."):
        find_files([tmp_path])


def test_prepare_and_predict_take_folders_and_patterns(parts: Path, tmp_path: Path) -> None:
    files = sorted(parts.glob("part-*"))
    assert main(["prepare", str(parts), "--out", str(tmp_path / "one")]) == 0
    assert main(["prepare", str(parts / "*.csv"), "--out", str(tmp_path / "two")]) == 0
    three = prepare(files, out=tmp_path / "three")
    assert Dataset.open(tmp_path / "one").digest == Dataset.open(tmp_path / "two").digest == three.digest
    bundle = train(three, model="linear", out=tmp_path / "model")
    answers = [
        predict(bundle, one, out=tmp_path / f"out-{number}") for number, one in enumerate((parts, parts / "p*", files))
    ]
    assert len({one.digest for one in answers}) == 1
    assert answers[0].frame().height == 48


def test_a_pipeline_takes_a_folder_and_a_pattern_and_sees_a_new_file(parts: Path, tmp_path: Path) -> None:
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text(
        '[stage.a]\nverb = "prepare"\nsource = "parts"\n[stage.b]\nverb = "prepare"\nsource = "parts/*.csv"\n'
    )
    assert main(["check", str(pipeline)]) == 0
    assert main(["run", str(pipeline)]) == 0

    def num_rows() -> list[int]:
        made = [Dataset.open(file.parent) for file in sorted(tmp_path.rglob("train.parquet"))]
        return [sum(one.manifest.info["num_rows"].values()) for one in made]

    assert num_rows() == [48, 48]
    (parts / "part-3.csv").write_text("text,label\nnew,bad\n")
    assert main(["run", str(pipeline)]) == 0
    assert num_rows() == [49, 49]


def test_what_belongs_to_a_file_stands_beside_it(tmp_path: Path) -> None:
    names = ["seq.in", "seq.out", "train.seq.in", "train.seq.out", "a.txt", "a.ann", "b.txt", "seq.csv"]
    for name in names:
        (tmp_path / name).touch()
    found = {name: [one.name for one in companions(tmp_path / name)] for name in names}
    assert {name: beside for name, beside in found.items() if beside} == {
        "seq.in": ["seq.out"],
        "train.seq.in": ["train.seq.out"],
        "a.txt": ["a.ann"],
        "a.ann": ["a.txt"],
    }
