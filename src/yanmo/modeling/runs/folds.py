"""Out-of-fold answers: each row by a model that has not learned from it, fold by fold; it knows no model and no text.

A fold that is done is kept in the work folder, so a run that was killed goes on with the fold it was in. One that a
failing disk has damaged is done again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from yanmo.arrays import FloatArray, IntArray
from yanmo.artifacts import durable

__all__ = ["answer_out_of_fold"]

logger = logging.getLogger(__name__)

AnswerFold = Callable[[IntArray, IntArray, Path, str], FloatArray]
"""From rows to learn from, rows to answer, a work folder and a key of the work to probabilities_MC."""


def answer_out_of_fold(
    fold_N: IntArray, num_classes: int, answer: AnswerFold, *, work_dir: Path, run_key: str
) -> FloatArray:
    """Return every row's answer, float32, shape (N, C).

    Args:
        fold_N: The fold of each row, from 0.
        num_classes: C.
        answer: Trains on some rows and answers others.
        work_dir: Where done folds are kept; those of another key are made anew.
        run_key: Names the work.
    """
    answers_NC = np.empty((len(fold_N), num_classes), dtype=np.float32)
    num_folds = int(fold_N.max()) + 1
    for fold in range(num_folds):
        rows, key = np.flatnonzero(fold_N == fold), f"{run_key}-{fold + 1}-of-{num_folds}"
        folder = work_dir / f"fold-{fold + 1}"
        done = folder / f"{key}.npy"
        answers_MC = _read(done, (len(rows), num_classes))
        if answers_MC is None:
            logger.info(
                "fold %d/%d: trains on %d rows, answers %d …", fold + 1, num_folds, len(fold_N) - len(rows), len(rows)
            )
            folder.mkdir(exist_ok=True)
            answers_MC = answer(np.flatnonzero(fold_N != fold), rows, folder, key)
            _write(done, answers_MC)
        answers_NC[rows] = answers_MC
    return answers_NC


def _read(path: Path, shape: tuple[int, int]) -> FloatArray | None:
    """Return a fold's answers, None where there are none that are whole."""
    try:
        answers_MC: FloatArray = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        return None
    except (OSError, EOFError, ValueError) as error:
        logger.warning("The answers in %s cannot be read (%s): the fold is answered again.", path, error)
        return None
    return answers_MC if answers_MC.shape == shape else None


def _write(path: Path, answers_MC: FloatArray) -> None:
    """Write a fold's answers whole or not at all."""
    partial = path.with_suffix(".partial")
    # Opened here, since np.save would give a path of this name another ending.
    with partial.open("wb") as file:
        np.save(file, answers_MC, allow_pickle=False)
    durable.put(partial, path)
