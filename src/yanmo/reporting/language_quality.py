"""How likely a model finds texts, as the JSON values of a Report; beside it what counted n-grams say of the same texts.

A network that is no better than n-grams, which are counted in seconds, has learned nothing that is worth its price; so
they stand beside every figure. It knows no files.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from yanmo.answers.sequences import Sequences
from yanmo.arrays import IntArray
from yanmo.artifacts.dataset import Dataset
from yanmo.metrics.measures import compare, shown_measures
from yanmo.protocols import Task
from yanmo.reporting.score_tables import scores_of_texts
from yanmo.text.ngram_language_model import fit_ngram_language_model

__all__ = ["compare_likelihoods", "hardest_texts", "measure_baseline", "measure_language_quality", "no_calibration"]

BASELINE_CHARACTERS = 10_000_000
"""The n-grams are counted in the first texts of train that have about so many characters together."""
BASELINE_TOKENS = 50_000
RESAMPLES, SEED = 1000, 0
TEXT_CHARACTERS = 2000


def measure_language_quality(
    evidence: Sequences,
    targets: IntArray,
    labels: Sequence[str],  # noqa: ARG001 - one signature with labels
    task: Task[Sequences],
    *,
    num_resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return every measure with its interval as JSON values; what is resampled are whole texts.

    Args:
        evidence: Log-likelihoods, N >= 1 rows.
        targets: The first character of each text that counts.
        labels: None.
        task: Says what is counted and measured.
        num_resamples: Of the bootstrap.
        seed: Of the bootstrap.
    """
    statistics_NS = task.statistics(evidence, targets)
    _, num_characters, num_bytes, num_tokens, num_words = statistics_NS.sum(axis=0).tolist()
    counts = {"characters": num_characters, "bytes": num_bytes, "tokens": num_tokens, "words": num_words}
    return {
        "num_rows": len(targets),
        **{f"num_{name}": int(count) for name, count in counts.items()},
        **scores_of_texts(statistics_NS, task.measures, num_resamples=num_resamples, seed=seed),
    }


def no_calibration(
    evidence: Sequences,  # noqa: ARG001
    targets: IntArray,  # noqa: ARG001
    labels: Sequence[str],  # noqa: ARG001
    task: Task[Sequences],  # noqa: ARG001
) -> dict[str, Any]:
    """Return nothing: bits a character are how good the probabilities are."""
    return {}


def compare_likelihoods(
    ours: Sequences, theirs: Sequences, targets: IntArray, task: Task[Sequences], *, num_resamples: int, seed: int
) -> dict[str, Any]:
    """Return how much better one model is than another on the same texts, as JSON values, with paired intervals.

    Args:
        ours: Evidence of the first model.
        theirs: Evidence of the other, whatever its tokens.
        targets: The first character of each text that counts.
        task: Says what is counted and measured.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    ours_NS, theirs_NS = (task.statistics(one, targets) for one in (ours, theirs))
    shown = shown_measures(task.measures)
    found = compare(ours_NS, theirs_NS, shown, num_resamples=num_resamples, seed=seed)
    values: dict[str, Any] = {}
    for name, one in found.items():
        interval = one.interval if len(targets) > 1 else None
        values |= {name: one.theirs, f"{name}_difference": one.difference, f"{name}_difference_interval": interval}
    return values


def measure_baseline(
    evidence: Sequences,
    targets: IntArray,
    labels: Sequence[str],  # noqa: ARG001
    task: Task[Sequences],
    *,
    frame: pl.DataFrame,  # noqa: ARG001
    dataset: Dataset,
) -> dict[str, Any]:
    """Return what modified Kneser-Ney, counted in the same training texts, says of the same rows.

    Args:
        evidence: Of the model that it stands beside.
        targets: The first character of each text that counts.
        labels: None.
        task: Says what is counted and measured.
        frame: The rows.
        dataset: With the training texts.
    """
    if "train" not in dataset.splits:
        return {"baseline": None}
    texts = dataset.split("train")[task.inputs[0]]
    read = texts.filter(texts.str.len_chars().cum_sum().shift(1, fill_value=0) < BASELINE_CHARACTERS)
    start = time.perf_counter()
    model = fit_ngram_language_model(read.to_list(), vocab_size=BASELINE_TOKENS)
    seconds = time.perf_counter() - start
    theirs, _ = model.score(evidence.texts)
    found = compare_likelihoods(evidence, theirs, targets, task, num_resamples=RESAMPLES, seed=SEED)
    facts = {"order": model.order, "num_texts": len(read), "of_texts": len(texts), "seconds": round(seconds, 2)}
    return {"baseline": {**found, **facts}, "baseline_bits_per_character": found[task.measures[0].name]}


def hardest_texts(
    evidence: Sequences,
    targets: IntArray,
    labels: Sequence[str],  # noqa: ARG001
    task: Task[Sequences],
    *,
    frame: pl.DataFrame,
    num_mistakes: int,
) -> list[dict[str, Any]]:
    """Return the texts that take most bits a character, the worst first."""
    with np.errstate(divide="ignore", invalid="ignore"):
        bits_N = np.nan_to_num(task.measures[0].of_sums(task.statistics(evidence, targets)), posinf=0.0)
    rows = np.argsort(-bits_N, kind="stable")[:num_mistakes].tolist()
    ids, texts = frame["id"].to_list(), frame[task.inputs[0]].to_list()
    return [
        {"id": ids[row], "text": texts[row][:TEXT_CHARACTERS], "bits_per_character": float(bits_N[row])} for row in rows
    ]
