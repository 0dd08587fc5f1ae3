"""Chains of stages: what is needed first, and the pipeline that says it again."""

import tomllib

from yanmo.artifacts.bundle import Bundle
from yanmo.grinding.candidates import (
    cascade_of,
    chain,
    ensemble_of,
    int8_of,
    is_layered,
    pruned,
    recipe,
    single_models,
    student,
)
from yanmo.models import ModelSpec, resolve


def stages_of(name, **values):
    learned = student(resolve(name), values, has_transfer=False)
    half = pruned(learned.name, precision="fp32", model=name)
    return [learned, int8_of(learned.name), half, int8_of(half.name)]


def test_a_chain_holds_what_is_needed_first_and_becomes_a_pipeline():
    stages = [*stages_of("ngram", num_altered=2), *stages_of("bert-2x128")]
    last = cascade_of(["ngram-int8", "bert-2x128-pruned-int8"], [0.0123456, 0.5], alpha=0.005)
    found = chain([*stages, last], last.name)
    assert [one.name for one in found] == [
        "ngram-student",
        "ngram-int8",
        "bert-2x128-student",
        "bert-2x128-pruned",
        "bert-2x128-pruned-int8",
        "cascade-ngram-bert-2x128-pruned-50",
    ]
    written = tomllib.loads(recipe(found, {"teacher": "../../council", "dataset": "data"}, out="../../again"))
    assert written["pipeline"] == {"out": "../../again"}
    assert written["stage"]["ngram-student"] == {
        "verb": "distill",
        "teacher": "../../council",
        "dataset": "data",
        "model": "ngram",
        "num_altered": 2,
    }
    assert written["stage"]["cascade-ngram-bert-2x128-pruned-50"] == {
        "verb": "cascade",
        "dataset": "data",
        "stages": ["ngram-int8", "bert-2x128-pruned-int8"],
        "guarantee": "accuracy",
        "alpha": 0.005,
        "costs": [0.01235, 0.5],
    }
    assert written["stage"]["bert-2x128-pruned"]["heads"] == 0.5


def test_cascades_of_other_members_or_another_guarantee_have_other_names():
    names = [
        cascade_of(members, [1, 2], alpha=alpha).name for members in (["a", "b"], ["a", "c"]) for alpha in (0.1, 0.2)
    ]
    names.append(cascade_of(["a", "b"], [1, 2], alpha=0.1, guarantee="agreement").name)
    assert len(set(names)) == 5
    assert names[-1] == "cascade-a-b-agreement-1000"


def test_a_student_that_begins_with_an_encoder_names_it_and_no_model():
    spec = ModelSpec("owner/bert.v1", "init", source="reader", is_local=True)
    stage = student(spec, {"seed": 1}, has_transfer=True)
    assert is_layered(spec)
    sources = {"teacher": "council", "dataset": "data", "init": "reader", "transfer": ["more.txt"]}
    assert tomllib.loads(recipe([stage], sources, out="runs"))["stage"]["bert.v1-student"] == {
        "verb": "distill",
        "teacher": "council",
        "dataset": "data",
        "init": "reader",
        "transfer": ["more.txt"],
        "seed": 1,
    }


def test_the_models_in_a_teacher_are_named_by_place_and_model(grounds):
    assert list(single_models(Bundle.open(grounds.teacher))) == ["teacher"]
    found = single_models(Bundle.open(grounds.council))
    assert {name: one.format for name, one in found.items()} == {"member-1-linear": "linear", "member-2-ngram": "ngram"}
    assert ensemble_of([int8_of(name).name for name in found]).name == "ensemble-member-1-linear-member-2-ngram"
