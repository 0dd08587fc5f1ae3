"""What each method of compression does to one encoder, on four data sets: accuracy on test, size, speed.

    python benchmarks/compression.py                                 # all: about two hours on one core
    python benchmarks/compression.py --datasets waimai_10k           # one data set
    python benchmarks/compression.py --write benchmarks/compression_….md

The parent is ``bert-4x312`` with the default settings of `yanmo train`; on banking77 with 20 epochs, since three do not
suffice for its 77 labels. Every row is one or two verbs with default settings, but for what the row's name says. A
Bundle that is there in ``runs/compression`` is not made again, and training that was cut off goes on. Differences
to the parent have paired 95 % bootstrap intervals. Speeds are of one thread of this machine, all taken at the end.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from accuracy import prepared
from heading import machine_lines

import yanmo
from yanmo.errors import BusyError, StoppedError
from yanmo.measuring.evaluation import Outcome, Split, load_split, run_bundle
from yanmo.reporting.quality import compare_answers
from yanmo.tasks import get_task

OUT = Path(__file__).resolve().parents[1] / "runs" / "compression"
DATASETS = ("thucnews_titles", "waimai_10k", "sst2", "banking77")
MODEL, SMALL = "bert-4x312", "bert-2x128"
LONGER: dict[str, dict[str, Any]] = {"banking77": {"num_epochs": 20}}
PARENT = "as trained, torch"
HEAD = "| Bundle | accuracy | against the parent, points | 95 % interval | MB | one text, ms | texts/s |"
INT8 = ", int8"


class House:
    """The Bundles of one data set, each made when it is first asked for."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dataset = yanmo.Dataset.open(prepared(name))
        self._longer = LONGER.get(name, {})
        parent = partial(self.get, PARENT)
        self._makers: dict[str, Callable[[Path], Any]] = {
            PARENT: self._train(MODEL),
            "exported": lambda out: yanmo.export(parent(), out=out),
            "half of the heads and neurons": self._prune(heads=0.5, feed_forward=0.5),
            "half of the layers": self._prune(layers=2),
            "tokens seen at least twice": self._prune(vocabulary=2),
            "half of the weights zero, torch": self._prune(weights=0.5),
            f"{SMALL} on labels": self._train(SMALL),
            f"{SMALL} distilled": self._distill(SMALL),
            "ngram on labels": self._train("ngram"),
            "ngram distilled": self._distill("ngram"),
            "ngram and then the parent": self._composite(yanmo.cascade),
            "ngram and the parent, averaged": self._composite(yanmo.ensemble),
        }

    @property
    def rows(self) -> list[str]:
        """Names of the Bundles, in the order of the table."""
        names = list(self._makers)
        plain = {PARENT, "exported", "half of the weights zero, torch", *names[-2:]}
        in_8_bits = [name if name in plain else name + INT8 for name in names]
        return [*in_8_bits[:2], PARENT + INT8, *in_8_bits[2:]]

    def get(self, name: str) -> yanmo.Bundle:
        """Return a Bundle."""
        folder = OUT / self.name / "".join(one if one.isalnum() else "-" for one in name)
        if not folder.exists():
            started = time.perf_counter()
            self._make(name, folder)
            print(f"{self.name}, {name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
        return yanmo.Bundle.open(folder)

    def _make(self, name: str, folder: Path) -> None:
        if name.endswith(INT8):
            yanmo.quantize(self.get(name.removesuffix(INT8)), self.dataset, out=folder)
        else:
            self._makers[name](folder)

    def _train(self, model: str) -> Callable[[Path], Any]:
        longer = self._longer if model != "ngram" else {}
        return lambda out: yanmo.train(self.dataset, model=model, out=out, **longer)

    def _prune(self, **parts: Any) -> Callable[[Path], Any]:
        return lambda out: yanmo.prune(self.get(PARENT), self.dataset, out=out, **parts)

    def _distill(self, model: str) -> Callable[[Path], Any]:
        longer = self._longer if model != "ngram" else {}
        return lambda out: yanmo.distill(self.get(PARENT), self.dataset, model=model, out=out, **longer)

    def _composite(self, verb: Callable[..., Any]) -> Callable[[Path], Any]:
        names = ("ngram on labels" + INT8, PARENT + INT8)
        return lambda out: verb(self.dataset, [self.get(name) for name in names], out=out)


def section(house: House) -> str:
    """Return the table of one data set."""
    split = load_split(house.dataset, "test")
    bundles = {name: found for name in house.rows if (found := attempt(house, name)) is not None}
    outcomes = {name: run_bundle(one, house.dataset, split, num_threads=1) for name, one in bundles.items()}
    lines = [line(name, bundles[name], against(outcomes, name, house, split), outcomes[name]) for name in bundles]
    lines += [f"| {name} | not made | – | – | – | – | – |" for name in house.rows if name not in bundles]
    return f"## {house.name}\n\n{HEAD}\n{'|---' * (HEAD.count('|') - 1)}|\n" + "\n".join(lines) + "\n"


def attempt(house: House, name: str) -> yanmo.Bundle | None:
    """Return a Bundle; where Yanmo refuses to make it, say why and return None."""
    try:
        return house.get(name)
    except (BusyError, StoppedError):
        raise
    except yanmo.YanmoError as error:
        print(f"{house.name}, {name}: {error}", file=sys.stderr, flush=True)
        return None


def against(outcomes: dict[str, Outcome], name: str, house: House, split: Split) -> dict[str, Any]:
    """Return how much better a Bundle answers than the parent."""
    ours, theirs = outcomes[name].evidence, outcomes[PARENT].evidence
    task = get_task(house.dataset.task)
    return compare_answers(ours, theirs, split.targets, task, num_resamples=2000, seed=0)


def line(name: str, bundle: yanmo.Bundle, found: dict[str, Any], outcome: Outcome) -> str:
    """Return the row of one Bundle."""
    gain, (low, high) = found["accuracy_difference"], found["accuracy_difference_interval"]
    difference = "– | –" if name == PARENT else f"{100 * gain:+.2f} | {100 * low:+.2f} … {100 * high:+.2f}"
    return (
        f"| {name} | {found['accuracy'] + gain:.2%} | {difference} | {bundle.size_bytes / 1e6:.2f} "
        f"| {outcome.facts['latency_ms']['p50']:.2f} | {outcome.facts['throughput_texts_per_second']:,.0f} |"
    )


def main() -> int:
    """Make what is missing, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    machine = machine_lines()
    page = f"# What each method of compression does\n\n{machine}\n- yanmo {yanmo.__version__}, "
    page += f"{time.strftime('%Y-%m-%d')}\n\n```{__doc__}```\n"
    for name in options.datasets:
        page += f"\n{section(House(name))}"
        print(page.rpartition("\n\n## ")[2], flush=True)
        if options.write:
            options.write.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
