"""The trials of a search by themselves, in a real storage: the first one, the best one, those that fail."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import optuna
import pytest
from msgspec import structs

from yanmo.artifacts import Bundle
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.integrations.optuna_study import Rungs
from yanmo.tuning import trials, workers
from yanmo.tuning.space import Choice, Range
from yanmo.tuning.trials import SearchPlan, TrialLocks, bundle_of, open_search, run_trials, train_once
from yanmo.verbs.calls import Call


class KilledError(BaseException):
    pass


def killed(*_):
    raise KilledError


SPACE = {"learning_rate": Range(1e-4, 1e-2, log=True), "dropout": Range(0.0, 0.6), "batch_size": Choice((16, 32))}
FIRST = {"learning_rate": 3e-3, "dropout": None, "batch_size": 64}
FIXED = {"model": "textcnn", "num_epochs": 1, "vocab_size": 60, "max_length": 16, "num_threads": 1, "seed": 1}


def make_plan(folder, dataset="", **changes):
    values = {
        "call": Call(verb="train", inputs={"dataset": str(dataset)}, config=FIXED),
        "folder": str(folder),
        "study": "study",
        "storage": None,
        "space": SPACE,
        "first": FIRST,
        "metric": "micro_f1",
        "lowest": False,
        "num_trials": 4,
        "max_seconds": None,
        "prune": True,
        "seed": 1,
    }
    return SearchPlan(**{**values, **changes})


@pytest.fixture
def claims(tmp_path):
    return TrialLocks(tmp_path / "trials", {})


def opened(plan):
    return contextlib.closing(open_search(plan))


def test_the_first_trial_leaves_out_what_the_space_does_not_hold_and_the_next_ones_draw_it(tmp_path, claims):
    with opened(make_plan(tmp_path)) as search:
        taken = [search.take(4, claims) for _ in range(4)]
        for place, one in enumerate(taken):
            search.finish(one, 0.1 * place, seconds=1.0)
        assert taken[0].values == search.trials()[0].values == {"learning_rate": 3e-3}
        assert all(set(one.values) == set(SPACE) for one in taken[1:])
        assert set(search.importances()) == set(SPACE)


def test_a_first_trial_that_leaves_out_everything_is_a_trial_and_is_taken_up_again(tmp_path, claims):
    with opened(make_plan(tmp_path, first=dict.fromkeys(SPACE))) as search:
        assert search.take(4, claims).values == {}
        claims.release(0)
        again = search.take(4, claims)
        assert (again.number, again.values) == (0, {})
        search.finish(again, 0.5, seconds=2.0)
        assert [(one.number, one.values, one.seconds) for one in search.trials()] == [(0, {}, 2.0)]


def test_machines_that_begin_at_once_try_the_defaults_once(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    plans = [make_plan(tmp_path / name, storage=storage) for name in ("one", "two")]
    with opened(plans[0]) as one, opened(plans[1]) as two:
        taken = [one.take(4, TrialLocks(tmp_path / "one", {})), two.take(4, TrialLocks(tmp_path / "two", {}))]
    assert taken[0].values == {"learning_rate": 3e-3}
    assert set(taken[1].values) == set(SPACE)


def test_a_trial_has_an_owner_who_takes_it_up_wherever_a_kill_came(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    plans = {name: make_plan(tmp_path / name, storage=storage) for name in ("ours", "theirs")}

    def take(name):
        with opened(plans[name]) as search:
            return search.take(2, TrialLocks(tmp_path / name, {}))

    with opened(plans["ours"]) as search, monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(search, "_handle", killed)
        search.take(2, TrialLocks(tmp_path / "killed", {}))
    assert take("theirs").number == 1
    again = take("ours")
    assert (again.number, again.values) == (0, {"learning_rate": 3e-3})


def test_more_trials_can_be_asked_for_after_two_workers_have_begun_the_last_one_at_once(tmp_path, claims, monkeypatch):
    with opened(make_plan(tmp_path)) as ours, opened(make_plan(tmp_path)) as theirs:
        begin, others = ours._begin, TrialLocks(tmp_path / "trials", {})

        def begin_late():
            taken.append(theirs.take(1, others))
            return begin()

        taken = []
        with monkeypatch.context() as patch:
            patch.setattr(ours, "_begin", begin_late)
            assert ours.take(1, claims) is None
        ours.finish(taken[0], 0.5, seconds=1.0)
        assert [ours.take(3, claims).number for _ in range(2)] == [2, 3]
        assert ours.take(3, claims) is None
        assert [one.number for one in ours.trials()] == [0, 2, 3]


def test_a_trial_that_was_given_up_stays_so_after_a_kill_before_that_was_noted(tmp_path, claims):
    plan = make_plan(tmp_path)
    with opened(plan) as search:
        _, *others = [search.take(4, claims) for _ in range(4)]
        scores = (0.9, 0.8, 0.1)
        assert [one.is_hopeless(score, 2) for one, score in zip(others, scores, strict=True)] == [False, True, True]
        claims.release(3)
        again = search.take(4, claims)
        assert again.number == 3
        assert not again.is_hopeless(0.3, 1), "what comes before was passed"
        assert again.is_hopeless(0.1, 2)


@pytest.mark.parametrize("direction", ["maximize", "minimize"])
def test_trials_are_given_up_as_optuna_does(direction):
    pruners = (Rungs(), optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=3))
    studies = [optuna.create_study(direction=direction, pruner=pruner) for pruner in pruners]
    generator, verdicts = np.random.default_rng(1), []
    for _ in range(40):
        both = [study.ask() for study in studies]
        for step, score in enumerate(generator.integers(1, 9, 7).tolist(), 1):
            for one in both:
                one.report(score, step)
            verdicts.append([one.should_prune() for one in both])
            if verdicts[-1][1]:
                break
        for study, one in zip(studies, both, strict=True):
            study.tell(one, score)
    assert all(ours == theirs for ours, theirs in verdicts)
    assert {ours for ours, _ in verdicts} == {True, False}


def test_the_time_of_a_trial_counts_what_a_kill_has_cut_off_and_no_other_begins(tmp_path, claims):
    plan = make_plan(tmp_path)
    with opened(plan) as search:
        search.take(4, claims).note_seconds(5.0)
        claims.release(0)
        assert trials._is_time_up(search, make_plan(tmp_path, max_seconds=5.0))
        again = search.take(4, claims, begins=False)
        assert (again.number, again.seconds) == (0, 5.0)
        assert search.take(4, claims, begins=False) is None


def test_the_first_trial_is_trained_to_its_end_however_bad_it_is(tmp_path, claims):
    with opened(make_plan(tmp_path)) as search:
        first, *others = [search.take(4, claims) for _ in range(4)]
        found = [one.is_hopeless(score, 2) for one, score in zip(others, (0.9, 0.8, 0.1), strict=True)]
        assert found[-1], "the worst of three"
        assert not first.is_hopeless(0.0, 2)


class Interrupted:
    """A search in which the better trial of another worker ends between the first look at it and the next."""

    def __init__(self, search, end):
        self.search, self.end = search, end

    def best(self):
        return self._look(self.search.best)

    def trials(self):
        return self._look(self.search.trials)

    def _look(self, ask):
        found, end, self.end = ask(), self.end, lambda: None
        end()
        return found


def test_a_better_trial_that_another_worker_ends_meanwhile_is_kept(tmp_path, claims):
    plan = make_plan(tmp_path)
    with opened(plan) as search:
        ours = search.take(4, claims)
        search.finish(ours, 0.5, seconds=1.0)
        theirs = search.take(4, claims)
        for one in (ours, theirs):
            bundle_of(plan, one.number).mkdir(parents=True)
        trials._keep_the_best(plan, Interrupted(search, lambda: search.finish(theirs, 0.9, seconds=1.0)))
        assert bundle_of(plan, theirs.number).is_dir()
        trials._keep_the_best(plan, search)
        assert [bundle_of(plan, one.number).is_dir() for one in (ours, theirs)] == [False, True]


def test_a_trial_that_was_cut_off_begins_anew_with_another_number_of_threads(dataset, tmp_path):
    plan, out = make_plan(tmp_path, dataset.path), tmp_path / "bundle"
    with pytest.raises(KilledError):
        train_once(plan, out, {"learning_rate": 3e-3}, Effects(watchers=(killed,)))
    assert list(work_dir(out).glob("checkpoint-*"))
    other = structs.replace(plan, call=structs.replace(plan.call, config={**FIXED, "num_threads": 2}))
    assert train_once(other, out, {"learning_rate": 3e-3}).manifest.config["num_threads"] == 2


OUT_OF_MEMORY = {
    "processor": MemoryError("Unable to allocate 9 GiB"),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "loop": ModelError("There is not enough memory for a step with one text at a time."),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_trial_without_enough_memory_has_failed_and_the_search_goes_on(dataset, tmp_path, monkeypatch, caplog, name):
    run, plan = trials.run_call, make_plan(tmp_path, dataset.path, num_trials=3)

    def run_some(call):
        places = [bundle_of(plan, 1), *([bundle_of(plan, 0)] if name == "processor" else [])]
        if Path(call.out) in places:
            raise OUT_OF_MEMORY[name] from (MemoryError() if name == "loop" else None)
        return run(call)

    monkeypatch.setattr(trials, "run_call", run_some)
    with opened(plan) as search:
        run_trials(plan)
        states = [one.state for one in search.trials()]
        assert states == ["failed" if name == "processor" else "complete", "failed", "complete"]
        assert Bundle.open(bundle_of(plan, search.best().number)).model == "textcnn"
    assert "Trial 1 failed" in caplog.text


def from_network():
    error = ModelError("The model owner/name cannot be opened: no connection")
    error.__cause__ = OSError("no connection")
    return error


@pytest.mark.parametrize("error", [ArtifactError("Cannot write: No space left on device."), from_network()], ids=str)
def test_a_full_disk_or_a_lost_network_uses_up_no_trial(dataset, tmp_path, monkeypatch, error):
    run, plan = trials.run_call, make_plan(tmp_path, dataset.path, num_trials=3)

    def run_some(call):
        if Path(call.out) == bundle_of(plan, 1):
            raise error
        return run(call)

    with opened(plan) as search:
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(trials, "run_call", run_some)
            run_trials(plan)
        assert [one.state for one in search.trials()] == ["complete", "running"]
        run_trials(plan)
        assert [one.state for one in search.trials()] == ["complete"] * 3


def test_settings_that_do_not_go_together_are_a_trial_that_failed(dataset, tmp_path, monkeypatch):
    run, plan = trials.run_call, make_plan(tmp_path, dataset.path, num_trials=2)

    def run_some(call):
        if Path(call.out) == bundle_of(plan, 1):
            raise ConfigError("The 'ema_decay' and 'swa_start' parameters of train cannot be combined.")
        return run(call)

    monkeypatch.setattr(trials, "run_call", run_some)
    with opened(plan) as search:
        run_trials(plan)
        assert [one.state for one in search.trials()] == ["complete", "failed"]


@pytest.mark.parametrize(("error", "state"), [(RuntimeError("our mistake"), "running"), (DataError("no"), "failed")])
def test_another_error_of_the_first_trial_ends_the_search(dataset, tmp_path, monkeypatch, error, state):
    plan = make_plan(tmp_path, dataset.path)

    def run_none(_):
        raise error

    monkeypatch.setattr(trials, "run_call", run_none)
    with opened(plan) as search:
        with pytest.raises(type(error)):
            run_trials(plan)
        assert [one.state for one in search.trials()] == [state]


def test_a_worker_that_fails_ends_the_others_and_its_error_is_told(tmp_path, monkeypatch):
    answer = json.dumps(["DataError", "no rows", None])
    scripts = [f"print({answer!r}); raise SystemExit(1)", "import time; time.sleep(100)"]

    def start(_request, _environment, answers):
        return subprocess.Popen([sys.executable, "-c", scripts.pop()], stdout=answers)

    monkeypatch.setattr(workers, "_start", start)
    began = time.monotonic()
    with pytest.raises(DataError, match="no rows"):
        workers.run_in_processes(make_plan(tmp_path), 2)
    assert time.monotonic() - began < 50
