"""Students of an ensemble against the same students on labels alone: thucnews_titles, accuracy on test, size, speed.

    python benchmarks/distillation.py --members FOLDER FOLDER … [--students ngram,bert-4x312] [--write FILE]
    python benchmarks/distillation.py --teacher FOLDER …

The teacher is the ensemble of the members (``weighted-by-score``, chosen on valid), or a Bundle that is there. Transfer
texts: the dev titles without their labels, and the texts of the other Chinese sets under YANMO_DATA. Both the
student and the same model on labels alone are quantized afterwards. Differences have paired 95 % bootstrap intervals.
With two cores a row of ngram takes some minutes, one of bert-4x312 hours: --num-altered and --num-epochs bound it.
"""

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path

import accuracy
from heading import machine_lines

import yanmo
from yanmo.measuring.evaluation import load_split, run_bundle
from yanmo.reporting.quality import compare_answers
from yanmo.tasks import get_task

OUT = Path(__file__).resolve().parents[1] / "runs" / "distillation"
HEAD = (
    "| student | on labels | distilled | gain, points | 95 % interval | of the teacher's accuracy | MB | texts/s "
    "| seconds |"
)


def transfer_files() -> list[Path]:
    """Return files of one text a line: dev titles, and what the other Chinese sets hold."""
    OUT.mkdir(parents=True, exist_ok=True)
    titles, reviews, poems = OUT / "titles.txt", OUT / "reviews.txt", OUT / "poems.txt"
    if not titles.exists():
        write(titles, yanmo.Dataset.open(accuracy.prepared("thucnews_titles")).split("valid")["text"].to_list())
    if not reviews.exists() and (accuracy.DATA / "waimai_10k").is_dir():
        data = yanmo.Dataset.open(accuracy.prepared("waimai_10k"))
        write(reviews, [text for name in data.splits for text in data.split(name)["text"].to_list()])
    if not poems.exists() and (accuracy.DATA / "tang_poetry").is_dir():
        files = sorted((accuracy.DATA / "tang_poetry").glob("*.json"))
        found = [poem.get("title", "") for file in files for poem in json.loads(file.read_text("utf-8"))]
        write(poems, found)
    return [path for path in (titles, reviews, poems) if path.exists()]


def write(path: Path, texts: list[str]) -> None:
    """Write texts one a line."""
    path.write_text("\n".join(" ".join(text.split()) for text in texts) + "\n", encoding="utf-8")


def teacher_of(options: argparse.Namespace, dataset: yanmo.Dataset) -> yanmo.Bundle:
    """Return the teacher, made on first use."""
    if options.teacher:
        return yanmo.Bundle.open(options.teacher)
    folder = OUT / "teacher"
    if not folder.exists():
        yanmo.ensemble(dataset, options.members, method="weighted-by-score", out=folder)
    return yanmo.Bundle.open(folder)


def made(name: str, dataset: yanmo.Dataset, make) -> tuple[yanmo.Bundle, float]:
    """Return a Bundle in 8 bits and the seconds its making took before that."""
    folder = OUT / name
    seconds_file = OUT / f"{name}.seconds"
    if not folder.exists():
        start = time.perf_counter()
        make(folder)
        seconds_file.write_text(f"{time.perf_counter() - start:.0f}", encoding="utf-8")
    if not (OUT / f"{name}-int8").exists():
        yanmo.quantize(folder, dataset, out=OUT / f"{name}-int8")
    return yanmo.Bundle.open(OUT / f"{name}-int8"), float(seconds_file.read_text(encoding="utf-8"))


def measure(model: str, teacher: yanmo.Bundle, dataset: yanmo.Dataset, options: argparse.Namespace) -> str:
    """Return the row of one student."""
    settings = json.loads(options.settings)
    more = {"num_epochs": options.num_epochs} if options.num_epochs else {}
    keys = {"num_altered": options.num_altered, **more, **settings}
    inputs = {"masked_lm": options.masked_lm} if options.masked_lm else {}
    if options.init and yanmo.Bundle.open(options.init).model == model:
        inputs["init"] = options.init
    said = json.dumps(keys | {role: str(path) for role, path in inputs.items()}, sort_keys=True)
    name = f"{model}-{hashlib.sha256(said.encode()).hexdigest()[:8]}"
    plain, _ = made(f"{model}-labels", dataset, lambda out: yanmo.train(dataset, model=model, out=out))
    student, seconds = made(
        name,
        dataset,
        lambda out: yanmo.distill(teacher, dataset, model=model, transfer=transfer_files(), **inputs, **keys, out=out),
    )
    split = load_split(dataset, "test")
    ours, theirs = (run_bundle(one, dataset, split) for one in (student, plain))
    top = run_bundle(teacher, dataset, split, measure_speed=False)
    found, best = (
        compare_answers(
            ours.evidence, other.evidence, split.targets, get_task(dataset.task), num_resamples=2000, seed=0
        )
        for other in (theirs, top)
    )
    gain, (low, high) = found["accuracy_difference"], found["accuracy_difference_interval"]
    reached = found["accuracy"] + gain
    return (
        f"| `{model}` | {found['accuracy']:.2%} | {reached:.2%} | {100 * gain:+.2f} "
        f"| {100 * low:+.2f} … {100 * high:+.2f} | {reached / best['accuracy']:.2%} of {best['accuracy']:.2%} "
        f"| {student.size_bytes / 1e6:.2f} | {ours.facts['throughput_texts_per_second']:,.0f} | {seconds:.0f} |"
    )


def main() -> int:
    """Measure every student."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--members", nargs="+", type=Path, default=[])
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--students", default="ngram")
    parser.add_argument("--num-altered", type=int, default=3)
    parser.add_argument("--num-epochs", type=int)
    parser.add_argument("--settings", default="{}", help="further keys of distill, as JSON")
    parser.add_argument("--init", type=Path, help="an encoder from pretrain; the student of its shape begins with it")
    parser.add_argument("--masked-lm", type=Path, help="replaces tokens in every other altered copy")
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    if not options.teacher and len(options.members) < 2:
        parser.error("give --teacher, or at least two --members")
    dataset = yanmo.Dataset.open(accuracy.prepared("thucnews_titles"))
    teacher = teacher_of(options, dataset)
    machine = machine_lines()
    keys = f"num_altered {options.num_altered}, num_epochs {options.num_epochs or 'default'}, {options.settings}"
    keys += ", students of its shape begin with a pre-trained encoder" if options.init else ""
    keys += ", tokens replaced by a masked language model" if options.masked_lm else ""
    lines = [f"# Distillation\n\n{machine}\n- {keys}\n\n```{__doc__}```\n", HEAD, "|---" * (HEAD.count("|") - 1) + "|"]
    for model in options.students.split(","):
        lines.append(measure(model, teacher, dataset, options))
        print(lines[-1], flush=True)
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
