"""Batches without wasted padding: sort by length, cut by a token budget, give the results back in input order.

It knows arrays of token ids, the windows of long texts and a function that scores one batch; it knows no engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from yanmo.answers.answered import Found
from yanmo.arrays import FloatArray, IntArray, Ragged
from yanmo.errors import ArtifactError
from yanmo.text.tokenizer import Encoded, UnitTokens

__all__ = [
    "TOKEN_BUDGET",
    "Batch",
    "Condenser",
    "count_cells",
    "infer_batches",
    "make_batch",
    "plan_batches",
    "plan_side_by_side",
    "pool_windows",
]

TOKEN_BUDGET = 512
"""Cells of a batch: with more, the states of a layer no longer fit a core's own cache, and all of it gets slower."""
BATCH_COST = 8
"""A batch costs as much as so many cells more: it reads all weights, and its operations cost something before that."""
FEW_TEXTS = 256
"""With more texts than this, batches of the budget have hardly any padding, and no thread waits long for the last."""
THREAD_SHARE = 2 / 3
"""The largest of few batches is at most this share of what one thread has to do, so that all end at about one time."""


@dataclass(frozen=True)
class Batch:
    """B texts as rectangles of width T.

    Attributes:
        ids_BT: Token ids, int64, shape (B, T), padded on the right.
        lengths_B: Tokens of each text, int64, at least 1.
        token_type_BT: 1 at tokens of the second text, int64, shape (B, T); None where the model has no use for it.
        units_U: Where the units that are decided about have their first tokens, among all B * T places, int64; None
            where texts are decided about.
    """

    ids_BT: IntArray
    lengths_B: IntArray
    token_type_BT: IntArray | None
    units_U: IntArray | None = None

    @property
    def num_outputs(self) -> int:
        """How many rows of scores a model gives."""
        return len(self.ids_BT) if self.units_U is None else len(self.units_U)

    @property
    def mask_BT(self) -> IntArray:
        """1 at tokens and 0 at padding, int64, shape (B, T)."""
        return (np.arange(self.ids_BT.shape[1]) < self.lengths_B[:, None]).astype(np.int64)


class Condenser(NamedTuple):
    """What keeps less of a batch's scores than all of them, where these would not fit into memory.

    Attributes:
        num_columns: How many numbers are kept of each text or unit.
        condense: From the scores of some, and their numbers among all, to what is kept of them.
    """

    num_columns: int
    condense: Callable[[FloatArray, IntArray], FloatArray]


def plan_batches(lengths_N: IntArray, token_budget: int = TOKEN_BUDGET) -> Iterator[IntArray]:
    """Yield the rows of every batch, longest texts first.

    Args:
        lengths_N: Tokens of each text, shape (N,).
        token_budget: Most cells of a batch, padding included; a text that is longer than that is a batch by itself.

    Yields:
        Row numbers, int64; every row is in exactly one batch.
    """
    # Stable, so that equal texts are cut into the same batches in every run.
    order_N = np.argsort(-lengths_N, kind="stable")
    start = 0
    while start < len(order_N):
        width = max(int(lengths_N[order_N[start]]), 1)
        stop = start + max(token_budget // width, 1)
        yield order_N[start:stop]
        start = stop


def plan_side_by_side(lengths_N: IntArray, num_threads: int) -> list[IntArray]:
    """Return the rows of batches for threads that compute one batch each: the fewest cells, and no long last batch.

    Args:
        lengths_N: Tokens of each text, shape (N,).
        num_threads: That take one batch after the other, longest texts first.

    Returns:
        Row numbers, int64; every row is in exactly one batch. Of at most ``FEW_TEXTS`` texts they are the cheapest
        division of the texts in order of length, found by dynamic programming.
    """
    num_texts = len(lengths_N)
    if num_texts > FEW_TEXTS:
        return list(plan_batches(lengths_N))
    order_N = np.argsort(-lengths_N, kind="stable")
    widths = np.maximum(lengths_N[order_N], 1).tolist()
    share = THREAD_SHARE / num_threads if num_threads > 1 else 1.0
    budget = min(TOKEN_BUDGET, share * sum(widths))
    # costs[i] is the least cost of the i longest texts, and starts[i] is where the last batch of that division begins.
    # A last batch from start to stop is as wide as its first text, the longest, and costs[start] is known before it.
    costs, starts = [0], [0]
    for stop in range(1, num_texts + 1):
        # One text may always be a batch, whatever the budget.
        cost, begin = costs[stop - 1] + widths[stop - 1], stop - 1
        for start in range(stop - 2, -1, -1):
            num_cells = widths[start] * (stop - start)
            # An earlier start makes the batch longer and no narrower.
            if num_cells > budget:
                break
            if costs[start] + num_cells < cost:
                cost, begin = costs[start] + num_cells, start
        costs.append(cost + BATCH_COST)
        starts.append(begin)
    # Followed back from the last text to the first.
    batches, stop = [], num_texts
    while stop:
        batches.append(order_N[starts[stop] : stop])
        stop = starts[stop]
    return batches[::-1]


def count_cells(lengths_N: IntArray, plan: Sequence[IntArray]) -> int:
    """Return the tokens of all batches with their padding."""
    return sum(int(lengths_N[rows_B].max()) * len(rows_B) for rows_B in plan)


def make_batch(
    ids: Ragged, token_type: Ragged | None, rows_B: IntArray, pad_id: int, units: UnitTokens | None = None
) -> Batch:
    """Return the given rows, padded to the longest of them, without a loop over texts.

    A text without any token becomes one padding token that is read, so that no row attends to nothing.
    """
    starts_B = ids.offsets[rows_B]
    lengths_B = ids.offsets[rows_B + 1] - starts_B
    steps_T = np.arange(max(int(lengths_B.max(initial=0)), 1))
    is_token_BT = steps_T < lengths_B[:, None]
    # Behind the end of a row the places are those of the next one, or of none; is_token_BT leaves them out.
    places_BT = starts_B[:, None] + steps_T
    token_type_BT = _pad(token_type, places_BT, is_token_BT, 0) if token_type is not None else None
    units_U = None
    if units is not None:
        taken = units.firsts.take(rows_B)
        units_U = taken.values + np.repeat(np.arange(len(rows_B)) * len(steps_T), taken.lengths_N)
    return Batch(_pad(ids, places_BT, is_token_BT, pad_id), np.maximum(lengths_B, 1), token_type_BT, units_U)


def infer_batches(
    ids: Ragged,
    token_type: Ragged | None,
    infer: Callable[[list[Batch]], Iterable[FloatArray]],
    *,
    plan: Sequence[IntArray],
    pad_id: int,
    num_classes: int,
    units: UnitTokens | None = None,
    condenser: Condenser | None = None,
) -> FloatArray:
    """Return the scores of all texts, or of all their units, in input order.

    Args:
        ids: Token ids of N texts.
        token_type: Segments of N pairs, with the same lengths, or None.
        infer: Takes batches, longest texts first, and gives logits_BC for each, in their order.
        plan: The rows of each batch.
        pad_id: The id that fills a batch up.
        num_classes: C.
        units: Of the texts, where these are decided about.
        condenser: What is kept of the scores; None: all of them.

    Returns:
        logits_NC, float32, shape (N, C); of units shape (U, C); condensed ones have as many columns as are kept.

    Raises:
        ArtifactError: The scores of a batch have another shape.
    """
    ends = np.arange(len(ids) + 1) if units is None else units.firsts.offsets
    outputs = Ragged(np.arange(ends[-1]), ends)
    num_columns = num_classes if condenser is None else condenser.num_columns
    logits_NC = np.empty((len(outputs.values), num_columns), dtype=np.float32)
    batches = [make_batch(ids, token_type, rows_B, pad_id, units) for rows_B in plan]
    for rows_B, batch, logits_BC in zip(plan, batches, infer(batches), strict=True):
        if logits_BC.shape != (batch.num_outputs, num_classes):
            what = "texts" if units is None else "units"
            raise ArtifactError(
                f"The model must give {num_classes} scores for each of {batch.num_outputs} {what}. Got the shape "
                f"{logits_BC.shape} instead.",
                hint="Make the Bundle again, or open it with another runtime.",
            )
        numbers = rows_B if units is None else outputs.take(rows_B).values
        logits_NC[numbers] = logits_BC if condenser is None else condenser.condense(logits_BC, numbers)
    return logits_NC


def pool_windows(encoded: Encoded, logits_WC: FloatArray, num_cells: int) -> tuple[FloatArray, Found]:
    """Return logits_NC of N texts from the scores of their W windows, and what reading them took.

    The scores of a text are the mean over its windows, weighted by the tokens of each but the special ones. Since the
    last layer is linear, that is the mean of what the windows are read as.

    Args:
        encoded: The windows; if no text has several, the scores stay as they are.
        logits_WC: Float32, shape (W, C).
        num_cells: Tokens of all windows with their padding.

    Source: Pappagari et al. 2019, "Hierarchical Transformers for Long Document Classification", section 3.1,
        arXiv:1910.10781 (overlapping segments); Sun et al. 2019, "How to Fine-Tune BERT for Text Classification?",
        section 5.3.1, arXiv:1905.05583 (mean pooling).
    Differs: the mean is weighted, for the last window may be short; nothing is trained on top.
    """
    num_tokens_W, num_texts, text_W = encoded.ids.lengths_N, len(encoded.truncated_N), encoded.text_W
    if text_W is None:
        return logits_WC, Found(num_tokens_W, encoded.num_unknown_N, encoded.truncated_N, num_cells)
    num_tokens_N, num_unknown_N = (
        np.bincount(text_W, column_W, num_texts).astype(np.int64) for column_W in (num_tokens_W, encoded.num_unknown_N)
    )
    found = Found(num_tokens_N, num_unknown_N, encoded.truncated_N, num_cells)
    if encoded.units is not None:  # each is decided about in one window
        return logits_WC, found
    # The first N rows are the beginnings of the texts: what has further windows is computed anew.
    logits_NC = logits_WC[:num_texts].copy()
    long_M = np.unique(text_W[num_texts:])
    rows_W = np.flatnonzero(np.isin(text_W, long_M))
    weights_W = np.maximum(num_tokens_W[rows_W] - encoded.num_special, 1).astype(np.float32)
    weights_N = np.bincount(text_W[rows_W], weights_W, num_texts).astype(np.float32)
    logits_NC[long_M] = 0
    # A text stands several times in the index; += would keep its last window alone.
    np.add.at(logits_NC, text_W[rows_W], logits_WC[rows_W] * (weights_W / weights_N[text_W[rows_W]])[:, None])
    return logits_NC, found


def _pad(rows: Ragged, places_BT: IntArray, is_token_BT: npt.NDArray[np.bool_], filler: int) -> IntArray:
    if is_token_BT.all():
        return rows.values[places_BT]
    padded_BT = np.full(is_token_BT.shape, filler, dtype=np.int64)
    padded_BT[is_token_BT] = rows.values[places_BT[is_token_BT]]
    return padded_BT
