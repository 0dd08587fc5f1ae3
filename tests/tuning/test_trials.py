"""The trials of a search by themselves, in a real storage: the first one, the best one, those that fail."""

import contextlib
from pathlib import Path

import numpy as np
import optuna
import pytest
from msgspec import structs

from yanmo.artifacts import Bundle
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.placing import work_dir
from yanmo.errors import ArtifactError, ConfigError, DataError, ModelError
from yanmo.integrations import heartbeats
from yanmo.integrations.optuna_rungs import Rungs
from yanmo.integrations.optuna_trials import Verdict
from yanmo.tuning import trials
from yanmo.tuning.space import Choice, Range
from yanmo.tuning.trials import SearchPlan, TrialLocks, bundle_of, open_search, run_trials, train_once
from yanmo.verbs.calls import Call


class KilledError(BaseException):
    pass


def killed(*_, **__):
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


def test_the_first_trial_leaves_out_what_the_space_does_not_hold_and_the_next_ones_draw_it(tmp_path, claims):
    with open_search(make_plan(tmp_path)) as search:
        taken = [search.take(4, claims) for _ in range(4)]
        for place, one in enumerate(taken):
            search.finish(one, 0.1 * place, seconds=1.0)
        assert taken[0].values == search.trials()[0].values == {"learning_rate": 3e-3}
        assert all(set(one.values) == set(SPACE) for one in taken[1:])
        assert set(search.importances()) == set(SPACE)


def test_a_first_trial_that_leaves_out_everything_is_a_trial_and_is_taken_up_again(tmp_path, claims):
    with open_search(make_plan(tmp_path, first=dict.fromkeys(SPACE))) as search:
        assert search.take(4, claims).values == {}
        claims.release(0)
        again = search.take(4, claims)
        assert (again.number, again.values) == (0, {})
        search.finish(again, 0.5, seconds=2.0)
        assert [(one.number, one.values, one.seconds) for one in search.trials()] == [(0, {}, 2.0)]


def test_machines_that_begin_at_once_try_the_defaults_once(tmp_path):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    plans = [make_plan(tmp_path / name, storage=storage) for name in ("one", "two")]
    with open_search(plans[0]) as one, open_search(plans[1]) as two:
        taken = [one.take(4, TrialLocks(tmp_path / "one", {})), two.take(4, TrialLocks(tmp_path / "two", {}))]
    assert taken[0].values == {"learning_rate": 3e-3}
    assert set(taken[1].values) == set(SPACE)


def test_a_trial_has_an_owner_who_takes_it_up_wherever_a_kill_came(tmp_path, monkeypatch):
    storage = f"sqlite:///{tmp_path / 'shared.db'}"
    plans = {name: make_plan(tmp_path / name, storage=storage) for name in ("ours", "theirs")}

    def take(name):
        with open_search(plans[name]) as search:
            return search.take(2, TrialLocks(tmp_path / name, {}))

    with open_search(plans["ours"]) as search, monkeypatch.context() as patch, pytest.raises(KilledError):
        patch.setattr(search, "_handle", killed)
        search.take(2, TrialLocks(tmp_path / "killed", {}))
    assert take("theirs").number == 1
    again = take("ours")
    assert (again.number, again.values) == (0, {"learning_rate": 3e-3})


def test_more_trials_can_be_asked_for_after_two_workers_have_begun_the_last_one_at_once(tmp_path, claims, monkeypatch):
    with open_search(make_plan(tmp_path)) as ours, open_search(make_plan(tmp_path)) as theirs:
        begin, others = ours._begin, TrialLocks(tmp_path / "trials", {})

        def begin_late(lost):
            taken.append(theirs.take(1, others))
            return begin(lost)

        taken = []
        with monkeypatch.context() as patch:
            patch.setattr(ours, "_begin", begin_late)
            assert ours.take(1, claims) is None
        ours.finish(taken[0], 0.5, seconds=1.0)
        assert [ours.take(3, claims).number for _ in range(2)] == [2, 3]
        assert ours.take(3, claims) is None
        assert [one.number for one in ours.trials()] == [0, 2, 3]


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Return what opens the search of a machine that shares its storage; the others are taken for dead at once."""
    monkeypatch.setattr(heartbeats, "GRACE_SECONDS", -1.0)
    with contextlib.ExitStack() as stack:

        def machine(name, **changes):
            shared = {"storage": f"sqlite:///{tmp_path / 'shared.db'}", "shared_as": name, **changes}
            search = stack.enter_context(open_search(make_plan(tmp_path / name, **shared)))
            return search, TrialLocks(tmp_path / name / "trials", {})

        yield machine


def test_a_trial_of_a_machine_that_fell_silent_is_begun_anew_once_with_its_settings(machines, monkeypatch):
    (dead, claims), *others = [machines(name) for name in ("dead", "one", "two")]
    first, second = (dead.take(4, claims) for _ in range(2))
    second.note_seconds(7.0)
    taken = [others[0][0].take(4, others[0][1])]
    monkeypatch.setattr(heartbeats, "GRACE_SECONDS", 60.0)
    taken += [search.take(4, locks) for search, locks in (others * 2)[1:]]
    assert [one.values for one in taken[:2]] == [first.values, second.values]
    assert [one.is_first for one in taken] == [True, False, False, False]
    assert taken[1].seconds == 7.0
    for one in taken:
        others[0][0].finish(one, 0.5, seconds=1.0)
    assert [search.take(4, locks) for search, locks in others] == [None, None]
    assert [one.number for one in dead.trials()] == [one.number for one in taken]
    assert [one.where for one in dead.trials()] == ["one", "two", "one", "two"]


@pytest.mark.parametrize("is_killed", [False, True])
def test_two_machines_that_begin_the_same_lost_trial_at_once_run_it_once(machines, monkeypatch, is_killed):
    (dead, claims), (ours, our_claims), (theirs, their_claims) = (machines(name) for name in ("dead", "one", "two"))
    dead.take(1, claims)
    begin, taken = ours._begin, []

    def begin_late(lost):
        monkeypatch.setattr(heartbeats, "GRACE_SECONDS", 60.0)
        taken.append(theirs.take(1, their_claims))
        return begin(lost)

    monkeypatch.setattr(ours, "_begin", begin_late)
    if is_killed:
        monkeypatch.setattr(ours, "_drop", killed)
        with pytest.raises(KilledError):
            ours.take(1, our_claims)
        ours, _ = machines("one")
    assert ours.take(1, our_claims) is None
    assert [(one.number, one.state) for one in ours.trials()] == [(taken[0].number, "running")]


def test_a_lost_trial_is_begun_anew_also_where_whoever_ended_it_died_at_once_or_time_is_up(machines, monkeypatch):
    (dead, claims), (ender, ender_claims), (heir, heir_claims) = (machines(name) for name in ("dead", "ender", "heir"))
    values = dead.take(4, claims).values
    monkeypatch.setattr(ender, "_take_new", killed)
    with pytest.raises(KilledError):
        ender.take(4, ender_claims)
    monkeypatch.setattr(heartbeats, "GRACE_SECONDS", 60.0)
    again = heir.take(4, heir_claims, begins=False)
    assert (again.number, again.is_first, again.values) == (1, True, values)
    assert heir.take(4, heir_claims, begins=False) is None


def test_a_trial_that_failed_by_itself_is_not_begun_anew(machines):
    (ours, claims), (theirs, their_claims) = (machines(name) for name in ("one", "two"))
    ours.finish(ours.take(1, claims), None, seconds=1.0)
    assert theirs.take(1, their_claims) is None
    assert [one.state for one in theirs.trials()] == ["failed"]


@pytest.mark.parametrize("end", ["hopeless", "complete", "failed"])
def test_what_a_machine_does_with_a_trial_that_is_its_own_no_more_does_not_count(machines, end, caplog, monkeypatch):
    (slow, claims), (quick, their_claims) = (machines(name) for name in ("slow", "quick"))
    lost, again = slow.take(1, claims), quick.take(1, their_claims)
    assert not lost.beat()
    assert again.beat()
    monkeypatch.setattr(heartbeats, "GRACE_SECONDS", 60.0)
    with slow.held(lost):
        if end == "hopeless":
            lost.is_hopeless(0.9, 1)
        slow.finish(lost, 0.9 if end == "complete" else None, seconds=1.0)
        raise AssertionError
    assert f"Trial {lost.number} was begun anew by another machine" in caplog.text
    quick.finish(again, 0.5, seconds=1.0)
    assert [(one.number, one.score) for one in slow.trials()] == [(again.number, 0.5)]


def test_a_folder_s_own_trial_goes_on_after_a_silence_that_nobody_has_noticed(machines):
    (before, claims), (after, _) = machines("ours"), machines("ours")
    assert before.take(2, claims).number == 0
    claims.release(0)
    assert [after.take(2, claims).number for _ in range(2)] == [0, 1]


def test_of_equal_trials_the_first_is_the_best_and_the_first_verdict_holds(machines):
    (ours, claims), (theirs, _) = (machines(name) for name in ("one", "two"))
    taken = [ours.take(3, claims) for _ in range(3)]
    for one, score in zip(reversed(taken), (0.5, 0.5, 0.4), strict=True):
        ours.finish(one, score, seconds=1.0)
    assert ours.best().number == theirs.best().number == 1
    verdicts = [Verdict([0, 1, 2], 3, best, [0.5], [0.4]) for best in (1, 0)]
    assert theirs.verdict([0, 1, 2], 3) is None
    assert [one.agree(ours) for one, ours in zip((ours, theirs), verdicts, strict=True)] == [verdicts[0]] * 2
    assert ours.verdict([0, 1, 2], 2) is ours.verdict([0, 1], 3) is None
    assert [one.number for one in ours.trials()] == [0, 1, 2]


def test_a_trial_that_was_given_up_stays_so_after_a_kill_before_that_was_noted(tmp_path, claims):
    plan = make_plan(tmp_path)
    with open_search(plan) as search:
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
    with open_search(plan) as search:
        search.take(4, claims).note_seconds(5.0)
        claims.release(0)
        assert trials._is_time_up(search, make_plan(tmp_path, max_seconds=5.0))
        again = search.take(4, claims, begins=False)
        assert (again.number, again.seconds) == (0, 5.0)
        assert search.take(4, claims, begins=False) is None


def test_the_first_trial_is_trained_to_its_end_however_bad_it_is(tmp_path, claims):
    with open_search(make_plan(tmp_path)) as search:
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
    with open_search(plan) as search:
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
    with open_search(plan) as search:
        list(run_trials(plan))
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

    with open_search(plan) as search:
        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(trials, "run_call", run_some)
            list(run_trials(plan))
        assert [one.state for one in search.trials()] == ["complete", "running"]
        list(run_trials(plan))
        assert [one.state for one in search.trials()] == ["complete"] * 3


def test_settings_that_do_not_go_together_are_a_trial_that_failed(dataset, tmp_path, monkeypatch):
    run, plan = trials.run_call, make_plan(tmp_path, dataset.path, num_trials=2)

    def run_some(call):
        if Path(call.out) == bundle_of(plan, 1):
            raise ConfigError("The 'ema_decay' and 'swa_start' parameters of train cannot be combined.")
        return run(call)

    monkeypatch.setattr(trials, "run_call", run_some)
    with open_search(plan) as search:
        list(run_trials(plan))
        assert [one.state for one in search.trials()] == ["complete", "failed"]


@pytest.mark.parametrize(("error", "state"), [(RuntimeError("our mistake"), "running"), (DataError("no"), "failed")])
def test_another_error_of_the_first_trial_ends_the_search(dataset, tmp_path, monkeypatch, error, state):
    plan = make_plan(tmp_path, dataset.path)

    def run_none(_):
        raise error

    monkeypatch.setattr(trials, "run_call", run_none)
    with open_search(plan) as search:
        with pytest.raises(type(error)):
            list(run_trials(plan))
        assert [one.state for one in search.trials()] == [state]
