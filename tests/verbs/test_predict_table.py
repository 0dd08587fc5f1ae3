"""predict: the table for people in a spreadsheet."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ConfigError
from yanmo.verbs.predict import predict
from yanmo.verbs.prepare import prepare
from yanmo.verbs.train import train

TEXTS = ["=1+1", "+49 30", "-5 %", "@all", "\t=x", "＝1", "fine = good", "'quoted", "好吃, very", ""]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("table")
    rows = "".join(f"{['good', 'bad'][row % 2]} {row},{'=-'[row % 2]}x\n" for row in range(20))
    (folder / "a.csv").write_text("text,label\n" + rows)
    return train(prepare(folder / "a.csv", out=folder / "data"), model="linear", out=folder / "model")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "new.jsonl"
    pl.DataFrame({"text": TEXTS, "n": [f"-{row}" for row in range(len(TEXTS))]}).write_ndjson(path)
    return path


def test_a_mark_stands_at_the_beginning_once(
    bundle: Bundle, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("yanmo.executors.units.UNIT_ROWS", 3)
    plain = predict(bundle, source, out=tmp_path / "plain").path / "table.csv"
    marked = predict(bundle, source, bom=True, out=tmp_path / "marked").path / "table.csv"
    assert marked.read_bytes() == "\ufeff".encode() + plain.read_bytes()


def test_no_cell_is_a_formula(bundle: Bundle, source: Path, tmp_path: Path) -> None:
    made = predict(bundle, source, plain_cells=True, id="n", out=tmp_path / "plain")
    table = pl.read_csv(made.path / "table.csv", infer_schema=False)
    assert table["text"].fill_null("").to_list() == [f"'{text}" for text in TEXTS[:6]] + TEXTS[6:]
    assert table["id"].to_list() == [f"'-{row}" for row in range(len(TEXTS))]
    assert set(table["prediction"]) <= {"'=x", "'-x"}
    # What programs read is as it was.
    assert set(made.frame()["prediction"]) <= {"=x", "-x"}
    assert made.ids[0] == "-0"


@pytest.mark.parametrize("name", ["bom", "plain_cells"])
def test_what_is_about_a_table_that_is_not_written_is_refused(
    name: str, bundle: Bundle, source: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"The '{name}' parameter of predict is for table.csv, which is not written"):
        predict(bundle, source, **{name: True}, format="jsonl", out=tmp_path / "out")
    with pytest.raises(ConfigError, match=f"The '{name}' parameter of predict is for table.csv, which is not written"):
        predict(bundle, source, **{name: True})
