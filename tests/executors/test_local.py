"""Processes of this machine: every unit once, errors of the user at once, and a process that is lost replaced."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs_for_tests import Obedient

from yanmo.config import build
from yanmo.errors import ConfigError, DataError, InternalError
from yanmo.executors import jobs
from yanmo.executors.choice import HERE, open_executor
from yanmo.executors.here import InThisProcess
from yanmo.executors.jobs import LOST_UNITS
from yanmo.executors.local import LocalProcesses
from yanmo.verbs.predict import PredictConfig


@pytest.fixture
def processes(workers_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", workers_path)
    executor = LocalProcesses(2, 1)
    yield executor
    executor.close()


def work(executor, folder, units):
    return list(executor.run(Obedient(str(folder)), units))


def test_all_units_are_worked_on_by_all_processes_whose_prints_disturb_nobody(processes, tmp_path, caplog):
    units = [("print", number) for number in range(20)]
    found = work(processes, tmp_path, units)
    assert sorted(value for value, _ in found) == list(range(20))
    assert 1 <= len({process for _, process in found}) <= 2
    assert os.getpid() not in {process for _, process in found}
    # Said once, though each process says it.
    assert [one.split(": ")[1] for one in caplog.messages] == ["opened once in a process"]
    assert caplog.messages[0].startswith("worker ")


def test_a_process_that_dies_is_replaced_and_its_unit_made_again(processes, tmp_path):
    found = work(processes, tmp_path, [("do", 0), ("die once", 1), ("do", 2), ("die once", 3)])
    assert sorted(value for value, _ in found) == [0, 1, 2, 3]
    assert len((tmp_path / "done").read_text().splitlines()) == 6


def test_a_unit_that_ends_every_process_ends_the_work(processes, tmp_path):
    with pytest.raises(InternalError, match=f"died {LOST_UNITS + 1} times over one unit: exit code -9"):
        work(processes, tmp_path, [("die", 1)])


def test_an_error_of_the_user_ends_the_work_and_is_not_tried_again(processes, tmp_path):
    with pytest.raises(DataError, match="7 is wrong") as caught:
        work(processes, tmp_path, itertools.chain([("fail", 7)], (("do", number) for number in itertools.count())))
    assert caught.value.hint == "Give another."
    lines = (tmp_path / "done").read_text().splitlines()
    assert sum(line.startswith("fail") for line in lines) == 1


def test_a_mistake_of_ours_comes_with_where_it_was_made(processes, tmp_path):
    with pytest.raises(InternalError, match=r"worker [12] has failed:(.|\n)*ZeroDivisionError: 5"):
        work(processes, tmp_path, [("break", 5)])


def test_a_worker_with_other_code_is_refused(processes, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "code_version", lambda: "another")
    with pytest.raises(
        ConfigError, match=r"A worker has other versions than the command: yanmo \w+ instead of another"
    ):
        work(processes, tmp_path, [("do", 1)])


def test_processes_end_with_whoever_has_started_them(workers_path, tmp_path):
    script = (
        "import sys; from jobs_for_tests import Obedient;"
        "from yanmo.executors.local import LocalProcesses; executor = LocalProcesses(2, 1);"
        "print(*[pid for _, pid in executor.run(Obedient(sys.argv[1]), [('do', n) for n in range(6)])], flush=True);"
        "sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": workers_path},
    )
    with process:
        workers = {int(one) for one in process.stdout.readline().split()}
        assert workers
        process.kill()
    deadline = time.monotonic() + 20
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < deadline, "a process is left"
        time.sleep(0.05)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().split()[2] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.mark.parametrize("address", ["ray", "local:0", "local:x", "ray://head", "http://head:1", "ray://a b:1", ""])
def test_an_address_of_no_executor_is_named(address):
    with pytest.raises(ConfigError, match="The 'executor' parameter of predict must be local, local:N"):
        build(PredictConfig, {"executor": address}, where="predict")


def test_this_process_is_the_executor_where_none_is_named():
    with open_executor(HERE, None) as executor:
        assert isinstance(executor, InThisProcess)
    assert "executor" not in PredictConfig(executor="local:3").model_dump()
