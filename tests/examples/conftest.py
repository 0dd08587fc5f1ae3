"""What tests of pages share: the blocks of a page, and its commands run as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def blocks_of(project_root):
    """Return the blocks of a page, each with its language."""

    def found(page: str) -> list[tuple[str, str]]:
        text = (project_root / page).read_text(encoding="utf-8")
        return re.findall(r"```(\w*)\n(.*?)```", text, flags=re.DOTALL)

    return found


@pytest.fixture(scope="session")
def run_commands():
    """Run commands of bash in a folder, which end at the first that fails, and return what they print."""

    def ran(commands: str, folder: Path) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
        return done.stdout

    return ran
