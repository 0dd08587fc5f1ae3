"""prepare: texts whose parts are labeled, from every format to tags of units; what is refused, repaired, and said."""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from yanmo.answers.spans import find_spans
from yanmo.artifacts import Dataset
from yanmo.cli import main
from yanmo.errors import ConfigError, DataError
from yanmo.tasks import task_of
from yanmo.text.clean import CLEANING_STEPS
from yanmo.text.inputs import Inputs
from yanmo.verbs.prepare import prepare

CITIES = ["Rome", "Oslo", "New York", "Lima", "Paris"]
PEOPLE = ["Anna", "Bo Li", "Zoë"]


def sentence(number: int) -> list[tuple[str, str]]:
    """Return the words and tags of a sentence, which is another one for each number up to 200."""
    city, person = CITIES[number % 5].split(), PEOPLE[number % 3].split()
    tags = [
        [f"{'I' if place else 'B'}-{kind}" for place in range(len(words))]
        for kind, words in (("PER", person), ("LOC", city))
    ]
    words = [*person, "went", "to", *city, "in", str(1800 + number), "."]
    return list(zip(words, [*tags[0], "O", "O", *tags[1], "O", "O", "O"], strict=True))


def conll(path: Path, numbers: range, **changed: str) -> Path:
    rows = [
        "\n".join(f"{word} {changed.get(tag.replace('-', '_'), tag)}" for word, tag in sentence(one)) for one in numbers
    ]
    path.write_text("\n\n".join(rows) + "\n", encoding="utf-8")
    return path


def jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def made(source: Path | list[Path], **values: Any) -> Dataset:
    out = (source if isinstance(source, Path) else source[0]).parent / "data"
    return prepare(source, task="token_labels", out=out, **values)


def said(dataset: Dataset, split: str = "train") -> list[list[tuple[str, str]]]:
    """Return what the tags of a split say: the spans of each row with their kinds."""
    rows = dataset.split(split)
    units = dataset.text_pipeline().read(Inputs((rows["text"].to_list(),))).units
    assert units is not None
    task = task_of(dataset)
    targets = task.encode(rows["label"], dataset.labels)
    assert targets.offsets.tolist() == units.places.offsets.tolist(), "one tag a unit"
    scheme = task.scheme  # type: ignore[attr-defined]
    spans = find_spans(targets.values, targets.offsets, scheme)
    places = spans.places_M2(units.places.values).tolist()
    found: list[list[tuple[str, str]]] = [[] for _ in range(rows.height)]
    texts = rows["text"].to_list()
    for (start, end), row, kind in zip(places, spans.row_M.tolist(), spans.kind_M.tolist(), strict=True):
        found[row].append((texts[row][start:end], scheme.kinds[kind]))
    return found


def spans_of(numbers: range) -> list[list[tuple[str, str]]]:
    return [[(PEOPLE[one % 3], "PER"), (CITIES[one % 5], "LOC")] for one in numbers]


def test_columns_become_a_dataset_of_tags(tmp_path: Path) -> None:
    dataset = made(conll(tmp_path / "a.conll", range(100)))
    assert (dataset.task, dataset.labels) == ("token_labels", ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"])
    parts = {split: dataset.split(split) for split in dataset.splits}
    assert {split: part.height for split, part in parts.items()} == {"train": 80, "valid": 10, "test": 10}
    assert parts["train"].schema == {"id": pl.String, "text": pl.String, "label": pl.List(pl.String)}
    assert parts["train"]["text"][0] == "Anna went to Rome in 1800 ."
    together = {
        one: spans for split, part in parts.items() for one, spans in zip(part["id"], said(dataset, split), strict=True)
    }
    assert [together[str(number)] for number in range(1, 101)] == spans_of(range(100))
    assert dataset.text_config.units == "tokens"
    assert set(dataset.manifest.files) == {
        *("train.parquet", "valid.parquet", "test.parquet"),
        *("rejected.jsonl", "profile.json", "profile.html"),
    }


def written(folder: Path, numbers: range) -> dict[str, Path]:
    """Write the same sentences in every format."""
    rows = [sentence(one) for one in numbers]
    lines = {
        "a.seq.in": [" ".join(word for word, _ in row) for row in rows],
        "a.seq.out": [" ".join(tag for _, tag in row) for row in rows],
        "words.txt": [" ".join(f"{word}/{tag}" for word, tag in row) for row in rows],
    }
    for name, content in lines.items():
        (folder / name).write_text("\n".join(content), encoding="utf-8")
    treebank = [
        "\n".join(f"{n}\t{word}\t_\tX\t_\t_\t0\t_\t_\tNER={tag}" for n, (word, tag) in enumerate(row, 1))
        for row in rows
    ]
    (folder / "a.conllu").write_text("\n\n".join(treebank) + "\n", encoding="utf-8")
    marked = []
    for text, spans in zip(lines["a.seq.in"], spans_of(numbers), strict=True):
        ends = [(text.index(part), text.index(part) + len(part), kind) for part, kind in spans]
        marked.append({"text": text, "label": ends})
    return {
        "conll": conll(folder / "a.conll", numbers),
        "conllu": folder / "a.conllu",
        "aligned": folder / "a.seq.in",
        "tagged": folder / "words.txt",
        "spans": jsonl(folder / "a.jsonl", marked),
        "tokens": jsonl(
            folder / "b.jsonl", [{"tokens": [w for w, _ in row], "ner_tags": [t for _, t in row]} for row in rows]
        ),
    }


def test_the_same_sentences_in_every_format_are_one_dataset(tmp_path: Path) -> None:
    files = written(tmp_path, range(60))
    datasets = {
        name: prepare(
            path,
            task="token_labels",
            out=tmp_path / name,
            **({"tagging": "tagged"} if name == "tagged" else {"label": "NER"} if name == "conllu" else {}),
        )
        for name, path in files.items()
    }
    first = datasets["conll"]
    for one in datasets.values():
        assert one.labels == first.labels
        assert all(one.split(split).equals(first.split(split)) for split in first.splits)
    assert list(datasets["aligned"].manifest.parents) == ["source:a.seq.in", "source:a.seq.out"]


def test_brat_files_of_a_folder_are_texts(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.txt").write_text(f"Anna went\nto Rome {number}", encoding="utf-8")
        (folder / f"{number:02}.ann").write_text("T1\tPER 0 4\tAnna\nT2\tLOC 13 17\tRome\n", encoding="utf-8")
    (folder / "11.ann").write_text("", encoding="utf-8")
    dataset = prepare(folder, task="token_labels", valid_ratio=0, test_ratio=0, id="name", out=tmp_path / "data")
    assert said(dataset) == [[("Anna", "PER"), ("Rome", "LOC")]] * 11 + [[]]
    assert dataset.split("train")["id"].to_list() == [f"{number:02}" for number in range(12)]
    assert dataset.split("train")["text"][0] == "Anna went\nto Rome 0"


SEGMENTED = "".join(f"上海  推  迎  奥运会  ２０{number:02}  年\n" for number in range(40))


def test_words_between_spaces_become_words_of_the_text_without_them(tmp_path: Path) -> None:
    source = tmp_path / "a.txt"
    source.write_text(SEGMENTED, encoding="utf-8")
    dataset = made(source, tagging="segmented")
    assert (dataset.labels, dataset.text_config.units) == (["B", "E", "M", "S"], "characters")
    assert dataset.split("train")["text"][0].startswith("上海推迎奥运会２０")
    assert {tuple(word for word, _ in row)[:4] for row in said(dataset)} == {("上海", "推", "迎", "奥运会")}
    profile = json.loads((dataset.path / "profile.json").read_text(encoding="utf-8"))
    assert profile["spans"] == {"word": {"train": 192, "valid": 24, "test": 24}}
    assert profile["num_units"]["train"] == 32 * 12
    assert profile["labels"]["M"] == {"train": 96, "valid": 12, "test": 12}


TREE = """# text = Don't 去 北京
1-2	Don't	_	_	_	_	_	_	_	_
1	Do	_	AUX	_	_	0	_	_	_
2	n't	_	PART	_	_	0	_	_	_
3	去	_	VERB	_	_	0	_	_	_
4	北京	_	{upos}	_	_	0	_	_	X={number}

"""


@pytest.mark.parametrize(
    ("values", "text", "spans"),
    [
        ({"units": "words"}, "Do n't 去 北京", ["Do/AUX", "n't/PART", "去/VERB", "北京/PROPN"]),
        ({"units": "characters"}, "Don't 去 北京", ["Do/AUX", "n't/PART", "去/VERB", "北京/PROPN"]),
        ({"label": "words"}, "Don't 去 北京", ["Do/word", "n't/word", "去/word", "北京/word"]),
    ],
)
def test_a_treebank_gives_tags_of_its_words_or_the_words_of_its_text(
    values: dict[str, Any], text: str, spans: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "a.conllu"
    source.write_text("".join(TREE.format(upos="PROPN", number=number) for number in range(20)), encoding="utf-8")
    with caplog.at_level(logging.INFO):
        dataset = made(source, valid_ratio=0, test_ratio=0, **values)
    assert dataset.split("train")["text"][0] == text
    assert ["/".join(one) for one in said(dataset)[0]] == spans
    assert f"{source}: multi-word tokens: 20." in caplog.messages


def test_parts_without_a_tag_have_no_label_and_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = conll(tmp_path / "a.conll", range(40))
    source.write_text(source.read_text("utf-8").replace("went O", "went _"), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        dataset = made(source)
    assert f"{source}: units without a label are left out of training and measures: 40." in caplog.messages
    assert dataset.split("train")["label"][0].to_list()[:3] == ["B-PER", None, "O"]
    assert dataset.labels == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
    profile = json.loads((dataset.path / "profile.json").read_text(encoding="utf-8"))
    assert profile["num_unlabeled_units"] == {"train": 32, "valid": 4, "test": 4}
    assert "32 of them without a label" in (dataset.path / "profile.html").read_text(encoding="utf-8")


def test_what_breaks_the_rules_of_a_scheme_is_repaired_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = conll(tmp_path / "a.conll", range(60), B_LOC="I-LOC")
    with caplog.at_level(logging.WARNING):
        dataset = made(source, valid_ratio=0, test_ratio=0)
    assert said(dataset) == spans_of(range(60))
    assert (
        f"{source}: tags break the rules of their scheme (IOB1, or I- after O) and were repaired: 60."
        in caplog.messages
    )


TEXT = "😀 Anna met Bo Li in Rome"
GOOD = [[2, 6, "PER"], [11, 16, "PER"], [20, 24, "LOC"]]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"label": [[2, 6, "PER"], [4, 16, "PER"]]}, "overlapping spans"),
        ({"label": [[11, 16, "PER"], [14, 16, "NAME"]]}, "nested spans"),
        ({"label": [[2, 5, "PER"]]}, "span cuts a unit"),
        ({"label": [[20, 44, "LOC"]]}, "span outside of the text"),
        ({"label": [[6, 7, "LOC"]]}, "span without a unit"),
        ({"label": [{"start": 2, "end": 6, "text": "Rome", "label": "PER"}]}, "span text differs"),
        ({"label": [[2, 6, "P\nR"]]}, "control character in label"),
        ({"label": [[2, 6, " "]]}, "missing label"),
        ({"label": [[2, 6]]}, "unreadable label"),
        ({"label": None}, "missing label"),
        ({"text": "", "label": []}, "empty text"),
        ({"text": " \u3000", "label": []}, "empty text"),
        ({"text": None, "label": []}, "missing text"),
        ({"text": "\u202a", "label": []}, "text without a unit"),
        ({"answer": "reject", "label": []}, "not accepted"),
    ],
)
def test_a_row_that_cannot_be_used_is_refused_with_the_reason(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    good = [{"text": f"{TEXT} {number}", "label": GOOD} for number in range(30)]
    dataset = made(jsonl(tmp_path / "a.jsonl", [*good, {"text": TEXT, **row}]))
    assert dataset.manifest.info["rejected"] == {reason: 1}
    (line,) = (dataset.path / "rejected.jsonl").read_text(encoding="utf-8").splitlines()
    refused = json.loads(line)
    assert (refused["file"], refused["line"], refused["reason"]) == ("a.jsonl", 31, reason)
    assert sum(dataset.summary()["num_rows"].values()) == 30


def test_offsets_that_count_UTF16_units_are_converted_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [
        {"text": f"{TEXT} {one}", "label": [[start + 1, end + 1, kind] for start, end, kind in GOOD]}
        for one in range(9)
    ]
    with caplog.at_level(logging.WARNING):
        dataset = made(jsonl(tmp_path / "a.jsonl", rows), valid_ratio=0, test_ratio=0)
    assert said(dataset)[0] == [("Anna", "PER"), ("Bo Li", "PER"), ("Rome", "LOC")]
    assert (
        f"{tmp_path / 'a.jsonl'}: the ends of the spans count UTF-16 units; they were converted to characters."
        in caplog.messages
    )


def test_nested_spans_can_be_made_one_layer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"text": f"{TEXT} {one}", "label": [*GOOD, [14, 16, "NAME"]]} for one in range(9)]
    source = jsonl(tmp_path / "a.jsonl", rows)
    with pytest.raises(DataError) as caught:
        made(source)
    assert "9 of 9 rows were refused (nested spans: 9)" in caught.value.message
    assert str(caught.value.hint).startswith("One layer of spans can be learned; --label-map KIND=O leaves a kind out.")
    dataset = made(source, label_map={"NAME": "O", "PER": "person"}, valid_ratio=0, test_ratio=0)
    assert said(dataset)[0] == [("Anna", "person"), ("Bo Li", "person"), ("Rome", "LOC")]


def test_kinds_have_names_or_are_refused(tmp_path: Path) -> None:
    source = conll(tmp_path / "a.conll", range(30))
    names = {"label_names": {"PER": "person", "LOC": "place"}}
    assert made(source, **names).labels == ["B-person", "B-place", "I-person", "I-place", "O"]
    with pytest.raises(DataError, match=r"The label 'LOC' \(.*a.conll line 1\) has no name in 'label_names'."):
        prepare(source, task="token_labels", label_names={"PER": "person"}, out=tmp_path / "other")


def test_a_tag_that_train_lacks_is_named_at_test_time(tmp_path: Path) -> None:
    test = conll(tmp_path / "test.conll", range(3), B_LOC="B-GPE", I_LOC="I-GPE")
    with pytest.raises(DataError) as caught:
        made(conll(tmp_path / "a.conll", range(30)), test=test)
    assert caught.value.message == f"Labels of valid or test that train lacks: 'GPE' ({test} line 1)."
    assert "Train has: LOC, PER." in str(caught.value.hint)


def test_a_kind_of_one_unit_in_train_may_have_several_in_test(tmp_path: Path) -> None:
    rows = [{"text": f"at {one}", "label": [[3, 4 + (one > 9), "N"]]} for one in range(30)]
    test = jsonl(tmp_path / "test.jsonl", [{"text": "at 1 2", "label": [[3, 6, "N"]]}])
    dataset = made(jsonl(tmp_path / "a.jsonl", rows), test=test)
    assert dataset.labels == ["B-N", "I-N", "O"]
    assert said(dataset, "test") == [[("1 2", "N")]]


def test_two_schemes_in_one_file_are_an_error(tmp_path: Path) -> None:
    source = conll(tmp_path / "a.conll", range(30))
    source.write_text(source.read_text("utf-8") + "\nx M-LOC\n", encoding="utf-8")
    with pytest.raises(DataError, match="mixes two schemes of tags: 'B-PER' on line 1, 'M-LOC' on line "):
        made(source)


@pytest.mark.parametrize(
    ("line", "values", "message"),
    [
        ("Rome NNP B-LOC\n", {}, "a.conll line 256 has 3 columns, but the first row has 2. Got 'Rome NNP B-LOC'."),
        ("", {"label": "3"}, "a.conll has no column 3: the row on line 1 has 2 columns."),
        (
            "",
            {"word_column": 2},
            "a.conll has no column of tags beside that of the words: the row on line 1 has 2 columns.",
        ),
    ],
)
def test_a_ragged_row_and_a_missing_column_are_named(
    line: str, values: dict[str, Any], message: str, tmp_path: Path
) -> None:
    source = conll(tmp_path / "a.conll", range(30))
    source.write_text(source.read_text("utf-8") + line, encoding="utf-8")
    with pytest.raises(DataError) as caught:
        made(source, **values)
    assert caught.value.message.endswith(message)
    assert not (tmp_path / "data").exists()


def test_a_sentence_of_100_000_characters_is_a_row(tmp_path: Path) -> None:
    long = "中" * 99_998 + "北京"
    rows = [{"text": f"在北京{one}", "label": [[1, 3, "LOC"]]} for one in range(20)]
    dataset = made(jsonl(tmp_path / "a.jsonl", [*rows, {"text": long, "label": [[99_998, 100_000, "LOC"]]}]))
    found = pl.concat([dataset.split(split) for split in dataset.splits]).filter(pl.col("text") == long)
    assert found["label"][0].to_list() == ["O"] * 99_998 + ["B-LOC", "I-LOC"]


@pytest.mark.parametrize("step", [step for step in CLEANING_STEPS if step.startswith(("strip", "stop"))])
def test_a_step_that_takes_characters_away_is_refused_by_name(step: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"The cleaning step '{step}' cannot be used with the task token_labels"):
        made(conll(tmp_path / "a.conll", range(9)), cleaning=("lowercase", step))


def test_the_other_steps_are_applied_to_units_and_move_no_place(tmp_path: Path) -> None:
    rows = [{"text": f"  ＡＮＮＡ  met\u3000℃ {one}", "label": [[2, 6, "PER"]]} for one in range(20)]
    steps = ("unicode_nfkc", "simplify_chinese", "lowercase", "collapse_whitespace")
    dataset = made(jsonl(tmp_path / "a.jsonl", rows), cleaning=steps, valid_ratio=0, test_ratio=0)
    assert said(dataset)[0] == [("ＡＮＮＡ", "PER")]
    units = dataset.text_pipeline().read(Inputs((dataset.split("train")["text"].to_list()[:1],))).units
    assert units is not None
    assert units.surfaces == ["anna", "met", "°c", "0"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"task": "single_label", "units": "words"}, "The task single_label does not use the 'units' parameter."),
        ({"task": "single_label", "tagging": "conll"}, "The task single_label does not use the 'tagging' parameter."),
        (
            {"task": "token_labels", "segmenter": "rjieba"},
            "The task token_labels does not use the 'segmenter' parameter.",
        ),
        (
            {"task": "token_labels", "label_columns": ("a",)},
            "The task token_labels does not use the 'label_columns' parameter.",
        ),
    ],
)
def test_a_value_without_a_meaning_is_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        prepare(conll(tmp_path / "a.conll", range(9)), out=tmp_path / "data", **values)
    assert caught.value.message == message


def test_texts_without_labels_are_a_table(tmp_path: Path) -> None:
    unlabeled = jsonl(tmp_path / "more.jsonl", [{"text": "to Lima"}, {"text": "to Oslo"}])
    dataset = made(conll(tmp_path / "a.conll", range(30)), unlabeled=unlabeled)
    assert dataset.split("unlabeled").to_dict(as_series=False) == {"id": ["31", "32"], "text": ["to Lima", "to Oslo"]}


def test_rows_have_the_names_that_the_file_gives_them(tmp_path: Path) -> None:
    source = tmp_path / "a.conll"
    rows = ["\n".join(f"{word} {tag}" for word, tag in sentence(one)) for one in range(20)]
    source.write_text("\n\n".join(f"# sent_id = s{one}\n{row}" for one, row in enumerate(rows)), encoding="utf-8")
    dataset = made(source, id="sent_id", valid_ratio=0, test_ratio=0)
    assert dataset.split("train")["id"].to_list() == [f"s{one}" for one in range(20)]


def test_splits_balance_kinds_and_train_has_them_all(tmp_path: Path) -> None:
    rows = [{"text": f"in Rome {one}", "label": [[3, 7, "RARE" if one % 10 == 0 else "LOC"]]} for one in range(100)]
    rows += [{"text": f"in the rain {one}", "label": []} for one in range(100)]
    dataset = made(jsonl(tmp_path / "a.jsonl", rows))
    kinds = {split: Counter(kind for row in said(dataset, split) for _, kind in row) for split in dataset.splits}
    assert kinds == {"train": {"LOC": 72, "RARE": 8}, "valid": {"LOC": 9, "RARE": 1}, "test": {"LOC": 9, "RARE": 1}}
    assert dataset.summary()["num_rows"] == {
        "train": 160,
        "valid": 20,
        "test": 20,
    }


def test_one_tag_alone_is_nothing_to_learn(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is one class only: all 8 rows of train have the label 'O'."):
        made(jsonl(tmp_path / "a.jsonl", [{"text": f"a {one}", "label": []} for one in range(10)]))


def test_the_tags_beside_the_words_are_part_of_the_key(tmp_path: Path) -> None:
    written(tmp_path, range(20))
    pipeline = tmp_path / "pipeline.toml"
    pipeline.write_text('[stage.data]\nverb = "prepare"\nsource = "a.seq.in"\ntask = "token_labels"\n')
    assert main(["check", str(pipeline)]) == 0
    assert main(["run", str(pipeline)]) == 0
    (folder,) = tmp_path.rglob("train.parquet")
    assert "B-PER" in Dataset.open(folder.parent).labels
    (tmp_path / "a.seq.out").write_text((tmp_path / "a.seq.out").read_text().replace("PER", "WHO"))
    assert main(["run", str(pipeline)]) == 0
    (folder,) = tmp_path.rglob("train.parquet")
    assert "B-WHO" in Dataset.open(folder.parent).labels, "other tags are other work"


def test_a_check_of_a_pipeline_reads_the_tags(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conll(tmp_path / "a.conll", range(20))
    pipeline = tmp_path / "pipeline.toml"
    stage = '[stage.data]\nverb = "prepare"\nsource = "a.conll"\ntask = "token_labels"\n'
    pipeline.write_text(stage)
    assert main(["check", str(pipeline)]) == 0
    pipeline.write_text(stage + 'label = "3"\n')
    assert main(["check", str(pipeline)]) == 2
    assert "a.conll has no column 3: the row on line 1 has 2 columns." in capsys.readouterr().err
    pipeline.write_text(stage + 'cleaning = ["strip_html"]\n')
    assert main(["check", str(pipeline)]) == 2
    assert "The cleaning step 'strip_html' cannot be used" in capsys.readouterr().err


REAL: dict[str, tuple[str, tuple[str, ...], dict[str, Any], str, dict[str, int], int, int]] = {
    "resume_ner": (
        "resume_ner", ("train.char.bmes", "dev.char.bmes", "test.char.bmes"), {},
        "characters", {"train": 3821, "valid": 463, "test": 477}, 124_099, 13_440,
    ),
    "sxu_seg": (
        "sxu_seg", ("train.txt", "test.txt", "test.txt"), {"tagging": "segmented"},
        "characters", {"train": 17_115, "valid": 3654, "test": 3654}, 854_001, 528_238,
    ),
    "entities of ud_zh_gsdsimp": (
        "ud_zh_gsdsimp", ("zh_gsdsimp-ud-train.iob2", "zh_gsdsimp-ud-dev.iob2", "zh_gsdsimp-ud-test.iob2"),
        {"word_column": 2, "label": "3"},
        "characters", {"train": 3997, "valid": 500, "test": 500}, 156_297, 2858 + 2148 + 1112,
    ),
    "words of ud_zh_gsdsimp": (
        "ud_zh_gsdsimp", ("zh_gsdsimp-ud-train.iob2", "zh_gsdsimp-ud-dev.conllu", "zh_gsdsimp-ud-test.iob2"),
        {"word_column": 2, "label": "words"},
        "characters", {"train": 3997, "valid": 500, "test": 500}, 156_297, 98_616,
    ),
    "bc5cdr": (
        "bc5cdr", ("train.tsv", "devel.tsv", "test.tsv"), {},
        "tokens", {"train": 4560, "valid": 4581, "test": 4797}, 118_170, 5203 + 4182,
    ),
    "slots_snips": (
        "slots_snips", ("train.seq.in", "valid.seq.in", "test.seq.in"), {},
        "tokens", {"train": 13_084, "valid": 700, "test": 700}, 119_181, 33_958,
    ),
    "ud_en_ewt": (
        "ud_en_ewt", ("en_ewt-ud-train.conllu.gz", "en_ewt-ud-dev.conllu", "en_ewt-ud-test.conllu"), {"label": "upos"},
        "words", {"train": 12_544, "valid": 2001, "test": 2077}, 204_577, 204_577,
    ),
    "ud_zh_gsd_v14": (
        "ud_zh_gsd_v14", ("zh-ud-train.conllu", "zh-ud-dev.conllu", "zh-ud-test.conllu"),
        {"label": "upos", "units": "words"},
        "words", {"train": 3997, "valid": 500, "test": 500}, 98_608, 98_608,
    ),
    "restaurant8k": (
        "restaurant8k", ("train_0.json", "train_0.json", "test.json"), {"units": "characters"},
        "characters", {"train": 8140, "valid": 8140, "test": 3713}, 0, 0,
    ),
}  # fmt: skip
"""What was counted in the files with nothing but their lines: rows, and units and spans (or words) of train."""


@pytest.mark.real_data
@pytest.mark.parametrize("name", REAL)
def test_public_sets_are_read_whole(name: str, real_data: Path, tmp_path: Path) -> None:
    folder, files, values, rule, num_rows, num_units, num_spans = REAL[name]
    train, valid, test = (real_data / folder / file for file in files)
    dataset = prepare(train, valid=valid, test=test, task="token_labels", out=tmp_path / "data", **values)
    profile = json.loads((dataset.path / "profile.json").read_text(encoding="utf-8"))
    assert dataset.text_config.units == rule
    assert profile["num_rows"] == num_rows
    if num_units:
        assert (profile["num_units"]["train"], sum(one["train"] for one in profile["spans"].values())) == (
            num_units,
            num_spans,
        )
    assert profile["num_unlabeled_units"] == dict.fromkeys(num_rows, 0)
    assert sum(map(len, said(dataset))) == sum(one["train"] for one in profile["spans"].values())
