"""Tokens a second of language models that write, beside transformers and CTranslate2, where that is installed.

    python benchmarks/generation.py [--rounds 3] [--threads 2] [--write FILE]

The shapes are GPT-2 124M, and 6 layers 384 wide with a vocabulary of 8,000; weights are random, so that no end token
comes. Every engine runs in a process of its own, they take turns, and the median of the rounds counts. One row: a
prompt of 32 tokens, 128 more. Eight rows: prompts of 8 to 64 tokens, 64 more each; ours begin as they come, two steps
after each other, the others as one batch. Prefill: the time to the first token behind 512. The bandwidth is that of
reading 512 MB on all threads, in the same run; a token reads every weight once.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from heading import machine_lines

ROOT = Path(__file__).resolve().parents[1]
SHAPES = {"GPT-2 124M": {}, "6x384, 8k": {"vocab_size": 8000, "n_embd": 384, "n_layer": 6, "n_head": 6}}
NUM_NEW, NUM_NEW_OF_EIGHT = 128, 64
LENGTHS = (8, 16, 24, 32, 40, 48, 56, 64)
ENGINES = {
    "yanmo int8, blocks": ("ours", "blocks"),
    "yanmo int8, rows": ("ours", "rows"),
    "yanmo fp32": ("ours", "fp32"),
    "transformers bf16": ("transformers", "bfloat16"),
    "transformers fp32": ("transformers", "float32"),
    "CTranslate2 int8": ("ctranslate2", "int8"),
}
OURS = {
    "blocks": {"is_int8": True, "products": "blocks"},
    "rows": {"is_int8": True, "products": "rows"},
    "fp32": {"is_int8": False},
}
COLUMNS = {
    "one": "1 row, tokens/s",
    "eight": "8 rows, tokens/s",
    "prefill": "prefill 512, tokens/s",
    "peak": "peak, MiB",
}


def make_models(folder: Path) -> None:
    """Save every shape for every engine."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    from yanmo.exporting.decoder import read_decoder
    from yanmo.exporting.decoder_graph import write_decoder
    from yanmo.exporting.graph import write_weights_apart

    for name, shape in SHAPES.items():
        torch.manual_seed(0)
        model = GPT2LMHeadModel(GPT2Config(**shape, bos_token_id=0, eos_token_id=0))
        source = folder / name
        model.save_pretrained(source)
        decoder = read_decoder(source)
        for variant, options in OURS.items():
            (source / variant).mkdir()
            write_weights_apart(write_decoder(decoder, **options), source / variant / "model.onnx")
        words = {f"t{place}": place for place in range(model.config.vocab_size)}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="t0"))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, unk_token="t0", bos_token="t0", eos_token="t0"
        ).save_pretrained(source)
        if importlib.util.find_spec("ctranslate2"):
            import ctranslate2

            ctranslate2.converters.TransformersConverter(str(source)).convert(str(source / "ct2"), quantization="int8")


def open_ours(source: Path, variant: str, num_threads: int):
    from yanmo.runtimes.generating.bound_call import BoundCall
    from yanmo.runtimes.generating.decoder_session import DecoderSession
    from yanmo.runtimes.generating.decoding import Decoding
    from yanmo.runtimes.generating.generator import Generator

    path = source / variant / "model.onnx"
    session = DecoderSession(path, num_rows=8, max_length=1024, num_threads=num_threads)
    inside = [0.0]
    run = BoundCall.run

    def timed(call) -> None:
        begin = time.perf_counter()
        run(call)
        inside[0] += time.perf_counter() - begin

    BoundCall.run = timed

    def write(prompts: list[list[int]], count: int) -> None:
        generator = Generator(session)
        for prompt in prompts:
            generator.begin(prompt, Decoding(max_new_tokens=count, temperature=0))
            generator.step()
            generator.step()
        while not generator.is_idle:
            generator.step()

    return write, inside


def open_transformers(source: Path, variant: str, num_threads: int):
    import torch
    from transformers import GPT2LMHeadModel

    torch.set_num_threads(num_threads)
    model = GPT2LMHeadModel.from_pretrained(source, dtype=getattr(torch, variant)).eval()

    def write(prompts: list[list[int]], count: int) -> None:
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (width - len(one)) + [1] * len(one) for one in prompts])
        with torch.inference_mode():
            model.generate(
                ids, attention_mask=mask, max_new_tokens=count, min_new_tokens=count, do_sample=False, pad_token_id=0
            )

    return write, None


def open_ctranslate2(source: Path, variant: str, num_threads: int):
    import ctranslate2

    generator = ctranslate2.Generator(
        str(source / "ct2"), compute_type=variant, intra_threads=num_threads, inter_threads=1
    )

    def write(prompts: list[list[int]], count: int) -> None:
        words = [[f"t{token}" for token in prompt] for prompt in prompts]
        generator.generate_batch(
            words, max_length=count, min_length=count, sampling_topk=1, include_prompt_in_result=False
        )

    return write, None


def measure(source: Path, kind: str, variant: str, num_threads: int) -> dict[str, float]:
    """Measure one engine in this process."""
    write, inside = {"ours": open_ours, "transformers": open_transformers, "ctranslate2": open_ctranslate2}[kind](
        source, variant, num_threads
    )
    generator = np.random.default_rng(0)
    draw = lambda length: generator.integers(1, 8000, length).tolist()  # noqa: E731
    write([draw(32)], 8)
    first = min(_seconds(write, [draw(32)], 1) for _ in range(3))
    before = inside[0] if inside else 0.0
    one = _seconds(write, [draw(32)], NUM_NEW + 1)
    found = {"one": NUM_NEW / (one - first)}
    if inside:
        found["python_share"] = 1 - (inside[0] - before) / one
    # Not ru_maxrss: a process that was started by another begins with what that one had.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024
    eight = _seconds(write, [draw(length) for length in LENGTHS], NUM_NEW_OF_EIGHT)
    found["eight"] = len(LENGTHS) * NUM_NEW_OF_EIGHT / eight
    found["prefill"] = 512 / min(_seconds(write, [draw(512)], 1) for _ in range(2))
    return {**found, "peak": peak}


def _seconds(write, prompts: list[list[int]], count: int) -> float:
    begin = time.perf_counter()
    write(prompts, count)
    return time.perf_counter() - begin


def bandwidth(num_threads: int) -> float:
    """Return how many bytes a second all threads read together, at best."""
    parts = [np.ones(2**27 // num_threads, np.float32) for _ in range(num_threads)]
    best = np.inf
    for _ in range(5):
        threads = [threading.Thread(target=part.max) for part in parts]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        best = min(best, time.perf_counter() - begin)
    return 2**29 / best


def main() -> int:
    """Measure all engines in turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--write", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        source, kind, variant = options.child
        print(json.dumps(measure(Path(source), kind, variant, options.threads)))
        return 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        make_models(folder)
        lines = [f"# Writing texts\n\n{machine_lines()}\n\n```{__doc__}```\n"]
        for name in SHAPES:
            lines += [f"## {name}\n", *_table(folder / name, options)]
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _table(source: Path, options: argparse.Namespace) -> list[str]:
    engines = {name: kinds for name, kinds in ENGINES.items() if kinds[0] != "ctranslate2" or (source / "ct2").is_dir()}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in engines}
    speeds = []
    for _ in range(options.rounds):
        speeds.append(bandwidth(options.threads))
        for name, kinds in engines.items():
            command = [sys.executable, __file__, "--threads", str(options.threads), "--child", str(source), *kinds]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(source.name, name, found[name][-1], file=sys.stderr, flush=True)
    middle = {
        name: {key: statistics.median(one[key] for one in rows) for key in rows[0]} for name, rows in found.items()
    }
    size = (source / "blocks" / "model.data").stat().st_size
    most = statistics.median(speeds) / size
    lines = [f"| engine | {' | '.join(COLUMNS.values())} | Python |", "|---|---|---|---|---|---|"]
    for name, values in middle.items():
        cells = [f"{values[key]:,.0f}" for key in COLUMNS]
        share = f"{values['python_share']:.1%}" if "python_share" in values else "–"
        lines.append(f"| {name} | {' | '.join(cells)} | {share} |")
    lines.append("")
    for kind in ("blocks", "rows"):
        ours = middle[f"yanmo int8, {kind}"]
        for name, values in middle.items():
            if not name.startswith("yanmo"):
                ratios = ", ".join(
                    f"{COLUMNS[key].partition(',')[0]} {ours[key] / values[key]:.2f} ×"
                    for key in COLUMNS
                    if key != "peak"
                )
                lines.append(f"- int8 by {kind} against {name}: {ratios}")
    ours = middle["yanmo int8, blocks"]
    lines.append(
        f"- bandwidth {statistics.median(speeds) / 1e9:.1f} GB/s, {size / 1e6:.0f} MB a token: {most:,.0f} tokens/s "
        f"at most; one row reaches {ours['one'] / most:.0%}; eight rows {ours['eight'] / ours['one']:.1f} × one row\n"
    )
    return lines


if __name__ == "__main__":
    sys.exit(main())
