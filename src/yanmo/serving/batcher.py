"""The bounded queue before a model: what waits is answered together; it knows nothing about texts or HTTP.

While no worker is busy a request starts at once. Else requests gather, up to a budget of tokens and, where a worker is
free, for a short time. So batches grow with the load and nobody waits for a timer on an idle service.

A request leaves the queue when its deadline passes or its client goes, and costs the model nothing then. A request is
refused when the queue is full, or when what waits already is more work than may wait: the wait of all that is accepted
is bounded in time, whatever the model's speed.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from yanmo.counted import counted
from yanmo.serving.queued import QueuedRequest

__all__ = [
    "BatchOutcome",
    "Batcher",
    "BatcherLimits",
    "DeadlineError",
    "QueueFullError",
    "TooLargeError",
    "Worker",
    "WorkerLostError",
]

logger = logging.getLogger(__name__)

ItemT = TypeVar("ItemT")
AskedT_contra = TypeVar("AskedT_contra", contravariant=True)
OutcomeT = TypeVar("OutcomeT", bound="BatchOutcome")
SaidT_co = TypeVar("SaidT_co", bound="BatchOutcome", covariant=True)
SMALL_SHARE = 0.125
"""A queue of less than this share of a full batch is never too long, and no model gets smaller batches."""
TELLING_SHARE = SMALL_SHARE / 2
"""A batch of less than this share of a full one tells nothing of the speed; the smallest budget holds more."""
BATCH_SHARE = 0.4
"""A batch takes the model at most this share of the time that may wait: who came last waits for the batch in hand, the
queue, and the rest of its own batch."""
SPEED_MEMORY = 0.9
"""How much of what is known about the speed each batch leaves."""

LAST_BATCH_SECONDS = 60
"""A worker that is not needed any more has so long to end its batch."""


class QueueFullError(Exception):
    """So much waits that a request is refused at once.

    Args:
        retry_seconds: When there will be room, as a guess; at least 1.
    """

    def __init__(self, retry_seconds: int) -> None:
        super().__init__(retry_seconds)
        self.retry_seconds = retry_seconds


class TooLargeError(Exception):
    """A request is larger than the whole queue."""


class DeadlineError(Exception):
    """A request's deadline passed before its answer was there."""


class WorkerLostError(Exception):
    """The worker died, or was ended because it hung."""


class BatchOutcome(Protocol):
    """What a worker says about a batch."""

    def part(self, start: int, stop: int) -> Any:
        """Return the answers to some of its items."""
        ...


class Worker(Protocol[AskedT_contra, SaidT_co]):
    """Something that answers one batch at a time. It is closed when it is lost, or no longer needed."""

    async def answer(self, items: Sequence[AskedT_contra], growing: Mapping[int, QueuedRequest[Any]] = ...) -> SaidT_co:
        """Return the answers.

        Args:
            items: What to answer.
            growing: By place among the items, requests that are told of their answers while these are written.

        Raises:
            WorkerLostError: It will not answer any more.
            Exception: What the model raised.
        """
        ...

    async def close(self) -> None:
        """Let go of the model."""
        ...


@dataclass(frozen=True)
class BatcherLimits:
    """What waits, and what is answered together.

    Attributes:
        max_batch_tokens: The most tokens of several requests in one batch; a larger request is a batch of its own. A
            slow model gets smaller batches, so that none takes long.
        max_queue_tokens: The most tokens in the queue.
        max_queue_seconds: What waits may take the model this long.
        max_wait_seconds: How long a free worker waits for a fuller batch while another one works.
    """

    max_batch_tokens: int
    max_queue_tokens: int
    max_queue_seconds: float
    max_wait_seconds: float


@dataclass(eq=False)
class _Slot(Generic[ItemT, OutcomeT]):
    """One worker and what it does."""

    worker: Worker[ItemT, OutcomeT]
    task: asyncio.Task[None] | None = None
    is_busy: bool = False
    is_retired: bool = False


class Batcher(Generic[ItemT, OutcomeT]):
    """A bounded queue and the workers that empty it. All methods belong to the event loop that made it.

    Args:
        limits: What waits, and what is answered together.
        on_answered: Told every batch's outcome and jobs.
    """

    def __init__(
        self,
        limits: BatcherLimits,
        on_answered: Callable[[OutcomeT, Sequence[QueuedRequest[ItemT]]], None] = lambda _outcome, _jobs: None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.limits = limits
        self._on_answered = on_answered
        self.num_waiting_tokens = 0
        self._jobs: deque[QueuedRequest[ItemT]] = deque()
        self._slots: list[_Slot[ItemT, OutcomeT]] = []
        self._arrived = asyncio.Event()
        self._tokens_done = 0.0
        self._seconds_busy = 0.0
        self._batch_tokens = float(limits.max_batch_tokens)

    @property
    def num_waiting(self) -> int:
        """The requests in the queue, without those a worker has in hand."""
        return sum(not job.future.done() for job in self._jobs)

    @property
    def num_workers(self) -> int:
        """The workers that take new batches."""
        return sum(not slot.is_retired for slot in self._slots)

    @property
    def tokens_per_second(self) -> float:
        """How fast one batch was lately, of those that are not small; 0 while that is unknown."""
        return self._tokens_done / self._seconds_busy if self._seconds_busy else 0.0

    def forget_speed(self) -> None:
        """Know nothing of the speed any more: another model computes from now on."""
        self._tokens_done = self._seconds_busy = 0.0
        self._batch_tokens = float(self.limits.max_batch_tokens)

    @property
    def batch_tokens(self) -> float:
        """The most tokens of one batch, as fast as the model was lately."""
        return self._batch_tokens

    def attach(self, worker: Worker[ItemT, OutcomeT]) -> None:
        """Give batches to a worker from now on, one at a time; attached twice, two at a time."""
        slot = _Slot(worker)
        self._slots.append(slot)
        slot.task = self.loop.create_task(self._serve(slot))

    async def detach(self, worker: Worker[ItemT, OutcomeT], *, patience_seconds: float = LAST_BATCH_SECONDS) -> None:
        """Give no more batches to a worker, wait for the one it has in hand, and close it; if it hangs, without it."""
        slots = [slot for slot in self._slots if slot.worker is worker]
        for slot in slots:
            slot.is_retired = True
        for slot in slots:
            if slot.task is None:
                continue
            # An idle one waits for the next request, which it must not take; asyncio.wait neither raises nor cancels.
            if not slot.is_busy:
                slot.task.cancel()
            await asyncio.wait([slot.task], timeout=patience_seconds)
            slot.task.cancel()
        await worker.close()

    async def stop(self, reason: BaseException, *, patience_seconds: float = LAST_BATCH_SECONDS) -> None:
        """Give up all that waits, and close all workers once they have ended their batches, or do not."""
        # A copy: a job that is given up leaves the queue as soon as it is at its head.
        for job in list(self._jobs):
            job.give_up(reason)
        await asyncio.gather(
            *(self.detach(slot.worker, patience_seconds=patience_seconds) for slot in list(self._slots))
        )

    def check_room(self) -> None:
        """Refuse any request while the queue is full.

        Raises:
            QueueFullError: As said.
        """
        seconds = self.seconds_until_room()
        if seconds:
            raise QueueFullError(seconds)

    def seconds_until_room(self) -> int:
        """Return when there will be room, as a guess, at least 1; 0 while there is."""
        limits, waiting_seconds = self.limits, self._waiting_seconds()
        is_late = waiting_seconds > limits.max_queue_seconds and not self._is_small(self.num_waiting_tokens)
        is_full = is_late or self.num_waiting_tokens >= limits.max_queue_tokens
        return max(1, math.ceil(waiting_seconds)) if is_full else 0

    def put(self, items: Sequence[ItemT], num_tokens: int, *, force: bool = False) -> QueuedRequest[ItemT]:
        """Return a job whose future will hold the answers.

        Args:
            items: What to answer.
            num_tokens: What they cost, at most.
            force: Also when the queue is full.

        Raises:
            TooLargeError: It is more than the whole queue.
            QueueFullError: There is no room now.
        """
        limits = self.limits
        if num_tokens > limits.max_queue_tokens:
            raise TooLargeError
        # An empty queue takes whatever fits into it: a model that is slow answers one request at a time, not none.
        if self._jobs and not force:
            self.check_room()
            if self.num_waiting_tokens + num_tokens > limits.max_queue_tokens:
                raise QueueFullError(max(1, math.ceil(self._waiting_seconds())))
        job = QueuedRequest(items, num_tokens, self.loop, self._forget)
        self._jobs.append(job)
        self.num_waiting_tokens += num_tokens
        self._arrived.set()
        return job

    def _forget(self, job: QueuedRequest[ItemT]) -> None:
        """Take back what a waiting job costs."""
        self.num_waiting_tokens -= job.num_tokens
        # The job itself stays in the queue until its turn comes, but its texts are let go at once.
        job.items = ()
        while self._jobs and self._jobs[0].future.done():
            self._jobs.popleft()

    def _waiting_seconds(self) -> float:
        """Return how long what waits will take, as far as known."""
        speed = self.tokens_per_second * max(1, self.num_workers)
        return self.num_waiting_tokens / speed if speed else 0.0

    async def _serve(self, slot: _Slot[ItemT, OutcomeT]) -> None:
        try:
            while not slot.is_retired:
                jobs = await self._next_batch()
                slot.is_busy = True
                await self._answer(slot.worker, jobs)
                slot.is_busy = False
        except WorkerLostError:
            # Its jobs have been told, and whoever made the worker puts another one in its place.
            pass
        finally:
            self._slots.remove(slot)

    async def _next_batch(self) -> list[QueuedRequest[ItemT]]:
        while True:
            if not self._jobs:
                self._arrived.clear()
                await self._arrived.wait()
            wait_seconds = self._wait_seconds()
            if wait_seconds > 0:
                await asyncio.sleep(wait_seconds)
            jobs = self._take()
            # Another worker may have taken all of it, or it was given up, while this one waited.
            if jobs:
                return jobs

    def _wait_seconds(self) -> float:
        """Return how long to wait for a fuller batch: not at all while no worker is busy."""
        limits = self.limits
        if not self._jobs or self.num_waiting_tokens >= self._batch_tokens:
            return 0.0
        if not any(slot.is_busy for slot in self._slots if not slot.is_retired):
            return 0.0
        return self._jobs[0].arrived + limits.max_wait_seconds - self.loop.time()

    def _take(self) -> list[QueuedRequest[ItemT]]:
        """Remove from the queue what the next batch answers; requests that were given up are dropped."""
        taken: list[QueuedRequest[ItemT]] = []
        num_tokens, budget, now = 0, self._batch_tokens, self.loop.time()
        while self._jobs and (not taken or num_tokens + self._jobs[0].num_tokens <= budget):
            job = self._jobs.popleft()
            if job.future.done():
                continue
            job.begun = now
            num_tokens += job.num_tokens
            taken.append(job)
        self.num_waiting_tokens -= num_tokens
        return taken

    async def _answer(self, worker: Worker[ItemT, OutcomeT], jobs: Sequence[QueuedRequest[ItemT]]) -> None:
        """Answer all jobs in one batch; if the model raises, each alone, so that only the guilty one fails."""
        items = jobs[0].items if len(jobs) == 1 else [item for job in jobs for item in job.items]
        growing = _growing(jobs)
        try:
            outcome = await (worker.answer(items, growing) if growing else worker.answer(items))
        except WorkerLostError as error:
            _fail(jobs, error)
            raise
        except Exception as error:  # noqa: BLE001 - whatever the model raises is given to whoever asked
            if len(jobs) == 1:
                _fail(jobs, error)
                return
            for number, job in enumerate(jobs):
                job.begin_again()
                try:
                    await self._answer(worker, [job])
                except WorkerLostError as lost:
                    _fail(jobs[number:], lost)
                    raise
            return
        # Of what was given up meanwhile not all was computed, which tells nothing of how long others take.
        if not any(job.future.done() for job in growing.values()):
            self._note_speed(sum(job.num_tokens for job in jobs), self.loop.time() - jobs[0].begun)
        try:
            self._hand_out(outcome, jobs)
        except Exception as error:
            logger.exception("A batch of %s was computed, but not told or not counted.", counted(len(jobs), "request"))
            _fail(jobs, error)

    def _hand_out(self, outcome: OutcomeT, jobs: Sequence[QueuedRequest[ItemT]]) -> None:
        start = 0
        for job in jobs:
            stop = start + len(job.items)
            if not job.future.done():
                job.outcome = outcome
                job.future.set_result(outcome.part(start, stop))
            start = stop
        # Last, before the event loop lets any request change its answers: what fails here finds all of them told.
        self._on_answered(outcome, jobs)

    def _is_small(self, num_tokens: int) -> bool:
        return num_tokens < SMALL_SHARE * self.limits.max_batch_tokens

    def _note_speed(self, num_tokens: int, seconds: float) -> None:
        if num_tokens < TELLING_SHARE * self.limits.max_batch_tokens:
            return
        # Both fade alike, so that their ratio is the speed of about the last ten batches, large ones counted more.
        self._tokens_done = SPEED_MEMORY * self._tokens_done + num_tokens
        self._seconds_busy = SPEED_MEMORY * self._seconds_busy + seconds
        limits = self.limits
        in_time = self.tokens_per_second * BATCH_SHARE * limits.max_queue_seconds
        self._batch_tokens = min(max(in_time, SMALL_SHARE * limits.max_batch_tokens), limits.max_batch_tokens)


def _growing(jobs: Sequence[QueuedRequest[Any]]) -> dict[int, QueuedRequest[Any]]:
    """Return the jobs that are told of their answers while these are written, by their place among all items."""
    if all(job.on_grown is None for job in jobs):
        return {}
    places = itertools.accumulate((len(job.items) for job in jobs), initial=0)
    return {place: job for place, job in zip(places, jobs, strict=False) if job.on_grown is not None}


def _fail(jobs: Sequence[QueuedRequest[Any]], reason: Exception) -> None:
    for job in jobs:
        job.give_up(reason)
