"""The training loop: one for every network, with accumulation, evaluation, early stopping and exact resume.

It knows no family, no task and no artifact: it gets a network, a way to its scores, examples, a loss and a measure.
A checkpoint holds everything that the next step depends on, and the order of the data is a function of (seed, epoch),
so a run that was killed and started again makes the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yanmo import progress
from yanmo.errors import ModelError
from yanmo.modeling import checkpoints, watching
from yanmo.modeling.features import Batch, Examples, Features, epoch_batches, sorted_batches
from yanmo.modeling.optim import learning_rate_factor, make_optimizer, set_learning_rate
from yanmo.modeling.precision import autocast, choose_precision
from yanmo.modeling.settings import LoopSettings, Measure, Precision
from yanmo.protocols import FloatArray, IntArray

__all__ = ["METRICS", "Trainer", "compute_logits", "fit"]

logger = logging.getLogger(__name__)

METRICS = "metrics.jsonl"
LOG_STEPS = 50
SAVE_SECONDS = 30.0
EVALUATION_FACTOR = 4

Score = Callable[[nn.Module, Batch], Tensor]


@dataclass
class Position:
    """Where a training is; all of it is plain JSON and goes into the checkpoint.

    Attributes:
        epoch: From 0.
        group: Steps done of this epoch.
        step: Steps done in all.
        loss_sum: Of the steps since the last record.
        loss_steps: Their number.
        best: Scores of the best evaluation.
        num_worse: Evaluations since then.
        evaluated_step: Step of the last evaluation.
        is_done: Early stopping ended the training.
        precision: What the probe chose.
        history: The records of ``metrics.jsonl``.
    """

    epoch: int = 0
    group: int = 0
    step: int = 0
    loss_sum: float = 0.0
    loss_steps: int = 0
    best: dict[str, float] = field(default_factory=dict)
    num_worse: int = 0
    evaluated_step: int = -1
    is_done: bool = False
    precision: Precision = "fp32"
    history: list[dict[str, Any]] = field(default_factory=list)


class Trainer:
    """A training between two steps.

    Args:
        module: The network; it is changed.
        score: From the network and a batch to logits_BC.
        loss: From logits_BC and targets_BC to a scalar, a mean over examples.
        measure: From logits_NC and targets_NC to scores; the best has the highest ``micro_f1``, then the least
            ``loss``.
        settings: How to train.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; None keeps neither.
        run_key: Names the work: a checkpoint of another key is not continued.
        rank: From scores to what is highest for the best, if that is not the highest ``micro_f1``.
        facts: Gives what else a record of the loss holds.
    """

    def __init__(
        self,
        module: nn.Module,
        score: Score,
        *,
        loss: Callable[[Tensor, Tensor], Tensor],
        measure: Measure,
        settings: LoopSettings,
        work_dir: Path | None = None,
        run_key: str = "",
        rank: Callable[[dict[str, float]], Any] | None = None,
        facts: Callable[[], dict[str, float]] = dict,
    ) -> None:
        self.module = module.to(settings.device)
        self.score = score
        self.loss = loss
        self.measure = measure
        self.settings = settings
        self.work_dir = work_dir
        self.run_key = run_key
        self.rank = rank or _rank
        self.facts = facts
        self.position = Position()
        self.best_weights: dict[str, Tensor] = {}
        self.optimizer = make_optimizer(
            module, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self._saved_at = time.monotonic()

    def train_step(self, examples: Examples, group: list[IntArray]) -> tuple[float, int]:
        """Run one optimizer step over the batches of a group; return its mean loss and its number of tokens.

        Raises:
            ModelError: The loss is not a finite number; the weights are as they were before.
        """
        self.module.train()
        self.optimizer.zero_grad(set_to_none=True)
        num_rows = sum(len(rows_B) for rows_B in group)
        total = 0.0
        for rows_B in group:
            loss = self._batch_loss(examples, rows_B, self.position.precision) * (len(rows_B) / num_rows)
            total += loss.item()
            self._check_finite(total)
            loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.module.parameters(), self.settings.max_grad_norm)
        self.optimizer.step()
        return total, int(sum(examples.features.lengths_N[rows_B].sum() for rows_B in group))

    def evaluate(self, examples: Examples) -> dict[str, float]:
        """Return the scores of the current weights."""
        logits_NC = compute_logits(
            self.module,
            self.score,
            examples.features,
            batch_size=EVALUATION_FACTOR * self.settings.batch_size,
            precision=self.position.precision,
            device=self.settings.device,
        )
        return self.measure(logits_NC, examples.targets_NC)

    def take_scores(self, scores: dict[str, float]) -> None:
        """Note an evaluation, keep the weights if they are the best, and decide whether to stop."""
        position = self.position
        position.evaluated_step = position.step
        self.record({f"valid_{name}": value for name, value in scores.items()})
        if not position.best or self.rank(scores) > self.rank(position.best):
            position.best, position.num_worse = scores, 0
            self.best_weights = checkpoints.unshared_state(self.module, "")
            return
        position.num_worse += 1
        position.is_done = position.num_worse >= self.settings.early_stopping_patience

    def record(self, values: dict[str, Any]) -> None:
        """Add a line to ``metrics.jsonl``."""
        self.position.history.append({"step": self.position.step, "epoch": self.position.epoch, **values})
        watching.tell(self.position.history[-1])
        if self.work_dir is not None:
            lines = [json.dumps(line) + "\n" for line in self.position.history]
            (self.work_dir / METRICS).write_text("".join(lines), encoding="utf-8")

    def record_loss(self, loss: float, learning_rate: float) -> None:
        """Add a step's loss to the running mean, which becomes a record every 50 steps."""
        position = self.position
        position.loss_sum += loss
        position.loss_steps += 1
        if position.step % LOG_STEPS == 0:
            mean = position.loss_sum / position.loss_steps
            self.record({"train_loss": mean, "learning_rate": learning_rate, **self.facts()})
            position.loss_sum, position.loss_steps = 0.0, 0

    def save_if_due(self) -> None:
        """Write a checkpoint every 30 seconds, and with ``eval_steps`` at each of these evaluations."""
        every = self.settings.eval_steps
        if time.monotonic() - self._saved_at > SAVE_SECONDS or (every and self.position.step % every == 0):
            self.save()

    def save(self) -> None:
        """Write a checkpoint, if there is a folder for it."""
        if self.work_dir is None:
            return
        tensors = checkpoints.unshared_state(self.module, "module.")
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_weights.items()}
        tensors |= checkpoints.optimizer_tensors(self.optimizer, "optimizer.")
        tensors |= _random_states(self.settings.device)
        checkpoints.write(self.work_dir, tensors, {"run_key": self.run_key, "position": asdict(self.position)})
        self._saved_at = time.monotonic()

    def resume(self) -> bool:
        """Take up the work folder's checkpoint if it belongs to this run; return whether it did."""
        found = checkpoints.read(self.work_dir) if self.work_dir else None
        if found is None:
            return False
        tensors, state = found
        if state["run_key"] != self.run_key:
            logger.warning(
                "The data, the settings or the code have changed since the checkpoint: training starts anew."
            )
            return False
        self.position = Position(**state["position"])
        self.module.load_state_dict(checkpoints.select(tensors, "module."))
        self.best_weights = checkpoints.select(tensors, "best.")
        checkpoints.restore_optimizer(self.optimizer, checkpoints.select(tensors, "optimizer."))
        _restore_random_states(checkpoints.select(tensors, "random."))
        logger.info("Resuming at step %d.", self.position.step)
        return True

    def choose_precision(self, examples: Examples, rows_B: IntArray) -> None:
        """Set the given precision, or the faster one; the random state and the weights stay."""
        if self.settings.precision != "auto":
            self.position.precision = self.settings.precision
            return

        def try_step(precision: Precision) -> None:
            self._batch_loss(examples, rows_B, precision).backward()  # type: ignore[no-untyped-call]
            self.optimizer.zero_grad(set_to_none=True)

        with torch.random.fork_rng():
            self.position.precision = choose_precision(try_step, device=self.settings.device)

    def _batch_loss(self, examples: Examples, rows_B: IntArray, precision: Precision) -> Tensor:
        device = self.settings.device
        batch = _to_device(examples.features.collate(rows_B), device)
        targets_BC = torch.from_numpy(examples.targets_NC[rows_B]).to(device)
        with autocast(device, precision):
            logits_BC = self.score(self.module, batch)
        return self.loss(logits_BC, targets_BC)

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise ModelError(
                f"The loss became {loss} at step {self.position.step + 1}: training cannot go on.",
                hint="Lower the learning_rate, raise the warmup_ratio, or set precision to fp32.",
            )


def fit(trainer: Trainer, train: Examples, valid: Examples) -> dict[str, float]:
    """Train to the end, or to the early stop, leave the best weights in the network, and return their scores.

    Args:
        trainer: A fresh training; it resumes from its work folder by itself.
        train: Examples to learn from.
        valid: Examples that choose the best weights.

    Raises:
        ModelError: The loss is not a finite number.
    """
    settings, position = trainer.settings, trainer.position
    groups = _epoch_groups(train, settings, 0)
    num_steps = settings.num_epochs * len(groups)
    if not trainer.resume():
        trainer.choose_precision(train, groups[0][0])
        trainer.save()
    position = trainer.position
    with progress.bar(num_steps, "train", unit="step", initial=position.step) as bar:
        while position.epoch < settings.num_epochs and not position.is_done:
            _run_epoch(trainer, train, valid, num_steps, bar)
    if position.evaluated_step != position.step:
        trainer.take_scores(trainer.evaluate(valid))
    trainer.module.load_state_dict(trainer.best_weights)
    trainer.module.eval()
    return position.best


def compute_logits(
    module: nn.Module,
    score: Score,
    features: Features,
    *,
    batch_size: int,
    precision: Precision = "fp32",
    device: str = "cpu",
) -> FloatArray:
    """Return logits_NC of all texts, in their order, computed in batches of texts of similar length."""
    module.eval()
    parts: list[tuple[IntArray, Tensor]] = []
    with torch.inference_mode(), autocast(device, precision):
        for rows_B in sorted_batches(features, batch_size=batch_size):
            parts.append((rows_B, score(module, _to_device(features.collate(rows_B), device)).float().cpu()))
    logits_NC = torch.empty(len(features.lengths_N), parts[0][1].shape[1])
    for rows_B, logits_BC in parts:
        logits_NC[torch.from_numpy(rows_B)] = logits_BC
    result: FloatArray = logits_NC.numpy()
    return result


def _run_epoch(trainer: Trainer, train: Examples, valid: Examples, num_steps: int, bar: Any) -> None:
    """Run the rest of the current epoch and move to the next one."""
    settings, position = trainer.settings, trainer.position
    groups = _epoch_groups(train, settings, position.epoch)
    while position.group < len(groups) and not position.is_done:
        factor = learning_rate_factor(position.step, num_steps=num_steps, warmup_ratio=settings.warmup_ratio)
        set_learning_rate(trainer.optimizer, settings.learning_rate * factor)
        start = time.perf_counter()
        loss, num_tokens = trainer.train_step(train, groups[position.group])
        position.step += 1
        position.group += 1
        bar.update(1)
        speed = num_tokens / (time.perf_counter() - start)
        bar.set_postfix({"loss": f"{loss:.3f}", "tokens/s": f"{speed:.0f}"}, refresh=False)
        trainer.record_loss(loss, settings.learning_rate * factor)
        every = settings.eval_steps
        if position.step % every == 0 if every else position.group == len(groups):
            trainer.take_scores(trainer.evaluate(valid))
        trainer.save_if_due()
    position.epoch += 1
    position.group = 0


def _epoch_groups(train: Examples, settings: LoopSettings, epoch: int) -> list[list[IntArray]]:
    """Return the batches of every optimizer step of an epoch."""
    batches = epoch_batches(train.features, batch_size=settings.batch_size, seed=settings.seed, epoch=epoch)
    size = settings.gradient_accumulation_steps
    return [batches[start : start + size] for start in range(0, len(batches), size)]


def _rank(scores: dict[str, float]) -> tuple[float, float]:
    return scores["micro_f1"], -scores["loss"]


def _to_device(batch: Batch, device: str) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def _random_states(device: str) -> dict[str, Tensor]:
    states = {"random.cpu": torch.get_rng_state()}
    return states | {"random.cuda": torch.cuda.get_rng_state()} if device == "cuda" else states


def _restore_random_states(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
