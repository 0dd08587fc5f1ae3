"""The commands and the Python of the guide about names in texts work, one after the other, in an empty folder."""

import json

import pytest

import yanmo

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def blocks(blocks_of):
    return blocks_of("docs/guides/find-names.md")


@pytest.fixture(scope="module")
def shop(blocks, run_commands, tmp_path_factory):
    """The folder that the guide's commands made."""
    folder = tmp_path_factory.mktemp("guide")
    (rules,) = [code for language, code in blocks if language == "toml"]
    (folder / "rules.toml").write_text(rules, encoding="utf-8")
    commands = "\n".join(code for language, code in blocks if language == "bash")
    told = run_commands(commands.replace("cd shop", "cd shop; cp ../rules.toml ."), folder)
    (folder / "stdout.txt").write_text(told, encoding="utf-8")
    return folder / "shop"


def test_the_example_is_learned(shop):
    metrics = yanmo.Report.open(shop / "reports" / "names").metrics
    assert metrics["span_f1"] > 0.7
    assert {one["label"] for one in metrics["per_label"]} >= {"order", "person", "place"}
    assert "SO-48213/order" in (shop.parent / "stdout.txt").read_text(encoding="utf-8")


def test_what_is_predicted_can_be_given_back_as_data(shop, tmp_path):
    rows = (shop / "answers" / "jsonl" / "table.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 549
    for row in map(json.loads, rows):
        assert all(row["text"][one["start"] : one["end"]] == one["text"] for one in row["prediction"])
    table = shop / "answers" / "jsonl" / "table.jsonl"
    data = yanmo.prepare(table, out=tmp_path / "data", task="token_labels", label="prediction", units="tokens")
    assert data.summary()["num_rejected"] == 0
    assert set(data.labels) <= set(yanmo.Bundle.open(shop / "models" / "names").labels)


def test_units_and_tags_stand_in_lines(shop):
    text = (shop / "answers" / "conll" / "table.conll").read_text(encoding="utf-8")
    sentences = text.strip().split("\n\n")
    assert len(sentences) == 549
    assert all(len(line.split("\t")) == 2 for sentence in sentences for line in sentence.split("\n"))


def test_the_rules_say_what_they_found_and_are_measured(shop):
    predictor = yanmo.load(shop / "models" / "names-with-rules")
    (answer,) = predictor.predict(["SO-12345 and the Halden desk lamp"])
    assert [(span.text, span.source) for span in answer.spans] == [
        ("SO-12345", "rule"),
        ("Halden desk lamp", "dictionary"),
    ]
    assert "against" in yanmo.Report.open(shop / "reports" / "rules").metrics


def test_the_python_of_the_guide_gives_what_its_comment_says(shop, blocks, monkeypatch):
    code = next(code for language, code in blocks if language == "python" and "yanmo.load" in code)
    monkeypatch.chdir(shop)
    names = {}
    exec(compile(code, "find-names.md", "exec"), names)
    assert [(one.text, one.label, one.start, one.end) for one in names["answer"].spans] == [
        ("SO-48213", "order", 9, 17)
    ]


def test_the_marks_of_the_guide_are_where_it_says(blocks):
    code = next(code for language, code in blocks if language == "json" and "label" in code)
    rows = [json.loads(line) for line in code.splitlines()]
    marks = [row["text"][start:end] for row in rows for start, end, _ in row["label"]]
    assert marks == ["Rosa", "3月5日"]


def test_the_pipeline_of_the_example_runs_to_its_comparison(shop):
    report = yanmo.run(shop / "pipeline.toml")
    rows = {row["name"]: row for row in report.summary()["rows"]}
    assert rows.keys() == {"1", "2", "3", "together"}
    assert min(row["span_f1"] for row in rows.values()) > 0.7
    assert (shop / "runs" / "quality" / "report.html").is_file()
    (answer,) = yanmo.load(shop / "runs" / "together").predict(["Where is SO-48213?"])
    assert [span.text for span in answer.spans] == ["SO-48213"]
