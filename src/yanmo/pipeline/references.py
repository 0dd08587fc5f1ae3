"""What the inputs of the stages refer to, and the order that follows; it knows no fan-out and opens only manifests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from yanmo.artifacts.base import read_manifest
from yanmo.artifacts.placing import MANIFEST
from yanmo.data.decode import check_file
from yanmo.data.finding import is_pattern
from yanmo.errors import ArtifactError, DataError, did_you_mean
from yanmo.pipeline.spec import PipelineSpec, StageSpec
from yanmo.verbs.signature import Input

__all__ = ["Reference", "read_references", "sort_stages"]


@dataclass(frozen=True)
class Reference:
    """What an input names: a path, or a stage, or one combination of a fanned-out stage.

    Attributes:
        stage: The stage's name, empty for a path.
        point: The combination's folder name, None for all of them.
        path: The path, None for a stage.
    """

    stage: str = ""
    point: str | None = None
    path: Path | None = None


def read_references(spec: PipelineSpec, stage: StageSpec) -> dict[str, tuple[Reference, ...]]:
    """Return input name to what it names; an input with a mistake is left out, and the mistake reported."""
    kinds = {one.name: one for one in stage.verb.inputs}
    found = {}
    for name, words in stage.inputs.items():
        references = [_read_reference(spec, stage, kinds[name], word) for word in words]
        good = tuple(one for one in references if one is not None)
        if len(good) == len(words):
            found[name] = good
    _check_config_files(spec, stage)
    return found


def _read_reference(spec: PipelineSpec, stage: StageSpec, one: Input, word: str) -> Reference | None:
    name, slash, point = word.partition("/")
    # A path that is there comes before a combination of the same name.
    if name in spec.names and not (slash and (spec.folder / word).exists()):
        return _check_kind(spec, stage, one, Reference(name, point if slash else None))
    path = spec.folder / word
    if not one.is_artifact:
        return _check_raw(spec, stage, one, path)
    try:
        manifest, _ = read_manifest(path)
    except ArtifactError as error:
        names = [other for other in spec.names if other != stage.name]
        text = f"there is no stage '{word}' and no folder {path}.{did_you_mean(word, names)}"
        hint = f"The other stages are: {', '.join(names)}." if names else "Write the stage that makes it."
        # Something is there: what is wrong with it says more than that no stage has its name.
        if path.exists():
            text, hint = f"{word}: {error.message}", error.hint or hint
        spec.document.report(stage.keys(one.name), f"In the stage '{stage.name}', input '{one.name}': {text}", hint)
        return None
    if manifest.kind not in [kind.__name__.lower() for kind in one.kinds]:
        _report_kind(spec, stage, one, f"{path} is a {manifest.kind.capitalize()}")
        return None
    return Reference(path=path)


def _check_kind(spec: PipelineSpec, stage: StageSpec, one: Input, reference: Reference) -> Reference | None:
    """Return the reference if the stage it names makes what the input takes; of a broken stage that is not known."""
    other = spec.stages.get(reference.stage)
    made = other.verb.output if other else None
    if made is not None and one.is_artifact and made not in one.kinds:
        _report_kind(spec, stage, one, f"the stage '{reference.stage}' makes a {made.__name__}")
        return None
    return reference


def _report_kind(spec: PipelineSpec, stage: StageSpec, one: Input, what: str) -> None:
    wanted = one.wanted
    makers = [other.name for other in spec.stages.values() if other.verb.output in one.kinds and other is not stage]
    text = f"In the stage '{stage.name}' the '{one.name}' input of {stage.verb.name} takes a {wanted}, but {what}."
    hint = f"Stages that make a {wanted}: {', '.join(makers)}." if makers else f"No other stage makes a {wanted}."
    spec.document.report(stage.keys(one.name), text, hint)


def _check_raw(spec: PipelineSpec, stage: StageSpec, one: Input, path: Path) -> Reference | None:
    is_artifact = (path / MANIFEST).is_file()
    # A folder or a pattern stands for its files, found anew whenever the stage runs.
    is_many = one.is_many and (path.is_dir() or is_pattern(path))
    return Reference(path=path) if is_artifact or is_many or _is_file(spec, stage, one.name, path) else None


def _check_config_files(spec: PipelineSpec, stage: StageSpec) -> None:
    for key, value in stage.values.items():
        if isinstance(value, Path):
            _is_file(spec, stage, key, value)
    for key, values in stage.each.items():
        for value in values:
            if isinstance(value, Path):
                _is_file(spec, stage, key, value)


def _is_file(spec: PipelineSpec, stage: StageSpec, key: str, path: Path) -> bool:
    try:
        check_file(path)
    except DataError as error:
        spec.document.report(stage.keys(key), f"In the stage '{stage.name}', key '{key}': {error.message}", error.hint)
        return False
    return True


def sort_stages(spec: PipelineSpec, references: dict[str, dict[str, tuple[Reference, ...]]]) -> list[StageSpec]:
    """Return the stages so that each stands after those it needs, else in the file's order; a cycle is reported."""
    order: dict[str, StageSpec] = {}
    for name in spec.stages:
        _visit(spec, references, name, [], order)
    return list(order.values())


def _visit(
    spec: PipelineSpec,
    references: dict[str, dict[str, tuple[Reference, ...]]],
    name: str,
    trail: list[str],
    order: dict[str, StageSpec],
) -> None:
    if name in order or name not in spec.stages:
        return
    if name in trail:
        cycle = trail[trail.index(name) :]
        # From the stage that comes first in the file, so that a cycle found from several sides is one mistake.
        first = cycle.index(min(cycle, key=spec.names.index))
        shown = " → ".join([*cycle[first:], *cycle[:first], cycle[first]])
        text = f"The stages need each other in a cycle: {shown}."
        spec.document.report(("stage", cycle[first]), text, "Take one of these inputs from elsewhere.")
        return
    needed = {one.stage for values in references[name].values() for one in values if one.stage}
    # A set has no order of its own, and the same file must give the same plan.
    for other in sorted(needed, key=spec.names.index):
        _visit(spec, references, other, [*trail, name], order)
    order[name] = spec.stages[name]
