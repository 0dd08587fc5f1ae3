"""What each method of `train` does to the test accuracy on public data sets, three seeds each.

    python benchmarks/recipes.py                                   # textcnn on banking77 and waimai_10k: an hour
    python benchmarks/recipes.py --hours 0.5                       # begins no training after half an hour
    python benchmarks/recipes.py --only layers,lora,decay --model FOLDER --rows 3000    # of a pretrained encoder
    python benchmarks/recipes.py --write benchmarks/recipes_….md   # a table for all that has been measured

Rows go to ``runs/recipes/results.jsonl`` as they are measured, and a row that is there is not measured again; a
training that was cut off goes on from its checkpoint. Nothing but the method is changed. The table has the mean over
seeds, its difference to the default settings, and the spread of that difference over seeds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yanmo
from yanmo.artifacts.base import Identity, publish
from yanmo.errors import ConfigError

sys.path.insert(0, str(Path(__file__).resolve().parent))
from accuracy import ROOT, prepared
from heading import machine_lines

OUT = ROOT / "runs" / "recipes"
RESULTS = OUT / "results.jsonl"
DEFAULT = "default settings"
RECIPES: dict[str, dict[str, Any]] = {
    DEFAULT: {},
    "no label smoothing": {"label_smoothing": 0.0},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "balanced class weights": {"class_weights": "balanced"},
    "focal loss, gamma 2": {"focal_gamma": 2.0},
    "R-Drop, weight 1": {"r_drop": 1.0},
    "FGM, epsilon 0.5": {"fgm_epsilon": 0.5},
    "EMA, decay 0.999": {"ema_decay": 0.999},
    "SWA from 75 %": {"swa_start": 0.75},
    "multi-sample dropout, 5": {"multi_sample_dropout": 5},
    "layer decay 0.9": {"layer_decay": 0.9},
    "cosine schedule": {"schedule": "cosine"},
    "constant schedule": {"schedule": "constant"},
    "wsd schedule": {"schedule": "wsd"},
    "2 frozen layers": {"frozen_layers": 2},
    "LoRA, rank 8": {"lora_rank": 8},
}
"""Frozen layers and LoRA belong to a pretrained checkpoint: give one with --model to see what they are for."""


def main() -> int:
    """Measure what is missing, and print or write the table."""
    options = parse()
    OUT.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 3600 * options.hours
    for key in cells(options):
        if time.monotonic() > end:
            print("The time is up; the same command goes on.", file=sys.stderr)
            break
        if not any(key.items() <= row.items() for row in measured()):
            row = key | measure(**key)
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(json.dumps(row), file=sys.stderr, flush=True)
    page = table()
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="textcnn", help="a name of `yanmo train`, or a local folder")
    parser.add_argument("--datasets", nargs="+", default=["banking77", "waimai_10k"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--only", default="", help="parts of recipes' names, with commas; the default is always measured"
    )
    parser.add_argument("--rows", type=int, help="train on so few rows; by default on all")
    parser.add_argument("--epochs", type=int, help="by default what train does")
    parser.add_argument("--hours", type=float, default=float("inf"), help="begin no training after so many")
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def cells(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield what is to be measured, seed by seed, so that a table that is cut off has whole columns of methods."""
    for seed in options.seeds:
        for dataset in options.datasets:
            for name in chosen(options.only):
                setting = {"dataset": dataset, "model": options.model, "rows": options.rows, "epochs": options.epochs}
                yield setting | {"recipe": name, "seed": seed}


def chosen(only: str) -> list[str]:
    parts = [part.lower() for part in only.split(",") if part]
    return [name for name in RECIPES if name == DEFAULT or not parts or any(part in name.lower() for part in parts)]


def measured() -> list[dict[str, Any]]:
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()] if RESULTS.exists() else []


def cut(dataset: str, num_rows: int | None) -> Path:
    """Return a Dataset, with fewer rows to train on where that is asked; made on first use."""
    folder = prepared(dataset)
    out = OUT / f"{dataset}-{num_rows}"
    if num_rows is not None and not out.exists():
        whole = yanmo.Dataset.open(folder)
        identity: dict[str, Any] = {"kind": whole.kind, "task": whole.task, "labels": whole.labels}
        parents, info = {"dataset": whole.digest}, whole.manifest.info
        with publish(
            out, Identity(verb="cut", parents=parents, config={"rows": num_rows}, info=info, **identity)
        ) as staging:
            for name in whole.splits:
                rows = whole.split(name)
                kept = rows.sample(min(num_rows, rows.height), seed=1) if name == "train" else rows
                kept.write_parquet(staging / f"{name}.parquet")
    return folder if num_rows is None else out


def measure(
    *, dataset: str, model: str, rows: int | None, epochs: int | None, recipe: str, seed: int
) -> dict[str, Any]:
    """Train and evaluate once; a method that does not suit the model is a row that says so."""
    folder = cut(dataset, rows)
    bundle, report = OUT / "model", OUT / "report"
    for old in (bundle, report):  # the work folder of a training that was cut off stays
        shutil.rmtree(old, ignore_errors=True)
    values = RECIPES[recipe] | ({} if epochs is None else {"num_epochs": epochs})
    started = time.perf_counter()
    try:
        yanmo.train(folder, model=model, seed=seed, fork=True, out=bundle, **values)
    except ConfigError as error:
        return {"said": error.message}
    seconds = time.perf_counter() - started
    metrics = yanmo.evaluate(bundle, folder, measure_speed=False, out=report).metrics
    return {"accuracy": metrics["accuracy"], "macro_f1": metrics["macro_f1"], "train_seconds": round(seconds, 1)}


def table() -> str:
    """Return the page of all that has been measured, a table for each data set and model."""
    settings: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in measured():
        settings.setdefault(tuple(row[name] for name in ("dataset", "model", "rows", "epochs")), []).append(row)
    sections = "\n".join(section(*setting, rows) for setting, rows in settings.items())
    return (
        f"# What each method of `train` does\n\n{machine_lines()}\n- yanmo {yanmo.__version__}, "
        f"{time.strftime('%Y-%m-%d')}\n\n`python benchmarks/recipes.py`: means over seeds on the test split; "
        f"the difference to the default settings with its range over seeds.\n\n{sections}"
    )


def section(dataset: str, model: str, num_rows: int | None, num_epochs: int | None, rows: list[dict[str, Any]]) -> str:
    """Return the table of one data set and model."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["recipe"], {})[row["seed"]] = row
    lines = [line(name, found[name], found.get(DEFAULT, {})) for name in RECIPES if name in found]
    asked = [f"{num_rows:,} rows to train on"] if num_rows else []
    asked += [f"{num_epochs} epochs"] if num_epochs else []
    seeds = sorted({row["seed"] for row in rows})
    title = ", ".join([f"`{Path(model).name}` on {dataset}", *asked, f"seeds {', '.join(map(str, seeds))}"])
    head = "| method | accuracy | against the default, points | macro-F1 | seconds |\n|---|---|---|---|---|\n"
    return f"## {title}\n\n{head}" + "\n".join(lines) + "\n"


def line(name: str, rows: dict[int, dict[str, Any]], default: dict[int, dict[str, Any]]) -> str:
    scores = {seed: row["accuracy"] for seed, row in rows.items() if "accuracy" in row}
    if not scores:
        return f"| {name} | does not suit the model | – | – | – |"
    gains = [100 * (score - default[seed]["accuracy"]) for seed, score in scores.items() if seed in default]
    gain = f"{statistics.mean(gains):+.2f} [{min(gains):+.2f} … {max(gains):+.2f}]" if gains else "–"
    seconds = statistics.median(rows[seed]["train_seconds"] for seed in scores)
    accuracy, macro_f1 = (
        f"{statistics.mean(rows[seed][key] for seed in scores):.2%}" for key in ("accuracy", "macro_f1")
    )
    return f"| {name} | {accuracy} | {'–' if name == DEFAULT else gain} | {macro_f1} | {seconds:,.0f} |"


if __name__ == "__main__":
    sys.exit(main())
