"""What matters in an encoder: what its loss changes by without the part, and what of it is cut out."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from yanmo.answers.links import SOFTMAX
from yanmo.arrays import Ragged
from yanmo.modeling.features.ragged import Examples, TokenFeatures
from yanmo.modeling.objectives.choices import LOSSES, Labels, row_of_link
from yanmo.modeling.shrinking.cutting import cut_parts
from yanmo.modeling.shrinking.pruning import choose_layers, choose_parts, measure_importance

LOSS = row_of_link(LOSSES, SOFTMAX)
LENGTHS = [5, 9, 3, 7, 8, 4]
NUM_HEADS, WIDTH, NEURONS = 4, 8, 16
STEP = 1e-4


@pytest.fixture
def module():
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_attention_heads": NUM_HEADS, "intermediate_size": NEURONS}
    config = BertConfig(vocab_size=50, num_hidden_layers=3, num_labels=2, initializer_range=0.3, **sizes)
    return BertForSequenceClassification(config).eval()


@pytest.fixture(scope="module")
def examples():
    generator = np.random.default_rng(0)
    offsets = np.array([0, *np.cumsum(LENGTHS)], dtype=np.int64)
    ids = Ragged(generator.integers(1, 50, offsets[-1]), offsets)
    targets_NC = np.eye(2, dtype=np.float32)[generator.integers(2, size=len(LENGTHS))]
    return Examples(TokenFeatures(ids), Labels(targets_NC))


def loss_of(module, examples):
    """Return the mean loss as transformers computes it."""
    with torch.no_grad():
        logits_BC = module(**examples.features.collate(np.arange(len(examples)))).logits
    return nn.functional.cross_entropy(
        logits_BC, torch.from_numpy(examples.targets.values_NC).to(logits_BC.dtype)
    ).item()


def slope(module, examples, columns):
    """Return how fast the loss changes, in magnitude, as columns of a weight are scaled."""
    losses = []
    for factor in (1 + STEP, 1 - STEP):
        kept = columns.clone()
        columns *= factor
        losses.append(loss_of(module, examples))
        columns.copy_(kept)
    return abs(losses[0] - losses[1]) / (2 * STEP)


def outputs(module):
    """Return of every layer the columns that read each head, and those that read each neuron."""
    for layer in module.bert.encoder.layer:
        heads = layer.attention.output.dense.weight.data.split(WIDTH, dim=1)
        yield heads, layer.output.dense.weight.data.split(1, dim=1)


def test_taylor_is_the_slope_of_the_loss_along_each_part(module, examples):
    found = measure_importance(module, examples, LOSS, "taylor")
    exact = copy.deepcopy(module).double()
    for place, parts in enumerate(outputs(exact)):
        for kind, columns in enumerate(parts):
            slopes = np.array([slope(exact, examples, one) for one in columns])
            assert found[kind][place] == pytest.approx(slopes / np.linalg.norm(slopes), abs=1e-4)
            assert found[kind][place].std() > 0.05


def test_magnitude_is_the_size_of_each_parts_weights(module, examples):
    found = measure_importance(module, examples, LOSS, "magnitude")
    for place, parts in enumerate(outputs(module)):
        for kind, columns in enumerate(parts):
            sizes = np.array([one.square().sum().item() for one in columns])
            assert found[kind][place] == pytest.approx(sizes / np.linalg.norm(sizes), rel=1e-5)


def test_the_layers_stay_without_which_the_loss_would_be_most(module, examples):
    whole = module.bert.encoder.layer
    losses = []
    for place in range(3):
        module.bert.encoder.layer = nn.ModuleList([one for number, one in enumerate(whole) if number != place])
        losses.append(loss_of(module, examples))
    module.bert.encoder.layer = whole
    kept = choose_layers(module, examples, LOSS, 1)
    assert kept == [place for place in range(3) if place != int(np.argmin(losses))]
    assert len(module.bert.encoder.layer) == 3


def test_widths_stay_multiples_of_sixteen():
    generator = np.random.default_rng(0)
    matters = tuple([generator.random(count, dtype=np.float32) for _ in range(4)] for count in (12, 1248))
    for is_uniform in (True, False):
        cut = choose_parts(matters, head_width=26, heads=0.5, neurons=0.6, is_uniform=is_uniform)
        assert all(26 * len(heads) % 16 == 0 or len(heads) == 12 for heads in cut.heads)
        assert all(len(neurons) % 16 == 0 for neurons in cut.neurons)
        for part, kept in zip((*matters[0], *matters[1]), (*cut.heads, *cut.neurons), strict=True):
            assert sorted(np.argsort(-part)[: len(kept)].tolist()) == kept
    lengths = {len(neurons) for neurons in cut.neurons}
    assert len(lengths) > 1
    assert sum(map(len, cut.neurons)) == pytest.approx(0.4 * 4 * 1248, rel=0.02)


def test_parts_that_nothing_reads_go_and_the_answers_stay(module, examples):
    for heads, neurons in outputs(module):
        for column in (heads[1], heads[2], *neurons[8:]):
            column.zero_()
    before = loss_of(module, examples)
    for kind in ("taylor", "magnitude"):
        smaller = copy.deepcopy(module)
        matters = measure_importance(smaller, examples, LOSS, kind)
        cut = choose_parts(matters, head_width=WIDTH, heads=0.5, neurons=0.0, is_uniform=True)
        assert cut.heads == [[0, 3]] * 3
        cut_parts(smaller, cut)
        assert loss_of(smaller, examples) == pytest.approx(before, abs=1e-5)
