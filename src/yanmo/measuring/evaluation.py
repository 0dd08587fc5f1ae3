"""Run Bundles over a split of a Dataset and measure answers, speed and size; it knows no verb and no command line.

The evaluate verb and the pipeline's closing comparison both stand on it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import structs

from yanmo.answers.answered import Found
from yanmo.artifacts.base import Artifact, Identity, numbered, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.report import Report, circumstances, plain, write_report
from yanmo.combine import alignment
from yanmo.errors import DataError
from yanmo.executors.jobs import Executor
from yanmo.executors.weighing import SHARE_ROWS, weigh_here, weigh_split
from yanmo.measuring.timing import clock, time_alone, time_batches
from yanmo.progress import track
from yanmo.reporting.comparison import compare_rows
from yanmo.reporting.pages import render_comparison
from yanmo.runtimes.predictor import Predictor, default_num_threads, open_bundle
from yanmo.tasks import is_learned, task_of
from yanmo.text.inputs import Inputs
from yanmo.translations import Language

__all__ = [
    "Outcome",
    "Split",
    "identify",
    "load_split",
    "load_texts",
    "match_bundle",
    "publish_comparison",
    "run_bundle",
    "with_labels_of",
]

logger = logging.getLogger(__name__)

NUM_RESAMPLES = 2000
SEED = 0
WARM_UP_TEXTS = 32
WARM_UP_CHARACTERS = 1000
SHOWN_LABELS = 10


@dataclass(frozen=True)
class Split:
    """The rows of one split, ready to be asked and compared.

    Attributes:
        name: Of the split.
        frame: ``id, text[, text_b], label``, N rows.
        inputs: What a Predictor takes.
        targets: What the task holds answers against, such as 1 where a label holds, in the Dataset's label order.
    """

    name: str
    frame: pl.DataFrame
    inputs: Inputs
    targets: Any

    @cached_property
    def items(self) -> list[Any]:
        """The rows one by one: texts, or tuples of texts."""
        return self.inputs.items()


@dataclass(frozen=True)
class Outcome:
    """What one Bundle answered on one split, and how fast.

    Attributes:
        evidence: Probabilities, columns in the Dataset's label order.
        scores: The same before calibration and activation.
        found: What reading the texts took.
        facts: JSON values: size, truncated and unknown share, speed if it was measured, and scores of
            raw texts where there are any (else None).
    """

    evidence: Any
    scores: Any
    found: Found
    facts: dict[str, Any]


def load_split(dataset: Dataset, name: str) -> Split:
    """Return one labelled split.

    Raises:
        ArtifactError: The Dataset has no such split.
        DataError: The split has no rows or no labels.
    """
    frame = dataset.split(name)
    if "label" not in frame.columns or not frame.height:
        what = "labels" if frame.height else "rows"
        usable = [one for one in dataset.splits if one != "unlabeled"]
        raise DataError(f"The split '{name}' of {dataset.path} has no {what}.", hint=f"Choose of: {', '.join(usable)}.")
    task = task_of(dataset)
    inputs = Inputs.of_frame(frame, task.inputs, is_segmented=task.gives_words)
    return Split(name, frame, inputs, task.targets(frame, dataset.labels))


def load_texts(dataset: Dataset, name: str, bundle: Bundle) -> Inputs:
    """Return the texts of a split for a Bundle that no Dataset says the truth about, whatever the Dataset is about.

    Raises:
        ArtifactError: The Dataset has no such split.
        DataError: It has no such texts.
    """
    frame, columns = dataset.split(name), task_of(bundle).inputs
    if not frame.height or not set(columns) <= set(frame.columns):
        raise DataError(
            f"The split '{name}' of {dataset.path} has no {' and '.join(columns)} to read.",
            hint="Give a Dataset of single texts.",
        )
    return Inputs.of_frame(frame, columns)


def run_bundle(
    bundle: Bundle,
    dataset: Dataset,
    split: Split,
    *,
    num_threads: int | None = None,
    measure_speed: bool = True,
    executor: Executor | None = None,
    **options: Any,
) -> Outcome:
    """Let a Bundle answer a split.

    Args:
        bundle: The Bundle.
        dataset: Whose split it is; the Bundle's labels are matched to its labels by name.
        split: From :func:`load_split`.
        num_threads: Threads of the runtime; None lets it choose.
        measure_speed: Also time texts alone and in batches, after a warm-up.
        executor: Who answers; speed is always that of this process. None where this process answers.
        **options: As ``open_bundle`` takes them: runtime, long_texts, window_overlap.

    Raises:
        DataError: Task or labels differ.
    """
    columns = match_bundle(bundle, dataset)
    runtime = {"num_threads": num_threads or (executor and executor.num_threads), **options}
    num_threads = num_threads or default_num_threads()
    items = split.items
    with open_bundle(bundle, num_threads=num_threads, **options) as predictor:
        # Engines reserve memory and choose kernels at their first texts, which is no part of their speed.
        predictor.infer([_beginning(item) for item in items[:WARM_UP_TEXTS]])
        start = time.perf_counter()
        # Scores first, as the Report also says how well they would do without the calibration.
        if executor is None:
            scores, found = weigh_here(predictor, split.inputs)
        else:
            scores, found = weigh_split(bundle, dataset, split.name, len(items), executor=executor, runtime=runtime)
        evidence = predictor.activate(scores)
        elapsed = time.perf_counter() - start
        if executor is not None and measure_speed:
            # What others took says nothing of this process, which answers a share of the rows for that.
            items = items[:SHARE_ROWS]
            elapsed = clock(lambda: predictor.infer(items))
        facts = {
            "num_threads": num_threads,
            "latency_ms": time_alone(predictor, items) if measure_speed else None,
            # The run above counts as the first one, so that a slow model answers the split once.
            "throughput_texts_per_second": time_batches(predictor, items, elapsed) if measure_speed else None,
            "reading": dict(predictor.reading()),
            "from_raw_text": _measure_raw(predictor, dataset, split),
        }
    facts = {**_facts_of_reading(bundle, found), **facts}
    return Outcome(evidence.ordered(columns), scores.ordered(columns), found, facts)


def _facts_of_reading(bundle: Bundle, found: Found) -> dict[str, Any]:
    num_tokens = int(found.num_tokens_N.sum())
    return {
        "size_mb": bundle.size_bytes / 1e6,
        "truncated_share": float(found.truncated_N.mean()),
        "unknown_token_share": int(found.num_unknown_N.sum()) / num_tokens if num_tokens else None,
        "tokens_per_text": num_tokens / len(found.num_tokens_N),
    }


def _measure_raw(predictor: Predictor, dataset: Dataset, split: Split) -> dict[str, float] | None:
    """Return the scores of the words that the Bundle's own segmenter cuts; None where it has none."""
    task = task_of(dataset)
    inputs = task.raw(split.frame) if predictor.cuts_words else None
    return None if inputs is None else task.measure_raw(predictor.infer(inputs)[0], split.targets)


def _beginning(item: Any) -> Any:
    """Return the beginning of a text, or of each of several: one may be a whole book."""
    if isinstance(item, str):
        return item[:WARM_UP_CHARACTERS]
    return tuple(text[:WARM_UP_CHARACTERS] for text in item)


def match_bundle(bundle: Bundle, dataset: Dataset) -> list[int]:
    """Return the Bundle's column for each of the Dataset's labels.

    Raises:
        DataError: Task or labels differ.
        ConfigError: The Bundle gives no answers yet.
    """
    # Refuses a Bundle that gives no answers yet, in words of its own.
    task_of(bundle)
    if not is_learned(bundle.task):
        raise DataError(
            f"{bundle.path} answers the task {bundle.task}, and no Dataset says which of its answers are right.",
            hint="predict gives them, quantize holds 8 bits against 32, benchmark measures its speed on your texts: "
            "--texts FILE.",
        )
    if bundle.task != dataset.task:
        raise DataError(
            f"{bundle.path} answers the task {bundle.task}, but {dataset.path} is of the task {dataset.task}.",
            hint="Choose a Bundle and a Dataset of one task.",
        )
    ours, theirs = dataset.text_config.units, bundle.text_config.units
    if ours != theirs:
        raise DataError(
            f"{bundle.path} labels {theirs}, but the texts of {dataset.path} are labeled by {ours}.",
            hint="Choose a Bundle and a Dataset with the same units, or prepare the texts again: --units.",
        )
    return alignment.match_labels(dataset.labels, bundle.labels, name=str(bundle.path), reference=str(dataset.path))


def with_labels_of(models: Sequence[Artifact], dataset: Dataset) -> Dataset:
    """Return a Dataset that also knows the labels that only models or Predictions give, and say which those are.

    No row of it has such a label, so to give one is a mistake. Labels that a model lacks are no matter of this: what
    has them is refused by :func:`match_bundle`.
    """
    knowing = [one for one in models if one.task == dataset.task and set(dataset.labels) <= set(one.labels)]
    found = [label for one in knowing for label in one.labels if label not in set(dataset.labels)]
    lacking = list(dict.fromkeys(found))
    if not lacking:
        return dataset
    shown = ", ".join(map(repr, lacking[:SHOWN_LABELS])) + (", …" if len(lacking) > SHOWN_LABELS else "")
    logger.warning("%s has no row of %d of the model's labels: %s.", dataset.path, len(lacking), shown)
    manifest = structs.replace(dataset.manifest, labels=[*dataset.labels, *lacking])
    return Dataset(dataset.path, manifest, dataset.digest)


def publish_comparison(
    bundles: Sequence[Bundle],
    dataset: Dataset,
    *,
    out: str | Path,
    split: str = "test",
    command: str | None = None,
    links: Mapping[str, Sequence[Mapping[str, str]]] | None = None,
    language: Language = "en",
    effects: Effects = NO_EFFECTS,
) -> Report:
    """Measure several Bundles on the same rows, one after the other, and publish a Report of kind comparison.

    Args:
        bundles: At least one.
        dataset: What they are measured on.
        out: Where the Report appears.
        split: The rows.
        command: What makes the same again on the command line, if anything.
        links: Digest of a Bundle to the Reports about it that lie beside: their ``name`` and ``page``, from ``out``.
        language: Of its page.
        effects: Whether a Report that stands there is replaced.
    """
    dataset = with_labels_of(bundles, dataset)
    for bundle in bundles:
        match_bundle(bundle, dataset)
    report = _compare(bundles, dataset, load_split(dataset, split), language) | (
        {"command": command} if command else {}
    )
    links = {} if links is None else links
    report["rows"] = [{**row, "links": list(links.get(row["digest"], ()))} for row in report["rows"]]
    headline, *others = (one["name"] for one in report["measures"])
    shown = ("name", headline, f"{headline}_interval", *others, "size_mb", "latency_ms")
    rows = [{key: row[key] for key in shown if key in row} for row in report["rows"]]
    identity = Identity(
        kind=Report.kind,
        verb="compare",
        task=dataset.task,
        labels=dataset.labels,
        parents={**numbered("bundle", bundles), "dataset": dataset.digest},
        config={"split": split, "links": links, "language": language},
        seed=SEED,
        info={"summary": {"report": report["report"], "num_rows": report["num_rows"], "rows": rows}},
    )
    with publish(out, identity, effects=effects) as staging:
        write_report(staging, report, render_comparison(report))
    return Report.open(out)


def _compare(bundles: Sequence[Bundle], dataset: Dataset, split: Split, language: Language) -> dict[str, Any]:
    outcomes = [run_bundle(bundle, dataset, split) for bundle in track(bundles, "measuring", unit="model")]
    facts = [
        {**identify(bundle), **outcome.facts, "latency_ms": (outcome.facts["latency_ms"] or {}).get("p50")}
        for bundle, outcome in zip(bundles, outcomes, strict=True)
    ]
    answers, task = [outcome.evidence for outcome in outcomes], task_of(dataset)
    rows = compare_rows(facts, answers, split.targets, task, num_resamples=NUM_RESAMPLES, seed=SEED)
    return plain(
        {
            "report": "comparison",
            "headline": task.measures[0].describe(),
            "measures": [one.describe() for one in task.measures if one is task.measures[0] or one.is_second],
            "dataset": identify(dataset),
            "split": split.name,
            "num_rows": len(split.inputs),
            "rows": rows,
            "num_resamples": NUM_RESAMPLES,
            "seed": SEED,
            **circumstances(language),
        }
    )


def identify(artifact: Artifact) -> dict[str, Any]:
    """Return the name and digest of a Dataset or Bundle, and a Bundle's model and format."""
    model, format_ = (artifact.model, artifact.format) if isinstance(artifact, Bundle) else (None, None)
    return {"name": artifact.name, "digest": artifact.digest, "model": model, "format": format_}
