"""How fast the graphs written for other families are beside traced ones, and what a smaller vocabulary saves.

    python benchmarks/own_graphs.py [mpnet modernbert] [--rounds 15] [--write]
    python benchmarks/own_graphs.py --vocabulary

Random weights, 6 layers of 384: neither speed nor size depends on them. Both graphs of a network, in fp32 and in 8
bits, are timed in turns in one process on one thread: 8 texts of 16, 48 and 128 tokens, of which half are half as long;
the ratio is the median over the rounds. The vocabulary is that of a network as multilingual ones are, 12 layers of 384
with 250,000 sentence pieces: it keeps those that the embedded messages use.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from adoption import read_texts
from heading import machine_lines
from pages import page_path
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoModelForSequenceClassification

from yanmo.exporting.encoder_folder import read_folder
from yanmo.exporting.encoder_graph import write_encoder
from yanmo.exporting.int8 import EncoderQuantizer, Options, Quantizer, TracedQuantizer
from yanmo.exporting.quantization import ActivationRange
from yanmo.exporting.tracing import trace_graph
from yanmo.runtimes.engines.ort import open_session
from yanmo.text.vocabulary import cut_tokenizer, used_tokens

SIZES = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 6, "intermediate_size": 1536}
VOCAB, NUM_TEXTS, LENGTHS, NUM_PIECES = 8000, 8, (16, 48, 128), 250_000
FAMILIES: dict[str, Any] = {
    "bert": lambda: transformers.BertConfig(**SIZES, vocab_size=VOCAB),
    "distilbert": lambda: transformers.DistilBertConfig(
        vocab_size=VOCAB, dim=384, n_layers=6, n_heads=6, hidden_dim=1536
    ),
    "xlm-roberta": lambda: transformers.XLMRobertaConfig(**SIZES, vocab_size=VOCAB, max_position_embeddings=514),
    "mpnet": lambda: transformers.MPNetConfig(**SIZES, vocab_size=VOCAB, max_position_embeddings=514),
    "modernbert": lambda: transformers.ModernBertConfig(
        **{**SIZES, "intermediate_size": 768}, vocab_size=VOCAB, pad_token_id=0, local_attention=128
    ),
}
OPTIONS = Options("static", "per-channel", "max", reduce_range=True, embeddings=True)


def main() -> int:
    """Measure what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", default=list(FAMILIES), choices=[*FAMILIES])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--vocabulary", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    lines = [] if options.vocabulary and not options.write else measure_graphs(options.families, options.rounds)
    lines += measure_vocabulary() if options.vocabulary or options.write else []
    if options.write:
        head = f"# Graphs of other families, and vocabularies\n\n{machine_lines()}\n\n```{__doc__}```\n\n"
        page_path("own-graphs").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")
    return 0


def say(line: str) -> str:
    """Print a line and return it."""
    print(line, flush=True)
    return line


def make_feed(length: int) -> dict[str, Any]:
    """Return a batch, of which every other text is half as long."""
    lengths_B = np.where(np.arange(NUM_TEXTS) % 2, length // 2, length).astype(np.int32)
    ids_BT = np.random.default_rng(0).integers(5, VOCAB, (NUM_TEXTS, length)).astype(np.int64)
    mask_BT = (np.arange(length) < lengths_B[:, None]).astype(np.int64)
    return {"input_ids": ids_BT * mask_BT + (1 - mask_BT), "attention_mask": mask_BT, "lengths": lengths_B}


def run(session: Any, feed: dict[str, Any]) -> np.ndarray:
    """Return the scores of a batch."""
    types = {one.name: np.int32 if one.type == "tensor(int32)" else np.int64 for one in session.get_inputs()}
    return np.asarray(session.run(["logits"], {name: feed[name].astype(kind) for name, kind in types.items()})[0])


def calibrated(quantizer: Quantizer, path: Path) -> bytes:
    """Return the graph in 8 bits, its ranges seen on one batch."""
    path.write_bytes(quantizer.watched())
    session, feed = open_session(path, 1), make_feed(48)
    names = [one.name for one in session.get_outputs() if one.name.endswith(".input")]
    types = {one.name: np.int32 if one.type == "tensor(int32)" else np.int64 for one in session.get_inputs()}
    values = session.run(names, {name: feed[name].astype(kind) for name, kind in types.items()})
    seen = zip(names, values, strict=True)
    quantizer.calibrate({name.removesuffix(".input"): ActivationRange(one.min(), one.max()) for name, one in seen})
    return quantizer.build()


def measure_graphs(families: Sequence[str], num_rounds: int) -> list[str]:
    """Return the table of speeds."""
    lengths = " | ".join(f"{length} tokens" for length in LENGTHS)
    lines = [
        say(f"| family | precision | largest difference | {lengths} |"),
        say("|---|---|---|" + "---|" * len(LENGTHS)),
    ]
    for family in families:
        with tempfile.TemporaryDirectory() as folder:
            for precision, (ours, theirs) in make_graphs(FAMILIES[family](), Path(folder)).items():
                sessions = []
                for name, content in (("own", ours), ("traced", theirs)):
                    (Path(folder) / f"{name}.onnx").write_bytes(content)
                    sessions.append(open_session(Path(folder) / f"{name}.onnx", 1))
                apart = max(
                    float(np.abs(run(sessions[0], one) - run(sessions[1], one)).max())
                    for one in map(make_feed, LENGTHS)
                )
                cells = " | ".join(compare(sessions, make_feed(length), num_rounds) for length in LENGTHS)
                lines.append(say(f"| {family} | {precision} | {apart:.1e} | {cells} |"))
    return lines


def make_graphs(config: Any, folder: Path) -> dict[str, tuple[bytes, bytes]]:
    """Return the graphs of a network in both precisions, each written and traced."""
    torch.manual_seed(0)
    module = AutoModelForSequenceClassification.from_config(config).eval()
    module.save_pretrained(folder)
    encoder, feed = read_folder(folder), make_feed(16)
    example = {name: feed[name] for name in ("input_ids", "attention_mask")}
    traced = trace_graph(module, lambda inputs: module(**inputs).logits, example)
    int8 = EncoderQuantizer(encoder, OPTIONS, max_length=128, is_pair=False)
    return {
        "fp32": (write_encoder(encoder, max_length=128, is_pair=False), traced),
        "int8": (calibrated(int8, folder / "a.onnx"), calibrated(TracedQuantizer(traced, OPTIONS), folder / "a.onnx")),
    }


def compare(sessions: list[Any], feed: dict[str, Any], num_rounds: int) -> str:
    """Return the median milliseconds of both graphs and the median ratio, measured in turns."""
    seconds = np.zeros((num_rounds, len(sessions)))
    for turn, (place, session) in itertools.product(range(num_rounds), enumerate(sessions)):
        start = time.perf_counter()
        run(session, feed)
        seconds[turn, place] = time.perf_counter() - start
    ours, theirs = 1000 * np.median(seconds, axis=0)
    return f"{ours:.1f} for {theirs:.1f} ms, x {np.median(seconds[:, 1] / seconds[:, 0]):.2f}"


def measure_vocabulary() -> list[str]:
    """Return what is left of a vocabulary of sentence pieces, and of the weights of its network."""
    texts = read_texts()
    generator = np.random.default_rng(0)
    alphabet = np.array(sorted({one for text in texts for one in text if not one.isspace()}))
    pieces = {f"▁{word}": -8.0 for text in texts[::2] for word in text.split()} | dict.fromkeys(["▁", *alphabet], -9.0)
    while len(pieces) < NUM_PIECES - 2:
        made = "".join(generator.choice(alphabet, generator.integers(2, 9)))
        pieces.setdefault(made, -float(generator.uniform(9, 14)))
    tokenizer = Tokenizer(models.Unigram([("<s>", 0.0), ("<unk>", 0.0), *pieces.items()], unk_id=1))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.NFKC(), pre_tokenizers.Metaspace()
    start = time.perf_counter()
    kept = used_tokens(tokenizer, [texts], min_count=1)
    small = cut_tokenizer(tokenizer, kept)
    took = time.perf_counter() - start
    same = sum(small.encode(text).tokens == tokenizer.encode(text).tokens for text in texts)
    config = transformers.XLMRobertaConfig(**{**SIZES, "num_hidden_layers": 12}, max_position_embeddings=514)
    layers = 4 * (AutoModelForSequenceClassification.from_config(config).num_parameters() - config.vocab_size * 384)
    before, after = (layers + 4 * 384 * count for count in (NUM_PIECES, len(kept)))
    texts_said, sizes = f"{len(texts):,} texts", f"{after / 1e6:.0f} MB for {before / 1e6:.0f} MB"
    return [
        say(""),
        say(f"Of {NUM_PIECES:,} sentence pieces {len(kept):,} stay for {texts_said}, found and cut in {took:.1f} s."),
        say(f"The weights take {sizes}; {same:,} of {texts_said} are cut as before."),
    ]


if __name__ == "__main__":
    sys.exit(main())
