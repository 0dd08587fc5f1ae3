"""SIGTERM unwinds what is being done, everywhere, and replaces no error that is on its way."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from yanmo.stopping import SigtermError, noted_stop, sigterm_raises


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def test_it_unwinds_through_what_swallows_exceptions_and_the_handler_comes_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SigtermError) as caught, sigterm_raises():
        try:
            terminate()
        except Exception:  # noqa: BLE001 - as libraries do
            pytest.fail("it was swallowed")
    assert caught.value.as_stopped().exit_code == 143
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_that_is_on_its_way_stays():
    with pytest.raises(ValueError, match="first"), sigterm_raises():
        try:
            raise ValueError("first")
        finally:
            terminate()


def test_an_error_that_is_handled_only_puts_it_off():
    with pytest.raises(SigtermError), sigterm_raises():
        try:
            int("as an import fails that tries something else next")
        except ValueError:
            terminate()
            seen = sys.exc_info()
        time.sleep(60)
    assert seen[0] is ValueError


def test_a_note_that_nobody_answers_is_delivered_at_the_end():
    seen = []
    with pytest.raises(SigtermError), sigterm_raises(), noted_stop() as stop:
        terminate()
        seen.append(stop.is_set())
    assert seen == [True]


def test_a_note_that_was_answered_with_an_error_is_not_delivered_again():
    with sigterm_raises(), pytest.raises(ValueError, match="answered"), noted_stop() as stop:
        terminate()
        assert stop.is_set()
        raise ValueError("answered")


def test_other_threads_are_told_nothing():
    def work():
        with sigterm_raises(), noted_stop() as stop:
            seen.append(stop.is_set())

    seen = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]


ENDLESS = {"train": "--num-epochs", "pretrain": "--num-epochs", "tune": "--num-trials"}
"""What gives a verb so much to do that it is not done before the signal comes, however late that is."""


@pytest.mark.parametrize("verb", list(ENDLESS))
def test_a_command_that_is_stopped_before_its_first_step_ends_with_143_and_says_so(verb, make_words, tmp_path):
    dataset = make_words(tmp_path / "words", ["fruit", "tool"], num_train=40, num_valid=20)
    model = "bert-1x32" if verb == "pretrain" else "textcnn"
    command = [sys.executable, "-m", "yanmo", verb, str(dataset.path), "--out", "out", "--model", model]
    command += [ENDLESS[verb], "100000"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out*")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGTERM)
    try:
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 143, said
    assert "Stopped by SIGTERM" in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
