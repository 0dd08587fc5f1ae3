"""What ensembles, calibration, cascades and audits are worth, from Bundles that ``yanmo train`` made.

    python benchmarks/combine.py methods DATASET BUNDLE BUNDLE …    # every method of ensemble; calibration of the best
    python benchmarks/combine.py cascade DATASET CHEAP MIDDLE ENSEMBLE   # a cascade, and its guarantee on 200 cuts
    python benchmarks/combine.py noise DATASET BUNDLE_FOLDER        # 5 % of the training labels flipped, then audited
    python benchmarks/combine.py speed                              # 10 members x 1,000,000 rows x 10 classes

Each prints a Markdown table with the hardware. ``methods`` and ``cascade`` choose on valid and measure on test.
"""

import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

import yanmo
from yanmo import metrics
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.artifacts.base import Identity, publish
from yanmo.combine.averaging import average, equal_weights
from yanmo.combine.calibration import calibration_error
from yanmo.combine.cascading import StageTable, choose_thresholds, measure_candidate
from yanmo.combine.greedy import greedy_weights
from yanmo.combine.log_linear import log_average, log_linear_weights
from yanmo.combine.voting import vote
from yanmo.combine.weighting import log_loss_weights, score_weights, truth_probabilities
from yanmo.composing.composites import ask_members, stage_table
from yanmo.machine import describe_machine
from yanmo.measuring.evaluation import load_split
from yanmo.reporting.quality import compare_answers
from yanmo.runtimes.predictor import open_bundle
from yanmo.tasks import get_task

METHODS = ("average", "weighted", "weighted-by-score", "vote", "log-linear", "greedy", "stacking")
NUM_CUTS = 200
FLIPPED_SHARE = 0.05
SEED = 0


def main() -> int:
    """Run one part."""
    name, *arguments = sys.argv[1:] or ["help"]
    parts = {"methods": methods, "cascade": cascade, "noise": noise, "speed": speed}
    if name not in parts:
        print(__doc__)
        return 2
    machine = describe_machine()
    print(
        f"{machine['processor']}, {machine['num_cores']} cores, {machine['memory_gib']} GiB, "
        f"{time.strftime('%Y-%m-%d')}\n"
    )
    parts[name](*arguments)
    return 0


def methods(dataset_dir: str, *bundle_dirs: str) -> None:
    """Print each member and each method on the test split, and what calibration does to the best."""
    dataset = yanmo.Dataset.open(dataset_dir)
    test = load_split(dataset, "test")
    members = [yanmo.Bundle.open(path) for path in bundle_dirs]
    answers = {
        Path(path).name: answer(member, dataset, test) for path, member in zip(bundle_dirs, members, strict=True)
    }
    best = max(answers, key=lambda name: right_share(answers[name], dataset, test))
    print("| | test accuracy | against the best member | 95 % interval, paired | McNemar p |\n|---|---|---|---|---|")
    for name, evidence in answers.items():
        print(line(name, evidence, answers[best], dataset, test))
    with tempfile.TemporaryDirectory() as folder:
        made = {}
        for method in METHODS:
            if method == "stacking" and not all((member.path / "out_of_fold").is_dir() for member in members):
                continue
            made[method] = yanmo.ensemble(dataset, members, method=method, out=Path(folder) / method)
            print(line(f"**{method}**", answer(made[method], dataset, test), answers[best], dataset, test))
        top = max(made, key=lambda method: made[method].summary()["valid_accuracy"])
        print(
            f"\nCalibration of {top} (the best on valid), error on test in 15 bins:\n\n"
            "| | ECE | log loss |\n|---|---|---|"
        )
        print(calibration_line("before", made[top], dataset, test))
        for method in ("temperature", "vector", "isotonic"):
            found = yanmo.calibrate(made[top], dataset, method=method, out=Path(folder) / f"calibrated-{method}")
            print(calibration_line(method, found, dataset, test))


def answer(bundle, dataset, split):
    """Return the evidence, columns in the Dataset's order."""
    (outcome,) = ask_members([bundle], dataset, split, num_threads=None)
    return outcome.evidence


def right_share(evidence, dataset, split) -> float:
    """Return the accuracy."""
    return float(get_task(dataset.task).right_N(evidence, split.targets).mean())


def line(name, evidence, best, dataset, split) -> str:
    """Return one row of the table of methods."""
    task = get_task(dataset.task)
    found = compare_answers(evidence, best, split.targets, task, num_resamples=2000, seed=SEED)
    accuracy = right_share(evidence, dataset, split)
    low, high = found["accuracy_difference_interval"]
    return (
        f"| {name} | {accuracy:.2%} | {100 * found['accuracy_difference']:+.2f} "
        f"| {100 * low:+.2f} … {100 * high:+.2f} | {found['mcnemar_p_value']:.2g} |"
    )


def calibration_line(name, bundle, dataset, split) -> str:
    """Return one row of the table of calibrations."""
    evidence, task = answer(bundle, dataset, split), get_task(dataset.task)
    error = calibration_error(evidence, split.targets, task)
    loss = task.losses_N(evidence, split.targets).mean()
    return f"| {name} | {error:.2%} | {loss:.4f} |"


def cascade(dataset_dir: str, *stage_dirs: str) -> None:
    """Print a cascade's guarantee, cost and throughput, and how often 200 random cuts break the guarantee."""
    alpha, delta = 0.01, 0.05
    dataset = yanmo.Dataset.open(dataset_dir)
    stages = [yanmo.Bundle.open(path) for path in stage_dirs]
    test = load_split(dataset, "test")
    with tempfile.TemporaryDirectory() as folder:
        whole = yanmo.cascade(dataset, stages, alpha=alpha, delta=delta, out=Path(folder) / "cascade")
        settings = json.loads((whole.path / "cascade.json").read_text())
        last = throughput(stages[-1], test)
        ours = throughput(whole, test)
        report = yanmo.evaluate(whole, dataset, measure_speed=False, out=Path(folder) / "report").metrics
    facts = report["composite"]["cascade"]
    low, high = facts["disagreement_interval"]
    shares = ", ".join(f"{share:.1%}" for share in facts["shares"])
    print(
        "| | |\n|---|---|\n"
        f"| stages | {', '.join(Path(path).name for path in stage_dirs)} |\n"
        f"| asked for | at most {alpha:.1%} differ, confidence {1 - delta:.0%} |\n"
        f"| bound shown on valid | {settings['guarantee']['bound']:.3%} of {settings['guarantee']['num_rows']} rows |\n"
        f"| thresholds | {settings['thresholds']} |\n"
        f"| differs on test | {facts['disagreement']:.3%} ({low:.3%} – {high:.3%}) |\n"
        f"| accuracy on test | {report['accuracy']:.2%}, "
        f"last stage {report['accuracy'] + facts['accuracy_lost']:.2%} |\n"
        f"| share of each stage | {shares} |\n"
        f"| ms a text in each stage | {settings['costs_ms']} |\n"
        f"| mean ms a text, 95 %, 99 % | {facts['cost_ms']['mean']:.4f}, {facts['cost_ms']['p95']:.3f}, "
        f"{facts['cost_ms']['p99']:.3f} |\n"
        f"| last stage alone / mean cost | {facts['cost_ms_of_last_stage'] / facts['cost_ms']['mean']:.1f} x |\n"
        f"| texts/s end to end | {ours:,.0f}, last stage alone {last:,.0f}: {ours / last:.1f} x |"
    )
    cuts(dataset, stages, settings["costs_ms"], alpha, delta)


def throughput(bundle, split) -> float:
    """Return texts per second over the whole split, the median of three runs."""
    times = []
    with open_bundle(bundle) as predictor:
        predictor.predict(split.items[:64])
        for _ in range(3):
            start = time.perf_counter()
            predictor.predict(split.items)
            times.append(time.perf_counter() - start)
    return len(split.items) / float(np.median(times))


def cuts(dataset, stages, costs, alpha, delta) -> None:
    """Cut valid and test together at random, choose on one part and test on the other."""
    tables = []
    for name in ("valid", "test"):
        split = load_split(dataset, name)
        tables.append(stage_table(ask_members(stages, dataset, split, num_threads=None), split, dataset, costs))
    pairs = [("confidences_SN", "agrees_SN", "right_SN")]
    arrays = [np.concatenate([getattr(table, key) for table in tables], axis=1) for key in pairs[0]]
    world = StageTable(*arrays, costs)
    num_rows, num_valid = world.right_SN.shape[1], tables[0].right_SN.shape[1]
    print(f"\n{NUM_CUTS} random cuts of {num_rows:,} rows, {num_valid:,} to choose:\n")
    print(
        "| guarantee | broken | most that chance allows, 95 % | mean cost against the last stage |\n|---|---|---|---|"
    )
    limit = delta + 1.645 * np.sqrt(delta * (1 - delta) / NUM_CUTS)
    for guarantee in ("agreement", "accuracy"):
        broken, saved = 0, []
        for cut in range(NUM_CUTS):
            order = np.random.default_rng(cut).permutation(num_rows)
            chosen = choose_thresholds(
                world.take(order[:num_valid]), guarantee=guarantee, alpha=alpha, delta=delta, seed=cut
            )
            truth = measure_candidate(world.take(order[num_valid:]), chosen.best.thresholds, guarantee)
            broken += truth.risk > alpha
            saved.append(truth.cost_ms / costs[-1])
        print(f"| {guarantee} | {broken / NUM_CUTS:.1%} | {limit:.1%} | {np.mean(saved):.1%} |", flush=True)


def noise(dataset_dir: str, out_dir: str, model: str = "linear", folds: str = "5") -> None:
    """Flip 5 % of the training labels, train with folds, audit, and print how many the report finds."""
    clean, out = yanmo.Dataset.open(dataset_dir), Path(out_dir)
    rows = clean.split("train")
    generator = np.random.default_rng(SEED)
    flipped = generator.choice(rows.height, round(FLIPPED_SHARE * rows.height), replace=False)
    labels = rows["label"].to_list()
    for row in flipped.tolist():
        labels[row] = str(generator.choice([label for label in clean.labels if label != labels[row]]))
    noisy_dir = out / "noisy"
    if not noisy_dir.exists():
        identity = {"kind": "dataset", "verb": "prepare", "task": clean.task, "labels": clean.labels, "parents": {}}
        with publish(noisy_dir, Identity(**identity, info=clean.manifest.info)) as staging:
            rows.with_columns(pl.Series("label", labels)).write_parquet(staging / "train.parquet")
            clean.split("valid").write_parquet(staging / "valid.parquet")
    bundle_dir = out / f"noisy-{model}-{folds}"
    if not bundle_dir.exists():
        yanmo.train(noisy_dir, model=model, folds=int(folds), out=bundle_dir)
    with tempfile.TemporaryDirectory() as folder:
        report = yanmo.audit(bundle_dir, noisy_dir, num_resamples=100, out=Path(folder) / "audit").metrics
    ids = set(rows["id"].gather(flipped).to_list())
    num_top = int(np.ceil(0.05 * rows.height))
    top = report["rows"][:num_top]
    found = [row for row in top if row["id"] in ids]
    true_labels = dict(zip(rows["id"], rows["label"], strict=True))
    named = sum(row["suggested"] == true_labels[row["id"]] for row in found)
    print(
        "| rows | flipped | listed (5 %) | flipped rows found | suggested label is the true one | estimated wrong |\n"
        "|---|---|---|---|---|---|\n"
        f"| {rows.height:,} | {len(ids)} | {len(top)} | {len(found)} ({len(found) / len(ids):.1%}) "
        f"| {named / max(len(found), 1):.1%} of them | {report['num_wrong']} |"
    )


def speed() -> None:
    """Time every way of combining 10 members of 1,000,000 rows and 10 classes, its weights fitted on all rows."""
    num_members, num_rows, num_classes = 10, 1_000_000, 10
    generator = np.random.default_rng(SEED)
    targets_NC = np.zeros((num_rows, num_classes), dtype=np.float32)
    targets_NC[np.arange(num_rows), generator.integers(0, num_classes, num_rows)] = 1
    members = []
    for _ in range(num_members):
        scores_NC = generator.standard_normal((num_rows, num_classes), dtype=np.float32)
        scores_NC += 2 * targets_NC
        members.append(Choices(scores_NC, SOFTMAX).activate())
    task = get_task("single_label")

    def truth():
        return truth_probabilities(members, targets_NC, task)

    def scores():
        return [metrics.accuracy(task.choose(member.values_MC), targets_NC) for member in members]

    ways = {
        "average": lambda: average(members, equal_weights(num_members)),
        "weighted": lambda: average(members, log_loss_weights(truth())),
        "weighted-by-score": lambda: average(members, score_weights(scores())),
        "vote": lambda: vote(members, num_members, task.ballots),
        "log-linear": lambda: log_average(members, log_linear_weights(members, targets_NC, task)).activate(),
        "greedy": lambda: average(members, greedy_weights(truth(), seed=SEED)),
    }
    print("| method, fit and combine | seconds |\n|---|---|")
    for name, way in ways.items():
        start = time.perf_counter()
        way()
        print(f"| {name} | {time.perf_counter() - start:.2f} |", flush=True)
    print(
        "\nMost memory of the process, members included: "
        f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"
    )


if __name__ == "__main__":
    sys.exit(main())
