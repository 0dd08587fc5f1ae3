"""The thread that writes: rows of all requests together, a step at a time; it knows tickets, and nothing of HTTP.

Whatever is asked of it comes through a queue that is read between two steps, so a row that is given up leaves within
one step. What grew in a step goes to the event loop in one call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

from msgspec import Struct

from yanmo.counted import counted
from yanmo.errors import YanmoError
from yanmo.runtimes.generating.constraints import Grammar
from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.generator import Ending, WrittenRow
from yanmo.runtimes.generating.writer import Writer, push_row
from yanmo.text.growing import GrowingText

__all__ = ["AskedText", "Piece", "Ticket", "WritingEngine"]

logger = logging.getLogger(__name__)

THREAD_NAME = "yanmo-writing"
END_SECONDS = 2


class AskedText(Struct, frozen=True):
    """One text that is to be written.

    Attributes:
        prompt: Its tokens.
        decoding: How it is continued.
        stops: Strings before which it ends.
        grammar: What it must be.
        wants_prompt: Whether the likelihoods of the prompt's tokens are told.
    """

    prompt: list[int]
    decoding: Decoding
    stops: tuple[str, ...] = ()
    grammar: Grammar | None = None
    wants_prompt: bool = False


class Piece(Struct, frozen=True):
    """What a text has grown by.

    Attributes:
        number: Of the text in its request.
        text: The characters that are decided since.
        ids: The tokens since, one or none.
        log_likelihoods: Of these.
        best: As many of the most likely tokens of each place as were wished.
        end: How many characters the text has behind its last token, those that are held back included.
        ending: Why the text has ended; None while it grows.
        row: Of the last piece, all that is known of the row.
    """

    number: int
    text: str
    ids: list[int]
    log_likelihoods: list[float]
    best: list[list[tuple[int, float]]]
    end: int
    ending: Ending | None = None
    row: WrittenRow | None = None


class Ticket:
    """One request in the engine, as the event loop sees it.

    Attributes:
        num_left: Texts that have not ended.
        cost: The most tokens that it may take.
        engine: Who writes it.
        arrived: The event loop's time when it came, in seconds.
        pieces: What has grown since it was asked; an exception where there will be no more.
        told: By text, when its last token came.
    """

    def __init__(self, num_texts: int, *, cost: int, engine: WritingEngine, now: float) -> None:
        self.cost = cost
        self.engine = engine
        self.arrived = now
        self.told: dict[int, float] = {}
        self.pieces: asyncio.Queue[Piece | BaseException] = asyncio.Queue()
        self.num_left = num_texts
        # Set by the event loop, read by the thread: the one thing that both touch.
        self.is_given_up = False


class _Growing:
    """A row with its text."""

    __slots__ = ("number", "row", "text", "ticket")

    def __init__(self, ticket: Ticket, number: int, row: WrittenRow, text: GrowingText) -> None:
        self.ticket, self.number, self.row, self.text = ticket, number, row, text


class WritingEngine:
    """A Writer in a thread of its own.

    Args:
        writer: The model.
        deliver: Called in the event loop with what grew in a step, by ticket.
    """

    def __init__(
        self, writer: Writer, deliver: Callable[[Sequence[tuple[Ticket, Piece | BaseException]]], None]
    ) -> None:
        self.writer = writer
        self._loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._commands: SimpleQueue[Callable[[], Any] | None] = SimpleQueue()
        self._growing: dict[WrittenRow, _Growing] = {}
        self._is_ending = False
        # No executor: Python joins the threads of one when it ends, those that hang, too.
        self._thread = threading.Thread(target=self._work, name=THREAD_NAME, daemon=True)
        self._thread.start()

    @property
    def num_rows(self) -> int:
        """Texts that are read or written now."""
        return self.writer.generator.num_rows

    @property
    def num_waiting(self) -> int:
        """Texts that wait for room."""
        return self.writer.generator.num_waiting

    def begin(self, ticket: Ticket, asked: Sequence[AskedText]) -> None:
        """Begin to write the texts of a request; what is wrong with one of them ends all."""
        self._commands.put(lambda: self._begin(ticket, asked))

    def give_up(self, ticket: Ticket) -> None:
        """End the texts of a request, for nobody waits for them any more."""
        ticket.is_given_up = True
        self._commands.put(lambda: self._give_up(ticket))

    async def check(self) -> None:
        """Wait until the thread is between two steps."""
        answered: asyncio.Future[None] = self._loop.create_future()

        def answer() -> None:
            if not answered.done():
                answered.set_result(None)

        self._commands.put(lambda: self._loop.call_soon_threadsafe(answer))
        await answered

    async def close(self, *, is_patient: bool = False) -> None:
        """End the thread: after the texts in hand, or after the step in hand."""
        self._commands.put(None if is_patient else self._end_now)
        if is_patient:
            await self._loop.run_in_executor(None, self._thread.join)
        else:
            await self._loop.run_in_executor(None, self._thread.join, END_SECONDS)

    def _end_now(self) -> None:
        for growing in list(self._growing.values()):
            self.writer.generator.leave(growing.row)
        self._growing.clear()
        self._is_ending = True

    def _work(self) -> None:
        while not (self._is_ending and self.writer.generator.is_idle):
            try:
                self._obey()
                if not self.writer.generator.is_idle:
                    self._step()
            except Exception as error:
                logger.exception("The model failed while it wrote %s.", counted(len(self._growing), "text"))
                self._fail_all(error)

    def _obey(self) -> None:
        """Do what was asked for since the last step; wait for it where nothing is written."""
        generator = self.writer.generator
        while True:
            try:
                command = self._commands.get(block=generator.is_idle and not self._is_ending)
            except Empty:
                return
            if command is None:
                self._is_ending = True
            else:
                command()

    def _begin(self, ticket: Ticket, asked: Sequence[AskedText]) -> None:
        if ticket.is_given_up:
            return
        writer = self.writer
        try:
            constraints = [None if one.grammar is None else writer.compiler.compile(one.grammar) for one in asked]
        except YanmoError as error:
            self._tell([(ticket, error)])
            return
        for number, (one, constraint) in enumerate(zip(asked, constraints, strict=True)):
            row = writer.generator.begin(one.prompt, one.decoding, constraint=constraint, wants_prompt=one.wants_prompt)
            text = GrowingText(writer.tokenizer.backend, one.prompt, one.stops)
            self._growing[row] = _Growing(ticket, number, row, text)

    def _give_up(self, ticket: Ticket) -> None:
        for growing in [one for one in self._growing.values() if one.ticket is ticket]:
            self.writer.generator.leave(growing.row)
            del self._growing[growing.row]

    def _step(self) -> None:
        grown = self.writer.generator.step()
        self._tell([(self._growing[row].ticket, self._grow(self._growing[row])) for row in grown])

    def _grow(self, growing: _Growing) -> Piece:
        row, text = growing.row, growing.text
        new = push_row(text, row)
        ending = "stop" if text.is_stopped else row.ending
        if ending is not None:
            self.writer.generator.leave(row)
            del self._growing[row]
        end = text.ends[-1] if text.ends else 0
        best = row.best[-1:]
        return Piece(
            growing.number, new, row.ids[-1:], row.log_likelihoods[-1:], best, end, ending, row if ending else None
        )

    def _fail_all(self, error: Exception) -> None:
        """End all texts; a new generator knows nothing of what may stand in the rows."""
        failed: list[tuple[Ticket, Piece | BaseException]] = [
            (ticket, error) for ticket in {growing.ticket for growing in self._growing.values()}
        ]
        self._growing.clear()
        self.writer.renew()
        self._tell(failed)

    def _tell(self, found: Sequence[tuple[Ticket, Piece | BaseException]]) -> None:
        try:
            self._loop.call_soon_threadsafe(self._deliver, found)
        except RuntimeError:  # the event loop has ended while the model computed
            self._is_ending = True
            self._end_now()
