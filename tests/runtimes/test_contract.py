"""What every runtime keeps: one text has one answer, whoever stands beside it, whatever it is."""

from __future__ import annotations

import numpy as np
import pytest

from yanmo.errors import ConfigError
from yanmo.protocols import Prediction, Runtime

TEXTS = [
    "很快，好吃",
    "",
    "great food, fast delivery and a friendly rider who called before he came up the stairs",
    " \t\n ",
    "😀🙏🏽👨‍👩‍👧",
    "ⴰⴱⴳ ⵣⵥ",
    "好",
    "[SEP] [CLS] </s> <b>x</b> \x00 \x1e",
    "长" * 5000,
    "word " * 2000,
    "繁體中文 mixed with English 123",
    "\ud800 lone surrogate",
]
ALONE_TOLERANCE = 1e-5


def items_for(predictor, texts=TEXTS):
    return list(zip(texts, texts[::-1], strict=True)) if len(predictor.task.inputs) == 2 else list(texts)


def test_a_text_gets_the_same_probabilities_alone_and_in_any_batch(predictor):
    items = items_for(predictor)
    together_NC = predictor.predict_proba(items)
    alone_NC = np.concatenate([predictor.predict_proba([item]) for item in items])
    order = np.random.default_rng(0).permutation(len(items))
    shuffled_NC = predictor.predict_proba([items[place] for place in order])
    assert np.abs(together_NC - alone_NC).max() <= ALONE_TOLERANCE
    assert np.abs(together_NC[order] - shuffled_NC).max() <= ALONE_TOLERANCE


def test_probabilities_are_finite_float32_in_range(predictor):
    probabilities_NC = predictor.predict_proba(items_for(predictor))
    assert probabilities_NC.dtype == np.float32
    assert probabilities_NC.shape == (len(TEXTS), len(predictor.labels))
    assert np.isfinite(probabilities_NC).all()
    assert ((probabilities_NC >= 0) & (probabilities_NC <= 1)).all()
    if predictor.task.link.excludes:
        assert probabilities_NC.sum(axis=1) == pytest.approx(1.0, abs=1e-5)


def test_different_texts_get_different_probabilities(predictor):
    first_NC = predictor.predict_proba(items_for(predictor, ["很快，好吃", "cold & late, never again"]))
    assert np.abs(first_NC[0] - first_NC[1]).max() > 10 * ALONE_TOLERANCE


def test_no_text_gets_no_answer(predictor):
    evidence, found = predictor.infer([])
    assert evidence.values_MC.shape == (0, len(predictor.labels))
    assert len(evidence) == 0
    assert predictor.predict([]) == []
    assert len(found.num_tokens_N) == len(found.num_unknown_N) == len(found.truncated_N) == 0


def test_scores_that_are_activated_are_the_evidence(predictor):
    items = items_for(predictor)
    (scores, weighed), (evidence, found) = predictor.weigh(items), predictor.infer(items)
    assert scores.link is evidence.link is predictor.task.link
    np.testing.assert_array_equal(predictor.activate(scores).values_MC, evidence.values_MC)
    np.testing.assert_array_equal(predictor.predict_proba(items), evidence.values_MC)
    np.testing.assert_array_equal(weighed.num_tokens_N, found.num_tokens_N)


def test_what_was_found_out_about_each_text(predictor):
    _, found = predictor.infer(items_for(predictor))
    limit = predictor.bundle.max_length
    assert found.truncated_N.dtype == np.bool_
    assert found.num_tokens_N.shape == found.num_unknown_N.shape == found.truncated_N.shape == (len(TEXTS),)
    assert (found.num_unknown_N <= found.num_tokens_N).all()
    if limit:
        assert found.truncated_N[8] or predictor.bundle.format == "cascade"
        assert predictor.bundle.is_composite or found.num_tokens_N.max() == limit
    else:
        assert not found.truncated_N.any()
    if len(predictor.task.inputs) == 1:
        assert not found.truncated_N[0]
    assert (found.stage_N is not None) == (predictor.bundle.format == "cascade")


def test_predict_gives_the_label_of_the_largest_probability(predictor):
    items = items_for(predictor)
    probabilities_NC = predictor.predict_proba(items)
    answers = predictor.predict(items)
    assert all(isinstance(answer, Prediction) for answer in answers)
    assert list(answers[0].probabilities) == predictor.labels
    for answer, row in zip(answers, probabilities_NC, strict=True):
        assert list(answer.probabilities.values()) == pytest.approx(row.tolist())
        if predictor.task.link.excludes:
            assert answer.label == (None if answer.abstained else predictor.labels[int(row.argmax())])


def test_the_runtime_keeps_the_protocol(predictor):
    assert isinstance(predictor._runtime, Runtime)


def test_a_single_string_is_no_list(predictor):
    with pytest.raises(ConfigError, match=r"The 'texts' parameter must be a list of texts\. Got str instead\."):
        predictor.predict("很快")


def test_an_item_that_is_no_text_is_named(predictor):
    items = items_for(predictor)
    wrong = ("a", None) if len(predictor.task.inputs) == 2 else None
    name = r"texts\[2\]\[1\]" if len(predictor.task.inputs) == 2 else r"texts\[2\]"
    with pytest.raises(ConfigError, match=rf"{name} must be a text \(str\)\. Got NoneType instead\."):
        predictor.predict([*items[:2], wrong])


def test_a_single_text_is_no_pair_and_a_pair_is_no_text(predictor):
    if len(predictor.task.inputs) == 2:
        with pytest.raises(ConfigError, match=r"texts\[1\] must be a pair \(text, text_b\).* Got str instead"):
            predictor.predict([("a", "b"), "c"])
    else:
        with pytest.raises(ConfigError, match=r"texts\[1\] must be a text \(str\)\. Got tuple of 2 instead"):
            predictor.predict(["a", ("b", "c")])
