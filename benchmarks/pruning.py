"""How much faster an encoder is with half of its heads and neurons, and how much smaller with fewer tokens.

    python benchmarks/pruning.py [--model bert-12x768] [--rounds 5] [--write FILE]
    python benchmarks/pruning.py --vocabulary [--model bert-4x312] [--write FILE]

Random weights: neither speed nor size depends on them. Of the first, BERT-base's shape, both Bundles are quantized with
the default settings and timed in turns in the same process, on the test titles of thucnews_titles: one text alone, and
256 texts at once; the ratio is of each round. The second has 21,128 tokens, as BERT for Chinese has, learned from the
Chinese texts under YANMO_DATA. It keeps those that some training titles hold. Both Bundles, and
transformers' own classes with the smaller folder, answer the first 2,000 test titles: those whose tokens were all kept,
and for comparison the others.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import accuracy
import numpy as np
from heading import machine_lines
from peers.models import random_bundle
from tokenizers import Tokenizer

import yanmo
from yanmo.runtimes.predictor import open_bundle

OUT = Path(__file__).resolve().parents[1] / "runs" / "pruning"
HALF = {"heads": 0.5, "feed_forward": 0.5, "importance": "magnitude", "num_epochs": 0}
GATE = {"max_drop": 1.0, "num_valid_texts": 100, "num_calibration_texts": 100}
NUM_ALONE = 50
NUM_BATCH = 256
NUM_TOKENS = 21_128
NUM_TITLES = (1_000, 10_000, 60_000)
NUM_ANSWERED = 2_000
CHINESE = ("thucnews_titles", "waimai_10k", "cmrc2018", "tang_poetry")


def made(model: str, dataset: yanmo.Dataset) -> dict[str, yanmo.Bundle]:
    """Return the int8 Bundles, whole and pruned, made on first use."""
    folder = OUT / model
    if not (folder / "whole").exists():
        folder.mkdir(parents=True, exist_ok=True)
        random_bundle(model, dataset, folder / "whole")
    if not (folder / "pruned").exists():
        small = dataset_of_few(dataset, folder / "few", 200)
        yanmo.prune(folder / "whole", small, **HALF, out=folder / "pruned")
    for name in ("whole", "pruned"):
        if not (folder / f"{name}-int8").exists():
            # Random weights have no accuracy to lose.
            yanmo.quantize(folder / name, dataset, **GATE, out=folder / f"{name}-int8")
    return {name: yanmo.Bundle.open(folder / f"{name}-int8") for name in ("whole", "pruned")}


def dataset_of_few(dataset: yanmo.Dataset, out: Path, num_titles: int) -> yanmo.Dataset:
    """Return a Dataset of some training titles and 200 of valid: what is answered to these is of no interest here."""
    from yanmo.artifacts.base import Identity, publish

    if not out.exists():
        identity = {"kind": "dataset", "task": dataset.task, "labels": dataset.labels, "info": dataset.manifest.info}
        with publish(out, Identity(verb="prepare", **identity)) as staging:
            for name, num_rows in (("train", num_titles), ("valid", 200)):
                dataset.split(name).head(num_rows).write_parquet(staging / f"{name}.parquet")
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


def vocabulary_rows(model: str, dataset: yanmo.Dataset) -> list[str]:
    """Return the rows of the table of smaller vocabularies, and what they are compared with."""
    folder = OUT / f"{model}-{NUM_TOKENS}"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "whole").exists():
        random_bundle(model, dataset, folder / "whole", texts=chinese_lines(), vocab_size=NUM_TOKENS)
    whole = yanmo.Bundle.open(folder / "whole")
    rows = [
        f"The whole has {len(tokenizer_of(whole).get_vocab()):,} tokens, {weights_mb(whole):.2f} MB of weights, "
        f"{whole.size_bytes / 1e6:.2f} MB in all.\n",
        "| titles | tokens | weights, MB | smaller | in all, MB | smaller | test titles, all tokens kept | other label "
        "| largest difference | of transformers | of other titles |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for num_titles in NUM_TITLES:
        small = dataset_of_few(dataset, folder / f"titles-{num_titles}", num_titles)
        out = folder / f"of-{num_titles}"
        if not out.exists():
            yanmo.prune(whole, small, vocabulary=1, num_epochs=0, out=out)
        titles = f"{small.split('train').height:,}"
        texts = dataset.split("test")["text"].to_list()[:NUM_ANSWERED]
        rows.append(vocabulary_row(titles, whole, yanmo.Bundle.open(out), texts))
    return rows


def vocabulary_row(titles: str, whole: yanmo.Bundle, pruned: yanmo.Bundle, texts: list[str]) -> str:
    """Return what became of one vocabulary."""
    old, new = tokenizer_of(whole), tokenizer_of(pruned)
    tokens = new.get_vocab().keys()
    encodings = old.encode_batch(whole.text_pipeline().apply(texts))
    is_kept_N = np.array([tokens >= set(encoding.tokens) for encoding in encodings])
    before_NC, after_NC = (open_bundle(one).predict_proba(texts) for one in (whole, pruned))
    differences_N = np.abs(after_NC - before_NC).max(axis=1)
    num_changed = int((after_NC.argmax(1) != before_NC.argmax(1))[is_kept_N].sum())
    known = [text for text, is_kept in zip(texts, is_kept_N, strict=True) if is_kept][:NUM_BATCH]
    plain = np.abs(plain_answers(pruned, known) - before_NC[is_kept_N][:NUM_BATCH]).max()
    weights, size = weights_mb(pruned), pruned.size_bytes / 1e6
    return (
        f"| {titles} | {len(tokens):,} | {weights:.2f} | {1 - weights / weights_mb(whole):.1%} | {size:.2f} "
        f"| {1 - 1e6 * size / whole.size_bytes:.1%} | {is_kept_N.sum():,} of {len(texts):,} | {num_changed} "
        f"| {differences_N[is_kept_N].max():.1e} | {plain:.1e} | {differences_N[~is_kept_N].max():.1e} |"
    )


def plain_answers(bundle: yanmo.Bundle, texts: list[str]) -> np.ndarray:
    """Return the probabilities that transformers' own classes give with a Bundle's folder."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundle.path)
    module = AutoModelForSequenceClassification.from_pretrained(bundle.path).eval()
    with torch.inference_mode():
        inputs = tokenizer(bundle.text_pipeline().apply(texts), padding=True, truncation=True, return_tensors="pt")
        return module(**inputs).logits.softmax(1).numpy()


def chinese_lines() -> list[str]:
    """Return the lines of the Chinese sets' files, as they stand there."""
    files = [path for name in CHINESE for path in sorted((accuracy.DATA / name).glob("*.[tcj]*"))]
    return [line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def tokenizer_of(bundle: yanmo.Bundle) -> Tokenizer:
    """Return a Bundle's tokenizer."""
    return Tokenizer.from_file(str(bundle.path / "tokenizer.json"))


def weights_mb(bundle: yanmo.Bundle) -> float:
    """Return the megabytes of a Bundle's weights."""
    return (bundle.path / "model.safetensors").stat().st_size / 1e6


def speed_rows(model: str, dataset: yanmo.Dataset, rounds: int) -> list[str]:
    """Return the table of half of the heads and neurons, and what it is of."""
    bundles = made(model, dataset)
    sizes = ", ".join(f"{name} {bundle.size_bytes / 1e6:.1f} MB" for name, bundle in bundles.items())
    facts = yanmo.Bundle.open(OUT / model / "pruned").summary()
    return [
        f"In int8: {sizes}; heads {facts['heads']}, neurons {facts['neurons']}.\n",
        "| texts | whole, ms a text | pruned, ms a text | faster | of the rounds |\n|---|---|---|---|---|",
        *measure(bundles, dataset.split("test")["text"].to_list(), rounds),
    ]


def main() -> int:
    """Make the smaller ones, and measure them beside the whole."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="by default bert-12x768; with --vocabulary bert-4x312")
    parser.add_argument("--vocabulary", action="store_true", help="leave out tokens, not heads and neurons")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", type=Path)
    options = parser.parse_args()
    dataset = yanmo.Dataset.open(accuracy.prepared("thucnews_titles"), verify=False)
    model = options.model or ("bert-4x312" if options.vocabulary else "bert-12x768")
    machine = machine_lines()
    rows = vocabulary_rows(model, dataset) if options.vocabulary else speed_rows(model, dataset, options.rounds)
    lines = [f"# Pruning\n\n{machine}\n- {model}\n\n```{__doc__}```\n", *rows]
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
