"""Names of models: what they mean, and what a wrong one is told."""

import json

import pytest

from yanmo.errors import ModelError
from yanmo.models import ENCODERS, FAMILIES, FORMS, num_heads, resolve


@pytest.mark.parametrize("name", ["textcnn", "bilstm", "ngram", "linear"])
def test_a_light_name_is_its_own_family(name):
    assert resolve(name).family == name


@pytest.mark.parametrize("family", ["bert", "roberta", "albert", "electra"])
def test_a_shape_is_layers_and_width(family):
    spec = resolve(f"{family}-4x312")
    assert (spec.family, spec.layers, spec.width, spec.format) == (family, 4, 312, "torch")


def test_the_format_follows_the_family():
    assert [resolve(name).format for name in ("ngram", "linear", "bilstm")] == ["ngram", "linear", "torch"]


def test_a_local_folder_is_pretrained_and_leaves_no_path_in_the_name(tmp_path):
    folder = tmp_path / "my-bert"
    folder.mkdir()
    spec = resolve(str(folder))
    assert (spec.name, spec.family, spec.is_local, spec.is_hub_id) == ("my-bert", "pretrained", True, False)
    assert spec.source == str(folder)


def test_a_name_with_a_slash_is_a_hub_id():
    spec = resolve("owner/some-model_v1.5")
    assert (spec.source, spec.is_hub_id) == ("owner/some-model_v1.5", True)


def test_a_name_with_a_slash_whose_first_part_is_a_folder_here_is_a_path(tmp_path, monkeypatch):
    (tmp_path / "ck" / "bart").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError) as caught:
        resolve("ck/bert")
    assert caught.value.message == "There is no folder ck/bert. Did you mean 'ck/bart'?"
    assert caught.value.hint == (
        "The folder ck is here, so ck/bert is no hub id. If the hub's model is meant, work in another folder."
    )


def test_an_unknown_word_gets_a_suggestion_and_the_list():
    with pytest.raises(ModelError) as caught:
        resolve("textcn")
    assert caught.value.message == "There is no model 'textcn'. Did you mean 'textcnn'?"
    assert "bilstm" in caught.value.hint
    assert "bert-4x312" in caught.value.hint


@pytest.mark.parametrize("name", ["bert-0x312", "bert-4", "bert-4x", "gpt3-4x312", "", "ngram-2x3"])
def test_a_shape_that_is_none_is_refused(name):
    with pytest.raises(ModelError, match="There is no model"):
        resolve(name)


@pytest.mark.parametrize("name", ["/nowhere/model", "./model/", "a/b/c"])
def test_a_path_without_a_folder_says_so(name):
    with pytest.raises(ModelError, match="There is no folder"):
        resolve(name)


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (256, 4), (312, 12), (32, 1), (100, 4), (37, 37)])
def test_heads_divide_the_width(width, heads):
    assert num_heads(width) == heads
    assert width % num_heads(width) == 0


@pytest.mark.parametrize(
    "config",
    [
        {"num_hidden_layers": 6, "hidden_size": 384},
        {"n_layers": 6, "dim": 384},
        {"n_layer": 6, "n_embd": 384},
        {"num_layers": 6, "d_model": 384},
    ],
)
def test_the_shape_of_a_local_folder_is_read(config, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(config))
    spec = resolve(str(tmp_path))
    assert (spec.layers, spec.width) == (6, 384)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"hidden_size": 384}', '{"hidden_size": "x"}'])
def test_a_folder_that_tells_no_shape_has_none(content, tmp_path):
    (tmp_path / "config.json").write_text(content)
    spec = resolve(str(tmp_path))
    assert (spec.layers, spec.width) == (0, 0)


@pytest.mark.parametrize(
    ("name", "owner"),
    [("bert-base-chinese", "google-bert"), ("roberta-base", "FacebookAI"), ("gpt2", "openai-community")],
)
def test_a_name_from_before_owners_is_told_its_own(name, owner):
    with pytest.raises(ModelError) as caught:
        resolve(name)
    assert f"{owner}/{name}" in caught.value.hint
    assert resolve(f"{owner}/{name}").is_hub_id


def test_every_family_says_what_it_can_label():
    assert set(FORMS) == set(FAMILIES)
    assert all(FORMS.values())
    labels_units = [family for family in FAMILIES if "units" in FORMS[family]]
    assert labels_units == [*ENCODERS, "textcnn", "bilstm", "window", "hmm"]
    assert not resolve("linear").can_label("units")
    assert resolve("bert-2x64").can_label("units")
    assert resolve("bert-2x64").can_label("texts")
