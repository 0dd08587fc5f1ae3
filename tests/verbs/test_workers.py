"""Two real processes under torchrun: they have the curve of one, and the death of one of them is said."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from yanmo.artifacts import Bundle
from yanmo.artifacts.placing import work_dir
from yanmo.modeling.loop import checkpoints
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.pretrain import pretrain
from yanmo.verbs.train import train

TRAIN = {"model": "bert-1x32", "num_epochs": 2, "batch_size": 12, "vocab_size": 120, "max_length": 16}
TRAIN |= {"dropout": 0.0, "num_threads": 1, "precision": "fp32", "eval_steps": 1, "early_stopping_patience": 10_000}
PRETRAIN = {name: value for name, value in TRAIN.items() if name != "early_stopping_patience"}
PATIENCE_SECONDS = 90


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("data") / "words", ["fruit", "tool", "city"], num_train=60, num_valid=30)


def start(dataset, out, *, num_workers, verb="train", **changes):
    """Start `yanmo train` or another verb under torchrun."""
    values = {"train": TRAIN, "pretrain": PRETRAIN}[verb] | changes
    flags = [f"--{key.replace('_', '-')}={value}" for key, value in values.items()]
    runner = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_workers), "--no-python"]
    command = [sys.executable, *runner, sys.executable, "-m", "yanmo", verb, str(dataset.path), "--out", str(out)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [*command, *flags], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["valid_loss"] for line in lines if "valid_loss" in line]


def check_curve_of_one(process, folder, *, num_evaluations):
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    assert said.count("digest") == 1, "one worker prints"
    one, two = (losses(folder / name) for name in ("one", "two"))
    assert len(one) == num_evaluations
    np.testing.assert_allclose(two, one, rtol=1e-4)
    assert not work_dir(folder / "two").exists()


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_two_workers_have_the_curve_of_one(dataset, tmp_path):
    process = start(dataset, tmp_path / "two", num_workers=2, gradient_accumulation_steps=2)
    train(dataset, out=tmp_path / "one", **TRAIN)
    check_curve_of_one(process, tmp_path, num_evaluations=10)


@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.parametrize(("model", "objective"), [("bert-1x32", "mlm"), ("electra-1x32", "rtd")])
def test_two_workers_that_pretrain_have_the_curve_of_one(dataset, tmp_path, model, objective):
    changes = {"model": model, "objective": objective}
    process = start(dataset, tmp_path / "two", num_workers=2, verb="pretrain", gradient_accumulation_steps=2, **changes)
    pretrain([dataset.path], out=tmp_path / "one", **(PRETRAIN | changes))
    check_curve_of_one(process, tmp_path, num_evaluations=16)


@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_a_worker_that_dies_ends_the_run_with_a_clear_error_and_a_good_checkpoint(dataset, tmp_path, sharding):
    out = tmp_path / "model"
    process = start(dataset, out, num_workers=2, num_epochs=2000, sharding=sharding)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(work_dir(out).glob("checkpoint-000000000[5-9]*")):
        assert time.monotonic() < deadline
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.02)
    os.kill(worker_of(process.pid, 1), signal.SIGKILL)
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert "Worker 0 of 2 lost another worker" in said
    assert "the training goes on from its last checkpoint" in said
    assert not out.exists()
    assert checkpoints.read(work_dir(out))[1]["position"]["step"] >= 5


@pytest.mark.timeout(240)
@pytest.mark.slow
def test_sharded_workers_have_the_curve_of_one_and_publish_a_plain_bundle(dataset, tmp_path):
    options = {"batch_size": 59, "num_epochs": 6, "eval_steps": 1}  # the last batch has one text for two workers
    sharded = {"sharding": "full", "gradient_accumulation_steps": 2}
    process = start(dataset, tmp_path / "two", num_workers=2, **options, **sharded)
    train(dataset, out=tmp_path / "one", **(TRAIN | options))
    said, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, said
    one, two = (losses(tmp_path / name) for name in ("one", "two"))
    assert len(one) == 12
    np.testing.assert_allclose(two, one, rtol=1e-4)
    bundle = Bundle.open(tmp_path / "two")
    assert json.loads((bundle.path / "config.json").read_text())["architectures"] == ["BertForSequenceClassification"]
    with open_bundle(bundle) as predictor:
        assert predictor.predict(["apple pear"])[0].label in bundle.labels


@pytest.mark.timeout(240)
@pytest.mark.slow
@pytest.mark.parametrize("sharding", ["none", "full"])
def test_workers_that_are_all_killed_and_started_again_make_the_same_bundle(dataset, tmp_path, sharding):
    options = {"num_workers": 2, "dropout": 0.3, "num_epochs": 8, "ema_decay": 0.9, "sharding": sharding}
    processes = {name: start(dataset, tmp_path / name, **options) for name in ("straight", "killed")}
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not list(work_dir(tmp_path / "killed").glob("checkpoint-000000000[5-9]*")):
        assert time.monotonic() < deadline
        assert processes["killed"].poll() is None, processes["killed"].stdout.read()
        time.sleep(0.01)
    agent = psutil.Process(processes["killed"].pid)
    for one in (agent, *agent.children(recursive=True)):
        one.kill()
    processes["killed"].communicate(timeout=PATIENCE_SECONDS)
    assert not (tmp_path / "killed").exists()
    processes["resumed"] = start(dataset, tmp_path / "killed", **options)
    for name in ("straight", "resumed"):
        said, _ = processes[name].communicate(timeout=PATIENCE_SECONDS)
        assert processes[name].returncode == 0, said
    assert "Resuming at step" in said
    straight, resumed = (Bundle.open(tmp_path / name) for name in ("straight", "killed"))
    assert resumed.digest == straight.digest


def worker_of(parent, rank):
    """Return the process of a worker."""
    for child in psutil.Process(parent).children(recursive=True):
        if child.environ().get("RANK") == str(rank) and "yanmo" in child.cmdline():
            return child.pid
    raise AssertionError("there is no such worker")
