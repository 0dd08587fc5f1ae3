"""The parts of Predictions: an executor makes those that are missing, and all are put together; it knows no source."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from yanmo.artifacts.ledger import FinishedPart, Ledger, PartLedger
from yanmo.artifacts.parquet import join_evenly
from yanmo.artifacts.predictions import PREDICTIONS
from yanmo.counted import counted
from yanmo.executors.answering import EVIDENCE_ENDING, TABLE_NAME, AnswerJob, TableStyle
from yanmo.executors.here import InThisProcess
from yanmo.executors.jobs import Executor
from yanmo.executors.units import Unit, regroup
from yanmo.paths import as_address
from yanmo.progress import bar

__all__ = ["answer_missing", "answer_stream", "put_together"]

logger = logging.getLogger(__name__)


def answer_missing(job: AnswerJob, units: Sequence[Unit], executor: Executor, ledger: Ledger) -> None:
    """Let an executor answer the units that are not in the ledger.

    Raises:
        YanmoError: That of a unit.
    """
    missing = [unit for unit in units if unit.number not in ledger]
    num_before = sum(part.facts["num_rows"] for part in ledger.parts)
    if num_before:
        logger.info("Answered before: %s; the others follow.", counted(num_before, "text"))
    if not isinstance(executor, InThisProcess):
        then = f"their parts go to {job.parts}"
        if as_address(job.parts) is None:
            then = f"then {PREDICTIONS} and {TABLE_NAME}.{job.table.format} are written"
        logger.info("%d of %d units are to be answered; %s.", len(missing), len(units), then)
    if missing:
        _keep(executor.run(job, missing), ledger, sum(unit.num_rows for unit in units), num_before)


def answer_stream(job: AnswerJob, blocks: Iterable[pl.DataFrame], ledger: Ledger) -> None:
    """Answer rows that are in no file here, as soon as they are there."""
    with job.open() as answering:
        _keep(answering.write(regroup(blocks)), ledger, None)


def _keep(parts: Iterable[FinishedPart], ledger: Ledger, num_rows: int | None, num_before: int = 0) -> None:
    """Enter parts into the ledger as they come, and show how many rows are answered."""
    with bar(num_rows, "predicting", unit="text", initial=num_before) as progress:
        for part in parts:
            ledger.add(part)
            progress.update(part.facts["num_rows"])


def put_together(ledger: PartLedger, folder: Path, style: TableStyle) -> None:
    """Write the Predictions and the table for people from all parts."""
    join_evenly(ledger.paths(EVIDENCE_ENDING), folder / PREDICTIONS)
    table = folder / f"{TABLE_NAME}.{style.format}"
    if style.format == "parquet":
        join_evenly(ledger.paths(style.ending), table)
    else:
        ledger.concatenate(style.ending, table)
