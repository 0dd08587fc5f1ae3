"""What tests of pages share: the blocks of a page, and its commands run as a reader would run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from warm_yanmo import warm_command


@pytest.fixture(scope="session")
def blocks_of(project_root):
    """Return the blocks of a page, each with its language."""

    def found(page: str) -> list[tuple[str, str]]:
        text = (project_root / page).read_text(encoding="utf-8")
        return re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)

    return found


@pytest.fixture(scope="session")
def warm_bin(tmp_path_factory):
    """A folder with a ``yanmo`` that needs no time to start."""
    # The path of a socket is short.
    folder = Path(tempfile.mkdtemp(prefix="warm"))
    with warm_command(folder):
        yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def run_commands(warm_bin):
    """Run commands of bash in a folder, which end at the first that fails, and return what they print."""

    binaries = Path(sys.executable).parent

    def ran(commands: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env={**os.environ, "PATH": os.pathsep.join([str(warm_bin), str(binaries), os.environ["PATH"]])},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    return ran
