"""The 8-bit form of numpy Bundles: what is packed comes back within a step, hashes as their highest bits."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from yanmo.runtimes.packed import KEY_BITS, pack_columns, pack_keys, pack_positive, unpack

MATRICES = hnp.arrays(
    np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=8), elements=st.floats(-9, 9, width=32)
)


@given(MATRICES)
def test_columns_come_back_within_half_a_step(weight):
    packed = pack_columns("w", weight)
    assert packed["w"].dtype == np.int8
    step = np.abs(weight).max(axis=0) / 127
    assert (np.abs(unpack(packed)["w"] - weight) <= step / 2 + 1e-6).all()


@given(hnp.arrays(np.float32, st.integers(0, 9), elements=st.floats(0, 16, width=32)))
def test_positive_numbers_come_back_within_half_a_step(values):
    packed = pack_positive("idf", values)
    assert packed["idf"].dtype == np.uint8
    assert (np.abs(unpack(packed)["idf"] - values) <= values.max(initial=0) / 510 + 1e-6).all()


@given(st.sets(st.integers(0, 2**64 - 1), max_size=50))
def test_keys_come_back_as_their_highest_bits_in_order(hashes):
    keys = np.array(sorted(hashes), np.uint64)
    packed, rows = pack_keys("keys", keys)
    found = unpack(packed)["keys"]
    expected = sorted({one >> (64 - KEY_BITS) for one in hashes})
    assert found.tolist() == expected
    assert (keys[rows] >> np.uint64(64 - KEY_BITS)).tolist() == expected
    assert packed["keys.low"].nbytes == 2 * len(expected)


def test_other_arrays_are_left_as_they_are():
    plain = {"out.bias": np.arange(3, dtype=np.float32)}
    assert unpack(plain).keys() == plain.keys()
