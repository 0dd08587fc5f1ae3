"""Trains the window model: a linear-chain conditional random field over hashed features of the units around each unit.

It knows no artifact and no torch: weights of features and of pairs of labels are learned with AdaGrad in numpy.

Legend: K features with weights, B of them in one batch, F features of one unit.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from yanmo import progress
from yanmo.answers.chains import IMPOSSIBLE, Chain, PathSums, Steps, sum_paths
from yanmo.answers.choices import Choices
from yanmo.answers.tags import TagScheme, TagStyle, row_edges
from yanmo.arrays import Doubles, FloatArray, IntArray, Ragged
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, LoopSettings, MeasureAnswers, NetworkSettings, Trained
from yanmo.modeling.structured.window_model import Buckets, WindowModel, feature_matrix
from yanmo.text.inputs import Inputs, Units
from yanmo.text.lexicon import Lexicon
from yanmo.text.window_features import WindowConfig, WindowFeatures, suited_config

__all__ = ["FittedWindow", "Lesson", "fit_window", "train_window"]

# Keeps the first step of AdaGrad finite; the square of a slope is of the order of 1.
EPSILON = 1e-4
POOL = 16
"""Batches are cut from so many batches of rows in the order of their lengths: rows of one length need fewest steps."""
UNLABELED = -1
SHARPNESS: Mapping[TagStyle, float] = {"iob2": 3.0, "bmes": 1.0, "plain": 1.0}
"""Entities gain up to 2 points of F1 where the best path counts more; words and parts of speech gain nothing."""
DROPOUT: Mapping[TagStyle, float] = {"iob2": 0.1, "bmes": 0.0, "plain": 0.0}
"""The share of a unit's features that a step does not see; of entities there are few examples to learn by heart."""
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class Lesson:
    """What the units of some rows teach.

    Attributes:
        truth_U: The labels that hold, -1 where none is known.
        soft_UC: A teacher's probabilities; None without a teacher.
        alpha: Weight of the teacher where there is a label, too, in [0, 1].
    """

    truth_U: IntArray
    soft_UC: FloatArray | None = None
    alpha: float = 0.0

    def take(self, units: IntArray) -> Lesson:
        """Return what some of the units teach."""
        return Lesson(self.truth_U[units], None if self.soft_UC is None else self.soft_UC[units], self.alpha)


class _Learner:
    """Weights with what AdaGrad remembers of each of them.

    Source: Duchi, Hazan, Singer 2011, "Adaptive Subgradient Methods for Online Learning", algorithm 1 (diagonal).
    """

    def __init__(self, num_features: int, scheme: TagScheme, loop: LoopSettings) -> None:
        num_labels = len(scheme.kind_C)
        self._rate, self._decay = loop.learning_rate, loop.weight_decay
        self._dropout, self._random = DROPOUT[scheme.style], np.random.default_rng(loop.seed)
        # One row more, always zero: what a feature without weights reads.
        self.weights_KC = np.zeros((num_features + 1, num_labels), dtype=np.float32)
        self.chain = _legal_chain(scheme)
        self._is_legal_CC = scheme.may_follow_CC
        self._seen_KC = np.full_like(self.weights_KC, EPSILON)
        self._seen_CC = np.full_like(self.chain.transitions_CC, EPSILON)
        self._is_met_K = np.zeros(num_features + 1, dtype=np.bool_)
        self._places_K = np.zeros(num_features + 1, dtype=np.int32)

    def step(self, features: Buckets, lesson: Lesson, offsets: IntArray) -> float:
        """Learn from some rows and return their negative log-likelihood in nats.

        Args:
            features: Of their units, shape (U, F).
            lesson: What they teach.
            offsets: Row i has the units ``offsets[i]`` to ``offsets[i + 1]``.
        """
        met_B = self._number(features)
        rows = feature_matrix(self._places_K[features], len(met_B))
        if self._dropout:
            kept = self._random.random(rows.nnz, dtype=np.float32) >= self._dropout
            # Scaled, so that sums stay as large as they are when nothing is left out.
            rows.data = kept.astype(np.float32) / np.float32(1 - self._dropout)
        weights_BC = self.weights_KC[met_B]
        scores_UC, steps = rows @ weights_BC, Steps.of(offsets)
        sums = sum_paths(scores_UC, steps, self.chain)
        wanted = _wanted(scores_UC, lesson, offsets, steps, self.chain)
        slopes_BC = rows.T @ (sums.marginals_UC - wanted.marginals_UC)
        slopes_BC += self._decay * weights_BC
        self._seen_KC[met_B] = seen_BC = self._seen_KC[met_B] + slopes_BC**2
        self.weights_KC[met_B] = weights_BC - self._rate * slopes_BC / np.sqrt(seen_BC)
        self.weights_KC[-1] = 0.0
        self._move_transitions(sums.pairs_CC - wanted.pairs_CC)
        return sums.log_total - wanted.log_total

    def _number(self, features: Buckets) -> IntArray:
        """Return the features that a batch has, ascending, and note the place of each among them."""
        # Marks in an array over all features: several times as fast as sorting those of the batch.
        self._is_met_K[features.ravel()] = True
        met_B = np.flatnonzero(self._is_met_K)
        self._is_met_K[met_B] = False
        self._places_K[met_B] = np.arange(len(met_B), dtype=np.int32)
        return met_B

    def _move_transitions(self, slopes_CC: Doubles) -> None:
        slopes = np.where(self._is_legal_CC, slopes_CC, 0.0).astype(np.float32)
        self._seen_CC += slopes**2
        moved_CC = self.chain.transitions_CC - self._rate * slopes / np.sqrt(self._seen_CC)
        self.chain = replace(self.chain, transitions_CC=moved_CC.astype(np.float32))


@dataclass(frozen=True)
class FittedWindow:
    """What was learned.

    Attributes:
        model: The weights of the epoch with the best score of ``loop.metric``, in 8 bits.
        scores: Of these on the validation split.
        records: One an epoch.
    """

    model: WindowModel
    scores: dict[str, float]
    records: list[dict[str, Any]]

    def save(self, folder: Path) -> None:
        """Write the model and its records."""
        self.model.save(folder)
        lines = "".join(json.dumps(one) + "\n" for one in self.records)
        (folder / METRICS).write_text(lines, encoding="utf-8")


def train_window(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    loop: LoopSettings,
    measure: MeasureAnswers,
    config: WindowConfig | None = None,
    lexicon: Lexicon | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train the window model; arguments as of :func:`fit_window`."""
    fitted = fit_window(
        train, valid, network=network, loop=loop, measure=measure, config=config, lexicon=lexicon, tell=tell
    )
    sizes = {"num_features": len(fitted.model.kept_K), "num_classes": len(network.labels)}
    architecture = {"family": "window", **sizes, **fitted.model.config.model_dump(mode="json")}
    return Trained(fitted.save, fitted.scores, architecture, 0, is_int8=True)


def fit_window(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    loop: LoopSettings,
    measure: MeasureAnswers,
    config: WindowConfig | None = None,
    lexicon: Lexicon | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> FittedWindow:
    """Return the window model that is learned; of all epochs the one with the best score of ``loop.metric`` is kept.

    Args:
        train: Texts with units to learn from.
        valid: Texts that choose the epoch.
        network: Labels and link.
        loop: Epochs, rate, rows a step, patience, seed.
        measure: From evidence and targets to scores.
        config: Which features; None for those that suit the units.
        lexicon: The user's word list, whose matches are features, too.
        tell: Is shown the record of every epoch.

    Source: Lafferty, McCallum, Pereira 2001, "Conditional Random Fields", section 3.
    """
    units, held = _units(train.texts), _units(valid.texts)
    scheme = TagScheme.of(network.labels)
    config = config or suited_config(units, scheme.style, has_lexicon=lexicon is not None)
    kept_K = _frequent(WindowFeatures(units, config, lexicon).matrix(), config)
    learner = _Learner(len(kept_K), scheme, loop)
    sharpness = SHARPNESS[scheme.style]
    model = WindowModel(config, lexicon, kept_K, learner.weights_KC[:-1], learner.chain, sharpness)
    held_features = model.rows(held)

    def measured(candidate: WindowModel, features: Buckets) -> dict[str, float]:
        scores_MC = candidate.scores(features, held.places.offsets)
        evidence = Choices(scores_MC, network.link, held.places.offsets, held.places.values).activate()
        return measure(evidence, valid.targets)

    alpha = network.teaching.alpha if network.teaching is not None else 0.0
    lesson = Lesson(_tags(train), None if train.soft is None else train.soft.values_MC, alpha)
    history = _History(loop, tell, model)
    with threadpool_limits(loop.num_threads), progress.bar(loop.num_epochs, "train", unit="epoch") as bar:
        for loss in _epochs(learner, model.rows(units), lesson, units.places, loop):
            model = replace(model, weights_KC=learner.weights_KC[:-1], chain=learner.chain)
            history.add(model, loss, measured(model, held_features))
            bar.update(1)
            if history.is_over:
                break
        small = history.best.smaller()
        scores = measured(small, small.rows(held))

    return FittedWindow(small, scores, history.records)


class _History:
    """The record of every epoch, and the model of the best one; without any the first, which has learned nothing."""

    def __init__(self, loop: LoopSettings, tell: Watcher, first: WindowModel) -> None:
        self._loop, self._tell = loop, tell
        self._best_gain, self.best = float("-inf"), first
        self._num_worse = 0
        self.records: list[dict[str, Any]] = []

    def add(self, model: WindowModel, loss: float, scores: Mapping[str, float]) -> None:
        """Keep an epoch's record, and its model where none before scored as well."""
        epoch = len(self.records)
        record = {"step": epoch + 1, "epoch": epoch, "train_loss": loss}
        self.records.append(record | {f"valid_{name}": score for name, score in scores.items()})
        self._tell(self.records[-1])
        gain = -scores[self._loop.metric] if self._loop.lowest else scores[self._loop.metric]
        self._num_worse += 1
        if gain > self._best_gain:
            # The learner goes on with the same array.
            self._best_gain, self.best = gain, replace(model, weights_KC=model.weights_KC.copy())
            self._num_worse = 0

    @property
    def is_over(self) -> bool:
        """Whether so many epochs in a row were no better that training ends."""
        return self._num_worse >= self._loop.early_stopping_patience


def _epochs(
    learner: _Learner, features: Buckets, lesson: Lesson, places: Ragged, loop: LoopSettings
) -> Iterator[float]:
    """Learn from all rows, epoch by epoch, and yield the loss of each, in nats a unit."""
    for epoch in range(loop.num_epochs):
        batches = _batches(places, loop.batch_size, loop.seed, epoch)
        total = sum(learner.step(features[units_U], lesson.take(units_U), ends) for units_U, ends in batches)
        yield total / max(len(features), 1)


def _legal_chain(scheme: TagScheme) -> Chain:
    """Return a chain that knows only what is legal."""
    transitions_CC, start_C, end_C = (
        np.where(is_legal, np.float32(0.0), IMPOSSIBLE)
        for is_legal in (scheme.may_follow_CC, scheme.may_begin_C, scheme.may_end_C)
    )
    return Chain(transitions_CC, start_C, end_C)


def _wanted(scores_UC: FloatArray, lesson: Lesson, offsets: IntArray, steps: Steps, chain: Chain) -> PathSums:
    """Return the sums over the paths that agree with the labels: one path a row where every unit has a label.

    Source: Tsuboi et al. 2008, "Training Conditional Random Fields Using Incomplete Annotations", section 4.
    Differs: where a teacher has answered, its probabilities stand for the sums; of pairs it says nothing, so they are
    taken as independent.
    """
    truth_U, is_known_U = lesson.truth_U, lesson.truth_U != UNLABELED
    holds_UC = truth_U[:, None] == np.arange(scores_UC.shape[1])
    if lesson.soft_UC is None and not is_known_U.all():
        return sum_paths(np.where(holds_UC | ~is_known_U[:, None], scores_UC, -np.inf), steps, chain)
    marginals_UC = holds_UC.astype(np.float32)
    if lesson.soft_UC is not None:
        share_U = np.where(is_known_U, np.float32(lesson.alpha), np.float32(1.0))[:, None]
        marginals_UC = (1 - share_U) * marginals_UC + share_U * lesson.soft_UC
    is_first_U, is_last_U = row_edges(offsets)
    pairs_CC = (marginals_UC[~is_last_U].T @ marginals_UC[~is_first_U]).astype(np.float64)
    log_total = np.vdot(marginals_UC, scores_UC) + (pairs_CC * chain.transitions_CC).sum()
    log_total += (marginals_UC[is_first_U] @ chain.start_C).sum() + (marginals_UC[is_last_U] @ chain.end_C).sum()
    return PathSums(marginals_UC, pairs_CC, float(log_total))


def _tags(texts: LabeledTexts) -> IntArray:
    if not isinstance(texts.targets, Ragged):
        raise InternalError("The window model learns a label for every unit, but the texts have other targets.")
    return np.asarray(texts.targets.values, dtype=np.int64)


def _frequent(buckets: Buckets, config: WindowConfig) -> IntArray:
    """Return the buckets that occur often enough, ascending."""
    counts = np.bincount(buckets.ravel(), minlength=1 << config.bits)
    return np.flatnonzero(counts >= config.min_count)


def _units(texts: Inputs) -> Units:
    if texts.units is None:
        raise InternalError("The window model reads units, but the texts have none.")
    return texts.units


def _batches(places: Ragged, batch_size: int, seed: int, epoch: int) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield the units of each step's rows, row by row, and where the rows end."""
    random = np.random.default_rng([seed, epoch])
    order_N = random.permutation(len(places))
    pools = np.split(order_N, range(batch_size * POOL, len(order_N), batch_size * POOL))
    order_N = np.concatenate([pool[np.argsort(places.lengths_N[pool], kind="stable")] for pool in pools])
    batches = np.split(order_N, range(batch_size, len(order_N), batch_size))
    numbers = Ragged(np.arange(places.offsets[-1]), places.offsets)
    for batch in random.permutation(len(batches)):
        taken = numbers.take(batches[batch])
        if len(taken.values):
            yield taken.values, taken.offsets
