"""How much each member counts where most answers are to be right, however sure; it knows no label and no text.

Legend: N rows, K members.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from yanmo.combine.averaging import equal_weights

__all__ = ["right_weights"]

STEPS = 20
"""Parts of the whole weight that members are given."""
NUM_ROUNDS = 3


def right_weights(num_members: int, right_of: Callable[[Sequence[float]], npt.NDArray[np.bool_]]) -> list[float]:
    """Return the weights with which most rows are answered rightly; equal ones where no others are surely better.

    One member after the other is given every share of the whole, and the others keep their proportions. Of several
    shares that are as good the one in their middle counts. The best of many settings is lucky on the rows that it was
    chosen by, so it is chosen on each half of the rows, too, and asked on the other: other weights are surely better
    than equal ones if those win more rows there than they lose by more than one standard error of that difference.

    Args:
        num_members: K.
        right_of: Tells of K weights with the sum 1 which of N rows are answered rightly.

    Source: Och 2003, "Minimum Error Rate Training in Statistical Machine Translation", section 5 (one weight after the
        other, by what is counted in the end).
    Differs: a grid of shares takes the place of the exact bounds between them.
    """
    equal = equal_weights(num_members)
    is_right_N = right_of(equal)
    halves = (slice(0, None, 2), slice(1, None, 2))
    won = lost = 0
    for chosen_by, asked_on in (halves, halves[::-1]):
        found_N = right_of(_search(num_members, right_of, chosen_by))[asked_on]
        won += int((found_N & ~is_right_N[asked_on]).sum())
        lost += int((is_right_N[asked_on] & ~found_N).sum())
    return _search(num_members, right_of, slice(None)) if won - lost > np.sqrt(won + lost) else equal


def _search(num_members: int, right_of: Callable[[Sequence[float]], npt.NDArray[np.bool_]], rows: slice) -> list[float]:
    """Return the weights with which most of some rows are answered rightly."""
    best = equal_weights(num_members)
    most = int(right_of(best)[rows].sum())
    for _ in range(NUM_ROUNDS):
        before = best
        for member in range(num_members):
            tried = [_with_share(best, member, share / STEPS) for share in range(STEPS + 1)]
            counts = np.array([right_of(one)[rows].sum() for one in tried])
            if counts.max() > most:
                # The middle of the best shares: at their ends the next row is already lost.
                places = np.flatnonzero(counts == counts.max())
                best, most = tried[int(places[len(places) // 2])], int(counts.max())
        if best == before:
            break
    return best


def _with_share(weights_K: Sequence[float], member: int, share: float) -> list[float]:
    """Return weights in which a member has a share of the whole, and the others share the rest as before."""
    rest = 1 - weights_K[member]
    others = [weight / rest if rest > 0 else 1 / (len(weights_K) - 1) for weight in weights_K]
    return [share if place == member else (1 - share) * one for place, one in enumerate(others)]
