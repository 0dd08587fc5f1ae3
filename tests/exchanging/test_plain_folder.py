"""export --to transformers: a plain folder that a stock class opens and that answers as the Bundle does."""

import json

import numpy as np
import polars as pl
import pytest
from families import FAMILIES, TEXTS, make_checkpoint
from transformers import pipeline

from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.cli import main
from yanmo.errors import ArtifactError, ModelError
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.adopt import adopt
from yanmo.verbs.calibrate import calibrate
from yanmo.verbs.export import export
from yanmo.verbs.train import train

LABELS = ["bad", "good", "other"]
PLAIN = {"README.md", "README.zh.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rows = pl.DataFrame({"id": list("abcdefgh"), "text": TEXTS, "label": ["bad", "good", "other", "bad"] * 2})
    identity = Identity(
        kind="dataset",
        verb="prepare",
        task="single_label",
        labels=LABELS,
        info={"text": {"cleaning": ["unicode_nfkc"], "segmenter": "none", "user_dict": None}},
    )
    folder = tmp_path_factory.mktemp("plain") / "data"
    with publish(folder, identity) as staging:
        for split in ("train", "valid", "test"):
            rows.write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder)


def stock_probabilities(folder, texts=TEXTS):
    ask = pipeline("text-classification", model=str(folder), top_k=None, truncation=True)
    rows = [{one["label"]: one["score"] for one in ask([text])[0]} for text in texts]
    return np.array([[row[label] for label in LABELS] for row in rows], dtype=np.float32)


def answers(bundle, texts=TEXTS):
    with open_bundle(bundle, num_threads=1) as predictor:
        return predictor.predict_proba(texts)


@pytest.mark.parametrize("family", sorted(set(FAMILIES) - {"xlnet"}))
def test_the_way_back_gives_the_same_answers(family, tmp_path):
    make_checkpoint(family, tmp_path / "source", labels=LABELS)
    bundle = adopt(tmp_path / "source", max_length=24, out=tmp_path / "bundle")
    made = export(bundle, to="transformers", out=tmp_path / "plain")
    assert {path.name for path in made.path.iterdir()} - {"generation_config.json"} == PLAIN
    texts = [*TEXTS, "a long text " * 20]
    np.testing.assert_allclose(stock_probabilities(made.path, texts), answers(bundle, texts), atol=1e-5)


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_a_calibration_goes_into_the_last_layer(method, dataset, tmp_path):
    make_checkpoint("bert", tmp_path / "source", labels=LABELS)
    bundle = calibrate(adopt(tmp_path / "source", out=tmp_path / "one"), dataset, method=method, out=tmp_path / "two")
    made = export(bundle, to="transformers", out=tmp_path / "plain")
    np.testing.assert_allclose(stock_probabilities(made.path), answers(bundle), atol=1e-5)


def test_what_was_trained_here_says_how_its_texts_were_cleaned(dataset, tmp_path, caplog):
    bundle = train(dataset, model="bert-1x16", num_epochs=1, out=tmp_path / "bundle")
    made = export(bundle, to="transformers", out=tmp_path / "plain")
    np.testing.assert_allclose(stock_probabilities(made.path), answers(bundle), atol=1e-5)
    assert "texts prepared so: unicode_nfkc." in (made.path / "README.md").read_text()
    assert "which transformers does not" in caplog.text
    again = adopt(made.path, out=tmp_path / "again")
    np.testing.assert_allclose(answers(again), answers(bundle), atol=1e-5)


def test_licence_and_labels_stand_where_hubs_read_them(tmp_path):
    make_checkpoint("bert", tmp_path / "source", labels=LABELS)
    (tmp_path / "source" / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "source" / "LICENSE").write_text("Do.")
    made = export(adopt(tmp_path / "source", out=tmp_path / "bundle"), to="transformers", out=tmp_path / "plain")
    card = (made.path / "README.md").read_text()
    assert card.startswith("---\npipeline_tag: text-classification\nlibrary_name: transformers\nlicense: mit\n---\n")
    assert (made.path / "LICENSE").read_text() == "Do."
    assert json.loads((made.path / "config.json").read_text())["id2label"] == {"0": "bad", "1": "good", "2": "other"}


@pytest.mark.parametrize(
    ("model", "values"), [("ngram", {"num_epochs": 1}), ("linear", {}), ("textcnn", {"num_epochs": 1})]
)
def test_what_no_stock_class_holds_is_refused(model, values, dataset, tmp_path):
    bundle = train(dataset, model=model, out=tmp_path / "bundle", **values)
    with pytest.raises(ArtifactError, match=f"No class of transformers' holds .*: {model}"):
        export(bundle, to="transformers", out=tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_a_head_over_the_mean_and_an_isotonic_map_are_refused(dataset, tmp_path):
    make_checkpoint("bert", tmp_path / "source", labels=LABELS)
    mean = train(dataset, model=str(tmp_path / "source"), pooling="mean", num_epochs=1, out=tmp_path / "mean")
    with pytest.raises(ModelError, match="reads the mean of all tokens"):
        export(mean, to="transformers", out=tmp_path / "plain")
    curved = calibrate(adopt(tmp_path / "source", out=tmp_path / "a"), dataset, method="isotonic", out=tmp_path / "b")
    with pytest.raises(ArtifactError, match=r"calibration of .* \(isotonic\) is no part of a network"):
        export(curved, to="transformers", out=tmp_path / "plain")
    assert not (tmp_path / "plain").exists()


def test_a_plain_folder_is_no_stage(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("text,label\n" + "".join(f"good {n},a\nbad {n},b\n" for n in range(20)))
    stages = '[stage.data]\nverb = "prepare"\nsource = "rows.csv"\n[stage.m]\nverb = "train"\ndataset = "data"\n'
    (tmp_path / "p.toml").write_text(
        f'{stages}model = "bert-1x16"\n[stage.x]\nverb = "export"\nbundle = "m"\nto = "transformers"\n'
    )
    assert main(["check", "p.toml"]) == 2
    assert "is no artifact, and so no stage" in capsys.readouterr().err
