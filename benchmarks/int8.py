"""What `yanmo quantize` with default settings costs and saves: accuracy and size on the test splits.

    python benchmarks/int8.py [--bundles runs/accuracy] [--write FILE]

The Bundles are those that `benchmarks/accuracy.py` trained. Accuracy is of the test split, which quantize does not see;
the drop has a paired 95 % bootstrap interval. Sizes are of whole Bundles, tokenizer and card included.
"""

import argparse
import shutil
import sys
from pathlib import Path

from heading import machine_lines

import yanmo
from yanmo.measuring.evaluation import load_split, run_bundle
from yanmo.reporting.quality import compare_answers
from yanmo.tasks import get_task

ROOT = Path(__file__).resolve().parents[1]
DATASETS = ("thucnews_titles", "sst2", "banking77")
MODELS = ("ngram", "linear", "textcnn", "bilstm", "bert-4x312")
HEAD = "| data set | model | fp32 | int8 | drop, points | 95 % interval | fp32 MB | int8 MB | ratio | stays fp32 |"


def measure(folder: Path, name: str, model: str) -> str:
    """Return the row of one Bundle, or say that it is not there."""
    dataset, bundle = yanmo.Dataset.open(folder / name / "data"), yanmo.Bundle.open(folder / name / model)
    out = ROOT / "runs" / "int8" / name / model
    shutil.rmtree(out, ignore_errors=True)
    made = yanmo.quantize(bundle, dataset, out=out)
    split = load_split(dataset, "test")
    ours, theirs = (run_bundle(one, dataset, split, measure_speed=False) for one in (made, bundle))
    task = get_task(dataset.task)
    found = compare_answers(ours.evidence, theirs.evidence, split.targets, task, num_resamples=2000, seed=0)
    drop, (low, high) = -found["accuracy_difference"], found["accuracy_difference_interval"]
    before, after = bundle.size_bytes / 1e6, made.size_bytes / 1e6
    kept = ", ".join(made.manifest.info["quantization"]["kept_fp32"]) or "–"
    return (
        f"| {name} | `{model}` | {found['accuracy']:.2%} | {found['accuracy'] - drop:.2%} | {100 * drop:+.2f} "
        f"| {-100 * high:+.2f} … {-100 * low:+.2f} | {before:.2f} | {after:.2f} | {after / before:.3f} | {kept} |"
    )


def main() -> int:
    """Measure all Bundles that are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundles", type=Path, default=ROOT / "runs" / "accuracy")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    pairs = [(name, model) for name in DATASETS for model in MODELS if (options.bundles / name / model).is_dir()]
    machine = machine_lines()
    lines = [f"# int8 against fp32\n\n{machine}\n\n```{__doc__}```\n", HEAD, "|---" * HEAD.count(" | ") + "|---|"]
    for name, model in pairs:
        lines.append(measure(options.bundles, name, model))
        print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
