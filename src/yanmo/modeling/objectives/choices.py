"""The objective of choices: losses against labels and against a teacher's answers, and the weights of classes.

Every loss is a mean over examples, takes soft targets, and returns a scalar. It knows no model and no optimizer.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.answers.choices import Choices
from yanmo.answers.links import Link, Sigmoid, Softmax
from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.settings import Teaching

__all__ = [
    "DIVERGENCES",
    "LOSSES",
    "ChoicesObjective",
    "Labels",
    "Loss",
    "TaughtLabels",
    "balanced_class_weights",
    "distillation_loss",
    "row_of_link",
    "sigmoid_cross_entropy",
    "sigmoid_divergence",
    "softmax_cross_entropy",
    "softmax_divergence",
]

LEAST_DOUBT = 1e-6
"""A probability of 1 keeps so much doubt: the power of zero has no finite gradient."""

Loss = Callable[..., Tensor]


def softmax_cross_entropy(
    logits_NC: Tensor,
    targets_NC: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights_C: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Tensor:
    """Return the cross-entropy of a softmax against soft targets.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        targets_NC: Same shape; every row sums to 1: one-hot, or another model's probabilities.
        label_smoothing: Share of every row that is spread evenly over all classes, in [0, 1).
        class_weights_C: Factor of each class, shape (num_classes,); None is 1 for all.
        focal_gamma: Each class's term is multiplied by (1 - its probability) to this power, >= 0.

    Returns:
        Scalar: mean over examples, in nats.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7 (label smoothing), arXiv:1512.00567;
    Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, arXiv:1708.02002.
    Differs: weighted examples are divided by their number, not by the sum of their weights, so that the loss does not
    depend on how examples are cut into batches.
    """
    smoothed_NC = targets_NC * (1.0 - label_smoothing) + label_smoothing / targets_NC.shape[1]
    log_probabilities_NC = functional.log_softmax(logits_NC.float(), dim=1)
    terms_NC = -smoothed_NC * log_probabilities_NC
    if focal_gamma:
        terms_NC = terms_NC * (1.0 - log_probabilities_NC.exp()).clamp_min(LEAST_DOUBT) ** focal_gamma
    if class_weights_C is not None:
        terms_NC = terms_NC * class_weights_C
    return terms_NC.sum(dim=1).mean()


def sigmoid_cross_entropy(
    logits_NC: Tensor,
    targets_NC: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights_C: Tensor | None = None,
    focal_gamma: float = 0.0,
) -> Tensor:
    """Return the binary cross-entropy of every class, for texts with any number of labels.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        targets_NC: Same shape, each in [0, 1].
        label_smoothing: Moves every target towards 1/2 by this share, in [0, 1).
        class_weights_C: Factor of each class, shape (num_classes,); None is 1 for all.
        focal_gamma: The term of an answer is multiplied by (1 - its probability) to this power, >= 0.

    Returns:
        Scalar: sum over classes, mean over examples, in nats; summed so that the gradient of one class does not
        shrink as classes are added.

    Source: Lin et al. 2017, "Focal Loss for Dense Object Detection", equation 4, arXiv:1708.02002.
    """
    logits_NC = logits_NC.float()
    smoothed_NC = targets_NC * (1.0 - label_smoothing) + label_smoothing / 2
    yes_NC, no_NC = -functional.logsigmoid(logits_NC), -functional.logsigmoid(-logits_NC)
    if focal_gamma:
        # The probability of no is exp of minus no's loss: 1 - p would lose its digits where p is nearly 1.
        yes_NC, no_NC = yes_NC * torch.exp(-focal_gamma * no_NC), no_NC * torch.exp(-focal_gamma * yes_NC)
    terms_NC = smoothed_NC * yes_NC + (1.0 - smoothed_NC) * no_NC
    if class_weights_C is not None:
        terms_NC = terms_NC * class_weights_C
    return terms_NC.sum(dim=1).mean()


def distillation_loss(
    logits_NC: Tensor,
    soft_NC: Tensor,
    hard_NC: Tensor,
    is_labeled_N: Tensor,
    *,
    soft_loss: Loss,
    hard_loss: Loss,
    alpha: float,
    temperature: float,
) -> Tensor:
    """Return the loss of a student against its teacher's answers and against the labels.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        soft_NC: The teacher's probabilities, softened already.
        hard_NC: The labels; in rows without one they do not count.
        is_labeled_N: Which rows have a label, bool.
        soft_loss: From logits and soft targets to a mean over examples.
        hard_loss: The same of the labels.
        alpha: Weight of the teacher's answers in rows with a label, in [0, 1]; in the others it is 1.
        temperature: Softening of the student's answers, > 0.

    Returns:
        Scalar: mean over examples, in nats; the part of the teacher is times temperature ** 2.

    Source: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, arXiv:1503.02531.
    Differs: the cross-entropy of the softened answers, whose gradient is that of their divergence.
    """
    total = logits_NC.new_zeros((), dtype=torch.float32)
    for rows_N, share in ((is_labeled_N, alpha), (~is_labeled_N, 1.0)):
        # The mean over no rows is not a number.
        if share and bool(rows_N.any()):
            loss = soft_loss(logits_NC[rows_N] / temperature, soft_NC[rows_N])
            # Means of the two groups become sums, so that every row counts alike, however many have labels.
            total = total + share * temperature**2 * rows_N.sum() * loss
    if alpha < 1 and bool(is_labeled_N.any()):
        total = total + (1 - alpha) * is_labeled_N.sum() * hard_loss(logits_NC[is_labeled_N], hard_NC[is_labeled_N])
    return total / len(logits_NC)


def softmax_divergence(first_NC: Tensor, second_NC: Tensor) -> Tensor:
    """Return how far the answers of two passes over the same texts are apart.

    Args:
        first_NC: Logits of one pass, shape (num_examples, num_classes).
        second_NC: Logits of the other.

    Returns:
        Scalar: the mean of both Kullback-Leibler divergences, mean over examples, in nats.

    Source: Wu et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", equation 2, arXiv:2106.14448.
    """
    first_NC, second_NC = (functional.log_softmax(one.float(), dim=1) for one in (first_NC, second_NC))
    # Both divergences at once: p (log p - log q) + q (log q - log p) is (p - q) (log p - log q).
    return ((first_NC.exp() - second_NC.exp()) * (first_NC - second_NC)).sum(dim=1).mean() / 2


def sigmoid_divergence(first_NC: Tensor, second_NC: Tensor) -> Tensor:
    """Return what :func:`softmax_divergence` does, of yes against no for every class, summed over classes."""
    first_NC, second_NC = first_NC.float(), second_NC.float()
    differences_NC = torch.sigmoid(first_NC) - torch.sigmoid(second_NC)
    return (differences_NC * (first_NC - second_NC)).sum(dim=1).mean() / 2


LOSSES: dict[type, Loss] = {
    Softmax: softmax_cross_entropy,
    Sigmoid: sigmoid_cross_entropy,
}
"""By the class of a link: what makes scores fit labels."""
DIVERGENCES: dict[type, Callable[[Tensor, Tensor], Tensor]] = {
    Softmax: softmax_divergence,
    Sigmoid: sigmoid_divergence,
}
"""By the class of a link: how far two passes are apart."""

RowT = TypeVar("RowT")


def row_of_link(table: Mapping[type, RowT], link: Link) -> RowT:
    """Return the row of a link in a table: that of its class, or of the nearest class that it derives from.

    Args:
        table: Such as ``LOSSES``.
        link: From scores to probabilities; one that derives from another is trained as that one.

    Raises:
        ModelError: The link derives from no class that has a row.
    """
    for known in type(link).__mro__:
        if known in table:
            return table[known]
    names = ", ".join(one.__name__ for one in table)
    raise ModelError(
        f"Nothing here can train the link '{link.name}'.", hint=f"Derive its class from one that has a loss: {names}."
    )


@dataclass(frozen=True)
class Labels:
    """The targets of rows with labels.

    Attributes:
        values_NC: 1 where a label holds, float32.
    """

    values_NC: FloatArray

    def __len__(self) -> int:
        """Return N."""
        return len(self.values_NC)

    @property
    def is_labeled_N(self) -> npt.NDArray[np.bool_]:
        """All rows have labels."""
        return np.ones(len(self.values_NC), dtype=np.bool_)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``labels``, shape (B, C)."""
        return {"labels": torch.from_numpy(self.values_NC[rows_B])}


@dataclass(frozen=True)
class TaughtLabels:
    """The targets of rows that a teacher has answered, some of which have labels, too.

    Attributes:
        values_NC: 1 where a label holds, float32; zeros in rows without labels.
        is_labeled_N: Which rows have labels, bool.
        soft_NC: The teacher's probabilities, softened, float32.
    """

    values_NC: FloatArray
    is_labeled_N: npt.NDArray[np.bool_]
    soft_NC: FloatArray

    def __len__(self) -> int:
        """Return N."""
        return len(self.values_NC)

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``labels`` and ``soft``, shape (B, C), and ``is_labeled``, shape (B,)."""
        columns = {"labels": self.values_NC, "soft": self.soft_NC, "is_labeled": self.is_labeled_N}
        return {name: torch.from_numpy(column[rows_B]) for name, column in columns.items()}


@dataclass(frozen=True)
class ChoicesObjective:
    """The objective of networks whose outputs are logits of labels.

    Attributes:
        link: From scores to probabilities.
        measured: From evidence and targets_NC of held-out rows to scores.
        label_smoothing: Share of every target that is spread over all labels.
        class_weights_C: Factor of each label; None is 1 for all.
        focal_gamma: Of the focal loss; 0 is none.
        teaching: How much a teacher's answers count, which are in the targets then; None without a teacher.
        r_drop: Weight of the divergence of two passes over the same rows; 0 makes one pass only.
    """

    link: Link
    measured: Callable[[Choices, Any], dict[str, float]]
    label_smoothing: float = 0.0
    class_weights_C: Tensor | None = None
    focal_gamma: float = 0.0
    teaching: Teaching | None = None
    r_drop: float = 0.0

    @property
    def num_passes(self) -> int:
        """Two where the passes are compared."""
        return 2 if self.r_drop else 1

    def loss(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        """Return the loss against labels, or against a teacher's answers and labels, and that of two passes.

        Source: Wu et al. 2021, "R-Drop: Regularized Dropout for Neural Networks", equation 4, arXiv:2106.14448; Inoue
        2019, "Multi-Sample Dropout for Accelerated Training and Better Generalization", section 3, arXiv:1905.09788.
        Differs: R-Drop's loss is halved, a mean of the two passes, so that the weight of the divergence does not change
        the learning rate.
        """
        num_rows, num_classes = targets["labels"].shape
        num_copies = len(outputs_MS) // num_rows
        repeated = {name: one.repeat(num_copies, *[1] * (one.dim() - 1)) for name, one in targets.items()}
        loss = self._fit(outputs_MS, repeated)
        if not self.r_drop:
            return loss
        # Texts went in twice, and the head gave all of them anew for each mask: within a mask come both passes.
        first_KBC, second_KBC = outputs_MS.view(-1, 2, num_rows, num_classes).unbind(1)
        divergence = row_of_link(DIVERGENCES, self.link)(first_KBC.flatten(0, 1), second_KBC.flatten(0, 1))
        return loss + self.r_drop / 2 * divergence

    def _fit(self, outputs_MS: Tensor, targets: TensorBatch) -> Tensor:
        hard_loss = functools.partial(
            row_of_link(LOSSES, self.link),
            label_smoothing=self.label_smoothing,
            class_weights_C=self.class_weights_C,
            focal_gamma=self.focal_gamma,
        )
        if self.teaching is None:
            return hard_loss(outputs_MS, targets["labels"])
        return distillation_loss(
            outputs_MS,
            targets["soft"],
            targets["labels"],
            targets["is_labeled"],
            soft_loss=row_of_link(LOSSES, self.link),
            hard_loss=hard_loss,
            alpha=self.teaching.alpha,
            temperature=self.teaching.temperature,
        )

    def counts(self, outputs_MS: Tensor) -> Tensor | None:  # noqa: ARG002 - one signature
        """Return nothing: labels are measured on held-out rows only."""
        return None

    def describe(self, counts: list[float], seconds: float) -> dict[str, float]:  # noqa: ARG002
        """Return nothing besides the loss."""
        return {}

    def measure(self, outputs_NS: FloatArray, targets: Labels) -> dict[str, float]:
        """Return the scores of held-out rows."""
        return self.measured(Choices(outputs_NS, self.link).activate(), targets.values_NC)


def balanced_class_weights(targets_NC: FloatArray) -> Tensor:
    """Return weights that let every class count alike, scaled so that the mean over examples is 1.

    Args:
        targets_NC: Targets of the training split, float32, shape (num_examples, num_classes).

    Returns:
        float32, shape (num_classes,); a class without examples gets 1.
    """
    counts_C = targets_NC.sum(axis=0, dtype=np.float64)
    present = counts_C > 0
    weights_C = np.ones_like(counts_C)
    weights_C[present] = counts_C.sum() / (present.sum() * counts_C[present])
    return torch.as_tensor(weights_C, dtype=torch.float32)
