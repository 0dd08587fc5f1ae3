"""Labels as lists of 0 and 1, as columns of 0 and 1, and as fastText writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from yanmo.data import containers
from yanmo.data.label_columns import holding_columns
from yanmo.data.labels import LabelReader
from yanmo.data.read import FILE, LINE, ReadOptions, read_table
from yanmo.errors import DataError
from yanmo.tasks import TASKS

NAMES = [("0", "toxic"), ("1", "rude"), ("2", "threat")]


def rows(cells: list[str | None]) -> pl.DataFrame:
    lines = pl.Series(range(2, len(cells) + 2), dtype=pl.Int64)
    return pl.DataFrame({"raw_label": pl.Series(cells, dtype=pl.String), FILE: ["a.csv"] * len(cells), LINE: lines})


def read(*blocks: list[str | None], names: list[tuple[str, str]] | None = None, separator: str = ",") -> list[Any]:
    reader = LabelReader(TASKS["multi_label"], separator=separator, label_names=names or [])
    return [label for block in blocks for label in reader.read(rows(block))["label"].to_list()]


def fails(message: str, hint: str, *blocks: list[str | None], **options: Any) -> None:
    with pytest.raises(DataError) as caught:
        read(*blocks, **options)
    assert caught.value.message == message
    assert caught.value.hint == hint


@pytest.mark.parametrize("cell", ["[1,1,0]", "[1, 0, 0]", "[1.0,0.0]", "[true,false]", "1,1,0", "0,0"])
def test_a_multi_hot_list_without_names_is_refused_by_name(cell: str) -> None:
    num_places = cell.count(",") + 1
    fails(
        f"The labels {cell!r} (a.csv line 4) are a multi-hot list, and nothing names its {num_places} places.",
        "Name the places in their order: --label-names a,b,c. A label of a list is given once.",
        ["[2,7]", None, cell],
    )


@pytest.mark.parametrize("cells", [["[0,1]", "[1]", "0,1", "[5]"], ["0", "1"], ["[2,2,3]"], ["x,x"]])
def test_lists_of_numbers_of_labels_are_read(cells: list[str | None]) -> None:
    assert all(read(cells))


def test_with_names_every_place_is_a_label() -> None:
    blocks: tuple[list[str | None], ...] = (
        ["[1,1,0]", None, "0,0,1"],
        [" [0.0, 1.0, 0.0] ", "[true,false,true]", "[0,0,0]"],
    )
    assert read(*blocks, names=NAMES) == [["toxic", "rude"], None, ["threat"], ["rude"], ["toxic", "threat"], []]
    assert read(["1|0|0"], names=NAMES, separator="|") == [["toxic"]]


def test_with_names_lists_of_numbers_of_labels_are_read_as_before() -> None:
    assert read(["[0,2]", "[1]", "", "0,1"], names=NAMES) == [["toxic", "threat"], ["rude"], [], ["toxic", "rude"]]


def test_another_number_of_places_than_of_names_is_refused() -> None:
    fails(
        "The labels '[1,1]' (a.csv line 3) are a multi-hot list of 2 places, but 'label_names' has 3 names.",
        "Give one name a place, in the order of the places.",
        ["[1,1,0]", "[1,1]"],
        names=NAMES,
    )


@pytest.mark.parametrize("blocks", [(["[1,0,0]", "[2]"],), (["[1,0,0]"], ["x", "[2]"])])
def test_two_kinds_of_lists_in_one_dataset_are_refused(blocks: tuple[list[str | None], ...]) -> None:
    line = 3
    fails(
        f"The labels '[1,0,0]' (a.csv line 2) are a multi-hot list, and '[2]' (a.csv line {line}) are not.",
        "Write all of them alike; lists of labels are clearer with names in place of numbers.",
        *blocks,
        names=[*NAMES[:2], ("2", "threat")],
    )


def test_columns_of_zeros_and_ones_become_the_names_of_those_that_hold() -> None:
    table = pl.DataFrame(
        {
            "toxic": ["1", "0", " TRUE ", "1.0", "", None, "-1", "1"],
            'a,"b"': ["1", "0", "false", "0.0", "", None, "-1", ""],
        }
    )
    found = table.select(holding_columns(table.columns).alias("label"))["label"].to_list()
    assert found[:6] == ['["toxic","a,\\"b\\""]', "[]", '["toxic"]', '["toxic"]', None, None]
    assert [json.loads(cell) for cell in found[6:]] == [{"toxic": "-1", 'a,"b"': "-1"}, {"toxic": "1", 'a,"b"': ""}]
    assert read(found) == [["toxic", 'a,"b"'], [], ["toxic"], ["toxic"], None, None, None, None]


# --- fastText --------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["whole", "blocks"])
def _blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if request.param == "blocks":
        monkeypatch.setattr(containers, "BLOCK_BYTES", 3)
    return


FASTTEXT = (
    "__label__a very good\n"
    "__label__a  __label__b,c\t很好 吃 \r\n"
    "\n"
    'no label but __label__late\n__label__"x\\y" z\n__label__a\n'
    "__label__c the end"
)


@pytest.mark.usefixtures("_blocks")
def test_fasttext_lines_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(FASTTEXT, encoding="utf-8", newline="")
    table = read_table([path], ReadOptions(), ["text", "label"])
    assert table["text"].to_list() == ["very good", "很好 吃", "no label but __label__late", "z", "", "the end"]
    assert [json.loads(cell) for cell in table["label"]] == [["a"], ["a", "b,c"], [], ['"x\\y"'], ["a"], ["c"]]
    assert table[LINE].to_list() == [1, 2, 4, 5, 6, 7]


def test_another_column_of_a_fasttext_file_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(FASTTEXT)
    with pytest.raises(DataError) as caught:
        read_table([path], ReadOptions(), ["review", "label"])
    assert caught.value.message == f"{path} has no column 'review'."
    assert caught.value.hint == "It has: 'label', 'text'. Its lines begin with __label__, as fastText's do."


def test_a_delimiter_says_that_it_is_no_fasttext(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("__label__a\tb\n")
    table = read_table([path], ReadOptions(delimiter="tab", header=False))
    assert table.select("1", "2").rows() == [("__label__a", "b")]
