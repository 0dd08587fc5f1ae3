"""A training that is killed at random moments ends as one that was not: the short form of `make torture`."""

import re
import subprocess
import sys

import pytest


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_six_kills_at_random_moments_change_no_byte(project_root):
    command = [sys.executable, project_root / "benchmarks" / "torture.py"]
    options = ["--kills", "6", "--seconds", "1.5", "--epochs", "8", "--model", "bert-1x32"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"6 kills .* 0 damaged checkpoints, 0 other Bundles", done.stdout)
