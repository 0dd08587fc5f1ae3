"""Yanmo beside the engines people would pick instead: same model, same texts, equal threads, in turns.

    python benchmarks/engines.py                                # everything, under 20 minutes on 2 cores
    python benchmarks/engines.py --only small                   # one section: base, small, mixed, ngram, memory
    python benchmarks/engines.py --only small/OpenVINO          # engines of a section by the start of their name
    python benchmarks/engines.py --write                        # also write benchmarks/engines_HARDWARE_YYYYMM.md
    python benchmarks/engines.py --table                        # write what was measured so far, measure nothing

Measurements are kept in ``runs/engines``; the page is made of all of them. An engine that is not
installed (``pip install 'yanmo[bench]'``) or dies is a row that says so. infinity-emb 0.0.78 is left out: it needs
numpy below 2 and transformers of at most 5.0.
"""

import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

from pages import page_path
from peers import table
from peers.models import read_texts, shuffled
from peers.process import Peer, environment

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "runs" / "engines"
RESULTS = OUT / "results.json"
TITLES = ROOT / "runs" / "accuracy" / "thucnews_titles"
SHAPES = {"base": "bert-12x768", "small": "bert-4x312"}
TRAINED = "-trained"
OURS = ("yanmo int8", "yanmo fp32")
"""What the others are held against: the first of these that runs."""
ENGINES = {
    "yanmo int8": ("ours", "bundle-int8"),
    "yanmo int8, runtime openvino": ("ours", "bundle-int8+openvino"),
    "yanmo fp32": ("ours", "bundle-onnx"),
    "article-style service, Flask and torch": ("services", "article_service"),
    "transformers pipeline, fp32, batch 32": ("pipeline", "fp32"),
    "torch fp32, equal lengths": ("torch_eager", "fp32"),
    "torch bf16, equal lengths": ("torch_eager", "bf16"),
    "onnxruntime fp32, plain export": ("onnxruntime_recipe", "fp32"),
    "onnxruntime int8, quantize_dynamic": ("onnxruntime_recipe", "int8"),
    "OpenVINO f32": ("openvino", "f32"),
    "OpenVINO bf16": ("openvino", "bf16"),
    "OpenVINO int8, NNCF": ("openvino", "int8"),
    "CTranslate2 int8": ("ctranslate2", "int8"),
    "LitServe and torch, 32 connections": ("services", "litserve_service"),
}
MIXED = {
    "yanmo int8": ("ours", "bundle-int8"),
    "yanmo fp32": ("ours", "bundle-onnx"),
    "yanmo int8, asked 32 at a time": ("ours", "bundle-int8@32"),
    "the same int8 graph and engine, 32 as they come": ("ours", "bundle-int8@arrival"),
    "yanmo fp32, asked 32 at a time": ("ours", "bundle-onnx@32"),
    "onnxruntime fp32, sorted": ("onnxruntime_recipe", "fp32"),
    "onnxruntime fp32, as they come": ("onnxruntime_recipe", "fp32-arrival"),
}
SECTIONS = ("base", "small", "mixed", "ngram", "memory")


def main() -> int:
    """Measure what the arguments name, and write the page."""
    options = parse(sys.argv[1:])
    OUT.mkdir(parents=True, exist_ok=True)
    if options.table:
        write(options.table)
        return 0
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.threads])
    prepare_texts(options.dataset)
    for name in SECTIONS:
        if options.only and not any(one.partition("/")[0] == name for one in options.only):
            continue
        measure: dict[str, Callable[[argparse.Namespace, str], None]] = {
            "mixed": measure_mixed,
            "ngram": measure_ngram,
            "memory": measure_memory,
        }
        started = time.monotonic()
        measure.get(name, measure_shape)(options, name)
        print(f"{name}: {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    if options.write:
        write(options.write)
    else:
        print(rendered())
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=lambda text: text.split(","), help="sections, or section/engine, by commas")
    parser.add_argument("--threads", type=int, default=2, help="of every engine, and cores to run on")
    parser.add_argument("--rounds", type=int, default=3, help="how often each engine has its turn")
    parser.add_argument("--seconds", type=float, default=4.0, help="about how long a turn on the test set takes")
    parser.add_argument("--dataset", type=Path, default=TITLES / "data", help="a Dataset of titles")
    parser.add_argument(
        "--small", type=Path, default=TITLES / "bert-4x312", help="a trained bert-4x312, if there is one"
    )
    name = page_path("engines")
    parser.add_argument("--write", type=Path, nargs="?", const=name, help=f"write the page, by default {name.name}")
    parser.add_argument("--table", type=Path, nargs="?", const=name, help="write the page and measure nothing")
    options = parser.parse_args(arguments)
    for one in options.only or ():
        if one.partition("/")[0] not in SECTIONS:
            parser.error(f"there is no section '{one}'; the sections are {', '.join(SECTIONS)}")
    return options


def prepare_texts(dataset: Path) -> None:
    """Write the test set and the mixed set one text a line, in a process that may load what it wants."""
    run_python("peers.texts", str(dataset), str(OUT))


def run_python(module: str, *arguments: str, num_threads: int = 2) -> None:
    subprocess.run([sys.executable, "-m", module, *arguments], env=environment(num_threads), check=True)


def measure_shape(options: argparse.Namespace, name: str) -> None:
    """Let all engines take turns on one model."""
    folder = shape_folder(options, name)
    take_turns(options, name, folder, ENGINES, read_texts(OUT / "test.txt"), judges=folder.name.endswith(TRAINED))


def shape_folder(options: argparse.Namespace, name: str) -> Path:
    """Return the folder of a model in all its forms, made on first use."""
    is_trained = name == "small" and options.small.is_dir()
    folder = OUT / f"{name}{TRAINED if is_trained else ''}"
    run_python("peers.models", str(options.small if is_trained else SHAPES[name]), str(options.dataset), str(folder))
    return folder


def measure_mixed(options: argparse.Namespace, name: str) -> None:
    """Measure what batching is worth where lengths differ much."""
    if not (OUT / "mixed.txt").exists():
        print("mixed: YANMO_DATA has no waimai_10k", file=sys.stderr)
        return
    texts = read_texts(OUT / "mixed.txt")
    take_turns(options, name, shape_folder(options, "small"), MIXED, texts, kinds=("all",))


def measure_ngram(options: argparse.Namespace, name: str) -> None:
    """Measure the ngram Bundle in one process."""
    run_python("peers.models", "ngram", str(options.dataset), str(OUT))
    take_turns(
        options, name, OUT, {"yanmo ngram": ("ours", "ngram")}, read_texts(OUT / "test.txt"), kinds=("alone", "all")
    )


def take_turns(
    options: argparse.Namespace,
    name: str,
    folder: Path,
    engines: dict[str, tuple[str, str]],
    texts: list[str],
    *,
    kinds: tuple[str, ...] = ("alone", "batch", "all"),
    judges: bool = False,
) -> None:
    """Measure the engines of a section in rounds, and store their rows."""
    load, order = os.getloadavg(), shuffled(texts)[:2000]
    rows: dict[str, dict] = {}
    running: dict[str, Peer] = {}
    with ExitStack() as stack:
        for engine, (module, variant) in chosen(options, name, engines):
            if module == "ours" and not (folder / re.split("[@+]", variant)[0]).exists():
                rows[engine] = {"state": "not made: this version has no `quantize`"}
                continue
            running[engine] = Peer(module, variant, folder, options.threads)
            stack.callback(running[engine].close)
            print(f"{name}: {engine}: {running[engine].state or 'ready'}", file=sys.stderr, flush=True)
            rows[engine] = {}
        for _ in range(options.rounds):
            for engine, peer in running.items():
                take_turn(peer, rows[engine], texts, order, kinds, seconds=options.seconds)
    labels = {engine: row.pop("labels", None) for engine, row in rows.items()}
    for engine, peer in running.items():
        if peer.state:
            rows[engine] = {"state": peer.state}
    compare(rows, kinds, labels if judges else {})
    store(name, {"threads": options.threads, "load": load, "rows": rows})


def chosen(
    options: argparse.Namespace, name: str, engines: dict[str, tuple[str, str]]
) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the engines that ``--only`` names, and always ours."""
    wanted = [one.partition("/")[2] for one in options.only or () if one.partition("/")[0] == name]
    for engine, what in engines.items():
        if not wanted or engine in OURS or any(engine.lower().startswith(one.lower()) for one in wanted):
            yield engine, what


def take_turn(
    peer: Peer, row: dict, texts: list[str], order: list[str], kinds: tuple[str, ...], *, seconds: float
) -> None:
    """Ask one engine: texts alone, 32 at a time, and as many of all texts as take about so many seconds."""
    if "alone" in kinds and (found := peer.ask(alone=order[:200], seconds=1.0)):
        row.setdefault("alone", []).append(statistics.median(found["ms"]))
    found = peer.ask(batches=order, seconds=1.5)
    if not found:
        return
    rate = statistics.median(found["rates"])
    if "batch" in kinds:
        row.setdefault("batch", []).append(rate)
    number = row.setdefault("num_texts", max(32, min(len(texts), round(rate * seconds))))
    sample = [texts[place * len(texts) // number] for place in range(number)]
    if found := peer.ask(all=sample):
        row.setdefault("all", []).append(number / found["seconds"])
        row["labels"] = dict(zip(sample, found["labels"], strict=True))


def compare(rows: dict[str, dict], kinds: tuple[str, ...], labels: dict[str, dict | None]) -> None:
    """Add the ratios to ours in each round, and the share of texts with the same label as the fp32 Bundle gives."""
    ours = next((rows[name] for name in (*OURS, *rows) if rows.get(name, {}).get("all")), None)
    truth = labels.get("yanmo fp32") or {}
    for engine, row in rows.items():
        if ours is None or "state" in row or row is ours:
            continue
        for kind in kinds:
            pairs = zip(ours.get(kind, ()), row.get(kind, ()), strict=False)
            row[f"{kind}_ratio"] = [theirs / mine if kind == "alone" else mine / theirs for mine, theirs in pairs]
        given = labels.get(engine) or {}
        shared = [text for text in given if text in truth]
        if shared:
            row["agrees"] = sum(given[text] == truth[text] for text in shared) / len(shared)


def measure_memory(options: argparse.Namespace, name: str) -> None:
    """Measure the most memory of `yanmo predict` on 100,000, 1,000,000 and 3,000,000 texts."""
    run_python("peers.models", "ngram", str(options.dataset), str(OUT))
    texts = read_texts(OUT / "test.txt")
    rows = {}
    for number in (100_000, 1_000_000, 3_000_000):
        source, out = OUT / f"texts-{number}.csv", OUT / f"predictions-{number}"
        with source.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text"])
            writer.writerows([f"{texts[place % len(texts)]} {place}"] for place in range(number))
        subprocess.run(["rm", "-rf", str(out)], check=True)
        command = [sys.executable, "-m", "yanmo", "predict", str(OUT / "ngram"), str(source), "--text", "text"]
        started = time.monotonic()
        process = subprocess.Popen(
            [*command, "--out", str(out)], env=environment(options.threads), stdout=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(process.pid, 0)
        if status:
            raise SystemExit(f"yanmo predict ended with status {status}")
        seconds = time.monotonic() - started
        rows[str(number)] = {"num_texts": number, "peak_mb": usage.ru_maxrss * 1024 / 1e6, "seconds": seconds}
        source.unlink()
    store(name, {"rows": rows})


def store(name: str, section: dict) -> None:
    """Keep a section; engines that were not measured this time keep their rows."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    old = results.get(name, {}).get("rows", {})
    rows = {**old, **section["rows"]}
    order = {"mixed": MIXED, "base": ENGINES, "small": ENGINES}.get(name, rows)
    results[name] = {**section, "rows": {engine: rows[engine] for engine in order if engine in rows}}
    RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")


def rendered() -> str:
    """Return the page of all measurements."""
    sys.path.insert(0, str(ROOT / "src"))
    from importlib import metadata

    from yanmo.artifacts.identity import library_versions
    from yanmo.machine import describe_machine

    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    versions = dict(library_versions())
    for package in ("openvino", "nncf", "ctranslate2", "flask", "litserve"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return table.page(
        results, describe_machine(), versions, "python benchmarks/engines.py --write", date.today().isoformat()
    )


def write(path: Path) -> None:
    """Write the page of all measurements."""
    path.write_text(rendered(), encoding="utf-8")
    print(path, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
