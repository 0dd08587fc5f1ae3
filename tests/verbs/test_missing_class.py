"""A Dataset that lacks a class of the model is enough for every verb that makes a Bundle of one, and it is said."""

import logging

import numpy as np
import pytest

import yanmo


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("missing-class")


@pytest.fixture(scope="module")
def whole(folder, make_words):
    """A Dataset of three labels."""
    return make_words(folder / "whole", ["city", "fruit", "tool"])


@pytest.fixture(scope="module")
def model(folder, whole):
    """A model that knows all three."""
    return yanmo.train(whole, model="ngram", num_threads=1, num_epochs=2, out=folder / "model")


@pytest.fixture(scope="module")
def fewer(folder, make_words):
    """A Dataset of two of them."""
    return make_words(folder / "fewer", ["city", "tool"])


MADE = {
    "calibrate": lambda model, fewer, out: yanmo.calibrate(model, fewer, out=out),
    "quantize": lambda model, fewer, out: yanmo.quantize(model, fewer, max_drop=1.0, num_threads=1, out=out),
    "prune": lambda model, fewer, out: yanmo.prune(model, fewer, weights=0.3, num_threads=1, out=out),
    "distill": lambda model, fewer, out: yanmo.distill(
        model, fewer, model="ngram", num_epochs=2, num_threads=1, out=out
    ),
    "ensemble": lambda model, fewer, out: yanmo.ensemble(fewer, [model, model], num_threads=1, out=out),
    "cascade": lambda model, fewer, out: yanmo.cascade(
        fewer, [model, model], costs=[1.0, 2.0], alpha=0.5, num_threads=1, out=out
    ),
}


@pytest.mark.parametrize("verb", MADE)
def test_what_is_made_keeps_all_labels_of_the_model(verb, model, fewer, tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        made = MADE[verb](model, fewer, tmp_path / "made")
    assert sorted(made.labels) == ["city", "fruit", "tool"]
    assert f"{fewer.path} has no row of 1 of the model's labels: 'fruit'." in caplog.messages
    with yanmo.load(made) as predictor:
        probabilities_NC = predictor.predict_proba(["apple pear", "hammer saw"])
    np.testing.assert_allclose(probabilities_NC.sum(axis=1), 1, atol=1e-4)


def test_a_dataset_with_a_class_more_is_still_refused(whole, fewer, tmp_path):
    knows_two = yanmo.train(fewer, model="ngram", num_threads=1, num_epochs=1, out=tmp_path / "two")
    for verb, make in MADE.items():
        with pytest.raises(yanmo.YanmoError, match="has no label 'fruit'"):
            make(knows_two, whole, tmp_path / verb)
        assert not (tmp_path / verb).exists()
