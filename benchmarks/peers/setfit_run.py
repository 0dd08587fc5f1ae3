"""SetFit on rows of two CSV files, in an environment of its own; it prints one line of JSON.

    python -m venv ENVIRONMENT && ENVIRONMENT/bin/pip install torch setfit
    ENVIRONMENT/bin/python benchmarks/peers/setfit_run.py CHECKPOINT TRAIN.csv TEST.csv SEED ITERATIONS

ITERATIONS are the pairs of each kind that SetFit draws for a text; its paper has 20.
"""

import csv
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import setfit
import torch
from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments


def main() -> int:
    """Train on one file, answer the other, and print what that gave and took."""
    checkpoint, train, test, seed, iterations = sys.argv[1:]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    rows, asked = read(train), read(test)
    model = SetFitModel.from_pretrained(checkpoint, labels=sorted(set(rows["label"])))
    arguments = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        batch_size=16,
        num_epochs=1,
        num_iterations=int(iterations),
        seed=int(seed),
        save_strategy="no",
        report_to="none",
        show_progress_bar=False,
    )
    started, used = time.perf_counter(), cpu_seconds()
    Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(rows)).train()
    seconds, used = time.perf_counter() - started, cpu_seconds() - used
    found = model.predict(asked["text"])
    right = sum(str(one) == label for one, label in zip(found, asked["label"], strict=True))
    facts = {"accuracy": right / len(asked["label"]), "seconds": round(seconds), "cpu_seconds": round(used)}
    print(json.dumps({**facts, "setfit": setfit.__version__, "iterations": int(iterations), "seed": int(seed)}))
    return 0


def read(path: str) -> dict[str, list[str]]:
    """Return the columns of a CSV file with texts and labels."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in ("text", "label")}


def cpu_seconds() -> float:
    """Return the processor's time of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    sys.exit(main())
