"""Evidence of a chain: a span's probability is the share of all paths that have exactly this span."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.answers import tag_chains
from yanmo.answers.chains import IMPOSSIBLE, Chain, Steps, log_marginals
from yanmo.answers.legal_paths import best_legal
from yanmo.answers.links import SOFTMAX
from yanmo.answers.second_order import SecondOrderChain
from yanmo.answers.spans import find_spans, span_probability_M
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme
from yanmo.arrays import Ragged

SCHEMES = {"iob2": ["B-x", "B-y", "I-x", "I-y", "O"], "bmes": ["B", "E", "M", "S"]}


def random_chain(scheme, seed, sharpness=1.0, order=1):
    random = np.random.default_rng(seed)
    inside = np.concatenate([scheme.may_follow_CC, scheme.may_begin_C[None]])
    begins, ends = scheme.may_begin_C, scheme.may_end_C
    legal = (
        (inside[:-1], begins, ends)
        if order == 1
        else (np.stack([inside] * len(inside)), np.stack([ends] * len(inside)))
    )
    parts = (np.where(one, random.normal(size=one.shape), IMPOSSIBLE).astype(np.float32) for one in legal)
    return TagChain((Chain if order == 1 else SecondOrderChain)(*parts), scheme, sharpness)


def path_log(chain, path):
    """Return what a chain gives to a path."""
    edge = len(chain.ends_PC[0]) if isinstance(chain, SecondOrderChain) else None
    if edge is None:
        moves = sum(float(chain.transitions_CC[pair]) for pair in itertools.pairwise(path))
        return float(chain.start_C[path[0]]) + moves + float(chain.end_C[path[-1]])
    before = (edge, edge, *path)
    moves = sum(float(chain.transitions_PPC[triple]) for triple in zip(before, before[1:], path, strict=False))
    return moves + float(chain.ends_PC[before[-2:]])


def evidence_of(tag_chain, lengths, seed):
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    size = (int(offsets[-1]), len(tag_chain.scheme.kind_C))
    scores_UC = np.random.default_rng(seed).normal(0, 2, size=size).astype(np.float32)
    places = Ragged(np.zeros((size[0], 2), dtype=np.int64), offsets)
    return scores_UC, tag_chain.choices(scores_UC, SOFTMAX, places).activate()


def add_up(scores_UC, chain, scheme):
    """Return the probability of every span that a row may have, path by path."""
    num_units, num_tags = scores_UC.shape
    shares, total = {}, 0.0
    for path in itertools.product(range(num_tags), repeat=num_units):
        log = float(scores_UC[np.arange(num_units), path].sum(dtype=np.float64)) + path_log(chain, path)
        weight = np.exp(log)
        total += weight
        spans = find_spans(np.array(path), np.array([0, num_units]), scheme)
        for span in zip(spans.start_M.tolist(), spans.end_M.tolist(), spans.kind_M.tolist(), strict=True):
            shares[span] = shares.get(span, 0.0) + weight
    return {span: weight / total for span, weight in shares.items()}


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.integers(0, 1000),
    st.sampled_from(sorted(SCHEMES)),
    st.sampled_from((1, 2)),
)
def test_a_span_has_the_share_of_all_paths_that_have_exactly_it(lengths, seed, style, order):
    scheme = TagScheme.of(SCHEMES[style])
    tag_chain = random_chain(scheme, seed, sharpness=1.0 + seed % 2, order=order)
    scores_UC, evidence = evidence_of(tag_chain, lengths, seed)
    path_U = best_legal(evidence.values_MC, evidence.offsets_N, scheme)
    np.testing.assert_array_equal(evidence.path_M, path_U)
    spans = find_spans(path_U, evidence.offsets_N, scheme)
    sure_M = span_probability_M(evidence, path_U, scheme, spans)
    ends = evidence.offsets_N
    for place, row in enumerate(spans.row_M.tolist()):
        wanted = add_up(scores_UC[ends[row] : ends[row + 1]], tag_chain.chain, scheme)
        span = (spans.start_M[place] - ends[row], spans.end_M[place] - ends[row], spans.kind_M[place])
        assert sure_M[place] == pytest.approx(wanted[span], abs=1e-4)


@pytest.mark.parametrize("order", [1, 2])
def test_rows_are_the_same_in_blocks_of_any_size_and_rows_without_units_have_no_span(order, monkeypatch):
    tag_chain = random_chain(TagScheme.of(SCHEMES["iob2"]), 3, order=order)
    lengths = [3, 0, 700, 1, 40]
    _, whole = evidence_of(tag_chain, lengths, 5)
    monkeypatch.setattr(tag_chains, "BLOCK_SUMS", 0)
    monkeypatch.setattr(tag_chains, "LEAST_UNITS", 10)
    _, parts = evidence_of(tag_chain, lengths, 5)
    np.testing.assert_allclose(parts.joint_M, whole.joint_M, atol=1e-5)
    assert (
        np.isfinite(whole.joint_M).sum() == (best_legal(whole.values_MC, whole.offsets_N, tag_chain.scheme) != 4).sum()
    )


def test_plain_tags_are_decided_one_by_one():
    scheme = TagScheme.of(["NOUN", "VERB"])
    _, evidence = evidence_of(random_chain(scheme, 1), [3, 2], 1)
    assert evidence.joint_M is None


@pytest.mark.parametrize("order", [1, -1])
def test_sums_over_paths_are_finite_up_to_what_float32_holds(order):
    moves_CC = np.diag(np.float32([85, 0]) * order)
    chain = Chain(moves_CC, np.zeros(2, np.float32), np.zeros(2, np.float32))
    logs_UC = log_marginals(np.zeros((40, 2), np.float32), Steps.of(np.array([0, 40])), chain)
    assert np.isfinite(logs_UC).all()
