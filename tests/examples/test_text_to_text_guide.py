"""The commands of the guide about text to text work, one after the other, in an empty folder."""

import json

import pytest

import yanmo


@pytest.fixture(scope="module")
def aloud(blocks_of, run_commands, tmp_path_factory):
    """The folder that the guide's first commands made, and what they printed."""
    commands, *_ = [code for language, code in blocks_of("docs/guides/text-to-text.md") if language == "bash"]
    folder = tmp_path_factory.mktemp("guide")
    (folder / "stdout.txt").write_text(run_commands(commands, folder), encoding="utf-8")
    return folder / "aloud"


def test_the_example_is_learned(aloud):
    metrics = yanmo.Report.open(aloud / "reports" / "pairs").metrics
    assert metrics["exact_match"] > 0.75
    assert metrics["token_error_rate"] < 0.1
    assert "TH " in (aloud.parent / "stdout.txt").read_text(encoding="utf-8")


def test_answers_are_texts(aloud):
    rows = [json.loads(line) for line in (aloud / "answers" / "table.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(isinstance(row["prediction"], str) for row in rows)


def test_every_row_of_the_example_stands_once(aloud):
    data = yanmo.Dataset.open(aloud / "data" / "spoken")
    texts = [text for split in data.splits for text in data.split(split)["text"].to_list()]
    assert len(texts) == len(set(texts)) == 560
    assert data.summary()["num_rejected"] == 0
