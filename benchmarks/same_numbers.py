"""Whether a change of the code changed a number: two source trees train, answer and measure the same, bit for bit.

    git worktree add /tmp/before COMMIT
    python benchmarks/same_numbers.py /tmp/before .

Both trees prepare the example messages, train small models under one seed, and quantize, export, calibrate and put
together what they made. Compared are the answers' every bit, the records of the trainings but for their times, and the
files of the Dataset. The exit code is 1 where anything differs. It takes three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import polars as pl

MODELS: dict[str, list[str]] = {
    "linear": [],
    "ngram": [],
    "textcnn": ["--num-epochs", "3"],
    "bilstm": ["--num-epochs", "2"],
    "bert-2x64": ["--num-epochs", "2"],
}
MADE = {
    "quantized": ["quantize", "ngram", "data"],
    "graph": ["export", "bert-2x64"],
    "calibrated": ["calibrate", "ngram", "data"],
    "mean": ["ensemble", "data", "ngram", "linear"],
    "distilled": ["distill", "mean", "data", "--model", "ngram", "--num-epochs", "2"],
}
"""A Bundle to the command that makes it of others."""


def run(tree: Path, folder: Path) -> None:
    """Let one tree make everything in a folder."""
    environment = {**os.environ, "PYTHONPATH": str(tree / "src"), "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2"}

    def yanmo(*words: str) -> None:
        command = [sys.executable, "-m", "yanmo", *words]
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{tree}: yanmo {' '.join(words)} ended with {done.returncode}:\n{done.stderr}")

    # The same file for both, so that a change of the examples is no change of a number.
    source = Path(__file__).resolve().parents[1] / "examples" / "messages" / "messages.csv"
    yanmo("prepare", str(source), "--text", "text", "--label", "intent", "--out", "data")
    for model, keys in MODELS.items():
        yanmo("train", "data", "--model", model, "--seed", "1", *keys, "--out", model)
    for name, words in MADE.items():
        yanmo(*words, "--out", name)
    for name in (*MODELS, *MADE):
        yanmo("predict", name, "data", "--out", f"{name}-answers")


def records(bundle: Path) -> list[dict[str, Any]]:
    """Return the records of a training, without its times."""
    path = bundle / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [{key: one for key, one in json.loads(line).items() if "second" not in key} for line in lines]


def differences(before: Path, after: Path) -> list[str]:
    """Return what differs, a line each; a record may have more values than before, but none that is another."""
    found = []
    for path in sorted((before / "data").glob("*.parquet")):
        if path.read_bytes() != (after / "data" / path.name).read_bytes():
            found.append(f"data/{path.name} has other bytes")
    for name in (*MODELS, *MADE):
        tables = [pl.read_parquet(folder / f"{name}-answers" / "predictions.parquet") for folder in (before, after)]
        if not tables[0].equals(tables[1]):
            found.append(f"{name} answers otherwise")
        pairs = list(zip(records(before / name), records(after / name), strict=False))
        if len(records(before / name)) != len(records(after / name)):
            found.append(f"{name} has another number of records")
        found += [f"{name}: {old} became {new}" for old, new in pairs if not old.items() <= new.items()]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a source tree from before the change")
    parser.add_argument("after", type=Path, nargs="?", default=Path(__file__).resolve().parents[1], help="and after it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / "before", Path(name) / "after"]
        for tree, folder in zip((options.before, options.after), folders, strict=True):
            folder.mkdir()
            run(tree.resolve(), folder)
        found = differences(*folders)
    print("\n".join(found) if found else f"The same numbers: {len(MODELS) + len(MADE)} Bundles.")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
