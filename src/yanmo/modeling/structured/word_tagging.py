"""The tags that a parser reads: those of a tagger, as the parser will meet them; it parses nothing.

What a tagger says about rows that it has learned from is better than what it will say about others. So the tags that a
parser learns from are those of taggers that have not seen the row: one a fold.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.arrays import IntArray, Ragged
from yanmo.artifacts.bundle import TAGGER, TAGS
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings
from yanmo.modeling.structured.window_training import FittedWindow, fit_window
from yanmo.text.inputs import Inputs, Units

__all__ = ["Tagger", "WordTagging", "tag_words"]

logger = logging.getLogger(__name__)

NUM_FOLDS = 5
ACCURACY = "unit_accuracy"
LOOP = LoopSettings(
    learning_rate=0.1, batch_size=32, num_epochs=6, weight_decay=0.0, early_stopping_patience=6, seed=1, metric=ACCURACY
)


class Tagger(Protocol):
    """What tells the kind of every word."""

    @property
    def tags(self) -> Sequence[str]:
        """Their names, in order."""
        ...

    def kinds_U(self, texts: Inputs) -> IntArray:
        """Return the number of the tag of every word, from 1."""
        ...

    def save(self, folder: Path) -> None:
        """Write it into an empty folder, as ``runtimes.word_tagger`` reads it."""
        ...


@dataclass(frozen=True)
class WordTagging:
    """A tagger, and the tags that a parser is to learn from.

    Attributes:
        tagger: As it will answer.
        train_U: The number of the tag of every word of the training split, from 1, as a tagger gives it that has not
            seen the row.
    """

    tagger: Tagger
    train_U: IntArray

    def learned(self, texts: LabeledTexts) -> LabeledTexts:
        """Return the training split, perhaps with texts without a tree behind it, with the kinds of its words."""
        others = self.tagger.kinds_U(texts.take(np.flatnonzero(~texts.is_labeled_N)).texts)
        return _having(texts, np.concatenate([self.train_U, others]))

    def read(self, texts: LabeledTexts) -> LabeledTexts:
        """Return other texts with the kinds of their words."""
        return _having(texts, self.tagger.kinds_U(texts.texts))

    def save(self, folder: Path) -> None:
        """Write the tagger into the folder of a parser."""
        (folder / TAGGER).mkdir()
        self.tagger.save(folder / TAGGER)


@dataclass(frozen=True)
class _OwnTagger:
    """A window model of the treebank's own tags."""

    tags: list[str]
    fitted: FittedWindow

    def kinds_U(self, texts: Inputs) -> IntArray:
        units, model = _units(texts), self.fitted.model
        return np.asarray(model.scores(model.rows(units), units.places.offsets).argmax(axis=1) + 1)

    def save(self, folder: Path) -> None:
        self.fitted.save(folder)
        (folder / TAGS).write_text(json.dumps(self.tags, ensure_ascii=False) + "\n", encoding="utf-8")


def tag_words(
    train: LabeledTexts, valid: LabeledTexts, *, tagger: Tagger | None, seed: int, num_threads: int
) -> WordTagging | None:
    """Return a tagger and its tags; None where there is none and the training split has no tags.

    Args:
        train: Trees whose words have tags; a teacher's are left aside.
        valid: Trees that choose the epoch.
        tagger: One that is there already; of it no fold is trained.
        seed: Of the folds.
        num_threads: To compute with.
    """
    train = train.labeled()
    if tagger is not None:
        return WordTagging(tagger, tagger.kinds_U(train.texts))
    tags = sorted(set(np.unique(train.targets.values["tag"]).tolist()) - {""})
    if len(tags) < 2:
        return None
    ours, held = _tagged(train, tags), _tagged(valid, tags)
    loop = replace(LOOP, seed=seed, num_threads=num_threads)
    network = NetworkSettings(labels=tags, link=SOFTMAX, head="units")
    train_U = np.zeros(len(ours.targets.values), dtype=np.int64)
    fold_N, numbers = _folds(ours, seed), Ragged(np.arange(len(train_U)), ours.targets.offsets)
    for fold in range(NUM_FOLDS):
        rows = np.flatnonzero(fold_N == fold)
        if not len(rows):
            continue
        logger.info(
            "tags %d/%d: rows to learn from %d, to tag %d …", fold + 1, NUM_FOLDS, len(fold_N) - len(rows), len(rows)
        )
        part = fit_window(ours.take(np.flatnonzero(fold_N != fold)), held, network=network, loop=loop, measure=_measure)
        train_U[numbers.take(rows).values] = _OwnTagger(tags, part).kinds_U(ours.take(rows).texts)
    fitted = fit_window(ours, held, network=network, loop=loop, measure=_measure)
    logger.info("tags: %.2f %% of the validation split are right", 100 * fitted.scores[ACCURACY])
    return WordTagging(_OwnTagger(tags, fitted), train_U)


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


def _having(texts: LabeledTexts, kinds_U: IntArray) -> LabeledTexts:
    units = msgspec.structs.replace(_units(texts.texts), kinds_U=kinds_U)
    return replace(texts, texts=msgspec.structs.replace(texts.texts, units=units))


def _units(texts: Inputs) -> Units:
    if texts.units is None:
        raise InternalError("A tagger tags units, but the texts have none.")
    return texts.units


def _measure(evidence: Choices, targets: Any) -> dict[str, float]:
    known = targets.values >= 0
    right = evidence.values_MC.argmax(axis=1)[known] == targets.values[known]
    return {ACCURACY: float(right.mean()) if len(right) else 0.0, "loss": 0.0}
