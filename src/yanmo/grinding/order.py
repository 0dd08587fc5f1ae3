"""Which stages are tried, in which order: from cheap to expensive; it makes and measures nothing by itself.

First what needs no training: the models that are there, in 8 bits, and put together. Then students, the one that learns
fastest first, halves of the encoders that cost too much, and again those that came out best, for as many passes as
there is time. Ensembles and cascades of what has been made cost seconds and come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.combine.cascading import Guarantee
from yanmo.executors.jobs import Executor
from yanmo.family_settings import unused_settings
from yanmo.grinding.candidates import (
    HALVES,
    TEACHER,
    TRANSFER,
    Stage,
    cascade_of,
    ensemble_of,
    int8_of,
    is_layered,
    pruned,
    single_models,
    student,
)
from yanmo.grinding.search import Search, attempt, num_passes, pass_seconds
from yanmo.grinding.shapes import REPORT_MB, few_rows, measure_shape, measure_what_is_there, time_training
from yanmo.grinding.side_by_side import make_ahead
from yanmo.grinding.trials import finished
from yanmo.models import ModelSpec
from yanmo.tasks.forms import suits

__all__ = ["run_search"]

NOISE = 1.5
"""A shape may be so many times slower than allowed in the first short measurement."""
INT8_GAIN = 4.0
"""At most so many times faster and smaller is a model in 8 bits."""
PRUNED_GAIN = 2.5
"""The same of one with half of its heads and neurons."""
CASCADE_COST = 0.5
"""At most so much of the last stage's time a text may the first one take."""
MOST_MEMBERS = 4
MOST_MIXED = 12
"""Of so many models every mean is considered …"""
NUM_MEANS = 3
"""… and so many become Bundles that meet the budget, …"""
MOST_MEANS = 9
"""… of at most so many that are made."""
NUM_PAIRS = 3
ALPHA_SHARES = (0.5, 2.0)
"""The shares of ``max_drop`` that a cascade guarantees to lose at most, where the headline is a share of rows."""
ALPHAS = (0.01, 0.02, 0.05)
"""The shares of rows in which a cascade may answer otherwise than its last stage, where the headline is none."""
LONGER = (2, 4)
"""A student is trained again for at least and at most so many times its passes …"""
MOST_PASSES = 40
"""… but not for more than these, which of few texts it has learned by heart long before."""


def run_search(search: Search, executor: Executor | None = None) -> None:
    """Measure what is there and the students' shapes, then make and measure what may meet the budget.

    Args:
        search: What is searched.
        executor: Who makes candidates side by side; None where this process makes one after the other.
    """
    bench, folder = search.bench, search.bench.folder / "shapes"
    few = few_rows(bench.dataset, bench.folder / "few")
    for name, bundle in {TEACHER: bench.teacher, **single_models(bench.teacher)}.items():
        search.present.append(measure_what_is_there(name, bundle, few, folder, bench.meter))
    for spec in search.students.values():
        taught: dict[str, Any] = {"effects": bench.effects, "teaching": bench.teaching}
        search.shapes.append(measure_shape(spec, few, folder, bench.meter, **taught))
    bench.clock.save()
    groups: tuple[Callable[[Search], Iterator[Stage]], ...] = (
        _models_in_int8,
        _ensembles,
        _cascades,
        _students,
        _halves_of_dear,
        _longer,
        _halves,
        _ensembles,
        _cascades,
    )
    for group in groups:
        stages: Iterable[Stage] = group(search)
        if executor is not None and group in FORESEEN:
            stages = list(stages)
            make_ahead(search, stages, executor)
        # One at a time: the other groups ask for what has been found before they name their next stage.
        for stage in stages:
            attempt(search, stage)


def _models_in_int8(search: Search) -> Iterator[Stage]:
    """Yield the single teacher, or the models in it, in 8 bits; those that are already are ready to be put together."""
    rows = {row["name"]: row for row in search.present}
    for name, bundle in single_models(search.bench.teacher).items():
        found = search.costs_too_much(rows[name], gain=INT8_GAIN)
        if bundle.manifest.info.get("precision", "fp32") != "fp32":
            search.skipped.append(f"{name}: it is in 8 bits already")
            if name != TEACHER and search.fits(rows[name]["size_mb"] + REPORT_MB):
                search.ready.append(search.bench.try_given(name))
        elif found:
            search.skipped.append(f"{name}: as it is it needs {_said(found)}, too much for 8 bits to change")
        else:
            yield int8_of(name)


def _ensembles(search: Search) -> Iterator[Stage]:
    """Yield the means of two to four models in 8 bits that cost no more together than is allowed, the most accurate.

    Of the trainings of one student only one takes part. How often a mean is right is known before it is made; what it
    costs is more than the sum of its members, so that others follow where some miss the budget. None of them writes.
    """
    if search.budget.is_about_writing:
        return
    ranked = sorted([*search.ready, *_made_in_int8(search)], key=lambda row: row["drop"])
    chosen = [row for row in ranked if not search.costs_too_much(row)][:MOST_MIXED]
    groups = (group for number in range(2, MOST_MEMBERS + 1) for group in combinations(chosen, number))
    # Before their answers are mixed: what members cost is known without asking them.
    held = [group for group in groups if _are_unlike(group) and not search.costs_too_much(_costs_together(group))]
    names = [[row["name"] for row in group] for group in held]
    num_made = 0
    for group in sorted(names, key=search.bench.mean_gain, reverse=True)[:MOST_MEANS]:
        stage = ensemble_of(group)
        yield stage
        row = search.row(stage.name)
        num_made += row is None or not search.costs_too_much(row)
        if num_made == NUM_MEANS:
            return


def _made_by(search: Search, *verbs: str) -> list[Mapping[str, Any]]:
    return [row for row in finished(search.rows) if row["verb"] in verbs]


def _made_in_int8(search: Search) -> list[Mapping[str, Any]]:
    """Return what was quantized, and the students that never had to be."""
    born = {name for name, spec in search.students.items() if spec.is_born_small}
    students = [row for row in _made_by(search, "distill") if row["student"] in born]
    return [*_made_by(search, "quantize"), *students]


def _are_unlike(rows: Sequence[Mapping[str, Any]]) -> bool:
    # Two trainings of one student make nearly the same mistakes.
    students = [row["student"] for row in rows if row["student"]]
    return len(students) == len(set(students))


def _costs_together(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    return {
        "latency_ms": sum(row["latency_ms"] for row in rows),
        # One after the other: their times for a text add up.
        "throughput": 1 / sum(1 / row["throughput"] for row in rows),
        "size_mb": _size_together(rows),
    }


def _size_together(rows: Sequence[Mapping[str, Any]]) -> float:
    # Every row has the Report in its size, and together they have one.
    return float(sum(row["size_mb"] - REPORT_MB for row in rows)) + REPORT_MB


def _students(search: Search) -> Iterator[Stage]:
    """Yield each student whose shape may meet the budget, and it in 8 bits; what trains fastest comes first.

    Shapes that meet it only when pruned, or as the last stage of a cascade, come after the others.
    """
    bench, places = search.bench, []
    for place, row in enumerate(search.shapes):
        use = _use_of(search, row)
        if use is None:
            search.skipped.append(f"{row['name']}: its shape needs {_said(search.costs_too_much(row))}")
            continue
        spec, few = search.students[row["name"]], few_rows(bench.dataset, bench.folder / "few")
        search.shapes[place] = time_training(
            spec,
            row,
            few,
            bench.folder / "shapes",
            num_threads=bench.num_threads,
            num_texts=search.texts.num_rows,
            effects=bench.effects,
            teaching=bench.teaching,
        )
        seconds = num_passes(search, spec.name) * search.shapes[place]["train_seconds_per_text"]
        places.append((use, seconds, spec))
    bench.clock.save()
    # By use and time alone: models have no order among each other.
    for _, _, spec in sorted(places, key=lambda one: one[:2]):
        yield from _with_int8(_student(search, spec), spec)


def _with_int8(stage: Stage, spec: ModelSpec) -> Iterator[Stage]:
    """Yield a student and it in 8 bits, where it is not so from the beginning."""
    yield stage
    if not spec.is_born_small:
        yield int8_of(stage.name, model=spec.name)


def _student(search: Search, spec: ModelSpec, **more: Any) -> Stage:
    """Return the stage of a student, of one that gets further config values under another name."""
    suffix = "longer" if more else "student"
    has_transfer = bool(search.bench.given.get(TRANSFER))
    # What has no effect on a student would be said of each.
    idle = unused_settings(spec, search.bench.task.head)
    values = {name: value for name, value in search.values.items() if name not in idle}
    return student(spec, {**values, **more}, has_transfer=has_transfer, suffix=suffix)


def _use_of(search: Search, shape: Mapping[str, Any]) -> int | None:
    """Return what a student's shape is good for: 0 as it is, 1 pruned, 2 last in a cascade, None for nothing."""
    if search.fits(shape["size_mb"]) and not search.costs_too_much(shape, gain=NOISE):
        return 0
    if is_layered(search.students[shape["name"]]) and not search.costs_too_much(shape, gain=PRUNED_GAIN):
        return 1
    first = [
        row
        for row in (*search.shapes, *search.ready, *finished(search.rows))
        if not search.costs_too_much(row) and row["throughput"] * CASCADE_COST >= shape["throughput"]
    ]
    return 2 if any(search.fits(_size_together([row, shape])) for row in first) else None


def _said(found: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in found.items())


def _halves(search: Search) -> Iterator[Stage]:
    """Yield the halves of encoders, and these in 8 bits: of students, and of a single teacher near the budget."""
    for model, spec in search.students.items():
        name = _student(search, spec).name
        if is_layered(spec) and search.row(name):
            yield from _half(search.bench.bundle(name), name, model=model)
    teacher, row = search.bench.teacher, search.row(int8_of(TEACHER).name)
    is_layered_teacher = teacher.format == "torch" and teacher.architecture.get("family") in HALVES
    # Half of it in 8 bits cannot be fast enough if the whole in 8 bits is too far away.
    if is_layered_teacher and row is not None and not search.costs_too_much(row, gain=PRUNED_GAIN):
        yield from _half(teacher, TEACHER)


def _halves_of_dear(search: Search) -> Iterator[Stage]:
    """Yield the halves of those that cost too much whole, which are the only ones that need it."""
    for stage in _halves(search):
        whole = search.row(int8_of(stage.sources[0].removesuffix("-pruned")).name)
        if whole is None or search.costs_too_much(whole):
            yield stage


def _half(bundle: Bundle, name: str, *, model: str = "") -> Iterator[Stage]:
    arithmetic = bundle.manifest.config.get("precision")
    arithmetic = arithmetic if arithmetic in ("fp32", "bf16") else "fp32"
    stage = pruned(name, family=str(bundle.architecture.get("family")), precision=arithmetic, model=model)
    yield from (stage, int8_of(stage.name, model=model))


def _longer(search: Search) -> Iterator[Stage]:
    """Yield students again, for as many more passes as there is time, the most accurate first, and these in 8 bits.

    Source: Beyer et al. 2022, "Knowledge distillation: A good teacher is patient and consistent", arXiv:2106.05237.
    """
    made = [(search.row(_student(search, spec).name), spec) for spec in search.students.values()]
    ranked = sorted(
        ((row, spec) for row, spec in made if row is not None and not search.costs_too_much(row, gain=INT8_GAIN)),
        key=lambda one: one[0]["drop"],
    )
    for _, spec in ranked:
        if "num_epochs" in unused_settings(spec, search.bench.task.head):
            continue  # what is counted is counted once
        usual = num_passes(search, spec.name)
        possible = min(int(search.bench.clock.left / pass_seconds(search, spec.name)), MOST_PASSES, LONGER[1] * usual)
        stage = _student(search, spec, num_epochs=possible)
        if possible >= LONGER[0] * usual or search.bench.is_begun(stage.name):
            yield from _with_int8(stage, spec)


def _cascades(search: Search) -> Iterator[Stage]:
    """Yield cascades whose last stage costs too much by itself, the most accurate last stages first."""
    if not suits(search.bench.task, "cascade"):
        return
    rows = [*search.ready, *_made_in_int8(search), *_made_by(search, "ensemble")]
    num_pairs = 0
    for last in sorted(rows, key=lambda row: row["drop"]):
        quick = [row for row in rows if _can_be_first(search, row, last)]
        if num_pairs < NUM_PAIRS and quick and search.costs_too_much(last):
            num_pairs += 1
            # The most accurate sends the fewest texts on to the last stage.
            first = max(quick, key=lambda row: (-row["drop"], row["throughput"]))
            costs_ms = [1000 / row["throughput"] for row in (first, last)]
            for guarantee, alpha in _guarantees(search):
                yield cascade_of([first["name"], last["name"]], costs_ms, guarantee=guarantee, alpha=alpha)


def _guarantees(search: Search) -> list[tuple[Guarantee, float]]:
    """Return what the cascades of two Bundles guarantee, each with its alpha."""
    if not search.bench.task.measures[0].is_share:
        # max_drop is in the headline's unit, such as stars, and says nothing about rows. What a cascade loses of the
        # headline is measured like that of every candidate.
        return [("agreement", alpha) for alpha in ALPHAS]
    # max_drop may be 0; alpha is in (0, 1).
    return [("accuracy", min(max(share * search.budget.max_drop, 0.001), 0.5)) for share in ALPHA_SHARES]


def _can_be_first(search: Search, first: Mapping[str, Any], last: Mapping[str, Any]) -> bool:
    is_quick = first["throughput"] * CASCADE_COST >= last["throughput"] and first["drop"] > last["drop"]
    # The median text is answered by the first stage, whatever the last one takes.
    latency = {"latency_ms": first["latency_ms"]}
    return is_quick and search.fits(_size_together([first, last])) and not search.costs_too_much(latency)


FORESEEN = (_models_in_int8, _students, _halves_of_dear, _longer, _halves)
"""The groups whose stages are all known before one of them is measured, so that several can be made at once."""
