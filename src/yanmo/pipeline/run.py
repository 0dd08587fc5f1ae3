"""The run command: the steps that are not done, in order, then a comparison of all Bundles; it knows no single verb.

Nothing is remembered but the artifacts: a step is done if its folder holds what the pipeline would make now. A step
that changed is made beside its old artifact, which is replaced when the new one is whole.
"""

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import structs

from yanmo.artifacts import Artifact, Report
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import MANIFEST, lock
from yanmo.errors import BusyError, YanmoError
from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.compare import compare_bundles
from yanmo.pipeline.plan import Plan, Step, find_state, step_key
from yanmo.pipeline.spec import REPORT
from yanmo.verbs.calls import call_of, command_line, run_call

__all__ = ["RunConfig", "run"]

logger = logging.getLogger(__name__)

LOCK = ".run"
KEPT = "The finished stages are kept: run the pipeline again to go on from here."


class RunConfig(CheckConfig):
    """How the pipeline file is read."""


def run(pipeline: Path, config: RunConfig) -> Report | Plan:
    """Run a pipeline: skip what is done, resume what was cut off.

    Args:
        pipeline: The TOML file; all of it is checked first.
        config: Values laid over it.

    Returns:
        The Report that compares every Bundle it made; of a pipeline that makes no Bundle its plan.

    Raises:
        PipelineError: The file has mistakes; nothing was run.
        BusyError: Another process runs a pipeline in the same folder.
        YanmoError: A stage failed; the message names it, and the stages before it are kept.
    """
    plan = check(pipeline, config)
    with _alone(plan.out):
        made: dict[Step, Artifact] = {}
        for number, step in enumerate(plan.steps, 1):
            made[step] = _settle(step, made, f"stage {number}/{len(plan.steps)} {step.name}")
        call = call_of("run", {"pipeline": pipeline}, config)
        report = compare_bundles(plan, command=command_line(call, page=plan.out / REPORT))
    _say_left_over(plan)
    # Checked once more: the plan then shows that all is done.
    return report or check(pipeline, config)


def _say_left_over(plan: Plan) -> None:
    """Name the artifacts of values that a stage's ``each`` has no more; nothing is removed."""
    made = {step.out for step in plan.steps}
    folders = dict.fromkeys(step.out.parent for step in plan.steps if step.point)
    found = [path for folder in folders for path in sorted(folder.iterdir()) if path not in made]
    # A name with a dot in front is being staged, or work that was cut off.
    left = [str(path) for path in found if (path / MANIFEST).is_file() and not path.name.startswith(".")]
    if left:
        logger.info("left from values that 'each' has no more, remove what you do not need: %s", ", ".join(left))


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(lock(out / LOCK))
        except BusyError as error:
            raise BusyError(
                f"Another process runs a pipeline in {out}.",
                hint="Wait until it has ended, or choose another folder: --set pipeline.out=FOLDER",
            ) from error
        yield


def _settle(step: Step, made: Mapping[Step, Artifact], title: str) -> Artifact:
    """Return a step's artifact, which is made unless it is there already."""
    state, artifact = find_state(step, made)
    if artifact is not None:
        logger.info("%s: unchanged, skipped", title)
        return artifact
    logger.info("%s: %s %s", title, step.stage.verb.name, "resumes …" if state == "to resume" else "…")
    # Taken before the work, which may last hours in which a file changes.
    key = step_key(step, made)
    begin = time.perf_counter()
    with _named(step):
        artifact = _make(step)
    logger.info("%s: done in %.1f s", title, time.perf_counter() - begin)
    if artifact.manifest.key != key:
        logger.warning("%s: its inputs changed while it was made, so it will be made again next time", title)
    return artifact


def _make(step: Step) -> Artifact:
    effects = Effects(replace=(step.out / MANIFEST).is_file())
    artifact: Artifact = run_call(structs.replace(step.call, effects=effects))
    return artifact


@contextlib.contextmanager
def _named(step: Step) -> Iterator[None]:
    """Say in every error which stage it comes from, and what to do next."""
    who = f"Stage '{step.name}' ({step.stage.verb.name}) failed"
    try:
        yield
    except YanmoError as error:
        # In place, so that class and exit code stay.
        error.message = f"{who}: {error.message}"
        error.hint = f"{error.hint} {KEPT}" if error.hint else KEPT
        raise
    except Exception as error:
        error.add_note(who)
        raise
