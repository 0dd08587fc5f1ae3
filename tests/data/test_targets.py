"""Texts with their references are read from tables of every kind, and what cannot be used is refused with its line."""

import json

import pytest

import yanmo
from yanmo.errors import ConfigError, DataError
from yanmo.grinding.shapes import few_rows
from yanmo.tasks import task_of
from yanmo.text.clean import clean_column
from yanmo.text.glossary import Glossary, read_glossary
from yanmo.text.inputs import Inputs

ROWS = [(f"word{number}", f"w o r d {number}") for number in range(12)]


def prepared(folder, name, content, **keys):
    (folder / name).write_text(content, encoding="utf-8")
    return yanmo.prepare(folder / name, task="text_to_text", out=folder / "data", test_ratio=0, **keys)


def targets_of(dataset):
    return {
        text: found for split in dataset.splits for text, found in dataset.split(split)[["text", "targets"]].iter_rows()
    }


def lines(rows):
    return "".join(f"{one}\t{other}\n" for one, other in [("text", "target"), *rows])


def test_a_table_has_one_reference_a_row(tmp_path):
    dataset = prepared(tmp_path, "a.tsv", lines(ROWS))
    assert targets_of(dataset) == {text: [target] for text, target in ROWS}
    assert (dataset.task, dataset.labels) == ("text_to_text", [])


def test_several_references_stand_between_separators_in_columns_or_in_a_list(tmp_path):
    for folder in ("one", "two", "three"):
        (tmp_path / folder).mkdir()
    between = prepared(tmp_path / "one", "a.tsv", lines([("no", "n o | n ah|n o"), *ROWS]), target_separator="|")
    assert targets_of(between)["no"] == ["n o", "n ah"]
    columns = "source,a,b\nno,n o,n ah\n" + "".join(f"{one},{other},\n" for one, other in ROWS)
    beside = prepared(tmp_path / "two", "a.csv", columns, text="source", target=("a", "b"))
    assert targets_of(beside)["no"] == ["n o", "n ah"]
    assert targets_of(beside)["word1"] == ["w o r d 1"]
    rows = [{"text": "no", "target": ["n o", "n ah"]}, *({"text": one, "target": other} for one, other in ROWS)]
    listed = prepared(tmp_path / "three", "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert targets_of(listed)["no"] == ["n o", "n ah"]


def test_empty_sides_and_lists_of_something_else_are_refused_with_their_line(tmp_path):
    odd = [
        ("", "a b"),
        ("empty", ""),
        ("numbers", "[1, 2]"),
        ("bracket", "[sic] a"),
        ("number", "[1] a"),
        ("deep", "[" * 5000),
        ("many", " ".join("a" * 10_000)),
    ]
    dataset = prepared(tmp_path, "a.tsv", lines([*odd, *ROWS]))
    refused = [json.loads(line) for line in (dataset.path / "rejected.jsonl").read_text().splitlines()]
    found = {(one["line"], one["reason"]) for one in refused}
    assert found == {(2, "empty text"), (3, "empty target"), (4, "unreadable targets")}
    assert [targets_of(dataset)[name] for name in ("bracket", "number")] == [["[sic] a"], ["[1] a"]]
    assert targets_of(dataset)["deep"] == ["[" * 5000]
    profile = json.loads((dataset.path / "profile.json").read_text())
    assert max(one["max"] for one in profile["target_lengths"].values()) == 19_999
    assert "what is to be written" in (dataset.path / "profile.html").read_text()


def test_three_columns_without_a_header_are_named_by_number(tmp_path):
    content = "".join(f"{number}\t{one}\t{other}\n" for number, (one, other) in enumerate(ROWS))
    with pytest.raises(DataError, match="text") as error:
        prepared(tmp_path, "a.tsv", content)
    assert "header" in str(error.value) + str(error.value.hint)
    dataset = prepared(tmp_path, "a.tsv", content, header=False, text="2", target=("3",))
    assert targets_of(dataset)["word3"] == ["w o r d 3"]


def test_sources_are_cleaned_and_targets_only_if_asked(tmp_path):
    rows = [("Ａ  b", "Ｃ  d"), *ROWS]
    for folder in ("plain", "both"):
        (tmp_path / folder).mkdir()
    plain = prepared(tmp_path / "plain", "a.tsv", lines(rows))
    assert plain.text_config.target_cleaning == ()
    both = prepared(tmp_path / "both", "a.tsv", lines(rows), clean_targets=True, prefix="say: ", target_language="zh")
    assert both.text_config.target_cleaning == both.text_config.cleaning
    assert both.text_pipeline().read(Inputs((["Ａ  b"],))).first == ["<2zh> say: A b"]
    train = both.split("train")
    assert all("Ｃ" not in one for row in task_of(both).targets(train, []).references for one in row)


def test_targets_of_which_the_cleaning_leaves_nothing_are_none(tmp_path):
    rows = [("all", "*** | !!!"), ("some", "*** | yes"), *ROWS]
    cleaning = ("strip_symbols", "collapse_whitespace")
    dataset = prepared(tmp_path, "a.tsv", lines(rows), clean_targets=True, cleaning=cleaning, target_separator="|")
    (refused,) = [json.loads(line) for line in (dataset.path / "rejected.jsonl").read_text().splitlines()]
    assert (refused["line"], refused["reason"]) == (2, "empty target")
    assert targets_of(dataset)["some"] == ["yes"]


def test_phrases_are_cleaned_as_texts_are_and_are_whole_words():
    def cleaned(texts):
        return clean_column(texts, ("unicode_nfkc", "strip_symbols", "collapse_whitespace"))

    found = Glossary({"ＡＩ": "人工智能", "cat": "猫", "机器": "machine", "3号": "no. 3", "***": "stars"}).cleaned(
        cleaned
    )
    assert len(found) == 4
    assert found.forced("用AI学习机器语言") == ["人工智能", "machine"]
    assert found.forced("SAID: category, 13号, concat") == []
    assert found.forced("a cat, 在3号") == ["猫", "no. 3"]


def test_a_glossary_travels_and_a_bad_line_of_it_is_told(tmp_path):
    glossary = tmp_path / "terms.tsv"
    glossary.write_text("word1\tW 1\n\nword11\tW 11\n", encoding="utf-8")
    dataset = prepared(tmp_path, "a.tsv", lines(ROWS), glossary=glossary)
    bundle = yanmo.train(dataset.path, model="pairs", out=tmp_path / "pairs")
    found = read_glossary(bundle.path / bundle.text_config.glossary)
    assert found.forced("word11 and word1, word1") == ["W 11", "W 1"]
    # So it does into the few rows by which shapes are measured.
    few = few_rows(dataset, tmp_path / "few")
    assert few.glossary_path.read_bytes() == dataset.glossary_path.read_bytes()
    glossary.write_text("word1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"terms.tsv line 1 must have two phrases"):
        yanmo.prepare(tmp_path / "a.tsv", task="text_to_text", glossary=glossary, out=tmp_path / "other")


@pytest.mark.parametrize(("task", "keys"), [("text_to_text", {"label": "x"}), ("single_label", {"prefix": "x"})])
def test_keys_of_other_tasks_are_refused(tmp_path, task, keys):
    (tmp_path / "a.tsv").write_text(lines(ROWS), encoding="utf-8")
    with pytest.raises(ConfigError, match=f"The task {task} does not use the '{next(iter(keys))}' parameter"):
        yanmo.prepare(tmp_path / "a.tsv", task=task, out=tmp_path / "data", **keys)
