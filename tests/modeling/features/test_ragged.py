"""Batches out of flat arrays, and the order they are read in."""

import numpy as np
import pytest
import torch

from yanmo.arrays import Ragged
from yanmo.modeling.features.ragged import NgramFeatures, TokenFeatures, epoch_batches, sorted_batches


def ragged(*rows):
    values = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
    return Ragged(values, np.cumsum([0, *map(len, rows)]))


def many(num_rows, *, padded=True):
    lengths_N = np.random.default_rng(5).integers(1, 60, num_rows)
    rows = Ragged(np.ones(lengths_N.sum(), dtype=np.int64), np.concatenate(([0], np.cumsum(lengths_N))))
    return TokenFeatures(rows) if padded else NgramFeatures(rows)


def test_tokens_are_padded_on_the_right():
    ids, types = ragged([2, 7, 3], [2, 3], []), ragged([0, 1, 1], [0, 1], [])
    batch = TokenFeatures(ids, types, pad_id=9).collate(np.array([1, 0, 2]))
    assert list(batch) == ["input_ids", "attention_mask", "token_type_ids"]
    assert batch["input_ids"].tolist() == [[2, 3, 9], [2, 7, 3], [9, 9, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1], [0, 0, 0]]
    assert batch["token_type_ids"].tolist() == [[0, 1, 0], [0, 1, 1], [0, 0, 0]]
    assert batch["input_ids"].dtype == torch.int64


def test_a_batch_of_empty_texts_has_one_column():
    assert TokenFeatures(ragged([], [])).collate(np.array([0, 1]))["input_ids"].shape == (2, 1)


def test_ngrams_are_flat_with_offsets():
    batch = NgramFeatures(ragged([5, 6], [], [7])).collate(np.array([2, 1, 0]))
    assert batch["buckets"].tolist() == [7, 5, 6]
    assert batch["offsets"].tolist() == [0, 1, 1]


@pytest.mark.parametrize("padded", [True, False])
def test_an_epoch_reads_every_text_once(padded):
    batches = epoch_batches(many(1003, padded=padded), batch_size=8, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert max(map(len, batches)) == 8


def test_the_order_is_a_function_of_seed_and_epoch():
    features = many(500)

    def order(seed, epoch):
        return np.concatenate(epoch_batches(features, batch_size=8, seed=seed, epoch=epoch)).tolist()

    assert order(1, 0) == order(1, 0)
    assert order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_grouping_by_length_saves_most_of_the_padding():
    features = many(4000)

    def cells(batches):
        return sum(len(rows_B) * features.lengths_N[rows_B].max() for rows_B in batches)

    tokens = features.lengths_N.sum()
    shuffled = np.array_split(np.random.default_rng(0).permutation(4000), 250)
    grouped = epoch_batches(features, batch_size=16, seed=1, epoch=0)
    assert cells(grouped) < 1.1 * tokens < cells(shuffled)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize(("budget", "most"), [(1, 1), (200, 16), (10_000, 16)])
def test_a_budget_of_tokens_holds_for_every_batch_and_an_epoch_reads_every_text_once(padded, budget, most):
    features = many(1003, padded=padded)
    batches = epoch_batches(features, batch_size=16, batch_tokens=budget, seed=1, epoch=0)
    assert sorted(np.concatenate(batches).tolist()) == list(range(1003))
    assert 1 <= min(map(len, batches)) <= max(map(len, batches)) <= most
    lengths = [features.lengths_N[rows_B] for rows_B in batches]
    cells = [len(one) * one.max() if padded else one.sum() for one in lengths]
    assert all(count <= budget or len(one) == 1 for count, one in zip(cells, lengths, strict=True))


def test_a_budget_that_all_batches_keep_changes_nothing():
    features = many(500)
    options = {"batch_size": 8, "seed": 1, "epoch": 2}
    plain = epoch_batches(features, **options)
    budgeted = epoch_batches(features, batch_tokens=8 * 60, **options)
    assert [rows_B.tolist() for rows_B in budgeted] == [rows_B.tolist() for rows_B in plain]


def test_evaluation_reads_the_shortest_first():
    features = many(100)
    batches = sorted_batches(features, batch_size=30)
    assert [len(rows_B) for rows_B in batches] == [30, 30, 30, 10]
    assert (np.diff(features.lengths_N[np.concatenate(batches)]) >= 0).all()
