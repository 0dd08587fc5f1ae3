"""Workers: one Bundle in a thread of this process, or in a process of its own that is watched; they know no queue.

A process of its own is what a fault stays in: it beats every ``BEAT_SECONDS``, and if it dies, stops beating, or has a
batch that hangs, it is killed and said to be lost, whatever held it. Only its batch in hand fails.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from queue import SimpleQueue
from typing import Any, TypeAlias, TypeVar

import msgspec

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, YanmoError
from yanmo.serving.answering import Answerer, BatchAnswer
from yanmo.serving.batcher import WorkerLostError
from yanmo.serving.config import ModelOptions, ServeConfig
from yanmo.serving.frames import (
    BEAT_SECONDS,
    Beat,
    FromWorker,
    GivenUp,
    Grown,
    LoadOrder,
    Raised,
    Ready,
    Refused,
    TextBatch,
    encode_frame,
    read_frame,
)
from yanmo.serving.queued import QueuedRequest
from yanmo.serving.schemas import Text
from yanmo.serving.watchdog import Watchdog

__all__ = ["ModelWorker", "ProcessWorker", "ThreadWorker", "is_computing", "open_worker"]

SILENT_SECONDS = 6 * BEAT_SECONDS
"""A worker that is silent for so long hangs; with the look every beat it is noticed within two seconds."""
THREAD_NAME = "yanmo-inference"
LOAD_SECONDS = 600
END_SECONDS = 2
SILENT_LOAD_SECONDS = 20
"""A worker that loads a Bundle says that it lives, once Python has started."""
Growing: TypeAlias = Mapping[int, QueuedRequest[Any]]
NOTHING_GROWS: Growing = {}
ResultT = TypeVar("ResultT")
Computation: TypeAlias = tuple[asyncio.Future[Any], Callable[[], Any]]
RETURNS = msgspec.msgpack.Decoder(FromWorker)


class AnswerError(Exception):
    """The model raised in another process, where the error is logged."""


def is_computing() -> bool:
    """Return whether a model still computes in a thread of this process, or hangs there."""
    return any(thread.name == THREAD_NAME for thread in threading.enumerate())


class ThreadWorker:
    """A Bundle in threads of this process, which may hang without keeping the process from its end.

    Attributes:
        num_lanes: The batches that it answers at a time.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[Computation | None] = SimpleQueue()
        self._answerer: Answerer | None = None
        # No executor: Python joins the threads of one when it ends, those that hang, too.
        self._threads: list[threading.Thread] = []
        self.num_lanes = 1
        self.pid = os.getpid()
        self.is_lost = False
        self._start_threads()

    async def open(self, bundle: Bundle, options: ModelOptions) -> None:
        """Load a Bundle.

        Raises:
            YanmoError: It cannot be served.
        """
        self._answerer = await self._call(lambda: Answerer(bundle, options))
        self.num_lanes = self._answerer.num_lanes
        self._start_threads()

    async def answer(self, items: Sequence[Text], growing: Growing = NOTHING_GROWS) -> BatchAnswer:
        """Return what the model says."""
        answerer = self._answerer
        if answerer is None:
            raise RuntimeError("answer was called before open")
        if not growing:
            return await self._call(lambda: answerer.answer(items))
        watcher = _LoopWatcher(self._loop, growing)
        return await self._call(lambda: answerer.answer(items, watcher))

    async def close(self) -> None:
        """Let go of the model, and wait for the end of the threads, which frees it, unless they hang."""
        self._answerer = None
        # One None ends one thread; those that hang are daemons, and are not waited for beyond END_SECONDS.
        for _ in self._threads:
            self._calls.put(None)
        for thread in self._threads:
            await self._loop.run_in_executor(None, thread.join, END_SECONDS)

    def _start_threads(self) -> None:
        while len(self._threads) < self.num_lanes:
            self._threads.append(threading.Thread(target=self._work, name=THREAD_NAME, daemon=True))
            self._threads[-1].start()

    async def _call(self, function: Callable[[], ResultT]) -> ResultT:
        future: asyncio.Future[ResultT] = self._loop.create_future()
        self._calls.put((future, function))
        return await future

    def _work(self) -> None:
        while (call := self._calls.get()) is not None:
            future, function = call
            try:
                tell, value = future.set_result, function()
            except BaseException as error:  # noqa: BLE001 - raised where the call was made; a panic of Rust's is no Exception
                wrapped = error if isinstance(error, Exception) else AnswerError(type(error).__name__)
                tell, value = future.set_exception, wrapped
            with contextlib.suppress(RuntimeError):  # the event loop has ended while the model computed
                self._loop.call_soon_threadsafe(_tell, future, tell, value)


class _LoopWatcher:
    """The AnswerWatcher protocol: tells requests of the event loop, from another thread, what they have grown by."""

    def __init__(self, loop: asyncio.AbstractEventLoop, growing: Growing) -> None:
        self._loop = loop
        self._growing = growing
        self.rows = growing.keys()

    def grow(self, row: int, text: str) -> bool:
        """Tell what an answer has grown by, and return whether anybody waits for more."""
        job = self._growing[row]
        if text:
            with contextlib.suppress(RuntimeError):  # the event loop has ended while the model computed
                self._loop.call_soon_threadsafe(job.grow, text)
        return not job.future.done()


def _tell(future: asyncio.Future[Any], tell: Callable[[Any], None], value: object) -> None:
    # Whoever asked may have been canceled while the model computed.
    if not future.done():
        tell(value)


class ProcessWorker:
    """A Bundle in a process of its own.

    Args:
        when_lost: Called once, in the event loop, if it is lost after it was ready.
        batch_seconds: A batch that takes longer is for nobody, whatever the watchdog says.
        logs_json: Whether the process writes its log as JSON.
    """

    num_lanes = 1

    def __init__(self, when_lost: Callable[[ProcessWorker], None], *, batch_seconds: float, logs_json: bool) -> None:
        self._when_lost = when_lost
        self._batch_seconds = batch_seconds
        self._logs_json = logs_json
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._pending: asyncio.Future[BatchAnswer] | None = None
        self._growing = NOTHING_GROWS
        self._tasks: list[asyncio.Task[None]] = []
        self._heard = 0.0
        self._asked = 0.0
        self._watchdog = Watchdog()
        self._is_closing = False
        self.is_lost = False

    @property
    def pid(self) -> int:
        """The process's id; 0 before it runs."""
        return self._process.pid if self._process is not None else 0

    async def open(self, bundle: Bundle, options: ModelOptions) -> None:
        """Start the process and let it load a Bundle.

        Raises:
            ArtifactError: It cannot be served.
        """
        ours, theirs = socket.socketpair()
        # Closed here as soon as the process has it: only then does the stream end when the process does.
        with theirs:
            command = [sys.executable, "-P", "-m", "yanmo.serving.child", str(theirs.fileno())]
            with _signals_wait():
                self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        reader, self._writer = await asyncio.open_connection(sock=ours)
        # The service's settings have keys of their own, which the process would refuse.
        values = options.model_dump_json(include=set(ModelOptions.model_fields))
        job = LoadOrder(str(bundle.path), bundle.digest, values, self._logs_json)
        self._writer.write(encode_frame(job))
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                found = await self._read_until_ready(reader)
        except (OSError, EOFError, TimeoutError):
            await self.close()
            raise ArtifactError(
                f"A worker died or hung while it loaded {bundle.path}.", hint="Look at the log."
            ) from None
        if isinstance(found, Refused):
            await self.close()
            raise ArtifactError(found.message, hint=found.hint)
        loop = asyncio.get_running_loop()
        self._heard = loop.time()
        self._tasks = [loop.create_task(self._listen(reader)), loop.create_task(self._watch())]

    async def _read_until_ready(self, reader: asyncio.StreamReader) -> object:
        while True:
            # The worker's beats come here while it loads, and each begins the time anew.
            async with asyncio.timeout(SILENT_LOAD_SECONDS):
                found = RETURNS.decode(await read_frame(reader))
            if isinstance(found, Ready | Refused):
                return found

    async def answer(self, items: Sequence[Text], growing: Growing = NOTHING_GROWS) -> BatchAnswer:
        """Return what the model says.

        Raises:
            WorkerLostError: The process died or hung.
            AnswerError: The model raised.
        """
        if self.is_lost or self._writer is None:
            raise WorkerLostError
        loop = asyncio.get_running_loop()
        self._pending = loop.create_future()
        self._asked = loop.time()
        self._watchdog.begin(items, self._asked)
        self._writer.write(encode_frame(TextBatch(items, list(growing))))
        self._growing = growing
        watches = {place: functools.partial(self._note_given_up, growing, place) for place in growing}
        for place, job in growing.items():
            job.future.add_done_callback(watches[place])
        seconds = None
        try:
            answer = await self._pending
            # A batch of which some was given up tells nothing of how long others take.
            if not any(job.future.done() for job in growing.values()):
                seconds = answer.computed_seconds
            return answer
        finally:
            self._pending, self._growing = None, NOTHING_GROWS
            self._watchdog.end(seconds)
            for place, job in growing.items():
                job.future.remove_done_callback(watches[place])

    def _note_given_up(self, growing: Growing, place: int, _: asyncio.Future[Any]) -> None:
        # It may be called after its batch, and in the next one another request has the same place.
        is_answering = self._growing is growing and self._pending is not None and not self._pending.done()
        if is_answering and self._writer is not None:
            self._writer.write(encode_frame(GivenUp(place)))

    async def close(self) -> None:
        """End the process."""
        # Before anything ends, so that the end of the stream is not taken for a loss.
        self._is_closing = True
        for task in self._tasks:
            task.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            self._process.kill()
            # A killed process stays in the system's table until it is waited for.
            await asyncio.to_thread(self._process.wait)

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                found = RETURNS.decode(await read_frame(reader))
                self._heard = loop.time()
                if isinstance(found, Beat):
                    self._watchdog.beat(found.computed, self._heard)
                # An answer may come for a request that nobody waits for any more.
                if self._pending is None or self._pending.done():
                    continue
                if isinstance(found, Grown):
                    # Nobody waits any more for a batch that was cancelled here.
                    if (job := self._growing.get(found.place)) is not None:
                        job.grow(found.text)
                elif isinstance(found, BatchAnswer):
                    self._pending.set_result(found)
                elif isinstance(found, Raised):
                    self._pending.set_exception(AnswerError(found.kind))
        except (OSError, EOFError, msgspec.DecodeError):
            self._lose()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(BEAT_SECONDS)
            now = loop.time()
            if now - before > 2 * BEAT_SECONDS:
                self._heard = now  # this process itself was held up, and has heard nobody
                self._watchdog.excuse(now)
            is_late = self._pending is not None and now - self._asked > self._batch_seconds
            if now - self._heard > SILENT_SECONDS or is_late or self._watchdog.hangs(now):
                self._lose()
                return

    def _lose(self) -> None:
        if self.is_lost or self._is_closing:
            return
        self.is_lost = True
        if self._process is not None:
            self._process.kill()
        if self._pending is not None and not self._pending.done():
            self._pending.set_exception(WorkerLostError())
        self._when_lost(self)


@contextlib.contextmanager
def _signals_wait() -> Iterator[None]:
    """Hold back the signals to the service; a process that starts meanwhile does so for its whole life.

    A terminal or systemd sends them to all processes, and the service tells its workers when to end.
    """
    if not hasattr(signal, "pthread_sigmask"):
        # Windows, where a terminal's Ctrl-C reaches the workers, too.
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP, signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


ModelWorker = ThreadWorker | ProcessWorker


async def open_worker(bundle: Bundle, config: ServeConfig, when_lost: Callable[[ProcessWorker], None]) -> ModelWorker:
    """Return a worker that has loaded a Bundle.

    Raises:
        YanmoError: The Bundle cannot be served.
    """
    worker = (
        ProcessWorker(when_lost, batch_seconds=config.deadline_seconds, logs_json=config.access_log)
        if config.workers > 0
        else ThreadWorker()
    )
    try:
        await worker.open(bundle, config)
    except BaseException as error:
        # Also when this is canceled: no process may stay behind.
        await worker.close()
        if isinstance(error, YanmoError) or not isinstance(error, Exception):
            raise
        raise ArtifactError(f"{bundle.path} cannot be served: {error}.", hint="Make the Bundle again.") from error
    return worker
