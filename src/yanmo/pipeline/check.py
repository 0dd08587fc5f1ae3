"""The check command: a pipeline file, checked completely before anything runs; it makes nothing."""

from pathlib import Path

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.placing import check_out
from yanmo.config import Config
from yanmo.errors import ArtifactError
from yanmo.pipeline.plan import Plan, Step, StepState, find_state, make_steps
from yanmo.pipeline.precheck import precheck
from yanmo.pipeline.spec import PipelineSpec, read_spec
from yanmo.translations import Language

__all__ = ["CheckConfig", "check"]


class CheckConfig(Config):
    """How the pipeline file is read."""

    set: tuple[str, ...] = ()
    """Values laid over the file's, such as stage.cnn.learning_rate=3e-4; may be given several times."""
    language: Language | None = None
    """Of the pages of Reports, en or zh; by default what [pipeline] says of language, else en."""


def check(pipeline: Path, config: CheckConfig) -> Plan:
    """Check a pipeline file completely, and run nothing.

    Args:
        pipeline: The TOML file.
        config: Values laid over it.

    Returns:
        Its stages in order, each with its state: done, to resume, to do.

    Raises:
        PipelineError: All mistakes of the file, each with its line.
    """
    laid_over = (f'pipeline.language="{config.language}"',) if config.language else ()
    spec = read_spec(pipeline, (*config.set, *laid_over))
    steps = make_steps(spec)
    for step in steps:
        precheck(spec.document, step)
    _check_writable(spec)
    spec.document.raise_mistakes()
    # What is there already is looked at last: a file with mistakes is not held against anything.
    return Plan(pipeline, spec.out, steps, _find_states(steps), spec.language)


def _check_writable(spec: PipelineSpec) -> None:
    keys = ("pipeline", "out")
    if spec.out.exists() and not spec.out.is_dir():
        spec.document.report(keys, f"{spec.out} is no folder.", "Choose another 'out' in [pipeline].")
        return
    try:
        # It may be there: artifacts appear inside of it.
        check_out(spec.out, replace=True)
    except ArtifactError as error:
        spec.document.report(keys, error.message, "Choose another 'out' in [pipeline].")


def _find_states(steps: list[Step]) -> list[StepState]:
    made: dict[Step, Artifact] = {}
    states: list[StepState] = []
    for step in steps:
        state, artifact = find_state(step, made)
        states.append(state)
        if artifact is not None:
            made[step] = artifact
    return states
