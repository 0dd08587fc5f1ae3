"""What a checkpoint's new head for passages begins with: a regression on the features of the frozen encoder.

Which unit an answer begins with is one choice among all units of a window, and so is the one it ends with. It knows no
loop and no file.

Legend: U units, D width, B windows.
"""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor

from yanmo.errors import InternalError
from yanmo.modeling.features.ragged import Examples, TokenFeatures
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.networks import heads
from yanmo.modeling.networks.trainable_networks import Trainable
from yanmo.modeling.objectives.pointers import PassageWindows, PointersObjective
from yanmo.modeling.runs.head_start import HeadInputs, some_rows
from yanmo.modeling.settings import LoopSettings, MeasureAnswers, Precision

__all__ = ["start_reading_head"]

logger = logging.getLogger(__name__)

MOST_UNITS = 50_000
"""Units that are learned from: their features stand in memory together."""
STRENGTH = 1e-3
"""What the squares of the weights count in the loss, for features whose mean square length is 1."""
NUM_STEPS = 50


def start_reading_head(
    trainable: Trainable, train: Examples, precision: Precision, *, settings: LoopSettings, measure: MeasureAnswers
) -> None:
    """Set the last layer to the regression with the least loss on frozen features.

    Args:
        trainable: The network; only its last layer is changed.
        train: Windows of passages to learn from; of many, some count.
        precision: What features are computed in.
        settings: Of the training: batches and the device.
        measure: Of the objective.

    Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
        section 3.4, arXiv:2202.10054. Differs: the regression chooses among the units of a window.
    """
    targets, features = train.targets, train.features
    if not isinstance(targets, PassageWindows) or not isinstance(features, TokenFeatures):
        raise InternalError("A head for passages is learned from windows of passages.")
    units_a_row = max(len(targets.places.values) / max(len(targets), 1), 1.0)
    rows = some_rows(np.arange(len(targets)), max(1, int(MOST_UNITS / units_a_row)))
    features_UD = compute_logits(
        trainable.module,
        HeadInputs(trainable),
        features.take(rows),
        batch_size=settings.batch_size,
        batch_tokens=settings.batch_tokens,
        precision=precision,
        device=settings.device,
    )
    mean_D = features_UD.mean(axis=0)
    length = float(np.sqrt(np.square(features_UD - mean_D).sum(axis=1).mean())) or 1.0
    objective, batch = PointersObjective(measure), targets.collate(rows)
    scaled_UD = torch.from_numpy((features_UD - mean_D) / length)
    weight_2D = torch.zeros(2, features_UD.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([weight_2D], max_iter=NUM_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        found = objective.loss(scaled_UD @ weight_2D.T, batch) + STRENGTH * weight_2D.square().sum()
        found.backward()  # type: ignore[no-untyped-call]
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    _, layer = heads.output_layer(trainable.module)
    with torch.no_grad():
        layer.weight.copy_(weight_2D / length)
        if layer.bias is not None:
            # One number for all units of a window: no choice depends on it.
            layer.bias.zero_()
    logger.info("The head begins with a regression on %d units: a loss of %.3f.", len(features_UD), loss().item())
