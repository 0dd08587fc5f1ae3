"""What tuning is worth: textcnn on banking77, 30 trials against the default settings, on the test split.

    python benchmarks/tuning.py                     # about half an hour on 2 cores; at most an hour
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
from accuracy import prepared
from heading import machine_lines

import yanmo

OUT = Path(__file__).resolve().parents[1] / "runs" / "tuning"


def main() -> int:
    """Search, train the defaults and the best settings with several seeds, and print or write the table."""
    arguments = parse()
    OUT.mkdir(parents=True, exist_ok=True)
    data = prepared(arguments.dataset)
    best = OUT / f"{arguments.dataset}-{arguments.model}-{arguments.trials}"
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
        "default settings": [accuracy(data, f"default-{seed}", model=arguments.model, seed=seed) for seed in seeds],
        "best trial's settings": [accuracy(data, f"best-{seed}", **settings, seed=seed) for seed in seeds],
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
    parser.add_argument("--max-hours", type=float, default=0.8, help="of training, in all trials together")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--write", type=Path)
    return parser.parse_args()


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
    states = [one["state"] for one in report["trials"]]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "failed"))
    body = "\n".join(
        f"| {name} | {np.mean(found):.2%} | {', '.join(f'{one:.2%}' for one in found)} |"
        for name, found in scores.items()
    )
    difference = 100 * (np.mean(scores["best trial's settings"]) - np.mean(scores["default settings"]))
    ordered = sorted((one for one in report["trials"] if one["score"] is not None), key=lambda one: -one["score"])
    trials = "\n".join(f"| {one['number']} | {one['score']:.2%} | {shown(one['values'])} |" for one in ordered[:10])
    importances = ", ".join(f"{name} {share:.0%}" for name, share in report["importances"].items())
    command = " ".join([Path(sys.argv[0]).name, *sys.argv[1:]])
    return (
        f"# Tuning {arguments.model} on {arguments.dataset}\n\n{machine}\n- yanmo {yanmo.__version__}, "
        f"{time.strftime('%Y-%m-%d')}\n- command: `python benchmarks/{command}`\n\n"
        f"{len(states)} trials ({counts}), {report['seconds'] / 60:.0f} minutes of training. Test accuracy, "
        f"{len(scores['default settings'])} seeds each; difference of the means {difference:+.2f} points:\n\n"
        f"| | mean | each seed |\n|---|---|---|\n{body}\n\n"
        f"The best trials on the validation split; trial 0 has the default settings ({report['first']['score']:.2%}). "
        f"Importance: {importances}.\n\n| trial | validation | settings |\n|---|---|---|\n{trials}\n"
    )


def shown(values: dict) -> str:
    """Return settings in one line."""
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )


if __name__ == "__main__":
    sys.exit(main())
