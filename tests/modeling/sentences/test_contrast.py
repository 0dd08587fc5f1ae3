"""Contrast: every two texts of a batch are a pair, and texts of one label come together."""

import numpy as np
import pytest
import torch
from families import make_checkpoint
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import ConfigError
from yanmo.modeling.sentences.contrast import TEXTS_A_BATCH, draw_batch, pair_loss
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.embed import embed
from yanmo.verbs.train import train

LABELS = ["fruit", "tool", "city"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("contrast") / "checkpoint"
    make_checkpoint("bert", folder, task="Model")
    return folder


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("contrast") / "data", LABELS, num_train=48, num_valid=24)


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=9), st.integers(0, 9))
def test_the_loss_is_that_of_the_paper(labels, seed):
    vectors_BD = torch.from_numpy(np.random.default_rng(seed).normal(size=(len(labels), 4)))
    unit_BD = vectors_BD / vectors_BD.norm(dim=1, keepdim=True)
    losses = []
    for anchor, label in enumerate(labels):
        others = [one for one in range(len(labels)) if one != anchor]
        shares = torch.exp(unit_BD[others] @ unit_BD[anchor] / 0.1)
        pairs = [place for place, one in enumerate(others) if labels[one] == label]
        if pairs:
            losses.append(-torch.log(shares[pairs] / shares.sum()).mean().item())
    found = pair_loss(vectors_BD, torch.eye(4)[labels]).item()
    assert found == pytest.approx(np.mean(losses) if losses else 0.0, rel=1e-4, abs=1e-5)


@settings(deadline=None)
@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 5))
def test_a_batch_has_no_row_twice_and_several_of_a_label(num_labels, num_each, seed):
    labels_NC = np.repeat(np.eye(num_labels, dtype=np.float32), num_each, axis=0)
    rows_B = draw_batch(labels_NC, np.random.default_rng(seed))
    assert len(set(rows_B.tolist())) == len(rows_B) <= TEXTS_A_BATCH
    counts = labels_NC[rows_B].sum(axis=0)
    assert counts[counts > 0].min() >= min(4, num_each)


def spread(bundle, texts, labels):
    """How much more alike texts of one label are than others, by the vectors of an encoder."""
    made = embed(bundle, pooling="mean", out=bundle.parent / f"{bundle.name}-vectors")
    with open_bundle(made, num_threads=1) as predictor:
        vectors_ND = predictor.infer(texts)[0].values_ND
    similarity_NN, same_NN = vectors_ND @ vectors_ND.T, labels[:, None] == labels[None]
    return similarity_NN[same_NN].mean() - similarity_NN[~same_NN].mean()


def test_texts_of_one_label_come_together_and_the_same_twice(checkpoint, dataset, tmp_path, caplog):
    caplog.set_level("INFO")
    # Pooling is said, since which one is better on so few rows is luck.
    values = {"model": str(checkpoint), "pooling": "mean", "max_length": 24}
    made = [train(dataset, **values, few_shot=True, learning_rate=1e-3, out=tmp_path / one) for one in ("one", "two")]
    weights = [one.path.joinpath("model.safetensors").read_bytes() for one in made]
    assert weights[0] == weights[1]
    assert "40 steps teach the encoder which texts have one label; a training that is killed before" in caplog.text
    frozen = train(dataset, **values, frozen=True, out=tmp_path / "frozen")
    rows = dataset.split("valid")
    texts, labels = rows["text"].to_list(), rows["label"].to_numpy()
    assert spread(made[0].path, texts, labels) > spread(frozen.path, texts, labels) + 0.05
    accuracy = [one.manifest.info["summary"]["valid_accuracy"] for one in (made[0], frozen)]
    assert accuracy[0] >= accuracy[1]


def test_it_is_for_labels_of_whole_texts_and_moves_the_encoder(checkpoint, dataset, tmp_path, caplog):
    with pytest.raises(ConfigError, match="'few_shot' parameter of train"):
        train(dataset, model=str(checkpoint), few_shot=True, frozen=True, out=tmp_path / "both")
    train(dataset, model="ngram", few_shot=True, num_epochs=1, out=tmp_path / "ngram")
    assert "The 'few_shot' parameter has no effect on the model ngram." in caplog.text
