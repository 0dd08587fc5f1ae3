"""Watchers see every record of the call they are given to, and no other."""

import pytest

from yanmo.artifacts.effects import NO_EFFECTS, Effects


def test_every_watcher_of_a_call_sees_its_records():
    outer, inner = [], []
    call = NO_EFFECTS.watched(outer.append)
    call.tell({"step": 1})
    call.watched(inner.append).tell({"step": 2})
    call.tell({"step": 3})
    NO_EFFECTS.tell({"step": 4})
    assert outer == [{"step": 1}, {"step": 2}, {"step": 3}]
    assert inner == [{"step": 2}]


def test_the_records_of_a_fold_are_seen_by_those_who_ask_for_them():
    plain, curious = [], []
    call = NO_EFFECTS.watched(plain.append, sees_folds=[curious.append])
    call.in_fold().tell({"step": 1})
    call.tell({"step": 2})
    assert plain == [{"step": 2}]
    assert curious == [{"step": 1}, {"step": 2}]


def test_a_watcher_that_raises_ends_the_training():
    def stop(_):
        raise StopIteration

    with pytest.raises(StopIteration):
        NO_EFFECTS.watched(stop).tell({"step": 1})


def test_a_call_within_another_has_its_watchers_but_neither_its_key_nor_its_place():
    seen, of_folds = [], []
    call = Effects(key="k", replace=True, watchers=(seen.append,), fold_watchers=(of_folds.append,))
    assert (call.within().key, call.within().replace) == (None, False)
    call.within().tell({"step": 1})
    call.within().in_fold().tell({"step": 2})
    assert (seen, of_folds) == ([{"step": 1}], [{"step": 1}, {"step": 2}])
