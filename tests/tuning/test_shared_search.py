"""Machines that share a search through a real PostgreSQL: processes that die, sleep, come late and begin at once."""

import logging
import os
import platform
import re
import signal
import subprocess
import sys
import threading

import pytest

from yanmo.artifacts import Bundle, Report
from yanmo.errors import ConfigError, MissingExtraError
from yanmo.integrations import heartbeats
from yanmo.integrations.optuna_storage import open_storage
from yanmo.tuning import trials
from yanmo.tuning.tune import TUNING, tune

pytestmark = pytest.mark.timeout(600)

SPACE = "dropout = { low = 0.1, high = 0.6 }\nlearning_rate = { low = 1e-3, high = 1e-2, log = true }\n"
FIXED = "num_epochs = 2\n"
OPTIONS = {"model": "ngram", "num_trials": 3, "num_seeds": 2, "num_threads": 1, "prune": False}
DEFAULTS = {"learning_rate": 5e-3, "dropout": 0.3}
HOST = platform.node()
KILL = "os.kill(os.getpid(), signal.SIGKILL)"
SLEEP = "seen or (seen.append(1), os.kill(os.getpid(), signal.SIGSTOP))"


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    path = tmp_path_factory.mktemp("space") / "space.toml"
    path.write_text(SPACE + FIXED)
    return path


@pytest.fixture
def quick(monkeypatch):
    """Let this process, and no other, wait for a sign of life for a moment only."""
    monkeypatch.setattr(heartbeats, "GRACE_SECONDS", 0.2)
    monkeypatch.setattr(trials, "LOOK_SECONDS", 0.05)


@pytest.fixture
def machine(dataset, space, database, tmp_path):
    """Return what starts ``yanmo tune`` in a process, and what happens to that at each evaluation of a trial."""
    running = []

    def start(out, fault="None"):
        words = [f"--{name.replace('_', '-')}={value}" for name, value in OPTIONS.items() if name != "prune"]
        words = [
            "tune",
            str(dataset.path),
            "--space",
            str(space),
            "--storage",
            database,
            "--out",
            out,
            "--no-prune",
            *words,
        ]
        script = (
            "import os, signal, sys; from yanmo.cli import main; from yanmo.tuning import trials\n"
            f"seen = []; trials._check_parent = lambda _: {fault}\nsys.exit(main({words!r}))"
        )
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path, **pipes))
        return running[-1]

    yield start
    for one in running:
        one.kill()
        one.communicate()


def report_of(bundle):
    return Report.open(bundle.path / TUNING).metrics


def weights_of(bundle):
    return bundle.manifest.files["model.safetensors"]


def said_by(process):
    """Return what a process that must end well has said."""
    said = process.communicate(timeout=250)[1]
    assert process.returncode == 0, said
    return said


@pytest.mark.usefixtures("quick")
def test_the_trial_of_a_machine_that_was_killed_is_begun_anew_by_another_one(
    machine, dataset, space, database, tmp_path, caplog
):
    assert machine("dead", KILL).wait(250) == -signal.SIGKILL
    values = {"space": space, "storage": database, **OPTIONS}
    found = tune(dataset, out=tmp_path / "alive", **values)
    report = report_of(found)
    assert [one["state"] for one in report["trials"]] == ["complete"] * 3
    assert (report["first"]["values"], report["first"]["where"]) == (DEFAULTS, f"{HOST}:alive")
    said = [one for one in caplog.messages if "silent" in one]
    assert len(said) == 1
    assert re.fullmatch(rf"Trial 0 of {HOST}:dead has been silent since 20[\d :-]+ UTC; it is begun anew\.", said[0])
    # The machine is back and is given the same command: it trains nothing but what it publishes.
    again = tune(dataset, out=tmp_path / "dead", **values)
    assert (report_of(again)["trials"], report_of(again)["best"]) == (report["trials"], report["best"])
    assert weights_of(again) == weights_of(found)


@pytest.mark.usefixtures("quick")
def test_a_machine_that_slept_while_its_trial_was_begun_anew_says_so_and_publishes_what_the_others_do(
    machine, dataset, space, database, tmp_path
):
    sleeper = machine("sleeper", SLEEP)
    _, status = os.waitpid(sleeper.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    found = tune(dataset, space=space, storage=database, out=tmp_path / "awake", **OPTIONS)
    sleeper.send_signal(signal.SIGCONT)
    assert "Trial 0 was begun anew by another machine" in said_by(sleeper)
    again = Bundle.open(tmp_path / "sleeper")
    assert [one["where"] for one in report_of(again)["trials"]] == [f"{HOST}:awake"] * 3
    assert report_of(again)["trials"] == report_of(found)["trials"]
    assert weights_of(again) == weights_of(found)


class Waker(logging.Handler):
    """Lets a process go on as soon as this one says that it waits."""

    def __init__(self, process):
        super().__init__()
        self.process, self.said = process, []

    def emit(self, record):
        if "Waits for" in record.getMessage():
            self.said.append(record.getMessage())
            self.process.send_signal(signal.SIGCONT)


def test_a_machine_waits_for_the_trials_of_the_others_before_it_judges_and_publishes_what_they_do(
    machine, dataset, space, database, tmp_path, caplog
):
    caplog.set_level(logging.INFO, "yanmo")
    sleeper = machine("sleeper", SLEEP)
    os.waitpid(sleeper.pid, os.WUNTRACED)
    waker = Waker(sleeper)
    logging.getLogger("yanmo").addHandler(waker)
    try:
        other = tune(dataset, space=space, storage=database, out=tmp_path / "other", **OPTIONS)
    finally:
        logging.getLogger("yanmo").removeHandler(waker)
    said_by(sleeper)
    assert waker.said == [f"Waits for trial 0 of {HOST}:sleeper."]
    reports = [report_of(one) for one in (Bundle.open(tmp_path / "sleeper"), other)]
    assert [one["where"] for one in reports[0]["trials"]] == [f"{HOST}:sleeper"] + [f"{HOST}:other"] * 2
    assert all(reports[0][name] == reports[1][name] for name in ("trials", "best", "spread", "first_spread"))
    page = (other.path / TUNING / "report.html").read_text()
    assert [page.count(f"<td>{HOST}:{name}</td>") for name in ("sleeper", "other")] == [1, 2]
    assert weights_of(Bundle.open(tmp_path / "sleeper")) == weights_of(other)


def test_machines_that_begin_at_once_in_an_empty_database_all_find_its_tables(database):
    num_machines = 4
    barrier, opened = threading.Barrier(num_machines), []

    def begin():
        barrier.wait()
        opened.append(open_storage(database))

    threads = [threading.Thread(target=begin) for _ in range(num_machines)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for one in opened:
        one.remove_session()
        one.engine.dispose()
    assert len(opened) == num_machines


def test_a_database_that_goes_away_is_said_and_the_search_goes_on_when_it_is_back(
    postgres, database, dataset, space, tmp_path, monkeypatch
):
    import psycopg

    run, name = trials.run_call, database.rpartition("/")[2]

    def administer(*commands):
        with psycopg.connect(f"{postgres}/postgres", autocommit=True) as connection:
            for command in commands:
                connection.execute(command)

    def run_one(call):
        made = run(call)
        end = f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
        administer(f"alter database {name} with allow_connections false", end)
        return made

    values = {"space": space, "storage": database, "out": tmp_path / "best", **OPTIONS}
    with monkeypatch.context() as patch, pytest.raises(ConfigError, match="cannot be reached any more") as caught:
        patch.setattr(trials, "run_call", run_one)
        tune(dataset, **values)
    assert "the same command again" in caught.value.hint
    administer(f"alter database {name} with allow_connections true")
    assert [one["number"] for one in report_of(tune(dataset, **values))["trials"]] == [0, 1, 2]


def test_a_missing_driver_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match="A search in PostgreSQL needs the package 'psycopg'") as caught:
        open_storage("postgresql://yanmo@127.0.0.1:1/none")
    assert caught.value.hint == "pip install 'yanmo[postgresql]'"


def test_a_server_that_is_not_there_is_the_users_mistake():
    pytest.importorskip("psycopg", reason="the extra postgresql is not installed")
    with pytest.raises(ConfigError, match="The storage of the search cannot be opened: .*127.0.0.1"):
        open_storage("postgresql://yanmo:secret@127.0.0.1:1/none")
