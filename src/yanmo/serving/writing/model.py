"""One model that writes: what is let in, how long it may take, and the change to another Bundle; it knows no HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import AsyncIterator, Sequence
from typing import Any

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.card import read_cards
from yanmo.errors import ArtifactError, YanmoError
from yanmo.runtimes.generating.settings import CHAT_TEMPLATE
from yanmo.runtimes.generating.writer import Writer, open_writer
from yanmo.serving.batcher import DeadlineError
from yanmo.serving.config import ServeConfig
from yanmo.serving.facts import show_bundle
from yanmo.serving.problems import Problem
from yanmo.serving.schemas import ServedModel
from yanmo.serving.writing.engine import AskedText, Piece, Ticket, WritingEngine
from yanmo.serving.writing.telemetry import WritingCounters
from yanmo.translations import Language

__all__ = ["WritingModel"]

logger = logging.getLogger(__name__)

CANARY_SECONDS = 5.0
"""A step reads a chunk of a prompt at most, which takes a large model seconds."""


class WritingModel:
    """A Bundle that writes, which may be replaced by another one.

    Attributes:
        name: What clients call it.
        bundle: The Bundle that writes now.
        counters: What happened.
    """

    def __init__(self, bundle: Bundle, config: ServeConfig, *, name: str) -> None:
        self.name = name
        self.bundle = bundle
        self.config = config
        self.counters = WritingCounters()
        self._engine: WritingEngine | None = None
        self._tickets: set[Ticket] = set()
        self._num_owed = 0
        self._is_reloading = False

    @property
    def writer(self) -> Writer:
        """The opened Bundle.

        Raises:
            Problem: It is not loaded.
        """
        return self._opened().writer

    @property
    def chat_template(self) -> str | None:
        """How a conversation becomes a prompt; None of a model that was not made for such."""
        path = self.bundle.path / CHAT_TEMPLATE
        return path.read_text(encoding="utf-8") if path.is_file() else None

    @property
    def num_owed_tokens(self) -> int:
        """The most tokens that what was let in may still take."""
        return self._num_owed

    @property
    def num_rows(self) -> int:
        """Texts that are read or written now."""
        return self._engine.num_rows if self._engine is not None else 0

    @property
    def num_waiting(self) -> int:
        """Texts that wait for room."""
        return self._engine.num_waiting if self._engine is not None else 0

    @property
    def pids(self) -> list[int]:
        """The process that writes: this one."""
        return [os.getpid()]

    async def start(self) -> None:
        """Load the Bundle.

        Raises:
            YanmoError: It cannot be served.
        """
        if self.config.workers:
            logger.warning("Model %s writes in a thread of the service: workers are for models that label.", self.name)
        self._engine = await self._open(self.bundle)

    async def stop(self) -> None:
        """End all that is written."""
        for ticket in list(self._tickets):
            self._end(ticket, Problem("not_ready", "The service is shutting down."))
        if self._engine is not None:
            await self._engine.close()

    async def check(self) -> None:
        """Wait until the engine is between two steps.

        Raises:
            DeadlineError: It hangs.
        """
        try:
            async with asyncio.timeout(CANARY_SECONDS):
                await self._opened().check()
        except TimeoutError:
            raise DeadlineError from None

    async def reload(self, bundle: Bundle) -> None:
        """Replace the Bundle: the new one writes what comes from now on, the old one ends what it has begun.

        Raises:
            YanmoError: The new Bundle cannot be served; the old one stays.
            Problem: It is being replaced already.
        """
        if self._is_reloading:
            raise Problem("reload_in_progress", "Ask again when it is done.", headers={"retry-after": "1"})
        if bundle.task != self.bundle.task or bundle.format != self.bundle.format:
            raise ArtifactError(f"{bundle.path} does not write.", hint="Serve it under a name of its own.")
        self._is_reloading = True
        try:
            opened = await self._open(bundle)
            before, self._engine, self.bundle = self._engine, opened, bundle
            if before is not None:
                await before.close(is_patient=True)
        finally:
            self._is_reloading = False
        logger.info("Model %s is now %s.", self.name, bundle.digest[:12])

    def begin(self, asked: Sequence[AskedText]) -> Ticket:
        """Let a request in, and begin to write.

        Raises:
            Problem: There is too much to do, or it is more than ever fits.
        """
        engine, limit = self._opened(), self.config.max_writing_tokens
        cost = sum(len(one.prompt) + one.decoding.max_new_tokens for one in asked)
        if cost > limit:
            raise Problem(
                "too_much_text", "At most {number} tokens of prompts and texts together are allowed.", number=limit
            )
        if self._num_owed and self._num_owed + cost > limit:
            speed = self.counters.tokens_per_second
            seconds = math.ceil(self._num_owed / speed) if speed else 1
            raise Problem("queue_full", "Send it later.", headers={"retry-after": str(min(max(seconds, 1), 60))})
        ticket = Ticket(len(asked), cost=cost, engine=engine, now=asyncio.get_running_loop().time())
        self._num_owed += cost
        self._tickets.add(ticket)
        self.counters.num_prompt_tokens += sum(len(one.prompt) for one in asked)
        engine.begin(ticket, asked)
        return ticket

    async def pieces(self, ticket: Ticket, *, deadline_seconds: float) -> AsyncIterator[Piece]:
        """Yield what a request's texts grow by, until all have ended; whoever stops asking gives them up.

        Raises:
            Problem: They are not whole in time, or the model failed.
        """
        loop = asyncio.get_running_loop()
        expired = Problem("deadline_exceeded", "Ask for less, or allow more time.")
        timer = loop.call_later(deadline_seconds, self._end, ticket, expired)
        try:
            while ticket.num_left:
                found = await ticket.pieces.get()
                if isinstance(found, BaseException):
                    raise found
                ticket.num_left -= found.ending is not None
                yield found
        finally:
            timer.cancel()
            self._release(ticket)

    def give_up(self, ticket: Ticket, reason: BaseException) -> None:
        """End a request, within one step of the model; who waits for its pieces gets the reason."""
        self._end(ticket, reason)

    def describe(self, language: Language) -> ServedModel:
        """Return what ``GET /v1/models`` shows, the card in a language."""
        return show_bundle(self.bundle, self.name, streams=True, card=read_cards(self.bundle.path)[language])

    async def _open(self, bundle: Bundle) -> WritingEngine:
        config = self.config

        def load() -> Writer:
            kept: dict[str, Any] = {"num_threads": config.num_threads, "draft": config.draft}
            return open_writer(bundle, num_rows=config.max_rows, **kept)

        try:
            return WritingEngine(await asyncio.to_thread(load), self._deliver)
        except YanmoError:
            raise
        except Exception as error:
            raise ArtifactError(f"{bundle.path} cannot be served: {error}.", hint="Make the Bundle again.") from error

    def _opened(self) -> WritingEngine:
        if self._engine is None:
            raise Problem("not_ready", "The model is being loaded.", headers={"retry-after": "1"})
        return self._engine

    def _deliver(self, found: Sequence[tuple[Ticket, Piece | BaseException]]) -> None:
        """Hand out what grew in a step, and count it."""
        now, counters = asyncio.get_running_loop().time(), self.counters
        for ticket, piece in found:
            ticket.pieces.put_nowait(piece)
            if isinstance(piece, Piece):
                before = ticket.told.get(piece.number)
                if before is None:
                    counters.first_token_seconds.add(now - ticket.arrived)
                else:
                    counters.token_seconds.add(now - before)
                ticket.told[piece.number] = now
                if piece.ending is not None and piece.row is not None:
                    counters.endings[piece.ending] += 1
                    counters.num_cached_tokens += piece.row.num_cached
        counters.add_tokens(sum(len(one.ids) for _, one in found if isinstance(one, Piece)), now)

    def _end(self, ticket: Ticket, reason: BaseException) -> None:
        ticket.pieces.put_nowait(reason)
        self._release(ticket)

    def _release(self, ticket: Ticket) -> None:
        """Let a request go: it owes nothing any more, and what is not whole of it is given up."""
        if ticket not in self._tickets:
            return
        self._tickets.remove(ticket)
        self._num_owed -= ticket.cost
        if ticket.num_left:
            self.counters.endings["given_up"] += ticket.num_left
            ticket.engine.give_up(ticket)
