"""How much faster an encoder is with half of its heads and neurons, int8 against int8.

    python benchmarks/pruning.py [--model bert-12x768] [--rounds 5] [--write FILE]

Random weights of BERT-base's shape: speed does not depend on them. Both Bundles are quantized with the default
settings and timed in turns in the same process, on the test titles of thucnews_titles: one text alone, and 256 texts at
once; the ratio is of each round. The data set is read from YANMO_DATA.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import accuracy
from heading import machine_lines
from peers.models import random_bundle

import yanmo
from yanmo.runtimes.predictor import open_bundle

OUT = Path(__file__).resolve().parents[1] / "runs" / "pruning"
HALF = {"heads": 0.5, "feed_forward": 0.5, "importance": "magnitude", "num_epochs": 0}
GATE = {"max_drop": 1.0, "num_valid_texts": 100, "num_calibration_texts": 100}
NUM_ALONE = 50
NUM_BATCH = 256


def made(model: str, dataset: yanmo.Dataset) -> dict[str, yanmo.Bundle]:
    """Return the int8 Bundles, whole and pruned, made on first use."""
    folder = OUT / model
    if not (folder / "whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        random_bundle(model, dataset, folder / "whole")
    if not (folder / "pruned").exists():
        small = dataset_of_few(dataset, folder / "few")
        yanmo.prune(folder / "whole", small, **HALF, out=folder / "pruned")
    for name in ("whole", "pruned"):
        if not (folder / f"{name}-int8").exists():
            # Random weights have no accuracy to lose.
            yanmo.quantize(folder / name, dataset, **GATE, out=folder / f"{name}-int8")
    return {name: yanmo.Bundle.open(folder / f"{name}-int8") for name in ("whole", "pruned")}


def dataset_of_few(dataset: yanmo.Dataset, out: Path) -> yanmo.Dataset:
    """Return a Dataset of 200 rows a split: what the pruned network answers is of no interest here."""
    from yanmo.artifacts.base import publish

    if not out.exists():
        identity = {"kind": "dataset", "task": dataset.task, "labels": dataset.labels, "info": dataset.manifest.info}
        with publish(out, verb="prepare", parents={}, config={}, **identity) as staging:
            for name in ("train", "valid"):
                dataset.split(name).head(200).write_parquet(staging / f"{name}.parquet")
    return yanmo.Dataset.open(out)


def time_round(predictor, texts: list[str]) -> dict[str, float]:
    """Return the median milliseconds of one text alone, and those of a text among 256."""
    alone = []
    for text in texts[:NUM_ALONE]:
        start = time.perf_counter()
        predictor.predict_proba([text])
        alone.append(1000 * (time.perf_counter() - start))
    start = time.perf_counter()
    predictor.predict_proba(texts[:NUM_BATCH])
    return {"alone": statistics.median(alone), "batch": 1000 * (time.perf_counter() - start) / NUM_BATCH}


def measure(bundles: dict[str, yanmo.Bundle], texts: list[str], rounds: int) -> list[str]:
    """Return the rows of the table."""
    predictors = {name: open_bundle(bundle) for name, bundle in bundles.items()}
    for predictor in predictors.values():
        time_round(predictor, texts)
    found = [{name: time_round(predictor, texts) for name, predictor in predictors.items()} for _ in range(rounds)]
    lines = []
    for kind in ("alone", "batch"):
        ratios = sorted(one["whole"][kind] / one["pruned"][kind] for one in found)
        whole, pruned = (statistics.median(one[name][kind] for one in found) for name in bundles)
        lines.append(
            f"| {kind} | {whole:.3f} | {pruned:.3f} | {statistics.median(ratios):.2f} x "
            f"| {ratios[0]:.2f} – {ratios[-1]:.2f} |"
        )
    return lines


def main() -> int:
    """Make both, and time them in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bert-12x768")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    dataset = yanmo.Dataset.open(accuracy.prepared("thucnews_titles"), verify=False)
    bundles = made(options.model, dataset)
    machine = machine_lines()
    sizes = ", ".join(f"{name} {bundle.size_bytes / 1e6:.1f} MB" for name, bundle in bundles.items())
    facts = yanmo.Bundle.open(OUT / options.model / "pruned").summary()
    lines = [
        f"# Pruning\n\n{machine}\n- {options.model}, int8: {sizes}\n"
        f"- heads {facts['heads']}, neurons {facts['neurons']}\n\n```{__doc__}```\n",
        "| texts | whole, ms a text | pruned, ms a text | faster | of the rounds |\n|---|---|---|---|---|",
        *measure(bundles, dataset.split("test")["text"].to_list(), options.rounds),
    ]
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
