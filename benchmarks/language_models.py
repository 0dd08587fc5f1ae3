"""Language models of characters on tinyshakespeare: counted, learned in ten minutes on two cores, and both together.

    python benchmarks/language_models.py ngrams              # seconds to count, nats a character, characters a second
    python benchmarks/language_models.py network             # gpt-4x192 in ten minutes of two quiet cores; --minutes 10
    python benchmarks/language_models.py mixture             # the network with the n-grams, weights found on valid
    python benchmarks/language_models.py --write             # the dated page of what was measured

Valid is cut from the first nine tenths of the text; the last tenth is scored once, whole, as one document. The seconds
of ``ngrams`` are those of the processor, which others change little. Rows go to ``runs/language/results.jsonl``.
"""

import argparse
import json
import math
import os
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from heading import machine_lines
from pages import page_path

import yanmo

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
OUT = ROOT / "runs" / "language"
RESULTS = OUT / "results.jsonl"
SHAPE, LENGTH, BATCH = "gpt-4x192", 128, 16
ORDERS = (5, 6, 7, 8)
TRIED_STEPS = 8
REACHED = 0.9
"""Share of the minutes that steps are planned for; the rest is evaluations and the start."""
KEYS = ("model", "nats a character", "bits a character", "seconds", "characters a second", "note")
PUBLISHED = """\
| published or asked | nats a character |
|---|---|
| nanoGPT, 4 layers of 128, 2,000 steps on a processor | 1.88 |
| nanoGPT, 6 layers of 384, a GPU, best validation loss | 1.4697 |
| asked of the n-grams, and of the network | 1.517 |
| asked of both together | 1.44 |
"""


def main() -> int:
    """Measure what the argument names, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", choices=("ngrams", "network", "mixture"), default="ngrams")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        page_path("language_models").write_text(page(), encoding="utf-8")
        return 0
    OUT.mkdir(parents=True, exist_ok=True)
    for row in {"ngrams": ngrams, "network": network, "mixture": mixture}[arguments.what](arguments.minutes):
        print(json.dumps(row))
        with RESULTS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    return 0


def prepared() -> Path:
    """Return the Dataset: three documents, one a split."""
    folder = OUT / "data"
    if not folder.exists():
        text = (DATA / "tinyshakespeare" / "input.txt").read_text(encoding="utf-8")
        learned = len(text) * 9 // 10
        ends = {"train": learned * 19 // 20, "valid": learned, "test": len(text)}
        begin, paths = 0, {}
        for split, end in ends.items():
            paths[split] = OUT / f"{split}.txt"
            paths[split].write_text(text[begin:end], encoding="utf-8")
            begin = end
        given = {split: paths[split] for split in ("valid", "test")}
        yanmo.prepare(paths["train"], out=folder, task="causal_lm", documents="files", **given)
    return folder


def texts_of(*splits: str) -> list[str]:
    """Return the documents of splits, joined: the cut between train and valid is none of the text's."""
    dataset = yanmo.Dataset.open(prepared())
    return ["".join(dataset.split(split)["text"][0] for split in splits)]


def ngrams(_minutes: float) -> list[dict[str, Any]]:
    """Count n-grams of several orders in the first nine tenths, and score the last one."""
    from yanmo.text.ngram_language_model import fit_ngram_language_model

    rows = []
    for order in ORDERS:
        start = time.process_time()
        model = fit_ngram_language_model(texts_of("train", "valid"), order=order, vocab_size=1000)
        counted = time.process_time()
        evidence, _ = model.score(texts_of("test"))
        scored = time.process_time()
        nats = -float(evidence.values_M.mean(dtype="float64"))
        rows.append(row_of(f"kneser-ney, {order}", nats, counted - start, len(evidence.values_M) / (scored - counted)))
    return rows


def network(minutes: float) -> list[dict[str, Any]]:
    """Train a network for so many minutes of this machine, and score the last tenth."""
    epochs = planned_epochs(minutes)
    out = OUT / "network"
    shutil.rmtree(out, ignore_errors=True)
    keys = {"tokenization": "characters", "max_length": LENGTH, "batch_size": BATCH, "learning_rate": 0.003}
    start = time.perf_counter()
    yanmo.train(prepared(), out=out, model=SHAPE, num_epochs=epochs, schedule="linear", **keys)
    seconds = time.perf_counter() - start
    return [measured(out, f"{SHAPE}, {epochs} epochs", seconds)]


def planned_epochs(minutes: float) -> int:
    """Return how many epochs fit, by the time of some steps as the training takes them."""
    import torch

    from yanmo.modeling.arithmetic.precision import autocast, has_bf16
    from yanmo.modeling.language.decoders import build_decoder, score_rows
    from yanmo.modeling.optimizing.optimizer import make_optimizer
    from yanmo.models import resolve

    module = build_decoder(resolve(SHAPE), vocab_size=322, end_id=0, max_length=LENGTH, dropout=0.0)
    optimizer = make_optimizer(module, learning_rate=1e-3, weight_decay=0.01, kind="muon")
    ids = torch.randint(0, 322, (BATCH, LENGTH))
    times = []
    for _ in range(TRIED_STEPS):
        start = time.perf_counter()
        with autocast("cpu", "bf16" if has_bf16("cpu") else "fp32"):
            losses = score_rows(module, {"input_ids": ids, "next_ids": ids})[:, 0].mean()
        losses.backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    seconds = statistics.median(times)
    steps_an_epoch = math.ceil(len(texts_of("train")[0]) / LENGTH / BATCH)
    return max(1, int(REACHED * 60 * minutes / seconds / steps_an_epoch))


def mixture(_minutes: float) -> list[dict[str, Any]]:
    """Mix the network with n-grams of its training text."""
    data = prepared()
    for name in ("counted", "mixed"):
        shutil.rmtree(OUT / name, ignore_errors=True)
    yanmo.train(data, out=OUT / "counted", model="kneser-ney", vocab_size=8000)
    start = time.perf_counter()
    bundle = yanmo.ensemble(data, [OUT / "network", OUT / "counted"], out=OUT / "mixed", method="weighted")
    seconds = time.perf_counter() - start
    weights = json.loads((bundle.path / "ensemble.json").read_text(encoding="utf-8"))["weights"]
    return [measured(OUT / "mixed", f"{SHAPE} and kneser-ney, weights {weights}", seconds), recounted(weights)]


def recounted(weights: list[float]) -> dict[str, Any]:
    """Return the row of the same mixture once the n-grams have been counted in valid, too, whose part is done."""
    from yanmo.text.ngram_language_model import fit_ngram_language_model

    start = time.perf_counter()
    counted, _ = fit_ngram_language_model(texts_of("train", "valid"), vocab_size=8000).score(texts_of("test"))
    with yanmo.load(OUT / "network") as predictor:
        learned = predictor.infer(texts_of("test"))[0]
    parts = [one.parts()[0].astype("float64") for one in (learned, counted)]
    mixed_M = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    nats = -float(np.log(mixed_M).mean())
    return row_of(
        f"the same, n-grams counted in valid, too, weights {weights}", nats, time.perf_counter() - start, None
    )


def measured(bundle: Path, name: str, seconds: float) -> dict[str, Any]:
    """Return the row of a Bundle."""
    metrics = yanmo.evaluate(bundle, prepared(), measure_speed=False).metrics
    nats = metrics["bits_per_character"] * math.log(2)
    reading = ", ".join(f"{key} {value}" for key, value in metrics["reading"].items() if key != "start_token")
    return row_of(name, nats, seconds, None, reading)


def row_of(name: str, nats: float, seconds: float, speed: float | None, note: str = "") -> dict[str, Any]:
    """Return a line of the page."""
    values = (
        name,
        round(nats, 4),
        round(nats / math.log(2), 4),
        round(seconds, 2),
        None if speed is None else round(speed),
        note,
    )
    return dict(zip(KEYS, values, strict=True))


def page() -> str:
    """Return the page of the last row of each model."""
    rows = [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]
    # Epochs and weights differ from run to run; orders are models of their own.
    last = {row["model"] if row["note"] == "" else row["model"].partition(",")[0]: row for row in rows}
    lines = ["| " + " | ".join(KEYS) + " |", "|" + "---|" * len(KEYS)]
    lines += [
        "| "
        + " | ".join("" if row[key] is None else str(row[key]).partition(", start_token")[0] for key in KEYS)
        + " |"
        for row in last.values()
    ]
    return (
        "# Language models of characters, tinyshakespeare\n\n"
        f"{machine_lines()}\n\n`python benchmarks/language_models.py ngrams`, then `network`, then `mixture`. The last "
        "tenth of the text, 111,540 characters, is scored once, whole. The n-grams alone are counted in the first nine "
        "tenths; the network, and the n-grams that it is mixed with, learn from the first 95 % of these. Valid is what "
        "the last tenth goes on from, so without it n-grams of order 7 take 1.677 nats there.\n\nHow many epochs of "
        "the network fit into the minutes is planned by the time of its steps: other processes make them fewer.\n\n"
        + "\n".join(lines)
        + f"\n\n{PUBLISHED}"
    )


if __name__ == "__main__":
    raise SystemExit(main())
