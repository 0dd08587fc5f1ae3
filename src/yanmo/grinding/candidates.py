"""What grind tries: chains of verbs from the teacher to a small Bundle, each a stage of a pipeline; it runs nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.models import ENCODER_FAMILIES, ModelSpec

__all__ = [
    "DATASET",
    "INIT",
    "TEACHER",
    "TRANSFER",
    "Stage",
    "cascade_of",
    "chain",
    "ensemble_of",
    "file_name",
    "int8_of",
    "is_layered",
    "pruned",
    "recipe",
    "single_models",
    "student",
]

TEACHER, DATASET, INIT, TRANSFER = "teacher", "dataset", "init", "transfer"
HALF = {"heads": 0.5, "feed_forward": 0.5}
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

Inputs = dict[str, str | tuple[str, ...]]


@dataclass(frozen=True)
class Stage:
    """One Bundle that is made of others.

    Attributes:
        name: Of its folder.
        verb: What makes it.
        inputs: Input name to the names of what it takes: stages, or what is there before any.
        values: Config values.
        model: The student's shape, empty where the teacher's own is kept.
    """

    name: str
    verb: str
    inputs: Inputs
    values: dict[str, Any] = field(default_factory=dict)
    model: str = ""

    @property
    def sources(self) -> list[str]:
        """What it takes, the Bundles in their order."""
        return [one for value in self.inputs.values() for one in ((value,) if isinstance(value, str) else value)]


def single_models(teacher: Bundle) -> dict[str, Bundle]:
    """Return the models that answer in a teacher: name to Bundle; of a single model it alone, as ``teacher``."""
    if not teacher.is_composite:
        return {TEACHER: teacher}
    leaves = list({one.digest: one for one in _leaves(teacher)}.values())
    width = len(str(len(leaves)))
    return {f"member-{number:0{width}}-{file_name(one)}": one for number, one in enumerate(leaves, 1)}


def _leaves(bundle: Bundle) -> Iterable[Bundle]:
    for member in bundle.members():
        if member.is_composite:
            yield from _leaves(member)
        else:
            yield member


def file_name(named: ModelSpec | Bundle) -> str:
    """Return what files and stages of a model are called: its name, of a hub id without the owner."""
    name = named.model if isinstance(named, Bundle) else named.name
    return re.sub(r"[^\w.+-]+", "_", name.rpartition("/")[2])


def is_layered(spec: ModelSpec) -> bool:
    """Return whether heads and neurons can be cut out of a student."""
    is_shape = spec.family in ENCODER_FAMILIES and spec.family != "albert" and spec.layers > 1
    return is_shape or spec.family == "init"


def student(spec: ModelSpec, values: Mapping[str, Any], *, has_transfer: bool, suffix: str = "student") -> Stage:
    """Return the stage that distills into a student.

    Args:
        spec: The student; of the family ``init`` it begins with the pre-trained encoder.
        values: Of distill.
        has_transfer: Whether there are further texts.
        suffix: Of its name.
    """
    inputs: Inputs = {"teacher": TEACHER, "dataset": DATASET}
    inputs |= {"transfer": TRANSFER} if has_transfer else {}
    named = {"model": spec.name}
    if spec.family == "init":
        inputs, named = inputs | {"init": INIT}, {}
    return Stage(f"{file_name(spec)}-{suffix}", "distill", inputs, {**named, **values}, spec.name)


def int8_of(name: str, *, model: str = "") -> Stage:
    """Return the stage that puts a Bundle into 8 bits."""
    return Stage(f"{name.removesuffix('-student')}-int8", "quantize", _from(name), model=model)


def pruned(name: str, *, precision: str, model: str = "") -> Stage:
    """Return the stage that leaves half of the heads and neurons of an encoder.

    Args:
        name: Of the encoder.
        precision: The arithmetic that trained it, in which it recovers.
        model: The student's shape.
    """
    values = {**HALF, "precision": precision}
    return Stage(f"{name.removesuffix('-student')}-pruned", "prune", _from(name), values, model)


def ensemble_of(members: Sequence[str]) -> Stage:
    """Return the mean of some stages."""
    words = (one.removesuffix("-int8") for one in members)
    return Stage(f"ensemble-{'-'.join(words)}", "ensemble", {"dataset": DATASET, "members": tuple(members)})


def cascade_of(stages: Sequence[str], costs_ms: Sequence[float], *, alpha: float) -> Stage:
    """Return the cascade of some stages.

    Args:
        stages: From cheap to expensive.
        costs_ms: Of one text in each, as measured: with these the thresholds come out the same again.
        alpha: How far the accuracy may be below the last stage's, in (0, 1).
    """
    values = {"guarantee": "accuracy", "alpha": alpha, "costs": [float(f"{cost:.4g}") for cost in costs_ms]}
    words = (one.removesuffix("-int8") for one in stages)
    name = f"cascade-{'-'.join(words)}-{10_000 * alpha:.0f}"
    return Stage(name, "cascade", {"dataset": DATASET, "stages": tuple(stages)}, values)


def chain(stages: Sequence[Stage], name: str) -> list[Stage]:
    """Return a stage with all stages that it needs, what is needed first."""
    named = {one.name: one for one in stages}
    found: dict[str, Stage] = {}
    for source in named[name].sources:
        if source in named:
            found |= {one.name: one for one in chain(stages, source)}
    return [*found.values(), named[name]]


def recipe(stages: Sequence[Stage], sources: Mapping[str, str | Sequence[str]], *, out: str) -> str:
    """Return a pipeline that makes the last stage again.

    Args:
        stages: From :func:`chain`, with all values that their bits depend on.
        sources: What is there before any stage, to the paths from the pipeline's folder.
        out: The folder of what the pipeline makes, likewise.
    """
    tables = [f"[pipeline]\nout = {_toml(out)}\n"]
    for stage in stages:
        lines = [f"[stage.{_key(stage.name)}]", f"verb = {_toml(stage.verb)}"]
        for name, value in stage.inputs.items():
            found = sources.get(value, value) if isinstance(value, str) else [sources.get(one, one) for one in value]
            lines.append(f"{name} = {_toml(found)}")
        lines += [f"{name} = {_toml(value)}" for name, value in stage.values.items()]
        tables.append("\n".join(lines) + "\n")
    return "\n".join(tables)


def _from(bundle: str) -> Inputs:
    return {"bundle": bundle, "dataset": DATASET}


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _toml(name)


def _toml(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
