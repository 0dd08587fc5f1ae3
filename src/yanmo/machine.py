"""What machine a number was measured on; it measures nothing itself."""

from __future__ import annotations

import functools
import os
import platform
from pathlib import Path

__all__ = ["describe_machine"]

GIBIBYTE = 2**30


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
