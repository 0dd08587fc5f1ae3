"""Heads and relations stay side by side: taken, gathered, written, read, activated and averaged as one."""

import numpy as np
import polars as pl
import pytest

from yanmo.answers.arcs import Arcs, Word
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.combine.averaging import average

LENGTHS = np.array([2, 0, 3])
ENDS = np.array([0, 2, 2, 5])
CELLS = np.concatenate(([0], np.cumsum(np.repeat(LENGTHS + 1, LENGTHS))))
PLACES = np.array([[0, 2], [3, 4], [0, 1], [2, 3], [4, 9]])


def arcs(seed):
    generator = np.random.default_rng(seed)
    values_K = generator.normal(size=CELLS[-1]).astype(np.float32)
    values_K[CELLS[:-1] + np.array([1, 2, 1, 2, 3])] = -np.inf
    heads = Pointers(values_K, CELLS, ENDS, PLACES)
    relations = Choices(generator.normal(size=(5, 4)).astype(np.float32), SOFTMAX, ENDS, PLACES)
    return Arcs(heads, relations)


def test_rows_are_taken_from_both_forms():
    taken = arcs(0).take(np.array([2, 0]))
    assert taken.offsets_N.tolist() == [0, 3, 5]
    assert taken.heads.ends.tolist() == taken.relations.offsets_N.tolist()
    assert (taken.relations.values_MC == arcs(0).relations.values_MC[[2, 3, 4, 0, 1]]).all()
    assert taken.places.tolist() == PLACES[[2, 3, 4, 0, 1]].tolist()


def test_arcs_come_back_from_a_file_as_they_were(tmp_path):
    ours = arcs(1).activate()
    pl.DataFrame(ours.columns()).write_parquet(tmp_path / "arcs.parquet")
    theirs = Arcs.read(pl.read_parquet(tmp_path / "arcs.parquet"), SOFTMAX)
    assert theirs.distance_N(ours).tolist() == [0, 0, 0]
    assert theirs.offsets_N.tolist() == ENDS.tolist()


def test_gathered_rows_stand_at_their_numbers():
    ours = arcs(2)
    parts = [(rows, ours.take(rows)) for rows in (np.array([2]), np.array([1, 0]))]
    assert Arcs.gathered(parts).distance_N(ours).tolist() == [0, 0, 0]


def test_the_distance_is_the_larger_one_of_both_forms():
    ours = arcs(3).activate()
    heads_K, relations_MC = (values.copy() for values in ours.parts())
    relations_MC[3, 0] += 0.25
    heads_K[0] += 0.5
    assert ours.distance_N(ours.with_parts(heads_K, relations_MC)).tolist() == pytest.approx([0.5, 0, 0.25])


def test_the_mean_of_two_is_that_of_their_heads_and_relations_and_decides_trees():
    both = [arcs(seed).activate() for seed in (4, 5)]
    mean = average(both, [0.5, 0.5])
    np.testing.assert_allclose(mean.heads.values_K, (both[0].heads.values_K + both[1].heads.values_K) / 2, rtol=1e-6)
    assert len(mean.trees_M()) == 5


def test_a_word_says_what_stands_at_its_place():
    assert Word(2, 5, 0, "root", 0.5).within("a bcd e").text == "bcd"
