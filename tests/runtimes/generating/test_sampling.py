"""How the next token is chosen: filters against their definitions, draws against their probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor, TopKLogitsWarper, TopPLogitsWarper

from yanmo.runtimes.generating.decoding import Decoding, seed_of
from yanmo.runtimes.generating.sampling import NOTHING, Chooser, choose_tokens

SIZE = 700


def scores_of(seed, *, scale=2.0, size=SIZE):
    return (np.random.default_rng(seed).normal(size=size) * scale).astype(np.float32)


def draw(scores_V, decoding, num_draws, prompt=(0,)):
    chooser = Chooser(decoding, prompt, len(scores_V))
    found = []
    for _ in range(num_draws):
        found.append(chooser.choose(scores_V))
        chooser.num_drawn += 1
    return np.array(found)


def softmax(scores_V):
    weights = np.exp(scores_V - scores_V.max(), dtype=np.float64)
    return weights / weights.sum()


def expected_probabilities(scores_V, decoding):
    """What transformers would draw from."""
    import torch

    scores = torch.tensor(scores_V)[None] / decoding.temperature
    if decoding.top_k:
        scores = TopKLogitsWarper(decoding.top_k)(None, scores)
    if decoding.top_p < 1:
        scores = TopPLogitsWarper(decoding.top_p)(None, scores)
    if decoding.min_p:
        scores = MinPLogitsWarper(decoding.min_p)(None, scores)
    return softmax(scores[0].numpy())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0.6},
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.1},
        {"temperature": 1.4, "top_k": 50, "top_p": 0.8, "min_p": 0.05},
    ],
    ids=str,
)
def test_draws_have_the_probabilities_of_transformers(options):
    decoding = Decoding(seed=1, **options)
    scores_V = scores_of(0)
    expected = expected_probabilities(scores_V, decoding)
    found = np.bincount(draw(scores_V, decoding, 4000), minlength=SIZE)
    assert found[expected == 0].sum() == 0
    # Rare tokens are taken together, for the test wants some of each.
    common = expected * 4000 >= 5
    observed = [*found[common], found[~common].sum()]
    wanted = [*(expected[common] * 4000), expected[~common].sum() * 4000]
    if wanted[-1] < 1e-6:
        observed, wanted = observed[:-1], wanted[:-1]
    assert len(observed) < 2 or chisquare(observed, wanted).pvalue > 1e-3


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    top_k=st.integers(0, 40),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 1),
    temperature=st.floats(1e-30, 5),
    scale=st.sampled_from([0.0, 0.5, 3.0, 30.0]),
)
def test_what_is_drawn_is_never_left_out(seed, top_k, top_p, min_p, temperature, scale):
    decoding = Decoding(seed=seed, top_k=top_k, top_p=top_p, min_p=min_p, temperature=temperature)
    scores_V = scores_of(seed, scale=scale, size=300)
    ranks = np.argsort(np.argsort(-scores_V, kind="stable"))
    for token in draw(scores_V, decoding, 5):
        assert 0 <= token < 300
        assert not top_k or ranks[token] < top_k
        assert scores_V[token] - scores_V.max() >= temperature * np.log(max(min_p, 1e-38)) - 1e-3


@pytest.mark.parametrize("temperature", [1e-46, 1e-300, 1e-38])
def test_the_least_temperatures_draw_the_best(temperature):
    scores_V = scores_of(0)
    assert draw(scores_V, Decoding(seed=3, temperature=temperature), 3).tolist() == [int(scores_V.argmax())] * 3


def test_penalties_and_bias_are_those_of_their_definitions():
    import torch

    scores_V, prompt = scores_of(3), [4, 9]
    best = int(scores_V.argmax())
    chooser = Chooser(Decoding(temperature=0, repetition_penalty=2.0), prompt, SIZE)
    for _ in range(3):
        chooser.take(chooser.choose(scores_V))
    processed = RepetitionPenaltyLogitsProcessor(2.0)(torch.tensor([[*prompt, best]]), torch.tensor(scores_V)[None])
    assert Chooser(Decoding(temperature=0, repetition_penalty=2.0), [*prompt, best], SIZE).choose(scores_V) == int(
        processed.argmax()
    )
    # A score below zero is made less by a penalty, too.
    assert Chooser(Decoding(temperature=0, repetition_penalty=2.0), [0], 2).choose(np.float32([-1.0, -1.5])) == 1
    greedy = Decoding(temperature=0, bias={7: 100.0})
    assert Chooser(greedy, prompt, SIZE).choose(scores_V) == 7
    order = np.argsort(-scores_V)
    gap = float(scores_V[order[0]] - scores_V[order[1]])
    for name in ("presence_penalty", "frequency_penalty"):
        chooser = Chooser(Decoding(temperature=0, **{name: gap * 0.6}), prompt, SIZE)
        found = []
        for _ in range(3):
            found.append(chooser.choose(scores_V))
            chooser.take(found[-1])
        # Presence is taken off once, frequency each time: only the second reaches the next token.
        assert (found[2] == order[1]) == (name == "frequency_penalty")


def test_a_row_is_chosen_alike_alone_and_in_a_batch():
    logits_BV = np.stack([scores_of(seed) for seed in range(4)])
    decodings = [Decoding(temperature=0), Decoding(seed=1), Decoding(seed=2, top_p=0.5), Decoding(seed=1)]
    together = choose_tokens(logits_BV, [Chooser(one, [0], SIZE) for one in decodings])
    for place, decoding in enumerate(decodings):
        alone = choose_tokens(logits_BV[place : place + 1], [Chooser(decoding, [0], SIZE)])
        assert alone.ids_B[0] == together.ids_B[place]
        assert np.isclose(alone.log_likelihoods_B[0], together.log_likelihoods_B[place], atol=1e-6)
    assert together.best(0, 3)[0][0] == logits_BV[0].argmax()


def test_where_a_constraint_allows_nothing_there_is_no_token():
    class Nothing:
        def forbid(self, scores_V):
            scores_V[:] = -np.inf

        def accept(self, _):
            return False

    assert Chooser(Decoding(), [0], SIZE, Nothing()).choose(scores_of(0)) == NOTHING


def test_seeds_of_texts_and_steps_are_far_apart():
    found = {seed_of(seed, step) for seed in range(50) for step in range(50)} | {seed_of(seed) for seed in range(50)}
    assert len(found) == 50 * 51
    assert np.std([word / 2**64 for word in found]) == pytest.approx(1 / np.sqrt(12), abs=0.01)
