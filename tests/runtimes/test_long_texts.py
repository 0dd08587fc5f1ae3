"""Long texts: the end is read, too, in windows; texts that fit keep their answers; models without a limit say so."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.errors import ConfigError
from yanmo.runtimes.predictor import open_bundle
from yanmo.text.inputs import Inputs, Windows

FITTING = ["很快，好吃", "", "cold & late", "😀"]
FILLER = "味道不错，下次还来 " * 12
TOKEN_MODELS = ["textcnn", "bilstm_multi_label", "bert", "bert_pair", "bert_onnx", "bert_pair_onnx", "gpt2", "t5_onnx"]


def items_for(predictor, texts):
    return list(zip(texts, texts[::-1], strict=True)) if len(predictor.task.inputs) == 2 else texts


@pytest.fixture
def opened(get_bundle):
    return lambda name, **values: open_bundle(get_bundle(name), long_texts="windows", **values)


@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_the_end_of_a_long_text_counts_and_nothing_is_truncated(name, opened, get_bundle, predictors):
    texts = [FILLER + "好吃 very good", FILLER + "cold & late, never again"]
    truncating, windowed = predictors(get_bundle(name)), opened(name)
    items = [(text, "好") for text in texts] if len(truncating.task.inputs) == 2 else texts
    (cut_evidence, cut), (whole_evidence, whole) = truncating.infer(items), windowed.infer(items)
    cut_NC, whole_NC = cut_evidence.values_MC, whole_evidence.values_MC
    assert cut.truncated_N.all()
    assert np.abs(cut_NC[0] - cut_NC[1]).max() <= 1e-6
    assert not whole.truncated_N.any()
    assert np.abs(whole_NC[0] - whole_NC[1]).max() > 1e-4
    assert (whole.num_tokens_N > cut.num_tokens_N).all()


@pytest.mark.parametrize("name", TOKEN_MODELS)
def test_texts_that_fit_keep_their_answers_beside_long_ones(name, opened, get_bundle, predictors):
    truncating, windowed = predictors(get_bundle(name)), opened(name)
    expected_NC = truncating.predict_proba(items_for(truncating, FITTING))
    evidence, found = windowed.infer([*items_for(windowed, FITTING), *items_for(windowed, [FILLER])])
    found_NC = evidence.values_MC
    assert np.abs(found_NC[:-1] - expected_NC).max() <= 1e-5
    alone_NC = windowed.predict_proba(items_for(windowed, [FILLER]))
    assert np.abs(found_NC[-1] - alone_NC[0]).max() <= 1e-5
    assert len(found.num_tokens_N) == len(found.num_unknown_N) == len(found_NC)


@pytest.mark.parametrize("name", ["bert", "bert_onnx"])
def test_the_scores_are_the_mean_over_windows_weighted_by_their_own_tokens(name, opened):
    runtime = opened(name)._runtime
    encoded = runtime.encode(Inputs((["好", FILLER],)), windows=Windows())
    assert encoded.text_W.tolist()[:2] == [0, 1]
    rows_W = np.flatnonzero(encoded.text_W == 1)
    assert len(rows_W) > 2

    def alone(row):
        ids = encoded.ids.row(row)
        one = Ragged(ids, np.array([0, len(ids)]))
        types = encoded.type_ids and Ragged(np.zeros_like(ids), one.offsets)
        no = np.zeros(1, dtype=np.int64)
        single = dataclasses.replace(
            encoded, ids=one, type_ids=types, truncated_N=no.astype(bool), num_unknown_N=no, text_W=None
        )
        return runtime.score(single).scores.values_MC[0]

    weights_W = [len(encoded.ids.row(row)) - 2 for row in rows_W]
    expected_C = np.average([alone(row) for row in rows_W], axis=0, weights=weights_W)
    logits_NC = runtime.score(encoded).scores.values_MC
    np.testing.assert_allclose(logits_NC[1], expected_C, atol=1e-5)
    np.testing.assert_allclose(logits_NC[0], alone(0), atol=1e-5)


def test_a_text_of_too_many_windows_is_counted_as_truncated(opened):
    predictor = opened("bert_onnx")
    _, found = predictor.infer(["好 " * 900, "好 " * 1300])
    assert found.truncated_N.tolist() == [False, True]


def test_a_smaller_overlap_reads_fewer_tokens(opened):
    least, most = (
        opened("bert_onnx", window_overlap=overlap).infer([FILLER])[1].num_tokens_N[0] for overlap in (0.0, 0.75)
    )
    assert least < most


@pytest.mark.parametrize("name", ["ngram", "linear"])
def test_models_that_read_everything_say_that_windows_have_no_effect(name, get_bundle, predictors, opened, caplog):
    windowed = opened(name)
    assert caplog.messages == [f"long_texts has no effect: {get_bundle(name).path} reads all of every text."]
    expected_NC = predictors(get_bundle(name)).predict_proba([FILLER])
    np.testing.assert_array_equal(windowed.predict_proba([FILLER]), expected_NC)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"long_texts": "window"},
            "The 'long_texts' parameter must be one of: truncate, windows. Got 'window' instead.",
        ),
        (
            {"window_overlap": 1.0},
            "The 'window_overlap' parameter must be at least 0 and less than 1. Got 1.0 instead.",
        ),
        (
            {"window_overlap": -0.1},
            "The 'window_overlap' parameter must be at least 0 and less than 1. Got -0.1 instead.",
        ),
    ],
)
def test_wrong_values_are_named(values, message, get_bundle):
    with pytest.raises(ConfigError) as caught:
        open_bundle(get_bundle("ngram"), **values)
    assert caught.value.message == message
