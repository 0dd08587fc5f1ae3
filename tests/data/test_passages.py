"""Questions about passages: SQuAD, CMRC's dialect and tables are read as they are, and answers are found again."""

import json

import polars as pl
import pytest

import yanmo
from yanmo.errors import ConfigError, DataError, PipelineError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.tasks import task_of

PASSAGE = "Rosa lives in Rome. Anna lives in Rome, too."


def write(path, content):
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def squad(path, *questions, passage=PASSAGE):
    qas = [{"id": f"q{number}", "question": "Who?", **one} for number, one in enumerate(questions)]
    return write(path, {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": passage, "qas": qas}]}]})


def prepare(source, out, **options):
    values = {"task": "span", "valid_ratio": 0.0, "test_ratio": 0.0, "max_rejected": 1.0} | options
    return yanmo.prepare(source, out=out, **values)


def answers_of(dataset):
    return [[(one["start"], one["text"]) for one in row] for row in dataset.split("train")["answers"].to_list()]


def test_squad_is_read_with_several_answers_and_without_any(tmp_path):
    source = squad(
        tmp_path / "a.json",
        {"answers": [{"text": "Rome", "answer_start": 14}, {"text": "in Rome", "answer_start": 11}]},
        {"answers": [], "is_impossible": True, "plausible_answers": [{"text": "Anna", "answer_start": 20}]},
        {"answers": [{"text": "Rome", "answer_start": 34}]},
    )
    found = prepare(source, tmp_path / "data")
    assert answers_of(found) == [[(14, "Rome"), (11, "in Rome")], [], [(34, "Rome")]]
    assert found.split("train")["label"].to_list() == ["answer", "none", "answer"]
    assert found.split("train").columns == ["id", "passage", "question", "answers", "label"]
    assert found.labels == ["answer", "none"]


def test_the_dialects_of_cmrc_are_read(tmp_path):
    flat = [
        {
            "context_id": "D",
            "context_text": "光荣开发了游戏。",
            "qas": [{"query_id": "D_0", "query_text": "谁？", "answers": ["光荣", "光荣"]}],
        }
    ]
    assert answers_of(prepare(write(tmp_path / "flat.json", flat), tmp_path / "flat")) == [[(0, "光荣"), (0, "光荣")]]
    year = squad(tmp_path / "b.json", {"answers": [{"text": 1963, "answer_start": 3}]}, passage="生于1963年")
    assert answers_of(prepare(year, tmp_path / "year")) == [[(2, "1963")]]


@pytest.mark.parametrize(
    ("said", "text", "found"),
    [
        (15, "Rome", 14),  # one too large
        (30, "Rome", 34),  # the nearer of two
        (14, " Rome.", 14),  # white space is no part of it
        (999, "Anna", 20),
        (None, "Anna", 20),
    ],
)
def test_an_answer_that_stands_elsewhere_is_found_again_by_its_text(tmp_path, said, text, found):
    answers = [{"text": text} | ({"answer_start": said} if said is not None else {})]
    source = squad(tmp_path / "a.json", {"answers": answers})
    assert answers_of(prepare(source, tmp_path / "data")) == [[(found, text.strip())]]


def test_what_is_found_again_is_counted_and_what_stands_nowhere_is_refused_and_counted(tmp_path, caplog):
    source = squad(
        tmp_path / "a.json",
        {"answers": [{"text": "Rome", "answer_start": 15}, {"text": "Paris", "answer_start": 0}]},
        {"answers": [{"text": "Paris", "answer_start": 0}]},
        {"answers": [{"text": ["Rome"]}]},
    )
    found = prepare(source, tmp_path / "data")
    # It counts as right where answers are compared as texts.
    assert answers_of(found) == [[(14, "Rome"), (-1, "Paris")]]
    assert found.manifest.info["rejected"] == {"answer stands nowhere in the passage": 1, "unreadable answers": 1}
    assert "answers stand elsewhere than is said and were found again by their text: 1." in caplog.text
    assert "answers that their passage does not hold count as right, but have no place: 1." in caplog.text
    rejected = (tmp_path / "data" / "rejected.jsonl").read_text(encoding="utf-8")
    assert "answer stands nowhere in the passage" in rejected


@pytest.mark.parametrize(
    "cell",
    [
        [{"text": "Rome", "answer_start": 14}],
        {"text": ["Rome"], "answer_start": [14]},
        {"text": "Rome", "start": 14},
        ["Rome"],
        "Rome",
        # As pandas writes the rows of a Hugging Face data set.
        "{'text': array(['Rome'], dtype=object), 'answer_start': array([14])}",
    ],
)
def test_rows_of_tables_say_answers_in_several_ways(tmp_path, cell):
    rows = [{"context": PASSAGE, "question": "Where?", "answers": one} for one in (cell, [])]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = prepare(tmp_path / "a.jsonl", tmp_path / "lines", text="context")
    assert answers_of(found) == [[(14, "Rome")], []]


def test_parquet_is_read_and_names_of_columns_may_be_others(tmp_path):
    answers = [[{"text": "Rome", "answer_start": 14}], [{"text": "Anna", "answer_start": 20}]]
    frame = pl.DataFrame({"p": [PASSAGE] * 2, "q": ["Where?", "Who?"], "a": answers, "name": ["x", "y"]})
    frame.write_parquet(tmp_path / "a.parquet")
    found = prepare(tmp_path / "a.parquet", tmp_path / "data", text="p", text_b="q", label="a", id="name")
    assert answers_of(found) == [[(14, "Rome")], [(20, "Anna")]]
    assert found.split("train")["id"].to_list() == ["x", "y"]


def test_a_name_of_a_column_is_heard_even_if_it_is_what_other_tasks_have_by_default(tmp_path):
    row = {"text": PASSAGE, "passage": "Wrong.", "question": "Who?", "label": "Rosa", "answers": "nobody"}
    write(tmp_path / "a.jsonl", row)
    found = prepare(tmp_path / "a.jsonl", tmp_path / "data", text="text", label="label")
    assert found.split("train")["passage"].to_list() == [PASSAGE]
    assert answers_of(found) == [[(0, "Rosa")]]


def test_all_questions_about_a_passage_are_on_one_side_and_it_is_stored_once(tmp_path):
    passages = [f"{PASSAGE} Number {number}. " + "Nothing else happens here. " * 40 for number in range(30)]
    rows = [{"passage": one, "question": f"Who {n}?", "answers": "Rosa"} for one in passages for n in range(20)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = prepare(tmp_path / "a.jsonl", tmp_path / "data", valid_ratio=0.2, test_ratio=0.2)
    splits = {name: set(found.split(name)["passage"]) for name in ("train", "valid", "test")}
    assert sum(map(len, splits.values())) == 30
    assert all(splits.values())
    # 20 questions a passage of a kilobyte: a copy for each would be 600 KB.
    assert sum(found.split_path(name).stat().st_size for name in splits) < 60_000


@pytest.mark.parametrize("content", [{"data": [{"paragraphs": [{"qas": []}]}]}, {"rows": 1}, [1], 7])
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    source = write(tmp_path / "a.json", content)
    with pytest.raises(DataError, match=r"a\.json is no file of questions about passages") as caught:
        prepare(source, tmp_path / "data")
    assert '"paragraphs"' in caught.value.hint


def test_an_empty_passage_is_refused(tmp_path):
    with pytest.raises(DataError, match="empty text"):
        prepare(squad(tmp_path / "a.json", {"answers": []}, passage="  "), tmp_path / "data", max_rejected=0.0)


def test_a_pipeline_is_told_of_a_missing_column_before_it_runs(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"passage": PASSAGE, "asked": "Who?", "answers": []}), encoding="utf-8"
    )
    stages = '[stage.questions]\nverb = "prepare"\nsource = "a.jsonl"\ntask = "span"\n'
    (tmp_path / "pipeline.toml").write_text(stages, encoding="utf-8")
    with pytest.raises(PipelineError, match="has no column 'question'"):
        check(tmp_path / "pipeline.toml", CheckConfig())


def test_the_most_characters_of_an_answer_are_a_key_that_travels(tmp_path):
    made = prepare(squad(tmp_path / "a.json", {"answers": "Rome"}), tmp_path / "data", max_answer=30)
    assert task_of(made).max_answer == 30
    assert task_of(prepare(squad(tmp_path / "b.json", {"answers": "Rome"}), tmp_path / "other")).max_answer == 100
    with pytest.raises(ConfigError, match="The task single_label does not use the 'max_answer' parameter"):
        yanmo.prepare(tmp_path / "a.json", max_answer=30, out=tmp_path / "none")


@pytest.mark.parametrize("key", ["text", "text_b", "label"])
def test_a_column_that_a_file_of_paragraphs_cannot_have_is_refused(tmp_path, key):
    source = squad(tmp_path / "questions.json", {"answers": [{"text": "Rosa", "answer_start": 0}]})
    with pytest.raises(ConfigError, match=f"'{key}' parameter of prepare names a column"):
        prepare(source, tmp_path / "data", **{key: "other"})
