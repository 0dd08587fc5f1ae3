"""Links: how scores become probabilities, and all that follows from whether labels exclude each other.

A link stands wherever a flag "is it a softmax" would: losses, confidences and calibration ask it, and never which task
they work for. It knows no label, no model and no torch; what training needs of a link stands in
``modeling.objectives``.

Legend: M decisions, C labels, D answers of M decisions that are right or wrong each for itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from yanmo.arrays import Array, Doubles, FloatArray

__all__ = ["SIGMOID", "SOFTMAX", "Link", "Sigmoid", "Softmax"]


# The logarithm of a probability of 0 is finite with it: -69.
TINY = np.float32(1e-30)
LEAST_DOUBT = 1e-6
"""A probability keeps so much doubt when it is softened: the power of zero has no finite gradient."""


class Link(Protocol):
    """From scores to probabilities and back; one object for each kind of answer."""

    @property
    def name(self) -> str:
        """Its name, the key of tables such as the losses of training."""
        ...

    @property
    def excludes(self) -> bool:
        """Whether one label of a decision excludes all others, so that its probabilities sum to 1."""
        ...

    def activate(self, logits_MC: FloatArray) -> FloatArray:
        """Return probabilities_MC, float32, of scores."""
        ...

    def invert(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return scores, float32, whose probabilities are these to 1e-6."""
        ...

    def normalize(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return probabilities that were changed each for itself, as ones that belong together again."""
        ...

    def soften(self, probabilities_MC: FloatArray, *, temperature: float) -> FloatArray:
        """Return the probabilities, float32, that the same scores would give if a temperature, > 0, divided them."""
        ...

    def confidence_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return how sure the decisions are, in [0, 1], shape (M,)."""
        ...

    def gap_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return how far the decisions' probabilities are from those of another decision, shape (M,)."""
        ...

    def num_answers(self, num_classes: int) -> int:
        """Return how many answers, each right or wrong for itself, a decision over C labels holds: 1 or C."""
        ...

    def answers(self, probabilities_MC: Array, chosen_MC: Array, targets_MC: Array) -> tuple[Doubles, Array]:
        """Return the confidence of every answer, float64, shape (D,), and whether it was right.

        Args:
            probabilities_MC: In [0, 1].
            chosen_MC: Where a label was given.
            targets_MC: 1 where a label holds.
        """
        ...

    def truth(self, probabilities_MC: Array, targets_MC: Array, *, most: int) -> Array:
        """Return the probability that was given to the truth of each answer, shape (D,).

        Args:
            probabilities_MC: In [0, 1].
            targets_MC: 1 where a label holds.
            most: Of several answers a decision, at most so many in all, evenly spread, are kept.
        """
        ...

    def log_losses(self, probabilities_MC: Array, targets_MC: Array) -> Doubles:
        """Return every decision's negative log-likelihood in nats, a mean over its answers, float64, shape (M,)."""
        ...

    def slopes(self, logits_MC: Doubles, targets_MC: Doubles) -> tuple[Doubles, Doubles]:
        """Return every decision's negative log-likelihood in nats, a sum over its answers, and its slopes by score.

        Args:
            logits_MC: Unnormalized scores, float64.
            targets_MC: 1 where a label holds.

        Returns:
            Losses, shape (M,), and their derivatives by every score, shape (M, C).
        """
        ...


@dataclass(frozen=True)
class Softmax:
    """Exactly one of C labels holds: the probabilities of a decision sum to 1."""

    name: str = "softmax"
    excludes: bool = True

    def activate(self, logits_MC: FloatArray) -> FloatArray:
        """Return the softmax of every decision."""
        # The largest score is taken off first: exp of 89 is more than float32 holds. The quotient stays the same.
        shifted_MC = np.exp(logits_MC - logits_MC.max(axis=1, keepdims=True, initial=-np.inf))
        return np.asarray(shifted_MC / shifted_MC.sum(axis=1, keepdims=True), dtype=np.float32)

    def invert(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return log-probabilities: scores up to a constant of their decision."""
        return np.asarray(np.log(np.maximum(probabilities_MC, TINY)), dtype=np.float32)

    def normalize(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return the probabilities scaled to sum to 1."""
        return np.asarray(probabilities_MC / probabilities_MC.sum(axis=1, keepdims=True))

    def soften(self, probabilities_MC: FloatArray, *, temperature: float) -> FloatArray:
        """Return powers of the probabilities, scaled to sum to 1; a temperature of 1 changes nothing."""
        if temperature == 1.0:
            return probabilities_MC
        scaled_MC, _ = _powers(probabilities_MC, temperature)
        return np.asarray(scaled_MC / scaled_MC.sum(axis=1, keepdims=True), dtype=np.float32)

    def confidence_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return the largest probability."""
        return np.asarray(probabilities_MC.max(axis=1, initial=0.0))

    def gap_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return how much more probable the first label is than the second."""
        ordered_MC = np.sort(probabilities_MC, axis=1)
        return np.asarray(ordered_MC[:, -1] - ordered_MC[:, -2])

    def num_answers(self, num_classes: int) -> int:  # noqa: ARG002 - one signature
        """Return 1: the label."""
        return 1

    def answers(self, probabilities_MC: Array, chosen_MC: Array, targets_MC: Array) -> tuple[Doubles, Array]:
        """Return the chosen label's probability, and whether that label holds."""
        places_M = chosen_MC.astype(bool).argmax(axis=1)[:, None]
        confidence_M = np.take_along_axis(probabilities_MC.astype(np.float64), places_M, axis=1)[:, 0]
        return confidence_M, np.take_along_axis(targets_MC.astype(bool), places_M, axis=1)[:, 0]

    def truth(self, probabilities_MC: Array, targets_MC: Array, *, most: int) -> Array:  # noqa: ARG002
        """Return the probability of the label that holds, of every decision."""
        places_M = targets_MC.astype(bool).argmax(axis=1)[:, None]
        return np.take_along_axis(probabilities_MC, places_M, axis=1)[:, 0]

    def log_losses(self, probabilities_MC: Array, targets_MC: Array) -> Doubles:
        """Return the negative log-probability of the label that holds."""
        places_M = targets_MC.argmax(axis=1)[:, None]
        return np.asarray(-np.log(np.take_along_axis(_clipped(probabilities_MC), places_M, axis=1)[:, 0]))

    def slopes(self, logits_MC: Doubles, targets_MC: Doubles) -> tuple[Doubles, Doubles]:
        """Return the cross-entropy of the softmax, and probabilities minus targets."""
        shifted_MC = logits_MC - logits_MC.max(axis=1, keepdims=True)
        # The logarithm of the softmax straight from the scores: log(softmax) would lose what exp rounds to 0.
        totals_M = np.log(np.exp(shifted_MC).sum(axis=1))
        losses_M = totals_M - (shifted_MC * targets_MC).sum(axis=1)
        return losses_M, np.exp(shifted_MC - totals_M[:, None]) - targets_MC


@dataclass(frozen=True)
class Sigmoid:
    """Each of C labels holds or not, for itself."""

    name: str = "sigmoid"
    excludes: bool = False

    def activate(self, logits_MC: FloatArray) -> FloatArray:
        """Return the logistic function of every score."""
        # The logistic function by tanh, which overflows nowhere; exp(-x) does.
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logits_MC)), dtype=np.float32)

    def invert(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return log-odds."""
        # float32 rounds probabilities above 1 - 3e-8 to 1, so what they lack may be 0.
        doubt_MC = np.maximum(1 - probabilities_MC, TINY)
        return np.asarray(np.log(np.maximum(probabilities_MC, TINY)) - np.log(doubt_MC), dtype=np.float32)

    def normalize(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return the probabilities as they are."""
        return probabilities_MC

    def soften(self, probabilities_MC: FloatArray, *, temperature: float) -> FloatArray:
        """Return powers of yes and no, scaled to sum to 1; a temperature of 1 changes nothing."""
        if temperature == 1.0:
            return probabilities_MC
        scaled_MC, rest_MC = _powers(probabilities_MC, temperature)
        return np.asarray(scaled_MC / (scaled_MC + rest_MC), dtype=np.float32)

    def confidence_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return the probability of the least certain answer of yes or no."""
        return np.asarray(np.maximum(probabilities_MC, 1 - probabilities_MC).min(axis=1, initial=1.0))

    def gap_M(self, probabilities_MC: FloatArray) -> FloatArray:
        """Return how far the label nearest to one half is from it."""
        return np.asarray(np.abs(probabilities_MC - 0.5).min(axis=1))

    def num_answers(self, num_classes: int) -> int:
        """Return C: yes or no for each label."""
        return num_classes

    def answers(self, probabilities_MC: Array, chosen_MC: Array, targets_MC: Array) -> tuple[Doubles, Array]:
        """Return, decision by decision, each label's probability where it was given, 1 minus it where it was not."""
        chosen_MC, probabilities_MC = chosen_MC.astype(bool), probabilities_MC.astype(np.float64)
        confidence_MC = np.where(chosen_MC, probabilities_MC, 1 - probabilities_MC)
        return confidence_MC.ravel(), (chosen_MC == targets_MC.astype(bool)).ravel()

    def truth(self, probabilities_MC: Array, targets_MC: Array, *, most: int) -> Array:
        """Return the probability of each label that holds, 1 minus that of each that does not."""
        # Whole decisions are left out: every C-th answer of all would be one and the same label's.
        step = max(1, -(-targets_MC.size // most))
        kept_MC = probabilities_MC[::step]
        return np.where(targets_MC[::step].astype(bool), kept_MC, 1 - kept_MC).ravel()

    def log_losses(self, probabilities_MC: Array, targets_MC: Array) -> Doubles:
        """Return the mean of the labels' binary losses."""
        clipped_MC = _clipped(probabilities_MC)
        likelihood_MC = np.where(targets_MC.astype(bool), clipped_MC, 1 - clipped_MC)
        return np.asarray(-np.log(likelihood_MC).mean(axis=1))

    def slopes(self, logits_MC: Doubles, targets_MC: Doubles) -> tuple[Doubles, Doubles]:
        """Return the sum of the labels' binary losses, and probabilities minus targets."""
        # log(1 + exp(x)) - x * target: logaddexp neither overflows nor loses small terms.
        losses_M = (np.logaddexp(0, logits_MC) - logits_MC * targets_MC).sum(axis=1)
        return losses_M, 0.5 * (1 + np.tanh(0.5 * logits_MC)) - targets_MC


SOFTMAX = Softmax()
SIGMOID = Sigmoid()


def _clipped(probabilities_MC: Array) -> Doubles:
    """Return probabilities as float64, kept away from 0 and 1 by the precision that they were computed with."""
    precision = float(np.finfo(probabilities_MC.dtype).eps)
    return np.clip(probabilities_MC.astype(np.float64), precision, 1 - precision)


def _powers(probabilities_MC: FloatArray, temperature: float) -> tuple[Doubles, Doubles]:
    """Return the probabilities, and what they lack to 1, to the power of 1 / temperature."""
    # In float64, so that 1 - p is exact enough to be raised to a power.
    kept_MC = np.clip(probabilities_MC.astype(np.float64), LEAST_DOUBT, 1 - LEAST_DOUBT)
    return kept_MC ** (1 / temperature), (1 - kept_MC) ** (1 / temperature)
