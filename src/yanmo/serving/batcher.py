"""The queue before the model: what waits is answered together, by one thread; it knows nothing about texts or HTTP.

When the model is idle a request starts at once. While it works, requests gather, and all of them (up to a limit) make
the next call. So the batch grows with the load and nobody waits for a timer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["Batcher", "QueueFullError"]

ItemT = TypeVar("ItemT")
AnswerT = TypeVar("AnswerT")


class QueueFullError(Exception):
    """So much waits that a request is refused at once."""


@dataclass(slots=True, eq=False)
class _Job(Generic[ItemT, AnswerT]):
    """One request in the queue."""

    items: Sequence[ItemT]
    future: asyncio.Future[list[AnswerT]]


class Batcher(Generic[ItemT, AnswerT]):
    """A bounded queue and the one thread that empties it. All methods belong to one event loop.

    Args:
        answer: Called in the thread with items of one or more requests; returns one answer an item, in their order.
        max_batch: The most items of several requests in one call; a larger request is a call of its own.
        max_waiting: The most items in the queue; an empty queue takes any request.
    """

    def __init__(
        self, answer: Callable[[Sequence[ItemT]], Sequence[AnswerT]], *, max_batch: int, max_waiting: int
    ) -> None:
        self._answer = answer
        self._max_batch = max_batch
        self._max_waiting = max_waiting
        self._jobs: deque[_Job[ItemT, AnswerT]] = deque()
        self._num_waiting = 0
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="yanmo-inference")
        self._task: asyncio.Task[None] | None = None

    @property
    def num_waiting(self) -> int:
        """The items in the queue, without those the model works on."""
        return self._num_waiting

    def start(self) -> None:
        """Begin to empty the queue."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Give up all requests that have no answer. The call in the thread, if there is one, ends by itself."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        _give_up(self._jobs)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def submit(self, items: Sequence[ItemT]) -> list[AnswerT]:
        """Return one answer an item.

        Raises:
            QueueFullError: Too much waits already.
            Exception: What the model raised for these items, and only for these.
        """
        if self._jobs and self._num_waiting + len(items) > self._max_waiting:
            raise QueueFullError
        job: _Job[ItemT, AnswerT] = _Job(items, asyncio.get_running_loop().create_future())
        self._jobs.append(job)
        self._num_waiting += len(items)
        self._arrived.set()
        return await job.future

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            jobs = self._take()
            if not jobs:
                continue
            try:
                outcomes = await loop.run_in_executor(self._thread, self._answer_jobs, jobs)
            except asyncio.CancelledError:
                _give_up(jobs)
                raise
            for job, outcome in zip(jobs, outcomes, strict=True):
                _settle(job.future, outcome)

    def _take(self) -> list[_Job[ItemT, AnswerT]]:
        """Remove from the queue what the next call answers; requests that were given up are dropped."""
        taken: list[_Job[ItemT, AnswerT]] = []
        num_items = 0
        while self._jobs and (not taken or num_items + len(self._jobs[0].items) <= self._max_batch):
            job = self._jobs.popleft()
            self._num_waiting -= len(job.items)
            if not job.future.done():
                taken.append(job)
                num_items += len(job.items)
        if not self._jobs:
            self._arrived.clear()
        return taken

    def _answer_jobs(self, jobs: Sequence[_Job[ItemT, AnswerT]]) -> list[list[AnswerT] | Exception]:
        """Answer all requests in one call; if that fails, each alone, so that only the guilty one fails."""
        items = [item for job in jobs for item in job.items]
        try:
            answers = self._answer(items)
            if len(answers) != len(items):
                raise RuntimeError(f"The model gave {len(answers)} answers to {len(items)} items.")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001 - whatever the model raises is given to whoever asked
            return [error] if len(jobs) == 1 else [self._answer_jobs([job])[0] for job in jobs]
        rest = iter(answers)
        return [[next(rest) for _ in job.items] for job in jobs]


def _give_up(jobs: Iterable[_Job[ItemT, AnswerT]]) -> None:
    for job in jobs:
        job.future.cancel()


def _settle(future: asyncio.Future[list[AnswerT]], outcome: list[AnswerT] | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
