"""Out-of-fold answers: each row by a model that has not learned from it, fold by fold; it knows no model and no text.

A fold that is done is kept in the work folder, so a run that was killed goes on with the fold it was in. One that a
failing disk has damaged is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.arrays import IntArray
from yanmo.artifacts import durable
from yanmo.artifacts.parquet import read_parquet, write_parquet

__all__ = ["AnswerFold", "KeptFolds"]

logger = logging.getLogger(__name__)

AnswerFold = Callable[[IntArray, IntArray, Path, str], Choices]
"""From rows to learn from, rows to answer, a work folder and a key of the work to probabilities."""


@dataclass(frozen=True)
class KeptFolds:
    """The answers of folds, each in a file.

    Attributes:
        fold_N: The fold of each row, from 0.
        num_classes: C.
        link: From scores to probabilities.
        work_dir: Where done folds are kept; those of another key are made anew.
        run_key: Names the work.
    """

    fold_N: IntArray
    num_classes: int
    link: Link
    work_dir: Path
    run_key: str

    @property
    def num_folds(self) -> int:
        """How many there are."""
        return int(self.fold_N.max()) + 1

    def missing(self) -> list[int]:
        """Return the folds that are not done."""
        return [fold for fold in range(self.num_folds) if self._read(fold) is None]

    def make(self, fold: int, answer: AnswerFold) -> None:
        """Let the rows of a fold be answered, and keep that whole or not at all."""
        rows, others = (np.flatnonzero(is_of_N) for is_of_N in (self.fold_N == fold, self.fold_N != fold))
        of_all = f"{fold + 1}/{self.num_folds}"
        logger.info("fold %s: rows to train on %d, to answer %d …", of_all, len(others), len(rows))
        done = self._path(fold)
        done.parent.mkdir(exist_ok=True)
        found = answer(others, rows, done.parent, self._key(fold))
        partial = done.with_suffix(".partial")
        write_parquet(pl.DataFrame(found.columns()), partial)
        durable.put(partial, done)

    def gathered(self) -> Choices:
        """Return every row's answer, probabilities, when no fold is missing."""
        found = [(np.flatnonzero(self.fold_N == fold), self._read(fold)) for fold in range(self.num_folds)]
        return Choices.gathered([(rows, answers) for rows, answers in found if answers is not None])

    def _key(self, fold: int) -> str:
        return f"{self.run_key}-{fold + 1}-of-{self.num_folds}"

    def _path(self, fold: int) -> Path:
        return self.work_dir / f"fold-{fold + 1}" / f"{self._key(fold)}.parquet"

    def _read(self, fold: int) -> Choices | None:
        """Return a fold's answers, None where there are none that are whole."""
        path = self._path(fold)
        try:
            found = Choices.read(read_parquet(path), self.link)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, PolarsError) as error:
            logger.warning("The answers in %s cannot be read (%s): the fold is answered again.", path, error)
            return None
        shape = (int((self.fold_N == fold).sum()), self.num_classes)
        return found if (len(found), found.values_MC.shape[1]) == shape else None
