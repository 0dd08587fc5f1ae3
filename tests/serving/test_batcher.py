"""The queue before the model."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from yanmo.serving.batcher import Batcher, QueueFullError


class Upper:
    """A model that remembers its calls, waits while told to, and cannot stand the word 'bad'."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.threads: set[str] = set()
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, items: Sequence[str]) -> list[str]:
        self.calls.append(list(items))
        self.threads.add(threading.current_thread().name)
        assert self.may_go.wait(10)
        if "bad" in items:
            raise ValueError("bad")
        return [item.upper() for item in items]


@asynccontextmanager
async def running(model: Upper, *, max_batch: int = 100, max_waiting: int = 100) -> AsyncIterator[Batcher[str, str]]:
    batcher: Batcher[str, str] = Batcher(model, max_batch=max_batch, max_waiting=max_waiting)
    batcher.start()
    try:
        yield batcher
    finally:
        model.may_go.set()
        await batcher.stop()


async def until(condition: object) -> None:
    async with asyncio.timeout(10):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.001)


async def blocked(model: Upper, batcher: Batcher[str, str], first: str = "first") -> asyncio.Task[list[str]]:
    """Return a request that the model has begun to answer and does not end."""
    model.may_go.clear()
    task = asyncio.create_task(batcher.submit([first]))
    await until(lambda: model.calls)
    return task


def test_an_idle_model_answers_at_once_and_off_the_event_loop() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model) as batcher:
            assert await batcher.submit(["a", "b"]) == ["A", "B"]
        assert model.calls == [["a", "b"]]
        assert threading.current_thread().name not in model.threads

    asyncio.run(main())


def test_what_waits_makes_one_call_and_everyone_gets_the_own_answers() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model) as batcher:
            first = await blocked(model, batcher)
            rest = [asyncio.create_task(batcher.submit([f"x{i}", f"y{i}"])) for i in range(5)]
            await until(lambda: batcher.num_waiting == 10)
            model.may_go.set()
            assert await first == ["FIRST"]
            assert await asyncio.gather(*rest) == [[f"X{i}", f"Y{i}"] for i in range(5)]
        assert len(model.calls) == 2

    asyncio.run(main())


def test_a_batch_keeps_its_maximum_and_a_larger_request_goes_alone() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model, max_batch=3) as batcher:
            first = await blocked(model, batcher)
            rest = [asyncio.create_task(batcher.submit(["x"] * size)) for size in (2, 2, 1, 5, 1)]
            await until(lambda: batcher.num_waiting == 11)
            model.may_go.set()
            await asyncio.gather(first, *rest)
        assert [len(call) for call in model.calls] == [1, 2, 3, 5, 1]

    asyncio.run(main())


def test_an_error_fails_only_the_request_that_caused_it() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model) as batcher:
            first = await blocked(model, batcher)
            rest = [asyncio.create_task(batcher.submit([item])) for item in ("a", "bad", "b")]
            await until(lambda: batcher.num_waiting == 3)
            model.may_go.set()
            await first
            good, bad, other = await asyncio.gather(*rest, return_exceptions=True)
            assert (good, other) == (["A"], ["B"])
            assert isinstance(bad, ValueError)
            assert await batcher.submit(["still here"]) == ["STILL HERE"]

    asyncio.run(main())


def test_a_full_queue_refuses_but_an_empty_one_takes_any_request() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model, max_waiting=3) as batcher:
            first = await blocked(model, batcher)
            large = asyncio.create_task(batcher.submit(["x"] * 10))
            await until(lambda: batcher.num_waiting == 10)
            with pytest.raises(QueueFullError):
                await batcher.submit(["one too many"])
            model.may_go.set()
            await asyncio.gather(first, large)
            assert await batcher.submit(["room again"]) == ["ROOM AGAIN"]

    asyncio.run(main())


def test_a_request_that_was_given_up_costs_the_model_nothing() -> None:
    async def main() -> None:
        model = Upper()
        async with running(model) as batcher:
            first = await blocked(model, batcher)
            given_up = asyncio.create_task(batcher.submit(["given up"]))
            await until(lambda: batcher.num_waiting == 1)
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
            model.may_go.set()
            await first
            assert await batcher.submit(["next"]) == ["NEXT"]
            assert batcher.num_waiting == 0
        assert ["given up"] not in model.calls

    asyncio.run(main())


def test_stop_gives_up_what_waits() -> None:
    async def main() -> None:
        model = Upper()
        batcher: Batcher[str, str] = Batcher(model, max_batch=1, max_waiting=10)
        batcher.start()
        first = await blocked(model, batcher)
        waiting = asyncio.create_task(batcher.submit(["waiting"]))
        await until(lambda: batcher.num_waiting == 1)
        await batcher.stop()
        model.may_go.set()
        outcomes = await asyncio.gather(first, waiting, return_exceptions=True)
        assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)

    asyncio.run(main())
