"""A parser gives every sentence the tree that it gives it alone, and never anything but a tree."""

import numpy as np
import pytest

from yanmo.answers.trees import is_tree_N
from yanmo.arrays import Ragged
from yanmo.parsing.arc_beam import Beam
from yanmo.parsing.arc_evidence import ParsedWords, Sharpness, evidence_of, fit_sharpness
from yanmo.parsing.arc_search import parse_rows
from yanmo.parsing.arc_weights import ArcWeights, WeightTable
from yanmo.parsing.parser import ArcParser

NUM_RELATIONS = 5


@pytest.fixture(scope="module")
def parser():
    """A parser with weights that mean nothing."""
    generator = np.random.default_rng(0)
    tables = (generator.normal(size=(1 << 10, columns)).astype(np.float32) for columns in (4, NUM_RELATIONS))
    return ArcParser(ArcWeights(*map(WeightTable.of, tables)), np.zeros(0, dtype=np.uint64), Sharpness(0.5, 0.5))


def read(parser, lengths, seed=0):
    generator = np.random.default_rng(seed)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    surfaces = generator.choice(["a", "Bee", "😀", "。", "向量", "1999", "don't"], size=int(offsets[-1])).tolist()
    return surfaces, parser.read(surfaces, generator.integers(0, 9, size=int(offsets[-1])), offsets)


def test_every_sentence_becomes_a_tree(parser):
    lengths = np.random.default_rng(1).integers(0, 40, size=300)
    _, words = read(parser, lengths)
    parsed = parser.parse(words)
    assert is_tree_N(parsed.heads_M, words.offsets).all()
    assert (parsed.margins_M >= 0).all()


def test_a_sentence_has_its_tree_whatever_stands_beside_it(parser):
    lengths = np.array([3, 0, 17, 1, 8, 30])
    _, words = read(parser, lengths)
    whole = parser.parse(words)
    for row, length in enumerate(lengths.tolist()):
        start = int(words.offsets[row])
        part = slice(start, start + length)
        alone = type(words)(
            words.words_U[part],
            words.endings_U[part],
            words.openings_U[part],
            words.tags_U[part],
            np.array([0, length], dtype=np.int64),
        )
        found = parser.parse(alone)
        assert found.heads_M.tolist() == whole.heads_M[part].tolist()
        np.testing.assert_array_equal(found.relations_MC, whole.relations_MC[part])


def test_evidence_says_the_tree_again_and_each_word_chooses_among_all_others(parser):
    lengths = np.array([1, 2, 9])
    _, words = read(parser, lengths)
    places = Ragged(np.zeros((12, 2), dtype=np.int64), words.offsets)
    evidence = parser.evidence(words, places).activate()
    assert evidence.trees_M().tolist() == parser.parse(words).heads_M.tolist()
    np.testing.assert_allclose(Ragged(evidence.heads.values_K, evidence.heads.cells).sums_N(), 1, rtol=1e-5)
    assert evidence.heads.num_cells_M.tolist() == [2, 3, 3] + [10] * 9
    assert (evidence.heads.at_M(np.array([1, 1, 2, *range(1, 10)])) == 0).all()


def test_sharpness_follows_how_often_a_margin_is_right():
    generator = np.random.default_rng(2)
    margins = generator.uniform(0, 40, size=4000).astype(np.float32)
    right = generator.random(4000) < 1 / (1 + np.exp(-margins / 8))
    heads = np.ones(4000, dtype=np.int64)
    scores = np.zeros((4000, 2), dtype=np.float32)
    found = fit_sharpness(ParsedWords(np.where(right, 1, 2), margins, scores), heads, np.zeros(4000, dtype=np.int64))
    assert found.heads == 0.125


def test_weights_come_back_from_a_file_as_they_were():
    generator = np.random.default_rng(3)
    weights = generator.normal(size=(1 << 8, 6)).astype(np.float32) * (generator.random((1 << 8, 1)) < 0.5)
    table = WeightTable.of(weights)
    again = WeightTable.read(table.tensors("some"), "some")
    buckets = generator.integers(0, 1 << 8, size=(30, 100))
    np.testing.assert_array_equal(table.sums_RC(buckets), again.sums_RC(buckets))
    np.testing.assert_allclose(table.sums_RC(buckets), weights[buckets].sum(axis=0), atol=30 * table.scale)
    assert len(table.tensors("some")["some_weights"]) <= np.any(weights, axis=1).sum()


def test_nothing_is_said_about_no_sentence(parser):
    _, words = read(parser, np.zeros(0, dtype=np.int64))
    assert len(parser.evidence(words, Ragged(np.zeros((0, 2), dtype=np.int64), words.offsets))) == 0


def test_evidence_of_one_word_is_the_root():
    parsed = ParsedWords(np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.float32), np.zeros((1, 2), dtype=np.float32))
    places = Ragged(np.array([[0, 1]]), np.array([0, 1]))
    assert evidence_of(parsed, places, Sharpness(1, 1)).activate().heads.values_K.tolist() == [1.0, 0.0]


def test_a_beam_of_one_is_the_greedy_parser_and_a_wider_one_finds_better_sequences(parser):
    lengths = np.random.default_rng(4).integers(1, 15, size=60)
    _, words = read(parser, lengths)
    rows = words.rows(np.argsort(-lengths, kind="stable"))
    totals = []
    for size in (1, 2, 8):
        beam = Beam(rows, parser.weights, size)
        for step in range(beam.states.num_steps):
            beam.advance(beam.candidates(step))
        totals.append(beam.scores_BK[:, 0].astype(np.float64))
        if size == 1:
            greedy = parse_rows(rows, parser.weights)
            assert greedy.heads_P.tolist() == beam.states.heads_P.tolist()
    # Not for every sentence: what is dropped early might have been better in the end.
    assert totals[0].mean() < totals[1].mean() < totals[2].mean()


def test_a_sequence_is_told_from_its_first_action_on(parser):
    lengths = np.array([9, 5, 5, 2])
    _, words = read(parser, lengths)
    beam = Beam(words.rows(np.arange(4)), parser.weights, 4)
    for step in range(beam.states.num_steps):
        beam.advance(beam.candidates(step))
    best_TB = beam.best_TB()
    for sentence in range(4):
        best = best_TB[best_TB[:, sentence] >= 0, sentence].tolist()
        assert beam.sequence(sentence, 0, len(best)) == best


def test_the_trees_of_a_beam_are_trees_whatever_stands_beside_them(parser):
    wide = ArcParser(parser.weights, parser.vocabulary_V, parser.sharpness, 4)
    lengths = np.random.default_rng(5).integers(0, 20, size=40)
    _, words = read(parser, lengths)
    parsed = wide.parse(words)
    assert is_tree_N(parsed.heads_M, words.offsets).all()
    assert (parsed.heads_M != parser.parse(words).heads_M).any()
    part = slice(int(words.offsets[7]), int(words.offsets[8]))
    ends = np.array([0, lengths[7]], dtype=np.int64)
    alone = wide.parse(
        type(words)(words.words_U[part], words.endings_U[part], words.openings_U[part], words.tags_U[part], ends)
    )
    assert alone.heads_M.tolist() == parsed.heads_M[part].tolist()
