"""Two machines, which are network namespaces of this one with a wire between them; it needs root and `ip`."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["ADDRESSES", "HEAD", "NODE", "WIRE", "cut", "inside", "kill", "kill_all", "name_of", "network", "processes"]

HEAD, NODE = "yanmo-head", "yanmo-node"
ADDRESSES = {HEAD: "10.77.0.1", NODE: "10.77.0.2"}
WIRE = "wire"
"""The network interface of both."""


def inside(namespace: str, *command: str) -> list[str]:
    return ["ip", "netns", "exec", namespace, *command]


def ip(*words: str, check: bool = True) -> None:
    subprocess.run(["ip", *words], check=check, capture_output=not check)


@contextmanager
def network() -> Iterator[None]:
    """Two namespaces with one wire between them."""
    for name in (HEAD, NODE):
        ip("netns", "del", name, check=False)
        ip("netns", "add", name)
    ip("link", "add", WIRE, "netns", HEAD, "type", "veth", "peer", "name", WIRE, "netns", NODE)
    for name, address in ADDRESSES.items():
        for words in (("addr", "add", f"{address}/24", "dev", WIRE), ("link", "set", WIRE, "up")):
            ip("-n", name, *words)
        ip("-n", name, "link", "set", "lo", "up")
    try:
        yield
    finally:
        for name in (HEAD, NODE):
            kill_all(name)
            ip("netns", "del", name, check=False)


def processes(namespace: str) -> list[int]:
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


def kill_all(namespace: str) -> None:
    for process in processes(namespace):
        kill(process)


def kill(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def name_of(process: int) -> str:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""


@contextmanager
def cut(namespace: str) -> Iterator[None]:
    """Take a machine off the wire for the block."""
    ip("-n", namespace, "link", "set", WIRE, "down")
    try:
        yield
    finally:
        ip("-n", namespace, "link", "set", WIRE, "up")
