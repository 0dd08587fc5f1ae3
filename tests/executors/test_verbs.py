"""Verbs whose answers several processes give: the same as those of one."""

from __future__ import annotations

import json

import pytest

from yanmo.artifacts.parquet import read_parquet
from yanmo.compressing import transfer_texts
from yanmo.compressing.teaching import ask
from yanmo.compressing.transfer_texts import Altering, gather_texts
from yanmo.data.read import ReadOptions
from yanmo.executors import weighing
from yanmo.executors.choice import open_executor
from yanmo.executors.local import LocalProcesses
from yanmo.executors.weighing import weigh_here, weigh_split
from yanmo.measuring.evaluation import load_split
from yanmo.runtimes.predictor import open_bundle
from yanmo.verbs.ensemble import ensemble
from yanmo.verbs.evaluate import evaluate
from yanmo.verbs.train import train


@pytest.fixture(scope="module")
def dataset(make_words, tmp_path_factory):
    return make_words(tmp_path_factory.mktemp("executed") / "data", ["city", "fruit", "tool"])


@pytest.fixture(scope="module")
def bundle(dataset):
    return train(dataset, model="linear", out=dataset.path.with_name("linear"))


@pytest.fixture(scope="module")
def cascade_like(dataset, bundle):
    """A Bundle that says more than scores, an ensemble."""
    return ensemble(dataset, [bundle, bundle], out=dataset.path.with_name("twice"), num_threads=1)


@pytest.mark.parametrize("num_shares", [1, 3])
def test_shares_of_a_split_have_the_scores_of_the_whole(dataset, cascade_like, num_shares, monkeypatch):
    monkeypatch.setattr(weighing, "SHARE_ROWS", -(-60 // num_shares))
    split = load_split(dataset, "test")
    with open_bundle(cascade_like, num_threads=1) as predictor:
        scores, found = predictor.weigh(split.inputs)
        again, told = weigh_here(predictor, split.inputs)
    assert (again.distance_N(scores) == 0).all()
    assert (told.num_tokens_N == found.num_tokens_N).all()
    assert (told.truncated_N == found.truncated_N).all()
    assert told.num_cells == found.num_cells


def test_evaluate_and_ensemble_say_the_same_with_several_processes(dataset, bundle, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(weighing, "SHARE_ROWS", 25)
    values = {"measure_speed": False, "num_resamples": 100, "num_threads": 1}
    alone = evaluate(bundle, dataset, out=tmp_path / "alone", **values)
    shared = evaluate(bundle, dataset, out=tmp_path / "shared", executor="local:2", **values)
    first, second = (json.loads((one.path / "report.json").read_text()) for one in (alone, shared))
    assert first == second | {"command": first["command"]}
    assert alone.manifest.key == shared.manifest.key
    members = [bundle, bundle]
    one = ensemble(dataset, members, method="weighted", num_threads=1, out=tmp_path / "one")
    two = ensemble(dataset, members, method="weighted", num_threads=1, out=tmp_path / "two", executor="local:1")
    assert one.digest == two.digest


def test_a_worker_that_dies_with_its_share_costs_nothing(dataset, bundle, monkeypatch):
    monkeypatch.setattr(weighing, "SHARE_ROWS", 25)
    executor = LocalProcesses(1, 1)
    try:
        found = []
        for _ in range(2):
            found.append(weigh_split(bundle, dataset, "test", 60, executor=executor, runtime={"num_threads": 1})[0])
            # Between two calls, as if it had been killed while it waited.
            executor._processes[0]._process.kill()
        assert (found[0].distance_N(found[1]) == 0).all()
    finally:
        executor.close()


def test_a_teacher_is_asked_side_by_side_and_goes_on_after_a_kill(dataset, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer_texts, "BLOCK", 50)
    transfer = gather_texts(dataset, (), ReadOptions(), "text", Altering(num_copies=1))
    alone = ask(bundle, dataset, transfer, beside=tmp_path / "a", num_threads=1)
    put, num_left = read_parquet, 2

    def fail(path):
        nonlocal num_left
        num_left -= 1
        if num_left < 0:
            raise KeyboardInterrupt
        return put(path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("yanmo.executors.teacher_blocks.read_parquet", fail)
        ask(bundle, dataset, transfer, beside=tmp_path / "b", num_threads=1)
    with open_executor("local:2", 1) as executor:
        shared = ask(bundle, dataset, transfer, beside=tmp_path / "b", num_threads=1, executor=executor)
    assert shared.rows.equals(alone.rows)
    assert (shared.evidence.distance_N(alone.evidence) == 0).all()
    (made,) = (tmp_path / "b").iterdir()
    (same,) = (tmp_path / "a").iterdir()
    assert (made / "manifest.json").read_bytes() == (same / "manifest.json").read_bytes()


def test_folds_that_others_train_give_the_bundle_of_one_process(dataset, tmp_path):
    alone = train(dataset, model="linear", folds=3, num_threads=1, out=tmp_path / "alone")
    shared = train(dataset, model="linear", folds=3, num_threads=1, executor="local:2", out=tmp_path / "shared")
    assert shared.manifest.files == alone.manifest.files
    assert shared.manifest.key == alone.manifest.key
    assert (shared.out_of_fold().path / "predictions.parquet").is_file()


def test_an_executor_without_folds_has_no_effect_and_says_so(dataset, tmp_path, caplog):
    train(dataset, model="linear", num_threads=1, executor="local:2", out=tmp_path / "model")
    assert "The 'executor' parameter has no effect without folds." in caplog.text
