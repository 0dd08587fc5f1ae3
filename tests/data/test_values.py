"""The same value means the same label in every format; the table of them stands in docs/guides/labels.md.

``python tests/data/test_values.py`` writes it anew.
"""

from __future__ import annotations

import datetime
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from yanmo.data.labels import PROBLEM, LabelReader
from yanmo.data.read import ReadOptions
from yanmo.data.rows import read_rows
from yanmo.errors import DataError
from yanmo.tasks import TASKS

GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "labels.md"
BEGIN, END = (
    "<!-- Written by tests/data/test_values.py: run it to write it anew. -->\n",
    "<!-- The end of the table. -->\n",
)
FORMATS = ("CSV, TSV", "JSONL", "Parquet")
TASK_NAMES = ("single_label", "multi_label")


@dataclass(frozen=True)
class Value:
    """A value of a column of labels, and how each format holds it; None where it cannot."""

    name: str
    cell: str | None
    json: str | None
    series: pl.Series | None


def value(name: str, python: Any, cell: str | None = None, *, dtype: Any = None) -> Value:
    text = json.dumps(python, ensure_ascii=False, default=str)
    return Value(name, text if cell is None else cell, text, pl.Series("label", [python], dtype=dtype))


VALUES = (
    value("text", "neg", "neg"),
    value("text with spaces around it", " neg ", " neg "),
    value("text of a category", "neg", "neg", dtype=pl.Categorical),
    value("text with commas", "neg,sad", "neg,sad"),
    value("empty text", "", ""),
    Value("nothing", None, "null", pl.Series("label", [None], dtype=pl.String)),
    value("whole number", 1, "1"),
    value("whole number, as a fraction", 1.0, "1.0"),
    value("fraction", 0.5, "0.5"),
    Value("no number (NaN)", None, None, pl.Series("label", [math.nan])),
    value("yes or no", True, "true"),
    Value("date", "2026-01-31", '"2026-01-31"', pl.Series("label", [datetime.date(2026, 1, 31)])),
    value("list of one text", ["neg"]),
    value("list of texts", ["neg", "sad"]),
    value("list of one text, by Python", ["neg"], "['neg']"),
    value("list of texts, by Python", ["neg", "sad"], "['neg', 'sad']"),
    value("list of texts, by numpy", ["neg", "sad"], "['neg' 'sad']"),
    value("list of whole numbers", [2, 7]),
    value("list of whole numbers, by numpy", [2, 7], "[2 7]"),
    value("list of fractions", [0.5, 0.25]),
    value("empty list", [], dtype=pl.List(pl.String)),
    value("list with nothing in it", [None], dtype=pl.List(pl.String)),
    value("list of lists", [["neg"]]),
    value("list of tables", [{"name": "neg"}]),
    value("table", {"name": "neg"}),
)


def write(folder: Path, one: Value) -> dict[str, list[Path]]:
    """Write files that hold the value once, by the name of their format."""
    files: dict[str, list[Path]] = {name: [] for name in FORMATS}
    if one.cell is not None:
        quoted = '"' + one.cell.replace('"', '""') + '"'
        (folder / "a.csv").write_text(f"text,label\nx,{quoted}\n", encoding="utf-8")
        (folder / "a.tsv").write_text(f"text\tlabel\nx\t{one.cell}\n", encoding="utf-8")
        files["CSV, TSV"] = [folder / "a.csv", folder / "a.tsv"]
    if one.json is not None:
        (folder / "a.jsonl").write_text(f'{{"text": "x", "label": {one.json}}}\n', encoding="utf-8")
        files["JSONL"] = [folder / "a.jsonl"]
    if one.series is not None:
        pl.DataFrame({"text": ["x"], "label": one.series}).write_parquet(folder / "a.parquet")
        files["Parquet"] = [folder / "a.parquet"]
    return files


def outcome(file: Path, task: str) -> str:
    """Return what prepare makes of the value in a file."""
    try:
        (rows,) = read_rows({"train": [file]}, ReadOptions(), {"text": "text", "label": "label"})
    except DataError:
        return "refused"
    made = LabelReader(TASKS[task], separator=",").read(rows)
    label = made["label"][0]
    assert (label is None) == (made[PROBLEM][0] is not None)
    if label is None:
        return "missing" if made[PROBLEM][0] == "missing label" else "refused"
    return ", ".join(f"`{one}`" for one in ([label] if isinstance(label, str) else label)) or "no labels"


def outcomes(folder: Path, one: Value, task: str) -> dict[str, set[str]]:
    return {name: {outcome(file, task) for file in files} for name, files in write(folder, one).items() if files}


@pytest.mark.parametrize("task", TASK_NAMES)
@pytest.mark.parametrize("one", VALUES, ids=lambda one: one.name)
def test_the_same_value_means_the_same_in_every_format(one: Value, task: str, tmp_path: Path) -> None:
    found = outcomes(tmp_path, one, task)
    assert len(set.union(*found.values())) == 1, found


def table(folder: Path) -> str:
    lines = ["| value | CSV, TSV | JSONL | Parquet | one label a text | several |", "|---|---|---|---|---|---|"]
    for one in VALUES:
        cells = [
            "–" if one.cell is None else f"`{one.cell}`" if one.cell else "nothing between the delimiters",
            "–" if one.json is None else f"`{one.json}`",
            "–" if one.series is None else f"`{one.series.dtype}`",
            *(set.union(*outcomes(folder, one, task).values()).pop() for task in TASK_NAMES),
        ]
        for file in folder.iterdir():
            file.unlink()
        lines.append(f"| {one.name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def test_the_guide_has_the_table(tmp_path: Path) -> None:
    guide = GUIDE.read_text(encoding="utf-8")
    assert guide.partition(BEGIN)[2].partition(END)[0] == table(tmp_path), "run python tests/data/test_values.py"


def test_nan_in_jsonl_gets_a_hint(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "x", "label": NaN}\n')
    with pytest.raises(DataError) as caught:
        list(read_rows({"train": [file]}, ReadOptions(), {"text": "text", "label": "label"}))
    assert caught.value.hint == "A .jsonl file holds one JSON object on every line. NaN is no JSON: write null."


if __name__ == "__main__":
    import tempfile

    before, _, rest = GUIDE.read_text(encoding="utf-8").partition(BEGIN)
    with tempfile.TemporaryDirectory() as place:
        GUIDE.write_text(before + BEGIN + table(Path(place)) + END + rest.partition(END)[2], encoding="utf-8")
