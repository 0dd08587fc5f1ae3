"""What few examples teach an encoder: texts of one label get vectors of one direction; it knows no file and no verb.

Every batch holds several texts of each of some labels, and every two of them are a pair: of one label, or not. So few
texts make many pairs, and a text goes through the network once for all pairs that it is in.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.arrays import FloatArray, IntArray
from yanmo.counted import counted
from yanmo.errors import ModelError
from yanmo.modeling.arithmetic.precision import autocast
from yanmo.modeling.features.ragged import Features, TensorBatch
from yanmo.modeling.loop.micro_batches import to_device
from yanmo.modeling.optimizing.optimizer import learning_rate_factor, make_optimizer, set_learning_rate
from yanmo.modeling.settings import LoopSettings, Precision
from yanmo.progress import track

__all__ = ["ContrastPlan", "contrast", "draw_batch", "pair_loss"]

logger = logging.getLogger(__name__)

TEXTS_A_BATCH = 64
TEXTS_A_LABEL = 4
"""Texts of one label in a batch, where it has as many: with fewer there are hardly pairs of one label."""
PASSES = 10
"""So often each text is drawn in the mean."""
LEAST_STEPS, MOST_STEPS = 40, 400
TEMPERATURE = 0.1
TEXTS_A_PART = 16
"""Texts that are computed together, of similar length; all of a batch are compared."""
WARMUP_RATIO = 0.1


@dataclass(frozen=True)
class ContrastPlan:
    """How an encoder is moved.

    Attributes:
        settings: Rate, decay, clipping, seed and device of its steps.
        precision: What they are computed in.
        num_steps: How many; None: as many as the texts need.
    """

    settings: LoopSettings
    precision: Precision
    num_steps: int | None = None


def contrast(
    module: nn.Module,
    read: Callable[[nn.Module, TensorBatch], Tensor],
    features: Features,
    labels_NC: FloatArray,
    plan: ContrastPlan,
) -> None:
    """Move an encoder until texts of one label have similar vectors.

    Args:
        module: The network; it is changed.
        read: From it and a batch to vectors_BD.
        features: Of N texts.
        labels_NC: 1 where a label holds; texts are of one label where they share one.
        plan: How.

    Raises:
        ModelError: The loss is not a finite number.

    Source: Tunstall et al. 2022, "Efficient Few-Shot Learning Without Prompts" (SetFit), section 3 (contrastive pairs,
        then a regression on the vectors), arXiv:2209.11055; Khosla et al. 2020, "Supervised Contrastive Learning",
        equation 2, arXiv:2004.11362.
    Differs: all pairs of a batch, and not pairs drawn one by one, whose texts go through the network once for each.
    """
    settings = plan.settings
    num_steps = plan.num_steps or min(max(math.ceil(PASSES * len(labels_NC) / TEXTS_A_BATCH), LEAST_STEPS), MOST_STEPS)
    optimizer = make_optimizer(module, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay)
    generator = np.random.default_rng(settings.seed)
    # Its optimizer is not that of the loop, which knows no state of it.
    told = "%s teach the encoder which texts have one label; a training that is killed before they end begins anew."
    logger.info(told, counted(num_steps, "step"))
    module.train()
    for step in track(range(num_steps), "contrasting", unit="step"):
        factor = learning_rate_factor(step, num_steps=num_steps, warmup_ratio=WARMUP_RATIO)
        set_learning_rate(optimizer, settings.learning_rate * factor)
        rows_B = draw_batch(labels_NC, generator)
        loss = pair_loss(_vectors(module, read, features, rows_B, plan), torch.from_numpy(labels_NC[rows_B]))
        if not math.isfinite(loss.item()):
            raise ModelError(
                f"The contrastive loss became {loss.item()} at step {step + 1}.", hint="Lower the learning_rate."
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), settings.max_grad_norm)
        optimizer.step()
    module.eval()


def draw_batch(labels_NC: FloatArray, generator: np.random.Generator) -> IntArray:
    """Return the rows of a batch, sorted: some of each of several labels, no row twice.

    Args:
        labels_NC: 1 where a label holds.
        generator: Draws.
    """
    present = np.flatnonzero(labels_NC.any(axis=0))
    num_labels = min(len(present), TEXTS_A_BATCH // TEXTS_A_LABEL)
    # Of few labels each has more texts in a batch.
    num_each = TEXTS_A_BATCH // max(num_labels, 1)
    drawn = [
        generator.permutation(np.flatnonzero(labels_NC[:, label]))[:num_each]
        for label in generator.permutation(present)[:num_labels]
    ]
    return np.unique(np.concatenate(drawn))


def pair_loss(vectors_BD: Tensor, labels_BC: Tensor, *, temperature: float = TEMPERATURE) -> Tensor:
    """Return how unlikely it is to find a text of the same label by its similarity among all others, a scalar.

    Args:
        vectors_BD: Of any length.
        labels_BC: 1 where a label holds.
        temperature: What cosines are divided by.
    """
    unit_BD = functional.normalize(vectors_BD.float(), dim=1)
    is_self_BB = torch.eye(len(unit_BD), dtype=torch.bool, device=unit_BD.device)
    similarity_BB = (unit_BD @ unit_BD.T / temperature).masked_fill(is_self_BB, -torch.inf)
    labels_BC = labels_BC.to(unit_BD.device)
    is_pair_BB = ((labels_BC @ labels_BC.T) > 0) & ~is_self_BB
    # Of itself it is not asked; 0 times minus infinity would be no number.
    log_share_BB = torch.log_softmax(similarity_BB, dim=1).masked_fill(is_self_BB, 0.0)
    num_pairs_B = is_pair_BB.sum(dim=1)
    losses_B = -(log_share_BB * is_pair_BB).sum(dim=1) / num_pairs_B.clamp(min=1)
    return losses_B.sum() / (num_pairs_B > 0).sum().clamp(min=1)


def _vectors(
    module: nn.Module,
    read: Callable[[nn.Module, TensorBatch], Tensor],
    features: Features,
    rows_B: IntArray,
    plan: ContrastPlan,
) -> Tensor:
    """Return the vectors_BD of some texts, computed in parts of similar length, in the order of the rows."""
    order_B = np.argsort(features.lengths_N[rows_B], kind="stable")
    device = plan.settings.device
    with autocast(device, plan.precision):
        parts = [
            read(module, to_device(features.collate(rows_B[part]), device)).float()
            for part in np.array_split(order_B, math.ceil(len(rows_B) / TEXTS_A_PART))
        ]
    places_B = torch.from_numpy(np.argsort(order_B)).to(device)
    return torch.cat(parts)[places_B]
