"""Accuracy of the default settings on the public data sets: every row is prepare → train → evaluate, nothing tuned.

    python benchmarks/accuracy.py                              # all rows, about an hour on 2 cores
    python benchmarks/accuracy.py thucnews_titles textcnn      # one row

Rows go to ``runs/accuracy/results.jsonl`` as they are measured; ``--write FILE`` makes the dated table of them.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path

from heading import machine_lines

import yanmo

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "accuracy"
RESULTS = OUT / "results.jsonl"
MODELS = ("linear", "ngram", "textcnn", "bilstm")

HEADERLESS = {"text": "1", "label": "2", "header": False}
DATASETS = {
    "thucnews_titles": {
        "source": "train.txt",
        "valid": "dev.txt",
        "test": "test.txt",
        "text": "1",
        "label": "2",
        "header": False,
    },
    "sst2": {"source": "train.tsv", "valid": "dev.tsv", "test": "test.tsv", "text": "1", "label": "2", "header": False},
    "banking77": {"source": "train.csv", "test": "test.csv", "text": "text", "label": "category"},
    "waimai_10k": {"source": "waimai_10k.csv", "text": "review", "label": "label"},
}
FILES = ("source", "valid", "test")


def main() -> int:
    """Measure the rows that the arguments name, or write the table."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--write"]:
        Path(arguments[1]).write_text(table(), encoding="utf-8")
        return 0
    pairs = [(arguments[0], arguments[1])] if arguments else default_pairs()
    OUT.mkdir(parents=True, exist_ok=True)
    for dataset, model in pairs:
        row = measure(dataset, model)
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)
    return 0


def default_pairs() -> list[tuple[str, str]]:
    """Return every row of the table."""
    pairs = [(dataset, model) for dataset in DATASETS for model in MODELS]
    return [*pairs, ("thucnews_titles", "bert-4x312")]


def prepared(name: str) -> Path:
    """Return the Dataset folder, made on first use."""
    folder = OUT / name / "data"
    if not folder.exists():
        values = {key: DATA / name / value if key in FILES else value for key, value in DATASETS[name].items()}
        yanmo.prepare(values.pop("source"), out=folder, **values)
    return folder


def measure(dataset: str, model: str) -> dict:
    """Train one model with default settings and measure it on the test split."""
    folder = prepared(dataset)
    bundle, report = OUT / dataset / model, OUT / dataset / f"{model}-report"
    for old in (bundle, report):
        shutil.rmtree(old, ignore_errors=True)
    started = time.perf_counter()
    yanmo.train(folder, model=model, out=bundle)
    seconds = time.perf_counter() - started
    metrics = yanmo.evaluate(bundle, folder, out=report).metrics
    return {"dataset": dataset, "model": model, "train_seconds": round(seconds), "accuracy": metrics["accuracy"]}


def table() -> str:
    """Return the measured rows as a Markdown page."""
    rows = {}
    for line in RESULTS.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rows[row["dataset"], row["model"]] = row
    machine = machine_lines()
    body = "\n".join(_line(row) for row in sorted(rows.values(), key=lambda row: list(DATASETS).index(row["dataset"])))
    return (
        "# Accuracy of the default settings\n\n"
        f"{machine}\n- yanmo {yanmo.__version__}\n\n"
        "Each row from one command: `python benchmarks/accuracy.py DATASET MODEL` (prepare, train, evaluate; no\n"
        "option is tuned to a data set). Intervals are 95 %. `YANMO_DATA` names the folder of the data sets.\n\n"
        "| data set | model | test accuracy | 95 % interval | macro-F1 | test rows | training | size | one text "
        "| batches |\n"
        f"|---|---|---|---|---|---|---|---|---|---|\n{body}\n"
    )


def _line(row: dict) -> str:
    metrics = yanmo.Report.open(OUT / row["dataset"] / f"{row['model']}-report").metrics
    low, high = metrics["accuracy_interval"]
    return (
        f"| {row['dataset']} | `{row['model']}` | {metrics['accuracy']:.2%} | {low:.2%} – {high:.2%} "
        f"| {metrics['macro_f1']:.4f} | {metrics['num_rows']:,} | {row['train_seconds']} s "
        f"| {metrics['size_mb']:.1f} MB | {metrics['latency_ms']['p50']:.2f} ms "
        f"| {metrics['throughput_texts_per_second']:,.0f} texts/s |"
    )


if __name__ == "__main__":
    sys.exit(main())
