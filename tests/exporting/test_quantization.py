"""Eight bits: what is kept, what is cut off, and how large the error can be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from yanmo.exporting.quantization import (
    ActivationRange,
    activation_scale,
    quantize_rows,
    quantize_table,
    quantize_weight,
)

VALUES = st.floats(-100, 100, width=32).filter(lambda value: value == 0 or abs(value) > 1e-6)
MATRICES = hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=VALUES)
GRANULARITIES = st.sampled_from(["per-channel", "per-tensor"])
CLIPPINGS = st.sampled_from(["max", "mse", "percentile"])
QUICK = settings(max_examples=60, deadline=None)


def squared_error(weight_KN, values_KN, scale_N):
    return np.square(weight_KN - values_KN * scale_N.astype(np.float64)).sum(axis=0)


@QUICK
@given(MATRICES, GRANULARITIES, CLIPPINGS, st.booleans())
def test_integers_stay_in_their_bits_and_signs_stay(weight_KN, granularity, clipping, reduce_range):
    values_KN, scale_N = quantize_weight(
        weight_KN, granularity=granularity, clipping=clipping, reduce_range=reduce_range
    )
    assert values_KN.dtype == np.int8
    assert values_KN.shape == weight_KN.shape
    assert scale_N.dtype == np.float32
    assert scale_N.shape == ((weight_KN.shape[1],) if granularity == "per-channel" else (1,))
    assert (scale_N > 0).all()
    assert np.abs(values_KN.astype(int)).max() <= (64 if reduce_range else 127)
    assert (np.sign(values_KN) * np.sign(weight_KN) >= 0).all()


@QUICK
@given(MATRICES, GRANULARITIES, st.booleans())
def test_without_clipping_no_weight_is_off_by_more_than_half_a_step(weight_KN, granularity, reduce_range):
    values_KN, scale_N = quantize_weight(weight_KN, granularity=granularity, clipping="max", reduce_range=reduce_range)
    assert (np.abs(values_KN * scale_N - weight_KN) <= scale_N * (0.5 + 1e-4)).all()
    top = 64 if reduce_range else 127
    largest = np.abs(weight_KN).max(axis=0) if granularity == "per-channel" else np.abs(weight_KN).max()
    np.testing.assert_allclose(scale_N, np.maximum(largest / top, 1e-30), rtol=1e-6)


@QUICK
@given(MATRICES, GRANULARITIES, st.booleans())
def test_the_search_never_has_more_error_than_no_clipping(weight_KN, granularity, reduce_range):
    def error(clipping):
        values_KN, scale_N = quantize_weight(
            weight_KN, granularity=granularity, clipping=clipping, reduce_range=reduce_range
        )
        return squared_error(weight_KN, values_KN, scale_N).sum()

    assert error("mse") <= error("max") * (1 + 1e-4) + 1e-9


def test_the_search_gives_up_an_outlier_where_that_is_less_error():
    weight_KN = np.random.default_rng(0).normal(0, 1, (20_000, 3)).astype(np.float32)
    weight_KN[7] = [9.0, -9.0, 9.0]
    values_KN, scale_N = quantize_weight(weight_KN, granularity="per-channel", clipping="mse", reduce_range=True)
    plain = quantize_weight(weight_KN, granularity="per-channel", clipping="max", reduce_range=True)
    assert values_KN[7].tolist() == [64, -64, 64]
    assert (scale_N * 64 > 4).all()
    assert (scale_N * 64 < 7).all()
    assert (squared_error(weight_KN, values_KN, scale_N) < 0.8 * squared_error(weight_KN, *plain)).all()


def test_a_column_with_an_outlier_spoils_only_itself():
    weight_KN = np.random.default_rng(0).normal(0, 0.1, (50, 4)).astype(np.float32)
    weight_KN[7, 2] = 100.0
    errors = {}
    for granularity in ("per-channel", "per-tensor"):
        values_KN, scale_N = quantize_weight(weight_KN, granularity=granularity, clipping="max", reduce_range=False)
        errors[granularity] = np.abs(values_KN * scale_N - weight_KN).max(axis=0)
    assert (np.delete(errors["per-channel"], 2) < 0.002).all()
    assert (errors["per-tensor"] > 0.1).all()


def test_the_percentile_cuts_off_the_outlier():
    weight_KN = np.random.default_rng(0).normal(0, 0.1, (200, 200)).astype(np.float32)
    weight_KN[7, 2] = 100.0
    values_KN, scale_1 = quantize_weight(weight_KN, granularity="per-tensor", clipping="percentile", reduce_range=False)
    assert values_KN[7, 2] == 127
    limit = np.percentile(np.abs(weight_KN), 99.99)
    np.testing.assert_allclose(scale_1, [limit / 127], rtol=1e-5)
    assert limit < 0.6
    rest = np.abs(weight_KN) <= limit
    assert np.abs(values_KN * scale_1 - weight_KN)[rest].max() <= scale_1[0] * 0.501


@pytest.mark.parametrize("clipping", ["max", "mse", "percentile"])
def test_a_column_of_zeros_stays_zero(clipping):
    weight_KN = np.zeros((6, 3), np.float32)
    weight_KN[:, 1] = 1.0
    values_KN, scale_N = quantize_weight(weight_KN, granularity="per-channel", clipping=clipping, reduce_range=True)
    np.testing.assert_allclose(values_KN * scale_N, weight_KN, rtol=1e-6)


@QUICK
@given(MATRICES)
def test_every_row_of_a_table_has_a_scale_of_its_own(table_VE):
    found = quantize_table(table_VE, clipping="max")
    assert found.values_VE.dtype == np.int8
    assert found.scale_V1.shape == (len(table_VE), 1)
    scale_V1 = found.scale_V1.astype(np.float32)
    assert (np.abs(found.values_VE * scale_V1 - table_VE) <= scale_V1 * (0.5 + 1e-4)).all()
    largest_V = np.abs(found.values_VE.astype(int)).max(axis=1)[np.abs(table_VE).max(axis=1) > 0]
    assert (largest_V >= 126).all()  # 127, or 126 where rounding up to float16 made the steps up to 1 % larger


def test_scales_are_float16_where_that_is_as_good():
    """float16 has nothing above 65,504 and few numbers below 1e-6; rows of zeros do not matter."""
    table_VE = np.random.default_rng(0).normal(0, 0.02, (50, 8)).astype(np.float32)
    table_VE[0] = 0
    for factor, kind in ((1, np.float16), (1e-6, np.float32), (1e9, np.float32)):
        found = quantize_table(table_VE * np.float32(factor), clipping="max")
        exact_V1 = np.abs(table_VE * factor).max(axis=1, keepdims=True) / 127
        assert found.scale_V1.dtype == kind
        assert (found.scale_V1 >= exact_V1 * (1 - 1e-6)).all()
        assert (found.scale_V1[1:] <= exact_V1[1:] * 1.01).all()
        assert not found.values_VE[0].any()


@pytest.mark.parametrize(("shape", "channel"), [((4, 3, 5), 0), ((2, 12, 7), 1)])
def test_arrays_of_any_shape_have_a_scale_for_each_place_of_one_axis(shape, channel):
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    values, scale = quantize_rows(weight, channel=channel)
    assert scale.shape == tuple(size if axis == channel else 1 for axis, size in enumerate(shape))
    assert np.abs(values * scale - weight).max() <= scale.max() * 0.501
    assert np.abs(values.astype(int)).max() == 127


@QUICK
@given(VALUES, VALUES, st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_activations_cover_their_range_and_hold_zero_exactly(one, other, shares):
    low, high = min(one, other), max(one, other)
    scale, zero = activation_scale(ActivationRange(low, high))
    assert scale > 0
    assert 0 <= zero <= 255
    seen = np.array([0.0, low, high, *(low + share * (high - low) for share in shares)])
    whole = np.clip(np.rint(seen / scale) + zero, 0, 255)
    again = (whole - zero) * scale
    assert again[0] == 0.0
    assert np.abs(again - seen).max() <= scale * 1.001


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (ActivationRange(-1.0, 1.55), (0.01, 100)),
        (ActivationRange(0.0, 2.55), (0.01, 0)),
        (ActivationRange(1.0, 2.55), (0.01, 0)),
        (ActivationRange(-2.55, -1.0), (0.01, 255)),
        (ActivationRange(0.0, 0.0), (1e-30, 0)),
    ],
)
def test_activation_scales_by_hand(seen, expected):
    scale, zero = activation_scale(seen)
    assert scale == pytest.approx(expected[0], rel=1e-6)
    assert zero == expected[1]


def sums_in_16_bits(rows_MK, weight_KN):
    """Return the product as processors without VNNI compute it: sums of two products are cut off at 16 bits."""
    pairs = rows_MK.astype(np.int32)[:, :, None] * weight_KN.astype(np.int32)[None]
    sums = np.clip(pairs[:, 0::2] + pairs[:, 1::2], -(2**15), 2**15 - 1)
    return sums.sum(axis=1)


@QUICK
@given(
    hnp.arrays(np.uint8, (3, 8), elements=st.sampled_from([0, 1, 128, 254, 255])),
    hnp.arrays(np.float32, (8, 4), elements=st.sampled_from([-1.0, 1.0, 0.5, -0.99, 0.0])),
)
def test_seven_bits_are_exact_on_processors_without_vnni(rows_MK, weight_KN):
    values_KN, _ = quantize_weight(weight_KN, granularity="per-channel", clipping="max", reduce_range=True)
    exact_MN = rows_MK.astype(np.int32) @ values_KN.astype(np.int32)
    np.testing.assert_array_equal(sums_in_16_bits(rows_MK, values_KN), exact_MN)


def test_eight_bits_are_not():
    values_KN, _ = quantize_weight(
        np.ones((8, 1), np.float32), granularity="per-channel", clipping="max", reduce_range=False
    )
    rows_MK = np.full((1, 8), 255, np.uint8)
    assert sums_in_16_bits(rows_MK, values_KN) == 4 * (2**15 - 1)
    assert rows_MK.astype(np.int32) @ values_KN.astype(np.int32) == 4 * 2 * 255 * 127
