"""The way back through what a search has kept: its very first unit belongs to it."""

import numpy as np

from yanmo.text.pair_search import _Nodes, _units_of


def test_a_hypothesis_of_the_first_unit_alone_has_it():
    nodes = _Nodes([], [])
    first = nodes.add(np.array([7]), np.array([-1]))
    assert _units_of(first, nodes) == [[7]]
    second = nodes.add(np.array([4, 5]), np.array([0, -1]))
    assert _units_of(second, nodes) == [[7, 4], [5]]
