"""Batches without wasted padding: sort by length, cut by a token budget, give the results back in input order.

It knows arrays of token ids, the windows of long texts and a function that scores one batch; it knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from yanmo.errors import ArtifactError
from yanmo.protocols import FloatArray, Inference, IntArray, Ragged
from yanmo.text.tokenizer import Encoded

__all__ = ["TOKEN_BUDGET", "Batch", "fair_budget", "infer_batches", "make_batch", "plan_batches", "pool_windows"]

TOKEN_BUDGET = 512
"""Cells of a batch: with more, the states of a layer no longer fit a core's own cache, and all of it gets slower."""
FEW_ROUNDS = 4
"""With more batches than this for every thread, one that is left over costs little."""


@dataclass(frozen=True)
class Batch:
    """B texts as rectangles of width T.

    Attributes:
        ids_BT: Token ids, int64, shape (B, T), padded on the right.
        lengths_B: Tokens of each text, int64, at least 1.
        token_type_BT: 1 at tokens of the second text, int64, shape (B, T); None where the model has no use for it.
    """

    ids_BT: IntArray
    lengths_B: IntArray
    token_type_BT: IntArray | None

    @property
    def mask_BT(self) -> IntArray:
        """1 at tokens and 0 at padding, int64, shape (B, T)."""
        return (np.arange(self.ids_BT.shape[1]) < self.lengths_B[:, None]).astype(np.int64)


def fair_budget(lengths_N: IntArray, num_threads: int) -> int:
    """Return the most cells of a batch with which every thread gets about as much to do.

    Args:
        lengths_N: Tokens of each text, shape (N,).
        num_threads: That compute a batch each, side by side; of many batches any division is fair.
    """
    widths_N = np.maximum(lengths_N, 1)
    num_cells = int(widths_N.sum())
    num_rounds = -(-num_cells // (TOKEN_BUDGET * num_threads))
    if len(lengths_N) <= 1 or num_threads == 1 or num_rounds > FEW_ROUNDS:
        return TOKEN_BUDGET
    num_batches = num_threads * num_rounds
    budget, step = num_cells // num_batches, 1 + int(widths_N.max()) // 2
    while budget < TOKEN_BUDGET and sum(1 for _ in plan_batches(widths_N, budget)) > num_batches:
        budget += step
    return min(budget, TOKEN_BUDGET)


def plan_batches(lengths_N: IntArray, token_budget: int = TOKEN_BUDGET) -> Iterator[IntArray]:
    """Yield the rows of every batch, longest texts first.

    Args:
        lengths_N: Tokens of each text, shape (N,).
        token_budget: Most cells of a batch, padding included; a text that is longer than that is a batch by itself.

    Yields:
        Row numbers, int64; every row is in exactly one batch.
    """
    order_N = np.argsort(-lengths_N, kind="stable")
    start = 0
    while start < len(order_N):
        width = max(int(lengths_N[order_N[start]]), 1)
        stop = start + max(token_budget // width, 1)
        yield order_N[start:stop]
        start = stop


def make_batch(ids: Ragged, token_type: Ragged | None, rows_B: IntArray, pad_id: int) -> Batch:
    """Return the given rows, padded to the longest of them, without a loop over texts.

    A text without any token becomes one padding token that is read, so that no row attends to nothing.
    """
    starts_B = ids.offsets[rows_B]
    lengths_B = ids.offsets[rows_B + 1] - starts_B
    steps_T = np.arange(max(int(lengths_B.max(initial=0)), 1))
    is_token_BT = steps_T < lengths_B[:, None]
    places_BT = starts_B[:, None] + steps_T
    token_type_BT = _pad(token_type, places_BT, is_token_BT, 0) if token_type is not None else None
    return Batch(_pad(ids, places_BT, is_token_BT, pad_id), np.maximum(lengths_B, 1), token_type_BT)


def infer_batches(
    ids: Ragged,
    token_type: Ragged | None,
    infer: Callable[[list[Batch]], Iterable[FloatArray]],
    *,
    pad_id: int,
    num_classes: int,
    token_budget: int = TOKEN_BUDGET,
) -> FloatArray:
    """Return the scores of all texts in input order.

    Args:
        ids: Token ids of N texts.
        token_type: Segments of N pairs, with the same lengths, or None.
        infer: Takes batches, longest texts first, and gives logits_BC for each, in their order.
        pad_id: The id that fills a batch up.
        num_classes: C.
        token_budget: Most cells of a batch, padding included.

    Returns:
        logits_NC, float32, shape (N, C).

    Raises:
        ArtifactError: The scores of a batch have another shape.
    """
    logits_NC = np.empty((len(ids), num_classes), dtype=np.float32)
    plan = list(plan_batches(ids.lengths_N, token_budget))
    batches = [make_batch(ids, token_type, rows_B, pad_id) for rows_B in plan]
    for rows_B, logits_BC in zip(plan, infer(batches), strict=True):
        if logits_BC.shape != (len(rows_B), num_classes):
            raise ArtifactError(
                f"The model must give {num_classes} scores for each of {len(rows_B)} texts. Got the shape "
                f"{logits_BC.shape} instead.",
                hint="Make the Bundle again, or open it with another runtime.",
            )
        logits_NC[rows_B] = logits_BC
    return logits_NC


def pool_windows(encoded: Encoded, logits_WC: FloatArray) -> Inference:
    """Return what was found out about N texts from the scores of their W windows.

    The scores of a text are the mean over its windows, weighted by the tokens of each but the special ones. Since the
    last layer is linear, that is the mean of what the windows are read as.

    Args:
        encoded: The windows; if no text has several, the scores stay as they are.
        logits_WC: Float32, shape (W, C).

    Source: Pappagari et al. 2019, "Hierarchical Transformers for Long Document Classification", section 3.1,
        arXiv:1910.10781 (overlapping segments); Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?",
        section 5.3.1, arXiv:1905.05583 (mean pooling).
    Differs: the mean is weighted, for the last window may be short; nothing is trained on top.
    """
    num_tokens_W, num_texts, text_W = encoded.ids.lengths_N, len(encoded.truncated_N), encoded.text_W
    if text_W is None:
        return Inference(logits_WC, num_tokens_W, encoded.num_unknown_N, encoded.truncated_N)
    logits_NC = logits_WC[:num_texts].copy()
    long_M = np.unique(text_W[num_texts:])
    rows_W = np.flatnonzero(np.isin(text_W, long_M))
    weights_W = np.maximum(num_tokens_W[rows_W] - encoded.num_special, 1).astype(np.float32)
    weights_N = np.bincount(text_W[rows_W], weights_W, num_texts).astype(np.float32)
    logits_NC[long_M] = 0
    np.add.at(logits_NC, text_W[rows_W], logits_WC[rows_W] * (weights_W / weights_N[text_W[rows_W]])[:, None])
    num_tokens_N, num_unknown_N = (
        np.bincount(text_W, column_W, num_texts).astype(np.int64) for column_W in (num_tokens_W, encoded.num_unknown_N)
    )
    return Inference(logits_NC, num_tokens_N, num_unknown_N, encoded.truncated_N)


def _pad(rows: Ragged, places_BT: IntArray, is_token_BT: npt.NDArray[np.bool_], filler: int) -> IntArray:
    if is_token_BT.all():
        return rows.values[places_BT]
    padded_BT = np.full(is_token_BT.shape, filler, dtype=np.int64)
    padded_BT[is_token_BT] = rows.values[places_BT[is_token_BT]]
    return padded_BT
