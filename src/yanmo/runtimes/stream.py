"""Any number of texts in bounded memory: one window is scored while the next is tokenized; it knows no engine."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Any, TypeVar

import polars as pl

from yanmo.answers.answered import Answered
from yanmo.runtimes.predictor import Predictor
from yanmo.text.inputs import Inputs

__all__ = ["ahead", "answer_windows"]

T = TypeVar("T")
WAIT_SECONDS = 0.2
"""How long the main thread may not see Ctrl-C while it waits, should the signal have gone to another thread."""


def answer_windows(
    predictor: Predictor, windows: Iterable[pl.DataFrame]
) -> Iterator[tuple[pl.DataFrame, Answered[Any]]]:
    """Yield every window with the answers to its texts.

    Args:
        predictor: Who answers.
        windows: Frames with the string columns that the task reads; about two are in memory at a time.
    """
    encoded = ((rows, predictor.encode(Inputs.of_frame(rows, predictor.task.inputs))) for rows in windows)
    for rows, features in ahead(encoded):
        yield rows, predictor.answer(features)


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield the items; a thread makes the next one while this one is used.

    An error comes where its item would have come. The thread is no executor's: one that waits for input which nobody
    gives must not keep the program from ending.
    """
    made: queue.SimpleQueue[Future[T] | None] = queue.SimpleQueue()
    # Room for one item beside the one in use: the thread begins the third only when the first has been used.
    room, is_over = threading.Semaphore(), threading.Event()

    def make() -> None:
        try:
            for item in items:
                _put(made, item)
                room.acquire()
                if is_over.is_set():
                    return
            made.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits for the item
            failed: Future[T] = Future()
            failed.set_exception(error)
            made.put(failed)

    threading.Thread(target=make, name="yanmo-ahead", daemon=True).start()
    try:
        while (found := _get(made)) is not None:
            yield found.result()
            room.release()
    finally:
        is_over.set()
        # The thread may wait for room: it wakes, sees that all is over, and ends.
        room.release()


def _put(made: queue.SimpleQueue[Future[T] | None], item: T) -> None:
    done: Future[T] = Future()
    done.set_result(item)
    made.put(done)


def _get(made: queue.SimpleQueue[Future[T] | None]) -> Future[T] | None:
    while True:
        with contextlib.suppress(queue.Empty):
            return made.get(timeout=WAIT_SECONDS)
