"""From an address to an executor; none is loaded before it is asked for, and it knows no job."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Annotated, TypeAlias

from pydantic import AfterValidator, Field

from yanmo.errors import MissingExtraError
from yanmo.executors.here import InThisProcess
from yanmo.executors.jobs import Executor
from yanmo.runtimes.predictor import default_num_threads

__all__ = ["HERE", "ExecutorAddress", "is_on_this_machine", "open_executor", "open_helpers", "open_measurer"]

HERE = "local"
LOCAL = re.compile(r"local:([1-9][0-9]{0,3})")
CLUSTER = re.compile(r"ray://([^\s/@:]+:[0-9]{1,5})")
FORMS = "local, local:N for N processes, or ray://HOST:PORT for the machines of a Ray cluster"


def _known(address: str) -> str:
    if address == HERE or LOCAL.fullmatch(address) or CLUSTER.fullmatch(address):
        return address
    raise ValueError(FORMS)


ExecutorAddress: TypeAlias = Annotated[str, AfterValidator(_known), Field(exclude=True)]
"""A field of a config; no result depends on it."""


def is_on_this_machine(address: str) -> bool:
    """Return whether an executor works where this process does."""
    return CLUSTER.fullmatch(address) is None


@contextlib.contextmanager
def open_helpers(address: str, num_threads: int | None) -> Iterator[Executor | None]:
    """Give who works beside this process, as :func:`open_executor`; None where nobody does."""
    with open_executor(address, num_threads) as executor:
        yield None if isinstance(executor, InThisProcess) else executor


@contextlib.contextmanager
def open_executor(address: str, num_threads: int | None) -> Iterator[Executor]:
    """Give who works, and let go of the workers at the end of the block.

    Args:
        address: In one of the forms that :data:`ExecutorAddress` knows.
        num_threads: Of one unit, as the user wants it.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no cluster at the address.
    """
    executor = _open(address, num_threads)
    try:
        yield executor
    finally:
        executor.close()


@contextlib.contextmanager
def open_measurer(address: str, num_threads: int, resource: str) -> Iterator[Executor]:
    """Give who measures on a machine of a cluster that has a resource, one unit at a time.

    Args:
        address: Of the cluster.
        num_threads: Of what is measured.
        resource: Its name, as ``ray start --resources`` gave it.

    Raises:
        MissingExtraError: Ray is not installed.
        ConfigError: There is no cluster at the address, or no machine of it has the resource.
    """
    executor = _open(address, num_threads, resource)
    try:
        yield executor
    finally:
        executor.close()


def _open(address: str, num_threads: int | None, resource: str | None = None) -> Executor:
    if found := LOCAL.fullmatch(address):
        from yanmo.executors.local import LocalProcesses

        num_workers = int(found[1])
        return LocalProcesses(num_workers, num_threads or max(default_num_threads() // num_workers, 1))
    if found := CLUSTER.fullmatch(address):
        try:
            from yanmo.executors.ray import RayTasks
        except ImportError as error:
            raise MissingExtraError(f"The executor {address}", package="ray", extra="ray") from error
        return RayTasks(found[1], num_threads or 1, resource)
    return InThisProcess()
