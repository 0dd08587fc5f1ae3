"""Guessed tokens: what they are, and that they change no text."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.generator import Generator
from yanmo.runtimes.generating.guessing import LONGEST, guess_tokens

PROMPT = [*range(10, 30), *range(10, 18)]


@given(tokens=st.lists(st.integers(0, 3), min_size=1, max_size=30), count=st.integers(1, 6))
def test_a_guess_is_what_followed_the_longest_end_that_stood_before(tokens, count):
    found = guess_tokens(tokens, count)
    for length in range(LONGEST, 0, -1):
        end = tokens[-length:]
        starts = [place for place in range(len(tokens) - length) if tokens[place : place + length] == end]
        if starts and length <= len(tokens):
            assert found == tokens[starts[-1] + length : starts[-1] + length + count]
            return
    assert found == []


def write(session, prompt, decoding, constraint=None):
    generator = Generator(session)
    row = generator.begin(prompt, decoding, constraint=constraint)
    num_steps = 0
    while not generator.is_idle:
        generator.step()
        num_steps += 1
    return row, num_steps


@pytest.mark.parametrize(
    "decoding",
    [
        Decoding(max_new_tokens=20, temperature=0),
        Decoding(max_new_tokens=20, seed=4, top_k=20, repetition_penalty=1.1),
        Decoding(max_new_tokens=1000, temperature=0),
    ],
    ids=["greedy", "drawn", "to the end of the room"],
)
@pytest.mark.parametrize("num_guessed", [1, 5])
def test_a_text_is_the_same_with_guesses(session, decoding, num_guessed):
    # So likely that a text goes on as it did before.
    bias = dict.fromkeys(PROMPT[:4], 30.0)
    decoding = replace(decoding, bias=bias)
    plain, num_plain = write(session, PROMPT, decoding)
    guessed, num_guessing = write(session, PROMPT, replace(decoding, num_guessed=num_guessed))
    same = np.array(plain.ids) == np.array(guessed.ids)
    # The last bits of 8-bit products differ, and with them now and then a token.
    assert same.all() or session.is_int8
    assert len(plain.ids) == len(guessed.ids)
    assert plain.ending == guessed.ending
    assert num_guessing < num_plain


class Dictated:
    """A text that is given."""

    def __init__(self, tokens):
        self._left = list(tokens)

    def forbid(self, scores_V):
        kept = scores_V[self._left[0]]
        scores_V[:] = -np.inf
        scores_V[self._left[0]] = kept

    def accept(self, token):
        return not (self._left.pop(0) == token and self._left)


def test_of_several_guesses_all_that_are_right_are_kept(session):
    text = PROMPT[8:20] + PROMPT[:8]
    steps = []
    for count in (0, 4):
        decoding = Decoding(max_new_tokens=20, temperature=0, num_guessed=count)
        row, num_steps = write(session, PROMPT, decoding, Dictated(text))
        assert row.ids == text
        steps.append(num_steps)
    # The prompt gives the first token, and each step five: four that were guessed, and the one behind them.
    assert steps[0] - steps[1] == 19 - 4


def test_guesses_that_are_wrong_cost_no_token(session):
    decoding = Decoding(max_new_tokens=12, temperature=0, bias=dict.fromkeys(range(10, 30), -100.0))
    plain, _ = write(session, PROMPT, decoding)
    guessed, _ = write(session, PROMPT, replace(decoding, num_guessed=4))
    assert guessed.log_likelihoods == pytest.approx(plain.log_likelihoods, abs=0.3)
    assert guessed.ids == plain.ids or session.is_int8
