"""The training loop: one for every network, with evaluation, early stopping and exact resume.

It knows no family, no task and no artifact: it gets a network, a way to its scores, examples, a loss and a measure.
The order of the data is a function of (seed, epoch, step), dropout one of (seed, step, worker), and a checkpoint holds
everything else that the next step depends on; so a run that was killed and started again makes the same weights, bit
for bit, as one that was not.
"""

from __future__ import annotations

import functools
import json
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from yanmo import progress
from yanmo.arrays import IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.modeling.arithmetic.compiling import choose_compile, compiled
from yanmo.modeling.arithmetic.determinism import seed_step
from yanmo.modeling.arithmetic.memory import cut_smaller, is_out_of_memory, moving_weights
from yanmo.modeling.arithmetic.precision import choose_precision, has_bf16
from yanmo.modeling.features.ragged import Examples, Score
from yanmo.modeling.loop import adversary, checkpoints, micro_batches, resuming
from yanmo.modeling.loop.batches import batches_of, count_steps, made_ahead
from yanmo.modeling.loop.interpolating import interpolate
from yanmo.modeling.loop.micro_batches import Learning, MatchedScore, Part
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.loop.training_position import Position
from yanmo.modeling.loop.verdicts import is_better, warn_of_rising
from yanmo.modeling.networks.dropout import Masks, replace_dropout
from yanmo.modeling.objectives.objective import Objective
from yanmo.modeling.optimizing.averages import Average, average_rate
from yanmo.modeling.optimizing.optimizer import learning_rate_factor, level_steps, make_optimizer, set_learning_rate
from yanmo.modeling.parallel import sharding, workers
from yanmo.modeling.settings import LoopSettings, Precision
from yanmo.stopping import noted_stop

__all__ = ["METRICS", "Trainer", "fit"]

logger = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")
Computed = tuple[list[tuple[Part, Tensor]], list[float]]
"""Each part of a step with its loss, and what was counted in all of them."""
METRICS = "metrics.jsonl"
LOG_STEPS = 50
SAVE_SECONDS = 30.0
EVALUATION_FACTOR = 4  # without gradients a batch takes far less memory
NUM_TRIED = 4  # batches of several widths, as the run will have them


class Trainer:
    """A training between two steps.

    Args:
        module: The network; it is changed.
        score: From the network and a batch to outputs.
        objective: From outputs and targets to the loss, and to the scores of held-out rows; the best has the best
            ``settings.metric``, then the least ``loss``.
        settings: How to train.
        work_dir: Where the checkpoints and ``metrics.jsonl`` are kept; None keeps neither.
        run_key: Names the work: a checkpoint of another key is not continued.
        matched_score: In training, stands in for ``score`` where the inside of the network is compared, too.
        tell: Is shown every record of ``metrics.jsonl``; if it raises, the training ends.
    """

    def __init__(
        self,
        module: nn.Module,
        score: Score,
        *,
        objective: Objective,
        settings: LoopSettings,
        work_dir: Path | None = None,
        run_key: str = "",
        matched_score: MatchedScore | None = None,
        tell: Watcher = NO_EFFECTS.tell,
    ) -> None:
        self.is_sharded = settings.sharding == "full" and workers.world_size() > 1
        self.module = sharding.shard(module, settings.device) if self.is_sharded else module.to(settings.device)
        self.learning = Learning(score, objective, matched_score)
        self.settings = settings
        self.work_dir, self.run_key = work_dir, run_key
        self.tell = tell
        self.position = Position(num_parts=settings.gradient_accumulation_steps)
        self.best_weights: dict[str, Tensor] = {}
        self.first_weights: dict[str, Tensor] = {}
        self.average = Average(module)
        self.parameters = list(self.average.learning.values())
        self.embeddings = adversary.embedding_weight(module) if settings.fgm_epsilon else None
        self.optimizer = make_optimizer(
            module,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
            kind=settings.optimizer,
        )
        self.stop = threading.Event()
        self.is_stopping = self.is_due = False
        self._masks = Masks()
        replace_dropout(module, self._masks)
        self._saved_at = time.monotonic()

    @functools.cached_property
    def _compiled(self) -> Learning:
        return replace(self.learning, score=compiled(self.learning.score))

    def prepare(self, examples: Examples, rows_S: IntArray) -> list[Part]:
        """Return the parts of a batch that this worker computes."""
        return micro_batches.make_parts(
            examples.of_batch(self.position.epoch, rows_S),
            rows_S,
            num_passes=self.learning.objective.num_passes,
            num_parts=self.position.num_parts,
            device=self.settings.device,
            is_even=self.is_sharded,
        )

    def train_step(self, examples: Examples, rows_S: IntArray, parts: list[Part] | None = None) -> float:
        """Run one step of the optimizer over a batch, and return the batch's mean loss.

        Args:
            examples: What to learn from.
            rows_S: The rows of the batch, those of all workers together.
            parts: What :meth:`prepare` made of them, if it was done ahead.

        Raises:
            ModelError: The loss or its gradient is no finite number, or there is no memory for a single text; the
                weights are as they were before. Or there is none for the optimizer's state.
        """
        self.module.train()

        def backward() -> Computed:
            nonlocal parts
            if parts is None or len(parts) < min(self.position.num_parts, len(workers.share(rows_S))):
                parts = self.prepare(examples, rows_S)
            return self._backward_all(parts, len(rows_S))

        losses, counts = self._in_memory(backward, len(rows_S))
        total = float(sum(loss.item() for _, loss in losses))
        is_late = not workers.rank() and time.monotonic() - self._saved_at > SAVE_SECONDS  # one clock for all workers
        with moving_weights():
            total, num_stops, num_due, *counted = workers.sum_gradients(
                self.parameters, total, float(self.stop.is_set()), is_late, *counts
            )
        self.is_stopping, self.is_due = num_stops > 0, num_due > 0
        norm = nn.utils.get_total_norm([one.grad for one in self.parameters if one.grad is not None])
        length = sharding.whole(norm).item()
        if not math.isfinite(total) or not math.isfinite(length):
            raise micro_batches.not_finite(total, losses, examples, step=self.position.step + 1)
        if length > self.settings.max_grad_norm:
            nn.utils.clip_grads_with_norm_(self.parameters, self.settings.max_grad_norm, norm)
        with moving_weights():
            self.optimizer.step()
        self.position.add_counts(counted)
        return total

    def evaluate(self, examples: Examples) -> dict[str, float]:
        """Return the scores of the current weights, or of their mean where one is kept.

        Raises:
            ModelError: They are no finite numbers.
        """
        with self.average.applied():
            outputs_NS = compute_logits(
                self.module,
                self.learning.score,
                examples.features,
                batch_size=EVALUATION_FACTOR * self.settings.batch_size,
                batch_tokens=self.settings.batch_tokens and EVALUATION_FACTOR * self.settings.batch_tokens,
                precision=self.position.precision,
                device=self.settings.device,
            )
        micro_batches.check_scores(outputs_NS, examples, step=self.position.step)
        return self.learning.objective.measure(outputs_NS, examples.targets)

    def take_scores(self, scores: dict[str, float], num_steps: int) -> None:
        """Note an evaluation, keep the weights if they are the best, and decide whether to stop.

        Before a mean that begins late has begun, or a learning rate that falls late falls, nothing stops the training.
        """
        position = self.position
        position.evaluated_step = position.step
        self.record({f"valid_{name}": value for name, value in scores.items()})
        settings = self.settings
        if is_better(scores, position.best, settings):
            position.best, position.best_step = scores, position.step
            with self.average.applied():
                self.best_weights = checkpoints.unshared_state(self.module, "")
        if position.step and is_better(scores, position.best_learned, settings):
            position.best_learned, position.num_worse = scores, 0
            return
        is_waiting = self.settings.swa_start < 1 and not self.average.weights
        if not is_waiting and position.step > level_steps(num_steps, schedule=self.settings.schedule):
            position.num_worse += 1
            position.is_done = position.num_worse >= self.settings.early_stopping_patience

    def record(self, values: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        self.position.history.append({"step": self.position.step, "epoch": self.position.epoch, **values})
        self.tell(self.position.history[-1])
        if self.work_dir is not None and not workers.rank():
            lines = [json.dumps(line) + "\n" for line in self.position.history]
            (self.work_dir / METRICS).write_text("".join(lines), encoding="utf-8")

    def record_loss(self, loss: float, learning_rate: float, seconds: float) -> None:
        """Add a step's loss to the running mean, which becomes a record every 50 steps."""
        self.position.add_loss(loss, seconds)
        if self.position.step % LOG_STEPS == 0:
            mean, counted, took = self.position.take_running()
            self.record(
                {"train_loss": mean, "learning_rate": learning_rate, **self.learning.objective.describe(counted, took)}
            )

    def save(self) -> None:
        """Write a checkpoint now; all workers do so after the same step."""
        resuming.save_training(self)
        self._saved_at = time.monotonic()

    def choose_arithmetic(self, examples: Examples, batches: Sequence[IntArray], num_steps: int) -> None:
        """Set what was given, or what is faster: precision, compiled or not; random state and weights stay.

        Args:
            examples: What to learn from.
            batches: Rows of some batches to try.
            num_steps: Of the whole training.
        """
        settings, position = self.settings, self.position

        def prepared() -> list[Part]:
            found = [part for rows_S in batches for part in self.prepare(examples, rows_S)[:1]]
            try_steps("bf16" if settings.precision == "bf16" else "fp32", found)
            return found

        parts = functools.cache(lambda: self._in_memory(prepared, max(map(len, batches), default=1)))

        def try_steps(precision: Precision, tried: Sequence[Part], *, is_compiled: bool = False) -> int:
            learning = self._compiled if is_compiled else self.learning
            for part in tried:
                loss, _ = micro_batches.part_loss(
                    learning, self.module, part, precision=precision, device=settings.device
                )
                loss.backward()  # type: ignore[no-untyped-call]
                self.optimizer.zero_grad(set_to_none=True)
            return max(1, len(tried))

        self.module.train()
        if self.is_sharded:  # workers that measure for themselves would not run the same steps
            is_fast = settings.precision == "auto" and has_bf16(settings.device)
            position.precision = "bf16" if is_fast or settings.precision == "bf16" else "fp32"
            return
        with torch.random.fork_rng():
            position.precision = choose_precision(
                settings.precision, lambda precision: try_steps(precision, parts()[:1]), device=settings.device
            )
            position.precision = workers.agree(position.precision)
            position.is_compiled = choose_compile(
                settings.compile,
                lambda is_compiled: try_steps(position.precision, parts(), is_compiled=is_compiled),
                num_steps=num_steps,
            )
            position.is_compiled = workers.agree(position.is_compiled)

    def average_weights(self, num_steps: int) -> None:
        """Move the mean of the weights after a step, where one is kept; it alone competes from its beginning on."""
        rate = average_rate(self.settings, self.position.step, num_steps)
        if rate is None:
            return
        if not self.average.weights:
            self.position.best, self.position.best_learned, self.position.num_worse = {}, {}, 0
        self.average.update(rate)

    def _backward_all(self, parts: list[Part], num_rows: int) -> Computed:
        """Compute the gradients of a batch, those of moved embeddings too; return each part's loss and all counts."""
        self._masks.seed(seed_step(self.settings.seed, self.position.step, workers.rank()))
        self.optimizer.zero_grad(set_to_none=True)
        losses: list[tuple[Part, Tensor]] = []
        counts: list[Tensor] = []
        for place, part in enumerate(parts):
            sharding.sync_gradients(self.module, is_last=place == len(parts) - 1)  # one message a step
            loss, counted = self._backward(part, num_rows)
            losses.append((part, loss))
            counts += [] if counted is None else [counted]
        if self.embeddings is not None:
            weight = self.embeddings
            gradient = torch.zeros_like(weight) if weight.grad is None else weight.grad.clone()
            with adversary.moved(weight, workers.sum_tensor(gradient), self.settings.fgm_epsilon):
                for part in parts:
                    self._backward(part, num_rows)
        return losses, torch.stack(counts).sum(dim=0).tolist() if counts else []

    def _backward(self, part: Part, num_rows: int) -> tuple[Tensor, Tensor | None]:
        """Add the gradient of a part; its loss counts by its share of the batch's texts."""
        learning, settings = self._compiled if self.position.is_compiled else self.learning, self.settings
        loss, counts = micro_batches.part_loss(
            learning, self.module, part, precision=self.position.precision, device=settings.device
        )
        loss = loss * (len(part.rows_B) / num_rows)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach(), counts

    def _in_memory(self, compute: Callable[[], ResultT], num_rows: int) -> ResultT:
        """Return what is computed with parts of batches; where memory does not suffice, with smaller ones."""
        while True:
            try:
                return compute()
            except (MemoryError, RuntimeError) as error:
                if is_out_of_memory(error):
                    is_fixed = self.is_sharded or (self.settings.fgm_epsilon > 0 and workers.world_size() > 1)
                    self.position.num_parts = cut_smaller(self.position.num_parts, num_rows, error, is_fixed=is_fixed)
                elif self.is_sharded:
                    raise workers.lost(error) from error
                else:
                    raise


def fit(
    trainer: Trainer, train: Examples, valid: Examples, begin: Callable[[Precision], object] | None = None
) -> dict[str, float]:
    """Train to the end, or to the early stop, leave the best weights in the network, and return their scores.

    Args:
        trainer: A fresh training; it resumes from its work folder by itself.
        train: Examples to learn from.
        valid: Examples that choose the best weights.
        begin: Changes the weights before the first step, in the precision that was chosen; what it made is evaluated.

    Raises:
        ModelError: The loss is not a finite number, or another worker has died.
        StoppedError: SIGTERM came; the checkpoint is that of the step that all workers have done.
    """
    settings = trainer.settings
    batches = batches_of(train, settings, 0)
    num_steps = count_steps(train, settings)
    if not resuming.resume(trainer):
        if num_steps:
            trainer.choose_arithmetic(train, batches[:NUM_TRIED], num_steps)
        if begin is not None:
            begin(trainer.position.precision)
            trainer.take_scores(trainer.evaluate(valid), num_steps)
            if settings.interpolate_weights:
                trainer.first_weights = checkpoints.unshared_state(trainer.module, "")
        trainer.save()
    workers.wait_for_all()
    position = trainer.position
    with noted_stop() as trainer.stop, progress.bar(num_steps, "train", unit="step", initial=position.step) as bar:
        while position.epoch < settings.num_epochs and not position.is_done:
            _run_epoch(trainer, train, valid, num_steps, bar)
        if position.evaluated_step != position.step:
            trainer.take_scores(trainer.evaluate(valid), num_steps)
        if workers.agree(trainer.stop.is_set()):
            trainer.save()
    warn_of_rising(position, settings)
    interpolate(trainer, valid)
    trainer.module.load_state_dict(trainer.best_weights)
    if trainer.is_sharded:
        sharding.gather(trainer.module)
    trainer.module.eval()
    return position.best


def _run_epoch(trainer: Trainer, train: Examples, valid: Examples, num_steps: int, bar: Any) -> None:
    """Run the rest of the current epoch and move to the next one."""
    settings, position = trainer.settings, trainer.position
    batches = batches_of(train, settings, position.epoch)
    began, seconds, num_tokens = time.perf_counter(), 0.0, 0
    for rows_S, parts in made_ahead(functools.partial(trainer.prepare, train), batches[position.group :]):
        factor = learning_rate_factor(
            position.step, num_steps=num_steps, warmup_ratio=settings.warmup_ratio, schedule=settings.schedule
        )
        set_learning_rate(trainer.optimizer, settings.learning_rate * factor)
        loss = trainer.train_step(train, rows_S, parts)
        position.step += 1
        position.group += 1
        trainer.average_weights(num_steps)
        bar.update(1)
        num_tokens += int(train.features.lengths_N[rows_S].sum())
        took = time.perf_counter() - began
        seconds += took
        bar.set_postfix({"loss": f"{loss:.3f}", "tokens/s": f"{num_tokens / seconds:.0f}"}, refresh=False)
        trainer.record_loss(loss, settings.learning_rate * factor, took)
        every = settings.eval_steps
        if position.step % every == 0 if every else position.group == len(batches):
            trainer.take_scores(trainer.evaluate(valid), num_steps)
        resuming.stop_or_save(trainer)
        if position.is_done:
            break
        began = time.perf_counter()
    position.epoch += 1
    position.group = 0
