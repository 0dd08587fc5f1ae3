"""The run command: the steps that are not done, in order, then a comparison of all Bundles; it knows no single verb.

Nothing is remembered but the artifacts: a step is done if its folder holds what the pipeline would make now. A step
that changed is made beside its old artifact, which is replaced when the new one is whole. Steps that do not wait for
each other are made side by side where the executor has several workers.
"""

import contextlib
import logging
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs
from pydantic import Field

from yanmo.artifacts import Artifact, Report
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import MANIFEST, is_artifact, lock
from yanmo.errors import BusyError
from yanmo.executors.choice import HERE, ExecutorAddress, open_executor
from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.compare import compare_bundles
from yanmo.pipeline.plan import Plan, Step, find_state, step_key
from yanmo.pipeline.spec import REPORT
from yanmo.pipeline.stage_job import StageJob, StageUnit
from yanmo.verbs.calls import call_of, command_line

__all__ = ["RunConfig", "run"]

logger = logging.getLogger(__name__)

LOCK = ".run"


class RunConfig(CheckConfig):
    """How the pipeline file is read, and who makes its stages."""

    executor: ExecutorAddress = HERE
    """Who makes the stages: local, this process, one after the other; local:N, N processes of this machine, or
    ray://HOST:PORT, the machines of a Ray cluster, side by side as far as they do not wait for each other."""

    num_threads: int | None = Field(default=None, ge=1, exclude=True)
    """Threads of each of several workers; by default the CPUs of this machine are shared out, and on a cluster 1."""


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
        _make_all(plan, config)
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


def _make_all(plan: Plan, config: RunConfig) -> None:
    """Make every step that is not done, each as soon as what it is made from is there.

    Raises:
        YanmoError: That of a stage; the message names it.
    """
    making = _Making(plan)
    with open_executor(config.executor, config.num_threads) as executor:
        for stage in executor.run(StageJob(str(Path.cwd())), making.ready()):
            making.settle(stage.number, stage.seconds)


class _Making:
    """What is made of a plan so far."""

    def __init__(self, plan: Plan) -> None:
        self._steps = dict(enumerate(plan.steps, 1))
        self._waiting = dict(self._steps)
        self._made: dict[Step, Artifact] = {}
        self._keys: dict[int, str | None] = {}

    def ready(self) -> Iterator[StageUnit | None]:
        """Yield the steps that are to be made, in their order; None where each waits for one that is being made."""
        while self._waiting:
            number = next((number for number, step in self._waiting.items() if self._is_ready(step)), None)
            unit = None if number is None else self._begin(number)
            if number is None or unit is not None:
                yield unit

    def _is_ready(self, step: Step) -> bool:
        sources = (source for values in step.inputs.values() for source in values)
        return all(isinstance(source, Path) or source in self._made for source in sources)

    def _begin(self, number: int) -> StageUnit | None:
        """Return what makes a step, or None where it is done."""
        step = self._waiting.pop(number)
        state, artifact = find_state(step, self._made)
        if artifact is not None:
            logger.info("%s: unchanged, skipped", self._title(number))
            self._made[step] = artifact
            return None
        verb = step.stage.verb.name
        logger.info("%s: %s %s", self._title(number), verb, "resumes …" if state == "to resume" else "…")
        # Taken before the work, which may last hours in which a file changes.
        self._keys[number] = step_key(step, self._made)
        effects = Effects(replace=is_artifact(step.out))
        return StageUnit(number, step.name, structs.replace(step.call, effects=effects))

    def settle(self, number: int, seconds: float) -> None:
        """Take the artifact of a step that is made."""
        step = self._steps[number]
        assert step.stage.verb.output is not None
        artifact = step.stage.verb.output.open(step.out, verify=False)
        logger.info("%s: done in %.1f s", self._title(number), seconds)
        if artifact.manifest.key != self._keys[number]:
            logger.warning(
                "%s: its inputs changed while it was made, so it will be made again next time", self._title(number)
            )
        self._made[step] = artifact

    def _title(self, number: int) -> str:
        return f"stage {number}/{len(self._steps)} {self._steps[number].name}"
