"""TF-IDF weights equal scikit-learn's; top terms are those that a class has and others lack."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.arrays import Ragged
from yanmo.text import tfidf as tfidf_module
from yanmo.text.ngrams import NgramConfig, hash_column, ngram_strings
from yanmo.text.tfidf import (
    SparseRows,
    Tfidf,
    _group,
    _sort,
    fit_tfidf,
    fit_transform,
    top_terms_by_class,
    transform,
    with_strings,
)

CONFIG = NgramConfig(word_ngrams=None, char_ngrams=(1, 3))
WORDS = [f"word{place}" for place in range(300)]
TEXTS = ["很快，好吃", "好吃不贵 good food", "", "good good food", "送餐太慢了", "慢慢慢", "good"]


def dense(rows: SparseRows, num_columns: int) -> np.ndarray:
    matrix = np.zeros((len(rows.offsets) - 1, num_columns))
    matrix[np.repeat(np.arange(len(matrix)), np.diff(rows.offsets)), rows.indices] = rows.values
    return matrix


def by_term(texts: list[str], tfidf: Tfidf, rows: SparseRows) -> tuple[list[str], np.ndarray]:
    strings = ngram_strings(texts, CONFIG, tfidf.keys)
    terms = [strings[key] for key in tfidf.keys.tolist()]
    order = np.argsort(np.array(terms, dtype=object))
    return [terms[index] for index in order], dense(rows, len(terms))[:, order]


@pytest.mark.parametrize("options", [{}, {"sublinear": True}, {"min_df": 2}])
def test_weights_equal_those_of_scikit_learn(options: dict[str, int]) -> None:
    text_module = pytest.importorskip("sklearn.feature_extraction.text")
    peer = text_module.TfidfVectorizer(
        analyzer="char", ngram_range=(1, 3), sublinear_tf="sublinear" in options, min_df=options.get("min_df", 1)
    )
    expected = peer.fit_transform(TEXTS).toarray()
    terms, weights = by_term(TEXTS, *fit_transform(hash_column(TEXTS, CONFIG), **options))
    assert terms == peer.get_feature_names_out().tolist()
    np.testing.assert_allclose(weights, expected, atol=1e-6)


def test_fit_then_transform_equals_fit_transform() -> None:
    hashes = hash_column(TEXTS, CONFIG)
    tfidf, rows = fit_transform(hashes, min_df=2, sublinear=True)
    again, other = fit_tfidf(hashes, min_df=2, sublinear=True), transform(tfidf, hashes)
    assert (again.keys == tfidf.keys).all()
    assert (again.idf == tfidf.idf).all()
    assert (np.diff(tfidf.keys.astype(object)) > 0).all()
    for name in ("indices", "values", "offsets", "num_unknown_N"):
        assert (getattr(rows, name) == getattr(other, name)).all()


def test_max_features_keeps_the_most_frequent() -> None:
    hashes = hash_column(TEXTS, CONFIG)
    strings = ngram_strings(TEXTS, CONFIG, fit_tfidf(hashes, max_features=1).keys)
    assert set(strings.values()) == {"o"}
    assert len(fit_tfidf(hashes, max_features=10**6).keys) == len(np.unique(hashes.values))


def test_unseen_ngrams_are_dropped_and_counted() -> None:
    tfidf = fit_tfidf(hash_column(["ab"], CONFIG))
    rows = transform(tfidf, hash_column(["ab", "axx", "", "yyy"], CONFIG))
    assert rows.num_unknown_N.tolist() == [0, 5, 0, 6]
    assert np.diff(rows.offsets).tolist() == [3, 1, 0, 0]
    np.testing.assert_allclose(np.add.reduceat(rows.values**2, [0, 3]), [1, 1], rtol=1e-6)


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_columns_without_ngrams_have_an_empty_vocabulary(texts: list[str]) -> None:
    tfidf, rows = fit_transform(hash_column(texts, CONFIG))
    assert len(tfidf.keys) == len(rows.values) == 0
    assert rows.offsets.tolist() == [0] * (len(texts) + 1)
    assert transform(tfidf, hash_column(["ab", ""], CONFIG)).num_unknown_N.tolist() == [3, 0]
    assert top_terms_by_class(rows, np.zeros((len(texts), 2), dtype=np.float32), tfidf) == [[], []]


@given(st.lists(st.integers(0, 2**64 - 1).flatmap(lambda x: st.sampled_from([x, x ^ 1, x ^ 2, x ^ 5])), max_size=60))
@settings(deadline=None)
def test_hashes_that_agree_in_their_upper_bits_are_sorted_too(values: list[int]) -> None:
    repeated = np.array([value ^ low for value in values for low in (0, 3, 0, 1)], dtype=np.uint64)
    order, ordered = _sort(repeated)
    assert (ordered == np.sort(repeated)).all()
    assert (repeated[order] == ordered).all()
    assert sorted(order.tolist()) == list(range(len(repeated)))


@pytest.mark.parametrize("table_bits", [1, 4, 12])
@pytest.mark.parametrize("extremes", [[], [0], [2**64 - 1], [0, 2**64 - 1, 2**63]])
def test_the_table_finds_the_distinct_hashes(
    table_bits: int, extremes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tfidf_module, "FEW_VALUES", 0)
    monkeypatch.setattr(tfidf_module, "TABLE_BITS", table_bits)
    generator = np.random.default_rng(table_bits)
    pool = np.concatenate((generator.integers(0, 2**64, 50, dtype=np.uint64), np.array(extremes, dtype=np.uint64)))
    values = generator.choice(pool, 400)
    keys, places = _group(values)
    assert keys.tolist() == sorted(set(values.tolist()))
    assert (keys[places] == values).all()


def test_neither_blocks_nor_the_table_show(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = hash_column(TEXTS * 3, CONFIG)
    tfidf, rows = fit_transform(hashes, min_df=2)
    monkeypatch.setattr(tfidf_module, "FEW_VALUES", 0)
    monkeypatch.setattr(tfidf_module, "BLOCK_VALUES", 20)
    again, others = fit_transform(hashes, min_df=2)
    assert (again.keys == tfidf.keys).all()
    assert (again.idf == tfidf.idf).all()
    for name in ("indices", "values", "offsets", "num_unknown_N"):
        assert (getattr(rows, name) == getattr(others, name)).all()


def test_top_terms_set_a_class_apart() -> None:
    texts = ["good food", "good soup", "bad food", "bad soup"]
    config = NgramConfig(word_ngrams=(1, 1), char_ngrams=None)
    tfidf, rows = fit_transform(hash_column(texts, config))
    targets_NC = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    top = top_terms_by_class(rows, targets_NC, tfidf, num_terms=3)
    strings = ngram_strings(texts, config, np.array([key for best in top for key, _ in best], dtype=np.uint64))
    named = with_strings(top, strings)
    assert [[term for term, _ in best] for best in named] == [["good"], ["bad"]]
    assert named[0][0][1] == pytest.approx(2**-0.5, rel=1e-5)


@pytest.mark.parametrize("num_terms", [1, 2, 3, 7, 20, 10_000])
def test_top_terms_are_the_best_of_all_however_many_are_asked_for(num_terms: int) -> None:
    texts = [" ".join(words) for words in np.random.default_rng(0).choice(WORDS, (400, 9))]
    tfidf, rows = fit_transform(hash_column(texts, NgramConfig(word_ngrams=(1, 2), char_ngrams=None)))
    targets_NC = np.eye(2, dtype=np.float32)[np.arange(400) % 3 % 2]
    matrix_NV = dense(rows, len(tfidf.keys))
    found = top_terms_by_class(rows, targets_NC, tfidf, num_terms=num_terms)
    for best, member_N in zip(found, targets_NC.T > 0, strict=True):
        score_V = matrix_NV[member_N].mean(axis=0) - matrix_NV[~member_N].mean(axis=0)
        expected = np.sort(score_V[score_V > 0])[::-1][:num_terms]
        assert [score for _, score in best] == pytest.approx(expected.tolist(), rel=1e-4)
        known = dict(zip(tfidf.keys.tolist(), score_V.tolist(), strict=True))
        assert [known[key] for key, _ in best] == pytest.approx(expected.tolist(), rel=1e-4)


def test_rows_of_any_hashes_work() -> None:
    hashes = Ragged(np.array([7, 7, 2**64 - 1, 0, 0, 0], dtype=np.uint64), np.array([0, 3, 3, 6]))
    tfidf, rows = fit_transform(hashes)
    assert tfidf.keys.tolist() == [0, 7, 2**64 - 1]
    assert rows.indices.tolist() == [1, 2, 0]
    assert rows.values[0] == pytest.approx(2 * rows.values[1])
