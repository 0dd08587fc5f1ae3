"""A task may call what it reads as it likes: its columns go by their names from the raw files to the answers."""

import io
import json
from dataclasses import replace

import polars as pl
import pytest

import yanmo
from yanmo.errors import ConfigError, DataError
from yanmo.tasks import TASKS
from yanmo.tasks.single_label import SINGLE_LABEL

WORDS = {"good": ["fine", "superb", "lovely"], "bad": ["awful", "poor", "dull"]}


@pytest.fixture(autouse=True)
def rows_in_tables(monkeypatch):
    monkeypatch.setitem(TASKS, "passages", replace(SINGLE_LABEL, name="passages", inputs=("passage",)))
    monkeypatch.setitem(TASKS, "questions", replace(SINGLE_LABEL, name="questions", inputs=("question", "passage")))


@pytest.fixture
def source(tmp_path):
    rows = [
        {"q": f"what of {number}?", "p": f"a {WORDS[label][number % 3]} day {number}", "label": label}
        for number in range(120)
        for label in WORDS
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    return path


def test_one_column_of_another_name(source, tmp_path):
    dataset = yanmo.prepare(source, task="passages", text="p", out=tmp_path / "data")
    assert dataset.split("train").columns == ["id", "passage", "label"]
    bundle = yanmo.train(dataset, model="ngram", num_epochs=4, num_threads=1, out=tmp_path / "model")
    report = yanmo.evaluate(bundle, dataset, measure_speed=False, num_resamples=100, out=tmp_path / "report").metrics
    assert report["inputs"] == ["passage"]
    assert report["accuracy"] > 0.9
    answers = yanmo.predict(bundle, source, text="p", out=tmp_path / "answers")
    table = pl.read_csv(answers.path / "table.csv")
    assert table.columns[:2] == ["id", "passage"]


def test_two_columns_of_other_names(source, tmp_path, monkeypatch):
    dataset = yanmo.prepare(source, task="questions", text="q", text_b="p", out=tmp_path / "data")
    assert dataset.split("test").columns == ["id", "question", "passage", "label"]
    bundle = yanmo.train(dataset, model="linear", num_threads=1, out=tmp_path / "model")
    answers = yanmo.predict(bundle, dataset.path, out=tmp_path / "answers").frame()
    assert answers.height == dataset.split("test").height
    named = source.with_name("named.csv")
    pl.read_ndjson(source).rename({"q": "question", "p": "passage"}).write_csv(named)
    # Without --text-b the second column is called what the task calls it.
    again = yanmo.predict(bundle, named, text="question", out=tmp_path / "again").frame()
    assert again.height == 240
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"what of 3?\ta superb day 3\n")))
    assert yanmo.predict(bundle, "-").frame()["prediction"].to_list() == ["good"]


def test_a_dataset_of_other_columns_is_refused_by_their_names(source, tmp_path):
    dataset = yanmo.prepare(source, task="passages", text="p", out=tmp_path / "data")
    other = yanmo.prepare(source, text="p", out=tmp_path / "other")
    bundle = yanmo.train(other, model="linear", num_threads=1, out=tmp_path / "model")
    with pytest.raises(DataError, match="reads text, but .* is of the task passages"):
        yanmo.predict(bundle, dataset.path, out=tmp_path / "answers")


def test_whether_a_second_column_is_needed_follows_from_the_task(source, tmp_path):
    with pytest.raises(ConfigError, match="The task questions needs the 'text_b' parameter"):
        yanmo.prepare(source, task="questions", text="q", out=tmp_path / "data")
    with pytest.raises(ConfigError, match="does not use the 'text_b'") as caught:
        yanmo.prepare(source, task="passages", text="q", text_b="p", out=tmp_path / "data")
    assert "text_pair or questions" in caught.value.hint
