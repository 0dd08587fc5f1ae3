"""The trials of a search by themselves, in a real storage: the first one, the best one, those that fail."""

import contextlib

import pytest

from yanmo.artifacts import Bundle
from yanmo.artifacts.base import work_dir
from yanmo.errors import DataError, ModelError
from yanmo.modeling.watching import watched
from yanmo.tuning import trials
from yanmo.tuning.space import Choice, Range
from yanmo.tuning.trials import Claims, Plan, bundle_of, open_search, run_trials, train_once

SPACE = {"learning_rate": Range(1e-4, 1e-2, log=True), "dropout": Range(0.0, 0.6), "batch_size": Choice((16, 32))}
FIRST = {"learning_rate": 3e-3, "dropout": None, "batch_size": 64}
FIXED = {"model": "textcnn", "num_epochs": 1, "vocab_size": 60, "max_length": 16, "num_threads": 1, "seed": 1}


def make_plan(folder, dataset="", **changes):
    values = {
        "dataset": str(dataset),
        "folder": str(folder),
        "study": "study",
        "storage": None,
        "space": SPACE,
        "fixed": FIXED,
        "first": FIRST,
        "metric": "micro_f1",
        "num_trials": 4,
        "max_seconds": None,
        "prune": True,
        "seed": 1,
    }
    return Plan(**{**values, **changes})


@pytest.fixture
def claims(tmp_path):
    return Claims(tmp_path / "trials", {})


@contextlib.contextmanager
def opened(plan):
    with contextlib.closing(open_search(plan)) as search:
        search.try_first(plan.first)
        yield search


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


class KilledError(BaseException):
    pass


def test_a_trial_that_was_cut_off_begins_anew_with_another_number_of_threads(dataset, tmp_path):
    def kill(_):
        raise KilledError

    plan, out = make_plan(tmp_path, dataset.path), tmp_path / "bundle"
    with pytest.raises(KilledError), watched(kill):
        train_once(plan, dataset, out, {"learning_rate": 3e-3})
    assert list(work_dir(out).glob("checkpoint-*"))
    other = make_plan(tmp_path, dataset.path, fixed={**FIXED, "num_threads": 2})
    assert train_once(other, dataset, out, {"learning_rate": 3e-3}).manifest.config["num_threads"] == 2


OUT_OF_MEMORY = {
    "processor": MemoryError("Unable to allocate 9 GiB"),
    "torch": RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory"),
    "loop": ModelError("There is not enough memory for a step with one text at a time."),
}


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_trial_without_enough_memory_has_failed_and_the_search_goes_on(dataset, tmp_path, monkeypatch, caplog, name):
    train, plan = trials.train, make_plan(tmp_path, dataset.path, num_trials=3)

    def train_some(*inputs, out, **values):
        if out == bundle_of(plan, 1) or (name == "processor" and out == bundle_of(plan, 0)):
            raise OUT_OF_MEMORY[name] from (MemoryError() if name == "loop" else None)
        return train(*inputs, out=out, **values)

    monkeypatch.setattr(trials, "train", train_some)
    with opened(plan) as search:
        run_trials(plan)
        states = [one.state for one in search.trials()]
        assert states == ["failed" if name == "processor" else "complete", "failed", "complete"]
        assert Bundle.open(bundle_of(plan, search.best().number)).model == "textcnn"
    assert "Trial 1 failed" in caplog.text


@pytest.mark.parametrize(("error", "state"), [(RuntimeError("our mistake"), "running"), (DataError("no"), "failed")])
def test_another_error_of_the_first_trial_ends_the_search(dataset, tmp_path, monkeypatch, error, state):
    plan = make_plan(tmp_path, dataset.path)

    def train_none(*_, **__):
        raise error

    monkeypatch.setattr(trials, "train", train_none)
    with opened(plan) as search:
        with pytest.raises(type(error)):
            run_trials(plan)
        assert [one.state for one in search.trials()] == [state]
