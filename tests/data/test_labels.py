"""Labels: what is stripped, refused, mapped and named, and which ones look alike."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from yanmo.config import Config, build
from yanmo.data.label_pairs import LabelNames, LabelPairs
from yanmo.data.labels import PROBLEM, LabelReader, map_hint, similar_labels
from yanmo.data.read import FILE, LINE
from yanmo.errors import ConfigError, DataError
from yanmo.tasks import TASKS
from yanmo.tasks.labels import fold_label, tidy_label


def read(cells: list[str | None], task: str = "single_label", **options: Any) -> tuple[list[Any], list[str | None]]:
    lines = pl.Series(range(2, len(cells) + 2), dtype=pl.Int64)
    rows = pl.DataFrame({"raw_label": pl.Series(cells, dtype=pl.String), FILE: ["a.csv"] * len(cells), LINE: lines})
    made = LabelReader(TASKS[task], separator=",", **options).read(rows)
    return made["label"].to_list(), made[PROBLEM].to_list()


@pytest.mark.parametrize(
    "text",
    [
        "neg\u200b",
        "\ufeffneg",
        " \u2060neg\u00ad ",
        "n\u202eeg\u202c",
        "neg\ufe0f",
        "ne\u200dg",
        "neg\u3164",
        "\nneg\t",
    ],
)
def test_what_nobody_sees_is_stripped(text: str) -> None:
    assert tidy_label(text) == "neg"


@pytest.mark.parametrize("text", ["👩\u200d💻", "❤\ufe0f", "می\u200cخواهم", "क्\u200dष", "差评", "a b"])
def test_what_changes_how_a_label_is_drawn_stays(text: str) -> None:
    assert tidy_label(text) == text


@pytest.mark.parametrize("character", ["\n", "\r", "\t", "\0", "\x1b", "\x7f", "\x85", "\u2028"])
def test_a_control_character_is_refused(character: str) -> None:
    label = f"a{character}b"
    assert read([label, "a"]) == ([None, "a"], ["control character in label", None])
    assert read([json.dumps(["x", label]), "x"], "multi_label") == (
        [None, ["x"]],
        ["control character in label", None],
    )


def test_a_label_of_invisible_characters_alone_is_none() -> None:
    assert read(["\u200b", None, "", "a"]) == ([None, None, None, "a"], ["missing label"] * 3 + [None])
    assert read(["\u200b", None, "", "a"], "multi_label")[0] == [[], None, [], ["a"]]


@pytest.mark.parametrize(
    "labels",
    [
        ["neg", "Neg", "ＮＥＧ", " neg"],
        ["1", "1.0", "１", "01", "+1", "１．０", "١"],
        ["straße", "STRASSE"],
        ["a b", "a\u00a0b", "a  b"],
        ["❤", "❤\ufe0f"],
    ],
)
def test_labels_that_look_alike_fold_to_one(labels: list[str]) -> None:
    assert len({fold_label(label) for label in labels}) == 1


def test_labels_that_differ_do_not_fold_to_one() -> None:
    labels = ["1", "10", "1.5", "-1", "1e1", "neg", "negative", "好", "1/2", "", "0"]
    assert len({fold_label(label) for label in labels}) == len(labels)


def test_groups_of_labels_that_look_alike_are_counted_the_most_frequent_first() -> None:
    counts = {"Neg": 2, "neg": 40, "pos": 9, "1": 5, "1.0": 5, "ｎｅｇ": 1}
    assert [list(group.items()) for group in similar_labels(counts)] == [
        [("neg", 40), ("Neg", 2), ("ｎｅｇ", 1)],
        [("1", 5), ("1.0", 5)],
    ]


def test_labels_are_mapped_and_then_named() -> None:
    pairs: dict[str, Any] = {
        "label_map": [("Neg", "0"), ("bad", "0")],
        "label_names": [("0", "negative"), ("1", "yes")],
    }
    assert read(["Neg", "bad\u200b", "0", "1"], **pairs)[0] == ["negative", "negative", "negative", "yes"]
    assert read(["Neg,bad,1", ""], "multi_label", **pairs)[0] == [["negative", "yes"], []]


@pytest.mark.parametrize("task", ["single_label", "multi_label"])
def test_a_label_without_a_name_is_named_with_its_place(task: str) -> None:
    with pytest.raises(DataError) as caught:
        read(["0", "negativ"], task, label_names=[("0", "zero"), ("negative", "no")])
    assert caught.value.message == (
        "The label 'negativ' (a.csv line 3) has no name in 'label_names'. Did you mean 'negative'?"
    )
    assert caught.value.hint == "Name every label, or take it to another one with --label-map."


def test_names_give_the_order_and_pairs_that_no_row_has_are_said(caplog: pytest.LogCaptureFixture) -> None:
    reader = LabelReader(
        TASKS["single_label"],
        separator=",",
        label_map=[("x", "1")],
        label_names=[("1", "pos"), ("0", "neg"), ("2", "z")],
    )
    reader.read(pl.DataFrame({"raw_label": ["0", "1"], FILE: ["a", "a"], LINE: [1, 2]}))
    with caplog.at_level(logging.WARNING):
        assert reader.order(["neg", "pos"]) == ["pos", "neg"]
    assert caplog.messages == [
        "--label-map has labels that no row has: 'x'.",
        "--label-names has labels that no row has: '2'.",
    ]


def test_a_hint_can_be_given_to_a_shell() -> None:
    assert map_hint(["Neg", "N"], "neg") == "--label-map Neg=neg,N=neg"
    assert map_hint(["very Bad"], "very bad") == "--label-map 'very Bad=very bad'"
    assert map_hint(["a=B"], "a=b") == "--label-map FILE, a JSON object or a CSV of two columns"


# --- pairs as they are given -----------------------------------------------------------------------------------------


class Pairs(Config):
    """Both kinds of pairs."""

    map: LabelPairs = ()
    names: LabelNames = ()


@pytest.mark.parametrize(
    "given",
    [
        "Neg=neg,POS=pos",
        ("Neg=neg", "POS=pos"),
        {"Neg": "neg", "POS": "pos"},
        [["Neg", "neg"], ["POS", " pos\u200b"]],
        "pairs.json",
        ["pairs.csv"],
        "pairs.tsv",
    ],
)
def test_pairs_may_be_given_in_many_ways(given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pairs.json").write_text('{"Neg": "neg", "POS": "pos"}')
    (tmp_path / "pairs.csv").write_text('\ufeff"Neg",neg\r\n\r\nPOS,pos\r\n', encoding="utf-8")
    (tmp_path / "pairs.tsv").write_text("Neg\tneg\nPOS\tpos\n")
    assert build(Pairs, {"map": given}, where="prepare").map == (("Neg", "neg"), ("POS", "pos"))
    assert build(Pairs, {"names": given}, where="prepare").names == (("Neg", "neg"), ("POS", "pos"))


def test_a_plain_list_names_the_numbers() -> None:
    for given in ("negative,positive", ["negative", "positive"]):
        assert build(Pairs, {"names": given}, where="prepare").names == (("0", "negative"), ("1", "positive"))


@pytest.mark.parametrize(
    ("given", "must"),
    [
        ("Neg", "pairs such as Neg=neg,POS=pos, or a file of them (.json, .csv, .tsv)"),
        ("a=b=c", "pairs such as Neg=neg,POS=pos, or a file of them (.json, .csv, .tsv)"),
        (3, "pairs such as Neg=neg,POS=pos, or a file of them (.json, .csv, .tsv)"),
        ("a=", "pairs of labels, none of them empty or with a control character"),
        ({"a": "b\nc"}, "pairs of labels, none of them empty or with a control character"),
        ("a=b,a=c", "pairs of which no two begin alike, as two do with 'a'"),
    ],
)
def test_what_are_no_pairs_is_refused(given: Any, must: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(Pairs, {"map": given}, where="prepare")
    assert caught.value.message == f"The 'map' parameter of prepare must be {must}. Got {given!r} instead."


def test_a_file_of_pairs_that_is_not_there_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the file cannot be read: No such file or directory\. Got '.*no\.json'"):
        build(Pairs, {"map": str(tmp_path / "no.json")}, where="prepare")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ConfigError, match=r"the file is damaged: "):
        build(Pairs, {"map": str(tmp_path / "x.json")}, where="prepare")


def test_two_labels_with_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="must be names that are all different; --label-map makes one label of"):
        build(Pairs, {"names": "0=a,1=a"}, where="prepare")
