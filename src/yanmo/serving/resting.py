"""Clients that were refused and come back too soon are read together, a few times a second; it knows no HTTP.

Each request that arrives wakes the event loop and takes the core from the model. So until the time that a refused
client was told, its socket wakes nobody: one look finds those in which something has arrived. Who waits as long as it
was told is read at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
from typing import NamedTuple, Protocol

from uvicorn.protocols.http.flow_control import FlowControl

__all__ = ["Guest", "RestRoom"]

LOOK_SECONDS = 0.02
"""Who comes too soon waits so long for its next refusal, at most."""
READ_BYTES = 65_536


class Guest(Protocol):
    """A connection that was refused.

    Attributes:
        transport: Its socket.
        flow: What stops and begins the reading of it.
    """

    transport: asyncio.Transport
    flow: FlowControl

    def data_received(self, data: bytes) -> None:
        """Take what has arrived."""
        ...


class Stay(NamedTuple):
    """How a connection rests: the descriptor of its socket, and the end in the event loop's seconds."""

    descriptor: int
    end: float


class RestRoom:
    """The connections that rest. Where the system has no epoll, none does.

    Args:
        loop: The event loop that they belong to.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._guests: dict[int, Guest] = {}
        self._stays: dict[Guest, Stay] = {}
        self._timer: asyncio.TimerHandle | None = None

    def take(self, guest: Guest, seconds: float) -> None:
        """Let a connection rest, or go on resting, for some time from now on."""
        if self._epoll is None or guest.transport.is_closing():
            return
        stay = self._stays.pop(guest, None)
        if stay is None:
            descriptor = guest.transport.get_extra_info("socket").fileno()
            self._epoll.register(descriptor, select.EPOLLIN)
            guest.flow.pause_reading()
            self._guests[descriptor] = guest
            if self._timer is None:
                self._timer = self._loop.call_later(LOOK_SECONDS, self._look)
        else:
            descriptor = stay.descriptor
        # Always at the end, so that those whose time is over stand first, as all are told about the same.
        self._stays[guest] = Stay(descriptor, self._loop.time() + seconds)

    def release(self, guest: Guest) -> None:
        """Read a connection like any other again, or forget one that has ended."""
        stay = self._stays.pop(guest, None)
        # Of one that has ended the descriptor may be another's by now.
        if stay is None or self._epoll is None or self._guests.get(stay.descriptor) is not guest:
            return
        del self._guests[stay.descriptor]
        with contextlib.suppress(OSError):  # the system has forgotten a socket that is closed
            self._epoll.unregister(stay.descriptor)
        if not guest.transport.is_closing():
            guest.flow.resume_reading()

    def _look(self) -> None:
        """Read all in which something has arrived, and release those whose time is over."""
        if self._epoll is None:
            return
        for descriptor, _ in self._epoll.poll(0, max(1, len(self._guests))):
            self._read(descriptor)
        now = self._loop.time()
        while (guest := next(iter(self._stays), None)) is not None and self._stays[guest].end <= now:
            self.release(guest)
        self._timer = self._loop.call_later(LOOK_SECONDS, self._look) if self._guests else None

    def _read(self, descriptor: int) -> None:
        guest = self._guests[descriptor]
        before = self._stays[guest]
        try:
            data = os.read(descriptor, READ_BYTES)
        except OSError:
            data = b""
        if data:
            guest.data_received(data)
        # It was not refused again, or has gone, which its transport finds by itself.
        if self._stays.get(guest) is before:
            self.release(guest)
