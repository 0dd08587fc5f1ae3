"""What a search has found: the winner's Bundle with the Report and its recipe in it, or the Report alone.

It makes and chooses nothing.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import Identity, publish, read_manifest
from yanmo.artifacts.bundle import Bundle, copy_files
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import MANIFEST
from yanmo.artifacts.report import Report, circumstances, plain, write_report
from yanmo.config import Config
from yanmo.errors import ArtifactError, ModelError
from yanmo.grinding.budget import Budget, misses, nearest, say_misses
from yanmo.grinding.candidates import DATASET, INIT, TEACHER, TRANSFER, Stage, chain, recipe
from yanmo.grinding.search import Search
from yanmo.grinding.shapes import REPORT_MB
from yanmo.grinding.trials import Bench, describe
from yanmo.measuring.evaluation import identify, load_split
from yanmo.reporting.grinding import render_grinding
from yanmo.verbs.calls import Call, call_of, command_line

__all__ = ["check_report_place", "make_report", "publish_winner", "refuse"]

GRINDING = "grinding"
RECIPE = "recipe.toml"
"""In the Bundle: the Report of the search, and the pipeline that makes the same Bundle."""
# Two measurements of one Bundle differ by a few percent.
SLOWER = 1.05


def make_report(search: Search, winner: Mapping[str, Any] | None, config: Config, out: Path) -> dict[str, Any]:
    """Return the content of the Report; the test split is asked here, for the winner alone.

    Args:
        search: What was found.
        winner: Its row, or None.
        config: Of grind.
        out: Where the Bundle appears.
    """
    bench, budget = search.bench, search.budget
    rows = [
        {**row, "misses": misses(budget, row), "worse": _worse(search, stage, row)}
        for row, stage in zip(search.rows, search.stages, strict=True)
        if "failed" not in row
    ]
    name, headline = winner and str(winner["name"]), bench.task.measures[0]
    return plain(
        {
            "report": "grinding",
            "headline": headline.describe(),
            "teacher": identify(bench.teacher),
            "dataset": identify(bench.dataset),
            "budget": {key: getattr(budget, key) for key in Budget.model_fields},
            "winner": name,
            "test": _test(bench, name) if name else None,
            "is_teacher_enough": name is None and _is_enough(bench, budget, search.present[0]),
            "nearest": []
            if name
            else [say_misses(budget, row, headline) for row in nearest(budget, rows) or nearest(budget, search.shapes)],
            "rows": rows,
            "shapes": search.shapes,
            "present": search.present,
            "skipped": search.skipped,
            "late": search.late,
            "failed": {row["name"]: row["failed"] for row in search.rows if "failed" in row},
            "seconds": bench.clock.seconds,
            "recipe": _recipe(search, name, out) if name else None,
            **circumstances(config.model_dump()["language"]),
            "command": command_line(_call(bench, config, out), page=out / GRINDING if name else _report_place(out)),
        }
    )


def _is_enough(bench: Bench, budget: Budget, teacher: Mapping[str, Any]) -> bool:
    """Return whether the teacher itself, which loses nothing, costs no more than is allowed."""
    if misses(budget, teacher):
        return False
    # Last, since a process is started for it.
    return not misses(budget, {"memory_mb": bench.measure_memory(bench.teacher) if bench.needs_memory else None})


def _worse(search: Search, stage: Stage, row: Mapping[str, Any]) -> list[str]:
    """Return in what a Bundle is worse than the one it comes from: of a cascade the last stage, of others the first.

    What the teacher or a model in it answers was measured by the verb that made the Bundle from it.
    """
    # With the Report in it, as the rows of stages are measured.
    given = {one["name"]: {**one, "size_mb": one["size_mb"] + REPORT_MB} for one in search.present}
    headline = search.bench.task.measures[0]
    name = headline.name
    given[TEACHER] = given[TEACHER] | {name: row[f"teacher_{name}"]}
    sources = [one for one in stage.sources if one != DATASET]
    source = sources[-1] if stage.call.verb == "cascade" else sources[0]
    # In this order: a model in the teacher may have a row of its own, with its accuracy.
    before = search.row(source) or given.get(source) or given[TEACHER]
    facts = _summary(search.bench.bundle(stage.name)) if stage.call.verb != "calibrate" else {}
    lost = facts.get(f"{name}_drop")
    if lost is None:
        lost = headline.gain(before[name]) - headline.gain(row[name])
    checks = {
        "slower": row["latency_ms"] > SLOWER * before["latency_ms"],
        "larger": row["size_mb"] > before["size_mb"],
        headline.title: lost > 0,
    }
    return [what for what, is_so in checks.items() if is_so]


def _summary(bundle: Bundle) -> Mapping[str, Any]:
    found: Mapping[str, Any] = bundle.manifest.info["summary"]
    return found


def _test(bench: Bench, name: str) -> dict[str, Any] | None:
    if "test" not in bench.dataset.splits:
        return None
    split = load_split(bench.dataset, "test")
    ours, theirs = (bench.answer(one, split) for one in (bench.bundle(name), bench.teacher))
    return describe(ours, theirs, split, bench.task)


def _recipe(search: Search, name: str, out: Path) -> str:
    """Return the pipeline that makes the winner again, from the folder in which it will stand."""
    bench, folder = search.bench, (out / GRINDING).resolve()

    def path_to(source: Any) -> Any:
        if isinstance(source, tuple):
            return tuple(path_to(one) for one in source)
        # Both ends without links: a step up from a link leads elsewhere.
        return Path(os.path.relpath(Path(getattr(source, "path", source)).resolve(), folder)).as_posix()

    sources = {role: path_to(source) for role, source in bench.given.items()}
    # Checkpoints that students began with, as they stand from there.
    begun = {spec.source: path_to(spec.source) for spec in search.students.values() if spec.source}
    made = [bench.settled(stage) for stage in chain(search.stages, name)]
    stages = [
        stage.configured(
            {key: begun.get(one, one) if key == "model" else one for key, one in stage.call.config.items()}
        )
        for stage in made
    ]
    # Beside the winner, which whoever tries the recipe wants to compare with.
    return recipe(stages, sources, out=path_to(out.with_name(f"{out.name}-again")))


def publish_winner(
    search: Search, report: dict[str, Any], config: Config, parents: Mapping[str, str], *, out: Path, effects: Effects
) -> None:
    """Make the winner's Bundle appear at ``out``, with the Report of the search in it.

    Args:
        search: What was found.
        report: From :func:`make_report`.
        config: Of grind.
        parents: Role to digest of what the search was given.
        out: Where it appears.
        effects: Of the call.
    """
    name = report["winner"]
    bundle, row = search.bench.bundle(name), next(one for one in report["rows"] if one["name"] == name)
    headline, test = report["headline"]["name"], report["test"]
    tested = {f"test_{headline}": test[headline], "test_drop": test["drop"]} if test else {}
    errors = {key: value for key, value in _summary(bundle).items() if key.startswith("calibration_error")}
    facts = {"winner": name, **{key: row[key] for key in (headline, "drop", "latency_ms")}, **errors, **tested}
    ours = replace(_identity(search.bench, config, parents, report), labels=bundle.labels)
    identity = replace(ours, kind=Bundle.kind, info={**bundle.manifest.info, "summary": facts})
    with publish(out, identity, effects=effects) as staging:
        copy_files(bundle, staging)
        _write_report(staging / GRINDING, report, ours, effects)


def refuse(
    search: Search, report: dict[str, Any], config: Config, parents: Mapping[str, str], *, out: Path, effects: Effects
) -> None:
    """Publish the Report beside ``out``, and say that nothing meets the budget.

    Args:
        search: What was found.
        report: From :func:`make_report`.
        config: Of grind.
        parents: Role to digest of what the search was given.
        out: Where the Bundle would have appeared.
        effects: Of the call.

    Raises:
        ModelError: Always.
    """
    place = _report_place(out)
    identity = _identity(search.bench, config, parents, report)
    # check_report_place has seen to it that nothing else stands there.
    _write_report(place, report, identity, Effects(key=effects.key, replace=True))
    hint = "Loosen the constraint that is named; the same command with another budget goes on with what is there."
    teacher = search.bench.teacher.path
    itself = f" The teacher itself meets the budget: {teacher}." if report["is_teacher_enough"] else ""
    if not report["rows"] and search.late:
        raise ModelError(
            f"There was no time to make a Bundle. {'; '.join(search.late)}.{itself} All of it: {place}.",
            hint="Give the search more --hours; the same command goes on with what is there.",
        )
    if not report["rows"] and report["failed"]:
        failed = "; ".join(f"{name}: {why}" for name, why in report["failed"].items())
        raise ModelError(f"No Bundle could be made. {failed}{itself}", hint=f"All of it: {place}.")
    tried = f"None of {len(report['rows'])} Bundles meets" if report["rows"] else "No student's shape can meet"
    late = f" There was no time for: {'; '.join(search.late)}." if search.late else ""
    near = f" The nearest: {'; '.join(report['nearest'])}." if report["nearest"] else ""
    raise ModelError(
        f"{tried} the budget.{itself}{near}{late} All of it: {place}.",
        hint=f"{hint} More --hours try more." if search.late else hint,
    )


def check_report_place(out: Path) -> None:
    """Refuse an ``out`` beside which something stands where the Report of a search without a winner would appear.

    Raises:
        ArtifactError: As said.
    """
    place = _report_place(out)
    if not os.path.lexists(place):
        return
    is_ours = (place / MANIFEST).is_file() and read_manifest(place)[0].config.get("verb") == "grind"
    if not is_ours:
        raise ArtifactError(
            f"{place} exists already, and is no Report of grind, which would appear there if nothing meets the budget.",
            hint="Choose another --out, or move that away.",
        )


def _report_place(out: Path) -> Path:
    return out.with_name(f"{out.name}-report")


def _identity(bench: Bench, config: Config, parents: Mapping[str, str], report: Mapping[str, Any]) -> Identity:
    """Return what the manifest of the Report says."""
    plain_config = config.model_dump(mode="json")
    return Identity(
        kind=Report.kind,
        verb="grind",
        task=bench.dataset.task,
        labels=bench.dataset.labels,
        parents=dict(parents),
        config=plain_config,
        seed=plain_config["seed"],
        info={"summary": {name: report[name] for name in ("report", "winner", "test")}},
    )


def _write_report(place: Path, report: dict[str, Any], identity: Identity, effects: Effects) -> None:
    with publish(place, identity, effects=effects) as folder:
        write_report(folder, report, render_grinding(report))
        if report["recipe"]:
            (folder / RECIPE).write_text(report["recipe"], encoding="utf-8")


def _call(bench: Bench, config: Config, out: Path) -> Call:
    """Return the call that searches again."""
    return call_of(
        "grind", {role: bench.given.get(role) for role in (TEACHER, DATASET, INIT, TRANSFER)}, config, out=out
    )
