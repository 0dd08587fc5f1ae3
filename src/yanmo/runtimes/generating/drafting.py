"""Tokens that may come next, foreseen by a small model that cuts texts as the large one does; it knows no bundle.

What a text is does not depend on it: a token that is foreseen is kept where the large model chooses the same. A decoder
draws with the seed of the step that it foresees, so where both models think alike they mostly draw alike.

Source: Leviathan, Kalman, Matias 2023, "Fast Inference from Transformers via Speculative Decoding", section 2.1,
arXiv:2211.17192.
Differs: a token is kept where it is the one that the large model draws with the same random number, and not with a
probability of its own. So one seed gives one text with any draft, and more tokens are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.guessing import guess_tokens
from yanmo.runtimes.generating.sampling import Chooser
from yanmo.text.backoff_states import BackoffStates, NgramStates
from yanmo.text.ngram_language_model import NgramLanguageModel

__all__ = ["DecoderDraft", "Draft", "LookUp", "NgramDraft"]


MOST_KEPT = 50_000
"""Contexts that n-grams remember."""
FORESEEN = 4
"""Tokens at a time: more are seldom all right."""


class Draft(Protocol):
    """What foresees tokens."""

    @property
    def usual_count(self) -> int:
        """Tokens that are foreseen at a time where nobody says how many."""
        ...

    def foresee(self, tokens: Sequence[int], count: int, chooser: Chooser) -> list[int]:
        """Return tokens that may follow, at most so many.

        Args:
            tokens: Prompt and text.
            count: At least 1.
            chooser: What is wished of the row.
        """
        ...


class LookUp:
    """What followed the same tokens earlier in the same text; only where that is wished."""

    usual_count = 0

    def foresee(self, tokens: Sequence[int], count: int, chooser: Chooser) -> list[int]:  # noqa: ARG002 - one signature
        """Return what followed the last tokens before."""
        return guess_tokens(tokens, count)


class NgramDraft:
    """Counted n-grams.

    Args:
        model: Of the large model's tokens.
    """

    usual_count = FORESEEN

    def __init__(self, model: NgramLanguageModel) -> None:
        self._states = BackoffStates(model.model)
        self._order, self._size = model.order, model.tokenizer.vocab_size
        self._begin = model.tokenizer.end_id
        # Text comes back to the same contexts, and what was found is found again: the state of each, and of each state
        # the likeliest token with what it leads to.
        self._known: dict[tuple[int, ...], NgramStates] = {}
        self._likeliest: dict[tuple[int, int], tuple[int, NgramStates]] = {}

    def foresee(self, tokens: Sequence[int], count: int, chooser: Chooser) -> list[int]:  # noqa: ARG002 - one signature
        """Return what the n-grams hold for the likeliest; drawing from them costs more than it finds."""
        # A table of tokens may be longer than its tokenizer's: of the rest n-grams know nothing.
        if max(tokens[1 - self._order :], default=0) >= self._size:
            return []
        state, found = self._state(tokens), list[int]()
        for _ in range(count):
            token, state = self._next(state)
            found.append(token)
        return found

    def _state(self, tokens: Sequence[int]) -> NgramStates:
        """Return the state behind a text, of which only the last tokens count."""
        context = tuple(tokens[len(tokens) - self._order + 1 :]) if len(tokens) >= self._order else tuple(tokens)
        if context in self._known:
            return self._known[context]
        state = self._states.begin(1)
        for token in context:
            # The mark before a text is the state before anything.
            state = self._states.begin(1) if token == self._begin else self._after(state, token)
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known[context] = state
        return state

    def _next(self, state: NgramStates) -> tuple[int, NgramStates]:
        """Return the likeliest token behind a state, and what it leads to."""
        key = (int(state.orders_H[0]), int(state.places_H[0]))
        if key not in self._likeliest:
            followers = self._states.follow(state, np.array([0]), np.array([self._size]))
            best = int(followers.log_likelihoods_F.argmax())
            if len(self._likeliest) >= MOST_KEPT:
                self._likeliest.clear()
            self._likeliest[key] = (best, followers.states.take(np.array([best])))
        return self._likeliest[key]

    def _after(self, state: NgramStates, token: int) -> NgramStates:
        return self._states.follow(state, np.array([token]), np.array([token + 1])).states


class DecoderDraft:
    """A small decoder with a row of its own.

    Args:
        session: The decoder, which nobody else uses.
    """

    usual_count = FORESEEN

    def __init__(self, session: DecoderSession) -> None:
        self._session = session
        self._read: list[int] = []

    def foresee(self, tokens: Sequence[int], count: int, chooser: Chooser) -> list[int]:
        """Return what the decoder thinks of as next; nothing behind more tokens than it reads."""
        count = min(count, self._session.max_length - len(tokens))
        if count <= 0 or max(tokens) >= self._session.vocabulary_size:
            return []
        known = _num_common(self._read, tokens[:-1])
        unread = list(tokens[known:])
        scores_V = self._session.extend(0, unread, known, wanted_W=np.array([len(unread) - 1]), is_kept=True)[0]
        self._read = list(tokens)
        found = [chooser.foresee(scores_V, 0)]
        for ahead in range(1, count):
            scores_V = self._step(found[-1])
            found.append(chooser.foresee(scores_V, ahead))
        return found

    def _step(self, token: int) -> FloatArray:
        scores_V: FloatArray = self._session.step(np.array([token]), np.array([len(self._read)]))[0]
        self._read.append(token)
        return scores_V


def _num_common(read: Sequence[int], tokens: Sequence[int]) -> int:
    """Return how many tokens two rows have in common from their beginnings on."""
    pairs = zip(read, tokens, strict=False)
    return next((place for place, (ours, theirs) in enumerate(pairs) if ours != theirs), min(len(read), len(tokens)))
