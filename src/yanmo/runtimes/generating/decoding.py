"""What may be wished of a text that is written: how the next token is chosen, and when it ends; it knows no model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec import Struct
from msgspec.structs import replace

from yanmo.arrays import FloatArray

__all__ = ["Constraint", "Decoding", "seed_of"]

WORD = 2**64
GOLDEN = 0x9E3779B97F4A7C15


class Decoding(Struct, frozen=True, kw_only=True):
    """How one row is continued.

    What changes scores does so in this order: bias, penalties, constraint, temperature, top_k, top_p, min_p.

    Attributes:
        max_new_tokens: The most tokens that are written.
        temperature: Scores are divided by it; 0 always takes the best token.
        top_k: Only so many of the best tokens; 0: all.
        top_p: Only the best tokens that together have this probability; 1: all.
        min_p: Only tokens with this share of the best one's probability; 0: all.
        repetition_penalty: Scores of tokens in prompt or text are divided by it, negative ones multiplied; 1: not.
        presence_penalty: Taken from scores of tokens that are in the text; 0: nothing.
        frequency_penalty: Taken from scores of tokens for each time that they are in the text; 0: nothing.
        bias: Token to what is added to its score.
        end_ids: Tokens that end the text.
        seed: Of all choices.
        num_top: For so many of the best tokens their log-likelihoods are told, too.
        num_guessed: So many tokens are guessed at a time, from what follows the same words earlier or by a draft, while
            the row is alone; 0: as many as the draft usually does.
    """

    max_new_tokens: int = 128
    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    bias: Mapping[int, float] = {}
    end_ids: frozenset[int] = frozenset()
    seed: int = 0
    num_top: int = 0
    num_guessed: int = 0

    def of_text(self, number: int) -> Decoding:
        """Return the wishes of one of several texts behind a prompt: each but the first has a seed of its own."""
        return replace(self, seed=seed_of(self.seed, number)) if number else self

    @property
    def penalizes(self) -> bool:
        """Whether what was written changes scores."""
        return self.repetition_penalty != 1 or self.presence_penalty != 0 or self.frequency_penalty != 0

    @property
    def filters(self) -> bool:
        """Whether some tokens are left out."""
        return self.top_k > 0 or self.top_p < 1 or self.min_p > 0


class Constraint(Protocol):
    """What a text must be, such as JSON of some form: it is told every token, and says which may come next."""

    def forbid(self, scores_V: FloatArray) -> None:
        """Make the scores of tokens that may not come next minus infinity, in place."""
        ...

    def accept(self, token: int) -> bool:
        """Take a token, and return whether the text is whole now and nothing may follow."""
        ...


def seed_of(seed: int, *numbers: int) -> int:
    """Return a seed of its own for one of several texts, and for one of its steps; it has 64 bits.

    Source: Steele, Lea, Flood 2014, "Fast Splittable Pseudorandom Number Generators", figure 16 (the finalizer).
    """
    mixed = _mix(seed % WORD)
    for number in numbers:
        mixed = _mix((mixed + GOLDEN * (number + 1)) % WORD)
    return mixed


def _mix(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) % WORD
    return word ^ (word >> 31)
