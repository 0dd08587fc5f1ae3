"""The n-grams of chrF and BLEU: counted by sacrebleu row by row, scored from sums; without it there are no scores.

Rows in which a reference has an ideograph are cut for BLEU as sacrebleu cuts Chinese, others as it cuts by default.

Legend: N rows, S statistics of a row.

Source: Post 2018, "A Call for Clarity in Reporting BLEU Scores", arXiv:1804.08771.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from yanmo.arrays import Doubles

__all__ = ["NUM_BLEU", "NUM_CHRF", "bleu_of_sums", "chrf_of_sums", "count_ngrams", "ngram_signatures"]

CHRF_ORDER, BLEU_ORDER = 6, 4
NUM_CHRF = 3 * CHRF_ORDER
"""Of each length the n-grams of the text, those of the reference, and those in common."""
NUM_BLEU = 2 + 2 * BLEU_ORDER
"""The tokens of the text, those of the nearest reference; of each length the right n-grams, and all of the text."""
RECALL_WEIGHT = 4.0
"""The square of chrF's beta."""


def count_ngrams(texts: Sequence[str], references: Sequence[Sequence[str]]) -> Doubles | None:
    """Return the statistics of chrF and then those of BLEU, float64, shape (N, S); None without sacrebleu.

    Args:
        texts: N texts.
        references: Of each, at least one.
    """
    if not _has_sacrebleu():
        return None
    found_NS = np.zeros((len(texts), NUM_CHRF + NUM_BLEU))
    for row, (text, right) in enumerate(zip(texts, references, strict=True)):
        scorers = (_chrf(), _bleu(_cut_of(right)))
        # What sentence_score adds up and does not give of chrF; a text's own scores would be no sums.
        found = [one._extract_corpus_statistics([text], [[other] for other in right])[0] for one in scorers]
        found_NS[row] = [*found[0], *found[1]]
    return found_NS


def ngram_signatures(references: Sequence[Sequence[str]]) -> dict[str, str]:
    """Return what sacrebleu says of the way in which chrF and BLEU are computed, nothing without it.

    Args:
        references: Of N rows.
    """
    if not _has_sacrebleu():
        return {}
    cuts = sorted({_cut_of(right) for right in references if right})
    counts = {len(right) for right in references if right}
    found = {}
    for name, scorers in (("chrf", [_chrf()]), ("bleu", [_bleu(cut) for cut in cuts])):
        for one in scorers:
            one.num_refs = counts.copy().pop() if len(counts) == 1 else -1
        found[name] = " and ".join(one.get_signature().format() for one in scorers)
    return found


def chrf_of_sums(sums: Doubles) -> Doubles:
    """Return chrF in [0, 1] of sums, shape (..., 18)."""
    ours, theirs, common = (sums[..., place::3] for place in range(3))
    is_there = (ours > 0) & (theirs > 0)
    num_orders = np.maximum(is_there.sum(axis=-1), 1)
    precision = np.where(is_there, common / np.maximum(ours, 1), 0).sum(axis=-1) / num_orders
    recall = np.where(is_there, common / np.maximum(theirs, 1), 0).sum(axis=-1) / num_orders
    below = RECALL_WEIGHT * precision + recall
    return np.asarray((1 + RECALL_WEIGHT) * precision * recall / np.where(below > 0, below, 1.0))


def bleu_of_sums(sums: Doubles) -> Doubles:
    """Return BLEU in [0, 1] of sums, shape (..., 10); a length without right n-grams is smoothed as mteval does it."""
    ours, theirs = sums[..., 0], sums[..., 1]
    right, every = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    num_missed = np.cumsum((right == 0) & (every > 0), axis=-1)
    precision = np.where(right > 0, right, 0.5**num_missed) / np.maximum(every, 1)
    is_none = (every == 0).any(axis=-1) | ~(right > 0).any(axis=-1)
    brevity = np.minimum(1 - theirs / np.maximum(ours, 1), 0)
    return np.asarray(np.where(is_none, 0.0, np.exp(brevity + np.log(precision).mean(axis=-1))))


def _cut_of(references: Sequence[str]) -> str:
    return "zh" if any("\u3400" <= one <= "\u9fff" for text in references for one in text) else "13a"


@functools.cache
def _has_sacrebleu() -> bool:
    return importlib.util.find_spec("sacrebleu") is not None


@functools.cache
def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


@functools.cache
def _bleu(cut: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(tokenize=cut, force=True)
