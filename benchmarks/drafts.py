"""Tokens a second of a language model with a draft and without, and whether both write the same.

    python benchmarks/drafts.py MODEL DRAFT TEXTS.txt [--new 128] [--guessed 2 4 8] [--draws 100000] [--threads 2]

MODEL is a Bundle of format decoder, DRAFT one of format decoder or kneser-ney with the same tokens; of every line of
TEXTS.txt the first half is a prompt. Every prompt is written behind greedily and with temperature 1, without a draft
and with each number of guessed tokens in turns; the medians over prompts count. "Kept": tokens of a step more than one.
With --draws so many texts of three tokens, each of the four likeliest, are drawn with the draft, and their counts held
against what the model's scores say of all 64: p is that of the chi-square test.
"""

import argparse
import itertools
import statistics
import time
from pathlib import Path

import numpy as np
from heading import machine_lines
from scipy.stats import chisquare

from yanmo.runtimes.generating.decoding import Decoding
from yanmo.runtimes.generating.generator import WrittenRow
from yanmo.runtimes.generating.writer import Writer, open_writer

WIDTH, LENGTH = 4, 3
"""Tokens to choose from in each of so many steps."""
WAYS = {"greedy": 0.0, "drawn": 1.0}


def write(writer: Writer, prompt: list[int], decoding: Decoding) -> tuple[WrittenRow, float, int]:
    """Return a row that was written alone, the seconds behind its first token, and its steps."""
    row = writer.generator.begin(prompt, decoding)
    while not row.ids:
        writer.generator.step()
    begin, num_steps = time.perf_counter(), 0
    while row.ending is None:
        writer.generator.step()
        num_steps += 1
    return row, time.perf_counter() - begin, num_steps


def measure(plain: Writer, writer: Writer, prompts: list[list[int]], options: argparse.Namespace) -> list[str]:
    """Return the lines of a table."""
    lines = ["| | guessed | tokens/s | against none | kept a step | same texts |", "|---|---|---|---|---|---|"]
    for way, temperature in WAYS.items():
        rates: dict[int, list[float]] = {count: [] for count in (0, *options.guessed)}
        kept: dict[int, list[float]] = {count: [] for count in rates}
        same = dict.fromkeys(rates, 0)
        for number, prompt in enumerate(prompts):
            texts = {}
            for count, measured in rates.items():
                wishes = Decoding(
                    max_new_tokens=options.new,
                    temperature=temperature,
                    seed=number,
                    num_guessed=count,
                    end_ids=frozenset(),
                )
                row, seconds, num_steps = write(writer if count else plain, prompt, wishes)
                texts[count] = row.ids
                measured.append((len(row.ids) - 1) / seconds)
                kept[count].append((len(row.ids) - 1) / num_steps - 1)
                same[count] += texts[count] == texts[0]
        medians = {count: statistics.median(found) for count, found in rates.items()}
        for count, rate in medians.items():
            told = (f"{rate:,.0f}", f"{rate / medians[0]:.2f}", f"{statistics.mean(kept[count]):.2f}")
            lines.append(f"| {way} | {count} | {' | '.join(told)} | {same[count]} of {len(prompts)} |")
    return lines


def chi_square(writer: Writer, prompt: list[int], *, num_draws: int, num_guessed: int) -> float:
    """Return the p-value of draws with a draft against the model's own scores."""
    choices: dict[tuple[int, ...], tuple[list[int], np.ndarray]] = {}
    for length in range(LENGTH):
        for before in itertools.product(range(WIDTH), repeat=length):
            ids = [*prompt, *(choices[before[:place]][0][before[place]] for place in range(length))]
            scores_V = writer.session.extend(0, ids, 0, wanted_W=np.array([len(ids) - 1]))[0].astype(np.float64)
            best = np.argsort(-scores_V)[:WIDTH]
            weights = np.exp(scores_V[best] - scores_V[best].max())
            choices[before] = (best.tolist(), weights / weights.sum())
    expected = {}
    for places in itertools.product(range(WIDTH), repeat=LENGTH):
        named = tuple(choices[places[:n]][0][places[n]] for n in range(LENGTH))
        expected[named] = float(np.prod([choices[places[:n]][1][places[n]] for n in range(LENGTH)]))
    writer.renew()
    counts = dict.fromkeys(expected, 0)
    for seed in range(num_draws):
        wishes = Decoding(max_new_tokens=LENGTH, top_k=WIDTH, seed=seed, num_guessed=num_guessed, end_ids=frozenset())
        counts[tuple(write(writer, prompt, wishes)[0].ids)] += 1
    found, wanted = (np.array(list(one.values()), dtype=np.float64) for one in (counts, expected))
    # Rare texts together, as the test wants some of each.
    is_rare = wanted * num_draws < 5
    found, wanted = (np.append(one[~is_rare], one[is_rare].sum()) for one in (found, wanted * num_draws))
    return float(chisquare(found[wanted > 0], wanted[wanted > 0]).pvalue)


def main() -> int:
    """Measure a model with its draft."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("draft", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--new", type=int, default=128)
    parser.add_argument("--guessed", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--draws", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    texts = [line for line in options.texts.read_text(encoding="utf-8").splitlines() if line]
    kept = {"num_threads": options.threads, "num_rows": 1}
    with open_writer(options.model, **kept) as plain, open_writer(options.model, draft=options.draft, **kept) as writer:
        prompts = [writer.tokens(text[: len(text) // 2])[: writer.max_length // 2] for text in texts]
        lines = [f"# Drafts\n\n{machine_lines()}\n\n```{__doc__}```\n", *measure(plain, writer, prompts, options)]
        if options.draws:
            value = chi_square(writer, prompts[0], num_draws=options.draws, num_guessed=max(options.guessed))
            lines.append(f"\nChi-square over {options.draws:,} draws: p = {value:.3f}")
    print("\n".join(lines))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
