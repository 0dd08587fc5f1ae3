"""Out-of-fold answers: each row by a model that has not learned from it, fold by fold; it knows no model and no text.

A fold that is done is kept in the work folder, so a run that was killed goes on with the fold it was in. One that a
failing disk has damaged is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from polars.exceptions import PolarsError

from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.arrays import IntArray
from yanmo.artifacts import durable
from yanmo.artifacts.parquet import read_parquet, write_parquet

__all__ = ["answer_out_of_fold"]

logger = logging.getLogger(__name__)

AnswerFold = Callable[[IntArray, IntArray, Path, str], Choices]
"""From rows to learn from, rows to answer, a work folder and a key of the work to probabilities."""


def answer_out_of_fold(
    fold_N: IntArray, num_classes: int, link: Link, answer: AnswerFold, *, work_dir: Path, run_key: str
) -> Choices:
    """Return every row's answer: probabilities.

    Args:
        fold_N: The fold of each row, from 0.
        num_classes: C.
        link: From scores to probabilities.
        answer: Trains on some rows and answers others.
        work_dir: Where done folds are kept; those of another key are made anew.
        run_key: Names the work.
    """
    answers: list[tuple[IntArray, Choices]] = []
    num_folds = int(fold_N.max()) + 1
    for fold in range(num_folds):
        rows, key = np.flatnonzero(fold_N == fold), f"{run_key}-{fold + 1}-of-{num_folds}"
        folder = work_dir / f"fold-{fold + 1}"
        done = folder / f"{key}.parquet"
        found = _read(done, (len(rows), num_classes), link)
        if found is None:
            logger.info(
                "fold %d/%d: rows to train on %d, to answer %d …",
                fold + 1,
                num_folds,
                len(fold_N) - len(rows),
                len(rows),
            )
            folder.mkdir(exist_ok=True)
            found = answer(np.flatnonzero(fold_N != fold), rows, folder, key)
            _write(done, found)
        answers.append((rows, found))
    return Choices.gathered(answers)


def _read(path: Path, shape: tuple[int, int], link: Link) -> Choices | None:
    """Return a fold's answers, None where there are none that are whole."""
    try:
        found = Choices.read(read_parquet(path), link)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, PolarsError) as error:
        logger.warning("The answers in %s cannot be read (%s): the fold is answered again.", path, error)
        return None
    return found if (len(found), found.values_MC.shape[1]) == shape else None


def _write(path: Path, found: Choices) -> None:
    """Write a fold's answers whole or not at all."""
    partial = path.with_suffix(".partial")
    write_parquet(pl.DataFrame(found.columns()), partial)
    durable.put(partial, path)
