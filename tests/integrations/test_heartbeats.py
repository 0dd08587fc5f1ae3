"""Signs of life: given by a thread while work goes on, missed by who watches."""

import threading

from yanmo.integrations import heartbeats
from yanmo.integrations.heartbeats import Watch, beating


def test_signs_of_life_are_given_until_the_work_ends_or_nobody_needs_them(monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 0.01)
    given, enough = [], threading.Event()

    def beat():
        given.append(threading.current_thread())
        if len(given) == 3:
            enough.set()
        return len(given) < 3

    with beating(beat):
        assert enough.wait(10)
    assert len(given) == 3
    assert not given[0].is_alive()


def test_no_sign_of_life_is_given_after_the_work(monkeypatch):
    monkeypatch.setattr(heartbeats, "BEAT_SECONDS", 60.0)
    before = threading.active_count()
    with beating(lambda: True):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_who_gives_a_new_sign_in_time_is_not_silent(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(heartbeats.time, "monotonic", lambda: now[0])
    watch, found = Watch(), []
    for seconds, sign in ((0, "a"), (120, "a"), (121, "b"), (241, "b"), (242, "b")):
        now[0] = float(seconds)
        found.append(watch.is_silent(7, sign))
    assert found == [False, False, False, False, True]
    assert not watch.is_silent(8, "b"), "another trial, seen for the first time"
