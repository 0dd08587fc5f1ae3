"""The losses of training and the weights of classes; they know no model and no optimizer.

Every loss is a mean over examples, takes soft targets, and returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.arrays import FloatArray

__all__ = [
    "DIVERGENCES",
    "LOSSES",
    "Loss",
    "balanced_class_weights",
    "distillation_loss",
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
        yes_NC, no_NC = yes_NC * torch.exp(-focal_gamma * no_NC), no_NC * torch.exp(-focal_gamma * yes_NC)
    terms_NC = smoothed_NC * yes_NC + (1.0 - smoothed_NC) * no_NC
    if class_weights_C is not None:
        terms_NC = terms_NC * class_weights_C
    return terms_NC.sum(dim=1).mean()


def distillation_loss(
    logits_NC: Tensor,
    targets_N2C: Tensor,
    *,
    soft_loss: Loss,
    hard_loss: Loss,
    alpha: float,
    temperature: float,
) -> Tensor:
    """Return the loss of a student against its teacher's answers and against the labels.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        targets_N2C: The teacher's probabilities, softened already, and beside them the labels, which are not a number
            in the rows that have none.
        soft_loss: From logits and soft targets to a mean over examples.
        hard_loss: The same of the labels.
        alpha: Weight of the teacher's answers in rows with a label, in [0, 1]; in the others it is 1.
        temperature: Softening of the student's answers, > 0.

    Returns:
        Scalar: mean over examples, in nats; the part of the teacher is times temperature ** 2.

    Source: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, arXiv:1503.02531.
    Differs: the cross-entropy of the softened answers, whose gradient is that of their divergence.
    """
    soft_NC, hard_NC = targets_N2C.chunk(2, dim=1)
    is_labeled_N = ~hard_NC[:, 0].isnan()
    total = logits_NC.new_zeros((), dtype=torch.float32)
    for rows_N, share in ((is_labeled_N, alpha), (~is_labeled_N, 1.0)):
        if share and bool(rows_N.any()):
            loss = soft_loss(logits_NC[rows_N] / temperature, soft_NC[rows_N])
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
    return ((first_NC.exp() - second_NC.exp()) * (first_NC - second_NC)).sum(dim=1).mean() / 2


def sigmoid_divergence(first_NC: Tensor, second_NC: Tensor) -> Tensor:
    """Return what :func:`softmax_divergence` does, of yes against no for every class, summed over classes."""
    first_NC, second_NC = first_NC.float(), second_NC.float()
    differences_NC = torch.sigmoid(first_NC) - torch.sigmoid(second_NC)
    return (differences_NC * (first_NC - second_NC)).sum(dim=1).mean() / 2


LOSSES: dict[str, Loss] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
}
DIVERGENCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "softmax": softmax_divergence,
    "sigmoid": sigmoid_divergence,
}


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
