"""The work folder of one training and the processes that share it; it knows no verb and no torch."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from yanmo.artifacts.placing import lock, work_dir
from yanmo.artifacts.work import claim, has_work
from yanmo.errors import ConfigError
from yanmo.machine import num_workers, worker_rank

__all__ = ["check_alone", "where", "working"]


def check_alone(doing: str) -> None:
    """Refuse several workers where the work is that of one process.

    Args:
        doing: What they cannot do together, such as ``distill``.

    Raises:
        ConfigError: There are several.
    """
    if num_workers() > 1:
        raise ConfigError(f"Several workers cannot {doing} together.", hint="Start the command without torchrun.")


@contextlib.contextmanager
def working(
    out: Path, *, parents: Mapping[str, str], config: Mapping[str, Any], fork: bool, has_network: bool = True
) -> Iterator[Path]:
    """Hold the work folder beside ``out`` for some work, and remove it once that is done, or has failed at the start.

    Of the workers of one training the first one holds it, and the others work in the folder that it holds; they end
    together.

    Args:
        out: Where the Bundle appears.
        parents: Role to digest of what it is made from.
        config: Its resolved config as plain JSON values.
        fork: Where the folder was begun with something else, begin anew.
        has_network: Whether a network learns. What it learns depends on how many workers there are, since each has
            dropout masks of its own, and on the kind of device.

    Raises:
        BusyError: Another process works there.
        ConfigError: The folder was begun with something else; the message says what has changed.
    """
    # Without the lock, which the first worker holds for all of them.
    if worker_rank():
        yield work_dir(out)
    else:
        with lock(work_dir(out)) as folder:
            with _removed_if_empty(folder):
                claim(folder, parents=parents, config={**config, **(where() if has_network else {})}, fork=fork)
                yield folder
            # Reached after a good end only: an error leaves the work to the next call.
            shutil.rmtree(folder, ignore_errors=True)
    if num_workers() > 1:
        from yanmo.modeling.parallel import workers

        workers.wait_for_all()


@contextlib.contextmanager
def _removed_if_empty(folder: Path) -> Iterator[None]:
    """Remove a work folder in which nothing had been done when the work failed."""
    try:
        yield
    # Ctrl-C, too, would leave a claim without work, which is in the way of other keys.
    except BaseException:
        if not has_work(folder):
            shutil.rmtree(folder, ignore_errors=True)
        raise


def where() -> dict[str, Any]:
    """Return what computes, under names that no config key has."""
    from yanmo.modeling.arithmetic.determinism import default_device

    return {"kind of device": default_device(), "number of workers": num_workers()}
