"""The same rows and the same labels in one order: columns are matched by label, rows by id; nothing is assumed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.arrays import IntArray
from yanmo.errors import DataError

__all__ = ["check_probabilities", "match_labels", "match_rows"]

SHOWN = 20


def match_labels(labels: Sequence[str], member_labels: Sequence[str], *, name: str, reference: str) -> list[int]:
    """Return the member's column for each label.

    Args:
        labels: C labels, in the order that is wanted.
        member_labels: The member's labels, in its own order.
        name: Of the member, for the message.
        reference: What ``labels`` belong to, for the message.

    Raises:
        DataError: One side has a label that the other lacks.
    """
    sides = ((name, member_labels, reference, labels), (reference, labels, name, member_labels))
    for one, own, other, wanted in sides:
        missing = [label for label in wanted if label not in set(own)]
        if missing:
            more = f" and {len(missing) - 1} others" if len(missing) > 1 else ""
            shown = ", ".join(own[:SHOWN]) + (", …" if len(own) > SHOWN else "")
            raise DataError(
                f"{one} has no label {missing[0]!r}{more}, which {other} has.",
                hint=f"Labels are matched by name. The labels of {one}: {shown}.",
            )
    places = {label: place for place, label in enumerate(member_labels)}
    return [places[label] for label in labels]


def match_rows(ids: Sequence[str], member_ids: Sequence[str], *, name: str, reference: str) -> IntArray:
    """Return the member's row for each id, int64, shape (N,).

    Raises:
        DataError: The member lacks rows, or has others.
    """
    places = {one: place for place, one in enumerate(member_ids)}
    hint = "Make them of the same rows: the same Dataset, the same split."
    missing = [one for one in ids if one not in places]
    if missing:
        raise DataError(
            f"{name} lacks {len(missing)} of the {len(ids)} rows of {reference}, such as the id '{missing[0]}'.",
            hint=hint,
        )
    if len(member_ids) != len(ids):
        known = set(ids)
        extra = next((one for one in member_ids if one not in known), member_ids[-1])
        raise DataError(
            f"{name} has {len(member_ids)} rows, {reference} has {len(ids)}; one too many is the id '{extra}'.",
            hint=hint,
        )
    return np.asarray([places[one] for one in ids], dtype=np.int64)


def check_probabilities(evidence: Choices, *, name: str, labels: Sequence[str]) -> None:
    """Refuse what are no probabilities.

    Args:
        evidence: What may be probabilities; where labels exclude each other, each row must sum to 1.
        name: Of the member, for the message.
        labels: C labels.

    Raises:
        DataError: A value is not a number in [0, 1], or a row does not sum to 1.
    """
    probabilities_NC = evidence.values_MC
    # NaN fails both comparisons.
    good_NC = (probabilities_NC >= 0) & (probabilities_NC <= 1)
    hint = "A model that answers so is broken; train it again, or leave it out."
    if not good_NC.all():
        row, column = (int(place) for place in np.argwhere(~good_NC)[0])
        value = float(probabilities_NC[row, column])
        raise DataError(f"{name} gives row {row + 1} the probability {value:g} for {labels[column]!r}.", hint=hint)
    if evidence.link.excludes and len(probabilities_NC):
        gaps_N = np.abs(probabilities_NC.sum(axis=1, dtype=np.float64) - 1)
        row = int(gaps_N.argmax())
        # float32 is right to 1e-6 over thousands of labels; this is no rounding any more.
        if gaps_N[row] > 1e-3:
            total = float(probabilities_NC[row].sum())
            raise DataError(f"{name} gives row {row + 1} probabilities that sum to {total:.4g}, not to 1.", hint=hint)
