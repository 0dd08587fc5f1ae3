"""Blocks of texts that a teacher answers for a student, each kept with its answers; it knows no executor.

The texts of a block lie in a file beside where its answers appear: none goes through an executor.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.parquet import count_rows, read_parquet, write_parquet
from yanmo.artifacts.predictions import predictions_frame
from yanmo.executors.places import ArtifactPlace, check_folder
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.runtimes.stream import answer_windows

__all__ = ["TeachJob", "texts_path"]


def texts_path(folder: Path, number: int) -> Path:
    """Return the file of a block's texts; that of texts and answers has another ending."""
    return folder / f"{number:06}.texts"


@dataclass(frozen=True)
class TeachJob:
    """Who teaches, and where the blocks are.

    Attributes:
        teacher: The Bundle.
        folder: Of the blocks.
        runtime: How the Bundle is opened.
    """

    teacher: ArtifactPlace
    folder: str
    runtime: Mapping[str, Any]

    @contextlib.contextmanager
    def open(self) -> Iterator[TeacherBlocks]:
        """Open the Bundle.

        Raises:
            ArtifactError: It is another one here, or the folder is not there.
        """
        folder = check_folder(self.folder)
        with open_bundle(self.teacher.open(Bundle), **self.runtime) as predictor:
            yield TeacherBlocks(predictor, folder)


class TeacherBlocks:
    """Answers blocks.

    Args:
        predictor: Who answers.
        folder: Of the blocks.
    """

    def __init__(self, predictor: Predictor, folder: Path) -> None:
        self._predictor = predictor
        self._folder = folder

    def run(self, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        """Yield the number of each block, and of its rows, when it is there with its answers."""
        # One may be there already: it was made for this, too, by a process that was taken for lost.
        for is_made, some in itertools.groupby(numbers, lambda number: self._path(number).exists()):
            if is_made:
                yield from ((number, count_rows(self._path(number))) for number in some)
            else:
                yield from self._answer(some)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:06}.parquet"

    def _answer(self, numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
        order: list[int] = []

        def texts() -> Iterator[pl.DataFrame]:
            for number in numbers:
                order.append(number)
                yield read_parquet(texts_path(self._folder, number))

        task = self._predictor.task
        for place, (rows, answers) in enumerate(answer_windows(self._predictor, texts())):
            frame = predictions_frame(
                rows["id"], task.column(answers.decided.predictions), answers.decided, answers.evidence
            )
            path = self._path(order[place])
            # Under another ending until it is whole, and its own: a block may be made twice at once.
            partial = path.with_name(f"{path.stem}-{platform.node()}-{os.getpid()}.partial")
            write_parquet(frame.hstack(rows.drop("id")), partial)
            partial.replace(path)
            yield order[place], rows.height
