"""Where the time of a training step goes: its phases beside its products alone, which nothing here can make faster.

    python benchmarks/training_phases.py                 # bert-4x312, batch 32, one thread and all
    python benchmarks/training_phases.py --model bert-6x384 --rounds 100

Needs the extra `train` and thucnews_titles in YANMO_DATA. Rounds take turns; the fastest of each phase counts, as other
programs only make a phase slower. The clock is the processor's, of all threads together, divided by their number.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from heading import machine_lines

import training

PHASES = ("masks", "forward without masks", "backward", "norm of the gradient", "optimizer")
BATCH_SIZE = 32


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bert-4x312")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    print(machine_lines())
    for num_threads in sorted({1, len(os.sched_getaffinity(0))}):
        torch.set_num_threads(num_threads)
        step = Step(options.model)
        rows = np.array([step.run() for _ in range(options.rounds)])
        products = [seconds_of(step.products()) for _ in range(options.rounds // 2)]
        print("\n".join(["", *table(step, rows.min(axis=0) / num_threads, min(products) / num_threads, num_threads)]))
    return 0


class Step:
    """One step of the loop of `train` on one batch of texts of middling length, cut into its phases."""

    def __init__(self, model: str) -> None:
        from yanmo.answers.links import SOFTMAX
        from yanmo.modeling.features.ragged import Examples, TokenFeatures
        from yanmo.modeling.loop import micro_batches
        from yanmo.modeling.networks import fast_encoder
        from yanmo.modeling.networks.dropout import Masks, replace_dropout
        from yanmo.modeling.objectives.choices import ChoicesObjective, Labels
        from yanmo.modeling.optimizing.optimizer import make_optimizer

        torch.manual_seed(0)
        (ids, classes_N), _, tokenizer, labels = training.encode()
        self.module = training.make_module(model, tokenizer, labels)
        self.module.train()
        self.masks, self.mask_seconds = Masks(), 0.0
        self.draw, self.masks.draw = self.masks.draw, self.timed_draw  # type: ignore[method-assign]
        replace_dropout(self.module, self.masks)
        self.parameters = list(self.module.parameters())
        self.optimizer = make_optimizer(self.module, learning_rate=1e-5, weight_decay=0.01)
        rows_B = np.argsort(ids.lengths_N, kind="stable")[len(ids.lengths_N) // 2 :][:BATCH_SIZE]
        self.num_tokens = int(ids.lengths_N[rows_B].sum())
        targets_NC = np.eye(len(labels), dtype=np.float32)[classes_N]
        features = TokenFeatures(ids, None, tokenizer.token_to_id("[PAD]"))
        (self.part,) = micro_batches.make_parts(
            Examples(features, Labels(targets_NC)), rows_B, num_passes=1, num_parts=1, device="cpu"
        )
        self.learning = micro_batches.Learning(fast_encoder.score, ChoicesObjective(SOFTMAX, lambda *_: {}))
        self.part_loss = micro_batches.part_loss

    def timed_draw(self, like: Any, probability: float) -> Any:
        begin = time.process_time()
        mask = self.draw(like, probability)
        self.mask_seconds += time.process_time() - begin
        return mask

    def run(self) -> list[float]:
        """Return the seconds of each phase."""
        self.masks.seed(np.random.SeedSequence(1))
        self.optimizer.zero_grad(set_to_none=True)
        self.mask_seconds, times = 0.0, [time.process_time()]
        loss, _ = self.part_loss(self.learning, self.module, self.part, precision="bf16", device="cpu")
        times.append(time.process_time())
        loss.backward()
        times.append(time.process_time())
        torch.nn.utils.get_total_norm([one.grad for one in self.parameters if one.grad is not None]).item()
        times.append(time.process_time())
        self.optimizer.step()
        times.append(time.process_time())
        forward, *others = np.diff(times).tolist()
        return [self.mask_seconds, forward - self.mask_seconds, *others]

    def products(self) -> Callable[[], object]:
        """Return what computes the step's products between weights and states, in bf16, and nothing else."""
        config = self.module.config
        num_cells, width, inner = self.part.batch["input_ids"].numel(), config.hidden_size, config.intermediate_size
        states, hidden = (torch.randn(num_cells, size).bfloat16() for size in (width, inner))
        square, up, down = (
            torch.randn(*shape).bfloat16() for shape in ((width, width), (inner, width), (width, inner))
        )

        def layer() -> Iterator[Any]:
            for _ in range(4):  # query, key, value, output: forward, towards the states, towards the weight
                yield states @ square.t()
                yield states @ square
                yield states.t() @ states
            yield from (states @ up.t(), hidden @ up, hidden.t() @ states)
            yield from (hidden @ down.t(), states @ down, states.t() @ hidden)

        # The last layer computes keys and values of all tokens, and all else of one: a third of a layer's products.
        num_layers = config.num_hidden_layers - 1
        return lambda: [sum(1 for _ in layer()) for _ in range(num_layers)]


def seconds_of(compute: Callable[[], object]) -> float:
    begin = time.process_time()
    compute()
    return time.process_time() - begin


def table(step: Step, phases: Any, products: float, num_threads: int) -> list[str]:
    whole = float(phases.sum())
    lines = [f"{num_threads} thread(s), {step.num_tokens} tokens a step: {step.num_tokens / whole:,.0f} tokens/s", ""]
    lines += ["| phase | ms | share |", "|---|---|---|"]
    for name, seconds in zip(PHASES, phases.tolist(), strict=True):
        lines.append(f"| {name} | {1e3 * seconds:.1f} | {seconds / whole:.0%} |")
    limit = step.num_tokens / products
    lines.append(f"| of all: products of all layers but the last | {1e3 * products:.1f} | {products / whole:.0%} |")
    return [*lines, "", f"With nothing but these products: {limit:,.0f} tokens/s."]


if __name__ == "__main__":
    sys.exit(main())
