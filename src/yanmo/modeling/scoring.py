"""The answers of a network to any number of texts; it knows no training and no measure."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from yanmo.modeling import sharding, workers
from yanmo.modeling.features import Features, sorted_batches
from yanmo.modeling.parts import Score, to_device
from yanmo.modeling.precision import autocast
from yanmo.modeling.settings import Precision
from yanmo.protocols import FloatArray, IntArray

__all__ = ["compute_logits"]


def compute_logits(
    module: nn.Module,
    score: Score,
    features: Features,
    *,
    batch_size: int,
    batch_tokens: int | None = None,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> FloatArray:
    """Return logits_NC of all texts, in their order, computed in batches of texts of similar length by all workers."""
    module.eval()
    parts: list[tuple[IntArray, Tensor]] = []
    batches = sorted_batches(features, batch_size=batch_size, batch_tokens=batch_tokens)
    mine = workers.share(batches)
    num_rounds = -(-len(batches) // workers.num_workers())  # a sharded network needs all workers in every pass
    with torch.no_grad() if sharding.is_sharded(module) else torch.inference_mode(), autocast(device, precision):
        for rows_B in (*mine, *batches[: num_rounds - len(mine)]):
            parts.append((rows_B, score(module, to_device(features.collate(rows_B), device)).float()))
    logits_NC = torch.zeros(len(features.lengths_N), parts[0][1].shape[1] if parts else 0, device=device)
    for rows_B, logits_BC in parts[: len(mine)]:
        logits_NC[torch.from_numpy(rows_B).to(device)] = logits_BC
    result: FloatArray = workers.sum_tensor(logits_NC).cpu().numpy()
    return result
