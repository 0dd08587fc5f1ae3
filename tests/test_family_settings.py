"""Settings by family: what is in force by default, and what has no effect or no place."""

import pytest

from yanmo.family_settings import (
    FAMILY_DEFAULTS,
    HEAD_DEFAULTS,
    LAYERED,
    SETTINGS,
    default_settings,
    idle_without_steps,
    unsharded,
    unsuited,
    unused_settings,
)
from yanmo.models import ENCODERS, FAMILIES, FORMS, LIGHT_FAMILIES, ONLY_LABELS, ModelSpec, resolve
from yanmo.training.train_config import TrainConfig


def test_settings_without_effect_are_named():
    assert unused_settings(resolve("bert-2x64")) == [
        "max_target_length",
        "num_beams",
        "tokenization",
        "order",
        "pooling",
        "beam",
        "head_start",
        "frozen",
        "few_shot",
        "interpolate_weights",
    ]
    assert unused_settings(resolve("ngram")) == [
        "max_length",
        "max_target_length",
        "num_beams",
        "vocab_size",
        "tokenization",
        "order",
        "optimizer",
        "precision",
        "pooling",
        "beam",
        "head_start",
        "frozen",
        "few_shot",
        "activation",
        "interpolate_weights",
    ]
    assert unused_settings(resolve("owner/model")) == [
        "max_target_length",
        "num_beams",
        "vocab_size",
        "tokenization",
        "order",
        "beam",
        "activation",
    ]
    assert unused_settings(ModelSpec("model", "init")) == [
        "max_target_length",
        "num_beams",
        "vocab_size",
        "tokenization",
        "order",
        "pooling",
        "beam",
        "activation",
    ]
    assert {"learning_rate", "eval_steps"} <= set(unused_settings(resolve("linear")))
    assert [name for name in LIGHT_FAMILIES if "precision" in unused_settings(resolve(name))] == list(LIGHT_FAMILIES)


@pytest.mark.parametrize("num_rows", [1, 63, 64, 1000])
def test_any_number_of_rows_has_settings(num_rows):
    assert 1 <= default_settings("ngram", num_rows)["batch_size"] <= FAMILY_DEFAULTS["ngram"]["batch_size"]


@pytest.mark.parametrize("family", [family for family, defaults in FAMILY_DEFAULTS.items() if "batch_size" in defaults])
def test_few_rows_get_smaller_batches_and_more_epochs(family):
    many, few = default_settings(family, 100_000), default_settings(family, 500)
    assert many == FAMILY_DEFAULTS[family]
    assert few["batch_size"] <= many["batch_size"]
    assert few["num_epochs"] > many["num_epochs"]
    assert few["early_stopping_patience"] >= many["early_stopping_patience"]


@pytest.mark.parametrize(
    ("layers", "width", "expected"),
    [(12, 768, 3e-5), (24, 1024, 1.2e-5), (6, 384, 1.7e-4), (12, 384, 1.2e-4), (2, 128, 3e-4), (0, 0, 3e-5)],
)
def test_the_learning_rate_of_a_checkpoint_follows_its_shape(layers, width, expected):
    assert default_settings("pretrained", 10_000, layers=layers, width=width)["learning_rate"] == expected


@pytest.mark.parametrize("family", [family for family in FAMILY_DEFAULTS if family not in ("pretrained", *ONLY_LABELS)])
def test_a_shape_changes_no_other_familys_settings(family):
    assert default_settings(family, 10_000, layers=6, width=384) == default_settings(family, 10_000)


@pytest.mark.parametrize("family", FAMILY_DEFAULTS)
def test_a_tagger_has_settings_of_its_own_where_its_family_says_so(family):
    ours, theirs = (default_settings(family, 100_000, form=form) for form in ("units", "texts"))
    own = HEAD_DEFAULTS["units"].get(family, {})
    # More epochs bring more patience.
    assert {name for name in ours if ours[name] != theirs.get(name)} <= {*own, "early_stopping_patience"}
    assert ours.items() >= own.items()
    TrainConfig(model="bilstm", **ours)


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_a_setting_is_a_key_of_train_for_families_that_exist(row):
    assert row.name in TrainConfig.model_fields
    assert {*row.families, *row.own} <= set(FAMILIES)


@pytest.mark.parametrize(
    "row", [row for row in SETTINGS if row.is_refused or row.needs_whole_weights], ids=lambda row: row.name
)
def test_a_setting_that_is_refused_is_off_by_default(row):
    assert row.off is not None
    assert not row.is_on(TrainConfig().model_dump())


def test_a_setting_has_one_row():
    assert len({row.name for row in SETTINGS}) == len(SETTINGS)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_a_family_has_by_default_suits_it(family):
    spec, defaults = ModelSpec("model", family), default_settings(family, 10_000)
    assert unsuited(spec, defaults) is None
    idle = set.intersection(*(set(unused_settings(spec, head)) for head in FORMS[family]))
    assert not set(defaults) & idle
    assert TrainConfig(**defaults).model_dump().items() >= defaults.items()


def test_a_setting_of_layers_is_refused_by_families_without_and_no_setting_twice():
    given = {"lora_rank": 4, "frozen_layers": 1, "layer_decay": 0.9}
    refusing = {family: unsuited(ModelSpec("model", family), given) for family in FAMILIES}
    assert {family for family, name in refusing.items() if name is None} == set(LAYERED) & set(ENCODERS)
    assert (refusing["albert"], refusing["ngram"]) == ("frozen_layers", "lora_rank")
    assert not set(given) & set(unused_settings(ModelSpec("model", "ngram")))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, None),
        ({"fgm_epsilon": 0.0, "lora_rank": 0, "compile": "never", "r_drop": 1.0}, None),
        ({"compile": "auto"}, "compile"),
        ({"compile": "auto", "lora_rank": 4}, "lora_rank"),
        ({"compile": "auto", "lora_rank": 4, "fgm_epsilon": 0.5}, "fgm_epsilon"),
    ],
)
def test_one_setting_that_needs_whole_weights_is_named(given, found):
    assert unsharded(given) == found


@pytest.mark.parametrize(
    ("num_rows", "num_epochs"), [(400, 40), (5_000, 32), (100_000, 32), (200_000, 16), (10**6, 10)]
)
def test_what_learns_to_write_from_nothing_learns_by_steps(num_rows, num_epochs):
    found = default_settings("t5", num_rows, form="targets")
    assert found["num_epochs"] == num_epochs
    assert found["early_stopping_patience"] == max(3, num_epochs // 4)


def test_what_says_how_steps_are_taken_is_idle_where_none_are():
    given = {"num_epochs": 3, "learning_rate": 1e-3, "seed": 1}
    assert idle_without_steps(given) == []
    assert idle_without_steps(given | {"few_shot": True}) == ["num_epochs"]
    assert idle_without_steps(given | {"frozen": True}) == ["learning_rate", "num_epochs"]
