"""The split: disjoint, stratified, seeded, equal texts on one side."""

from __future__ import annotations

import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data.prepare_config import PrepareConfig
from yanmo.data.split import check_labels, cut_folds, cut_splits, leaks, strata
from yanmo.errors import DataError

RATIOS = {"valid": 0.1, "test": 0.2}
GOLDEN = {0: "test", 9: "test", 10: "valid", 11: "test", 13: "valid", 14: "test"}
"""Where texts go that are not for training, by place."""


def table(keys: list[str], labels: list[str] | list[list[str]], split: str = "train") -> pl.DataFrame:
    lines = list(range(1, len(keys) + 1))
    return pl.DataFrame({"key": keys, "label": labels, "_line": lines}).with_columns(
        pl.lit(split).alias("split"), pl.lit("a.csv").alias("_file")
    )


ROWS = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3)), min_size=1, max_size=150)


@settings(max_examples=80, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 5))
def test_equal_texts_stay_together_and_the_same_seed_gives_the_same_split(
    rows: list[tuple[int, int]], seed: int
) -> None:
    frame = table([f"k{key}" for key, _ in rows], [f"c{label}" for _, label in rows])
    split = cut_splits(frame, RATIOS, seed)
    assert split.to_list() == cut_splits(frame, RATIOS, seed).to_list()
    assert set(split.unique()) <= {"train", "valid", "test"}
    assert frame.with_columns(split.alias("split")).group_by("key").agg(pl.col("split").n_unique())["split"].max() == 1


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 5))
def test_train_has_every_label_of_the_cut_splits(rows: list[tuple[int, int]], seed: int) -> None:
    frame = table([f"k{key}" for key, _ in rows], [f"c{label}" for _, label in rows])
    parts = frame.with_columns(cut_splits(frame, RATIOS, seed).alias("split"))
    assert set(parts["label"]) == set(parts.filter(pl.col("split") == "train")["label"])


@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.integers(1, 80), min_size=1, max_size=6), seed=st.integers(0, 5))
def test_ratios_hold_within_every_class(sizes: list[int], seed: int) -> None:
    labels = [f"c{index}" for index, size in enumerate(sizes) for _ in range(size)]
    frame = table([f"k{index}" for index in range(len(labels))], labels)
    parts = frame.with_columns(cut_splits(frame, RATIOS, seed).alias("split"))
    for index, size in enumerate(sizes):
        counts = dict(parts.filter(pl.col("label") == f"c{index}")["split"].value_counts().iter_rows())
        if size < 3:
            assert counts == {"train": size}
        else:
            assert abs(counts["valid"] - max(1, 0.1 * size)) <= 0.5
            assert abs(counts["test"] - max(1, 0.2 * size)) <= 0.5
            assert counts["train"] >= 1


def test_another_seed_gives_another_split() -> None:
    frame = table([f"k{index}" for index in range(100)], ["a", "b"] * 50)
    assert cut_splits(frame, RATIOS, 1).to_list() != cut_splits(frame, RATIOS, 2).to_list()


def test_large_ratios_leave_a_text_in_train() -> None:
    frame = table(["k1", "k2", "k3"], ["a", "a", "a"])
    assert sorted(cut_splits(frame, {"valid": 0.49, "test": 0.5}, 1).to_list()) == ["test", "train", "valid"]


def test_given_splits_are_left_alone() -> None:
    frame = pl.concat([table([f"k{i}" for i in range(40)], ["a", "b"] * 20), table(["t1", "t2"], ["a", "b"], "test")])
    split = cut_splits(frame, {"valid": 0.25}, 1)
    assert split.to_list()[-2:] == ["test", "test"]
    assert split.value_counts().sort("split").rows() == [("test", 2), ("train", 30), ("valid", 10)]
    assert cut_splits(frame, {}, 1).to_list() == frame["split"].to_list()


def test_small_classes_stay_in_train_and_are_named(caplog: pytest.LogCaptureFixture) -> None:
    frame = table([f"k{index}" for index in range(22)], ["a"] * 20 + ["rare"] * 2)
    with caplog.at_level(logging.WARNING):
        split = cut_splits(frame, RATIOS, 1)
    assert split.to_list()[-2:] == ["train", "train"]
    assert "With fewer than 3 distinct texts, and so in train alone: rare." in caplog.text


def test_too_few_texts_without_labels_stay_in_train_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    assert set(cut_splits(table(["x", "y"], ["", ""]), RATIOS, 1)) == {"train"}
    assert caplog.messages == ["All texts are in train: fewer than 3 distinct ones cannot be cut."]


def test_multi_label_rows_are_stratified_by_their_rarest_label() -> None:
    labels = pl.Series([["a", "b"], ["a"], [], ["b", "c"], ["a"]])
    assert strata(labels).to_list() == ["b", "a", "", "c", "a"]


def test_multi_label_keeps_every_label_in_train() -> None:
    labels = [["common", f"rare{index % 4}"] for index in range(40)] + [["lonely", "rare0"]] * 3
    frame = table([f"k{index}" for index in range(43)], labels)
    parts = frame.with_columns(cut_splits(frame, {"valid": 0.4, "test": 0.5}, 3).alias("split"))
    assert set(parts.filter(pl.col("split") == "train")["label"].explode()) == set(frame["label"].explode())
    # What need not go back stays where it is.
    assert set(parts["split"]) == {"train", "valid", "test"}


def test_only_texts_with_a_lost_label_go_back_to_train() -> None:
    # Each text is of the class of its rare label, so those with "common" may all be cut.
    labels = [["common", f"rare{index}"] if first else [f"rare{index}"] for index in range(5) for first in (1, 0, 0, 0)]
    frame = table([f"k{place}" for place in range(20)], labels)
    found = []
    for seed in (5, 6, 7):
        parts = frame.with_columns(cut_splits(frame, {"valid": 0.49}, seed).alias("split"))
        assert "common" in parts.filter(pl.col("split") == "train")["label"].explode()
        found.append(parts["split"].to_list().count("valid"))
    # With one of these seeds they are, and what else was cut stays.
    assert found == [10, 5, 10]


def test_leaks_count_rows_of_valid_and_test_whose_text_is_in_train() -> None:
    frame = pl.concat(
        [table(["x", "y"], ["a", "b"]), table(["x", "x", "z"], ["a"] * 3, "test"), table(["q"], ["a"], "valid")]
    )
    assert leaks(frame) == {"valid": 0, "test": 2}


def test_a_label_of_test_that_train_lacks_is_named_with_its_place() -> None:
    frame = pl.concat([table(["x", "y"], ["a", "b"]), table(["z", "w", "v"], ["a", "new", "new"], "test")])
    with pytest.raises(DataError) as caught:
        check_labels(frame)
    assert caught.value.message == "Labels of valid or test that train lacks: 'new' (a.csv line 2)."
    assert caught.value.hint == "Train has: a, b. Correct the label or add rows."


def test_unknown_labels_are_named_in_the_order_of_the_file() -> None:
    names = [f"new{number}" for number in (5, 3, 8, 1, 9, 2)]
    frame = pl.concat([table(["x", "y"], ["a", "b"]), table([f"t{name}" for name in names], names, "test")])
    with pytest.raises(
        DataError,
        match=", ".join(rf"'{name}' \(a.csv line {line}\)" for line, name in enumerate(names[:5], 1)).replace(
            ", ", "; "
        )
        + "; and 1 more",
    ):
        check_labels(frame)


@pytest.mark.parametrize("label", ["only", ["only"]])
def test_one_class_only_is_refused(label: str | list[str]) -> None:
    with pytest.raises(DataError) as caught:
        check_labels(table(["x", "y"], [label, label]))  # type: ignore[list-item]
    assert caught.value.message == "There is one class only: all 2 rows of train have the label 'only'."
    assert caught.value.hint == "Give rows of at least two classes, or name another --label column."


def test_folds_are_stratified_and_keep_equal_texts_together():
    keys = [f"text {place % 90}" for place in range(180)]
    label = pl.Series([["a", "b", "c"][place % 90 % 3] for place in range(180)])
    fold_N = cut_folds(keys, label, 5, seed=1)
    assert fold_N[:90].tolist() == fold_N[90:].tolist()
    for name in "abc":
        counts = np.bincount(fold_N[(label == name).to_numpy()], minlength=5)
        assert counts.max() - counts.min() <= 2, name
    assert cut_folds(keys, label, 5, seed=1).tolist() == fold_N.tolist()
    assert cut_folds(keys, label, 5, seed=2).tolist() != fold_N.tolist()


def test_folds_of_rows_with_many_labels():
    label = pl.Series([["a"], ["a", "b"], [], ["b"]] * 10, dtype=pl.List(pl.String))
    fold_N = cut_folds([str(place) for place in range(40)], label, 4, seed=1)
    assert np.bincount(fold_N).tolist() == [10, 10, 10, 10]


def test_a_seed_gives_the_same_split_in_every_version() -> None:
    split = cut_splits(table([f"k{place}" for place in range(20)], ["a", "b"] * 10), RATIOS, 1).to_list()
    assert {place: name for place, name in enumerate(split) if name != "train"} == GOLDEN
    # The seed of who gives none.
    assert PrepareConfig().seed == 1


def test_what_is_cut_first_leaves_one_for_the_next_and_for_train() -> None:
    split = cut_splits(table(["w", "x", "y", "z"], ["a"] * 4), {"valid": 0.49, "test": 0.49}, 1)
    assert sorted(split) == ["test", "test", "train", "valid"]
