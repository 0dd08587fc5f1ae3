"""The same rows and the same labels in one order: columns are matched by label, rows by id; nothing is assumed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.pointers import Pointers
from yanmo.answers.sequences import Sequences
from yanmo.answers.writings import Writings
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged
from yanmo.counted import counted
from yanmo.errors import DataError

__all__ = ["check_probabilities", "check_same_tokens", "match_labels", "match_rows"]

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
            more = f" and {counted(len(missing) - 1, 'other')}" if len(missing) > 1 else ""
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


def check_probabilities(evidence: Any, *, name: str, labels: Sequence[str]) -> None:
    """Refuse what are no probabilities.

    Args:
        evidence: What may be probabilities; where one choice excludes the others, each decision must sum to 1.
        name: Of the member, for the message.
        labels: C labels.

    Raises:
        DataError: A value is not a number in [0, 1], or a decision does not sum to 1.
    """
    flaw = row_of(FLAWS, type(evidence), "An ensemble")(evidence, labels)
    if flaw is not None:
        raise DataError(
            f"{name} gives {flaw}.", hint="A model that answers so is broken; train it again, or leave it out."
        )


def check_same_tokens(answers: Sequence[Any], names: Sequence[str]) -> None:
    """Refuse language models that cut texts into different tokens; answers of other forms have no tokens.

    Args:
        answers: Evidence of every member about the same texts.
        names: Of the members, for the message.

    Raises:
        DataError: As said.
    """
    first, *others = answers
    for other, name in zip(others, names[1:], strict=True):
        if isinstance(first, Sequences) and not first.cuts_like(other):
            raise DataError(
                f"{names[0]} and {name} cut texts into different tokens, so their probabilities are not of the same.",
                hint="Train both with one tokenizer, such as --tokenization characters on the same texts.",
            )


def _flaw_of_choices(evidence: Choices, labels: Sequence[str]) -> str | None:
    """Return what is wrong with probabilities of labels, None where nothing is."""
    probabilities_MC = evidence.values_MC
    wrong = _first_outside(probabilities_MC)
    if wrong is not None:
        row, column = divmod(wrong, probabilities_MC.shape[1])
        value = float(probabilities_MC[row, column])
        return f"row {row + 1} the probability {value:g} for {labels[column]!r}"
    return _flaw_of_sums(probabilities_MC.sum(axis=1, dtype=np.float64)) if evidence.link.excludes else None


def _flaw_of_pointers(evidence: Pointers, labels: Sequence[str]) -> str | None:  # noqa: ARG001 - one signature
    """Return what is wrong with probabilities of cells, None where nothing is."""
    wrong = _first_outside(evidence.values_K)
    if wrong is not None:
        decision = int(np.searchsorted(evidence.cells, wrong, side="right")) - 1
        return f"decision {decision + 1} the probability {float(evidence.values_K[wrong]):g} for one of its cells"
    return (
        _flaw_of_sums(Ragged(evidence.values_K.astype(np.float64), evidence.cells).sums_N()) if len(evidence) else None
    )


def _first_outside(probabilities: FloatArray) -> int | None:
    """Return the place of the first value that is no number in [0, 1], in the flat array."""
    # NaN fails both comparisons.
    is_good = (probabilities >= 0) & (probabilities <= 1)
    return None if is_good.all() else int(np.flatnonzero(~is_good.ravel())[0])


def _flaw_of_sums(sums_M: Doubles) -> str | None:
    gaps_M = np.abs(sums_M - 1)
    # float32 is right to 1e-6 over thousands of labels; this is no rounding any more.
    if not len(gaps_M) or gaps_M.max() <= 1e-3:
        return None
    row = int(gaps_M.argmax())
    return f"row {row + 1} probabilities that sum to {float(sums_M[row]):.4g}, not to 1"


def _flaw_of_arcs(evidence: Arcs, labels: Sequence[str]) -> str | None:
    """Return what is wrong with probabilities of heads or relations, None where nothing is."""
    return _flaw_of_pointers(evidence.heads, labels) or _flaw_of_choices(evidence.relations, labels)


def _flaw_of_writings(evidence: Writings, labels: Sequence[str]) -> str | None:
    """Return what is wrong with the log-likelihoods of written tokens, None where nothing is."""
    return _flaw_of_sequences(evidence.candidates, labels)


def _flaw_of_sequences(evidence: Sequences, labels: Sequence[str]) -> str | None:  # noqa: ARG001 - one signature
    """Return what is wrong with the log-likelihoods of tokens, None where nothing is."""
    wrong = _first_outside(np.exp(evidence.values_M))
    if wrong is None:
        return None
    return f"token {wrong + 1} the log-likelihood {float(evidence.values_M[wrong]):g}"


FLAWS: dict[type[Any], Callable[[Any, Sequence[str]], str | None]] = {
    Choices: _flaw_of_choices,
    Pointers: _flaw_of_pointers,
    Sequences: _flaw_of_sequences,
    Arcs: _flaw_of_arcs,
    Writings: _flaw_of_writings,
}
"""Form of evidence to what finds a flaw in its probabilities."""
