"""The order of the stages, the steps their fan-outs make, and which steps are done; it runs nothing.

A step is one artifact to be made. A stage without ``each`` and without fanned-out inputs is one step. A stage with
``each`` is one step for every combination of the values. A stage that takes one artifact from a fanned-out stage
fans out with it, unless it names one combination, as in ``models/textcnn-2``; where two of its inputs share an origin,
both are taken of the same combination.
"""

from __future__ import annotations

import itertools
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.placing import MANIFEST, finish_swap, work_dir
from yanmo.config import Config, build
from yanmo.errors import ArtifactError, ConfigError
from yanmo.pipeline.document import Document
from yanmo.pipeline.references import Reference, read_references, sort_stages
from yanmo.pipeline.spec import PipelineSpec, StageSpec
from yanmo.translations import Language
from yanmo.verbs.calls import Call, call_of
from yanmo.verbs.signature import open_artifact

__all__ = ["Plan", "Step", "StepState", "find_state", "make_steps", "step_key"]

logger = logging.getLogger(__name__)

Axis = tuple[str, str]
StepState = Literal["done", "to resume", "to do"]


# Equal only to itself: a step is a key of dictionaries, and what it holds has no hash.
@dataclass(frozen=True, eq=False)
class Step:
    """One artifact to be made.

    Attributes:
        stage: The stage it is of.
        point: Its place in the fan-out: (stage, key) to value; empty where there is none.
        inputs: Input name to the steps or paths it is made from.
        call: What makes it.
    """

    stage: StageSpec
    point: Mapping[Axis, Any]
    inputs: Mapping[str, tuple[Step | Path, ...]]
    call: Call

    @property
    def name(self) -> str:
        """The stage's name, and in a fan-out the combination's."""
        return f"{self.stage.name}/{point_name(self.point)}" if self.point else self.stage.name

    @property
    def out(self) -> Path:
        """Where the artifact appears."""
        return Path(self.call.out or "")

    @cached_property
    def config(self) -> Config:
        """The verb's config."""
        return build(self.stage.verb.config_class, self.call.config, where=self.stage.verb.name)

    def sources(self) -> dict[str, tuple[Path, ...]]:
        """Return input name to the paths of what the verb takes."""
        return _paths(self.inputs)


@dataclass(frozen=True)
class Plan:
    """All steps of a pipeline, in order, and what is to be done.

    Attributes:
        path: The pipeline file.
        out: The folder of all artifacts.
        steps: In an order in which they can run.
        states: Of each step.
        language: Of the pages of Reports.
    """

    path: Path
    out: Path
    steps: list[Step]
    states: list[StepState] = field(default_factory=list)
    language: Language = "en"

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints and the screen's table shows."""
        stages = [
            {"stage": step.name, "verb": step.stage.verb.name, "inputs": _shown(step), "state": state}
            for step, state in zip(self.steps, self.states, strict=True)
        ]
        num_done = self.states.count("done")
        return {
            "pipeline": str(self.path),
            "out": str(self.out),
            "num_stages": len(stages),
            "num_done": num_done,
            "stages": stages,
        }


def _paths(inputs: Mapping[str, tuple[Step | Path, ...]]) -> dict[str, tuple[Path, ...]]:
    return {name: tuple(one.out if isinstance(one, Step) else one for one in values) for name, values in inputs.items()}


def make_steps(spec: PipelineSpec) -> list[Step]:
    """Return the steps of a pipeline in an order in which they can run; mistakes go to the spec's document."""
    references = {stage.name: read_references(spec, stage) for stage in spec.stages.values()}
    steps: dict[str, list[Step]] = {}
    for stage in sort_stages(spec, references):
        steps[stage.name] = list(_expand(spec, stage, references[stage.name], steps))
    _check_folders(spec, list(itertools.chain(*steps.values())))
    return list(itertools.chain(*steps.values()))


def _expand(
    spec: PipelineSpec, stage: StageSpec, references: dict[str, tuple[Reference, ...]], steps: dict[str, list[Step]]
) -> Iterator[Step]:
    many = {one.name for one in stage.verb.inputs if one.is_many}
    options = {name: [_find(spec, stage, name, one, steps) for one in values] for name, values in references.items()}
    axes = [[{(stage.name, key): value} for value in values] for key, values in stage.each.items()]
    single = [
        # An input that names one combination does not fan the stage out.
        [{} if values[0].point else _point(one) for one in options[name][0]]
        for name, values in references.items()
        if name not in many
    ]
    for points in itertools.product(*single, *axes):
        point = _merge(points)
        config = _build_config(spec.document, stage, point) if point is not None else None
        if point is None or config is None:
            continue
        inputs = {
            # Where several artifacts are taken, those of other combinations are left out.
            name: tuple(one for values in found for one in values if _merge((point, _point(one))) is not None)
            for name, found in options.items()
        }
        given = {name: paths if name in many else paths[0] for name, paths in _paths(inputs).items()}
        folder = spec.out / stage.name
        out = folder / point_name(point) if point else folder
        yield Step(stage, point, inputs, call_of(stage.verb.name, given, config, out=out))


def _find(
    spec: PipelineSpec, stage: StageSpec, name: str, reference: Reference, steps: dict[str, list[Step]]
) -> list[Step | Path]:
    """Return what a reference means: a path, or the steps of a stage, or one of them."""
    if reference.path is not None:
        return [reference.path]
    found = steps.get(reference.stage, [])
    if reference.point is None:
        return list(found)
    chosen = [step for step in found if point_name(step.point) == reference.point]
    if found and not chosen:
        word = f"{reference.stage}/{reference.point}"
        text = f"In the stage '{stage.name}' the '{name}' input names '{word}', which is not made."
        names = ", ".join(step.name for step in found)
        spec.document.report(stage.keys(name), text, f"'{reference.stage}' makes: {names}.")
    return list(chosen)


def _point(source: Step | Path) -> Mapping[Axis, Any]:
    return source.point if isinstance(source, Step) else {}


def _merge(points: tuple[Mapping[Axis, Any], ...]) -> dict[Axis, Any] | None:
    """Return one combination of all, or None where two of them differ in an axis they share."""
    merged: dict[Axis, Any] = {}
    for point in points:
        if any(axis in merged and merged[axis] != value for axis, value in point.items()):
            return None
        merged |= point
    return merged


def point_name(point: Mapping[Axis, Any]) -> str:
    """Return the folder's name of a combination: its values, with a hyphen between."""
    words = (value.name if isinstance(value, Path) else str(value) for value in point.values())
    # Without a dot in front, which only what is being staged has.
    return "-".join(re.sub(r"[^\w.+-]+", "_", word).lstrip(".") for word in words)


def _build_config(document: Document, stage: StageSpec, point: Mapping[Axis, Any]) -> Config | None:
    """Return the config of one combination; mistakes are reported and give None."""
    varied = {key: value for (origin, key), value in point.items() if origin == stage.name}
    verb = stage.verb
    try:
        return build(verb.config_class, {**stage.values, **varied}, where=verb.name)
    except ConfigError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        details = error.__cause__.errors(include_url=False)
        # build writes one line for each detail of pydantic's, in their order.
        for detail, sentence in zip(details, error.message.split("\n"), strict=True):
            key = str(detail["loc"][0]) if detail["loc"] else ""
            path = stage.keys("each", key) if key in varied else stage.keys(key)
            known = verb.config_class.model_fields.get(key)
            hint = f"{key}: {known.description}" if known else error.hint
            document.report(path, f"In the stage '{stage.name}': {sentence}", hint)
    return None


def _check_folders(spec: PipelineSpec, steps: list[Step]) -> None:
    """Report steps that would write one folder, or write over what is no artifact of a step."""
    owners: dict[str, Step] = {}
    for step in steps:
        # macOS and Windows take names that differ in case for the same folder.
        other = owners.setdefault(str(step.out).casefold(), step)
        keys = step.stage.keys("each") if step.point else step.stage.keys()
        if other is not step:
            text = f"Two combinations of the stage '{step.stage.name}' would both write {step.out}."
            if other.stage is not step.stage:
                text = f"The stages '{other.name}' and '{step.name}' would both write {step.out}."
            spec.document.report(keys, text, "Let their names differ in letters or digits, not only in case or signs.")
        if os.path.lexists(step.out) and not (step.out / MANIFEST).is_file():
            spec.document.report(keys, f"{step.out} exists and is no artifact.", "Move it away, or rename the stage.")
        if step.point and (step.out.parent / MANIFEST).is_file():
            text = f"{step.out.parent} is one artifact, but the stage '{step.stage.name}' makes several."
            spec.document.report(keys, text, "Remove it, or rename the stage.")


def step_key(step: Step, made: Mapping[Step, Artifact]) -> str | None:
    """Return the key that the step's manifest will have, or None if an input is not made yet.

    Args:
        step: The step.
        made: The artifacts that are as the pipeline wants them.

    Raises:
        ArtifactError: The folder of an input cannot be opened.
    """
    many = {one.name for one in step.stage.verb.inputs if one.is_many}
    kinds = {one.name: one.kinds for one in step.stage.verb.inputs}
    inputs: dict[str, Any] = {}
    for name, values in step.inputs.items():
        # What an input will be is not known before it is made, so neither is the key.
        if not all(isinstance(one, Path) or one in made for one in values):
            return None
        opened = [_open(kinds[name], made[one] if isinstance(one, Step) else one) for one in values]
        inputs[name] = tuple(opened) if name in many else opened[0]
    return step.stage.verb.key(inputs, step.config)


def _open(kinds: Sequence[type], source: Artifact | Path) -> Artifact | Path:
    if issubclass(kinds[0], Artifact) and isinstance(source, Path):
        return open_artifact(kinds, source, verify=False)
    return source


def find_state(step: Step, made: Mapping[Step, Artifact]) -> tuple[StepState, Artifact | None]:
    """Return whether a step is done, and its artifact if it is."""
    # A kill in the middle of a replacement has left nothing at this place, and a whole artifact beside it.
    finish_swap(step.out)
    key = step_key(step, made)
    kind = step.stage.verb.output
    if key is not None and kind is not None and step.out.is_dir():
        try:
            artifact = kind.open(step.out)
        except ArtifactError as error:
            logger.info("%s is made anew: %s", step.name, error.message)
        else:
            if artifact.manifest.key == key:
                return "done", artifact
    return ("to resume" if work_dir(step.out).is_dir() else "to do"), None


def _shown(step: Step) -> str:
    words = [one.name if isinstance(one, Step) else str(one) for values in step.inputs.values() for one in values]
    return ", ".join(words)
