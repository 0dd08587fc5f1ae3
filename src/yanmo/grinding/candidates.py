"""What grind tries: chains of verbs from the teacher to a small Bundle, from cheap to expensive; it runs nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yanmo.models import ENCODER_FAMILIES, ModelSpec

__all__ = [
    "DATASET",
    "INIT",
    "TEACHER",
    "Stage",
    "cascade_of",
    "chain",
    "file_name",
    "recipe",
    "student_stages",
    "teacher_stages",
]

TEACHER, DATASET, INIT = "teacher", "dataset", "init"
HALF = {"heads": 0.5, "feed_forward": 0.5}


@dataclass(frozen=True)
class Stage:
    """One Bundle that is made of others.

    Attributes:
        name: Of its folder.
        verb: What makes it.
        inputs: Input name to the stages it takes, or to ``teacher``, ``dataset`` or ``init``.
        values: Config values.
        model: The student's shape, empty where the teacher's own is kept.
    """

    name: str
    verb: str
    inputs: dict[str, str | tuple[str, ...]]
    values: dict[str, Any] = field(default_factory=dict)
    model: str = ""

    @property
    def parents(self) -> list[str]:
        """The stages it takes."""
        named = [one for value in self.inputs.values() for one in ((value,) if isinstance(value, str) else value)]
        return [one for one in named if one not in (TEACHER, DATASET, INIT)]


def student_stages(spec: ModelSpec, values: Mapping[str, Any]) -> list[Stage]:
    """Return the stages of a student: distilled, in 8 bits, and for encoders half as wide in 8 bits.

    Args:
        spec: The student; of the family ``init`` it begins with the pre-trained encoder.
        values: Of distill.
    """
    name, inputs = file_name(spec), _from_teacher("teacher")
    if spec.family == "init":
        inputs, named = inputs | {"init": INIT}, {}
    else:
        named = {"model": spec.name}
    student = Stage(f"{name}-student", "distill", inputs, {**named, **values}, spec.name)
    stages = [student, _int8(student)]
    is_layered = spec.family in ENCODER_FAMILIES and spec.family != "albert" and spec.layers > 1
    if is_layered or spec.family == "init":
        pruned = Stage(f"{name}-pruned", "prune", _from(student.name), dict(HALF), spec.name)
        stages += [pruned, _int8(pruned)]
    return stages


def file_name(spec: ModelSpec) -> str:
    """Return what files and stages of a student are called: its name, of a hub id without the owner."""
    return spec.name.rpartition("/")[2]


def teacher_stages(format_: str, family: str) -> list[Stage]:
    """Return the stages that keep the teacher's own shape: 8 bits, and half as wide in 8 bits.

    Args:
        format_: Of the teacher's Bundle.
        family: Of its architecture.
    """
    if format_ in ("ensemble", "cascade"):
        return []
    whole = Stage("teacher-int8", "quantize", _from_teacher("bundle"))
    if format_ != "torch" or family != "encoder":
        return [whole]
    pruned = Stage("teacher-pruned", "prune", _from_teacher("bundle"), dict(HALF))
    return [whole, pruned, _int8(pruned)]


def cascade_of(stages: Sequence[str], max_drop: float) -> Stage:
    """Return the cascade of some stages, from cheap to expensive."""
    alpha = min(max(max_drop / 2, 0.001), 0.5)
    values = {"guarantee": "accuracy", "alpha": alpha}
    return Stage("cascade", "cascade", {"dataset": DATASET, "stages": tuple(stages)}, values)


def chain(stages: Sequence[Stage], name: str) -> list[Stage]:
    """Return a stage with all that it needs, what is needed first."""
    named = {one.name: one for one in stages}
    found: dict[str, Stage] = {}
    for parent in named[name].parents:
        found |= {one.name: one for one in chain(stages, parent)}
    return [*found.values(), named[name]]


def recipe(stages: Sequence[Stage], sources: Mapping[str, str]) -> str:
    """Return a pipeline that makes the last stage again.

    Args:
        stages: From :func:`chain`.
        sources: ``teacher``, ``dataset`` and ``init`` to the folders as a pipeline beside them names them.
    """
    tables = []
    for stage in stages:
        lines = [f"[stage.{stage.name}]", f'verb = "{stage.verb}"']
        for name, value in stage.inputs.items():
            named = sources.get(value, value) if isinstance(value, str) else [sources.get(one, one) for one in value]
            lines.append(f"{name} = {json.dumps(named, ensure_ascii=False)}")
        lines += [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in stage.values.items()]
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _from_teacher(name: str) -> dict[str, str | tuple[str, ...]]:
    return {name: TEACHER, "dataset": DATASET}


def _int8(stage: Stage) -> Stage:
    name = f"{stage.name.removesuffix('-student')}-int8"
    return Stage(name, "quantize", _from(stage.name), model=stage.model)


def _from(bundle: str) -> dict[str, str | tuple[str, ...]]:
    return {"bundle": bundle, "dataset": DATASET}
