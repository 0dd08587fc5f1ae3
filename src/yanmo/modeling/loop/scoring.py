"""The answers of a network to any number of texts; it knows no training and no measure."""

from __future__ import annotations

import logging

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.errors import ModelError
from yanmo.modeling.arithmetic.memory import is_out_of_memory
from yanmo.modeling.arithmetic.precision import autocast
from yanmo.modeling.features.ragged import Features, Score, sorted_batches
from yanmo.modeling.loop.micro_batches import to_device
from yanmo.modeling.parallel import sharding, workers
from yanmo.modeling.settings import Precision

__all__ = ["compute_logits"]

logger = logging.getLogger(__name__)


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
    """Return the logits of all texts, in their order, computed in batches of texts of similar length by all workers.

    They are logits_NC, or where each text has several outputs the rows of all, one text after the other.

    A batch for which memory does not suffice is computed in halves, which is said.

    Raises:
        ModelError: There is no memory for one text.
    """
    module.eval()
    is_sharded = sharding.is_sharded(module)
    batches = sorted_batches(features, batch_size=batch_size, batch_tokens=batch_tokens)
    mine = workers.share(batches)
    num_rounds = -(-len(batches) // workers.world_size())

    def scored(rows_B: IntArray) -> list[tuple[IntArray, Tensor]]:
        try:
            return [(rows_B, score(module, to_device(features.collate(rows_B), device)).float())]
        except (MemoryError, RuntimeError) as error:
            if is_sharded or not is_out_of_memory(error):
                raise
            if len(rows_B) == 1:
                raise ModelError(
                    "There is not enough memory to score one text at a time.",
                    hint="Lower max_length, or choose a smaller model.",
                ) from error
        # After the except block, for its error holds on to all that the failed pass has computed.
        half = len(rows_B) // 2
        return [*scored(rows_B[:half]), *scored(rows_B[half:])]

    # Sharded layers keep tensors from one pass to the next, and those of inference mode cannot be trained on.
    with torch.no_grad() if is_sharded else torch.inference_mode(), autocast(device, precision):
        parts = [part for rows_B in mine for part in scored(rows_B)]
        idle = batches[: num_rounds - len(mine)]  # a sharded network needs all workers in every pass
        # A worker without a batch of its own still has to know how many numbers a row has.
        shapes = [logits_BC for _, logits_BC in parts] + [one for rows_B in idle for _, one in scored(rows_B)]
    if len(parts) > len(mine):
        logger.warning("Out of memory: batches of texts were scored in smaller ones (%d in %d).", len(mine), len(parts))
    # Zeros, since each worker fills in its own rows, and the sum over workers is the whole.
    ends = np.arange(len(features.lengths_N) + 1) if features.output_ends is None else features.output_ends
    outputs = Ragged(np.arange(ends[-1]), ends)
    logits_NC = torch.zeros(len(outputs.values), shapes[0].shape[1] if shapes else 0, device=device)
    for rows_B, logits_BC in parts:
        logits_NC[torch.from_numpy(outputs.take(rows_B).values).to(device)] = logits_BC
    result: FloatArray = workers.sum_tensor(logits_NC).cpu().numpy()
    return result
