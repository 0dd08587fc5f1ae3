"""Tasks of a real Ray on this machine: the answers of one process, workers and drivers that are killed, mistakes."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jobs_for_tests import Obedient

from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, ConfigError, DataError, InternalError
from yanmo.executors import units as grid
from yanmo.verbs.predict import predict

pytestmark = [
    pytest.mark.extra("ray"),
    # Ray leaves sockets and files to the end of the process, and speaks of its own plans.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
ADDRESS = "ray://127.0.0.1:6379"


@pytest.fixture(scope="module")
def cluster(workers_path):
    """A Ray of two CPUs, whose driver this process is."""
    ray = pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"PYTHONPATH": workers_path, "RAY_AUTH_MODE": "disabled", "OMP_NUM_THREADS": "1"}.items():
            patch.setenv(name, value)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            num_cpus=2,
            resources={"edge": 1},
            include_dashboard=False,
            configure_logging=False,
            log_to_driver=False,
            object_store_memory=80 * 2**20,
        )
        yield ray
        ray.shutdown()


@pytest.fixture
def tasks(cluster):
    from yanmo.executors.ray import RayTasks

    executor = RayTasks(ADDRESS.removeprefix("ray://"), 1)
    yield executor
    executor.close()


@pytest.fixture(scope="module")
def whole(bundle_folder):
    return predict(bundle_folder / "bundle", bundle_folder / "many.csv", out=bundle_folder / "whole-many")


def ask(folder, name, **values):
    return predict(folder / "bundle", folder / "many.csv", out=folder / name, executor=ADDRESS, num_threads=1, **values)


def test_twenty_thousand_rows_have_the_answers_of_one_process(cluster, bundle_folder, whole, caplog):
    made = ask(bundle_folder, "made-by-ray")
    assert made.manifest.files == whole.manifest.files
    assert len(made.ids) == 20_000
    assert "CVE-2023-48022" in caplog.text
    assert not work_dir(made.path).exists()


def test_a_worker_that_is_killed_in_its_unit_costs_nothing(tasks, tmp_path):
    found = list(tasks.run(Obedient(str(tmp_path)), [("die once", 1), ("do", 2), ("die once", 3), ("do", 4)]))
    assert sorted(value for value, _ in found) == [1, 2, 3, 4]
    assert len((tmp_path / "done").read_text().splitlines()) == 6
    assert os.getpid() not in {process for _, process in found}


def test_an_error_of_the_user_ends_the_work_and_messages_of_workers_are_said_here(tasks, tmp_path, caplog):
    units = itertools.chain([("fail", 7)], (("do", number) for number in itertools.count()))
    with pytest.raises(DataError, match="7 is wrong"):
        list(tasks.run(Obedient(str(tmp_path)), units))
    lines = (tmp_path / "done").read_text().splitlines()
    assert sum(line.startswith("fail") for line in lines) == 1
    assert re.search(r"worker \S+/\d+: opened once in a process", caplog.text)


def test_a_unit_that_ends_every_process_ends_the_work(tasks, tmp_path):
    with pytest.raises(InternalError, match="A unit was lost 4 times on the cluster"):
        list(tasks.run(Obedient(str(tmp_path)), [("die", 1)]))
    assert len((tmp_path / "done").read_text().splitlines()) == 4


def test_no_more_is_begun_than_twice_what_can_be_computed_and_no_text_is_stored(tasks, tmp_path, cluster):
    begun = []

    def count():
        for number in range(20):
            begun.append(len(tasks._begun))
            yield ("do", number)

    assert len(list(tasks.run(Obedient(str(tmp_path)), count()))) == 20
    assert max(begun) <= 4


def test_a_folder_that_workers_do_not_share_is_named(cluster, bundle_folder, monkeypatch, tmp_path):
    from yanmo.data.read import ReadOptions
    from yanmo.executors.answering import AnswerJob, TableStyle
    from yanmo.executors.places import ArtifactPlace
    from yanmo.executors.ray import RayTasks

    job = AnswerJob(
        bundle=ArtifactPlace(str(bundle_folder / "bundle"), "0" * 64),
        runtime={},
        options=ReadOptions(),
        columns={"text": "text"},
        parts=str(tmp_path / "nowhere"),
        table=TableStyle("csv", bom=False, plain_cells=False),
    )
    unit = grid.Unit(number=0, path=str(bundle_folder / "rows.csv"), first_row=0, num_rows=1, num_before=0)
    executor = RayTasks("127.0.0.1:6379", 1)
    with pytest.raises(ArtifactError, match="A worker does not find the folder .*nowhere"):
        list(executor.run(job, [unit]))


DRIVER = """
import sys
from yanmo.executors import units as grid
grid.UNIT_ROWS = 200
from yanmo.verbs.predict import predict
predict(sys.argv[1] + "/bundle", sys.argv[1] + "/many.csv", out=sys.argv[2], executor=sys.argv[3], num_threads=1)
"""


def test_a_driver_that_is_killed_goes_on_with_what_is_missing(cluster, bundle_folder, whole, monkeypatch, caplog):
    monkeypatch.setattr(grid, "UNIT_ROWS", 200)
    caplog.set_level("INFO", logger="yanmo")
    out, address = bundle_folder / "killed", cluster.get_runtime_context().gcs_address
    command = [sys.executable, "-c", DRIVER, str(bundle_folder), str(out), f"ray://{address}"]
    driver = subprocess.Popen(command)
    ledger, deadline = work_dir(out) / "answered" / "finished.jsonl", time.monotonic() + 60
    while not ledger.is_file() or ledger.read_bytes().count(b"\n") < 10:
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    num_kept = 200 * ledger.read_bytes().count(b"\n")
    made = ask(bundle_folder, "killed")
    assert f"Answered before: {num_kept} texts;" in caplog.text
    assert made.ids == whole.ids
    assert (made.path / "table.csv").read_bytes() == (whole.path / "table.csv").read_bytes()


def test_a_cluster_that_is_not_there_is_named(bundle_folder):
    script = (
        "import sys; from yanmo.executors.choice import open_executor\n"
        "with open_executor('ray://127.0.0.1:9', None): pass"
    )
    # In a process of its own: this one is the driver of a cluster already.
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "The 'executor' parameter must name a cluster that this machine is part of" in done.stderr
    assert "ray start --address=127.0.0.1:9" in done.stderr


def test_nothing_is_written_without_out(bundle_folder):
    with pytest.raises(
        ConfigError, match="The 'executor' parameter of predict must be 'local' where nothing is written"
    ):
        predict(bundle_folder / "bundle", bundle_folder / "rows.csv", executor=ADDRESS)
    assert Path(bundle_folder / "rows.csv").is_file()


def test_a_resource_that_no_machine_has_is_refused(cluster):
    from yanmo.executors.ray import RayTasks

    with pytest.raises(ConfigError, match="The 'measure_on' parameter must be a resource of the cluster, such as CPU"):
        RayTasks("127.0.0.1:6379", 1, "moon")


def test_who_measures_takes_the_resource_alone(cluster, tmp_path):
    from yanmo.executors.ray import RayTasks

    executor = RayTasks("127.0.0.1:6379", 1, "edge")
    assert [value for value, _ in executor.run(Obedient(str(tmp_path)), [("do", 1)])] == [1]


def test_trials_of_a_search_need_a_database_that_all_machines_reach(make_words, tmp_path):
    from yanmo.tuning.tune import tune

    data = make_words(tmp_path / "data", ["city", "fruit"])
    with pytest.raises(ConfigError, match="The 'storage' parameter of tune must be a database that all machines"):
        tune(data, model="linear", executor=ADDRESS, out=tmp_path / "best")
