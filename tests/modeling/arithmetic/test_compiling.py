"""Compiled steps: chosen where they pay within the run, and the same training up to rounding."""

import json
import logging
import time

import numpy as np
import pytest

from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ConfigError
from yanmo.machine import has_compiler
from yanmo.modeling.arithmetic import compiling
from yanmo.modeling.arithmetic.compiling import choose_compile
from yanmo.verbs.pretrain import pretrain
from yanmo.verbs.train import train

TRAIN = {"model": "bert-1x32", "num_epochs": 2, "batch_size": 12, "vocab_size": 120, "max_length": 16}
TRAIN |= {"num_threads": 1, "precision": "fp32", "eval_steps": 2, "compile": "always"}


def steps(*, plain, compiled, compiling=0.0):
    """Return what takes so many seconds a step, and more for the first compiled one."""
    waits = {True: [compiling], False: []}

    def run(is_compiled):
        time.sleep(compiled if is_compiled else plain)
        time.sleep(waits[is_compiled].pop() if waits[is_compiled] else 0.0)
        return 2

    return run


@pytest.fixture
def eager_to_try(monkeypatch):
    monkeypatch.setattr(compiling, "LEAST_RUN_SECONDS", 0.0)
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)


@pytest.mark.parametrize(
    ("num_steps", "expected"), [(1000, True), (10, False)], ids=["many steps pay", "few steps do not"]
)
def test_it_is_compiled_where_the_steps_save_more_than_compiling_takes(eager_to_try, num_steps, expected):
    measured = steps(plain=0.05, compiled=0.01, compiling=1.0)
    assert choose_compile("auto", measured, num_steps=num_steps) == expected


def test_slower_steps_are_never_chosen(eager_to_try, caplog):
    with caplog.at_level(logging.INFO):
        assert not choose_compile("auto", steps(plain=0.01, compiled=0.03), num_steps=10**6)
    assert "Not compiled: compiling takes" in caplog.text


def test_what_cannot_be_compiled_is_said_and_left_as_it_is(eager_to_try, caplog):
    def run(is_compiled):
        if is_compiled:
            raise RuntimeError("no such operator\nand much more")
        return 1

    assert not choose_compile("auto", run, num_steps=10)
    assert caplog.messages == ["Not compiled: no such operator"]


def test_a_short_run_does_not_try(monkeypatch):
    monkeypatch.setattr(compiling, "has_compiler", lambda: True)

    def run(is_compiled):
        assert not is_compiled
        return 1

    assert not choose_compile("auto", run, num_steps=1000)


def test_without_a_compiler_nothing_is_tried_and_always_is_refused_before_anything_is_kept(
    make_words, tmp_path, monkeypatch
):
    dataset = make_words(tmp_path / "words", ["fruit", "tool"], num_train=60, num_valid=30)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CXX", raising=False)
    assert not has_compiler()
    assert not choose_compile("auto", lambda _: pytest.fail("tried"), num_steps=10**9)
    for verb, source in ((train, dataset), (pretrain, [dataset.path])):
        with pytest.raises(ConfigError, match="there is no C\\+\\+ compiler"):
            verb(source, model="bert-1x32", compile="always", out=tmp_path / "model")
        assert not work_dir(tmp_path / "model").exists()


class KilledError(BaseException):
    pass


def losses(bundle):
    records = [json.loads(line) for line in (bundle.path / "metrics.jsonl").read_text().splitlines()]
    return [one["valid_loss"] for one in records if "valid_loss" in one]


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.skipif(not has_compiler(), reason="there is no C++ compiler")
@pytest.mark.filterwarnings("ignore")  # what torch's compiler says about itself
def test_a_compiled_training_is_the_plain_one_up_to_rounding_and_resumes_to_the_same_bundle(make_words, tmp_path):
    dataset = make_words(tmp_path / "words", ["fruit", "tool"], num_train=60, num_valid=30)
    plain = train(dataset, out=tmp_path / "plain", **(TRAIN | {"dropout": 0.0, "compile": "never"}))
    compiled = train(dataset, out=tmp_path / "compiled", **(TRAIN | {"dropout": 0.0}))
    np.testing.assert_allclose(losses(compiled), losses(plain), rtol=1e-4)
    straight = train(dataset, out=tmp_path / "straight", **TRAIN)

    def kill(record):
        if record["step"] == 6:
            raise KilledError

    with pytest.raises(KilledError):
        train(dataset, out=tmp_path / "killed", effects=Effects(watchers=(kill,)), **TRAIN)
    assert train(dataset, out=tmp_path / "killed", **TRAIN).digest == straight.digest
