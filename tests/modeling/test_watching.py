"""Watchers see every record inside their block, and no other."""

import pytest

from yanmo.modeling.watching import in_fold, tell, watched


def test_every_watcher_around_a_training_sees_its_records():
    outer, inner = [], []
    with watched(outer.append):
        tell({"step": 1})
        with watched(inner.append), watched(None):
            tell({"step": 2})
        tell({"step": 3})
    tell({"step": 4})
    assert outer == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert inner == [{"step": 2}]


def test_the_records_of_a_fold_are_seen_by_those_who_ask_for_them():
    plain, curious = [], []
    with watched(plain.append), watched(curious.append, sees_folds=True):
        with in_fold():
            tell({"step": 1})
        tell({"step": 2})
    assert plain == [{"step": 2}]
    assert curious == [{"step": 1}, {"step": 2}]


def test_a_watcher_that_raises_ends_the_training_and_leaves_no_watcher_behind():
    seen = []

    def stop(record):
        seen.append(record)
        raise StopIteration

    with pytest.raises(StopIteration), watched(stop):
        tell({"step": 1})
    tell({"step": 2})
    assert seen == [{"step": 1}]
