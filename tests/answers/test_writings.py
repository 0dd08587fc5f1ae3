"""What was written for rows: candidates stay with their rows, and a file gives them back."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
ROWS = st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=5)


def written(rows, nats=0.5):
    """Candidates of rows, a token a character."""
    flat = [text for row in rows for text in row]
    lengths = [len(text) for text in flat]
    places = [(place, place + 1) for length in lengths for place in range(length)]
    ends = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    values = np.full(ends[-1], -nats, dtype=np.float32)
    candidates = Sequences(values, ends, np.array(places, dtype=np.int64).reshape(-1, 2), flat)
    return Writings(candidates, np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64))


def same(one, other):
    assert one.candidates.texts == other.candidates.texts
    for name in ("values_M", "ends", "places"):
        np.testing.assert_array_equal(getattr(one.candidates, name), getattr(other.candidates, name))
    np.testing.assert_array_equal(one.offsets, other.offsets)


@given(rows=ROWS)
def test_a_file_gives_back_what_was_written(rows):
    evidence = written(rows)
    same(Writings.read(pl.DataFrame(evidence.columns())), evidence)


@given(rows=ROWS, seed=st.integers(0, 9))
def test_rows_that_were_taken_apart_come_together_in_their_order(rows, seed):
    evidence, order = written(rows), np.random.default_rng(seed).permutation(len(rows))
    parts = [part for part in np.array_split(order, 2) if len(part)]
    same(Writings.gathered([(part, evidence.take(part)) for part in parts]), evidence)


def test_the_first_candidate_is_the_answer_and_equal_texts_are_told_once():
    evidence = written([["ab", "a", "ab"], ["x"]])
    assert evidence.texts == evidence.best.texts == ["ab", "x"]
    told = evidence.told(np.array([4.0, 3.0, 2.0, 1.0]))
    assert [list(one.items()) for one in told] == [[("ab", 4.0), ("a", 3.0)], [("x", 1.0)]]


def test_other_texts_are_infinitely_far_and_equal_ones_as_far_as_their_tokens():
    near = written([["ab"], ["x"]]).distance_N(written([["ab"], ["y"]], nats=0.6))
    assert near[0] == pytest.approx(0.1, rel=1e-5)
    assert np.isinf(near[1])


def test_a_token_that_is_no_number_is_far():
    assert np.isinf(written([["ab"]]).distance_N(written([["ab"]], nats=float("nan"))))[0]
