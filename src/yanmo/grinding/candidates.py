"""What grind tries: chains of verbs from the teacher to a small Bundle, each a stage of a pipeline; it runs nothing."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from msgspec import structs

from yanmo.artifacts.bundle import Bundle
from yanmo.combine.cascading import Guarantee
from yanmo.models import ENCODER_FAMILIES, STARTED_FAMILIES, ModelSpec
from yanmo.verbs.calls import Call, InputPaths, stage_toml, toml_value

__all__ = [
    "DATASET",
    "HALVES",
    "INIT",
    "TEACHER",
    "TRANSFER",
    "Stage",
    "calibrated",
    "cascade_of",
    "chain",
    "ensemble_of",
    "file_name",
    "int8_of",
    "is_layered",
    "placed",
    "pruned",
    "recipe",
    "single_models",
    "student",
]

TEACHER, DATASET, INIT, TRANSFER = "teacher", "dataset", "init", "transfer"
HALVES = {
    "encoder": {"heads": 0.5, "feed_forward": 0.5},
    # The heads of some cannot go.
    "decoder": {"feed_forward": 0.5},
}
"""Family of a Bundle to what is left out of its half."""
LAYERED_DECODERS = ("gpt2", "gpt")


@dataclass(frozen=True)
class Stage:
    """One Bundle that is made of others.

    Attributes:
        name: Of its folder.
        call: What makes it, of the names of what it takes: stages, or what is there before any.
        model: The student's shape, empty where the teacher's own is kept.
    """

    name: str
    call: Call
    model: str = ""

    @property
    def sources(self) -> list[str]:
        """What it takes, the Bundles in their order."""
        return [one for value in self.call.inputs.values() for one in ((value,) if isinstance(value, str) else value)]

    def configured(self, values: Mapping[str, Any]) -> Stage:
        """Return the same with these config values, and no others."""
        return replace(self, call=structs.replace(self.call, config=dict(values)))


def single_models(teacher: Bundle) -> dict[str, Bundle]:
    """Return the models that answer in a teacher: name to Bundle; of a single model it alone, as ``teacher``."""
    if not teacher.is_composite:
        return {TEACHER: teacher}
    # The same model may stand in several parts of a teacher.
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
    layered = (*(one for one in ENCODER_FAMILIES if one != "albert"), *LAYERED_DECODERS)
    is_shape = spec.family in layered and spec.layers > 1
    # Of which family a checkpoint is its folder says, and prune.
    return is_shape or spec.family in STARTED_FAMILIES


def student(spec: ModelSpec, values: Mapping[str, Any], *, has_transfer: bool, suffix: str = "student") -> Stage:
    """Return the stage that distills into a student.

    Args:
        spec: The student; of the family ``init`` it begins with the pre-trained encoder.
        values: Of distill.
        has_transfer: Whether there are further texts.
        suffix: Of its name.
    """
    inputs: dict[str, InputPaths] = {"teacher": TEACHER, "dataset": DATASET}
    inputs |= {"transfer": TRANSFER} if has_transfer else {}
    named = {"model": spec.source if spec.family == "pretrained" else spec.name}
    if spec.family == "init":
        # The encoder itself says which model it is.
        inputs, named = inputs | {"init": INIT}, {}
    call = Call(verb="distill", inputs=inputs, config={**named, **values})
    return Stage(f"{file_name(spec)}-{suffix}", call, spec.name)


def int8_of(name: str, *, model: str = "") -> Stage:
    """Return the stage that puts a Bundle into 8 bits."""
    return Stage(f"{name.removesuffix('-student')}-int8", Call(verb="quantize", inputs=_from(name)), model)


def pruned(name: str, *, precision: str, family: str = "encoder", model: str = "") -> Stage:
    """Return the stage that leaves half of the heads and neurons of a network.

    Args:
        name: Of the network.
        family: A key of :data:`HALVES`.
        precision: The arithmetic that trained it, in which it recovers.
        model: The student's shape.
    """
    call = Call(verb="prune", inputs=_from(name), config={**HALVES[family], "precision": precision})
    return Stage(f"{name.removesuffix('-student')}-pruned", call, model)


def ensemble_of(members: Sequence[str]) -> Stage:
    """Return the mean of some stages."""
    words = (one.removesuffix("-int8") for one in members)
    call = Call(verb="ensemble", inputs={"dataset": DATASET, "members": tuple(members)})
    return Stage(f"ensemble-{'-'.join(words)}", call)


def cascade_of(
    stages: Sequence[str], costs_ms: Sequence[float], *, alpha: float, guarantee: Guarantee = "accuracy"
) -> Stage:
    """Return the cascade of some stages.

    Args:
        stages: From cheap to expensive.
        costs_ms: Of one text in each, as measured: with these the thresholds come out the same again.
        alpha: The share of rows that is allowed, in (0, 1).
        guarantee: In which the cascade may differ from its last stage, or by which it may be right less often.
    """
    values = {"guarantee": guarantee, "alpha": alpha, "costs": [float(f"{cost:.4g}") for cost in costs_ms]}
    words = (one.removesuffix("-int8") for one in stages)
    # In hundredths of a percent, so that the name has no point.
    kept = "" if guarantee == "accuracy" else f"{guarantee}-"
    name = f"cascade-{'-'.join(words)}-{kept}{10_000 * alpha:.0f}"
    return Stage(name, Call(verb="cascade", inputs={"dataset": DATASET, "stages": tuple(stages)}, config=values))


def calibrated(name: str) -> Stage:
    """Return the stage that makes a Bundle's probabilities match frequencies; its answers stay."""
    return Stage(f"{name}-calibrated", Call(verb="calibrate", inputs=_from(name)))


def chain(stages: Sequence[Stage], name: str) -> list[Stage]:
    """Return a stage with all stages that it needs, what is needed first."""
    named = {one.name: one for one in stages}
    found: dict[str, Stage] = {}
    for source in named[name].sources:
        if source in named:
            # A stage that two others need keeps its first place, before both.
            found |= {one.name: one for one in chain(stages, source)}
    return [*found.values(), named[name]]


def recipe(stages: Sequence[Stage], sources: Mapping[str, InputPaths], *, out: str) -> str:
    """Return a pipeline that makes the last stage again.

    Args:
        stages: From :func:`chain`, with all values that their bits depend on.
        sources: What is there before any stage, to the paths from the pipeline's folder.
        out: The folder of what the pipeline makes, likewise.
    """
    tables = [f"[pipeline]\nout = {toml_value(out)}\n"]
    tables += [stage_toml(stage.name, placed(stage.call, lambda name: sources.get(name, name))) for stage in stages]
    return "\n".join(tables)


def placed(call: Call, place: Callable[[str], InputPaths]) -> Call:
    """Return a call on what stands somewhere.

    Args:
        call: On names.
        place: From a name to the path, or the paths, that it stands for.
    """
    inputs = {
        role: place(value) if isinstance(value, str) else tuple(str(place(one)) for one in value)
        for role, value in call.inputs.items()
    }
    return structs.replace(call, inputs=inputs)


def _from(bundle: str) -> dict[str, InputPaths]:
    return {"bundle": bundle, "dataset": DATASET}
