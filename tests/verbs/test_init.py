"""The starter folder is whole, explains every key, and its pipeline passes the check."""

import re
import tomllib

import polars as pl
import pytest

from yanmo.errors import ConfigError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.verbs.init import init, render_pipeline
from yanmo.verbs.signature import get_verb


def test_the_starter_folder_passes_the_check(tmp_path):
    starter = init(tmp_path / "new" / "project")
    assert starter.summary() == {
        "folder": str(tmp_path / "new" / "project"),
        "files": ["messages.csv", "pipeline.toml", "README.md"],
        "next": f"yanmo run {tmp_path / 'new' / 'project' / 'pipeline.toml'}",
    }
    assert pl.read_csv(starter.path / "messages.csv").columns == ["text", "intent"]
    plan = check(starter.path / "pipeline.toml", CheckConfig())
    assert set(plan.states) == {"to do"}
    verbs = {step.stage.verb.name for step in plan.steps}
    assert verbs == {"prepare", "train", "export", "evaluate"}
    assert {dict(step.config)["model"] for step in plan.steps if step.stage.verb.name == "train"} >= {
        "ngram",
        "linear",
        "textcnn",
        "bert-2x128",
    }


@pytest.mark.parametrize("name", ["prepare", "train", "export", "evaluate"])
def test_every_key_of_the_verb_is_explained(name):
    verb = get_verb(name)
    text = render_pipeline()
    for key, field in verb.config_class.model_fields.items():
        words = " ".join((field.description or "").split())
        assert words[:40] in " ".join(text.replace("\n# ", " ").split()), key
        assert re.search(rf"^(# )?{key} =|[{{ ]{key} = \[", text, re.MULTILINE), key
    for one in verb.inputs:
        assert re.search(rf"^(# )?{one.name} =", text, re.MULTILINE)


def test_every_default_that_is_shown_can_be_uncommented(tmp_path):
    starter = init(tmp_path / "project")
    plain = render_pipeline()
    full = re.sub(r"^# (\w+ = .+)$", r"\1", plain, flags=re.MULTILINE)
    assert len(tomllib.loads(full)["stage"]["messages"]) > len(tomllib.loads(plain)["stage"]["messages"]) + 9
    (starter.path / "pipeline.toml").write_text(full, encoding="utf-8")
    given = check(starter.path / "pipeline.toml", CheckConfig())
    (starter.path / "pipeline.toml").write_text(plain, encoding="utf-8")
    default = check(starter.path / "pipeline.toml", CheckConfig())
    assert [step.config for step in given.steps] == [step.config for step in default.steps]


def test_no_line_is_too_wide_to_read():
    assert max(map(len, render_pipeline().split("\n"))) <= 120


def test_a_folder_that_holds_something_is_refused_and_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(ConfigError) as caught:
        init(tmp_path)
    assert str(caught.value) == f"{tmp_path} is not empty.\nhint: Choose a new folder."
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(ConfigError, match=r"mine.txt is a file\."):
        init(tmp_path / "mine.txt")


def test_an_empty_folder_is_filled(tmp_path):
    assert len(init(tmp_path).files) == 3
