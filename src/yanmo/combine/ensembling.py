"""An ensemble's method at work: members' probabilities in, the ensemble's out; it knows no member and fits nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Protocol

from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray
from yanmo.combine.averaging import average, equal_weights
from yanmo.combine.log_linear import log_average
from yanmo.combine.voting import vote
from yanmo.protocols import Task

__all__ = ["Ensembler", "Stacker"]


class Stacker(Protocol):
    """A fitted second model over the members."""

    def logits(self, members: Iterable[FloatArray]) -> FloatArray:
        """Return logits_NC of K members' probabilities."""
        ...


@dataclass(frozen=True)
class Ensembler:
    """How K members become one; of all methods but stacking whatever the form of their evidence.

    Attributes:
        num_members: K.
        is_vote: The members vote; else they are averaged or stacked.
        weights_K: Of the average, sum 1; of the log-linear pool, any sum.
        stacker: Takes the place of the average if there is one.
        is_log: The members are pooled log-linearly.
    """

    num_members: int
    is_vote: bool = False
    weights_K: Sequence[float] | None = None
    stacker: Stacker | None = None
    is_log: bool = False

    def combine(self, members: Iterable[Any], task: Task[Any]) -> Any:
        """Return the evidence that K members' probabilities become; they are read one after the other."""
        if self.stacker is not None:
            return _stack(members, self.stacker)
        if self.is_vote:
            return vote(members, self.num_members, task.ballots)
        weights_K = self.weights_K or equal_weights(self.num_members)
        if self.is_log:
            return log_average(members, weights_K).activate()
        return average(members, weights_K)

    def without(self, member: int) -> Ensembler | None:
        """Return the method for all members but one; None where it would have to be fitted again or nothing is left."""
        if self.stacker is not None or self.num_members < 2:
            return None
        if self.weights_K is None:
            return Ensembler(self.num_members - 1, self.is_vote)
        rest = [weight for place, weight in enumerate(self.weights_K) if place != member]
        if sum(rest) <= 0:
            return None
        # The sum stays what it was: in a log-linear pool it says how sure the whole is.
        factor = sum(self.weights_K) / sum(rest)
        return Ensembler(len(rest), weights_K=[factor * weight for weight in rest], is_log=self.is_log)


def _stack(members: Iterable[Choices], stacker: Stacker) -> Choices:
    read = iter(members)
    first = next(read)
    return first.having(stacker.logits(member.values_MC for member in chain([first], read))).activate()
