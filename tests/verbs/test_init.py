"""The starter folder is whole, explains every key, and its pipeline passes the check."""

import re
import tomllib

import polars as pl
import pytest

from yanmo.errors import ConfigError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.starters import TEMPLATES
from yanmo.tasks import TASKS
from yanmo.verbs.init import init, render_pipeline
from yanmo.verbs.prepare import prepare
from yanmo.verbs.signature import get_verb

VERBS = [(task, verb) for task, one in TEMPLATES.items() for verb in dict.fromkeys(s.verb for s in one.stages.values())]


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
    assert verbs == {"prepare", "train", "export", "evaluate", "ensemble", "cascade", "distill", "quantize"}
    assert {dict(step.config)["model"] for step in plan.steps if step.stage.verb.name == "train"} >= {
        "ngram",
        "linear",
        "textcnn",
        "bert-2x128",
    }


@pytest.mark.parametrize("task", TEMPLATES)
def test_every_template_is_of_a_task_its_pipeline_makes_and_passes_the_check(tmp_path, task):
    template = TEMPLATES[task]
    assert task in TASKS
    starter = init(tmp_path / "project", task=task)
    assert starter.files == (template.data, "pipeline.toml", "README.md")
    plan = check(starter.path / "pipeline.toml", CheckConfig())
    assert set(plan.states) == {"to do"}
    (data,) = [step for step in plan.steps if step.stage.verb.name == "prepare"]
    assert dict(data.config)["task"] == task
    assert dict(data.config)["test_ratio"] > 0
    overridden = check(starter.path / "pipeline.toml", CheckConfig(set=(template.override,)))
    assert [step.config for step in overridden.steps] != [step.config for step in plan.steps]


@pytest.mark.parametrize("task", TEMPLATES)
def test_what_the_readme_names_is_made(tmp_path, task):
    starter = init(tmp_path / "project", task=task)
    guide = (starter.path / "README.md").read_text(encoding="utf-8")
    plan = check(starter.path / "pipeline.toml", CheckConfig())
    names = {step.name for step in plan.steps}
    assert set(re.findall(r"runs/([\w-]+)", guide)) - {"report"} <= names
    assert f" {TEMPLATES[task].data} " in guide


@pytest.mark.parametrize("task", TEMPLATES)
def test_the_wheel_carries_the_example(project_root, task):
    config = tomllib.loads((project_root / "pyproject.toml").read_text(encoding="utf-8"))
    carried = config["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    folder = f"examples/{TEMPLATES[task].example}"
    assert carried[folder] == f"yanmo/{folder}"
    assert (project_root / folder / TEMPLATES[task].data).is_file()


def test_a_task_without_an_example_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=rf"must be one of: {', '.join(TEMPLATES)}\. Got 'text_pair' instead\."):
        init(tmp_path / "project", task="text_pair")
    assert not (tmp_path / "project").exists()


def test_marked_names_are_read_without_a_refusal(tmp_path):
    starter = init(tmp_path / "project", task="token_labels")
    keys = TEMPLATES["token_labels"].stages["names"].given
    made = prepare(
        starter.path / "names.jsonl", out=tmp_path / "names", **{name: keys[name] for name in ("task", "units")}
    )
    assert made.summary()["num_rejected"] == 0
    kinds = ("company", "date", "order", "person", "place", "product")
    assert sorted(made.labels) == sorted(["O", *(f"{mark}-{kind}" for kind in kinds for mark in "BI")])


@pytest.mark.parametrize(("task", "name"), VERBS)
def test_every_key_of_the_verb_is_explained(task, name):
    verb = get_verb(name)
    text = render_pipeline(TEMPLATES[task])
    for key, field in verb.config_class.model_fields.items():
        words = " ".join((field.description or "").split())
        assert words[:40] in " ".join(text.replace("\n# ", " ").split()), key
        assert re.search(rf"^(# )?{key} =|[{{ ]{key} = \[", text, re.MULTILINE), key
    for one in verb.inputs:
        assert re.search(rf"^(# )?{one.name} =", text, re.MULTILINE)


@pytest.mark.parametrize("task", TEMPLATES)
def test_every_default_that_is_shown_can_be_uncommented(tmp_path, task):
    starter = init(tmp_path / "project", task=task)
    plain = render_pipeline(TEMPLATES[task])
    full = re.sub(r"^# (\w+ = .+)$", r"\1", plain, flags=re.MULTILINE)
    first = next(iter(TEMPLATES[task].stages))
    assert len(tomllib.loads(full)["stage"][first]) > len(tomllib.loads(plain)["stage"][first]) + 9
    (starter.path / "pipeline.toml").write_text(full, encoding="utf-8")
    given = check(starter.path / "pipeline.toml", CheckConfig())
    (starter.path / "pipeline.toml").write_text(plain, encoding="utf-8")
    default = check(starter.path / "pipeline.toml", CheckConfig())
    assert [step.config for step in given.steps] == [step.config for step in default.steps]


@pytest.mark.parametrize("task", TEMPLATES)
def test_no_line_is_too_wide_to_read(task):
    assert max(map(len, render_pipeline(TEMPLATES[task]).split("\n"))) <= 120


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
