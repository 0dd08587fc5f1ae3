"""The best legal path against all paths, tried one by one."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers import legal_paths
from yanmo.answers.legal_paths import best_legal
from yanmo.answers.links import SOFTMAX
from yanmo.answers.tags import TagScheme

SCHEMES = {
    "iob2": ["B-x", "B-y", "I-x", "I-y", "O"],
    "iob2 without I": ["B-x", "B-y", "I-y", "O"],
    "bmes": ["B", "E", "M", "S"],
    "bmes without S": ["B", "E", "M"],
    "words with tags": ["B-x", "E-x", "E-y", "M-x", "S-y"],
    "plain": ["a", "b", "c"],
}


def num_breaks(path, scheme):
    """What the definition says, step by step: the rules that a row breaks."""
    before = [None, *path[:-1]]
    follows = scheme.may_follow_CC
    breaks = sum(not (scheme.may_begin_C[t] if s is None else follows[s, t]) for s, t in zip(before, path, strict=True))
    return breaks + (not scheme.may_end_C[path[-1]])


def best_by_trying(scores_UC, scheme):
    """The fewest breaks that a path has, and the largest sum of scores with so many."""
    num_units, num_tags = scores_UC.shape
    paths = product(range(num_tags), repeat=num_units)
    found = [(num_breaks(path, scheme), -scores_UC[np.arange(num_units), path].sum()) for path in paths]
    breaks, negative = min(found)
    return breaks, -negative


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(list(SCHEMES)),
    st.lists(st.integers(0, 4), min_size=1, max_size=5),
    st.integers(0, 2**32 - 1),
    st.floats(0.1, 30),
)
def test_no_legal_path_is_more_probable(name, lengths, seed, spread):
    scheme = TagScheme.of(SCHEMES[name])
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    scores_UC = np.random.default_rng(seed).normal(0, spread, (offsets[-1], len(SCHEMES[name])))
    probabilities_UC = np.exp(scores_UC - scores_UC.max(axis=1, keepdims=True, initial=-np.inf))
    probabilities_UC = (probabilities_UC / probabilities_UC.sum(axis=1, keepdims=True)).astype(np.float32)
    path_U = best_legal(probabilities_UC, offsets, scheme)
    assert path_U.dtype == np.int64
    logs_UC = np.log(np.maximum(probabilities_UC.astype(np.float64), 1e-30))
    for start, end in pairwise(offsets):
        if start == end:
            continue
        path, scores = path_U[start:end], logs_UC[start:end]
        breaks, best = best_by_trying(scores, scheme)
        assert num_breaks(path.tolist(), scheme) == breaks
        assert scores[np.arange(end - start), path].sum() == pytest.approx(best, abs=1e-6)


def test_a_row_without_a_legal_path_breaks_as_few_rules_as_it_can():
    scheme = TagScheme.of(["B", "E"])
    probabilities_UC = np.array([[0.4, 0.6], [0.4, 0.6], [0.3, 0.7], [0.4, 0.6]], dtype=np.float32)
    # One unit alone is no word of two; of three units two are one.
    assert best_legal(probabilities_UC, np.array([0, 1, 4]), scheme).tolist() == [1, 0, 1, 1]


def test_what_is_legal_stays_the_most_probable_tag_of_each_unit():
    scheme = TagScheme.of(["B-x", "I-x", "O"])
    probabilities_UC = np.array([[0.2, 0.3, 0.5], [0.5, 0.1, 0.4], [0.1, 0.8, 0.1]], dtype=np.float32)
    offsets = np.array([0, 3])
    assert best_legal(probabilities_UC, offsets, scheme).tolist() == [2, 0, 1]
    # The same units in two rows: no row begins with I, so the second unit of the third row must be another.
    assert best_legal(probabilities_UC, np.array([0, 2, 3]), scheme).tolist() == [2, 0, 0]


def test_one_row_is_searched_as_among_others():
    scheme = TagScheme.of(SCHEMES["iob2"])
    generator = np.random.default_rng(0)
    lengths = generator.integers(0, 40, 60)
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    probabilities_UC = generator.dirichlet(np.ones(5), offsets[-1]).astype(np.float32)
    together = best_legal(probabilities_UC, offsets, scheme)
    assert not scheme.broken_U(together, offsets).any()
    for start, end in pairwise(offsets):
        alone = best_legal(probabilities_UC[start:end], np.array([0, end - start]), scheme)
        assert alone.tolist() == together[start:end].tolist()


def test_many_rows_are_searched_piece_by_piece(monkeypatch):
    scheme = TagScheme.of(SCHEMES["bmes"])
    generator = np.random.default_rng(1)
    offsets = np.concatenate(([0], np.cumsum(generator.integers(0, 9, 300))))
    probabilities_UC = generator.dirichlet(np.ones(4), offsets[-1]).astype(np.float32)
    at_once = best_legal(probabilities_UC, offsets, scheme)
    num_cells, search = [], legal_paths._search

    def watched(scores_UC, *others):
        num_cells.append(scores_UC.size)
        return search(scores_UC, *others)

    monkeypatch.setattr(legal_paths, "BLOCK_CELLS", 50)
    monkeypatch.setattr(legal_paths, "_search", watched)
    assert best_legal(probabilities_UC, offsets, scheme).tolist() == at_once.tolist()
    # A piece is as large as it may be, and at most a row of 8 units and 4 tags larger.
    assert max(num_cells) < 50 + 8 * 4
    assert len(num_cells) <= sum(num_cells) / 50 + 1


def test_no_rows_and_no_units():
    scheme = TagScheme.of(SCHEMES["bmes"])
    nothing = np.zeros((0, 4), dtype=np.float32)
    assert best_legal(nothing, np.array([0]), scheme).tolist() == []
    assert best_legal(nothing, np.array([0, 0, 0]), scheme).tolist() == []


@pytest.mark.parametrize("style", ["bmes", "iob2"])
def test_between_sure_units_the_path_is_that_of_whole_rows(style, monkeypatch):
    scheme, num_tags = TagScheme.of(SCHEMES[style]), len(SCHEMES[style])
    generator = np.random.default_rng(2)
    offsets = np.concatenate(([0], np.cumsum(generator.integers(1, 60, 300))))
    # Nearly all units are sure of a tag, of a legal path; in one of five, another one is about as probable.
    scores_UC = generator.normal(0, 1, size=(offsets[-1], num_tags)).astype(np.float32)
    legal_U = best_legal(SOFTMAX.activate(scores_UC), offsets, scheme)
    scores_UC[legal_U[:, None] == np.arange(num_tags)] += 10
    doubtful = np.flatnonzero(generator.random(offsets[-1]) < 0.2)
    scores_UC[doubtful, generator.integers(0, num_tags, len(doubtful))] += 10
    probabilities_UC = SOFTMAX.activate(scores_UC)
    monkeypatch.setattr(legal_paths, "SURE", np.inf)
    whole = best_legal(probabilities_UC, offsets, scheme)
    sizes, search = [], legal_paths._search
    monkeypatch.setattr(legal_paths, "SURE", 1.0)
    monkeypatch.setattr(legal_paths, "_search", lambda *asked: sizes.append(len(asked[1].values)) or search(*asked))
    np.testing.assert_array_equal(best_legal(probabilities_UC, offsets, scheme), whole)
    # Those rows are searched as a whole, too, of which any path loses more than a sure unit does.
    assert len(sizes) == 2
    assert 0 < sizes[0] < offsets[-1] / 3
