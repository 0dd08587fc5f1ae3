"""What machine this is and how many processes work together on it; it measures nothing itself."""

from __future__ import annotations

import functools
import os
import platform
import shutil
from pathlib import Path

__all__ = [
    "THREAD_VARIABLES",
    "describe_machine",
    "has_compiler",
    "instruction_sets",
    "num_cores",
    "num_workers",
    "worker_rank",
]

GIBIBYTE = 2**30
INSTRUCTION_SETS = (
    *("avx2", "fma", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16"),
    *("amx_int8", "asimd", "asimddp", "i8mm", "bf16", "sve"),
)
"""The instruction sets that decide how fast products are, as Linux names them."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
"""What libraries read once, when they are loaded: to be set before a process begins."""


def num_workers() -> int:
    """Return how many processes torchrun has started, 1 where this one is alone."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def worker_rank() -> int:
    """Return this process's number among them, from 0; the first one writes and prints."""
    return int(os.environ.get("RANK", "0")) if num_workers() > 1 else 0


def num_cores() -> int:
    """Return the cores that this process may use: a container or taskset may leave fewer than the machine has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@functools.cache
def describe_machine() -> dict[str, str | int | float | None]:
    """Return the processor, the cores this process may use, the memory in GiB, the system and Python's version."""
    return {
        "processor": _processor(),
        "num_cores": num_cores(),
        "memory_gib": _memory_gib(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


@functools.cache
def instruction_sets() -> list[str]:
    """Return the processor's instruction sets for products, as far as the system tells them."""
    # Processors of x86 call them flags, those of ARM Features.
    found = set((_cpuinfo("flags") or _cpuinfo("Features") or "").split())
    return [name for name in INSTRUCTION_SETS if name in found]


def has_compiler() -> bool:
    """Return whether there is the C++ compiler that torch.compile needs."""
    return any(shutil.which(name) for name in (os.environ.get("CXX", ""), "g++", "clang++") if name)


def _processor() -> str:
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def _cpuinfo(key: str) -> str:
    """Return the first value of a key, empty where there is none."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(key)), "")


def _memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIBIBYTE, 1)
    # Windows has no sysconf; other systems lack one of the names.
    except (AttributeError, OSError, ValueError):
        return None
