"""What numpy makes of a network's numbers is what the head has learned with, tree by tree, across windows."""

import numpy as np
import pytest

from yanmo.answers.trees import is_tree_N
from yanmo.arrays import Ragged
from yanmo.parsing.biaffine import inner_heads, state_names

torch = pytest.importorskip("torch", reason="torch is not installed")
LENGTHS = np.array([4, 1, 0, 7])
ENDS = np.concatenate(([0], np.cumsum(LENGTHS)))
PLACES = Ragged(np.zeros((12, 2), dtype=np.int64), ENDS)
NUM_RELATIONS = 5


@pytest.fixture(scope="module")
def head():
    from yanmo.modeling.light.biaffine_head import BiaffineHead

    torch.manual_seed(0)
    return BiaffineHead(NUM_RELATIONS).eval()


@pytest.fixture(scope="module")
def states():
    return np.random.default_rng(0).normal(size=(12, len(state_names()))).astype(np.float32)


def test_answers_are_trees_and_probabilities(head, states):
    evidence = head.weights().evidence(states, PLACES).activate()
    assert is_tree_N(evidence.trees_M(), evidence.offsets_N).all()
    np.testing.assert_allclose(Ragged(evidence.heads.values_K, evidence.heads.cells).sums_N(), 1, rtol=1e-5)
    np.testing.assert_allclose(evidence.relations.values_MC.sum(axis=1), 1, rtol=1e-5)


def test_the_loss_of_a_batch_is_that_of_the_answers(head, states):
    evidence = head.weights().evidence(states, PLACES).activate()
    heads, relations = evidence.trees_M(), np.arange(12) % NUM_RELATIONS
    loss = head.loss(*map(torch.from_numpy, (states, heads, relations, LENGTHS[LENGTHS > 0])))
    chosen = evidence.heads.at_M(heads) * evidence.relations.values_MC[np.arange(12), relations]
    assert float(loss.detach()) == pytest.approx(-np.log(chosen).sum(), rel=1e-4)


def test_a_row_has_the_scores_that_it_has_alone(head, states):
    whole = head.weights().evidence(states, PLACES)
    alone = head.weights().evidence(states[5:], Ragged(PLACES.values[5:], np.array([0, 7])))
    assert whole.take(np.array([3])).activate().distance_N(alone.activate()).max() < 1e-6


def test_weights_come_back_from_a_file_as_they_were(head, states):
    ours = head.weights()
    again = type(ours).read(ours.tensors())
    assert ours.num_states == len(state_names())
    assert ours.evidence(states, PLACES).activate().distance_N(again.evidence(states, PLACES).activate()).max() == 0


def test_heads_are_counted_within_their_windows_and_those_in_others_are_left_out():
    # One row of five words in windows of three and two.
    heads = np.array([2, 0, 5, 5, 4])
    assert inner_heads(heads, np.array([0, 5]), np.array([0, 3, 5])).tolist() == [2, 0, -1, 2, 1]
    assert inner_heads(heads, np.array([0, 5]), np.array([0, 5])).tolist() == heads.tolist()


def test_the_first_word_of_the_next_window_is_outside():
    # The heads of the first window are its own last word, the first word behind it, and the root.
    heads = np.array([3, 4, 0, 0, 4])
    assert inner_heads(heads, np.array([0, 5]), np.array([0, 3, 5])).tolist() == [3, -1, 0, 0, 1]


def test_a_word_whose_head_is_elsewhere_teaches_nothing(head, states):
    heads, lengths = torch.tensor([2, 0, 2, -1]), torch.tensor([4])
    losses = [
        head.loss(torch.from_numpy(states[:4]), heads, torch.tensor([0, 0, 0, last]), lengths).item() for last in (0, 1)
    ]
    assert losses[0] == losses[1]
