"""prepare: from raw files to a Dataset, and what it refuses."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.data import containers, spill
from yanmo.data.prepare_config import PrepareConfig
from yanmo.errors import ArtifactError, ConfigError, DataError, YanmoError
from yanmo.text.clean import CLEANING_STEPS
from yanmo.verbs.prepare import prepare

WORDS = ["好吃", "很快", "难吃", "太慢", "great food", "slow", "cold rice", "味道足"]
ROWS = [(f"{WORDS[index % 8]} {index}", "pos" if index % 8 in (0, 1, 4, 7) else "neg") for index in range(80)]


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write(tmp_path, "reviews.csv", "review,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS))


def fails(error: type[YanmoError], message: str, hint: str, *args: Any, **kwargs: Any) -> None:
    with pytest.raises(error) as caught:
        prepare(*args, **kwargs)
    assert caught.value.message == message
    assert caught.value.hint == hint
    assert caught.value.exit_code == 2
    assert not Path(kwargs["out"]).exists()
    assert not list(Path(kwargs["out"]).parent.glob(".*"))


def test_one_csv_becomes_a_dataset(reviews: Path, tmp_path: Path) -> None:
    dataset = prepare(reviews, text="review", out=tmp_path / "data")
    assert isinstance(dataset, Dataset)
    assert (dataset.task, dataset.labels, dataset.splits) == (
        "single_label",
        ["neg", "pos"],
        ["train", "valid", "test"],
    )
    parts = {split: dataset.split(split) for split in dataset.splits}
    assert {split: part.columns for split, part in parts.items()} == {split: ["id", "text", "label"] for split in parts}
    assert {split: part.height for split, part in parts.items()} == {"train": 64, "valid": 8, "test": 8}
    together = pl.concat(parts.values()).sort(pl.col("id").cast(pl.Int64))
    assert together["id"].to_list() == [str(number) for number in range(1, 81)]
    assert list(zip(together["text"], together["label"], strict=True)) == ROWS
    assert dataset.summary()["num_rows"] == {"train": 64, "valid": 8, "test": 8}
    assert set(dataset.manifest.files) == {
        *("train.parquet", "valid.parquet", "test.parquet"),
        *("rejected.jsonl", "profile.json", "profile.html", "tfidf.json"),
    }
    assert list(dataset.manifest.parents) == ["source:reviews.csv"]
    Dataset.open(tmp_path / "data")


def test_the_same_files_and_seed_give_the_same_bytes_anywhere(reviews: Path, tmp_path: Path) -> None:
    first = prepare(reviews, text="review", out=tmp_path / "one")
    other = tmp_path / "elsewhere"
    other.mkdir()
    second = prepare(write(other, "reviews.csv", reviews.read_text()), text="review", out=other / "two")
    assert first.digest == second.digest
    assert str(tmp_path) not in (tmp_path / "one" / "manifest.json").read_text()
    assert prepare(reviews, text="review", seed=2, out=tmp_path / "three").digest != first.digest


@pytest.mark.parametrize("task", ["single_label", "multi_label", "text_pair"])
def test_rows_that_come_in_many_blocks_give_the_same_dataset(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rows(name: str, num_rows: int) -> Path:
        lines = [
            {
                "name": f"{name}{row}",
                "text": ["", f"ＡＢ {row % 300}", f"<b>好</b>  {row}", "\ufffd x"][row % 4],
                "other": f"b {row % 90}" if row % 17 else None,
                "label": [None, "a", ["b", "c"], "c"][row % 4]
                if task == "multi_label"
                else [None, "a", "b", "c"][row % 4],
            }
            for row in range(num_rows)
        ]
        return write(tmp_path, f"{name}.jsonl", "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))

    steps = ("strip_html", "unicode_nfkc", "collapse_whitespace")
    values = {"task": task, "cleaning": steps, "id": "name", "test": rows("t", 200), "unlabeled": rows("u", 100)}
    values |= {"text_b": "other"} if task == "text_pair" else {}
    whole = prepare(rows("s", 900), out=tmp_path / "whole", **values)
    monkeypatch.setattr(containers, "BLOCK_BYTES", 700)
    monkeypatch.setattr(spill, "PIECE_BYTES", 500)
    assert prepare(rows("s", 900), out=tmp_path / "parts", **values).digest == whole.digest
    assert whole.manifest.info["rejected"]
    assert json.loads((whole.path / "profile.json").read_text())["num_damaged"]


def test_raw_text_is_stored_and_the_cleaning_travels_as_a_setting(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        "a.jsonl",
        "".join(json.dumps({"text": f"  ＡＢ <b>{i}</b>", "label": i % 2}) + "\n" for i in range(30)),
    )
    dataset = prepare(source, cleaning=("strip_html", "unicode_nfkc", "collapse_whitespace"), out=tmp_path / "data")
    text = dataset.split("train")["text"][0]
    assert text.startswith("  ＡＢ <b>")
    assert dataset.text_config.cleaning == ("strip_html", "unicode_nfkc", "collapse_whitespace")
    assert dataset.text_pipeline().apply([text])[0].startswith("AB ")
    profile = json.loads((dataset.path / "profile.json").read_text())
    assert profile["cleaning"] == {"strip_html": 30, "unicode_nfkc": 30, "collapse_whitespace": 30}


def test_refused_rows_are_listed_with_place_and_reason(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = "".join(f"{i},text {i},{i % 2}\n" for i in range(20))
    bad = ",no id,1\nb1,,1\nb2,  ,1\nb3,a\0b,1\nb4,<p></p>,1\nb5,unlabeled,\n"
    source = write(tmp_path, "a.csv", "id,text,label\n" + good + bad)
    with caplog.at_level(logging.WARNING):
        dataset = prepare(source, id="id", cleaning=("strip_html",), out=tmp_path / "data")
    rejected = [msgspec.json.decode(line) for line in (dataset.path / "rejected.jsonl").read_bytes().splitlines()]
    assert rejected == [
        {"file": "a.csv", "line": 22, "id": "", "reason": "missing id", "label": "1", "text": "no id"},
        {"file": "a.csv", "line": 23, "id": "b1", "reason": "empty text", "label": "1", "text": ""},
        {"file": "a.csv", "line": 24, "id": "b2", "reason": "empty text", "label": "1", "text": "  "},
        {"file": "a.csv", "line": 25, "id": "b3", "reason": "NUL character in text", "label": "1", "text": "a\0b"},
        {"file": "a.csv", "line": 26, "id": "b4", "reason": "empty after cleaning", "label": "1", "text": "<p></p>"},
        {"file": "a.csv", "line": 27, "id": "b5", "reason": "missing label", "label": "", "text": "unlabeled"},
    ]
    assert dataset.summary()["num_rejected"] == 6
    assert (
        "6 of 26 rows were refused (missing id: 1, empty text: 2, NUL character in text: 1, "
        "empty after cleaning: 1, missing label: 1); they are in rejected.jsonl."
    ) in caplog.text


def test_null_and_absent_text_and_label_of_jsonl_are_refused(tmp_path: Path) -> None:
    lines = [{"text": f"t{i}", "label": i % 2} for i in range(10)] + [
        {"text": None, "label": 1},
        {"text": "x", "label": None},
        {"text": "y"},
    ]
    source = write(tmp_path, "a.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    dataset = prepare(source, out=tmp_path / "data")
    assert dataset.manifest.info["rejected"] == {"missing text": 1, "missing label": 2}


def test_too_many_refused_rows_are_an_error(tmp_path: Path) -> None:
    source = write(tmp_path, "a.csv", "text,label\na,1\nb,0\n,1\nc,\n,0\n")
    fails(
        DataError,
        f"3 of 5 rows were refused (empty text: 2, missing label: 1); the first is {source} line 4.",
        "Check the column names and the cleaning, or allow a larger share with --max-rejected.",
        source,
        out=tmp_path / "data",
    )


def test_a_split_of_which_every_row_is_refused_is_an_error(reviews: Path, tmp_path: Path) -> None:
    test = write(tmp_path, "test.csv", "review,label\n,pos\nx,\n")
    fails(
        DataError,
        f"For test, 2 of 2 rows were refused (empty text: 1, missing label: 1); the first is {test} line 2.",
        "Check the column names and the cleaning, or allow a larger share with --max-rejected.",
        reviews,
        text="review",
        test=test,
        out=tmp_path / "data",
    )


def test_given_splits_are_kept_and_leaks_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train = write(tmp_path, "train.tsv", "".join(f"{text}\t{label}\n" for text, label in ROWS))
    valid = write(tmp_path, "dev.tsv", "好吃 0\tpos\nnew\tneg\n")
    test = write(tmp_path, "test.tsv", "x\tpos\n  slow　5 \tneg\n")
    with caplog.at_level(logging.WARNING):
        dataset = prepare(train, header=False, text="1", label="2", valid=valid, test=test, out=tmp_path / "data")
    assert dataset.manifest.info["num_rows"] == {"train": 80, "valid": 2, "test": 2}
    assert dataset.summary()["num_leaks"] == 2
    assert "1 of 2 rows of valid have a text that stands in train, too." in caplog.text
    assert "1 of 2 rows of test have a text that stands in train, too." in caplog.text
    assert list(dataset.manifest.parents) == ["source:train.tsv", "test:test.tsv", "valid:dev.tsv"]


def test_what_is_not_given_is_cut_from_the_source(reviews: Path, tmp_path: Path) -> None:
    test = write(tmp_path, "test.csv", "review,label\nx,pos\ny,neg\n")
    dataset = prepare(reviews, text="review", test=test, valid_ratio=0.25, out=tmp_path / "data")
    assert dataset.manifest.info["num_rows"] == {"train": 60, "valid": 20, "test": 2}


def test_a_ratio_of_zero_makes_no_split(reviews: Path, tmp_path: Path) -> None:
    assert prepare(reviews, text="review", test_ratio=0, out=tmp_path / "data").splits == ["train", "valid"]


def test_unlabeled_rows_have_no_label_column(reviews: Path, tmp_path: Path) -> None:
    extra = write(tmp_path, "more.csv", "review\nfree text\n\nanother\n")
    dataset = prepare(reviews, text="review", unlabeled=extra, out=tmp_path / "data")
    assert dataset.split("unlabeled").rows() == [("81", "free text"), ("82", "another")]
    assert dataset.labels == ["neg", "pos"]


def test_a_given_split_is_a_folder_a_pattern_or_a_pipe(reviews: Path, tmp_path: Path) -> None:
    for name in ("valid", "texts"):
        (tmp_path / name).mkdir()
    for number in (1, 2):
        write(tmp_path / "valid", f"{number}.csv", f"review,label\nvalid {number},pos\n")
        write(tmp_path / "texts", f"{number}.csv", f"review\nfree {number}\n")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=("review,label\ntest,neg\n",))
    writer.start()
    dataset = prepare(
        reviews,
        text="review",
        file_type="csv",
        valid=tmp_path / "valid",
        test=pipe,
        unlabeled=tmp_path / "texts" / "*.csv",
        out=tmp_path / "data",
    )
    writer.join()
    assert dataset.split("valid")["text"].to_list() == ["valid 1", "valid 2"]
    assert dataset.split("test")["text"].to_list() == ["test"]
    assert dataset.split("unlabeled")["text"].to_list() == ["free 1", "free 2"]
    assert {"valid:1.csv", "valid:2.csv", "unlabeled:1.csv"} <= set(dataset.manifest.parents)
    fails(
        DataError,
        f"No file matches {tmp_path / '*.nothing'}.",
        "Check the pattern; ** stands for folders at any depth.",
        reviews,
        text="review",
        test=tmp_path / "*.nothing",
        out=tmp_path / "other",
    )


def test_several_sources_are_one(reviews: Path, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    second = write(folder, "reviews.csv", "label,review\npos,so good\nneg,so bad\n")
    dataset = prepare((reviews, second), text="review", out=tmp_path / "data")
    assert sum(dataset.manifest.info["num_rows"].values()) == 82
    assert list(dataset.manifest.parents) == ["source:reviews.csv", "source:reviews.csv#2"]


def test_labels_that_look_like_numbers_are_sorted_by_number(tmp_path: Path) -> None:
    source = write(tmp_path, "a.csv", "text,label\n" + "".join(f"t{i},{i % 12}\n" for i in range(60)))
    assert prepare(source, out=tmp_path / "data").labels == [str(number) for number in range(12)]


def test_multi_label_reads_separated_and_json_lists(tmp_path: Path) -> None:
    cells = ["a|b", "b", "", "c|a", '["a","c"]']
    rows = [{"text": f"t{i}", "label": cells[i % 5]} for i in range(50)]
    source = write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    dataset = prepare(source, task="multi_label", label_separator="|", out=tmp_path / "data")
    assert dataset.labels == ["a", "b", "c"]
    train = dataset.split("train")
    assert train.schema["label"] == pl.List(pl.String)
    assert sorted(map(tuple, train["label"].unique().to_list())) == [(), ("a", "b"), ("a", "c"), ("b",), ("c", "a")]


def test_multi_label_refuses_an_unreadable_list(tmp_path: Path) -> None:
    source = write(
        tmp_path, "a.tsv", "text\tlabel\n" + "".join(f"t{i}\t{'ab'[i % 2]}\n" for i in range(20)) + "x\t[a\n"
    )
    dataset = prepare(source, task="multi_label", out=tmp_path / "data")
    assert dataset.manifest.info["rejected"] == {"unreadable label": 1}


def test_text_pairs_keep_both_texts_and_split_by_both(tmp_path: Path) -> None:
    rows = "".join(f"q{i % 5},a{i % 20},{i % 2}\n" for i in range(40))
    source = write(tmp_path, "a.csv", "q,a,label\n" + rows)
    dataset = prepare(source, task="text_pair", text="q", text_b="a", out=tmp_path / "data")
    sides = [set(dataset.split(split).select("text", "text_b").rows()) for split in dataset.splits]
    assert dataset.split("train").columns == ["id", "text", "text_b", "label"]
    assert sum(map(len, sides)) == len(set().union(*sides)) == 20


def test_the_user_dictionary_travels(reviews: Path, tmp_path: Path) -> None:
    words = write(tmp_path, "words.txt", "味道足 10 n\n")
    dataset = prepare(reviews, text="review", segmenter="rjieba", user_dict=words, out=tmp_path / "data")
    assert dataset.user_dict_path == tmp_path / "data" / "user_dict.txt"
    assert dataset.user_dict_path.read_text(encoding="utf-8") == "味道足 10 n\n"
    assert "user_dict:words.txt" in dataset.manifest.parents


def test_a_wrong_user_dictionary_is_named_as_it_was_given(reviews: Path, tmp_path: Path) -> None:
    words = write(tmp_path, "words.txt", "a b c d\n")
    fails(
        DataError,
        f"{words}, line 1: 'a b c d' is not an entry of a user dictionary.",
        "A line holds a word, an optional frequency and an optional tag, with spaces between them.",
        reviews,
        text="review",
        segmenter="rjieba",
        user_dict=words,
        out=tmp_path / "data",
    )


def test_the_profile_page_is_one_escaped_file(tmp_path: Path) -> None:
    rows = "".join(f"<script>alert({i})</script> 坏 word{i},<b>{i % 2}\n" for i in range(20))
    dataset = prepare(write(tmp_path, "a.csv", "text,label\n" + rows), out=tmp_path / "data")
    page = (dataset.path / "profile.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "&lt;b&gt;0" in page
    assert "http" not in page
    assert 'name="viewport"' in page


def test_the_profile_counts(tmp_path: Path) -> None:
    rows = "好吃,1\n好吃 ,1\n好吃,0\nab,0\na\ufffd,1\nabc,0\n"
    dataset = prepare(
        write(tmp_path, "a.csv", "text,label\n" + rows), valid_ratio=0, test_ratio=0, out=tmp_path / "data"
    )
    profile = json.loads((dataset.path / "profile.json").read_text(encoding="utf-8"))
    assert profile["num_duplicates"] == {"train": 2}
    assert profile["num_conflicts"] == 1
    assert profile["num_damaged"] == 1
    assert profile["labels"] == {"0": {"train": 3}, "1": {"train": 3}}
    assert profile["lengths"]["train"] == {
        "min": 2, "p5": 2, "p25": 2, "p50": 2, "p75": 2, "p95": 3, "p99": 3, "max": 3, "mean": 2.2,
    }  # fmt: skip
    assert profile["cjk_share"] == dataset.manifest.info["cjk_share"] == 0.5


# --- mistakes --------------------------------------------------------------------------------------------------------


def test_one_class_only(tmp_path: Path) -> None:
    fails(
        DataError,
        "There is one class only: all 2 rows of train have the label '1'.",
        "Give rows of at least two classes, or name another --label column.",
        write(tmp_path, "a.csv", "text,label\na,1\nb,1\n"),
        out=tmp_path / "data",
    )


def test_a_label_in_test_that_train_lacks(reviews: Path, tmp_path: Path) -> None:
    test = write(tmp_path, "test.csv", "review,label\nx,pos\ny,posi\n")
    fails(
        DataError,
        f"Labels of valid or test that train lacks: 'posi' ({test} line 3).",
        "Train has: neg, pos. Correct the label or add rows.",
        reviews,
        text="review",
        test=test,
        out=tmp_path / "data",
    )


def test_a_missing_column(reviews: Path, tmp_path: Path) -> None:
    fails(
        DataError,
        f"{reviews} has no column 'reviews'. Did you mean 'review'?",
        "It has: 'review', 'label'. If the first line is no header: --no-header, and columns by position.",
        reviews,
        text="reviews",
        out=tmp_path / "data",
    )


def test_an_id_twice(tmp_path: Path) -> None:
    source = write(tmp_path, "a.csv", "n,text,label\n1,a,1\n2,b,0\n1,c,0\n")
    fails(
        DataError,
        f"The id '1' stands more than once: {source} line 2 and {source} line 4.",
        "Ids must be unique over all files; without --id the rows are numbered.",
        source,
        id="n",
        out=tmp_path / "data",
    )


@pytest.mark.parametrize(
    ("values", "message", "hint"),
    [
        (
            {"task": "text_pair"},
            "The task text_pair needs the 'text_b' parameter.",
            "Give --text-b, the column of the second text.",
        ),
        ({"text_b": "label"}, "The task single_label does not use the 'text_b' parameter.", "Use --task text_pair."),
        (
            {"valid_ratio": 0.5, "test_ratio": 0.5},
            "The 'valid_ratio' and 'test_ratio' parameters of prepare must together be below 1. "
            "Got 0.5 and 0.5 instead.",
            "Train gets what they leave.",
        ),
        (
            {"user_dict": __file__},
            "The 'user_dict' parameter of prepare needs a segmenter.",
            "Give --segmenter rjieba, too.",
        ),
    ],
)
def test_values_that_contradict(reviews: Path, tmp_path: Path, values: dict[str, Any], message: str, hint: str) -> None:
    fails(ConfigError, message, hint, reviews, **{"text": "review", **values}, out=tmp_path / "data")


def test_an_unknown_cleaning_step(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'strip_html'"):
        prepare(reviews, text="review", cleaning=("strip_htm",), out=tmp_path / "data")


def test_an_existing_out_is_kept(reviews: Path, tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="exists already"):
        prepare(reviews, text="review", out=tmp_path)


def test_the_config_has_at_most_twenty_fields_each_with_a_sentence() -> None:
    fields = PrepareConfig.model_fields
    assert len(set(vars(PrepareConfig)["__annotations__"]) & set(fields)) <= 20
    assert all(field.description for field in fields.values())
    listed = str(fields["cleaning"].description).partition("The steps are:")[2].rstrip(".").replace(",", "").split()
    assert listed == list(CLEANING_STEPS)


# --- public data -----------------------------------------------------------------------------------------------------

Recipe = Callable[[Path], tuple[Path, dict[str, Any]]]


def three_files(folder: str, extension: str, valid: str = "dev") -> Recipe:
    def recipe(root: Path) -> tuple[Path, dict[str, Any]]:
        home = root / folder
        given = {"valid": home / f"{valid}.{extension}", "test": home / f"test.{extension}"}
        return home / f"train.{extension}", {"header": False, "text": "1", "label": "2", **given}

    return recipe


def banking77(root: Path) -> tuple[Path, dict[str, Any]]:
    home = root / "banking77"
    return home / "train.csv", {"label": "category", "test": home / "test.csv"}


def waimai(root: Path) -> tuple[Path, dict[str, Any]]:
    return root / "waimai_10k" / "waimai_10k.csv", {"text": "review"}


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("recipe", "num_labels", "num_rows", "is_chinese"),
    [
        (three_files("sst2", "tsv"), 2, {"train": 6920, "valid": 872, "test": 1821}, False),
        (three_files("thucnews_titles", "txt"), 10, {"train": 59866, "valid": 10000, "test": 10000}, True),
        (banking77, 77, {"train": 9001, "valid": 1002, "test": 3080}, False),
        (waimai, 2, {"train": 9587, "valid": 1198, "test": 1202}, True),
    ],
    ids=["sst2", "thucnews_titles", "banking77", "waimai_10k"],
)
def test_public_sets_need_one_line(
    real_data: Path, tmp_path: Path, recipe: Recipe, num_labels: int, num_rows: dict[str, int], is_chinese: bool
) -> None:
    source, values = recipe(real_data)
    dataset = prepare(source, **values, out=tmp_path / "data")
    assert len(dataset.labels) == num_labels
    assert dataset.manifest.info["num_rows"] == num_rows
    assert dataset.manifest.info["rejected"] == {}
    assert (dataset.manifest.info["cjk_share"] > 0.85) == is_chinese
    assert (dataset.path / "profile.html").stat().st_size > 2000


PEAK = (
    "import sys; from yanmo.verbs.prepare import prepare; prepare(sys.argv[1], out=sys.argv[2]);"
    "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak memory of a process")
def test_memory_does_not_hold_the_texts_many_times(tmp_path: Path) -> None:
    def peak_bytes(num_rows: int) -> int:
        lines = [f"{row} {'lorem ipsum ' * 25},{row % 7}\n" for row in range(num_rows)]
        source = write(tmp_path, f"{num_rows}.csv", "text,label\n" + "".join(lines))
        command = [sys.executable, "-c", PEAK, str(source), str(tmp_path / f"data-{num_rows}")]
        return 1024 * int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    growth = (peak_bytes(260_000) - peak_bytes(60_000)) / 200_000
    assert growth < 1500, f"{growth:.0f} bytes a row, whose text has 306"
