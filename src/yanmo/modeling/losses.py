"""The losses of training and the weights of classes; they know no model and no optimizer.

Every loss is a mean over examples, takes soft targets, and returns a scalar.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from yanmo.protocols import FloatArray

__all__ = [
    "DIVERGENCES",
    "LOSSES",
    "Loss",
    "balanced_class_weights",
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


LOSSES: dict[Literal["softmax", "sigmoid"], Loss] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
}
DIVERGENCES: dict[Literal["softmax", "sigmoid"], Callable[[Tensor, Tensor], Tensor]] = {
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
