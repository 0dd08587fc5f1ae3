"""The benchmark verb: speed, memory and size of Bundles on real texts; it times nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from yanmo.arrays import take_rows
from yanmo.artifacts.base import Identity, numbered, publish
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import file_digest
from yanmo.artifacts.report import Report, circumstances, plain, write_report
from yanmo.config import Config
from yanmo.data.decode import utf8_blocks
from yanmo.errors import ConfigError, DataError
from yanmo.measuring.benchmarking.processes import run_child
from yanmo.measuring.benchmarking.requests import MeasureBundle, MeasurePeak, num_steps
from yanmo.measuring.evaluation import NUM_RESAMPLES, SEED, identify, load_split, match_bundle, with_labels_of
from yanmo.progress import bar
from yanmo.reporting.comparison import compare_rows
from yanmo.reporting.pages import render_benchmark
from yanmo.runtimes.engines import check_engine
from yanmo.runtimes.predictor import choose_runtime, default_num_threads, open_bundle
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs, Item
from yanmo.translations import Language
from yanmo.verbs.calls import call_of, command_line
from yanmo.verbs.signature import verb

__all__ = ["BenchmarkConfig", "benchmark"]

Positive = Annotated[int, Field(ge=1)]
HEADLINES = (
    "latency_ms",
    "throughput_texts_per_second",
    "size_mb",
    "peak_memory_mb",
    "share_of_peak",
    "load_seconds",
)
SHARES = ("p50", "p95", "p99")


class BenchmarkConfig(Config):
    """On which texts, and how closely."""

    texts: Path | None = None
    """A UTF-8 file with one text a line, instead of a Dataset; for pairs a tab stands between the two."""

    split: str = "test"
    """The Dataset's rows to measure on: test, valid, train or unlabeled."""

    num_texts: Annotated[int, Field(ge=1)] = 2000
    """Most texts that are asked; of more, evenly spaced ones are taken."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""

    runtime: str | None = None
    """Engine of an ONNX Bundle: onnxruntime (the default), openvino, or auto, which times those that are installed."""

    batch_sizes: Annotated[tuple[Positive, ...], Field(max_length=20)] = (1, 8, 32, 128)
    """How many texts are asked at once, separated by commas."""

    lengths: Annotated[tuple[Positive, ...], Field(max_length=20)] = (16, 32, 64, 128)
    """About how many tokens a text has, separated by commas; more than the model reads are left out."""

    timeout_seconds: Annotated[float, Field(gt=0)] = 600.0
    """After so long a Bundle's measurement is given up."""

    quick: bool = False
    """Measure everything once and briefly, for a first look: no medians."""

    language: Language = "en"
    """Of the Report's page: en or zh."""


@dataclass(frozen=True)
class Texts:
    """What the Bundles are asked.

    Attributes:
        items: N texts or pairs.
        targets: 1 where a label holds, in the Dataset's label order; None without labels.
        parents: Where they come from, by digest.
        facts: The same for the Report.
    """

    items: list[Item]
    targets: Any
    parents: dict[str, str]
    facts: dict[str, Any]


@verb
def benchmark(
    bundles: tuple[Bundle, ...],
    config: BenchmarkConfig,
    *,
    dataset: Dataset | None = None,
    out: Path,
    effects: Effects = NO_EFFECTS,
) -> Report:
    """Measure how fast Bundles answer, and what memory and space they need.

    Each Bundle runs in a process of its own. Where the texts have labels, accuracy stands beside speed.

    Args:
        bundles: The Bundles to measure, one after the other.
        config: On which texts, and how closely.
        dataset: The Dataset whose split is answered; or give a file of texts.
        out: Where the Report appears.
        effects: Key and replacement of the call.

    Raises:
        ConfigError: Neither a Dataset nor a file of texts was given, or both.
        DataError: There are no texts, or task or labels differ.
        MissingExtraError: A Bundle's format needs a package that is not installed.
        ModelError: A Bundle's process died or took too long.
    """
    _check_sources(bundles, dataset, config)
    dataset = with_labels_of(bundles, dataset) if dataset else None
    texts = _read_dataset(bundles, dataset, config) if dataset else _read_lines(bundles, config)
    num_threads = config.num_threads or default_num_threads()
    rows = plain({"rows": _measure_all(bundles, dataset, texts, config, num_threads)})["rows"]
    report = plain(
        {
            "report": "benchmark",
            "headline": task_of(bundles[0]).measures[0].describe(),
            **texts.facts,
            "num_texts": len(texts.items),
            "num_threads": num_threads,
            "quick": config.quick,
            **({name: rows[0][name] for name in _headlines(bundles)} if len(rows) == 1 else {}),
            "rows": rows,
            **circumstances(config.language),
            "command": command_line(call_of("benchmark", {"bundles": bundles, "dataset": dataset}, config, out=out)),
        }
    )
    identity = Identity(
        kind=Report.kind,
        verb="benchmark",
        task=bundles[0].task,
        labels=bundles[0].labels,
        parents=numbered("bundle", bundles) | texts.parents,
        # The file of texts is a parent, by its digest; where it stood is nobody's business.
        config=config.model_dump(mode="json", exclude={"texts"}),
        seed=SEED,
        info={"summary": _summary(report, _headlines(bundles))},
    )
    with publish(out, identity, effects=effects) as staging:
        write_report(staging, report, render_benchmark(report))
    return Report.open(out)


def _check_sources(bundles: Sequence[Bundle], dataset: Dataset | None, config: BenchmarkConfig) -> None:
    if not bundles:
        raise ConfigError("The 'bundles' input of benchmark is empty.", hint="Name at least one Bundle.")
    if (dataset is None) == (config.texts is None):
        got = "neither" if dataset is None else "both"
        raise ConfigError(
            f"benchmark needs texts: either a Dataset or a file. Got {got}.", hint="--dataset FOLDER, or --texts FILE."
        )
    if config.runtime is not None and not any(map(_takes_runtime, bundles)):
        raise ConfigError(
            f"The 'runtime' parameter is for ONNX Bundles; {bundles[0].path} is of format {bundles[0].format}.",
            hint="Leave it out, or export the Bundle first.",
        )
    if config.runtime not in {None, "auto"}:
        check_engine(config.runtime)
    for one in bundles[1:]:
        if task_of(one).inputs != task_of(bundles[0]).inputs:
            raise DataError(
                f"{bundles[0].path} answers the task {bundles[0].task}, but {one.path} the task {one.task}.",
                hint="Measure Bundles together that take the same texts.",
            )


def _read_dataset(bundles: Sequence[Bundle], dataset: Dataset, config: BenchmarkConfig) -> Texts:
    frame = dataset.split(config.split)
    facts = {"dataset": identify(dataset), "texts": None, "split": config.split}
    if "label" in frame.columns:
        for one in bundles:
            match_bundle(one, dataset)
        split = load_split(dataset, config.split)
        rows = _evenly(len(split.items), config.num_texts)
        items = [split.items[row] for row in rows]
        return Texts(items, take_rows(split.targets, np.asarray(rows)), {"dataset": dataset.digest}, facts)
    # Texts without labels may be another task's if the columns are the same; else this says what differs.
    if task_of(bundles[0]).inputs != task_of(dataset).inputs:
        match_bundle(bundles[0], dataset)
    found = Inputs.of_frame(frame, task_of(dataset).inputs).items()
    if not found:
        raise DataError(f"The split '{config.split}' of {dataset.path} has no rows.", hint="Choose another --split.")
    items = [found[row] for row in _evenly(len(found), config.num_texts)]
    return Texts(items, None, {"dataset": dataset.digest}, facts)


def _read_lines(bundles: Sequence[Bundle], config: BenchmarkConfig) -> Texts:
    """Read a file of texts; empty lines are left out."""
    path = config.texts or Path()
    lines = [line for line in b"".join(utf8_blocks(path)).decode().splitlines() if line.strip()]
    if not lines:
        raise DataError(f"{path} has no texts.", hint="Give a file with one text a line.")
    chosen = [lines[row] for row in _evenly(len(lines), config.num_texts)]
    items: list[Item] = list(chosen)
    if len(task_of(bundles[0]).inputs) > 1:
        parts = [line.partition("\t") for line in chosen]
        # A line without a tab is a pair whose second text is empty.
        items = [(first, second) for first, _, second in parts]
    facts = {"dataset": None, "texts": path.name, "split": None}
    return Texts(items, None, {"texts": file_digest(path)}, facts)


def _evenly(num_rows: int, num_wanted: int) -> list[int]:
    """Return so many row numbers, from the first to the last in even steps."""
    places: list[int] = np.linspace(0, num_rows - 1, min(num_rows, num_wanted)).round().astype(int).tolist()
    return places


def _measure_all(
    bundles: Sequence[Bundle], dataset: Dataset | None, texts: Texts, config: BenchmarkConfig, num_threads: int
) -> list[dict[str, Any]]:
    """Return one row a Bundle; with labels the most accurate first."""
    facts, answers, task = [], [], task_of(bundles[0])
    headline = task.measures[0].name
    requests = [_requests(one, texts, config, num_threads) for one in bundles]
    # Counted beforehand, as the processes report nothing but their steps' names.
    with bar(sum(num_steps(one) for pair in requests for one in pair), "measuring", unit="step") as progress:

        def report(step: str) -> None:
            progress.set_postfix_str(step)
            progress.update()

        for bundle, (main, peak) in zip(bundles, requests, strict=True):
            measured, evidence = run_child(main, timeout_seconds=config.timeout_seconds, report=report)
            # In a second process: the product's memory and its warm processor must not count as the Bundle's.
            product, _ = run_child(peak, timeout_seconds=config.timeout_seconds, report=report)
            size = {"size_mb": bundle.size_bytes / 1e6}
            facts.append(
                {
                    **identify(bundle),
                    "runtime": main.runtime,
                    **size,
                    **measured,
                    **_share(measured, product),
                    # Filled in below where there are labels.
                    headline: None,
                }
            )
            answers.append(evidence)
    if dataset is None or texts.targets is None:
        return facts
    found = [
        task.read(one).ordered(match_bundle(bundle, dataset))
        for bundle, one in zip(bundles, answers, strict=True)
        if one is not None
    ]
    return compare_rows(facts, found, texts.targets, task, num_resamples=NUM_RESAMPLES, seed=SEED)


def _requests(
    bundle: Bundle, texts: Texts, config: BenchmarkConfig, num_threads: int
) -> tuple[MeasureBundle, MeasurePeak]:
    common: dict[str, Any] = {"bundle": str(bundle.path), "num_threads": num_threads, "quick": config.quick}
    main = MeasureBundle(
        runtime=_runtime(bundle, config, num_threads),
        items=texts.items,
        batch_sizes=config.batch_sizes,
        lengths=config.lengths,
        **common,
    )
    return main, MeasurePeak(**common)


def _runtime(bundle: Bundle, config: BenchmarkConfig, num_threads: int) -> str | None:
    """Return the engine of a Bundle; the trial of ``auto`` is held here, so that it counts as no load and no memory."""
    if not _takes_runtime(bundle):
        return None
    if config.runtime == "auto" and bundle.is_composite:
        open_bundle(bundle, num_threads=num_threads, runtime="auto").close()
    elif config.runtime == "auto":
        return choose_runtime(bundle, num_threads)
    return config.runtime


def _takes_runtime(bundle: Bundle) -> bool:
    return bundle.format == "onnx" or bundle.is_composite


def _share(measured: dict[str, Any], product: dict[str, Any]) -> dict[str, Any]:
    """Return the share of a plain product's speed that the Bundle reached on all texts, or why there is none."""
    if "no_share" in product:
        return {"share_of_peak": None, "peak_gflops": None, "precision": None, "no_share": product["no_share"]}
    # Products cost something a token, the head something a text: both by what was read on average.
    operations = product["operations_per_token"] * measured["tokens_per_text"] + product["operations_per_text"]
    peak = product["peak_operations_per_second"]
    return {
        "share_of_peak": operations * measured["throughput_texts_per_second"] / peak,
        "peak_gflops": peak / 1e9,
        "precision": product["precision"],
        "no_share": None,
    }


def _headlines(bundles: Sequence[Bundle]) -> tuple[str, ...]:
    """Return what a Report says first: speed, memory, size, and the headline of the task."""
    return (*HEADLINES, task_of(bundles[0]).measures[0].name)


def _summary(report: dict[str, Any], headlines: Sequence[str]) -> dict[str, Any]:
    names = ("report", "num_texts", "num_threads", *headlines)
    shown = [
        {key: row[key] for key in ("name", *headlines)}
        | {"latency_ms": {key: row["latency_ms"][key] for key in SHARES}}
        for row in report["rows"]
    ]
    return {name: report[name] for name in names if name in report} | {"rows": shown}
