"""Texts a second and peak memory of `yanmo predict` on 100,000 and 1,000,000 titles, beside the engine alone.

    python benchmarks/predict.py [--bundle FOLDER] [--rows 100000 1000000]

Without a Bundle, `ngram` is trained on thucnews_titles in YANMO_DATA (half a minute). The titles of its training set
are repeated to make the file. Every command is a process of its own, whose start-up is measured with one text and
taken off; the engine alone is one thread that encodes and scores window after window of a list.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from yanmo.executors.units import WINDOW
from yanmo.runtimes.predictor import open_bundle

FILE = "thucnews_titles/train.txt"
CHILD = (
    "import resource, sys; from yanmo.cli import main; code = main(sys.argv[1:]);"
    "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024); sys.exit(code)"
)


def train(data: Path, folder: Path) -> Path:
    commands = (
        ["prepare", str(data / FILE), "--no-header", "--text", "1", "--label", "2", "--out", str(folder / "data")],
        ["train", str(folder / "data"), "--model", "ngram", "--out", str(folder / "ngram")],
    )
    for command in commands:
        subprocess.run([sys.executable, "-m", "yanmo", *command], check=True, stdout=subprocess.DEVNULL)
    return folder / "ngram"


def predict(bundle: Path, file: Path, out: Path) -> tuple[float, float]:
    """Return the seconds and the peak memory in MB of one command."""
    command = ["predict", str(bundle), str(file), "--no-header", "--text", "1", "--out", str(out)]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", CHILD, *command], check=True, capture_output=True, text=True)
    return time.perf_counter() - start, float(done.stdout.split()[-1])


def engine_alone(bundle: Path, titles: list[str]) -> float:
    """Return texts per second of the Predictor on a list."""
    predictor = open_bundle(bundle)
    predictor.infer(titles[:WINDOW])
    start = time.perf_counter()
    for place in range(0, len(titles), WINDOW):
        predictor.infer(titles[place : place + WINDOW])
    return len(titles) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    arguments = parser.parse_args()
    data = Path(os.environ.get("YANMO_DATA", "../shared/data"))
    if not (data / FILE).exists():
        sys.exit(f"{data / FILE} is missing; set YANMO_DATA to the folder of the data sets")
    titles = [line.split("\t")[0] for line in (data / FILE).read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = arguments.bundle or train(data, folder)
        print(f"engine alone: {engine_alone(bundle, titles):,.0f} texts/s")
        (folder / "one.txt").write_text("一\n", encoding="utf-8")
        start_up, _ = predict(bundle, folder / "one.txt", folder / "one")
        print(f"{'rows':>10}{'seconds':>9}{'start-up':>10}{'texts/s':>10}{'peak MB':>9}")
        for num_rows in arguments.rows:
            file = folder / f"{num_rows}.txt"
            repeated = titles * (num_rows // len(titles) + 1)
            file.write_text("".join(f"{title}\n" for title in repeated[:num_rows]), encoding="utf-8")
            elapsed, peak = predict(bundle, file, folder / f"out-{num_rows}")
            rate = num_rows / (elapsed - start_up)
            print(f"{num_rows:>10,}{elapsed:>9.2f}{start_up:>10.2f}{rate:>10,.0f}{peak:>9.0f}")


if __name__ == "__main__":
    main()
