"""How good written texts are, as the JSON values of a Report; beside them what joint n-grams write for the same texts.

Joint n-grams are counted in seconds and still win where texts are written symbol by symbol, so they stand beside every
network. It knows no files.
"""

from __future__ import annotations

import difflib
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo import metrics
from yanmo.answers.text_truth import TextTruth
from yanmo.answers.writings import Writings
from yanmo.arrays import IntArray
from yanmo.artifacts.dataset import Dataset
from yanmo.metrics.edits import count_edits
from yanmo.metrics.measures import measure_with_intervals
from yanmo.metrics.written import plain_text, text_tokens
from yanmo.metrics.written_ngrams import ngram_signatures
from yanmo.reporting.quality import compare_answers
from yanmo.reporting.score_tables import calibration_rows, loss_intervals
from yanmo.tasks.text_to_text import TextToText
from yanmo.text.inputs import Inputs
from yanmo.text.pair_model import fit_pairs

__all__ = ["measure_pairs", "measure_written_calibration", "measure_written_quality", "worst_written"]

BASELINE_CELLS = 4_000_000
"""The joint n-grams are counted in the first pairs of train whose tables have about so many cells together."""
RESAMPLES, SEED = 1000, 0
TEXT_CHARACTERS = 2000


def measure_written_quality(
    evidence: Writings,
    targets: TextTruth,
    labels: Sequence[str],
    task: TextToText,
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure of written texts with its interval as JSON values (NaN where there is none).

    Args:
        evidence: What was written for N >= 1 rows.
        targets: The references.
        labels: None.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    statistics_NS = task.statistics(evidence, targets)
    measured = measure_with_intervals(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed)
    scores: dict[str, Any] = {
        "num_rows": len(targets),
        "num_references": targets.num_references,
        "headline": task.measures[0].describe(),
        "measures": [one.describe() for one in task.measures],
        "signatures": ngram_signatures(targets.references),
        "characters": {"written": _lengths(evidence.texts), "references": _lengths(targets.learned)},
    }
    for name, one in measured.items():
        scores |= {name: one.value, f"{name}_interval": one.interval}
    losses_N, answers = task.losses_N(evidence, targets), task.answers(evidence, targets)
    row_M = np.flatnonzero([bool(one) for one in targets.references])
    return scores | {
        **measure_written_calibration(evidence, targets, labels, task),
        **loss_intervals(losses_N, answers, num_resamples=num_resamples, seed=seed, row_M=row_M),
    }


def _lengths(texts: Sequence[str]) -> dict[str, float]:
    lengths = np.array([len(one) for one in texts])
    return {"mean": float(lengths.mean()), "median": float(np.median(lengths)), "longest": int(lengths.max())}


def measure_written_calibration(
    evidence: Writings,
    targets: TextTruth,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: TextToText,
) -> dict[str, Any]:
    """Return log loss, calibration error and the bins of the reliability diagram, as JSON values."""
    bins = metrics.calibration_bins(*task.answers(evidence, targets))
    return {
        "log_loss": float(task.losses_N(evidence, targets).mean()),
        "expected_calibration_error": metrics.expected_calibration_error(bins),
        "calibration": calibration_rows(bins),
    }


def measure_pairs(
    evidence: Writings,
    targets: TextTruth,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: TextToText,
    *,
    frame: pl.DataFrame,
    dataset: Dataset,
) -> dict[str, Any]:
    """Return what joint n-grams, counted in the same training pairs, write for the same rows.

    Args:
        evidence: Of the model that they stand beside.
        targets: The references.
        labels: None.
        task: Says what is counted and measured.
        frame: The rows.
        dataset: With the training pairs.
    """
    if "train" not in dataset.splits:
        return {"baseline": None}
    pipeline, rows = dataset.text_pipeline(), dataset.split("train")
    truth = task.targets(rows, [])
    first = rows[task.inputs[0]].to_list()
    cells = np.cumsum([len(text) * len(one) for text, one in zip(first, truth.learned, strict=True)])
    num_read = int(np.searchsorted(cells, BASELINE_CELLS)) + 1
    start = time.perf_counter()
    sources = pipeline.read(Inputs((first[:num_read],))).first
    pairs = [(text, one) for text, right in zip(sources, truth.references, strict=False) for one in right]
    prefix = pipeline.config.prefix
    model, num_left = fit_pairs([text for text, _ in pairs], [one for _, one in pairs], prefix=prefix)
    seconds = time.perf_counter() - start
    if num_left == len(pairs):
        return {"baseline": None}
    facts = {"order": model.order, "num_pairs": len(pairs) - num_left, "of_pairs": truth.num_references}
    theirs, _, _ = model.write(pipeline.read(Inputs.of_frame(frame, task.inputs)).first)
    found = compare_answers(evidence, theirs, targets, task, num_resamples=RESAMPLES, seed=SEED)
    return {"baseline": {**found, **facts, "seconds": round(seconds, 2)}}


def worst_written(
    evidence: Writings,
    targets: TextTruth,
    labels: Sequence[str],  # noqa: ARG001 - one signature
    task: TextToText,
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    """Return the texts with most edits by their length, the worst first, each with what differs from its reference."""
    texts, references, edits_N = evidence.texts, [], np.zeros(len(evidence))
    for row, (text, right) in enumerate(zip(texts, targets.references, strict=True)):
        nearest, edits_N[row] = _nearest(text, right)
        references.append(nearest)
    wrong = np.flatnonzero(edits_N > 0)
    order = wrong[np.argsort(-edits_N[wrong], kind="stable")][:num_mistakes].tolist()
    sure_N, ids, sources = task.confidence_N(evidence), frame["id"].to_list(), frame[task.inputs[0]].to_list()
    return [
        {
            "id": ids[row],
            "text": sources[row][:TEXT_CHARACTERS],
            "label": references[row][:TEXT_CHARACTERS],
            "predicted": texts[row][:TEXT_CHARACTERS],
            "probability": float(sure_N[row]),
            "edits": float(edits_N[row]),
            "difference": _difference(references[row][:TEXT_CHARACTERS], texts[row][:TEXT_CHARACTERS]),
        }
        for row in order
    ]


def _nearest(text: str, references: Sequence[str]) -> tuple[str, float]:
    """Return the reference with the least edits of tokens by its length, and these."""
    plain = [plain_text(one) for one in references]
    if not plain:
        return "", 0.0
    tokens = [text_tokens(one) for one in plain]
    edits: IntArray = count_edits([text_tokens(text)] * len(plain), tokens)
    shares = edits / np.maximum([len(one) for one in tokens], 1)
    best = int(shares.argmin())
    return plain[best], float(shares[best])


def _difference(reference: str, text: str) -> list[dict[str, str]]:
    """Return what both have, and what only one has: by word where there are several, else by character."""
    split = " " in reference or " " in text
    ours, theirs = (one.split() if split else list(one) for one in (reference, plain_text(text)))
    joint, found = " " if split else "", []
    for kind, first, stop, start, end in difflib.SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if kind == "equal":
            found.append({"kind": "same", "text": joint.join(ours[first:stop])})
            continue
        parts = {"lacks": ours[first:stop], "adds": theirs[start:end]}
        found += [{"kind": name, "text": joint.join(part)} for name, part in parts.items() if part]
    return found
