"""A predict that is killed at each of its commits, one after the other, ends as one that nothing has disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.placing import work_dir
from yanmo.artifacts.predictions import Predictions
from yanmo.executors import units
from yanmo.verbs.predict import predict

ROWS = 23
UNIT = 5
KILLER = """
import os, signal, sys
from yanmo.executors import units
from yanmo.verbs.predict import predict

units.UNIT_ROWS, num_left, folder = 5, int(sys.argv[1]), sys.argv[2]

def counted(call, before):
    def commit(*arguments, **values):
        global num_left
        num_left -= 1
        if before and not num_left:
            os.kill(os.getpid(), signal.SIGKILL)
        found = call(*arguments, **values)
        if not num_left:
            os.kill(os.getpid(), signal.SIGKILL)
        return found
    return commit

# What makes something last, or makes it appear: killed before one commit, and behind the next.
for name in ("fsync", "replace", "rename"):
    setattr(os, name, counted(getattr(os, name), before=num_left % 2))
predict(folder + "/bundle", folder + "/rows.csv", out=folder + "/made", format="jsonl")
"""


@pytest.fixture(scope="module")
def whole(bundle_folder):
    folder = bundle_folder
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(units, "UNIT_ROWS", UNIT)
        return predict(Bundle.open(folder / "bundle"), folder / "rows.csv", out=folder / "whole", format="jsonl")


def test_a_predict_that_is_killed_at_one_commit_after_the_other_loses_and_doubles_nothing(bundle_folder, whole):
    folder = bundle_folder
    out, num_kills = folder / "made", 0
    # The first command is killed at its first commit, the next one, which goes on from there, at its fourth, and so on:
    # whether before or behind it changes each time.
    while True:
        command = [sys.executable, "-c", KILLER, str(3 * num_kills + 1), str(folder)]
        code = subprocess.run(command, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}).returncode
        if code == 0:
            break
        assert code == -signal.SIGKILL
        num_kills += 1
        if out.exists():  # the last commits are those that make it appear
            break
    assert num_kills >= 5
    made = Predictions.open(out)
    assert made.digest == whole.digest
    assert made.ids == [str(number) for number in range(1, ROWS + 1)]
    assert (out / "table.jsonl").read_bytes() == (whole.path / "table.jsonl").read_bytes()


@pytest.mark.parametrize("executor", ["local", "local:2"])
def test_a_unit_has_the_same_digest_wherever_it_is_answered(executor, bundle_folder, whole, monkeypatch):
    folder = bundle_folder
    monkeypatch.setattr(units, "UNIT_ROWS", UNIT)
    out = folder / executor.replace(":", "-")
    made = predict(folder / "bundle", folder / "rows.csv", out=out, format="jsonl", executor=executor, num_threads=1)
    assert made.manifest.files == whole.manifest.files
    assert not work_dir(out).exists()
