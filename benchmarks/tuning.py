"""What tuning is worth: textcnn on banking77, 30 trials against the default settings, on the test split.

    python benchmarks/tuning.py                     # about half an hour on 2 cores; at most an hour
    python benchmarks/tuning.py --model ngram --rows-a-label 16 --seeds 5      # few rows, a cheap model: minutes
    python benchmarks/tuning.py --max-hours 0.3     # begin no trial after so many hours of training
    python benchmarks/tuning.py --write FILE        # the dated table

The search sees the validation split alone. Bundles stay in ``runs/tuning``; what is there is not made again, and a
search that was cut off goes on.
"""

import argparse
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
from accuracy import DATA, DATASETS, prepared
from heading import machine_lines

import yanmo

OUT = Path(__file__).resolve().parents[1] / "runs" / "tuning"


def main() -> int:
    """Search, train the defaults and the best settings with several seeds, and print or write the table."""
    arguments = parse()
    OUT.mkdir(parents=True, exist_ok=True)
    data = prepared(arguments.dataset) if arguments.rows_a_label is None else few(arguments)
    best = OUT / f"{data.parent.name}-{arguments.model}-{arguments.trials}"
    if not best.exists():
        yanmo.tune(
            data,
            model=arguments.model,
            num_trials=arguments.trials,
            max_hours=arguments.max_hours,
            num_seeds=1,
            out=best,
        )
    recipe = tomllib.loads((best / "tuning" / "recipe.toml").read_text(encoding="utf-8"))["stage"]["model"]
    settings = {name: value for name, value in recipe.items() if name not in ("verb", "dataset", "seed")}
    seeds = range(1, arguments.seeds + 1)
    scores = {
        "default settings": [
            accuracy(data, f"{arguments.model}-default-{seed}", model=arguments.model, seed=seed) for seed in seeds
        ],
        "best trial's settings": [
            accuracy(data, f"{arguments.model}-best-{seed}", **settings, seed=seed) for seed in seeds
        ],
    }
    text = page(arguments, best, scores)
    print(text)
    if arguments.write:
        arguments.write.write_text(text, encoding="utf-8")
    return 0


def parse() -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="banking77")
    parser.add_argument("--model", default="textcnn")
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument(
        "--rows-a-label", type=int, help="so many training rows of each label, and as many to choose by"
    )
    parser.add_argument("--max-hours", type=float, default=0.8, help="of training, in all trials together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


def few(arguments: argparse.Namespace) -> Path:
    """Return a Dataset with few rows of each label in train and in valid, and the whole test split."""
    name, count = arguments.dataset, arguments.rows_a_label
    folder = OUT / f"{name}-{count}"
    if not (folder / "data").exists():
        folder.mkdir(parents=True, exist_ok=True)
        known = DATASETS[name]
        text, label = str(known["text"]), str(known["label"])
        rows = pl.read_csv(DATA / name / str(known["source"])).sample(fraction=1, shuffle=True, seed=1)
        place = pl.int_range(pl.len()).over(label)
        for split, low in (("train", 0), ("valid", count)):
            rows.filter(place.is_between(low, low + count - 1)).write_csv(folder / f"{split}.csv")
        files = {"valid": folder / "valid.csv", "test": DATA / name / str(known["test"])}
        yanmo.prepare(folder / "train.csv", **files, text=text, label=label, out=folder / "data")
    return folder / "data"


def accuracy(data: Path, name: str, **values) -> float:
    """Return the test accuracy of a training."""
    bundle = OUT / f"{data.parent.name}-{name}"
    if not bundle.exists():
        yanmo.train(data, out=bundle, **values)
    with tempfile.TemporaryDirectory() as folder:
        return yanmo.evaluate(bundle, data, measure_speed=False, out=Path(folder) / "report").metrics["accuracy"]


def page(arguments: argparse.Namespace, best: Path, scores: dict[str, list[float]]) -> str:
    """Return the table as Markdown."""
    report = yanmo.Report.open(best / "tuning").metrics
    machine = machine_lines()
    rows = f", {arguments.rows_a_label} rows a label" if arguments.rows_a_label else ""
    states = [one["state"] for one in report["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    body = "\n".join(
        f"| {name} | {np.mean(found):.2%} | {', '.join(f'{one:.2%}' for one in found)} |"
        for name, found in scores.items()
    )
    differences = 100 * (np.array(scores["best trial's settings"]) - np.array(scores["default settings"]))
    low, high = interval(differences)
    ordered = sorted((one for one in report["trials"] if one["score"] is not None), key=lambda one: -one["score"])
    trials = "\n".join(f"| {one['number']} | {one['score']:.2%} | {shown(one['values'])} |" for one in ordered[:10])
    importances = ", ".join(f"{name} {share:.0%}" for name, share in report["importances"].items())
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return (
        f"# Tuning {arguments.model} on {arguments.dataset}{rows}\n\n{machine}\n- yanmo {yanmo.__version__}, "
        f"{time.strftime('%Y-%m-%d')}\n- command: `python benchmarks/{command}`\n\n"
        f"{len(states)} trials ({counts}), {report['seconds'] / 60:.0f} minutes of training. Test accuracy, "
        f"{len(scores['default settings'])} seeds each; difference {differences.mean():+.2f} points, "
        f"95 % over seeds {low:+.2f} to {high:+.2f}:\n\n"
        f"| | mean | each seed |\n|---|---|---|\n{body}\n\n"
        f"The best trials on the validation split; trial 0 has the default settings ({report['first']['score']:.2%}). "
        f"Importance: {importances}.\n\n| trial | validation | settings |\n|---|---|---|\n{trials}\n"
    )


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Return the 95 % interval of the mean of paired differences, by Student's t."""
    # Quantiles for 1 to 9 degrees of freedom; one seed alone has no interval.
    quantiles = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26)
    count = len(differences)
    half = quantiles[count - 2] * differences.std(ddof=1) / np.sqrt(count) if 1 < count <= 10 else np.inf
    return differences.mean() - half, differences.mean() + half


def shown(values: dict) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


if __name__ == "__main__":
    sys.exit(main())
