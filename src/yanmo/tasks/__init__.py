"""The tasks: one file each, one table; they know no model and no file.

A task is all that differs by task: how labels are read, encoded, decoded and chosen. No verb asks which task it is.
"""

from yanmo.artifacts.bundle import READING
from yanmo.errors import ConfigError, did_you_mean
from yanmo.protocols import Task
from yanmo.tasks.multi_label import MULTI_LABEL
from yanmo.tasks.single_label import SINGLE_LABEL
from yanmo.tasks.text_pair import TEXT_PAIR

__all__ = ["TASKS", "get_task"]

TASKS: dict[str, Task] = {task.name: task for task in (SINGLE_LABEL, MULTI_LABEL, TEXT_PAIR)}


def get_task(name: str) -> Task:
    """Return a task by its name.

    Raises:
        ConfigError: There is no such task.
    """
    if name in READING:
        raise ConfigError(
            f"The Bundle is an encoder that has only learned to read ({name}): it gives no answers yet.",
            hint="Train a model from it: yanmo train DATASET --init FOLDER --out MODEL",
        )
    if name not in TASKS:
        raise ConfigError(
            f"There is no task '{name}'.{did_you_mean(name, TASKS)}",
            hint=f"The tasks are: {', '.join(TASKS)}.",
        )
    return TASKS[name]
