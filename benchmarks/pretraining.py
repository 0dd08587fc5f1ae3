"""What pre-training on the texts themselves is worth: bert-4x312 on the titles, from scratch and with ``train --init``.

    python benchmarks/pretraining.py                  # pre-trains once, trains twice
    python benchmarks/pretraining.py --seeds 3        # three trainings each, from the same pre-trained encoder
    python benchmarks/pretraining.py --set whole_words=false
    python benchmarks/pretraining.py --write FILE     # the dated table

The encoder reads the texts of the splits train and valid, never a label and never the test split. Bundles stay in
``runs/pretraining``; what is there is not made again.
"""

import argparse
import json
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
from accuracy import prepared
from heading import machine_lines

import yanmo

OUT = Path(__file__).resolve().parents[1] / "runs" / "pretraining"
DATASET = "thucnews_titles"


def main() -> int:
    """Pre-train, train both ways, and print or write the table."""
    arguments = parse()
    OUT.mkdir(parents=True, exist_ok=True)
    data = prepared(DATASET)
    reader = pretrained(data, arguments)
    rows = []
    for seed in range(1, arguments.seeds + 1):
        scratch = trained(data, f"scratch-{seed}", model=arguments.model, seed=seed)
        begun = trained(data, f"init-{seed}-{reader.name}", init=reader, seed=seed)
        rows.append(row(data, seed, scratch, begun))
        print(json.dumps(rows[-1]), flush=True)
    text = page(reader, rows)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bert-4x312")
    parser.add_argument("--epochs", type=int, default=8, help="passes over the 70,000 titles")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="other keys of pretrain, as in TOML")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def pretrained(data: Path, arguments: argparse.Namespace) -> Path:
    """Return the folder of the encoder that has read the titles."""
    out = OUT / "-".join([arguments.model, f"{arguments.epochs}-epochs", *arguments.set])
    values = tomllib.loads("\n".join(arguments.set))
    timed(out, lambda: yanmo.pretrain(data, model=arguments.model, num_epochs=arguments.epochs, out=out, **values))
    return out


def trained(data: Path, name: str, **values) -> Path:
    """Return the folder of a classifier with default settings."""
    out = OUT / name
    timed(out, lambda: yanmo.train(data, out=out, **values))
    return out


def timed(out: Path, make) -> None:
    """Make an artifact that is not there, and note how long it took."""
    if out.exists():
        return
    start = time.perf_counter()
    make()
    seconds_file(out).write_text(f"{time.perf_counter() - start:.0f}", encoding="utf-8")


def seconds_file(out: Path) -> Path:
    """Return where the seconds of an artifact are noted."""
    return out.with_name(f"{out.name}.seconds")


def row(data: Path, seed: int, scratch: Path, begun: Path) -> dict:
    """Return both test accuracies and their paired difference."""
    report = OUT / f"report-{begun.name}"
    metrics = (
        yanmo.Report.open(report) if report.exists() else yanmo.evaluate(begun, data, against=scratch, out=report)
    ).metrics
    against = metrics["against"]
    return {
        "seed": seed,
        "scratch": against["accuracy"],
        "init": metrics["accuracy"],
        "difference": against["accuracy_difference"],
        "interval": against["accuracy_difference_interval"],
        "seconds": {one.name: int(seconds_file(one).read_text()) for one in (scratch, begun)},
    }


def page(reader: Path, rows: list[dict]) -> str:
    """Return the table as Markdown."""
    bundle = yanmo.Bundle.open(reader)
    facts, config = bundle.summary(), bundle.manifest.config
    speeds = [line.get("tokens_per_second") for line in map(json.loads, (reader / "metrics.jsonl").open())]
    machine = machine_lines()
    settings = ("num_epochs", "batch_size", "learning_rate", "mask_ratio", "whole_words", "mask_style", "precision")
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    minutes, speed = int(seconds_file(reader).read_text()) / 60, np.median([one for one in speeds if one])
    body = "\n".join(map(line, rows))
    return (
        f"# Pre-training on the texts themselves, {DATASET}\n\n{machine}\n- yanmo {yanmo.__version__}, "
        f"{time.strftime('%Y-%m-%d')}\n- command: `python benchmarks/{command}`\n\n"
        f"{bundle.model} read {facts['num_documents']:,} titles ({facts['num_tokens']:,} tokens) in "
        f"{minutes:.1f} minutes, {speed:,.0f} tokens/s; "
        f"held out: masked accuracy {facts['valid_masked_accuracy']:.1%}, loss {facts['valid_masked_loss']:.3f}. "
        f"{', '.join(f'{name} {config[name]}' for name in settings)}.\n\n"
        "| seed | from scratch | with `--init` | difference, points | 95 %, paired | seconds to train |\n"
        f"|---|---|---|---|---|---|\n{body}\n"
    )


def line(one: dict) -> str:
    """Return a row of the table."""
    low, high = (100 * limit for limit in one["interval"])
    return (
        f"| {one['seed']} | {one['scratch']:.2%} | {one['init']:.2%} | {100 * one['difference']:+.2f} "
        f"| {low:+.2f} … {high:+.2f} | {'; '.join(map(str, one['seconds'].values()))} |"
    )


if __name__ == "__main__":
    sys.exit(main())
