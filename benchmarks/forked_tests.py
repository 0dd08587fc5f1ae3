"""Run tests in children of one process that has loaded the large packages already; it knows no mutants.

A child imports the package under test from a folder of its own. What a fresh process does for each run, which is load
pytest, numpy, polars, torch and the like, is done once.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Self

import pytest
from coverage import CoverageData
from hypothesis import settings

__all__ = ["Coverage", "Room", "Tests", "measure"]

HEAVY = ("hypothesis", "polars", "matplotlib.pyplot", "onnxruntime", "sklearn.linear_model", "torch", "transformers")
PLUGINS = ("pytest_timeout", "_hypothesis_pytestplugin")
"""What the tests need; to load all that are installed takes longer than most tests."""
OPTIONS = ("-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", "-W", "ignore::pytest.PytestAssertRewriteWarning")
NOT_COLLECTED = 5
PHASES = ("|setup", "|run", "|teardown")


class Room(NamedTuple):
    """A project, and the folder of some of its tests."""

    root: Path
    folder: Path


class Tests:
    """Some tests on the run in a child process."""

    def __init__(
        self, room: Room, source: Path, *, names: Sequence[str] = (), seconds: float | None, data: Path | None = None
    ) -> None:
        """Begin to run tests.

        Args:
            room: Where they are.
            source: The folder with the package they import.
            names: Node ids of those that run, in this order; all where there is none.
            seconds: After so many the tests have failed.
            data: Where to write which test ran which line, and how long each took.
        """
        load()
        self._end = None if seconds is None else time.monotonic() + seconds
        self._process = os.fork()
        if not self._process:
            run(room, source, names, data)

    def outcome(self) -> bool | None:
        """Return whether the tests passed, or None while they run."""
        process, status = os.waitpid(self._process, os.WNOHANG)
        if not process:
            if self._end is None or time.monotonic() < self._end:
                return None
            self._kill()
            os.waitpid(self._process, 0)
            return False
        # With all that its tests have started.
        self._kill()
        return os.waitstatus_to_exitcode(status) in (0, NOT_COLLECTED)

    def wait(self) -> bool:
        while (passed := self.outcome()) is None:
            time.sleep(0.01)
        return passed

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process, signal.SIGKILL)


@functools.cache
def load() -> None:
    for name in HEAVY:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What is collected in a child is its own.
    gc.freeze()


def run(room: Room, source: Path, names: Sequence[str], data: Path | None) -> None:
    """Run tests in this process and end it."""
    code = 1
    try:
        os.setsid()
        os.chdir(room.root)
        silence = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(silence, stream)
        os.environ.update(PYTHONPATH=str(source), HYPOTHESIS_STORAGE_DIRECTORY=str(source / "hypothesis"))
        # Else the bytecode of a mutant could be taken for that of another one of the same second and size.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        sys.dont_write_bytecode, os.environ["PYTHONDONTWRITEBYTECODE"] = True, "1"
        sys.path.insert(0, str(source))
        for name in [name for name in sys.modules if name.split(".")[0] in ("yanmo", "tests", "conftest")]:
            del sys.modules[name]
        files = sorted({name.partition("::")[0] for name in names}) or [str(room.folder)]
        # What is slow because others compute here is no failure, and all mutants meet the same examples.
        settings.register_profile("mutants", deadline=None, derandomize=True)
        settings.load_profile("mutants")
        plugins = [part for name in PLUGINS for part in ("-p", name)]
        # Folders of earlier runs are not looked through, nor removed.
        options = [*OPTIONS, *plugins, f"--rootdir={room.root}", f"--basetemp={source / 'tests'}", *files]
        if data is not None:
            os.environ["COVERAGE_FILE"] = str(data)
            options += ["-p", "pytest_cov", f"--cov={source}", "--cov-context=test", "--cov-report="]
        code = pytest.main(options, plugins=[Chosen(names, data)])
    finally:
        os._exit(int(code))


class Chosen:
    """A plugin that runs some tests in a given order and writes how long each took."""

    def __init__(self, names: Sequence[str], data: Path | None) -> None:
        self._ranks = {name: rank for rank, name in enumerate(names)}
        self._data = data
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if self._ranks:
            kept = [item for item in items if item.nodeid in self._ranks]
            items[:] = sorted(kept, key=lambda item: self._ranks[item.nodeid])

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration

    def pytest_sessionfinish(self) -> None:
        if self._data is not None:
            self._data.with_suffix(".json").write_text(json.dumps(self._seconds))


class Coverage(NamedTuple):
    """What the tests of a room or of several run.

    Attributes:
        tests: Module and line to the tests that run it, by node id; line 0 for any line of the module.
        seconds: How long each test takes.
    """

    tests: Mapping[tuple[Path, int], set[str]]
    seconds: Mapping[str, float]

    @classmethod
    def joined(cls, several: Sequence[Self]) -> Self:
        tests: defaultdict[tuple[Path, int], set[str]] = defaultdict(set)
        for one in several:
            for place, names in one.tests.items():
                tests[place] |= names
        return cls(tests, {name: seconds for one in several for name, seconds in one.seconds.items()})

    def in_turn(self, path: Path, line: int, source: bytes) -> list[list[str]]:
        """Return the tests of a line or else of its function, then the others of its module; the fast ones first.

        Where no test runs the module, it may be one that a test's own process runs: the only entry is empty then, for
        all tests of the room.
        """
        found = self.tests.get((path, line), set())
        if not found:
            found = set().union(*(self.tests.get((path, one), set()) for one in lines_of_function(line, source)))
        # What is computed once and kept, no line of a later test says.
        rest = self.tests.get((path, 0), set()) - found
        return [self._ordered(some) for some in (found, rest) if some] or [[]]

    def _ordered(self, names: set[str]) -> list[str]:
        return sorted(names, key=lambda name: (self.seconds.get(name, 0.0), name))

    def seconds_of(self, names: Sequence[str]) -> float:
        return sum(self.seconds.get(name, 0.0) for name in names or self.seconds)


def lines_of_function(line: int, source: bytes) -> range:
    """Return the lines of the innermost function around a line; none where there is no function."""
    spans = [
        (node.lineno, node.end_lineno or node.lineno)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    around = [span for span in spans if span[0] <= line <= span[1]]
    return range(max(around)[0], max(around)[1] + 1) if around else range(0)


def measure(room: Room, source: Path, data: Path) -> Coverage | None:
    """Return what tests run, or None where one fails.

    Args:
        room: Where the tests are.
        source: The folder with the package.
        data: A file to write to.
    """
    if not Tests(room, source, seconds=None, data=data).wait():
        return None
    seconds = json.loads(data.with_suffix(".json").read_text())
    of_file: defaultdict[str, set[str]] = defaultdict(set)
    for name in seconds:
        of_file[name.partition("::")[0]].add(name)
    tests: defaultdict[tuple[Path, int], set[str]] = defaultdict(set)
    lines = CoverageData(str(data))
    lines.read()
    for measured in lines.measured_files():
        path = Path(measured).relative_to(source)
        for line, contexts in lines.contexts_by_lineno(measured).items():
            for context in filter(None, contexts):
                name, _, phase = context.rpartition("|")
                # What a fixture has made, other tests of the file may read, too.
                found = {name} if phase == "run" else of_file[name.partition("::")[0]]
                tests[path, line] |= found
                tests[path, 0] |= found
    return Coverage(tests, seconds)
