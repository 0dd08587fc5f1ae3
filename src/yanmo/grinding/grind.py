"""grind: from a teacher and a budget to the Bundle that meets it, or to the statement that there is none."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from yanmo.artifacts.base import MANIFEST, lock, publish, work_dir
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import library_versions
from yanmo.artifacts.report import Report, plain, write_report
from yanmo.artifacts.work import claim
from yanmo.bundling.starting import start
from yanmo.bundling.train_config import TrainConfig
from yanmo.bundling.training import check_model
from yanmo.errors import ConfigError, ModelError
from yanmo.grinding.budget import Budget, choose, misses, nearest, say_misses
from yanmo.grinding.candidates import DATASET, INIT, TEACHER, chain, recipe
from yanmo.grinding.search import Search, run_search
from yanmo.grinding.trials import Bench, describe, finished
from yanmo.machine import describe_machine
from yanmo.measuring.evaluation import identify, load_split, match_labels, run_bundle, shown_path
from yanmo.models import ModelSpec
from yanmo.reporting.grinding import render_grinding
from yanmo.verbs.signature import verb

__all__ = ["GrindConfig", "grind"]

GRINDING = "grinding"
RECIPE = "recipe.toml"
"""In the Bundle: the Report of the search, and the pipeline that makes the same Bundle."""


class GrindConfig(Budget):
    """What the Bundle may cost, and how long the search may take."""

    hours: float = Field(default=1.0, gt=0)
    """Most hours for all trials together, those of earlier runs of the same command, too."""

    students: tuple[str, ...] = Field(default=("ngram", "textcnn", "bert-2x128", "bert-4x312"), min_length=1)
    """Models to distill into."""

    num_altered: int = Field(default=3, ge=0, le=100)
    """Altered copies of each text that the teacher answers."""

    seed: int = Field(default=1, ge=0, le=2**63 - 1)
    """Seed of every student."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute and to measure with; by default one for each CPU that this process may use."""

    fork: bool = Field(default=False, exclude=True)
    """Start anew where the data or a key has changed since the last trial; without it that is refused."""


@verb
def grind(teacher: Bundle, dataset: Dataset, config: GrindConfig, *, init: Bundle | None = None, out: Path) -> Bundle:
    """Find the Bundle that meets a budget of latency, size and accuracy.

    Students of several shapes are distilled from the teacher, pruned, put into 8 bits and put together to a cascade,
    from cheap to expensive. Shapes that are too slow on this machine are never trained. The Bundle is the most accurate
    one that meets all constraints on the validation split, and holds the Report and the pipeline that makes it again in
    its folder ``grinding``; the test split is asked once, for it alone. Where none meets them, the Report appears
    beside ``out`` and says which constraint to loosen. A search that was killed goes on with the trial it was in.

    Args:
        teacher: Any Bundle, an ensemble or a cascade, too.
        dataset: With the splits train and valid.
        config: What the Bundle may cost.
        init: An encoder from pretrain; the student of its shape begins with it.
        out: Where the Bundle appears.

    Raises:
        ModelError: No Bundle meets the budget; the message names the nearest ones.
        ConfigError: A student cannot be trained, or something has changed since the last trial.
        DataError: Teacher and Dataset differ in task or labels.
        BusyError: Another process works there.
        MissingExtraError: The packages that train are not installed.
    """
    match_labels(teacher, dataset)
    students = _find_students(config, init, dataset)
    parents = {"teacher": teacher.digest, "dataset": dataset.digest} | ({"init": init.digest} if init else {})
    with lock(work_dir(out)) as folder:
        claim(folder, parents=parents, config=config.model_dump(mode="json", exclude={"hours"}), fork=config.fork)
        bench = Bench(teacher, dataset, folder, config.num_threads, config.max_memory_mb is not None, init)
        values = {"num_altered": config.num_altered, "seed": config.seed}
        search = run_search(bench, config, students, values, max_seconds=3600 * config.hours)
        winner = choose(config, finished(search.rows))
        report = _report(bench, search, winner, config, out)
        if winner is None:
            _refuse(search, report, bench, config, parents, out)
        else:
            _publish(bench, str(winner["name"]), report, config, parents, out)
        shutil.rmtree(folder, ignore_errors=True)
    return Bundle.open(out, verify=False)


def _find_students(config: GrindConfig, init: Bundle | None, dataset: Dataset) -> list[ModelSpec]:
    """Return the models to distill into; the one of the pre-trained encoder's shape begins with it.

    Raises:
        ModelError: There is no such model.
        ConfigError: It cannot be a student.
        MissingExtraError: The packages that train are not installed.
    """
    found = {spec.name: spec for spec in (check_model(TrainConfig(model=model)) for model in config.students)}
    for spec in found.values():
        if spec.family in ("linear", "pretrained"):
            raise ConfigError(
                f"The 'students' parameter of grind cannot have {spec.name}.",
                hint="Give ngram, textcnn, bilstm, or shapes such as bert-4x312; an encoder from pretrain as --init.",
            )
    if init is not None:
        found[init.model], _ = start(TrainConfig(), init, dataset)
    return list(found.values())


def _report(
    bench: Bench, search: Search, winner: Mapping[str, Any] | None, config: GrindConfig, out: Path
) -> dict[str, Any]:
    budget = {name: getattr(config, name) for name in Budget.model_fields}
    rows = [{**row, "misses": misses(config, row)} for row in finished(search.rows)]
    named = {TEACHER: bench.teacher, DATASET: bench.dataset, INIT: bench.init}
    sources = {role: shown_path(one.path) for role, one in named.items() if one is not None}
    name = winner and str(winner["name"])
    return plain(
        {
            "report": "grinding",
            "teacher": identify(bench.teacher),
            "dataset": identify(bench.dataset),
            "budget": budget,
            "winner": name,
            "test": _test(bench, name) if name else None,
            "nearest": [say_misses(config, row) for row in nearest(config, rows or search.shapes)] if not name else [],
            "rows": rows,
            "shapes": search.shapes,
            "skipped": search.skipped,
            "failed": {row["name"]: row["failed"] for row in search.rows if "failed" in row},
            "seconds": bench.spent_seconds(),
            "recipe": recipe(chain(search.stages, name), sources) if name else None,
            "machine": describe_machine(),
            "versions": library_versions(),
            "command": _command(bench, config, out),
        }
    )


def _test(bench: Bench, name: str) -> dict[str, Any] | None:
    """Return what the winner answers on the test split, asked here only."""
    if "test" not in bench.dataset.splits:
        return None
    split = load_split(bench.dataset, "test")
    winner = Bundle.open(bench.bundle_dir(name))
    asked: dict[str, Any] = {"num_threads": bench.num_threads, "measure_speed": False}
    ours, theirs = (run_bundle(one, bench.dataset, split, **asked) for one in (winner, bench.teacher))
    return describe(ours.chosen_NC, theirs.chosen_NC, split)


def _publish(
    bench: Bench, name: str, report: dict[str, Any], config: GrindConfig, parents: Mapping[str, str], out: Path
) -> None:
    """Make the winner's Bundle appear at ``out``, with the Report of the search in it."""
    bundle = Bundle.open(bench.bundle_dir(name))
    row = next(one for one in report["rows"] if one["name"] == name)
    test = {"test_accuracy": report["test"]["accuracy"], "test_drop": report["test"]["drop"]} if report["test"] else {}
    facts = {"winner": name, **{key: row[key] for key in ("accuracy", "drop", "latency_ms")}, **test}
    identity: dict[str, Any] = {
        "task": bundle.task,
        "labels": bundle.labels,
        "parents": parents,
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
    }
    info = {**bundle.manifest.info, "summary": facts}
    with publish(out, kind=Bundle.kind, verb="grind", info=info, **identity) as staging:
        shutil.copytree(bundle.path, staging, ignore=_skip_manifest(bundle.path), dirs_exist_ok=True)
        _write_report(staging / GRINDING, report, identity)


def _refuse(
    search: Search,
    report: dict[str, Any],
    bench: Bench,
    config: GrindConfig,
    parents: Mapping[str, str],
    out: Path,
) -> None:
    """Publish the Report beside ``out``, and say that nothing meets the budget.

    Raises:
        ModelError: Always.
    """
    place = out.with_name(f"{out.name}-report")
    identity: dict[str, Any] = {
        "task": bench.dataset.task,
        "labels": bench.dataset.labels,
        "parents": parents,
        "config": config.model_dump(mode="json"),
        "seed": config.seed,
    }
    shutil.rmtree(place, ignore_errors=True)
    _write_report(place, report, identity)
    tried = f"None of {len(report['rows'])} Bundles meets" if search.rows else "No student's shape can meet"
    raise ModelError(
        f"{tried} the budget. The nearest: {'; '.join(report['nearest'])}. All of it: {place}.",
        hint="Loosen the constraint that is named, or give the search more --hours.",
    )


def _write_report(place: Path, report: dict[str, Any], identity: Mapping[str, Any]) -> None:
    headlines = {name: report[name] for name in ("report", "winner", "test")}
    with publish(place, kind=Report.kind, verb="grind", info={"summary": headlines}, **identity) as folder:
        write_report(folder, report, render_grinding(report))
        if report["recipe"]:
            (folder / RECIPE).write_text(report["recipe"], encoding="utf-8")


def _skip_manifest(folder: Path) -> Callable[[str, Sequence[str]], set[str]]:
    """Return what leaves out the manifest of a folder, but not those of artifacts in it."""
    return lambda place, _: {MANIFEST} if Path(place) == folder else set()


def _command(bench: Bench, config: GrindConfig, out: Path) -> str:
    parts = ["yanmo", "grind", shown_path(bench.teacher.path), shown_path(bench.dataset.path)]
    for name, field in GrindConfig.model_fields.items():
        value = getattr(config, name)
        if value != field.default and name != "fork":
            parts += [f"--{name.replace('_', '-')}", ",".join(value) if isinstance(value, tuple) else str(value)]
    parts += ["--init", shown_path(bench.init.path)] if bench.init else []
    return shlex.join([*parts, "--out", shown_path(out)])
