"""Tokens a second of models that write a text from another, beside transformers and CTranslate2, where that is here.

    python benchmarks/answering.py [--rounds 3] [--threads 2] [--shape t5-small] [--clock wall] [--write FILE]

The shape is that of T5-small; weights are random, so that no end token comes, and every answer has 32 tokens. One text
has 32 tokens, 32 texts have 8 to 64. Answers are written greedily, and by 4 beams. Every engine runs in a process of
its own, they take turns, and the median of the rounds counts. A student has half the layers that
write. On a machine that others use, too, --clock cpu with one thread counts the seconds of the processor alone.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from heading import machine_lines

SHAPES = {
    "t5-small": {"d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_heads": 8, "vocab_size": 32128},
    "student": {
        "d_model": 512,
        "d_kv": 64,
        "d_ff": 2048,
        "num_layers": 6,
        "num_heads": 8,
        "vocab_size": 32128,
        "num_decoder_layers": 3,
    },
}
NUM_NEW = 32
LENGTHS = {"one": [32], "many": np.linspace(8, 64, 32).round().astype(int).tolist()}
ENGINES = {
    "yanmo int8": ("ours", "int8"),
    "yanmo fp32": ("ours", "fp32"),
    "transformers fp32": ("transformers", "float32"),
    "CTranslate2 int8": ("ctranslate2", "int8"),
}
COLUMNS = {
    ("one", 1): "1 text, greedy",
    ("many", 1): "32 texts, greedy",
    ("one", 4): "1 text, 4 beams",
    ("many", 4): "32 texts, 4 beams",
}
LEAST_SECONDS = 1.0
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def make_model(folder: Path, shape: str) -> None:
    """Save a shape for every engine."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    from yanmo.exporting.encoder_decoder import read_encoder_decoder
    from yanmo.exporting.encoder_decoder_graph import write_answering

    torch.manual_seed(0)
    model = T5ForConditionalGeneration(T5Config(**SHAPES[shape], decoder_start_token_id=0))
    model.save_pretrained(folder)
    network = read_encoder_decoder(folder)
    for precision in ("int8", "fp32"):
        place = folder / precision
        write_answering(network, is_int8=precision == "int8").save(place / "encoder.onnx", place / "decoder.onnx")
    words = {f"t{place}": place for place in range(model.config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="t2"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="t2", pad_token="t0", eos_token="t1").save_pretrained(
        folder
    )
    if importlib.util.find_spec("ctranslate2"):
        import ctranslate2

        ctranslate2.converters.TransformersConverter(str(folder)).convert(str(folder / "ct2"), quantization="int8")


def open_ours(folder: Path, variant: str, num_threads: int):
    from yanmo.runtimes.generating.answering import AnswerWishes, answer_texts
    from yanmo.runtimes.generating.encoder_decoder_session import EncoderDecoderSession

    paths = [folder / variant / name for name in ("encoder.onnx", "decoder.onnx")]
    session = EncoderDecoderSession(*paths, max_length=NUM_NEW + 1, num_threads=num_threads)

    def write(texts: list[list[int]], num_beams: int) -> None:
        lengths = np.array([len(one) for one in texts])
        ids = np.zeros((len(texts), lengths.max()), np.int64)
        for row, one in enumerate(texts):
            ids[row, : len(one)] = one
        # No token ends an answer.
        wishes = AnswerWishes(begin_id=0, end_id=-1, max_new_tokens=NUM_NEW, num_beams=num_beams)
        answer_texts(session, ids, lengths, wishes)

    return write


def open_transformers(folder: Path, variant: str, num_threads: int):
    import torch
    from transformers import T5ForConditionalGeneration

    torch.set_num_threads(num_threads)
    model = T5ForConditionalGeneration.from_pretrained(folder, dtype=getattr(torch, variant)).eval()

    def write(texts: list[list[int]], num_beams: int) -> None:
        width = max(map(len, texts))
        ids = torch.tensor([one + [0] * (width - len(one)) for one in texts])
        with torch.inference_mode():
            model.generate(
                ids,
                attention_mask=(ids != 0).long(),
                num_beams=num_beams,
                max_new_tokens=NUM_NEW,
                min_new_tokens=NUM_NEW,
                do_sample=False,
            )

    return write


def open_ctranslate2(folder: Path, variant: str, num_threads: int):
    import ctranslate2

    translator = ctranslate2.Translator(
        str(folder / "ct2"), compute_type=variant, intra_threads=num_threads, inter_threads=1
    )

    def write(texts: list[list[int]], num_beams: int) -> None:
        translator.translate_batch(
            [[f"t{token}" for token in one] for one in texts],
            beam_size=num_beams,
            max_decoding_length=NUM_NEW,
            min_decoding_length=NUM_NEW,
        )

    return write


def measure(folder: Path, kind: str, variant: str, num_threads: int, clock: str) -> dict[str, float]:
    """Return the tokens a second of one engine in every case."""
    now = CLOCKS[clock]
    opened = {"ours": open_ours, "transformers": open_transformers, "ctranslate2": open_ctranslate2}
    write = opened[kind](folder, variant, num_threads)
    generator = np.random.default_rng(0)
    found = {}
    for case, num_beams in COLUMNS:
        texts = [generator.integers(3, 32000, length).tolist() for length in LENGTHS[case]]
        write(texts, num_beams)
        begin, count = now(), 0
        while now() - begin < LEAST_SECONDS:
            write(texts, num_beams)
            count += 1
        found[f"{case} {num_beams}"] = count * len(texts) * NUM_NEW / (now() - begin)
    return found


def run_all(folder: Path, given: argparse.Namespace, engines: list[str]) -> dict[str, dict[str, float]]:
    """Return the median of every engine in every case; the engines take turns."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    for _ in range(given.rounds):
        for name in engines:
            kind, variant = ENGINES[name]
            command = [sys.executable, __file__, "--child", str(folder), kind, variant, str(given.threads), given.clock]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            rounds[name].append(json.loads(told.splitlines()[-1]))
            print(name, {key: round(value, 1) for key, value in rounds[name][-1].items()}, file=sys.stderr, flush=True)
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in rounds.items()
    }


def table(found: dict[str, dict[str, float]]) -> str:
    """Return the tokens a second, and how many times those of the others ours are."""
    keys = [f"{case} {num_beams}" for case, num_beams in COLUMNS]
    lines = ["| tokens/s | " + " | ".join(COLUMNS.values()) + " |", "|---" * (len(keys) + 1) + "|"]
    for name, values in found.items():
        lines.append(f"| {name} | " + " | ".join(f"{values[key]:,.0f}" for key in keys) + " |")
    ours = found["yanmo int8"]
    for name, values in found.items():
        if not name.startswith("yanmo"):
            lines.append(f"| × {name} | " + " | ".join(f"{ours[key] / values[key]:.1f}" for key in keys) + " |")
    return "\n".join(lines)


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        folder, kind, variant, num_threads, clock = sys.argv[2:]
        print(json.dumps(measure(Path(folder), kind, variant, int(num_threads), clock)))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--shape", choices=SHAPES, default="t5-small")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--write", type=Path)
    given = parser.parse_args()
    engines = [one for one in ENGINES if not one.startswith("CT") or importlib.util.find_spec("ctranslate2")]
    with tempfile.TemporaryDirectory() as name:
        make_model(Path(name), given.shape)
        found = table(run_all(Path(name), given, engines))
    print(found)
    if given.write:
        head = f"# Answers of the shape {given.shape}\n\n{machine_lines()}"
        head += f"\n- threads: {given.threads}; clock: {given.clock}\n"
        given.write.write_text(f"{head}\n{found}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
