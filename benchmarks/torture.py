"""Kill one training with SIGKILL at random moments, again and again, and compare what it makes with an undisturbed one.

    python benchmarks/torture.py --kills 300        # what `make torture` does

Every life of the training is a process of its own, forked from one that has only imported, so a life begins at once.
After each kill the newest checkpoint is read and checked. The training drops activations, keeps a moving average and
writes a checkpoint at every third step. At the end its Bundle must have the digest of the undisturbed one's, or the
exit code is 1. If a training ends before all kills were spent, it is compared and another one begins.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yanmo
from yanmo.modeling.loop import checkpoints

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = ROOT / "examples" / "messages" / "messages.csv"
TRAIN: dict[str, Any] = {
    "batch_size": 32,
    "vocab_size": 400,
    "max_length": 24,
    "eval_steps": 3,
    "early_stopping_patience": 1_000_000,
    "ema_decay": 0.9,
    "num_threads": 1,
    "precision": "fp32",
}


def main() -> int:
    options = parse()
    logging.getLogger("yanmo").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", message=".*fork.*")
    damaged = count_warnings("yanmo.modeling.loop.checkpoints")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        values = TRAIN | {"model": options.model, "num_epochs": options.epochs}
        run(lambda: yanmo.prepare(MESSAGES, text="text", label="intent", out=folder / "data"))
        started = time.perf_counter()
        run(lambda: yanmo.train(folder / "data", out=folder / "straight", **values))
        print(f"undisturbed: {time.perf_counter() - started:.1f} s", flush=True)
        expected = yanmo.Bundle.open(folder / "straight").digest
        digests = torture(folder, values, options)
    wrong = sum(digest != expected for digest in digests)
    print(
        f"{options.kills} kills (seed {options.seed}), {len(digests)} trainings ended: {len(damaged)} damaged "
        f"checkpoints, {wrong} other Bundles than {expected[:16]}"
    )
    return 1 if damaged or wrong else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3.0, help="the longest life of a process")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--model", default="bert-1x64")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def torture(folder: Path, values: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Return the digests of the Bundles of all trainings that ended; the last one ends undisturbed."""
    chance = random.Random(options.seed)
    out, digests = folder / "killed", []
    for number in range(1, options.kills + 1):
        process = fork(lambda: yanmo.train(folder / "data", out=out, **values))
        time.sleep(chance.uniform(0, options.seconds))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        work = folder / f".{out.name}.work"
        found = checkpoints.read(work) if work.is_dir() else None
        step = found[1]["position"]["step"] if found else 0
        print(f"kill {number}: {'ended' if out.exists() else f'step {step}'}", flush=True)
        if out.exists():
            digests.append(take(out))
    run(lambda: yanmo.train(folder / "data", out=out, **values))
    return [*digests, take(out)]


def take(out: Path) -> str:
    digest = yanmo.Bundle.open(out).digest
    shutil.rmtree(out)
    return digest


def fork(work: Callable[[], object]) -> int:
    """Return the number of a process that does some work and ends; 0 is its exit code if all went well."""
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        work()
        code = 0
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(work: Callable[[], object]) -> None:
    _, status = os.waitpid(fork(work), 0)
    if status:
        sys.exit(f"a process ended with status {status}")


def count_warnings(name: str) -> list[logging.LogRecord]:
    """Return a list that a logger's warnings are added to: the checkpoints that did not verify."""
    found: list[logging.LogRecord] = []

    class Counter(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record)

    logging.getLogger(name).addHandler(Counter(logging.WARNING))
    return found


if __name__ == "__main__":
    sys.exit(main())
