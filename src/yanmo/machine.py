"""What machine this is and how many processes work together on it; it measures nothing itself."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

__all__ = ["describe_machine", "num_workers", "worker_rank"]

GIBIBYTE = 2**30


def num_workers() -> int:
    """Return how many processes torchrun has started, 1 where this one is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def worker_rank() -> int:
    """Return this process's number among them, from 0; the first one writes and prints."""
    return int(os.environ.get("RANK", "0")) if num_workers() > 1 else 0


@functools.cache
def describe_machine() -> dict[str, str | int | float | None]:
    """Return the processor, the cores this process may use, the memory in GiB, the system and Python's version."""
    affinity = getattr(os, "sched_getaffinity", None)
    return {
        "processor": _processor(),
        "num_cores": len(affinity(0)) if affinity else os.cpu_count(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE, 1)
    except (AttributeError, OSError, ValueError):
        return None
