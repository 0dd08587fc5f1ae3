"""The chain that is learned sums over paths as the one that answers does, and forbids what the tags' scheme forbids."""

import numpy as np
import pytest
import torch

from yanmo.answers.chains import Chain, Steps, log_marginals
from yanmo.modeling.light.label_chain import LabelChain

LABELS = ["B-a", "B-b", "I-a", "I-b", "O"]
LENGTHS = [3, 0, 1, 6]


@pytest.fixture
def chain():
    torch.manual_seed(0)
    made = LabelChain(LABELS)
    with torch.no_grad():
        for one in made.parameters():
            one.normal_()
    return made


def softmax(scores_UC):
    return torch.softmax(torch.as_tensor(scores_UC), dim=1)


def test_torch_and_numpy_sum_to_the_same(chain):
    scores_UC = torch.randn(sum(LENGTHS), len(LABELS), generator=torch.Generator().manual_seed(1)) * 4
    ours = chain(scores_UC, torch.tensor(LENGTHS))
    arrays = chain.arrays()
    offsets = np.concatenate(([0], np.cumsum(LENGTHS)))
    answering = Chain(arrays["transitions"], arrays["start"], arrays["end"])
    theirs = log_marginals(scores_UC.numpy(), Steps.of(offsets), answering)
    torch.testing.assert_close(softmax(ours.detach()), softmax(theirs), atol=1e-5, rtol=0)


def test_a_row_is_what_it_is_alone(chain):
    scores_UC = torch.randn(sum(LENGTHS), len(LABELS), generator=torch.Generator().manual_seed(1))
    together = chain(scores_UC, torch.tensor(LENGTHS))
    alone = [chain(part, torch.tensor([len(part)])) for part in scores_UC.split(LENGTHS) if len(part)]
    torch.testing.assert_close(softmax(together), softmax(torch.cat(alone)), atol=1e-6, rtol=0)


def test_what_no_scheme_allows_is_as_good_as_impossible(chain):
    wanted = torch.full((2, len(LABELS)), -9.0)
    wanted[:, LABELS.index("I-a")] = 9.0
    first, second = softmax(chain(wanted, torch.tensor([2])))
    assert first[LABELS.index("I-a")] < 1e-6
    assert first[LABELS.index("B-a")] + first[LABELS.index("I-b")] > 0.5
    assert second[LABELS.index("I-a")] > 0.9


def test_all_that_may_be_is_learned(chain):
    scores_UC = torch.randn(6, len(LABELS), requires_grad=True)
    softmax(chain(scores_UC, torch.tensor([6])))[:, 0].sum().backward()
    gradients = [scores_UC.grad, *(one.grad for one in chain.parameters())]
    assert all(torch.isfinite(one).all() and one.abs().sum() > 0 for one in gradients)


def test_no_units_have_no_scores(chain):
    assert chain(torch.zeros(0, len(LABELS)), torch.tensor([0, 0])).shape == (0, len(LABELS))
