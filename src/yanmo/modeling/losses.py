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

__all__ = ["LOSSES", "Loss", "balanced_class_weights", "sigmoid_cross_entropy", "softmax_cross_entropy"]

Loss = Callable[..., Tensor]


def softmax_cross_entropy(
    logits_NC: Tensor, targets_NC: Tensor, *, label_smoothing: float = 0.0, class_weights_C: Tensor | None = None
) -> Tensor:
    """Return the cross-entropy of a softmax against soft targets.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        targets_NC: Same shape; every row sums to 1: one-hot, or another model's probabilities.
        label_smoothing: Share of every row that is spread evenly over all classes, in [0, 1).
        class_weights_C: Factor of each class, shape (num_classes,); None is 1 for all.

    Returns:
        Scalar: mean over examples, in nats.

    Source: Szegedy et al. 2016, "Rethinking the Inception Architecture", section 7 (label smoothing), arXiv:1512.00567.
    Differs: weighted examples are divided by their number, not by the sum of their weights, so that the loss does not
    depend on how examples are cut into batches.
    """
    smoothed_NC = targets_NC * (1.0 - label_smoothing) + label_smoothing / targets_NC.shape[1]
    terms_NC = -smoothed_NC * functional.log_softmax(logits_NC.float(), dim=1)
    if class_weights_C is not None:
        terms_NC = terms_NC * class_weights_C
    return terms_NC.sum(dim=1).mean()


def sigmoid_cross_entropy(
    logits_NC: Tensor, targets_NC: Tensor, *, label_smoothing: float = 0.0, class_weights_C: Tensor | None = None
) -> Tensor:
    """Return the binary cross-entropy of every class, for texts with any number of labels.

    Args:
        logits_NC: Unnormalized scores, float, shape (num_examples, num_classes).
        targets_NC: Same shape, each in [0, 1].
        label_smoothing: Moves every target towards 1/2 by this share, in [0, 1).
        class_weights_C: Factor of each class, shape (num_classes,); None is 1 for all.

    Returns:
        Scalar: sum over classes, mean over examples, in nats; summed so that the gradient of one class does not
        shrink as classes are added.
    """
    smoothed_NC = targets_NC * (1.0 - label_smoothing) + label_smoothing / 2
    terms_NC = functional.binary_cross_entropy_with_logits(logits_NC.float(), smoothed_NC, reduction="none")
    if class_weights_C is not None:
        terms_NC = terms_NC * class_weights_C
    return terms_NC.sum(dim=1).mean()


LOSSES: dict[Literal["softmax", "sigmoid"], Loss] = {
    "softmax": softmax_cross_entropy,
    "sigmoid": sigmoid_cross_entropy,
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
