"""Spans from starts and ends: what a search through all pairs would find, and windows that meet at characters."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers.passage_spans import PassageSpans, passage_pointers
from yanmo.answers.pointers import Pointers
from yanmo.arrays import Ragged


def random_pointers(seed, lengths):
    """Probabilities of rows of so many characters and "none"; some characters are no units."""
    generator = np.random.default_rng(seed)
    cells = np.cumsum([0, *np.repeat([one + 1 for one in lengths], 2)])
    scores_K = generator.normal(scale=2, size=cells[-1]).astype(np.float32)
    barred_K = generator.random(cells[-1]) < 0.3
    barred_K[cells[1:] - 1] = False
    scores_K[barred_K] = -np.inf
    return Pointers(scores_K, cells, np.arange(0, 2 * len(lengths) + 1, 2)).activate()


def all_spans(evidence, row, max_length):
    """Every legal span of a row with its probability, and that of none, by their definition."""
    starts, ends = (
        evidence.values_K[evidence.cells[2 * row + side] : evidence.cells[2 * row + side + 1]].astype(np.float64)
        for side in (0, 1)
    )
    last = len(starts) - 1
    found = {
        (start, end + 1): starts[start] * ends[end]
        for start in range(last)
        for end in range(start, min(start + max_length, last))
    }
    none = starts[last] * ends[last]
    total = none + sum(found.values())
    return {span: weight / total for span, weight in found.items()}, none / total


@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    max_length=st.integers(1, 15),
)
@settings(max_examples=60, deadline=None)
def test_the_best_span_and_its_probability_are_those_of_a_search_through_all(seed, lengths, max_length):
    evidence = random_pointers(seed, lengths)
    spans = PassageSpans(evidence, max_length)
    best = spans.best()
    for row in range(len(lengths)):
        wanted, none = all_spans(evidence, row, max_length)
        assert best.none_N[row] == pytest.approx(none, abs=1e-9)
        most = max(wanted.values())
        assert best.probability_N[row] == pytest.approx(most, abs=1e-9)
        if most > 0:
            assert wanted[tuple(best.places_N2[row].tolist())] == pytest.approx(most, abs=1e-9)
        else:
            assert best.places_N2[row].tolist() == [-1, -1]


@given(seed=st.integers(0, 10_000), lengths=st.lists(st.integers(2, 10), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_all_spans_and_none_are_one_distribution(seed, lengths):
    evidence = random_pointers(seed, lengths)
    spans = PassageSpans(evidence, 6)
    for row, length in enumerate(lengths):
        pairs = [(start, end) for start in range(length) for end in range(start + 1, min(start + 6, length) + 1)]
        offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
        offsets[row + 1 :] = len(pairs)
        total = spans.of_spans(Ragged(np.array(pairs), offsets)).sum() + spans.none_N[row]
        assert total == pytest.approx(1, abs=1e-6)


def test_a_longer_span_than_is_allowed_has_no_probability():
    evidence = random_pointers(3, [9])
    assert PassageSpans(evidence, 4).of_spans(Ragged(np.array([[0, 5]]), np.array([0, 1])))[0] == 0


def test_several_spans_do_not_overlap_and_come_best_first():
    for seed in range(20):
        spans = PassageSpans(random_pointers(seed, [12, 9]), 5)
        found = spans.several(1, 4)
        assert found[0][:2] == tuple(spans.best().places_N2[1].tolist())
        assert [one[2] for one in found] == sorted((one[2] for one in found), reverse=True)
        taken = [set(range(start, end)) for start, end, _ in found]
        assert sum(map(len, taken)) == len(set().union(*taken))


def test_units_become_characters_and_none_is_the_least_of_the_windows():
    # "ab cd": two words, read in two windows, each with a place for none behind the last character.
    places = Ragged(np.array([[5, 6], [0, 2], [5, 6], [3, 5]]), np.array([0, 4]))
    found = passage_pointers(np.array([[3, 1], [1, 2], [-1, 2], [5, 6]], dtype=np.float32), places)
    starts, ends = found.values_K[:6], found.values_K[6:]
    assert starts.tolist() == [1, -np.inf, -np.inf, 5, -np.inf, -1]
    assert ends.tolist() == [-np.inf, 2, -np.inf, -np.inf, 6, 1]


def test_of_an_empty_passage_nothing_is_the_answer():
    evidence = passage_pointers(np.zeros((0, 2), np.float32), Ragged(np.zeros((0, 2), np.int64), np.array([0, 0])))
    best = PassageSpans(evidence.activate(), 5).best()
    assert best.is_none_N.tolist() == [True]
    assert best.none_N.tolist() == [1.0]


def test_no_rows_are_no_spans():
    empty = passage_pointers(np.zeros((0, 2), np.float32), Ragged(np.zeros((0, 2), np.int64), np.array([0])))
    assert len(PassageSpans(empty.activate(), 5).best().none_N) == 0
