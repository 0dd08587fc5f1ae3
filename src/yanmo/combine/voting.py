"""Hard votes of the members; soft votes are an average of equal weights. It knows no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from yanmo.answers.answered import Evidence
from yanmo.combine.averaging import average

__all__ = ["vote"]

EvidenceT = TypeVar("EvidenceT", bound=Evidence)


def vote(members: Iterable[EvidenceT], num_members: int, ballots: Callable[[EvidenceT], EvidenceT]) -> EvidenceT:
    """Return the shares of votes, float32, as if the members' mean were one more voter.

    The mean splits its vote among the choices as its probabilities say. A difference of one whole vote always counts
    more, so the mean decides ties and nothing else.

    Args:
        members: K pieces of evidence, probabilities.
        num_members: K.
        ballots: What a member decides, as evidence of ones and zeros.
    """

    def voters() -> Iterator[EvidenceT]:
        for member in members:
            yield ballots(member)
            yield member

    share = 1 / (num_members + 1)
    return average(voters(), [share, share / num_members] * num_members)
