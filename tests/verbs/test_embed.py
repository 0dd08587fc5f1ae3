"""embed: vectors are those of plain transformers code, whatever the family, the batch and the format."""

import json
import logging
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from families import TEXTS, make_checkpoint
from transformers import AutoModel, AutoTokenizer

import yanmo
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs
from yanmo.verbs.embed import embed
from yanmo.verbs.evaluate import evaluate
from yanmo.verbs.export import export
from yanmo.verbs.predict import predict
from yanmo.verbs.quantize import quantize

ENCODERS = ("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
ASKED = [*TEXTS, "a", "a long text " * 40]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A bare encoder, as sentence-transformers lays one out."""
    folder = tmp_path_factory.mktemp("embed") / "encoder"
    make_checkpoint("bert", folder, task="Model")
    lay_out(folder)
    return folder


@pytest.fixture(scope="module")
def bundle(encoder, tmp_path_factory):
    return embed(encoder, max_length=40, out=tmp_path_factory.mktemp("embed") / "vectors")


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    return export(bundle, out=tmp_path_factory.mktemp("embed") / "graph")


def test_vectors_are_no_model_of_labels_for_transformers(bundle, exported, tmp_path):
    for one in (bundle, exported):
        with pytest.raises(ArtifactError, match="gives vectors") as caught:
            export(one, to="transformers", out=tmp_path / "plain")
        assert "opens with sentence-transformers" in caught.value.hint
    assert not (tmp_path / "plain").exists()


@pytest.fixture
def mine(encoder, tmp_path):
    return shutil.copytree(encoder, tmp_path / "mine")


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("embed") / "data", ["fruit", "tool", "city"], num_train=60, num_valid=40)


def lay_out(folder, *, pooling="mean_tokens", steps=("Transformer", "Pooling", "Normalize")):
    kinds = [
        {"idx": place, "path": f"{place}_{one}" if place else "", "type": f"a.b.{one}"}
        for place, one in enumerate(steps)
    ]
    (folder / "modules.json").write_text(json.dumps(kinds))
    (folder / "1_Pooling").mkdir(exist_ok=True)
    modes = {f"pooling_mode_{name}": name == pooling for name in ("cls_token", "mean_tokens", "max_tokens")}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(modes))


def stock_vectors(folder, texts, *, pooling="mean", normalize=True, max_length=40):
    """What sentence-transformers computes, in plain transformers code: a text at a time."""
    model, tokenizer = AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    rows = []
    for text in texts:
        encoded = tokenizer([text], truncation=True, max_length=max_length, return_tensors="pt")
        if model.config.model_type == "distilbert":
            encoded.pop("token_type_ids", None)
        with torch.no_grad():
            states = model(**encoded).last_hidden_state[0]
        rows.append(states.mean(0) if pooling == "mean" else states[0])
    found = torch.stack(rows)
    return (torch.nn.functional.normalize(found, dim=1) if normalize else found).numpy()


def vectors(bundle, texts=ASKED):
    with open_bundle(bundle, num_threads=1) as predictor:
        return predictor.infer(texts)[0].values_ND


@pytest.mark.parametrize("family", ENCODERS)
def test_a_family_gives_the_vectors_of_plain_transformers_code(family, tmp_path):
    make_checkpoint(family, tmp_path / "source", task="Model")
    expected_ND = stock_vectors(tmp_path / "source", ASKED)
    made = embed(tmp_path / "source", max_length=40, out=tmp_path / "bundle")
    np.testing.assert_allclose(vectors(made), expected_ND, atol=1e-5)
    if family in ("distilbert", "albert", "roberta", "mpnet"):  # three kinds of own graphs, and a traced one
        np.testing.assert_allclose(vectors(export(made, out=tmp_path / "graph")), expected_ND, atol=1e-5)


@pytest.mark.parametrize("pooling", ["mean", "first"])
@pytest.mark.parametrize("normalize", [True, False])
def test_pooling_and_length_are_as_wanted_in_torch_and_in_onnx(encoder, tmp_path, pooling, normalize):
    made = embed(encoder, pooling=pooling, normalize=normalize, max_length=40, out=tmp_path / "made")
    expected_ND = stock_vectors(encoder, ASKED, pooling=pooling, normalize=normalize)
    for one in (made, export(made, out=tmp_path / "graph")):
        np.testing.assert_allclose(vectors(one), expected_ND, atol=2e-5)


def test_what_the_folder_notes_holds_unless_it_is_said_otherwise(mine, tmp_path):
    lay_out(mine, pooling="cls_token", steps=("Transformer", "Pooling"))
    kept = embed(mine, out=tmp_path / "noted").architecture["vectors"]
    assert kept == {"pooling": "first", "width": 32, "num_dimensions": 32, "are_unit": False}
    (mine / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    assert embed(mine, normalize=True, out=tmp_path / "new").architecture["vectors"] == kept | {
        "pooling": "mean",
        "are_unit": True,
    }


def test_a_prompt_and_small_letters_that_the_folder_notes_are_read_before_every_text(mine, tmp_path):
    prompts = {"prompts": {"query": "ask: ", "": ""}, "default_prompt_name": "query"}
    (mine / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    (mine / "sentence_bert_config.json").write_text('{"max_seq_length": 40, "do_lower_case": true}')
    made = embed(mine, out=tmp_path / "made")
    texts = ["GOOD food", "slow Food"]
    expected_ND = stock_vectors(mine, [f"ask: {text.lower()}" for text in texts])
    np.testing.assert_allclose(vectors(made, texts), expected_ND, atol=1e-5)


def test_without_a_note_the_mean_is_taken_and_said(mine, tmp_path, caplog):
    shutil.rmtree(mine / "1_Pooling")
    (mine / "modules.json").unlink()
    with caplog.at_level(logging.INFO):
        made = embed(mine, out=tmp_path / "made")
    assert made.architecture["vectors"]["pooling"] == "mean"
    assert "the mean of the states of all tokens" in caplog.text


def test_a_text_has_one_vector_in_whatever_batch(bundle, exported):
    for one in (bundle, exported):
        together = vectors(one)
        with open_bundle(one, num_threads=1) as predictor:
            alone = np.concatenate([predictor.infer([text])[0].values_ND for text in ASKED])
        np.testing.assert_allclose(together, alone, atol=1e-6)


def test_dimensions_are_the_first_ones_made_length_one_again(encoder, bundle, tmp_path):
    cut = vectors(embed(encoder, dimensions=8, max_length=40, out=tmp_path / "cut"))
    whole = vectors(bundle)[:, :8]
    np.testing.assert_allclose(cut, whole / np.linalg.norm(whole, axis=1, keepdims=True), atol=1e-5)


def test_a_trained_classifier_gives_the_vectors_of_its_encoder(dataset, tmp_path):
    model = yanmo.train(dataset, model="bert-1x32", num_epochs=1, vocab_size=300, max_length=24, out=tmp_path / "model")
    made = embed(model.path, pooling="first", out=tmp_path / "made")
    assert (made.max_length, made.text_config) == (24, model.text_config)
    read = model.text_pipeline().read(Inputs((ASKED,)))
    np.testing.assert_allclose(
        vectors(made), stock_vectors(model.path, read.first, pooling="first", max_length=24), atol=1e-5
    )
    assert made.manifest.parents == {"bundle": model.digest}
    # And on: the folder is a checkpoint like any other.
    again = embed(made.path, out=tmp_path / "again")
    assert again.architecture["vectors"]["pooling"] == "first"


def test_vectors_go_to_parquet_and_long_texts_are_counted(bundle, tmp_path, caplog):
    pl.DataFrame({"text": ASKED}).write_csv(tmp_path / "texts.csv")
    found = predict(bundle, (tmp_path / "texts.csv",), format="parquet", out=tmp_path / "found")
    frame = pl.read_parquet(found.path / "predictions.parquet")
    assert frame.columns == ["id", "vector"]
    assert frame.schema["vector"] == pl.Array(pl.Float32, 32)
    np.testing.assert_allclose(frame["vector"].to_numpy(), vectors(bundle), atol=1e-6)
    assert pl.read_parquet(found.path / "table.parquet").columns == ["id", "text", "vector"]
    num_long = found.summary()["num_truncated"]
    assert num_long >= 1
    assert f"{num_long} of {len(ASKED)} texts are longer than 40 tokens" in caplog.text
    whole = predict(bundle, (tmp_path / "texts.csv",), long_texts="windows", out=tmp_path / "windows")
    assert whole.summary()["num_truncated"] == 0


def test_the_command_line_prints_a_list_a_line(bundle, tmp_path, capsys):
    (tmp_path / "texts.txt").write_text("text\nwhere is it\n")
    assert main(["predict", str(bundle.path), str(tmp_path / "texts.txt")]) == 0
    np.testing.assert_allclose(json.loads(capsys.readouterr().out), vectors(bundle, ["where is it"])[0], atol=1e-6)
    assert main(["predict", str(bundle.path), str(tmp_path / "texts.txt"), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["predictions"]
    assert len(row["vector"]) == 32


def test_eight_bits_keep_the_order_of_similarities(exported, dataset, tmp_path):
    made = quantize(exported, dataset, max_drop=0.2, out=tmp_path / "small")
    found = made.manifest.info["quantization"]
    assert found["fp32_rank_correlation"] == pytest.approx(1)
    assert 0.8 <= found["rank_correlation"] < 1
    assert made.size_bytes < exported.size_bytes
    low, high = found["rank_correlation_drop_interval"]
    assert low <= found["rank_correlation_drop"] <= high
    with pytest.raises(ModelError, match="rank_correlation"):
        quantize(exported, dataset, max_drop=0, out=tmp_path / "none")


def test_no_dataset_says_which_vectors_are_right(bundle, dataset, tmp_path):
    with pytest.raises(DataError, match="no Dataset says"):
        evaluate(bundle, dataset)


@pytest.mark.parametrize(
    ("lay", "options", "message"),
    [
        ({"pooling": "max_tokens"}, {}, "makes vectors by max_tokens"),
        ({"steps": ("Transformer", "Pooling", "Dense")}, {}, "go through Dense"),
        ({}, {"dimensions": 33}, "'dimensions' parameter of embed must be at most 32"),
        ({}, {"max_length": 200}, "'max_length' parameter of embed must be at most 80"),
        ({}, {"revision": "main"}, "for a hub id"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(mine, tmp_path, lay, options, message):
    lay_out(mine, **lay)
    with pytest.raises((ConfigError, ModelError), match=message):
        embed(mine, **options, out=tmp_path / "made")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_other_models_are_refused_by_name(dataset, exported, tmp_path):
    make_checkpoint("gpt2", tmp_path / "gpt2", task="Model")
    with pytest.raises(ModelError, match="family gpt2"):
        embed(tmp_path / "gpt2", out=tmp_path / "made")
    with pytest.raises(ModelError, match="a shape to train"):
        embed("bert-4x312", out=tmp_path / "made")
    light = yanmo.train(dataset, model="ngram", num_epochs=1, out=tmp_path / "light")
    for one in (light, exported):
        with pytest.raises(ArtifactError, match="torch Bundle of an encoder"):
            embed(one.path, out=tmp_path / "made")


@pytest.mark.real_weights
def test_a_real_sentence_encoder_says_what_is_alike(minilm, tmp_path):
    texts = ["Where is my parcel?", "My package has not arrived yet.", "How do I change my PIN?"]
    made = embed(minilm, max_length=32, out=tmp_path / "made")
    assert made.architecture["vectors"]["are_unit"]
    found = vectors(made, texts)
    np.testing.assert_allclose(found, stock_vectors(minilm, texts, max_length=32), atol=1e-5)
    assert found[0] @ found[1] > found[0] @ found[2] + 0.3
