"""The watchdog by its own clock: what hangs is told within two seconds, and what is only slow never is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from yanmo.serving.frames import BEAT_SECONDS
from yanmo.serving.watchdog import BUSY_FACTOR, BUSY_SECONDS, Watchdog

NOTICED_SECONDS = 2.0
LONGEST = 60.0


def noticed(watchdog: Watchdog, *, now: float, computed: float, share: float, work: float) -> float | None:
    """Return when a batch that computes at a share of a core is said to hang; None if it is not before it has ended."""
    begin = beat = now
    while now < begin + LONGEST and work > 0:
        # The service looks and the worker beats by clocks of their own; here they meet.
        beat += BEAT_SECONDS
        now = beat
        computed, work = computed + share * BEAT_SECONDS, work - share * BEAT_SECONDS
        watchdog.beat(computed, now)
        if watchdog.hangs(now):
            return now - begin
    return None


def learned(seconds: float, text: str) -> Watchdog:
    watchdog = Watchdog()
    for start in (0.0, 20.0):
        watchdog.begin([text], start)
        watchdog.end(seconds)
    return watchdog


@given(seconds=st.floats(1e-4, 5), begin=st.floats(0, 1000), beat=st.floats(0, BEAT_SECONDS))
def test_a_batch_for_which_nothing_is_computed_is_noticed_within_two_seconds(seconds, begin, beat):
    watchdog = learned(seconds, "a text")
    watchdog.beat(7.0, begin - beat)
    watchdog.begin(["a text"], begin)
    found = noticed(watchdog, now=begin, computed=7.0, share=1e-3, work=1.0)
    assert found is not None
    assert found <= NOTICED_SECONDS


@given(
    share=st.floats(0.02, 8),
    seconds=st.floats(1e-3, 3),
    times=st.floats(0.1, 0.9 * BUSY_FACTOR),
    size=st.integers(1, 50),
)
def test_a_slow_machine_and_long_texts_raise_no_alarm(share, seconds, times, size):
    watchdog = learned(seconds, "a text")
    watchdog.begin(["a text" * size], 100.0)
    assert noticed(watchdog, now=100.0, computed=3.0, share=share, work=times * seconds * size) is None


def test_a_batch_that_computes_for_ever_is_noticed_once_it_has_computed_far_more_than_expected():
    watchdog = learned(0.01, "a text")
    watchdog.begin(["a text"], 100.0)
    found = noticed(watchdog, now=100.0, computed=0.0, share=1.0, work=1e9)
    assert found is not None
    assert BUSY_SECONDS <= found <= NOTICED_SECONDS


def test_of_the_first_batch_nothing_is_expected_but_that_it_computes():
    watchdog = Watchdog()
    watchdog.begin([("a", "b")], 0.0)
    assert noticed(watchdog, now=0.0, computed=0.0, share=1.0, work=1e9) is None
    watchdog.end()
    assert not watchdog.hangs(LONGEST)


def test_a_service_that_stood_still_itself_blames_no_worker():
    watchdog = learned(0.01, "a text")
    watchdog.begin(["a text"], 100.0)
    watchdog.beat(1.0, 100.1)
    assert watchdog.hangs(130.0)
    watchdog.excuse(130.0)
    assert not watchdog.hangs(130.1)


def test_a_worker_without_a_batch_never_hangs():
    watchdog = learned(0.01, "a text")
    watchdog.beat(1.0, 50.0)
    assert not watchdog.hangs(500.0)


def test_a_short_text_may_compute_as_long_as_a_long_one_did():
    watchdog = learned(2.0, "a long text" * 200)
    watchdog.begin(["hi"], 100.0)
    assert noticed(watchdog, now=100.0, computed=0.0, share=1.0, work=4.0) is None
