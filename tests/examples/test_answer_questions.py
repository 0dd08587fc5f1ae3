"""The embedded questions are what their README says, and the commands of the guide about them work in their order."""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import yanmo
from yanmo.cli import main


@pytest.fixture(scope="module")
def paragraphs(project_root):
    content = json.loads((project_root / "examples" / "questions" / "questions.json").read_text(encoding="utf-8"))
    return [(article["title"], one) for article in content["data"] for one in article["paragraphs"]]


@pytest.fixture(scope="module")
def blocks(project_root):
    text = (project_root / "docs" / "guides" / "answer-questions.md").read_text(encoding="utf-8")
    return re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)


def test_half_is_chinese_half_is_english_and_each_answer_stands_where_it_is_said_to(paragraphs):
    counts = {"en": 0, "zh": 0}
    for language, paragraph in paragraphs:
        assert bool(re.search("[\u4e00-\u9fff]", paragraph["context"])) == (language == "zh")
        counts[language] += len(paragraph["qas"])
        for one in paragraph["qas"]:
            assert one["is_impossible"] == (not one["answers"])
            for answer in one["answers"]:
                start = answer["answer_start"]
                assert paragraph["context"][start : start + len(answer["text"])] == answer["text"]
    assert sum(counts.values()) == 517
    assert 0.45 <= counts["zh"] / 517 <= 0.55


def test_no_passage_stands_twice_and_some_questions_have_no_answer(paragraphs):
    passages = [one["context"] for _, one in paragraphs]
    assert len(set(passages)) == len(passages)
    nothing = sum(one["is_impossible"] for _, paragraph in paragraphs for one in paragraph["qas"])
    assert 0.1 <= nothing / 517 <= 0.25


def test_the_commands_of_the_guide_work(blocks, tmp_path, monkeypatch):
    codes = [code for language, code in blocks if language == "bash" and "yanmo serve" not in code]
    monkeypatch.chdir(tmp_path)
    for line in "".join(codes).splitlines():
        # That it is learned takes all epochs, and that the commands work takes one.
        words = shlex.split(line.replace("--num-epochs 10", "--num-epochs 1"), comments=True)
        if words[0] == "cd":
            monkeypatch.chdir(words[1])
            continue
        if words[0] != "yanmo":
            subprocess.run(["bash", "-c", line], check=True)
            continue
        cheaper = ["--no-measure-speed", "--num-resamples", "100"] if words[1] == "evaluate" else []
        assert main([*words[1:], *cheaper]) == 0, line
    assert yanmo.Report.open("reports/reader").metrics["headline"]["name"] == "f1"
    rows = [json.loads(line) for line in Path("answers/table.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) > 50
    found = [json.loads(line) for line in Path("found/table.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["document"] for row in found] == ["people.txt", "people.txt"]
    for row in rows + found:
        assert all(row["passage"][one["start"] : one["end"]] == one["text"] for one in row["prediction"])


def test_the_rows_of_the_guide_are_read(blocks, tmp_path):
    code = next(code for language, code in blocks if language == "json" and "passage" in code)
    (tmp_path / "a.jsonl").write_text(code, encoding="utf-8")
    made = yanmo.prepare(tmp_path / "a.jsonl", task="span", valid_ratio=0.0, test_ratio=0.0, out=tmp_path / "data")
    answers = made.split("train")["answers"].to_list()
    assert [[(one["start"], one["text"]) for one in row] for row in answers] == [[(14, "Rome")], [(0, "光荣")], []]
