"""The linear model: it learns, it is what scikit-learn computes, and rare cases have an answer."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from yanmo.answers.links import SIGMOID, SOFTMAX
from yanmo.modeling.runs import linear_model
from yanmo.modeling.runs.linear_model import fit_linear, train_linear
from yanmo.modeling.settings import LabeledTexts, NetworkSettings
from yanmo.text.inputs import Inputs

GOOD = ["很快，好吃", "好吃 不贵", "味道好吃", "送得很快", "very tasty food", "tasty and fast"]
BAD = ["太慢，难吃", "难吃 很贵", "味道难吃", "送得太慢", "very cold food", "cold and late"]


def labeled(texts, classes, num_classes, second=None):
    return LabeledTexts(Inputs((texts, second)), np.eye(num_classes, dtype=np.float32)[classes])


def network(num_classes, link=SOFTMAX, **options):
    return NetworkSettings([str(place) for place in range(num_classes)], link, **options)


@pytest.fixture
def reviews():
    return labeled([*GOOD, *BAD], [0] * 6 + [1] * 6, 2)


def test_it_learns_the_training_texts(reviews):
    logits_NC = fit_linear(reviews, network(2)).logits(reviews.texts)
    assert logits_NC.dtype == np.float32
    assert (logits_NC.argmax(1) == reviews.targets.argmax(1)).all()


def test_two_classes_have_the_probabilities_of_scikit_learn(reviews, monkeypatch):
    fitted = []
    make = linear_model._regression
    monkeypatch.setattr(linear_model, "_regression", lambda *both: fitted.append(make(*both)) or fitted[0])
    model = fit_linear(reviews, network(2))
    logits_NC = model.logits(reviews.texts)
    probabilities_N = 1 / (1 + np.exp(logits_NC[:, 0] - logits_NC[:, 1]))
    rows = linear_model.tfidf.transform(model.vocabulary, linear_model.hash_texts(reviews.texts, model.ngrams))
    expected_NC = fitted[0].predict_proba(linear_model._matrix(rows, len(model.vocabulary.keys)))
    np.testing.assert_allclose(probabilities_N, expected_NC[:, 1], atol=1e-5)


def test_any_number_of_labels_is_one_regression_a_label():
    texts = [*GOOD, *BAD]
    targets_NC = np.zeros((12, 3), dtype=np.float32)
    targets_NC[:6, 0] = 1
    targets_NC[4:8, 1] = 1
    model = fit_linear(LabeledTexts(Inputs((texts,)), targets_NC), network(3, SIGMOID))
    logits_NC = model.logits(Inputs((texts,)))
    assert ((logits_NC[:, :2] > 0) == (targets_NC[:, :2] > 0)).all()
    assert (logits_NC[:, 2] < -10).all(), "no text has the third label"


def test_a_class_without_training_texts_is_never_chosen(reviews):
    targets_NC = np.pad(reviews.targets, ((0, 0), (1, 0)))
    logits_NC = fit_linear(LabeledTexts(reviews.texts, targets_NC), network(3)).logits(reviews.texts)
    assert set(logits_NC.argmax(1)) == {1, 2}


def test_many_classes_start_moving():
    texts = [f"{word} {place}" for place in range(77) for word in ("card", "cash", "card card")]
    train = labeled(texts, np.repeat(np.arange(77), 3), 77)
    logits_NC = fit_linear(train, network(77)).logits(train.texts)
    assert (logits_NC.argmax(1) == train.targets.argmax(1)).mean() > 0.8


def test_pairs_tell_their_texts_apart():
    first, second = ["red apple", "green apple"] * 4, ["green apple", "red apple"] * 4
    train = labeled(first, [0, 1] * 4, 2, second)
    logits_NC = fit_linear(train, network(2)).logits(train.texts)
    assert logits_NC.argmax(1).tolist() == [0, 1] * 4


def test_balanced_classes_raise_the_rare_one():
    train = labeled([*GOOD, *GOOD, *GOOD, "难吃 food", "太慢 food"], [0] * 18 + [1] * 2, 2)
    probe = Inputs((["food"],))
    plain = fit_linear(train, network(2)).logits(probe)
    balanced = fit_linear(train, network(2, is_balanced=True)).logits(probe)
    assert balanced[0, 1] - balanced[0, 0] > plain[0, 1] - plain[0, 0]


def test_the_files_hold_the_model(reviews, tmp_path):
    model = fit_linear(reviews, network(2))
    model.save(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    assert {name: tensor.dtype.name for name, tensor in tensors.items()} == {
        "keys": "uint64",
        "idf": "float32",
        "coef": "float32",
        "intercept": "float32",
    }
    assert tensors["coef"].shape == (len(tensors["keys"]), 2)
    assert (np.diff(tensors["keys"].astype(np.float64)) > 0).all()
    settings = json.loads((tmp_path / "linear.json").read_text())
    assert settings == {"ngrams": model.ngrams.model_dump(mode="json"), "sublinear": False}


def test_its_one_record_is_seen_by_watchers_and_saved(reviews, tmp_path):
    seen = []
    measured = {"network": network(2), "measure": lambda *_: {"micro_f1": 0.5, "loss": 1.0}, "num_threads": 1}
    trained = train_linear(reviews, reviews, tell=seen.append, **measured)
    trained.save(tmp_path)
    assert seen == [{"step": 1, "epoch": 0, "valid_micro_f1": 0.5, "valid_loss": 1.0}]
    assert [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()] == seen


def test_two_fits_are_equal(reviews):
    one, two = (fit_linear(reviews, network(2)) for _ in range(2))
    assert (one.coefficients_FC == two.coefficients_FC).all()
