"""Jobs that a process of its own can be given: what their units say, they do."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from dataclasses import dataclass
from pathlib import Path

from yanmo.errors import DataError

logger = logging.getLogger("yanmo.tests")


@dataclass(frozen=True)
class Obedient:
    """Does what each unit says."""

    folder: str

    @contextlib.contextmanager
    def open(self):
        logger.warning("opened once in a process")
        yield self

    def run(self, units):
        for unit in units:
            yield self.do(*unit)

    def do(self, what, value):
        with (Path(self.folder) / "done").open("a") as file:
            file.write(f"{what} {value} {os.getpid()}\n")
        if what == "die" or (what == "die once" and self.is_first(value)):
            os.kill(os.getpid(), signal.SIGKILL)
        if what == "fail":
            raise DataError(f"{value} is wrong.", hint="Give another.")
        if what == "break":
            raise ZeroDivisionError(value)
        if what == "print":
            print("nothing that anybody should unpickle", value)  # noqa: T201
        return value, os.getpid()

    def is_first(self, value):
        with contextlib.suppress(FileExistsError):
            (Path(self.folder) / f"first-{value}").touch(exist_ok=False)
            return True
        return False
