"""The evaluate verb: measure one Bundle on one split, alone or against another; it computes no score itself."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.report import Report, UnsavedReport, circumstances, plain, write_report
from yanmo.composing.composites import describe_composite
from yanmo.config import Config
from yanmo.executors.choice import HERE, ExecutorAddress, open_helpers
from yanmo.measuring.evaluation import Outcome, Split, identify, load_split, match_bundle, run_bundle, with_labels_of
from yanmo.measuring.neighbors import add_neighbors, check_vectors_bundle
from yanmo.protocols import AnswerSearch
from yanmo.reporting.sections import sections_of
from yanmo.runtimes.predictor import LongTexts
from yanmo.tasks import task_of
from yanmo.text.inputs import Windows
from yanmo.translations import Language
from yanmo.verbs.calls import call_of, command_line
from yanmo.verbs.signature import verb

__all__ = ["EvaluateConfig", "evaluate"]

RUNTIME_FIELDS = {
    "num_threads",
    "measure_speed",
    "runtime",
    "long_texts",
    "window_overlap",
    *AnswerSearch.__struct_fields__,
}
HEADLINES = (
    "baseline_bits_per_character",
    "log_loss",
    "log_loss_interval",
    "expected_calibration_error",
    "expected_calibration_error_interval",
    "roc_auc",
    "roc_auc_interval",
    "size_mb",
    "truncated_share",
    "unknown_token_share",
    "latency_ms",
    "throughput_texts_per_second",
)
"""What the screen shows of a Report, after the task's own measures."""

CASCADE_HEADLINES = (
    "kind",
    "alpha",
    "delta",
    "bound",
    "shares",
    "disagreement",
    "accuracy_lost",
    "right_rows_lost",
    "cost_ms",
)
"""What the screen shows of a cascade, where the Report has it."""


class EvaluateConfig(Config):
    """What is measured, and how closely."""

    split: str = "test"
    """The rows to measure on: test, valid or train."""
    num_resamples: Annotated[int, Field(ge=100, le=100_000)] = 2000
    """Resamples of the bootstrap that gives the intervals."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the bootstrap."""
    num_mistakes: Annotated[int, Field(ge=0, le=1000)] = 30
    """How many of the most confident mistakes the Report lists, with their texts."""
    num_similar: Annotated[int, Field(ge=0, le=20)] = 3
    """How many of the training rows that are most like each of these stand beside it, of labels of whole texts."""
    num_threads: int | None = Field(default=None, ge=1)
    """Threads of the runtime; by default those that it chooses."""
    runtime: str | None = None
    """Engine of an ONNX Bundle: onnxruntime (the default), openvino, or auto, which times those that are installed."""
    long_texts: LongTexts = "truncate"
    """Of a text that is longer than the model reads: truncate reads its beginning; windows reads all of it in
    overlapping windows and pools their scores."""
    window_overlap: Annotated[float, Field(ge=0, lt=1)] = Windows.overlap
    """Share of a window that the one before it has, too."""
    num_beams: int | None = Field(default=None, ge=1, le=64)
    """Of a model that writes texts for others, beginnings of each that are kept, and candidates that it tells; 1 always
    takes the likeliest token. By default those of the Bundle."""
    length_penalty: float | None = Field(default=None, ge=-10, le=10)
    """Of the same with beams, the power of the number of tokens by which likelihoods are divided: above 0 longer texts
    win more."""
    end_repeats: int | None = Field(default=None, ge=2)
    """Of the same without beams: a text is over once its last tokens have come so many times in a row, and more often
    than any characters do in the text that is read. By default only its end and the most tokens end one."""
    measure_speed: bool = True
    """Also measure the time of one text alone and the throughput in batches."""
    language: Language = "en"
    """Of the Report's page: en or zh."""
    executor: ExecutorAddress = HERE
    """Who answers the split: local, this process; local:N, N processes of this machine; ray://HOST:PORT, the machines
    of a Ray cluster. The answers are the same; speed is that of this process."""


@verb
def evaluate(
    bundle: Bundle,
    dataset: Dataset,
    config: EvaluateConfig,
    *,
    against: Bundle | None = None,
    vectors: Bundle | None = None,
    out: Path | None = None,
    effects: Effects = NO_EFFECTS,
) -> Report:
    """Measure a Bundle on a Dataset: quality, speed and size.

    Args:
        bundle: The Bundle to measure.
        dataset: The Dataset whose split it answers; labels are matched by name, and it may lack some of the Bundle's.
        config: What is measured.
        against: Another Bundle to hold it against, on the same rows, with paired tests.
        vectors: A Bundle that embed made, which says what texts are alike; without it their n-grams do.
        out: Where the Report appears; without it what was measured is only returned, and the command line prints it.
        effects: Key and replacement of the call.

    Raises:
        ArtifactError: The Dataset has no such split.
        DataError: Task or labels of Bundle and Dataset differ.
    """
    bundles = {"bundle": bundle} | ({"against": against} if against else {})
    dataset = with_labels_of(list(bundles.values()), dataset)
    _check(bundles.values(), dataset, vectors)
    split = load_split(dataset, config.split)
    runtime = config.model_dump(include=RUNTIME_FIELDS)
    with open_helpers(config.executor, config.num_threads) as helpers:
        outcomes = {role: run_bundle(one, dataset, split, executor=helpers, **runtime) for role, one in bundles.items()}
    values = _measured(outcomes, split, dataset, config)
    # Of the Bundle alone: what the other one is held against is how it answers.
    values["uncalibrated"] = _uncalibrated(outcomes["bundle"], split, dataset) if bundle.calibration else None
    values["composite"] = describe_composite(
        bundle,
        dataset,
        split,
        outcomes["bundle"],
        num_threads=config.num_threads,
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    values["similarity"] = add_neighbors(values["mistakes"], dataset, num_similar=config.num_similar, vectors=vectors)
    if against:
        values["against"] = {"bundle": identify(against), **_difference(outcomes, split, dataset, config)}
    bundles |= {"vectors": vectors} if vectors else {}
    call = call_of("evaluate", {**bundles, "dataset": dataset}, config, out=out)
    report = plain(values | {"bundle": identify(bundle), "command": command_line(call)})
    identity = _identity(report, bundles, dataset, config)
    if out is None:
        return UnsavedReport(identity.manifest(), report)
    with publish(out, identity, effects=effects) as staging:
        write_report(staging, report, sections_of(outcomes["bundle"].evidence).page(report))
    return Report.open(out)


def _check(bundles: Iterable[Bundle], dataset: Dataset, vectors: Bundle | None) -> None:
    """Refuse Bundles that do not suit the Dataset, all of them before any is asked, which may take minutes."""
    for one in bundles:
        match_bundle(one, dataset)
    if vectors is not None:
        check_vectors_bundle(vectors)


def _identity(
    report: dict[str, Any], bundles: Mapping[str, Bundle], dataset: Dataset, config: EvaluateConfig
) -> Identity:
    return Identity(
        kind=Report.kind,
        verb="evaluate",
        task=dataset.task,
        labels=dataset.labels,
        parents={"dataset": dataset.digest} | {role: one.digest for role, one in bundles.items()},
        config=config.model_dump(mode="json"),
        seed=config.seed,
        info={"summary": _summary(report)},
    )


def _measured(outcomes: dict[str, Outcome], split: Split, dataset: Dataset, config: EvaluateConfig) -> dict[str, Any]:
    outcome = outcomes["bundle"]
    sections = sections_of(outcome.evidence)
    answers = (outcome.evidence, split.targets, dataset.labels, task_of(dataset))
    quality = sections.quality(*answers, num_resamples=config.num_resamples, seed=config.seed)
    return {
        "report": "evaluation",
        "dataset": identify(dataset),
        "split": split.name,
        "inputs": task_of(dataset).inputs,
        **quality,
        **sections.novelty(*answers, frame=split.frame, dataset=dataset),
        **outcome.facts,
        "against": None,
        "mistakes": sections.mistakes(*answers, frame=split.frame, num_mistakes=config.num_mistakes),
        **config.model_dump(include={"num_resamples", "seed"}),
        **circumstances(config.language),
    }


def _uncalibrated(outcome: Outcome, split: Split, dataset: Dataset) -> dict[str, Any]:
    """Return how well the probabilities would match frequencies without the Bundle's calibration."""
    return sections_of(outcome.evidence).calibration(
        outcome.scores.activate(), split.targets, dataset.labels, task_of(dataset)
    )


def _difference(outcomes: dict[str, Outcome], split: Split, dataset: Dataset, config: EvaluateConfig) -> dict[str, Any]:
    difference = sections_of(outcomes["bundle"].evidence).compare(
        outcomes["bundle"].evidence,
        outcomes["against"].evidence,
        split.targets,
        task_of(dataset),
        num_resamples=config.num_resamples,
        seed=config.seed,
    )
    return difference | outcomes["against"].facts


def _summary(report: dict[str, Any]) -> dict[str, Any]:
    measures = [one["name"] for one in report["measures"]]
    intervals = [name for one in measures for name in (one, f"{one}_interval")]
    summary = {name: report[name] for name in ("report", "num_rows", *intervals, *HEADLINES) if name in report}
    if report["uncalibrated"]:
        summary["calibration_error_before"] = report["uncalibrated"]["expected_calibration_error"]
    if report["composite"]:
        summary["members"] = [
            {"name": row["bundle"]["name"], **_against(row, measures)} for row in report["composite"]["members"]
        ]
    if report["composite"] and report["composite"]["cascade"]:
        cascade = report["composite"]["cascade"]
        summary["cascade"] = {name: cascade[name] for name in CASCADE_HEADLINES if name in cascade}
    if report["against"]:
        summary["against"] = _against(report["against"], measures)
    return summary


def _against(row: Mapping[str, Any], measures: Sequence[str]) -> dict[str, Any]:
    """Return what the screen shows of a comparison."""
    names = [name for one in measures for name in (one, f"{one}_difference", f"{one}_difference_interval")]
    return {name: row[name] for name in (*names, "mcnemar_p_value") if name in row}
