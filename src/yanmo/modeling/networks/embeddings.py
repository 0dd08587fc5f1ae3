"""Embeddings that begin with what is known before any training: which tokens stand together, and the order of places.

It knows no network.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from yanmo.arrays import FloatArray, Ragged

__all__ = ["begin_with", "ppmi_embeddings", "sinusoidal_positions"]

WINDOW = 4
# Below 1, so that rare contexts count as if they were more common: their mutual information would be too high.
CONTEXT_POWER = 0.75
# The decomposition draws at random; with a fixed seed equal texts give an equal start.
SEED = 0
WAVELENGTH = 10_000


def ppmi_embeddings(ids: Ragged, *, vocab_size: int, size: int, deviation: float) -> FloatArray:
    """Return embeddings in which tokens that stand beside the same tokens are alike.

    Args:
        ids: Token ids of N texts, below ``vocab_size``.
        vocab_size: V.
        size: D, at least 1.
        deviation: Standard deviation of the numbers of all tokens that occur.

    Returns:
        Float32, shape (V, D). Tokens that never stand beside another, and columns beyond V - 1, are zeros.

    Source: Levy, Goldberg, Dagan 2015, "Improving Distributional Similarity with Lessons Learned from Word
        Embeddings", section 2.2 and 3.1, ACL Q15-1016: positive pointwise mutual information, context distribution
        smoothing, singular value decomposition with the square root of the singular values.
    Differs: a neighbor at distance d counts 1 / d.
    """
    # Here, since it takes longer to import than a small training does, most of which begin without it.
    from sklearn.utils.extmath import randomized_svd

    counts_VV = _count_pairs(ids, vocab_size)
    if counts_VV.nnz == 0:
        return np.zeros((vocab_size, size), np.float32)
    totals_V = np.asarray(counts_VV.sum(axis=1)).ravel()
    smoothed_V = totals_V**CONTEXT_POWER
    # Both sums must be the same, or the quotient below would not be one of probabilities.
    smoothed_V *= totals_V.sum() / smoothed_V.sum()
    cells = counts_VV.tocoo()
    values = np.log(cells.data * totals_V.sum() / (totals_V[cells.row] * smoothed_V[cells.col]))
    ppmi_VV = sparse.csr_array((np.maximum(values, 0.0), (cells.row, cells.col)), shape=counts_VV.shape)
    num_columns = min(size, vocab_size - 1)
    left_VD, singular_D, _ = randomized_svd(ppmi_VV, num_columns, random_state=SEED)
    embeddings_VD = np.zeros((vocab_size, size), np.float32)
    embeddings_VD[:, :num_columns] = left_VD * np.sqrt(singular_D)
    # Rounding leaves tiny numbers in these rows, but begin_with knows what is unknown by exact zeros.
    embeddings_VD[totals_V == 0] = 0
    spread = float(embeddings_VD[totals_V > 0].std())
    return embeddings_VD * np.float32(deviation / spread if spread > 0 else 0.0)


def sinusoidal_positions(num_places: int, size: int, *, deviation: float) -> FloatArray:
    """Return embeddings of places of which those that are equally far apart are equally alike.

    Args:
        num_places: T.
        size: D.
        deviation: Standard deviation of the numbers of many places, about.

    Returns:
        Float32, shape (T, D).

    Source: Vaswani et al. 2017, "Attention Is All You Need", section 3.5, arXiv:1706.03762.
    Differs: they are only where training begins; sines and cosines have halves of their own.
    """
    angles_TK = np.arange(num_places)[:, None] / WAVELENGTH ** (np.arange(0, size, 2) / size)
    waves_TD = np.concatenate([np.sin(angles_TK), np.cos(angles_TK)], axis=1)[:, :size]
    # The mean square of a sine is 1/2, for which the root of 2 makes up.
    positions_TD: FloatArray = (np.sqrt(2) * deviation * waves_TD).astype(np.float32)
    return positions_TD


def begin_with(weight_VD: Tensor, start_VD: FloatArray) -> None:
    """Put embeddings into a network, except rows of zeros, of which nothing is known."""
    start = torch.from_numpy(start_VD)
    with torch.no_grad():
        weight_VD.copy_(torch.where(start.any(dim=1, keepdim=True), start, weight_VD))


def _count_pairs(ids: Ragged, vocab_size: int) -> sparse.csr_array:
    """Return how often two tokens stand within a window, nearer ones counting more; symmetric, shape (V, V)."""
    values = ids.values.astype(np.int64)
    text_M = np.repeat(np.arange(len(ids)), ids.lengths_N)
    counts_VV = sparse.csr_array((vocab_size, vocab_size), dtype=np.float64)
    # Shifted against itself, the flat array gives all pairs at one distance; those over the end of a text do not count.
    for distance in range(1, WINDOW + 1):
        is_pair = text_M[distance:] == text_M[:-distance]
        first, second = values[:-distance][is_pair], values[distance:][is_pair]
        weights = np.full(len(first), 1.0 / distance)
        # Of a pair that occurs several times the weights are added up when coordinates become rows.
        counts_VV = counts_VV + sparse.csr_array((weights, (first, second)), shape=counts_VV.shape)
    return sparse.csr_array(counts_VV + counts_VV.T)
