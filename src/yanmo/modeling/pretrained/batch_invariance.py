"""Whether a network answers a text alike alone and in a batch, as everything here takes for granted; it knows no file.

Batches are padded on the right. Networks that read the last place of a row, or what stands beside a text's last token,
answer by what else is in the batch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.errors import ModelError
from yanmo.modeling.features.ragged import Features, TensorBatch

__all__ = ["check_invariance"]

logger = logging.getLogger(__name__)

NUM_TEXTS = 4
TOLERANCE = 1e-3
"""The share of the largest score that rounding may change; what padding does is a hundred times as much."""


def check_invariance(
    module: Any, score: Callable[[nn.Module, TensorBatch], Tensor], features: Features, *, name: str
) -> None:
    """Refuse a network whose answers depend on the other texts of a batch, unless that can be mended.

    What can be is the embedding of the padding token: where neighbours are read with a token, it has to be zero, as
    beyond the end of a text.

    Args:
        module: The network.
        score: From it and a batch to logits_BC.
        features: Of some texts, of which the shortest and the longest are asked.
        name: Of the model, for what is said.

    Raises:
        ModelError: As said.
    """
    was_training = module.training
    module.eval()
    rows = _unlike(features)
    found = _difference(module, score, features, rows)
    mended = (
        _silence_padding(module, lambda: _difference(module, score, features, rows)) if found > TOLERANCE else found
    )
    module.train(was_training)
    if mended > TOLERANCE:
        raise ModelError(
            f"{name} ({type(module).__name__}) answers a text otherwise when longer ones are in the batch: by "
            f"{found:.0%} of its largest score. It cannot be served so.",
            hint="Such are networks that read the last place of a row, as XLNet does. Give a model of another family.",
        )
    if found > TOLERANCE:
        logger.info("%s reads padding beside a text's last token: the padding token's embedding is zero now.", name)


def _unlike(features: Features) -> list[int]:
    """Return the rows of the shortest texts that have a token, and of the longest."""
    lengths_N = features.lengths_N
    order = np.argsort(lengths_N, kind="stable")[int((lengths_N == 0).sum()) :]
    found: list[int] = np.unique(np.concatenate([order[: NUM_TEXTS // 2], order[-NUM_TEXTS // 2 :]])).tolist()
    return found


def _difference(
    module: Any, score: Callable[[nn.Module, TensorBatch], Tensor], features: Features, rows: list[int]
) -> float:
    """Return by how much scores alone differ from those in a batch, as a share of the largest one."""
    with torch.inference_mode():
        together_BC = score(module, features.collate(np.array(rows)))
        alone_BC = torch.cat([score(module, features.collate(np.array([row]))) for row in rows])
    # A head that begins with zeros scores nothing but zeros.
    scale = float(together_BC.abs().max().clamp_min(1e-12))
    return float((alone_BC - together_BC).abs().max()) / scale


def _silence_padding(module: Any, measure: Callable[[], float]) -> float:
    """Let the padding token's embedding be zero if that helps, and return what is measured then."""
    embeddings, place = module.get_input_embeddings(), module.config.pad_token_id
    if not isinstance(embeddings, nn.Embedding) or place is None:
        return float("inf")
    with torch.no_grad():
        before_D = embeddings.weight[place].clone()
        embeddings.weight[place] = 0
        found = measure()
        if found > TOLERANCE:
            embeddings.weight[place] = before_D
    return found
