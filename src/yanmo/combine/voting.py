"""Hard votes of the members; soft votes are an average of equal weights. It knows no labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray
from yanmo.combine.averaging import blocks

__all__ = ["vote"]


def vote(
    members: Iterable[FloatArray], num_members: int, choose: Callable[[FloatArray], npt.NDArray[np.bool_]]
) -> FloatArray:
    """Return the shares of votes, float32, shape (N, C), as if the members' mean were one more voter.

    The mean splits its vote among the labels as its probabilities say. A difference of one whole vote always counts
    more, so the mean decides ties and nothing else.

    Args:
        members: K arrays of probabilities, shape (N, C).
        num_members: K.
        choose: Which labels a member gives: the most probable, or with many labels a row all above one half.
    """
    total_NC: FloatArray | None = None
    for member_NC in members:
        if total_NC is None:
            total_NC = np.zeros(member_NC.shape, dtype=np.float32)
        for rows in blocks(len(member_NC)):
            total_NC[rows] += choose(member_NC[rows])
            total_NC[rows] += member_NC[rows] / np.float32(num_members)
    if total_NC is None:
        raise ValueError("a vote needs a member")
    total_NC /= np.float32(num_members + 1)
    return total_NC
