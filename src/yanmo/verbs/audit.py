"""audit: which training rows are most likely mislabelled; it asks no model, the answers are in the Bundle."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field

from yanmo.answers.choices import Choices
from yanmo.arrays import IntArray
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.report import Report, circumstances, plain, write_report
from yanmo.combine.noise import Suspects, find_suspects, find_suspects_of_many
from yanmo.composing.composites import read_out_of_fold
from yanmo.config import Config
from yanmo.measuring.evaluation import Split, identify, load_split, match_bundle
from yanmo.reporting.pages import render_audit
from yanmo.reporting.quality import measure_quality
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.tasks.labels import label_task
from yanmo.translations import Language
from yanmo.verbs.calls import call_of, command_line
from yanmo.verbs.signature import verb

__all__ = ["AuditConfig", "audit"]

logger = logging.getLogger(__name__)

TEXT_CHARACTERS = 2000
NUM_PAIRS = 30


class AuditConfig(Config):
    """How much is listed."""

    share: Annotated[float, Field(gt=0, le=1)] = 0.05
    """Share of the training rows that is listed, the most suspicious first; at least those estimated to be wrong."""

    num_resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Resamples of the bootstrap that gives the intervals of the scores."""

    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the bootstrap."""

    language: Language = "en"
    """Of the Report's page: en or zh."""


@verb
def audit(bundle: Bundle, dataset: Dataset, config: AuditConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Report:
    """List the training rows that are most likely mislabelled.

    Args:
        bundle: Trained on this Dataset with folds.
        dataset: The Dataset.
        config: How much is listed.
        out: Where the Report appears.
        effects: Key and replacement of the call.

    Raises:
        ArtifactError: The Bundle was trained without folds.
        DataError: It was trained on other rows.
    """
    check_form(task_of(dataset), "audit")
    match_bundle(bundle, dataset)
    split, task = load_split(dataset, "train"), label_task(task_of(dataset), "audit")
    evidence = read_out_of_fold(bundle, split.frame["id"].to_list(), dataset)
    quality = measure_quality(
        evidence,
        split.targets,
        dataset.labels,
        task,
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    found = _find(evidence, split, dataset, config)
    report = plain(
        {
            "report": "label_noise",
            "inputs": task.inputs,
            "bundle": identify(bundle),
            "dataset": identify(dataset),
            "num_folds": bundle.manifest.config.get("folds"),
            **quality,
            **found,
            **circumstances(config.language),
            "command": command_line(call_of("audit", {"bundle": bundle, "dataset": dataset}, config, out=out)),
        }
    )
    headline = task.measures[0].name
    headlines = ("report", "num_rows", "num_wrong", "wrong_share", headline, f"{headline}_interval")
    identity = Identity(
        kind=Report.kind,
        verb="audit",
        task=dataset.task,
        labels=dataset.labels,
        parents={"bundle": bundle.digest, "dataset": dataset.digest},
        config=config.model_dump(mode="json"),
        seed=config.seed,
        info={"summary": {name: report[name] for name in headlines} | {"num_listed": len(report["rows"])}},
    )
    with publish(out, identity, effects=effects) as staging:
        write_report(staging, report, render_audit(report))
    return Report.open(out)


def _find(evidence: Choices, split: Split, dataset: Dataset, config: AuditConfig) -> dict[str, Any]:
    """Return the rows to list, and how many rows are estimated to be wrong."""
    task = label_task(task_of(dataset), "audit")
    num_rows = len(split.inputs)
    if task.link.excludes:
        suspects = find_suspects(evidence.values_MC, split.targets.argmax(axis=1))
        order_N, scores_N, num_wrong = suspects.order_N, suspects.scores_N, suspects.num_wrong
        suggested = [dataset.labels[column] for column in suspects.suggested_N.tolist()]
        pairs = _pairs(suspects, dataset, num_rows)
    else:
        order_N, scores_N, num_wrong = find_suspects_of_many(evidence.values_MC, split.targets)
        suggested = list(task.decide(evidence, dataset.labels).predictions)
        pairs = []
    num_listed = min(num_rows, max(num_wrong, int(np.ceil(config.share * num_rows))))
    rows = _rows(split.frame, task.inputs, order_N[:num_listed], scores_N, suggested)
    logger.info("%d of %d rows are probably mislabelled.", num_wrong, num_rows)
    return {"num_wrong": num_wrong, "wrong_share": num_wrong / num_rows, "rows": rows, "pairs": pairs}


def _rows(
    frame: pl.DataFrame, names: Sequence[str], order_M: IntArray, scores_N: Any, suggested: list[Any]
) -> list[dict[str, Any]]:
    records = frame[order_M.tolist()].to_dicts()
    return [
        {
            "id": record["id"],
            **{name: record[name][:TEXT_CHARACTERS] for name in names},
            "given": record["label"],
            "suggested": suggested[row],
            "margin": float(scores_N[row]),
        }
        for row, record in zip(order_M.tolist(), records, strict=True)
    ]


def _pairs(suspects: Suspects, dataset: Dataset, num_rows: int) -> list[dict[str, Any]]:
    """Return the pairs of labels that are taken for each other most often."""
    counts_CC = suspects.joint_CC * num_rows
    # Rows whose label is taken for itself are no mistakes. The product above is a new array, so nothing else changes.
    np.fill_diagonal(counts_CC, 0)
    order = np.argsort(-counts_CC, axis=None, kind="stable")[:NUM_PAIRS]
    # A flat place is row and column; less than half a row would be shown as 0.
    cells = [divmod(int(cell), len(dataset.labels)) for cell in order if counts_CC.flat[cell] >= 0.5]
    return [
        {"given": dataset.labels[row], "probably": dataset.labels[column], "num_rows": round(counts_CC[row, column])}
        for row, column in cells
    ]
