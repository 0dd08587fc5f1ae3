"""Whatever a file holds becomes rows with one tag a unit, or a mistake of the user's that is named."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.data.labels import LabelReader
from yanmo.data.tagged.reading import TagReader
from yanmo.data.tagged.survey import TagKeys
from yanmo.data.tagging import TaggingOptions
from yanmo.errors import YanmoError
from yanmo.tasks import get_task
from yanmo.text.unit_places import unit_places

TASK = "token_labels"
PIECES = [
    "O",
    "B-A",
    "I-A",
    "M-A",
    "E-A",
    "S",
    "B",
    "_",
    "-",
    "N",
    "1",
    "1-2",
    "2",
    "1.1",
    "# text =",
    "#",
    "/",
    "\\",
    "中",
    "é",
]
PIECES += [
    "\t",
    " ",
    "\n",
    "\n\n",
    "\u3000",
    "\u200b",
    "\x1e",
    "\x00",
    "😀",
    "-DOCSTART-",
    "'",
    '"',
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
]
PIECES += [
    '{"text": "ab 中", "label": [[0, 2, "A"]]}',
    '{"tokens": ["a"], "tags": ["O"]}',
    "1\ta\t_\tN\t_\t_\t0\t_\t_\tX=B-A",
]


def reader(path: Path, *, label: str | None = None, labels: LabelReader | None = None, **options: object) -> TagReader:
    labels = labels or LabelReader(get_task(TASK), separator=",")
    return TagReader({"train": [path]}, TaggingOptions(**options), TagKeys(label=label), labels)  # type: ignore[arg-type]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pieces=st.lists(st.sampled_from(PIECES), max_size=14), label=st.sampled_from([None, "words"]))
@pytest.mark.parametrize("tagging", ["conll", "conllu", "segmented", "tagged", "spans"])
def test_anything_becomes_rows_or_a_mistake_of_the_users(
    tagging: str, pieces: list[str], label: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("".join(pieces), encoding="utf-8")
    try:
        made = reader(path, tagging=tagging, label=label)
        rows = pl.concat([*made.rows()])
    except YanmoError as error:
        mistake = error
    else:
        _check_rows(rows, made)
        return
    assert str(path) in mistake.message or "JSON file" in mistake.message


def _check_rows(rows: pl.DataFrame, made: TagReader) -> None:
    num_units = unit_places([text or "" for text in rows["text"]], made.manner.rule).lengths_N.tolist()
    for num, row in zip(num_units, rows.iter_rows(named=True), strict=True):
        assert (row["label"] is None) == (row["label_problem"] is not None)
        assert row["label"] is None or len(row["label"]) == num


def test_rows_are_numbered_over_all_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    lines = [json.dumps({"text": f"in Rome {one}", "label": [[3, 7, "LOC"]]}) for one in range(50)]
    path.write_text("\n".join(lines), encoding="utf-8")
    whole = pl.concat([*reader(path).rows()])
    monkeypatch.setattr("yanmo.data.tagged.reading.BLOCK_CHARACTERS", 30)
    blocks = [*reader(path).rows()]
    assert len(blocks) > 10
    assert pl.concat(blocks).equals(whole)
    assert whole["id"].to_list() == [str(one) for one in range(1, 51)]
    assert whole["_line"].to_list() == list(range(1, 51))


def test_pairs_of_kinds_that_no_row_has_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.conll"
    path.write_text("in O\nRome B-LOC\n", encoding="utf-8")
    made = reader(
        path, labels=LabelReader(get_task(TASK), separator=",", label_map=(("LOC", "place"), ("PER", "person")))
    )
    assert pl.concat([*made.rows()])["kinds"].to_list() == [["place"]]
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        assert made.order(["O", "B-place"]) == ["O", "B-place"]
    assert caplog.messages == ["--label-map has labels that no row has: 'PER'."]


def test_a_file_without_O_says_by_silence_what_is_outside(tmp_path: Path) -> None:
    path = tmp_path / "a.conllu"
    rows = [("in", "_"), ("New", "NER=B-LOC"), ("York", "NER=I-LOC")]
    columns = "\t_\t_\t_\t_\t0\t_\t_\t"
    path.write_text(
        "\n".join(f"{n}\t{word}{columns}{misc}" for n, (word, misc) in enumerate(rows, 1)), encoding="utf-8"
    )
    (block,) = reader(path, label="NER").rows()
    assert block["label"].to_list() == [["O", "B-LOC", "I-LOC"]]
    path.write_text(path.read_text() + f"\n4\tnow{columns}NER=O\n", encoding="utf-8")
    (block,) = reader(path, label="NER").rows()
    assert block["label"].to_list() == [[None, "B-LOC", "I-LOC", "O"]]


def test_a_word_of_white_space_is_no_unit_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.conll"
    path.write_text("在 P\n\u3000 W\n北京 N\n", encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        (block,) = reader(path).rows()
    assert (block["text"][0], block["label"][0].to_list()) == ("在\u3000北京", ["S-P", "B-N", "E-N"])
    assert caplog.messages == [f"{path}: words of white space alone are no units: 1."]


@pytest.mark.parametrize(
    ("content", "tags", "kinds"),
    [
        ("Anna B-PER\nin O\nRome B-LOC\n", ["O", "O", "B-LOC"], ["LOC"]),
        # Where every word has a tag, O is one of them.
        ("Anna PER\nin X\nRome LOC\n", ["O", "X", "LOC"], ["O", "X", "LOC"]),
    ],
)
def test_a_kind_that_is_mapped_to_O_is_no_span_where_O_is_outside(
    tmp_path: Path, content: str, tags: list[str], kinds: list[str]
) -> None:
    path = tmp_path / "a.conll"
    path.write_text(content, encoding="utf-8")
    (block,) = reader(path, labels=LabelReader(get_task(TASK), separator=",", label_map=(("PER", "O"),))).rows()
    assert (block["label"].to_list(), block["kinds"].to_list()) == ([tags], [kinds])


def test_a_text_beside_its_annotations_has_them_and_an_empty_file_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.ann"
    path.with_suffix(".txt").write_text("in Rome", encoding="utf-8")
    for content, tags in (("T1\tLOC 3 7\tRome\n", ["O", "B-LOC"]), ("", ["O", "O"])):
        path.write_text(content, encoding="utf-8")
        (block,) = reader(path, tagging="spans").rows()
        assert block["label"].to_list() == [tags]
