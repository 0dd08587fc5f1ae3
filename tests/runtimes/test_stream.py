"""Streams: windows in order, little made ahead, errors where they belong, and a thread that ends with its reader."""

from __future__ import annotations

import threading
import time

import numpy as np
import polars as pl
import pytest

from yanmo.runtimes.stream import ahead, answer_windows


def test_items_come_in_order_and_an_error_where_its_item_would_have_come():
    def items():
        yield from range(3)
        raise ValueError("the fourth")

    found = []
    with pytest.raises(ValueError, match="the fourth"):
        found.extend(ahead(items()))
    assert found == [0, 1, 2]
    assert list(ahead([])) == []


def test_the_next_item_is_made_while_one_is_used_and_no_more_than_that():
    made, used = [], threading.Event()

    def items():
        for number in range(6):
            made.append(number)
            yield number
            if number:
                used.set()

    stream = ahead(items())
    for number in range(6):
        assert next(stream) == number
        deadline = time.monotonic() + 5
        while len(made) < min(number + 2, 6) and time.monotonic() < deadline:
            time.sleep(0.001)
        assert len(made) == min(number + 2, 6)


def test_whoever_leaves_early_ends_the_thread():
    before = set(threading.enumerate())
    stream = ahead(iter(range(1000)))
    assert next(stream) == 0
    (thread,) = set(threading.enumerate()) - before
    stream.close()
    thread.join(5)
    assert not thread.is_alive()


@pytest.mark.parametrize("name", ["ngram", "linear_multi_label", "bert_pair_onnx", "textcnn"])
def test_windows_get_the_answers_of_their_texts(name, get_bundle, predictors):
    predictor = predictors(get_bundle(name))
    texts = ["很快，好吃", "", "cold & late", "a b c " * 40, "😀", "好" * 60, "again"]
    rows = pl.DataFrame({"id": texts, "text": texts, "text_b": texts[::-1]})
    is_pair = len(predictor.task.inputs) == 2
    windows = [rows[:3], rows[3:6], rows[6:]] if is_pair else [rows[:6].drop("text_b"), rows[6:].drop("text_b")]
    found = list(answer_windows(predictor, windows))
    assert [one.height for one, _ in found] == [window.height for window in windows]
    items = list(zip(texts, texts[::-1], strict=True)) if is_pair else texts
    expected, reading = predictor.infer(items)
    assert np.abs(np.concatenate([one.evidence.values_MC for _, one in found]) - expected.values_MC).max() <= 1e-5
    assert np.concatenate([one.found.truncated_N for _, one in found]).tolist() == reading.truncated_N.tolist()
    decided = [prediction for _, one in found for prediction in one.decided.predictions]
    assert decided == [one.label for one in predictor.predict(items)]
