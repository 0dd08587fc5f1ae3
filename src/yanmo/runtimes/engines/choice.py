"""Which engine is the fastest for a graph on this processor: measured once, remembered in the user's cache.

An engine that is not onnxruntime is tried in a process of its own first: on some processors one dies by a signal, and
that must not end the program that asks. It knows no Bundle.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TypeAlias

import msgspec
import platformdirs

from yanmo.errors import YanmoError
from yanmo.machine import describe_machine
from yanmo.runtimes.engines import ENGINES, installed_engines

__all__ = ["cache_path", "choose_engine", "is_sound"]

logger = logging.getLogger(__name__)

DEFAULT = "onnxruntime"
PROBE_SECONDS = 60
TRIAL_SECONDS = 1.0

AnswerTexts: TypeAlias = Callable[[], object]

PROBE = """
import numpy as np
from yanmo.runtimes.engines.openvino_cpu import openvino
from openvino import opset13 as ops
x = ops.parameter([-1, 64], np.float32)
model = openvino.Model([ops.relu(ops.matmul(x, ops.constant(np.ones((64, 64), np.float32)), False, False))], [x])
run = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
assert float(next(iter(run(np.ones((3, 64), np.float32)).values()))[0, 0]) == 64
"""
"""A product on OpenVINO; it has died with SIGFPE on some AMD processors."""


def cache_path() -> Path:
    """Return the file in which choices are remembered."""
    return platformdirs.user_cache_path("yanmo") / "engines.json"


def choose_engine(digest: str, num_threads: int, num_texts: int, open_with: Callable[[str], AnswerTexts]) -> str:
    """Return the name of the fastest engine; measured only where more than one is installed and none is remembered.

    Args:
        digest: Of the Bundle.
        num_threads: With which it will compute.
        num_texts: That an answer is for.
        open_with: From an engine's name to what answers the texts; it raises if the engine answers wrongly.
    """
    names = installed_engines()
    if names == [DEFAULT]:
        return DEFAULT
    key = _key(digest, num_threads, names)
    remembered = _read()
    # The file may be damaged or edited: only the name of an installed engine is believed.
    if remembered.get(key) in names:
        return remembered[key]
    speeds = {name: speed for name in names if (speed := _try(name, num_texts, open_with)) is not None}
    best = max(speeds, key=lambda name: speeds[name], default=DEFAULT)
    logger.info("Runtime %s: %s.", best, ", ".join(f"{name} {speed:,.0f} texts/s" for name, speed in speeds.items()))
    _write({**remembered, key: best})
    return best


def is_sound(name: str) -> bool:
    """Return whether an engine survives a small product in a process of its own."""
    if name == DEFAULT:
        return True
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", PROBE], capture_output=True, timeout=PROBE_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode:
        logger.warning("The runtime %s does not work on this processor (exit code %d).", name, done.returncode)
    return done.returncode == 0


def _try(name: str, num_texts: int, open_with: Callable[[str], AnswerTexts]) -> float | None:
    """Return texts per second, or None where the engine cannot be used."""
    try:
        if not is_sound(name):
            return None
        answer = open_with(name)
    except YanmoError as error:
        logger.warning("The runtime %s is left out: %s", name, error.message)
        return None
    # The first answer makes sessions and buffers, and is not timed.
    answer()
    seconds: list[float] = []
    while sum(seconds) < TRIAL_SECONDS:
        start = time.perf_counter()
        answer()
        seconds.append(time.perf_counter() - start)
    # The shortest time: whatever else runs can only make an answer slower.
    return num_texts / min(seconds)


def _key(digest: str, num_threads: int, names: list[str]) -> str:
    # All that the speed depends on: another processor, thread count, version or Bundle is measured anew.
    versions = [f"{name} {_version(ENGINES[name][0])}" for name in names]
    return " | ".join([str(describe_machine()["processor"]), f"{num_threads} threads", *versions, digest])


def _version(package: str) -> str:
    """Return the version; a package that was built or copied without its metadata has none."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _read() -> dict[str, str]:
    try:
        return msgspec.json.decode(cache_path().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.MsgspecError):
        return {}


def _write(choices: dict[str, str]) -> None:
    """Remember the choices; where that is not possible they are measured again next time."""
    path = cache_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # By process, since two may write at once; the rename shows readers whole files only.
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(choices), indent=2))
        partial.replace(path)
    except OSError as error:
        logger.debug("The choice of the runtime could not be remembered: %s", error)
