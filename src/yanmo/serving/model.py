"""One served model: its queue, its workers, their replacement, and the change to another Bundle; it knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import compress

import msgspec

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, YanmoError
from yanmo.serving.answering import BatchAnswer
from yanmo.serving.batcher import Batcher, BatcherLimits, DeadlineError, TooLargeError
from yanmo.serving.config import ServeConfig
from yanmo.serving.facts import Facts, read_facts
from yanmo.serving.problems import Problem
from yanmo.serving.queued import QueuedRequest
from yanmo.serving.schemas import ServedModel, Text
from yanmo.serving.telemetry import ModelCounters
from yanmo.serving.workers import ModelWorker, ProcessWorker, open_worker
from yanmo.translations import Language

__all__ = ["Model"]

logger = logging.getLogger(__name__)

CANARY_SECONDS = 1.0
STOP_SECONDS = 1.0
MAX_PAUSE_SECONDS = 5.0


class Model:
    """A Bundle behind a queue, which may be replaced by another one.

    Attributes:
        name: What clients call it; it stays when the Bundle is replaced.
        bundle: The Bundle that answers now.
        limits: What a request may hold.
        counters: What happened.
        drift: Whether the inputs have changed.
        task: What it answers.
    """

    def __init__(self, bundle: Bundle, config: ServeConfig, *, name: str) -> None:
        self.name = name
        self.config = config
        self.counters = ModelCounters()
        self.is_reloading = False
        self._workers: list[ModelWorker] = []
        self._replacing: set[asyncio.Task[None]] = set()
        self._is_stopping = False
        self._adopt(read_facts(bundle, config, name=self.name))
        self.batcher: Batcher[Text, BatchAnswer] = Batcher(
            BatcherLimits(
                config.max_batch_tokens,
                config.max_queue_tokens,
                config.max_queue_ms / 1e3,
                config.max_wait_ms / 1e3,
            ),
            self._count,
        )

    def _adopt(self, facts: Facts) -> None:
        self._facts = facts
        self.bundle, self.limits, self.drift = facts.bundle, facts.limits, facts.drift
        self.task = facts.task

    async def start(self) -> None:
        """Load the Bundle in every worker.

        Raises:
            YanmoError: It cannot be served.
        """
        for worker in await self._open(self.bundle):
            self._attach(worker)
        await self.check()

    async def stop(self) -> None:
        """End the workers after the batches they have in hand, for which nobody waits any more."""
        # First, so that no worker is opened anew while the others end.
        self._is_stopping = True
        for task in self._replacing:
            task.cancel()
        await asyncio.gather(*self._replacing, return_exceptions=True)
        await self.batcher.stop(Problem("not_ready", "The service is shutting down."), patience_seconds=STOP_SECONDS)

    def split(self, texts: Sequence[Text]) -> Sequence[Sequence[Text]]:
        """Return a request's texts as parts of one batch each, in their order; a text larger than a batch is a part.

        Raises:
            TooLargeError: They are more than the queue holds.
        """
        if len(texts) == 1:
            return [texts]
        budget, num_all = self.batcher.batch_tokens, self.count_tokens(texts)
        if num_all <= budget:
            return [texts]
        if num_all > self.batcher.limits.max_queue_tokens:
            raise TooLargeError
        parts: list[list[Text]] = [[]]
        num_tokens = 0
        for text in texts:
            cost = self.count_tokens([text])
            if parts[-1] and num_tokens + cost > budget:
                parts.append([])
                num_tokens = 0
            parts[-1].append(text)
            num_tokens += cost
        return parts

    def put(self, texts: Sequence[Text], *, force: bool = False) -> QueuedRequest[Text]:
        """Put texts into the queue, with force also where it is full.

        Raises:
            TooLargeError: They are more than the queue holds.
            QueueFullError: There is no room now.
        """
        return self.batcher.put(texts, self.count_tokens(texts), force=force)

    def count_tokens(self, texts: Sequence[Text]) -> int:
        """Return the most tokens that texts can be: one a character, and no more than the model reads."""
        limit = self._facts.max_tokens
        if self.limits.num_columns == 1:
            # At least 1: no tokens at all mark a golden example, which is not counted. Lists are faster than generators
            # here.
            return sum([min(len(text), limit) for text in texts]) or 1
        return sum([min(len(pair[0]) + len(pair[1]), limit) for pair in texts]) or 1

    def _count(self, batch: BatchAnswer, jobs: Sequence[QueuedRequest[Text]]) -> None:
        """Count a batch without the golden examples in it."""
        asked = [job for job in jobs if job.num_tokens]
        if not asked:
            return
        for job in asked:
            self.counters.queue_seconds.add(job.begun - job.arrived)
        if len(asked) < len(jobs):
            batch = _without_canaries(batch, jobs)
        self.counters.add_batch(batch)
        # After a reload the old Bundle's last batches come in; the new one's profile has nothing to say about them.
        if batch.digest == self.bundle.digest:
            self.drift.add(batch)

    async def check(self) -> None:
        """Let one golden example go the way of every request.

        Raises:
            DeadlineError: It was not answered in time.
            Exception: What the model raised.
        """
        # Without tokens and by force: a full queue is no reason to call the model dead.
        job = self.batcher.put(self._facts.canary, 0, force=True)
        try:
            async with asyncio.timeout(CANARY_SECONDS):
                await job.future
        except TimeoutError:
            job.give_up(DeadlineError())
            logger.error("Model %s hangs: no answer to a golden example in %g s.", self.name, CANARY_SECONDS)  # noqa: TRY400
            raise DeadlineError from None

    @property
    def num_workers(self) -> int:
        """The workers that answer."""
        return len(self._workers)

    @property
    def pids(self) -> list[int]:
        """The workers' process ids."""
        return [worker.pid for worker in self._workers]

    @property
    def streams(self) -> bool:
        """Whether it writes texts that can be told as they grow."""
        return self._facts.shown.streams

    def describe(self, language: Language) -> ServedModel:
        """Return what ``GET /v1/models`` shows, the card in a language."""
        facts = self._facts
        return msgspec.structs.replace(facts.shown, inputs_changed=bool(self.drift.changed), card=facts.cards[language])

    async def reload(self, bundle: Bundle) -> None:
        """Replace the Bundle between two batches; the new one is loaded beside the one that goes on answering.

        Raises:
            YanmoError: The new Bundle cannot be served; the old one stays.
            Problem: It is being replaced already.
        """
        if self.is_reloading:
            raise Problem("reload_in_progress", "Ask again when it is done.", headers={"retry-after": "1"})
        self.is_reloading = True
        try:
            self._check_fits(bundle)
            facts = await asyncio.to_thread(read_facts, bundle, self.config, name=self.name)
            opened = await self._open(bundle)
            # No await until the new workers are attached: nobody sees half of the change. Only then do the old ones
            # end.
            before, self._workers = self._workers, []
            self._adopt(facts)
            self.batcher.forget_speed()
            for worker in opened:
                self._attach(worker)
            await asyncio.gather(*(self.batcher.detach(worker) for worker in before))
        finally:
            self.is_reloading = False
        logger.info("Model %s is now %s.", self.name, bundle.digest[:12])

    def _check_fits(self, bundle: Bundle) -> None:
        if bundle.task != self.bundle.task:
            raise ArtifactError(
                f"{bundle.path} has the task {bundle.task}; the model {self.name} has {self.bundle.task}.",
                hint="Serve it under a name of its own.",
            )

    async def _open(self, bundle: Bundle) -> list[ModelWorker]:
        """Return as many workers as wanted, or none at all."""
        wanted = [open_worker(bundle, self.config, self._note_lost) for _ in range(max(1, self.config.workers))]
        # All are awaited even if one fails, so that those that have opened can be closed.
        found = await asyncio.gather(*wanted, return_exceptions=True)
        workers = [one for one in found if not isinstance(one, BaseException)]
        errors = [one for one in found if isinstance(one, BaseException)]
        if errors:
            await asyncio.gather(*(worker.close() for worker in workers))
            raise errors[0]
        return workers

    def _attach(self, worker: ModelWorker) -> None:
        """Give batches to a worker from now on; if it was lost since it was ready, to another one in its place."""
        if worker.is_lost:
            self._replace(worker)
            return
        self._workers.append(worker)
        for _ in range(worker.num_lanes):
            self.batcher.attach(worker)

    def _note_lost(self, lost: ProcessWorker) -> None:
        logger.error("Worker %d of model %s was lost.", lost.pid, self.name)
        self.counters.num_lost += 1
        # One that was lost before it was attached is replaced there; one that a reload takes away, by the new ones.
        if lost in self._workers:
            self._workers.remove(lost)
            self._replace(lost)

    def _replace(self, lost: ModelWorker) -> None:
        """Begin to replace a lost worker."""
        if self._is_stopping:
            return
        task = asyncio.get_running_loop().create_task(self._open_again(lost))
        self._replacing.add(task)
        task.add_done_callback(self._replacing.discard)

    async def _open_again(self, lost: ModelWorker) -> None:
        await self.batcher.detach(lost)
        pause_seconds = 0.1
        while len(self._workers) < self.config.workers:
            # Kept, since a reload may change it while the worker opens.
            bundle = self.bundle
            try:
                worker = await open_worker(bundle, self.config, self._note_lost)
            except YanmoError as error:
                logger.error("A worker of model %s cannot start: %s", self.name, error.message)  # noqa: TRY400
                await asyncio.sleep(pause_seconds)
                pause_seconds = min(2 * pause_seconds, MAX_PAUSE_SECONDS)
                continue
            if bundle is not self.bundle or len(self._workers) >= self.config.workers:
                await worker.close()  # another Bundle came meanwhile, with all its workers
                continue
            self._attach(worker)


def _without_canaries(batch: BatchAnswer, jobs: Sequence[QueuedRequest[Text]]) -> BatchAnswer:
    """Return a batch as if it had held none of the golden examples, which cost no tokens in the queue."""
    is_asked_N = [job.num_tokens > 0 for job in jobs for _ in job.items]
    num_tokens = list(compress(batch.num_tokens, is_asked_N))
    return msgspec.structs.replace(
        batch,
        answers=list(compress(batch.answers, is_asked_N)),
        num_tokens=num_tokens,
        num_unknown=list(compress(batch.num_unknown, is_asked_N)),
        num_cells=batch.num_cells - (sum(batch.num_tokens) - sum(num_tokens)),
    )
