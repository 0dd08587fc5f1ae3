"""The tagger of a parser: parts of speech by the window model, as the parser will meet them; it parses nothing.

What a tagger says about rows that it has learned from is better than what it will say about others. So the tags that a
parser learns from are those of taggers that have not seen the row: one a fold.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import IntArray, Ragged
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings
from yanmo.modeling.structured.window_model import WindowModel
from yanmo.modeling.structured.window_training import FittedWindow, fit_window

__all__ = ["WordTagging", "tag_words"]

logger = logging.getLogger(__name__)

NUM_FOLDS = 5
ACCURACY = "unit_accuracy"
LOOP = LoopSettings(
    learning_rate=0.1, batch_size=32, num_epochs=6, weight_decay=0.0, early_stopping_patience=6, seed=1, metric=ACCURACY
)


@dataclass(frozen=True)
class WordTagging:
    """The tagger, and the tags that a parser is to learn from.

    Attributes:
        tags: Their names, in order.
        fitted: The tagger, of all rows.
        train_U: Of every word of the training split the tag, by a tagger that has not seen its row, int64.
        valid_U: Of every word of the validation split the tag.
    """

    tags: list[str]
    fitted: FittedWindow
    train_U: IntArray
    valid_U: IntArray


def tag_words(train: LabeledTexts, valid: LabeledTexts, *, seed: int, num_threads: int) -> WordTagging | None:
    """Return a tagger and its tags; None where the training split has no tags.

    Args:
        train: Trees whose words have tags.
        valid: Trees that choose the epoch.
        seed: Of the folds.
        num_threads: To compute with.
    """
    tags = sorted(set(np.unique(train.targets.values["tag"]).tolist()) - {""})
    if len(tags) < 2:
        return None
    # Of texts that a teacher has answered nobody knows the tags; none of them needs a fold.
    ours, held = _tagged(train.labeled(), tags), _tagged(valid, tags)
    others = train.take(np.flatnonzero(~train.is_labeled_N))
    loop = replace(LOOP, seed=seed, num_threads=num_threads)
    network = NetworkSettings(labels=tags, link=SOFTMAX, head="units")
    train_U = np.zeros(len(ours.targets.values), dtype=np.int64)
    fold_N, numbers = _folds(ours, seed), Ragged(np.arange(len(train_U)), ours.targets.offsets)
    for fold in range(NUM_FOLDS):
        rows = np.flatnonzero(fold_N == fold)
        if not len(rows):
            continue
        logger.info(
            "tags %d/%d: learns from %d rows, tags %d …", fold + 1, NUM_FOLDS, len(fold_N) - len(rows), len(rows)
        )
        part = fit_window(ours.take(np.flatnonzero(fold_N != fold)), held, network=network, loop=loop, measure=_measure)
        train_U[numbers.take(rows).values] = _best(part.model, ours.take(rows))
    fitted = fit_window(ours, held, network=network, loop=loop, measure=_measure)
    logger.info("tags: %.2f %% of the validation split are right", 100 * fitted.scores[ACCURACY])
    train_U = np.concatenate([train_U, _best(fitted.model, others)])
    return WordTagging(tags, fitted, train_U, _best(fitted.model, held))


def _tagged(texts: LabeledTexts, tags: Sequence[str]) -> LabeledTexts:
    """Return texts whose targets are the places of tags, -1 where there is none."""
    names = texts.targets.values["tag"]
    places_U = np.searchsorted(tags, names)
    is_known_U = np.asarray(tags)[np.minimum(places_U, len(tags) - 1)] == names
    return replace(texts, targets=Ragged(np.where(is_known_U, places_U, -1), texts.targets.offsets), soft=None)


def _folds(texts: LabeledTexts, seed: int) -> IntArray:
    """Return the fold of every row; rows of one text are in one fold."""
    _, text_N = np.unique(np.asarray(texts.texts.first, dtype=np.str_), return_inverse=True)
    fold_N = np.random.default_rng(seed).permutation(int(text_N.max(initial=-1)) + 1) % NUM_FOLDS
    return np.asarray(fold_N[text_N], dtype=np.int64)


def _best(model: WindowModel, texts: LabeledTexts) -> IntArray:
    units = texts.texts.units
    if units is None:
        raise InternalError("A tagger tags units, but the texts have none.")
    return np.asarray(model.scores(model.rows(units), units.places.offsets).argmax(axis=1))


def _measure(evidence: Choices, targets: Any) -> dict[str, float]:
    known = targets.values >= 0
    right = evidence.values_MC.argmax(axis=1)[known] == targets.values[known]
    return {ACCURACY: float(right.mean()) if len(right) else 0.0, "loss": 0.0}
