"""The bitmap keeps what was seen often enough, and nearly nothing else."""

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.text.seen import keep_seen, seen_bitmap


@pytest.fixture(scope="module")
def hashes():
    return np.random.default_rng(1).integers(0, 2**64, size=30_000, dtype=np.uint64)


def test_what_was_seen_often_enough_is_kept_and_rows_stay_rows(hashes):
    twice, once = hashes[:10_000], hashes[10_000:20_000]
    bitmap = seen_bitmap(np.concatenate((twice, once, twice)), min_count=2)
    column = Ragged(np.concatenate((twice[:3], once[:50], twice[3:5])), np.array([0, 3, 3, 53, 55]))
    kept = keep_seen(column, bitmap)
    np.testing.assert_array_equal(kept.row(0), twice[:3])
    np.testing.assert_array_equal(kept.row(3), twice[3:5])
    assert len(kept.row(1)) == 0
    assert len(kept.row(2)) < 10


def test_few_unseen_hashes_pass(hashes):
    bitmap = seen_bitmap(hashes[:10_000], min_count=1)
    others = Ragged(hashes[10_000:], np.array([0, 20_000]))
    assert len(keep_seen(others, bitmap).values) < 0.04 * 20_000


def test_no_hashes_give_a_bitmap_that_keeps_nothing():
    bitmap = seen_bitmap(np.zeros(0, np.uint64), min_count=2)
    assert len(keep_seen(Ragged(np.arange(5, dtype=np.uint64), np.array([0, 5])), bitmap).values) == 0
