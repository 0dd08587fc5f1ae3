"""The commands and the Python of the guide about language models work, one after the other, in an empty folder."""

import re

import polars as pl
import pytest

import yanmo


@pytest.fixture(scope="module")
def blocks(project_root):
    text = (project_root / "docs" / "guides" / "language-models.md").read_text(encoding="utf-8")
    return re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)


@pytest.fixture(scope="module")
def village(blocks, run_commands, tmp_path_factory):
    """The folder that the guide's commands made."""
    folder = tmp_path_factory.mktemp("guide")
    commands = "\n".join(code for language, code in blocks if language == "bash")
    run_commands(commands, folder)
    return folder / "village"


def test_both_models_are_measured_and_texts_have_likelihoods(village):
    metrics = yanmo.Report.open(village / "reports" / "gpt").metrics
    assert 0 < metrics["against"]["bits_per_character"] < 1
    assert 0 < metrics["bits_per_character"] < 8
    table = pl.read_csv(village / "likelihoods" / "table.csv")
    assert (table["prediction"] < 0).all()


def test_an_arpa_file_says_what_the_bundle_says(village, blocks, monkeypatch):
    monkeypatch.chdir(village)
    names = {}
    (code,) = [code for language, code in blocks if language == "python"]
    exec(compile(code, "language-models.md", "exec"), names)
    model, again, end_id = names["model"], names["again"], names["end_id"]
    ids = model.tokenizer.encode(["The moon stood over the bridge", "月亮"]).ids
    found = again.score(ids, end_id).values
    assert abs(found - model.model.score(ids, model.tokenizer.end_id).values).max() < 1e-9
    assert names["words"][end_id] == "</s>"
