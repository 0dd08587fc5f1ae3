"""From a real checkpoint to a service: what 8 bits, a student and a search cost and give, held against promises.

    python benchmarks/checkpoint_service.py                        # all parts, about an hour on 2 cores
    python benchmarks/checkpoint_service.py --only int8,students   # some of int8, students, grind
    python benchmarks/checkpoint_service.py --write FILE           # also the dated table of what was measured so far

The model is what ``python benchmarks/checkpoints.py banking77 default`` makes of all-MiniLM-L6-v2; it is trained on
first use. Accuracy is that of all test rows, differences are paired over them, intervals are 95 %. Speeds are medians
of five turns on all test texts, equal threads, each in a process of its own that stands still while others are
measured. onnxruntime's recipe is ``torch.onnx.export`` and ``quantize_dynamic`` of the stock class with the same
encoder. Rows go to ``runs/checkpoints/service.json``.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from checkpoints import OUT, checkpoint, measure, prepared
from heading import machine_lines
from peers.models import shuffled, write_texts
from peers.process import Peer

import yanmo

SET = "banking77"
TEACHER = OUT / SET / "default"
FOLDER = OUT / SET / "service"
RESULTS = OUT / "service.json"
ROUNDS, NUM_THREADS = 5, 2
STUDENTS = ("ngram", "textcnn")
BUDGET = {"max_latency_ms": 5.0, "max_size_mb": 15.0, "max_drop": 0.01}


class Row(NamedTuple):
    """A promise and what was found of it."""

    what: str
    asked: str
    found: str


def main() -> int:
    """Measure what the arguments name."""
    options = parse()
    data = yanmo.Dataset.open(prepared(SET))
    if not TEACHER.exists():
        measure(SET, "default")
    FOLDER.mkdir(exist_ok=True)
    for part in options.only:
        started = time.monotonic()
        rows = PARTS[part](data)
        print(f"{part}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
        results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
        RESULTS.write_text(json.dumps({**results, part: rows}, indent=1), encoding="utf-8")
        for row in rows:
            print(" | ".join(row), flush=True)
    if options.write:
        options.write.write_text(table(), encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help="parts, by commas")
    parser.add_argument("--write", type=Path, help="write the table of all that was measured")
    options = parser.parse_args()
    if unknown := [part for part in options.only if part not in PARTS]:
        parser.error(f"there is no part '{unknown[0]}'; the parts are {', '.join(PARTS)}")
    return options


def int8(data: yanmo.Dataset) -> list[Row]:
    """Put the model into 8 bits, and hold it against fp32 and against onnxruntime's own recipe."""
    exported, quantized = FOLDER / "bundle-onnx", FOLDER / "bundle-int8"
    if not exported.exists():
        yanmo.export(TEACHER, out=exported)
    if not quantized.exists():
        yanmo.quantize(exported, data, out=quantized)
    _stock_classifier(data)
    speeds = _speeds(
        data, {"fp32": "ours/bundle-onnx", "int8": "ours/bundle-int8", "recipe": "onnxruntime_recipe/int8"}
    )
    of_recipe = _ratio(speeds, "int8", "recipe")
    alone = {name: statistics.median(found["alone"]) for name, found in speeds.items()}
    return [
        Row("int8, accuracy lost", "at most 0.3 points", _lost(quantized, TEACHER, data)),
        Row("int8, texts/s against onnxruntime's recipe", "at least 1.4 x", f"{of_recipe}, {_rates(speeds)}"),
        Row("int8, one title alone, p50", "at most 2.5 ms", ", ".join(f"{k} {v:.2f} ms" for k, v in alone.items())),
    ]


def students(data: yanmo.Dataset) -> list[Row]:
    """Teach light models, and hold them against the checkpoint in fp32."""
    exported, rows = FOLDER / "bundle-onnx", []
    if not exported.exists():
        yanmo.export(TEACHER, out=exported)
    for student in STUDENTS:
        out = FOLDER / student
        if not out.exists():
            yanmo.distill(TEACHER, data, model=student, out=out)
        speeds = _speeds(data, {"checkpoint, fp32": "ours/bundle-onnx", student: f"ours/{student}"})
        metrics = _evaluated(out, TEACHER, data)
        low, high = metrics["accuracy_interval"]
        size = yanmo.Bundle.open(out).size_bytes / 1e6
        found = f"{metrics['accuracy']:.2%} [{low:.2%}, {high:.2%}], {size:.1f} MB, "
        found += f"{_ratio(speeds, student, 'checkpoint, fp32')}, {_rates(speeds)}"
        rows.append(Row(f"`{student}` distilled from it", "at least 92 % and 50 x its texts/s", found))
    return rows


def grind(data: yanmo.Dataset) -> list[Row]:
    """Search for the best model within a budget."""
    out = FOLDER / "ground"
    if not out.exists():
        yanmo.grind(TEACHER, data, hours=0.4, out=out, **BUDGET)
    metrics = _evaluated(out, TEACHER, data)
    low, high = metrics["accuracy_interval"]
    bundle = yanmo.Bundle.open(out)
    latency = yanmo.evaluate(out, data).metrics["latency_ms"]["p50"]
    found = f"{bundle.manifest.info.get('model', bundle.format)}: {metrics['accuracy']:.2%} [{low:.2%}, {high:.2%}], "
    found += f"{bundle.size_bytes / 1e6:.1f} MB, {latency:.2f} ms; lost: {_lost(out, TEACHER, data)}"
    return [Row("`grind` from it", "at most 5 ms, 15 MB, 1 point lost", found)]


PARTS: dict[str, Callable[[yanmo.Dataset], list[Row]]] = {"int8": int8, "students": students, "grind": grind}


def _stock_classifier(data: yanmo.Dataset) -> None:
    """Write the stock class with the same encoder, a new head and the labels, where the recipe looks for it."""
    from transformers import AutoModelForSequenceClassification

    plain = FOLDER / "bundle"
    if plain.exists():
        return
    names = dict(enumerate(data.labels))
    model = AutoModelForSequenceClassification.from_pretrained(checkpoint(), num_labels=len(names), id2label=names)
    model.save_pretrained(plain)
    shutil.copy(TEACHER / "tokenizer.json", plain)


def _evaluated(bundle: Path, against: Path, data: yanmo.Dataset) -> dict[str, Any]:
    metrics: dict[str, Any] = yanmo.evaluate(bundle, data, against=against, measure_speed=False).metrics
    return metrics


def _lost(bundle: Path, against: Path, data: yanmo.Dataset) -> str:
    found = _evaluated(bundle, against, data)["against"]
    low, high = found["accuracy_difference_interval"]
    return f"{-100 * found['accuracy_difference']:+.2f} points [{-100 * high:+.2f}, {-100 * low:+.2f}]"


def _speeds(data: yanmo.Dataset, engines: dict[str, str]) -> dict[str, dict[str, list[float]]]:
    """Return the milliseconds of a text alone and the texts a second of each engine, a value a round."""
    texts: list[str] = data.split("test").get_column("text").cast(pl.String).to_list()
    write_texts(FOLDER / "test.txt", texts)
    order = shuffled(texts)
    peers = {name: Peer(*_module_variant(engine), FOLDER, NUM_THREADS) for name, engine in engines.items()}
    found: dict[str, dict[str, list[float]]] = {name: {"alone": [], "all": []} for name in engines}
    try:
        for _ in range(ROUNDS):
            for name, peer in peers.items():
                if peer.state:
                    raise SystemExit(f"{name}: {peer.state}")
                found[name]["alone"].append(statistics.median(peer.ask(alone=order[:400], seconds=1.5)["ms"]))
                found[name]["all"].append(len(texts) / peer.ask(all=texts)["seconds"])
    finally:
        for peer in peers.values():
            peer.close()
    return found


def _module_variant(engine: str) -> tuple[str, str]:
    module, _, variant = engine.partition("/")
    return module, variant


def _ratio(speeds: dict[str, dict[str, list[float]]], mine: str, other: str) -> str:
    ratios = [one / two for one, two in zip(speeds[mine]["all"], speeds[other]["all"], strict=True)]
    return f"{statistics.median(ratios):.2f} x [{min(ratios):.2f}, {max(ratios):.2f}]"


def _rates(speeds: dict[str, dict[str, list[float]]]) -> str:
    return "; ".join(f"{name} {statistics.median(found['all']):,.0f}/s" for name, found in speeds.items())


def table() -> str:
    """Return the measured rows as a Markdown page."""
    results = json.loads(RESULTS.read_text("utf-8"))
    body = "\n".join(f"| {' | '.join(row)} |" for part in PARTS for row in results.get(part, []))
    return (
        "# From a checkpoint to a service: all-MiniLM-L6-v2 on banking77\n\n"
        f"{machine_lines()}\n- threads: {NUM_THREADS}\n- yanmo {yanmo.__version__}\n\n"
        "`python benchmarks/checkpoint_service.py`; accuracy of all 3,080 test rows, differences paired, 95 %.\n"
        "Speeds are medians of five turns.\n\n"
        f"| what | asked | found |\n|---|---|---|\n{body}\n"
    )


if __name__ == "__main__":
    sys.exit(main())
