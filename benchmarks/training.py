"""Tokens a second of `yanmo train` beside transformers.Trainer: the same model, batch size, optimizer and texts.

    python benchmarks/training.py                                    # a bounded number of steps, three rounds in turns
    python benchmarks/training.py --epochs 3 --seeds 1 2 3           # whole trainings, with their accuracy: hours
    python benchmarks/training.py --only yanmo --profile             # where the time of a step goes
    python benchmarks/training.py --model FOLDER --data banking77    # from a checkpoint, on its own tokens

Needs the extras `train` and `bench` and the data set in YANMO_DATA. All train the same token ids with AdamW,
a linear schedule and dropout 0.1, each in its own process, in turns. Counted are real tokens, without padding, and the
seconds between the first step's begin and the last step's end; no evaluation and no checkpoint is in them. The dev
accuracy is that of the last weights, by stock transformers in fp32.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from heading import machine_lines

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("YANMO_DATA", ROOT.parent / "shared" / "data"))
CONTESTANTS = (
    "Trainer fp32, dynamic padding",
    "yanmo fp32",
    "Trainer bf16, dynamic padding",
    "Trainer bf16, grouped by length",
    "yanmo bf16",
)
VOCAB_SIZE, MAX_LENGTH, DROPOUT = 8000, 128, 0.1
LEARNING_RATE, WARMUP, WEIGHT_DECAY, MAX_NORM = 4e-4, 0.1, 0.01, 1.0


def main() -> int:
    """Run the contestants in turns and print the table; a child runs one of them and prints one line of JSON."""
    options = parse(sys.argv[1:])
    if options.child is not None:
        print(json.dumps(run_child(options)))
        return 0
    names = [name for name in CONTESTANTS if options.only.lower() in name.lower()]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for seed in options.seeds:
        for name in names:
            rows[name].append(measure(name, seed, sys.argv[1:]))
            print(f"seed {seed}, {name}: {rows[name][-1]}", file=sys.stderr, flush=True)
    page = table(rows, options)
    print(page)
    if options.write:
        options.write.write_text(page, encoding="utf-8")
    return 0


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="steps of a round; not with --epochs")
    parser.add_argument("--epochs", type=int, help="whole trainings, and their dev accuracy")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="a round each")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--model", default="bert-4x312", help="a shape, or the folder of a BERT checkpoint")
    parser.add_argument("--data", choices=["thucnews_titles", "banking77"], default="thucnews_titles")
    parser.add_argument("--only", default="", help="part of a contestant's name")
    parser.add_argument("--profile", action="store_true", help="print torch's profile of 20 steps of yanmo")
    parser.add_argument("--write", type=Path)
    parser.add_argument("--child", choices=CONTESTANTS, help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def measure(name: str, seed: int, arguments: list[str]) -> dict[str, float]:
    """Return what one contestant reports from a process of its own."""
    command = [sys.executable, __file__, *arguments, "--child", name, "--seed", str(seed)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def run_child(options: argparse.Namespace) -> dict[str, float]:
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    train, dev, tokenizer, labels = encode(options)
    if options.epochs is None:
        rows = np.random.default_rng(options.seed).permutation(len(train[1]))[: options.steps * options.batch_size]
        train = (train[0].take(rows), train[1][rows])
    module = make_module(options.model, tokenizer, labels)
    train_with = train_with_yanmo if options.child.startswith("yanmo") else train_with_trainer
    seconds, processor_seconds = train_with(module, tokenizer, train, options).tolist()
    num_epochs = options.epochs or 1
    tokens = int(train[0].lengths_N.sum()) * num_epochs
    found = {
        "tokens_per_second": tokens / seconds,
        "tokens_per_processor_second": tokens / processor_seconds,
        "seconds": seconds,
        "tokens": tokens,
    }
    return found | ({"accuracy": accuracy(module, dev)} if options.epochs else {})


def clocks() -> Any:
    """Return the seconds of the wall and of this process's threads; the second tell where the machine is busy."""
    return np.array([time.perf_counter(), time.process_time()])


def encode(options: argparse.Namespace) -> tuple[Any, Any, Any, list[str]]:
    """Return token ids and classes of train and dev, the tokenizer, and the labels."""
    from yanmo.text.tokenizer import encode_column, open_tokenizer, train_wordpiece, truncating

    names = ("train.txt", "dev.txt") if options.data == "thucnews_titles" else ("train.csv", "test.csv")
    splits = [read(DATA / options.data / name) for name in names]
    labels = sorted(set(splits[0][1]))
    own = Path(options.model) / "tokenizer.json"
    tokenizer = open_tokenizer(own) if own.exists() else train_wordpiece(splits[0][0], VOCAB_SIZE)
    ready = truncating(tokenizer, MAX_LENGTH)
    encoded = [
        (encode_column(ready, texts, None, MAX_LENGTH).ids, np.array([labels.index(one) for one in classes]))
        for texts, classes in splits
    ]
    return encoded[0], encoded[1], tokenizer, labels


def read(path: Path) -> tuple[list[str], list[str]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            pairs = list(csv.reader(file))[1:]
    else:
        pairs = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def make_module(name: str, tokenizer: Any, labels: list[str]) -> Any:
    from transformers import AutoModelForSequenceClassification

    from yanmo.answers.links import SOFTMAX
    from yanmo.modeling.networks import encoders
    from yanmo.models import resolve

    if Path(name).is_dir():
        names = dict(enumerate(labels))
        return AutoModelForSequenceClassification.from_pretrained(name, num_labels=len(labels), id2label=names)
    return encoders.build_encoder(
        resolve(name), tokenizer, labels=labels, link=SOFTMAX, max_length=MAX_LENGTH, dropout=DROPOUT
    )


def train_with_yanmo(module: Any, tokenizer: Any, train: Any, options: argparse.Namespace) -> Any:
    """Train by the loop of `train`, and return the seconds of its steps."""
    from yanmo.answers.links import SOFTMAX
    from yanmo.modeling.arithmetic.precision import has_bf16
    from yanmo.modeling.features.ragged import Examples, TokenFeatures
    from yanmo.modeling.loop.training_loop import Trainer, fit
    from yanmo.modeling.networks import fast_encoder
    from yanmo.modeling.objectives.choices import ChoicesObjective, Labels
    from yanmo.modeling.settings import LoopSettings

    ids, classes_N = train
    pad = tokenizer.token_to_id("[PAD]")
    targets_NC = np.eye(module.config.num_labels, dtype=np.float32)[classes_N]
    examples = Examples(TokenFeatures(ids, None, pad), Labels(targets_NC))
    settings = LoopSettings(
        learning_rate=LEARNING_RATE,
        batch_size=options.batch_size,
        num_epochs=options.epochs or 1,
        warmup_ratio=WARMUP,
        weight_decay=WEIGHT_DECAY,
        max_grad_norm=MAX_NORM,
        gradient_accumulation_steps=1,
        early_stopping_patience=1000,
        seed=options.seed,
        num_threads=options.threads,
        precision=_precision(options.child) if has_bf16("cpu") else "fp32",
    )
    evaluations = iter(range(1000))
    trainer = Trainer(
        module,
        fast_encoder.score,
        # The last weights count as the best.
        objective=ChoicesObjective(SOFTMAX, lambda *_: {"micro_f1": float(next(evaluations)), "loss": 0.0}),
        settings=settings,
    )
    valid = Examples(TokenFeatures(ids.take(np.arange(1)), None, pad), Labels(targets_NC[:1]))
    if options.profile:
        return profile(trainer, examples, valid)
    start = clocks()
    fit(trainer, examples, valid)
    return clocks() - start


def profile(trainer: Any, examples: Any, valid: Any) -> Any:
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as record

    from yanmo.modeling.loop.training_loop import fit

    start = clocks()
    with record(activities=[ProfilerActivity.CPU]) as found:
        fit(trainer, examples, valid)
    page = found.key_averages().table(sort_by="self_cpu_time_total", row_limit=40, max_name_column_width=50)
    print(page, file=sys.stderr)  # the standard output is the parent's
    return clocks() - start


def train_with_trainer(module: Any, tokenizer: Any, train: Any, options: argparse.Namespace) -> Any:
    """Train by transformers.Trainer, and return the seconds from its first step to its last."""
    import tempfile

    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    from yanmo.modeling.pretrained.checkpoint_tokenizer import wrap_tokenizer

    is_grouped = "grouped" in options.child
    times = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times.append(clocks())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(clocks())

    ids, classes_N = train
    rows = [{"input_ids": ids.row(place).tolist(), "labels": int(classes_N[place])} for place in range(len(classes_N))]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=options.batch_size,
            num_train_epochs=options.epochs or 1,
            learning_rate=LEARNING_RATE,
            warmup_steps=WARMUP,
            weight_decay=WEIGHT_DECAY,
            max_grad_norm=MAX_NORM,
            seed=options.seed,
            bf16=_precision(options.child) == "bf16",
            train_sampling_strategy="group_by_length" if is_grouped else "random",
            use_cpu=True,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(wrap_tokenizer(tokenizer, max_length=MAX_LENGTH))
        module.config.problem_type = "single_label_classification"
        Trainer(module, arguments, collator, rows, callbacks=[Clock()]).train()
    return times[-1] - times[0]


def accuracy(module: Any, dev: Any) -> float:
    """Return the dev accuracy, by the model's own forward pass in fp32."""
    from yanmo.modeling.features.ragged import TokenFeatures
    from yanmo.modeling.loop.scoring import compute_logits
    from yanmo.modeling.networks import encoders

    features = TokenFeatures(dev[0], None, module.config.pad_token_id)
    logits_NC = compute_logits(module, encoders.score_encoder, features, batch_size=256)
    return float((logits_NC.argmax(axis=1) == dev[1]).mean())


def table(rows: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> str:
    """Return the page: the median of the rounds, and ratios of the same round and arithmetic."""
    machine = machine_lines()
    what = f"{options.epochs} epochs" if options.epochs else f"{options.steps} steps"
    name = Path(options.model).name if Path(options.model).is_dir() else options.model
    head = f"| {name}, batch {options.batch_size}, {what} | real tokens/s | yanmo is faster by | dev accuracy |"
    ours = {_precision(name): found for name, found in rows.items() if name.startswith("yanmo")}
    lines = [_line(name, found, ours.get(_precision(name), [])) for name, found in rows.items()]
    return (
        f"# Training beside transformers.Trainer, {options.data}\n\n{machine}\n- threads: {options.threads}\n"
        f"- versions: {_versions()}\n\nMedian of {len(options.seeds)} rounds [least – most].\n\n"
        f"{head}\n|---|---|---|---|\n" + "\n".join(lines) + "\n"
    )


def _line(name: str, found: list[dict[str, float]], ours: list[dict[str, float]]) -> str:
    speeds = [one["tokens_per_second"] for one in found]
    ratios = [mine["tokens_per_second"] / speed for mine, speed in zip(ours, speeds, strict=False)]
    scores = [one["accuracy"] for one in found if "accuracy" in one]
    ratio = "–" if name.startswith("yanmo") or not ratios else f"{statistics.median(ratios):.2f} x"
    dev = f"{statistics.mean(scores):.2%} ({', '.join(f'{one:.2%}' for one in scores)})" if scores else "–"
    return f"| {name} | {statistics.median(speeds):,.0f} [{min(speeds):,.0f} – {max(speeds):,.0f}] | {ratio} | {dev} |"


def _precision(name: str) -> str:
    return "fp32" if "fp32" in name else "bf16"


def _versions() -> str:
    from importlib import metadata

    return ", ".join(f"{name} {metadata.version(name)}" for name in ("yanmo", "torch", "transformers", "accelerate"))


if __name__ == "__main__":
    sys.exit(main())
