"""The queue before the model, on a clock of its own: what sleeps takes no time, however much the machine has to do."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from yanmo.serving.batcher import (
    Batcher,
    BatcherLimits,
    DeadlineError,
    QueueFullError,
    TooLargeError,
    WorkerLostError,
)
from yanmo.serving.queued import QueuedRequest


class Skipping(selectors.DefaultSelector):
    """Waits for nothing: the time that an event loop would sleep is over at once."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everyone waits for somebody else"
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time goes on only while everyone sleeps."""

    def __init__(self) -> None:
        self.waiting = Skipping()
        super().__init__(self.waiting)

    def time(self) -> float:
        return self.waiting.now


def run(main: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main)


@dataclass
class Uppers:
    answers: list[str]

    def part(self, start: int, stop: int) -> list[str]:
        return self.answers[start:stop]


class Upper:
    """A worker that remembers its calls, waits while told to, raises at 'bad' and dies at 'kill'."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.closed = False

    async def answer(self, items: Sequence[str]) -> Uppers:
        self.calls.append(list(items))
        await asyncio.wait_for(self.may_go.wait(), 10)
        if "kill" in items:
            raise WorkerLostError
        if "bad" in items:
            raise ValueError("bad")
        return Uppers([item.upper() for item in items])

    async def close(self) -> None:
        self.closed = True


QUEUE: dict[str, float] = {
    "max_batch_tokens": 100,
    "max_queue_tokens": 100,
    "max_queue_seconds": 100,
    "max_wait_seconds": 0.0,
}


@asynccontextmanager
async def running(
    *workers: Upper,
    on_answered: Callable[[Uppers, Sequence[QueuedRequest[str]]], None] = lambda *_: None,
    **limits: float,
) -> AsyncIterator[Batcher[str, Uppers]]:
    batcher: Batcher[str, Uppers] = Batcher(BatcherLimits(**{**QUEUE, **limits}), on_answered)  # type: ignore[arg-type]
    for worker in workers:
        batcher.attach(worker)
    try:
        yield batcher
    finally:
        for worker in workers:
            worker.may_go.set()
        await batcher.stop(RuntimeError("stopped"))


def put(batcher: Batcher[str, Uppers], *items: str) -> QueuedRequest[str]:
    return batcher.put(items, len(items))


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


async def blocked(worker: Upper, batcher: Batcher[str, Uppers]) -> QueuedRequest[str]:
    """Return a request that the worker has begun to answer and does not end."""
    worker.may_go.clear()
    job = put(batcher, "first")
    await until(lambda: worker.calls)
    return job


def test_an_idle_worker_answers_at_once() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_wait_seconds=60) as batcher:
            assert await put(batcher, "a", "b").future == ["A", "B"]
        assert worker.calls == [["a", "b"]]
        assert worker.closed

    run(main())


def test_what_waits_makes_one_batch_and_everyone_gets_the_own_answers() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker) as batcher:
            first = await blocked(worker, batcher)
            rest = [put(batcher, f"x{i}", f"y{i}") for i in range(5)]
            assert batcher.num_waiting_tokens == 10
            worker.may_go.set()
            assert await first.future == ["FIRST"]
            assert [await job.future for job in rest] == [[f"X{i}", f"Y{i}"] for i in range(5)]
            assert rest[0].outcome is rest[4].outcome
        assert len(worker.calls) == 2

    run(main())


def test_a_batch_keeps_its_budget_and_a_larger_request_goes_alone() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_batch_tokens=3) as batcher:
            first = await blocked(worker, batcher)
            rest = [put(batcher, *["x"] * size) for size in (2, 2, 1, 5, 1)]
            worker.may_go.set()
            await asyncio.gather(*(job.future for job in [first, *rest]))
        assert [len(call) for call in worker.calls] == [1, 2, 3, 5, 1]

    run(main())


def test_a_free_worker_waits_for_a_fuller_batch_only_while_another_is_busy() -> None:
    async def main() -> None:
        busy, free = Upper(), Upper()
        async with running(busy, free, max_wait_seconds=0.05) as batcher:
            busy.may_go.clear()
            free.may_go.clear()
            first = put(batcher, "first")
            await until(lambda: busy.calls or free.calls)
            if free.calls:
                busy, free = free, busy
            free.may_go.set()
            rest, begun = [put(batcher, "a")], batcher.loop.time()
            await asyncio.sleep(0.04)
            rest.append(put(batcher, "b"))
            assert not free.calls
            await asyncio.gather(*(job.future for job in rest))
            assert free.calls == [["a", "b"]]
            assert batcher.loop.time() - begun == pytest.approx(0.05)
            busy.may_go.set()
            await first.future

    run(main())


def test_an_error_fails_only_the_request_that_caused_it() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker) as batcher:
            first = await blocked(worker, batcher)
            rest = [put(batcher, item).future for item in ("a", "bad", "b")]
            worker.may_go.set()
            await first.future
            good, bad, other = await asyncio.gather(*rest, return_exceptions=True)
            assert (good, other) == (["A"], ["B"])
            assert isinstance(bad, ValueError)
            assert await put(batcher, "still here").future == ["STILL HERE"]

    run(main())


class Torn(Uppers):
    """An outcome of which the part with 'TORN' cannot be told."""

    def part(self, start: int, stop: int) -> list[str]:
        answers = super().part(start, stop)
        if "TORN" in answers:
            raise ValueError("torn")
        return answers


class Tearing(Upper):
    """A worker with torn outcomes."""

    async def answer(self, items: Sequence[str]) -> Torn:
        return Torn((await super().answer(items)).answers)


def test_a_worker_goes_on_where_a_batch_cannot_be_told_or_counted(caplog: pytest.LogCaptureFixture) -> None:
    def count(outcome: Uppers, _: Sequence[QueuedRequest[str]]) -> None:
        if "UNCOUNTED" in outcome.answers:
            raise ValueError("uncounted")

    async def main() -> None:
        worker = Tearing()
        async with running(worker, on_answered=count) as batcher:
            await blocked(worker, batcher)
            rest = [put(batcher, item).future for item in ("a", "torn", "b")]
            worker.may_go.set()
            await until(lambda: all(future.done() for future in rest))
            told, torn, after = await asyncio.gather(*rest, return_exceptions=True)
            assert told == ["A"]
            assert isinstance(torn, ValueError)
            assert isinstance(after, ValueError)
            assert await put(batcher, "uncounted").future == ["UNCOUNTED"]
            assert await put(batcher, "still here").future == ["STILL HERE"]
            assert batcher.num_workers == 1

    run(main())
    assert [record.exc_info[1].args for record in caplog.records if record.exc_info] == [("torn",), ("uncounted",)]


def test_a_lost_worker_fails_its_batch_and_the_next_one_answers_what_waits() -> None:
    async def main() -> None:
        worker, other = Upper(), Upper()
        async with running(worker) as batcher:
            worker.may_go.clear()
            first = put(batcher, "kill")
            await until(lambda: worker.calls)
            waiting = put(batcher, "a")
            worker.may_go.set()
            with pytest.raises(WorkerLostError):
                await first.future
            await until(lambda: batcher.num_workers == 0)
            assert not waiting.future.done()
            batcher.attach(other)
            assert await waiting.future == ["A"]

    run(main())


def test_a_worker_that_is_taken_away_ends_its_batch_and_the_queue_goes_on_with_another() -> None:
    async def main() -> None:
        old, new = Upper(), Upper()
        async with running(old) as batcher:
            first = await blocked(old, batcher)
            waiting = put(batcher, "a")
            batcher.attach(new)
            leaving = asyncio.create_task(batcher.detach(old))
            assert await waiting.future == ["A"]
            assert not leaving.done()
            old.may_go.set()
            assert await first.future == ["FIRST"]
            await leaving
            assert old.closed
            assert new.calls == [["a"]]

    run(main())


def test_a_full_queue_refuses_and_a_request_over_all_of_it_is_refused_for_good() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_queue_tokens=3) as batcher:
            first = await blocked(worker, batcher)
            with pytest.raises(TooLargeError):
                put(batcher, *["x"] * 4)
            large = put(batcher, *["x"] * 3)
            with pytest.raises(QueueFullError) as caught:
                put(batcher, "one too many")
            assert caught.value.retry_seconds == 1
            worker.may_go.set()
            await asyncio.gather(first.future, large.future)
            assert await put(batcher, "room again").future == ["ROOM AGAIN"]

    run(main())


def test_a_slow_model_gets_smaller_batches_so_that_none_takes_long() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_queue_seconds=0.5) as batcher:
            worker.may_go.clear()
            hand = put(batcher, *["x"] * 50)
            await asyncio.sleep(0.25)
            worker.may_go.set()
            await hand.future
            worker.may_go.clear()
            jobs = [put(batcher, "first")]
            await until(lambda: worker.calls[-1] == ["first"])
            jobs += [put(batcher, str(number)) for number in range(80)]
            worker.may_go.set()
            await asyncio.gather(*(job.future for job in jobs))
            sizes = [len(call) for call in worker.calls[2:]]
            assert sizes == [40, 40], "0.4 of half a second, at 200 a second"

    run(main())


class Sleepy(Upper):
    """A worker of a given speed."""

    tokens_per_second = 500.0

    async def answer(self, items: Sequence[str]) -> Uppers:
        await asyncio.sleep(len(items) / self.tokens_per_second)
        return await super().answer(items)


def test_a_model_that_becomes_fast_again_is_believed() -> None:
    async def load(batcher: Batcher[str, Uppers], seconds: float) -> int:
        refused, end = 0, asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            try:
                put(batcher, *["x"] * 7)
            except QueueFullError:
                refused += 1
            await asyncio.sleep(0.002)
        return refused

    async def main() -> None:
        worker = Sleepy()
        async with running(worker, max_queue_seconds=0.05, max_queue_tokens=10_000) as batcher:
            assert await load(batcher, 0.6) > 0
            assert batcher.tokens_per_second == pytest.approx(500)
            worker.tokens_per_second = 50_000.0
            await load(batcher, 1.5)
            assert batcher.tokens_per_second == pytest.approx(50_000), "what was once is forgotten"
            assert await load(batcher, 0.5) == 0
            batcher.forget_speed()
            assert batcher.tokens_per_second == 0

    run(main())


def test_the_queue_is_bounded_in_time_as_well_unless_it_is_small() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_queue_seconds=0.02) as batcher:
            for size in (1, 30):
                worker.may_go.clear()
                job = put(batcher, *["x"] * size)
                await asyncio.sleep(0.1)
                worker.may_go.set()
                await job.future
                assert (batcher.tokens_per_second > 0) == (size == 30), "small batches tell nothing"
            assert batcher.tokens_per_second <= 300
            num_calls = len(worker.calls)
            worker.may_go.clear()
            first = put(batcher, "first")
            await until(lambda: len(worker.calls) > num_calls)
            waiting = [put(batcher, *["x"] * 12), put(batcher, "y")]
            with pytest.raises(QueueFullError):
                put(batcher, "z")
            worker.may_go.set()
            await asyncio.gather(*(job.future for job in [first, *waiting]))
            assert await put(batcher, "room again").future == ["ROOM AGAIN"]

    run(main())


@pytest.mark.parametrize("reason", [DeadlineError(), ConnectionResetError()])
def test_a_request_that_was_given_up_costs_the_model_nothing(reason: Exception) -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker, max_queue_tokens=1) as batcher:
            first = await blocked(worker, batcher)
            given_up = put(batcher, "given up")
            given_up.give_up(reason)
            assert batcher.num_waiting == batcher.num_waiting_tokens == 0
            following = put(batcher, "next")
            with pytest.raises(type(reason)):
                await given_up.future
            worker.may_go.set()
            assert await first.future == ["FIRST"]
            assert await following.future == ["NEXT"]
            assert batcher.num_waiting_tokens == 0
        assert ["given up"] not in worker.calls

    run(main())


def test_stop_gives_up_what_waits_and_ends_what_is_in_hand() -> None:
    async def main() -> None:
        worker = Upper()
        async with running(worker) as batcher:
            first = await blocked(worker, batcher)
            waiting = put(batcher, "waiting")
            stopping = asyncio.create_task(batcher.stop(RuntimeError("stopped")))
            with pytest.raises(RuntimeError, match="stopped"):
                await waiting.future
            worker.may_go.set()
            await stopping
            assert await first.future == ["FIRST"]
        assert worker.closed

    run(main())


class Growing(Upper):
    """A worker that tells of each letter while it computes."""

    async def answer(self, items: Sequence[str], growing: Mapping[int, QueuedRequest[str]] = {}) -> Uppers:
        for place, job in growing.items():
            # What fails may fail between two letters.
            for letter in items[place][: 1 if "bad" in items else None]:
                job.grow(letter.upper())
        return await super().answer(items)


def test_requests_are_told_of_their_own_answers_and_of_none_twice() -> None:
    async def main() -> None:
        worker = Growing()
        async with running(worker) as batcher:
            await blocked(worker, batcher)
            told: dict[str, list[str]] = {"one": [], "two": [], "gone": []}
            jobs = {"plain": put(batcher, "a", "b")} | {item: put(batcher, item) for item in told}
            bad = put(batcher, "bad")
            for item, letters in told.items():
                jobs[item].on_grown = letters.append
            jobs["gone"].give_up(DeadlineError())
            worker.may_go.set()
            assert await jobs["two"].future == ["TWO"]
            assert await jobs["plain"].future == ["A", "B"]
            # The batch fails once, and each is answered alone: what had been told then is not told again.
            failed = await asyncio.gather(bad.future, jobs["gone"].future, return_exceptions=True)
            assert list(map(type, failed)) == [ValueError, DeadlineError]
            assert told == {"one": list("ONE"), "two": list("TWO"), "gone": []}

    run(main())


class UntilGivenUp(Upper):
    """A worker that leaves off what nobody waits for."""

    async def answer(self, items: Sequence[str], growing: Mapping[int, QueuedRequest[str]] = {}) -> Uppers:
        if growing:
            await asyncio.wait([job.future for job in growing.values()], timeout=1)
        return await super().answer(items)


def test_a_batch_that_was_given_up_tells_no_speed() -> None:
    async def main() -> None:
        worker = UntilGivenUp()
        worker.may_go.set()
        async with running(worker) as batcher:
            await asyncio.sleep(0.1)
            job = batcher.put(["long"], 90)
            job.on_grown = list[str]().append
            await until(lambda: job.begun)
            await asyncio.sleep(0.1)
            job.give_up(DeadlineError())
            await put(batcher, "a").future
            assert batcher.tokens_per_second == 0

    run(main())
