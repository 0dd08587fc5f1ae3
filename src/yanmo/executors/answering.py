"""Units of texts that a Bundle answers, each written as a part of the Predictions; it knows no executor.

Windows, and the batches within them, begin anew in every unit. So what a unit's part holds depends on its rows, the
Bundle and the settings alone, and is the same bytes wherever and however often it is made.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.artifacts.answer_table import answer_table
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.ledger import FinishedPart, put_part
from yanmo.artifacts.parquet import write_parquet
from yanmo.artifacts.predictions import predictions_frame
from yanmo.artifacts.row_formats import ROW_FORMATS
from yanmo.artifacts.stored_ledger import put_stored_part
from yanmo.data.read import ReadOptions
from yanmo.executors.places import ArtifactPlace, check_folder
from yanmo.executors.tally import Tally, count_found
from yanmo.executors.units import Unit, UnitReader, cut_windows
from yanmo.paths import as_address
from yanmo.runtimes.library import DOCUMENT, Library
from yanmo.runtimes.predictor import Predictor, open_bundle
from yanmo.runtimes.stream import answer_windows

__all__ = ["EVIDENCE_ENDING", "TABLE_NAME", "AnswerJob", "Answering", "TableStyle", "answer_frames"]

EVIDENCE_ENDING = "parquet"
"""Ending of a part's evidence."""
TABLE_NAME = "table"
"""Ending, before that of its format, of a part's rows for people."""


@dataclass(frozen=True)
class TableStyle:
    """How the table for people is written.

    Attributes:
        format: Such as csv.
        bom: Whether a csv file begins with a byte order mark.
        plain_cells: Whether no spreadsheet may take a text for a formula.
    """

    format: str
    bom: bool
    plain_cells: bool

    @property
    def ending(self) -> str:
        """The ending of a part's rows."""
        return f"{TABLE_NAME}.{self.format}"


@dataclass(frozen=True, kw_only=True)
class AnswerJob:
    """What is asked, as plain values.

    Attributes:
        bundle: Who answers.
        runtime: How it is opened.
        options: How the files of the units are read.
        columns: Our name of a column to the files'.
        parts: Folder or address that gets the parts.
        mark: What their names have in them at an address.
        table: How their rows are written for people.
        documents: Folder that the answers to questions are looked for in; None where each row has its text.
    """

    bundle: ArtifactPlace
    runtime: Mapping[str, Any]
    options: ReadOptions
    columns: Mapping[str, str]
    parts: str
    table: TableStyle
    documents: str | None = None
    mark: str = ""

    def open(self) -> contextlib.AbstractContextManager[Answering]:
        """Open the Bundle.

        Raises:
            ArtifactError: It is another one here, or the parts' folder is not there.
        """
        return self._open()

    @contextlib.contextmanager
    def _open(self) -> Iterator[Answering]:
        for folder in filter(None, ("" if as_address(self.parts) else self.parts, self.documents)):
            check_folder(folder)
        with open_bundle(self.bundle.open(Bundle), **self.runtime) as predictor:
            yield Answering(self, predictor)


class Answering:
    """Answers units and writes their parts.

    Args:
        job: What is asked.
        predictor: Who answers.
    """

    def __init__(self, job: AnswerJob, predictor: Predictor) -> None:
        self._job = job
        self._predictor = predictor
        self._reader = UnitReader(job.options, job.columns)

    def run(self, units: Iterable[Unit]) -> Iterator[FinishedPart]:
        """Yield each unit's part, which is written."""
        yield from self.write((unit.number, self._reader.read(unit)) for unit in units)

    def write(self, numbered: Iterable[tuple[int, pl.DataFrame]]) -> Iterator[FinishedPart]:
        """Yield the part of each number and rows, which is written; the next rows are read meanwhile."""
        inputs, documents = self._predictor.task.inputs, self._job.documents
        # Windows of all units are one stream, so that the first window of a unit is read while the last one of the
        # unit before is scored. Where a unit ends is known by the time its last window comes out.
        ends: dict[int, int] = {}
        order: list[int] = []

        def windows() -> Iterator[pl.DataFrame]:
            for place, (number, rows) in enumerate(numbered):
                order.append(number)
                ends[place] = rows.height
                yield from cut_windows(rows, inputs)

        answered = answer_frames(self._predictor, windows(), documents)
        for place in itertools.count():
            first = next(answered, None)
            if first is None:
                return
            found = [first]
            while sum(rows.height for rows, _, _ in found) < ends[place]:
                found.append(next(answered))
            yield self._write(order[place], found)

    def _write(self, number: int, found: list[tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]]) -> FinishedPart:
        tally = Tally()
        for _, _, counts in found:
            tally.add(counts)
        texts = pl.concat([rows.select(*self._predictor.task.inputs, pl.col(f"^{DOCUMENT}$")) for rows, _, _ in found])
        frame = pl.concat([frame for _, frame, _ in found])
        writers: dict[str, Callable[[Path], object]] = {
            EVIDENCE_ENDING: lambda path: write_parquet(frame, path),
            self._job.table.ending: lambda path: self._write_table(number, texts, frame, path),
        }
        files = {ending: self._put(number, ending, write) for ending, write in writers.items()}
        return FinishedPart(number, files, tally.counts())

    def _put(self, number: int, ending: str, write: Callable[[Path], object]) -> str:
        if as_address(self._job.parts) is None:
            return put_part(self._job.parts, number, ending, write)
        return put_stored_part(self._job.parts, number, ending, write, mark=self._job.mark)

    def _write_table(self, number: int, texts: pl.DataFrame, frame: pl.DataFrame, path: Path) -> None:
        style, labels = self._job.table, self._predictor.labels
        if style.format in ROW_FORMATS:
            write = ROW_FORMATS[style.format][self._predictor.task.form]
            with path.open("wb") as file:
                file.writelines(text.encode() for text in write(frame, texts.to_series(), labels))
            return
        table = answer_table(texts, frame, labels if style.format == "csv" else None, plain_cells=style.plain_cells)
        if style.format == "parquet":
            write_parquet(table, path)
        elif style.format == "csv":
            with path.open("wb") as file:
                # The parts' bytes, one after the other, are the whole table's.
                table.write_csv(file, include_header=not number, include_bom=style.bom and not number)
        else:
            with path.open("wb") as file:
                table.write_ndjson(file)


def answer_frames(
    predictor: Predictor, windows: Iterable[pl.DataFrame], documents: Path | str | None = None
) -> Iterator[tuple[pl.DataFrame, pl.DataFrame, dict[str, Any]]]:
    """Yield every window's rows, rows of Predictions, and counts.

    Args:
        predictor: Who answers.
        windows: The rows.
        documents: Folder that the answers to questions are looked for in; the rows then get the passages.
    """
    found = answer_windows if documents is None else Library.open(Path(documents)).answer
    for rows, answers in found(predictor, windows):
        column = predictor.task.column(answers.decided.predictions)
        stage_N = answers.found.stage_N
        frame = predictions_frame(rows["id"], column, answers.decided, answers.evidence, stage_N=stage_N)
        yield rows, frame, count_found(answers.found)
