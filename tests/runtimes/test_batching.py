"""Batches: every row once, no more cells than the budget, results in input order; sums of table rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.errors import ArtifactError
from yanmo.runtimes import row_sums as row_sums_module
from yanmo.runtimes.batching import (
    BATCH_COST,
    FEW_TEXTS,
    TOKEN_BUDGET,
    count_cells,
    infer_batches,
    make_batch,
    plan_batches,
    plan_side_by_side,
)
from yanmo.runtimes.row_sums import row_sums


def ragged(rows, dtype=np.int64):
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.array([value for row in rows for value in row], dtype=dtype), offsets)


@pytest.mark.parametrize("lengths", [[], [0], [5], [0, 0, 0], [3, 9, 1, 9, 40, 2, 0], list(range(50))])
def test_every_row_is_in_one_batch_within_the_budget(lengths):
    lengths_N = np.array(lengths, dtype=np.int64)
    batches = list(plan_batches(lengths_N, token_budget=20))
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    for rows_B in batches:
        assert len(rows_B) == 1 or len(rows_B) * lengths_N[rows_B].max() <= 20


def test_sorting_by_length_wastes_little():
    lengths_N = np.random.default_rng(0).integers(1, 128, 2000)
    cells = sum(len(rows_B) * lengths_N[rows_B].max() for rows_B in plan_batches(lengths_N, 2048))
    assert cells <= 1.05 * lengths_N.sum()


@pytest.mark.parametrize("num_texts", [1, 2, 3, 8, 26, 64, FEW_TEXTS, FEW_TEXTS + 1])
@pytest.mark.parametrize("num_threads", [1, 2, 4])
def test_side_by_side_every_row_is_in_one_batch_and_no_thread_gets_much_more(num_texts, num_threads):
    lengths_N = np.random.default_rng(num_texts).integers(8, 34, num_texts)
    plan = plan_side_by_side(lengths_N, num_threads)
    assert sorted(np.concatenate(plan).tolist()) == list(range(num_texts))
    cells = [len(rows_B) * int(lengths_N[rows_B].max()) for rows_B in plan]
    assert max(cells) <= max(TOKEN_BUDGET, lengths_N.max())
    if num_threads > 1 and 8 * num_threads <= num_texts:
        assert max(cells) <= lengths_N.sum() / num_threads
        assert min(sum(cells[thread::num_threads]) for thread in range(num_threads)) > 0.6 * sum(cells) / num_threads


@pytest.mark.parametrize("seed", range(20))
def test_few_texts_are_divided_at_the_least_cost(seed):
    generator = np.random.default_rng(seed)
    lengths_N = generator.integers(1, 130, generator.integers(1, 9))
    ordered = np.sort(lengths_N)[::-1]
    plan = plan_side_by_side(lengths_N, 1)

    def cost(cuts):
        pieces = np.split(ordered, cuts)
        is_small = all(len(one) == 1 or one.max() * len(one) <= TOKEN_BUDGET for one in pieces)
        return sum(one.max() * len(one) + BATCH_COST for one in pieces) if is_small else np.inf

    places = range(1, len(ordered))
    cheapest = min(cost(cuts) for size in range(len(ordered)) for cuts in combinations(places, size))
    assert count_cells(lengths_N, plan) + BATCH_COST * len(plan) == cheapest


def test_texts_without_any_token_are_few_batches():
    assert len(plan_side_by_side(np.zeros(FEW_TEXTS, np.int64), 2)) <= 4
    assert plan_side_by_side(np.zeros(0, np.int64), 2) == []


def test_a_batch_is_padded_on_the_right():
    batch = make_batch(ragged([[5, 6, 7], [], [8]]), ragged([[0, 0, 1], [], [1]]), np.array([2, 0, 1]), 9)
    assert batch.ids_BT.tolist() == [[8, 9, 9], [5, 6, 7], [9, 9, 9]]
    assert batch.mask_BT.tolist() == [[1, 0, 0], [1, 1, 1], [1, 0, 0]]
    assert batch.token_type_BT.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_results_come_back_in_input_order():
    ids = ragged([[row] * length for row, length in enumerate([3, 1, 7, 2, 7, 5])])
    logits_NC = infer_batches(
        ids,
        None,
        lambda batches: [one.ids_BT[:, :1].astype(np.float32) for one in batches],
        plan=list(plan_batches(ids.lengths_N, 8)),
        pad_id=-1,
        num_classes=1,
    )
    assert logits_NC.ravel().tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("shape", [(0, 2), (2, 4), (2,)])
def test_scores_of_another_shape_are_refused(shape):
    with pytest.raises(ArtifactError) as caught:
        infer_batches(
            ragged([[1], [2]]),
            None,
            lambda _: [np.zeros(shape, np.float32)],
            plan=[np.array([0, 1])],
            pad_id=0,
            num_classes=2,
        )
    assert caught.value.message == (f"The model must give 2 scores for each of 2 texts. Got the shape {shape} instead.")


@pytest.mark.parametrize("numbers", [8, 64, 1 << 18])
@pytest.mark.parametrize("with_weights", [False, True])
def test_row_sums_are_the_sums_of_the_rows(numbers, with_weights, monkeypatch):
    monkeypatch.setattr(row_sums_module, "BUFFER_NUMBERS", numbers)
    generator = np.random.default_rng(0)
    table_FD = generator.standard_normal((50, 4)).astype(np.float32)
    places = ragged([generator.integers(0, 50, size).tolist() for size in (3, 0, 40, 1, 0, 17, 2)])
    weights = generator.random(len(places.values)).astype(np.float32) if with_weights else None
    scaled = np.ones(len(places.values), np.float32) if weights is None else weights
    expected_ND = [
        (table_FD[places.row(row)] * scaled[places.offsets[row] : places.offsets[row + 1], None]).sum(axis=0)
        for row in range(len(places))
    ]
    np.testing.assert_allclose(row_sums(table_FD, places, weights), expected_ND, rtol=0, atol=1e-5)


def test_row_sums_of_one_long_and_of_no_text():
    table_FD = np.ones((3, 2), dtype=np.float32)
    assert row_sums(table_FD, ragged([[0, 1, 2] * 100_000])).tolist() == [[300_000.0, 300_000.0]]
    assert row_sums(table_FD, ragged([[]])).tolist() == [[0.0, 0.0]]
    assert row_sums(table_FD, ragged([])).shape == (0, 2)
