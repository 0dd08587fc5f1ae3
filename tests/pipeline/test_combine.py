"""Ensembles, cascades and audits in pipelines: fan-outs as members, what check finds, and resume."""

import pytest

from yanmo.artifacts import Bundle, Report
from yanmo.errors import PipelineError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.run import RunConfig, run

COUNCIL = """
    [stage.teachers]
    verb = "train"
    dataset = "reviews"
    model = "linear"
    folds = 2
    each = { class_weights = ["none", "balanced"] }
    [stage.council]
    verb = "ensemble"
    members = "teachers"
    dataset = "reviews"
    each = { method = ["weighted", "stacking"] }
    [stage.better]
    verb = "calibrate"
    bundle = "council/weighted"
    dataset = "reviews"
    [stage.service]
    verb = "cascade"
    stages = ["teachers/none", "better"]
    dataset = "reviews"
    alpha = 0.5
    delta = 0.4
    costs = [0.1, 1.0]
    [stage.labels]
    verb = "audit"
    bundle = "teachers/balanced"
    dataset = "reviews"
"""


def rows_of(path, *changes):
    return {row["stage"]: row for row in check(path, CheckConfig(set=changes)).summary()["stages"]}


def problems(path):
    with pytest.raises(PipelineError) as caught:
        check(path, CheckConfig())
    return str(caught.value)


def test_all_of_a_fan_out_are_members_of_one_ensemble(write):
    inputs = {name: row["inputs"] for name, row in rows_of(write(COUNCIL)).items()}
    assert inputs["council/weighted"] == inputs["council/stacking"] == "reviews, teachers/none, teachers/balanced"
    assert inputs["better"] == "council/weighted, reviews"
    assert inputs["service"] == "reviews, teachers/none, better"


def test_it_runs_once_and_a_changed_method_makes_anew_what_depends_on_it(write, project):
    path = write(COUNCIL)
    report = run(path, RunConfig())
    names = {row["name"] for row in report.summary()["rows"]}
    assert names == {"none", "balanced", "weighted", "stacking", "better", "service"}
    assert len(Bundle.open("runs/council/weighted").members()) == 2
    assert Bundle.open("runs/service").members()[1].calibration["method"] == "temperature"
    assert Report.open("runs/labels").metrics["report"] == "label_noise"
    assert {row["state"] for row in rows_of(path).values()} == {"done"}
    states = {name: row["state"] for name, row in rows_of(path, "stage.better.method=vector").items()}
    assert {name for name, state in states.items() if state != "done"} == {"better", "service"}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            '[stage.c]\nverb = "ensemble"\ndataset = "reviews"\nmembers = "m"\n',
            "In the stage 'c': an ensemble needs at least 2 members. Got 1 instead.\n"
            "hint: Name more stages, or one with 'each'.",
        ),
        (
            '[stage.c]\nverb = "cascade"\ndataset = "reviews"\nstages = "m"\n',
            "In the stage 'c': a cascade needs at least 2 stages. Got 1 instead.\n"
            "hint: Name more stages from cheap to expensive; with abstain one is enough.",
        ),
        (
            '[stage.c]\nverb = "ensemble"\ndataset = "reviews"\nmembers = ["m", "m"]\nmethod = "stacking"\n',
            "In the stage 'c': stacking needs members trained with folds, but 'm' has none.\n"
            "hint: Write folds = 5 into the stage 'm'.",
        ),
        (
            '[stage.c]\nverb = "audit"\ndataset = "reviews"\nbundle = "m"\n',
            "In the stage 'c': audit needs a Bundle trained with folds, but 'm' has none.\n"
            "hint: Write folds = 5 into the stage 'm'.",
        ),
        (
            '[stage.w]\nverb = "ensemble"\ndataset = "reviews"\nmembers = ["m", "m"]\n'
            '[stage.c]\nverb = "export"\nbundle = "w"\n',
            "In the stage 'c': export takes the Bundle of one model, but 'w' makes an ensemble.\n"
            "hint: Export its members, then make the ensemble of them.",
        ),
        (
            '[stage.c]\nverb = "cascade"\ndataset = "reviews"\nstages = ["m", "m"]\ncosts = [1.0]\n',
            "In the stage 'c': 'costs' must have 2 values, one a stage. Got 1 instead.\n"
            "hint: Milliseconds of one text in each stage; leave it out and they are measured.",
        ),
    ],
)
def test_check_finds_what_would_fail(write, stages, message):
    text = '\n[stage.m]\nverb = "train"\ndataset = "reviews"\nmodel = "linear"\n' + stages
    found = problems(write(text))
    assert found.split(": ", 1)[1] == message
