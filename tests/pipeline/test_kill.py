"""A run that is killed with SIGKILL and started again ends with the artifacts of a run that was not."""

import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from yanmo.pipeline.check import CheckConfig, check
from yanmo.pipeline.run import RunConfig, run

PATIENCE_SECONDS = 60
PIPELINE = """
    [stage.cnn]
    verb = "train"
    dataset = "reviews"
    model = "textcnn"
    batch_size = 8
    num_epochs = 8
    early_stopping_patience = 8
    eval_steps = 2
    [stage.linear]
    verb = "train"
    dataset = "reviews"
    model = "linear"
"""


def manifests(out):
    """The digests that identify every artifact but the Report, which holds times."""
    found = {path.parent.name: path.read_bytes() for path in sorted(out.rglob("manifest.json"))}
    found.pop("report", None)
    return found


def states(path):
    return {row["stage"]: row["state"] for row in check(path, CheckConfig()).summary()["stages"]}


def start(path, log):
    command = [sys.executable, "-m", "yanmo", "run", str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with log.open("w") as errors:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=environment)


def kill_when(process, condition):
    """Kill a process as soon as a condition holds; it must not have ended by itself."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the moment did not come"
        assert process.poll() is None, "the run ended before its moment"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


def moments(out, log):
    """Return when to kill, in order: name to condition."""

    def saved():
        return sorted((out / ".cnn.work").glob("checkpoint-*.safetensors"))

    def is_said(words):
        return lambda: words in log.read_text()

    def is_saved_again():
        first = saved()
        time.sleep(0.05)
        return first and saved() != first

    return {
        "before the first stage": is_said("stage 1/3"),
        "in the training's first steps": saved,
        "in the training's later steps": is_saved_again,
        "when a model stands": (out / "cnn" / "manifest.json").exists,
        "in the comparison": is_said("report runs/report: compare"),
    }


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_with_the_same_artifacts(write, project):
    path = write(PIPELINE)
    run(path, RunConfig(set=("pipeline.out=runs",)))
    expected = manifests(project / "runs")
    assert set(expected) == {"reviews", "cnn", "linear"}
    shutil.rmtree(project / "runs")
    log = project / "log.txt"
    said = ""
    for name, moment in moments(project / "runs", log).items():
        log.write_text("")
        with start(path, log) as process:
            kill_when(process, moment)
        said += log.read_text()
        assert manifests(project / "runs").items() <= expected.items(), "what stands is whole and right"
        assert (states(path)["cnn"] == "to resume") == name.startswith("in the training"), name
    assert said.count("stage 2/3 cnn: train resumes …") == 2
    assert states(path) == {"reviews": "done", "cnn": "done", "linear": "done"}
    report = run(path, RunConfig())
    assert manifests(project / "runs") == expected
    assert {row["name"] for row in report.summary()["rows"]} == {"cnn", "linear"}
