"""Ragged features of whole splits, the order they are read in, and batches of them; it knows no model and no text.

The order is a function of (seed, epoch) only. A batch is cut out of flat arrays without a loop over texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.arrays import IntArray, Ragged

__all__ = [
    "Examples",
    "Features",
    "NgramFeatures",
    "Score",
    "Targets",
    "TensorBatch",
    "TokenFeatures",
    "epoch_batches",
    "full_mask",
    "is_full",
    "sorted_batches",
]

# So many that texts in a batch are nearly equally long, so few that the order stays random.
BATCHES_A_BUCKET = 50

TensorBatch = dict[str, Tensor]
Score = Callable[[nn.Module, TensorBatch], Tensor]
"""From a network and a batch to outputs."""


class Features(Protocol):
    """What a network reads of N texts."""

    @property
    def lengths_N(self) -> IntArray:
        """Tokens or n-grams of each text."""
        ...

    @property
    def is_padded(self) -> bool:
        """Whether a batch is as wide as its longest text, so that grouping by length saves work."""
        ...

    @property
    def output_ends(self) -> IntArray | None:
        """Row i has the outputs ``output_ends[i]`` to ``output_ends[i + 1]``; None where each row has one."""
        ...

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return the input tensors of some texts, by the name of the network's argument and in its order."""
        ...


class Targets(Protocol):
    """What N rows are held against."""

    def __len__(self) -> int:
        """Return N."""
        ...

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return the targets of some rows as tensors, by name."""
        ...


@dataclass(frozen=True)
class TokenFeatures:
    """Token ids, with the token types of text pairs where the model has them.

    Attributes:
        ids: Token ids.
        token_types: 0 or 1 for each token, or None.
        pad_id: What fills a row of a batch on the right.
        firsts: The place in its row of the first token of every unit that gets an output; None where texts get one.
        text_N: The text that each row is of, where there may be several of one; None where row i is text i.
        places: Where the units stand in the raw texts, of these texts; None where texts get one output.
    """

    ids: Ragged
    token_types: Ragged | None = None
    pad_id: int = 0
    is_padded: bool = True
    firsts: Ragged | None = None
    text_N: IntArray | None = None
    places: Ragged | None = None

    @property
    def lengths_N(self) -> IntArray:
        """Tokens of each text."""
        return self.ids.lengths_N

    @property
    def output_ends(self) -> IntArray | None:
        """One output a text, or one a unit."""
        return None if self.firsts is None else self.firsts.offsets

    def take(self, rows: IntArray) -> TokenFeatures:
        """Return some of the rows."""
        types, firsts, text_N = self.token_types, self.firsts, self.text_N
        return TokenFeatures(
            self.ids.take(rows),
            types and types.take(rows),
            self.pad_id,
            firsts=firsts and firsts.take(rows),
            text_N=None if text_N is None else text_N[rows],
        )

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, int64, shape (B, T).

        Of units also ``units``: where their first tokens are among all places of the batch, int64, shape (U,).
        """
        mask_BT = _mask(self.lengths_N[rows_B])
        batch = {"input_ids": _fill(self.ids, rows_B, mask_BT, self.pad_id)}
        batch["attention_mask"] = torch.from_numpy(mask_BT.astype(np.int64))
        if self.token_types is not None:
            batch["token_type_ids"] = _fill(self.token_types, rows_B, mask_BT, 0)
        if self.firsts is not None:
            taken = self.firsts.take(rows_B)
            begins_U = np.repeat(np.arange(len(rows_B)) * mask_BT.shape[1], taken.lengths_N)
            batch["units"] = torch.from_numpy(taken.values + begins_U)
        return batch


@dataclass(frozen=True)
class NgramFeatures:
    """Hashed n-grams of each text.

    Attributes:
        buckets: The embedding row of every n-gram.
    """

    buckets: Ragged
    is_padded: bool = False
    output_ends: None = None

    @property
    def lengths_N(self) -> IntArray:
        """N-grams of each text."""
        return self.buckets.lengths_N

    def collate(self, rows_B: IntArray) -> TensorBatch:
        """Return ``buckets``, int64, shape (M,), and ``offsets``, int64, shape (B,)."""
        taken = self.buckets.take(rows_B)
        return {
            "buckets": torch.from_numpy(taken.values.astype(np.int64, copy=False)),
            "offsets": torch.from_numpy(taken.offsets[:-1].copy()),
        }


@dataclass(frozen=True)
class Examples:
    """Features with their targets.

    Attributes:
        features: Of N texts.
        targets: What they are held against.
        ids: Of the rows, to name those that a training fails on; None names them by number.
        drawn: From an epoch and the rows of a batch to what these rows are in it; None: always the same.
    """

    features: Features
    targets: Targets
    ids: Sequence[str] | None = None
    drawn: Callable[[int, IntArray], Examples] | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def of_batch(self, epoch: int, rows_S: IntArray) -> Examples:
        """Return what a batch of an epoch, that of all workers together, is made of."""
        return self.drawn(epoch, rows_S) if self.drawn else self


def full_mask(mask_BT: Tensor, device: str) -> Tensor:
    """Return the mask of a batch without padding on a device; that it is one can be told without reading it there."""
    return torch.ones((), dtype=mask_BT.dtype, device=device).expand(mask_BT.shape)


def is_full(mask_BT: Tensor) -> bool:
    """Return whether a mask is known to have no padding: what is on a processor is looked at, other ones are not."""
    # Looking at the values would wait for the device. Only an expanded tensor, as full_mask gives it, has strides of 0.
    return bool(mask_BT.all()) if mask_BT.device.type == "cpu" else not any(mask_BT.stride())


def epoch_batches(
    features: Features, *, batch_size: int, seed: int, epoch: int, batch_tokens: int | None = None
) -> list[IntArray]:
    """Return the rows of every batch of an epoch.

    Texts are shuffled; within a bucket of 50 batches they are sorted by length, and then the batches are shuffled.

    Args:
        features: Of N texts.
        batch_size: Most texts of a batch.
        seed: With ``epoch`` it fixes the order.
        epoch: From 0.
        batch_tokens: Most tokens of a batch, padding included; None for any number. A longer text is a batch.
    """
    generator = np.random.default_rng([seed, epoch])
    lengths_N = features.lengths_N
    order_N = generator.permutation(len(lengths_N))
    if features.is_padded:
        bucket_N = np.arange(len(order_N)) // (batch_size * BATCHES_A_BUCKET)
        order_N = order_N[np.lexsort((lengths_N[order_N], bucket_N))]
    batches = _cut(features, order_N, batch_size, batch_tokens)
    return [batches[place] for place in generator.permutation(len(batches))]


def sorted_batches(features: Features, *, batch_size: int, batch_tokens: int | None = None) -> list[IntArray]:
    """Return the rows of every batch, shortest texts first: least padding, for evaluation."""
    return _cut(features, np.argsort(features.lengths_N, kind="stable"), batch_size, batch_tokens)


def _cut(features: Features, order_N: IntArray, batch_size: int, batch_tokens: int | None) -> list[IntArray]:
    if batch_tokens is None:
        return [order_N[start : start + batch_size] for start in range(0, len(order_N), batch_size)]
    batches, start = [], 0
    while start < len(order_N):
        rows_B = order_N[start : start + batch_size]
        num_fit = np.searchsorted(_tokens_so_far(features, rows_B), batch_tokens, side="right")
        batches.append(rows_B[: max(1, num_fit)])
        start += len(batches[-1])
    return batches


def _tokens_so_far(features: Features, rows_B: IntArray) -> IntArray:
    """Return what a batch of the first 1, 2, … of some texts has to compute."""
    lengths_B = features.lengths_N[rows_B]
    if not features.is_padded:
        return np.cumsum(lengths_B)
    widths_B: IntArray = np.maximum.accumulate(lengths_B)
    return widths_B * np.arange(1, len(rows_B) + 1)


def _mask(lengths_B: IntArray) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    # Networks read no batch without a place, and all of its texts may be empty.
    width = max(1, int(lengths_B.max(initial=0)))
    return np.asarray(np.arange(width) < lengths_B[:, None])


def _fill(
    ragged: Ragged, rows_B: IntArray, mask_BT: np.ndarray[tuple[int, int], np.dtype[np.bool_]], pad: int
) -> Tensor:
    padded_BT = np.full(mask_BT.shape, pad, dtype=np.int64)
    # A mask is filled row by row, the order in which the flat values come.
    padded_BT[mask_BT] = ragged.take(rows_B).values
    return torch.from_numpy(padded_BT)
