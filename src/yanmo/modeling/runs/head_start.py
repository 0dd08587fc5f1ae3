"""What a checkpoint's new classifier begins with: a linear model on the features that the frozen encoder gives it.

It knows no loop and no file: it is given a network with its examples, and sets the weights of the last layer.
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.answers.choices import Choices
from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import InternalError
from yanmo.modeling.features.ragged import Examples, TensorBatch, TokenFeatures
from yanmo.modeling.loop.scoring import compute_logits
from yanmo.modeling.loop.verdicts import quality
from yanmo.modeling.networks import heads
from yanmo.modeling.networks.pooling import find_pooling
from yanmo.modeling.networks.trainable_networks import Trainable, make_trainable
from yanmo.modeling.objectives.choices import Labels, TaughtLabels
from yanmo.modeling.objectives.unit_choices import UnitTags
from yanmo.modeling.sentences.contrast import ContrastPlan, contrast
from yanmo.modeling.settings import LabeledTexts, LoopSettings, MeasureAnswers, NetworkSettings, Precision
from yanmo.models import ModelSpec

__all__ = ["HeadInputs", "Probe", "choose_pooling", "some_rows"]

logger = logging.getLogger(__name__)

HeadTargets: TypeAlias = Labels | TaughtLabels | UnitTags

STRENGTHS = (3.0, 10.0, 30.0, 100.0)
"""Inverse strengths of the regularization that are tried, for features whose mean square length is 1."""
TOLERANCE = 1e-5
MOST_ROWS = 20_000
"""More rows than these hardly change where a head begins."""
NUM_COMPARED = 2000
"""Rows of each split on which two ways of pooling are compared."""


@dataclass(frozen=True)
class Probe:
    """How a head is found on frozen features.

    Attributes:
        network: The loss, and whether classes are balanced.
        settings: The metric, the device and the number of threads.
        measure: From evidence and targets_NC to scores.
    """

    network: NetworkSettings
    settings: LoopSettings
    measure: MeasureAnswers

    def start_head(
        self,
        trainable: Trainable,
        train: Examples,
        valid: Examples,
        precision: Precision,
        *,
        most_rows: int = MOST_ROWS,
    ) -> dict[str, float]:
        """Set the last layer to the regression on frozen features that answers valid best; return its scores there.

        Args:
            trainable: The network; only its last layer is changed.
            train: Examples to learn from; those without a label count for nothing.
            valid: Examples that choose how strongly the regression is regularized.
            precision: What features are computed in.
            most_rows: Of more training examples, some count.

        Source: Kumar et al. 2022, "Fine-Tuning can Distort Pretrained Features and Underperform Out-of-Distribution",
        section 3.4, arXiv:2202.10054.
        """
        _, layer = heads.output_layer(trainable.module)
        learned = self._read(trainable, _labeled(train, most_rows), precision)
        held = self._read(trainable, valid, precision)
        weight_CD, bias_C, scores = self._fit(learned, held, has_bias=layer.bias is not None)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(weight_CD))
            if layer.bias is not None:
                layer.bias.copy_(torch.from_numpy(bias_C))
        return scores

    def contrast_and_start_head(
        self, trainable: Trainable, train: Examples, valid: Examples, precision: Precision
    ) -> dict[str, float]:
        """Let the encoder learn which texts have one label, then do what :meth:`start_head` does, with all rows."""
        some = _labeled(train, len(train))
        reader, targets = HeadInputs(trainable), _labels(some)
        if isinstance(targets, UnitTags):
            raise InternalError("Pairs are of texts, and not of their units.")
        plan = ContrastPlan(self.settings, precision)
        contrast(trainable.module, reader, some.features, targets.values_NC, plan)
        return self.start_head(trainable, train, valid, precision, most_rows=len(train))

    def score_texts(self, trainable: Trainable, train: LabeledTexts, valid: LabeledTexts) -> tuple[float, float]:
        """Return how well the best regression on a network's frozen features answers valid, the higher the better."""
        trainable.module.to(self.settings.device)
        splits = [
            self._read(trainable, Examples(trainable.encode(split.texts), Labels(split.targets)), "fp32")
            for split in (train, valid)
        ]
        return quality(self._fit(splits[0], splits[1])[2], self.settings)

    def _read(self, trainable: Trainable, examples: Examples, precision: Precision) -> tuple[FloatArray, HeadTargets]:
        """Return what the last layer reads of every text or unit, features_ND, and the targets."""
        features_ND = compute_logits(
            trainable.module,
            HeadInputs(trainable),
            examples.features,
            batch_size=4 * self.settings.batch_size,
            batch_tokens=self.settings.batch_tokens and 4 * self.settings.batch_tokens,
            precision=precision,
            device=self.settings.device,
        )
        return features_ND, _labels(examples)

    def _fit(
        self, learned: tuple[FloatArray, HeadTargets], held: tuple[FloatArray, HeadTargets], *, has_bias: bool = True
    ) -> tuple[FloatArray, FloatArray, dict[str, float]]:
        """Return weight_CD, bias_C and the scores on the held rows of the best regression."""
        from threadpoolctl import threadpool_limits

        from yanmo.modeling.runs.linear_model import fit_regression  # with scikit-learn, which only this needs

        features_ND, targets_NC = _told(*learned)
        # What is subtracted here goes into the bias below, so a head without one cannot be centered.
        mean_D = features_ND.mean(axis=0) * has_bias
        length = float(np.sqrt(np.square(features_ND - mean_D).sum(axis=1).mean())) or 1.0
        found = []
        with threadpool_limits(self.settings.num_threads):
            for strength in STRENGTHS:
                coefficients_CD, intercepts_C = fit_regression(
                    (features_ND - mean_D) / length,
                    targets_NC,
                    self.network,
                    strength=strength,
                    tolerance=TOLERANCE,
                    has_bias=has_bias,
                )
                weight_CD = (coefficients_CD / length).astype(np.float32)
                bias_C = (intercepts_C - weight_CD @ mean_D).astype(np.float32)
                found.append((weight_CD, bias_C, self._score(held[0] @ weight_CD.T + bias_C, held[1])))
        # Of equals the first, which is the most regularized one.
        return max(found, key=lambda one: quality(one[2], self.settings))

    def _score(self, logits_NC: FloatArray, targets: HeadTargets) -> dict[str, float]:
        if isinstance(targets, UnitTags):
            return self.measure(targets.evidence(logits_NC, self.network.link), targets.truth)
        return self.measure(Choices(logits_NC, self.network.link).activate(), targets.values_NC)


class HeadInputs:
    """From a network and a batch to what its last layer reads, shape (B, D)."""

    def __init__(self, trainable: Trainable) -> None:
        self._score = trainable.score

    def __call__(self, module: nn.Module, batch: TensorBatch) -> Tensor:
        """Return it; where every token is read, that of the last one."""
        _, layer = heads.output_layer(module)
        read: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
        try:
            self._score(module, batch)
        finally:
            hook.remove()
        if read[0].ndim == 2:
            return read[0]
        last_B = batch["attention_mask"].sum(dim=1) - 1  # a decoder scores every token, and answers with the last one
        return read[0][torch.arange(len(last_B), device=last_B.device), last_B]


def choose_pooling(spec: ModelSpec, train: LabeledTexts, valid: LabeledTexts, probe: Probe) -> NetworkSettings:
    """Return the settings with the way of pooling whose frozen features answer some of valid best.

    Where the user says it, or the checkpoint does, nothing is compared.

    Args:
        spec: The model.
        train: Texts to learn from.
        valid: Texts to compare on.
        probe: How that is done.
    """
    if spec.family != "pretrained" or probe.network.pooling != "auto" or probe.network.per_unit:
        return probe.network
    # Here, so that training a light model does not load transformers and the hub's library.
    from yanmo.modeling.networks.encoders import read_config
    from yanmo.modeling.pretrained.hub import find_folder

    folder = find_folder(spec, offline=probe.network.offline)
    if find_pooling(read_config(folder), folder) is not None:
        return probe.network
    some = [split.take(some_rows(np.arange(len(split.targets)), NUM_COMPARED)) for split in (train, valid)]
    ways: tuple[Literal["first", "mean"], ...] = ("first", "mean")
    ranks = {}
    for pooling in ways:
        tried = dataclasses.replace(probe.network, pooling=pooling)
        ranks[pooling] = probe.score_texts(make_trainable(spec, some[0].texts, tried), *some)
    best = max(ways, key=lambda pooling: ranks[pooling])
    logger.info("%s reads the %s of a text: %s", spec.name, "mean" if best == "mean" else "first token", ranks)
    return dataclasses.replace(probe.network, pooling=best)


def _labels(examples: Examples) -> HeadTargets:
    """Return targets that are labels, perhaps with a teacher's answers; a head is found for no other ones."""
    if not isinstance(examples.targets, Labels | TaughtLabels | UnitTags):
        raise InternalError(f"A head cannot be fitted to {type(examples.targets).__name__}.")
    return examples.targets


def _labeled(examples: Examples, most: int) -> Examples:
    """Return at most so many of the examples that have a label, with the labels alone as targets."""
    targets, features = _labels(examples), examples.features
    if isinstance(targets, UnitTags):
        # So many rows that their units are about as many as may count.
        rows = some_rows(np.arange(len(targets)), max(1, int(most / max(targets.units_a_row, 1.0))))
        if isinstance(features, TokenFeatures):
            features = features.take(rows)
        return Examples(features, targets.take(rows))
    rows = some_rows(np.flatnonzero(targets.is_labeled_N), most)
    if isinstance(features, TokenFeatures):
        features = features.take(rows)
    return Examples(features, Labels(targets.values_NC[rows]))


def _told(features_ND: FloatArray, targets: HeadTargets) -> tuple[FloatArray, FloatArray]:
    """Return what is learned from, and what it is: units without a tag tell nothing."""
    if not isinstance(targets, UnitTags):
        return features_ND, targets.values_NC
    is_tagged_U = targets.tags.values >= 0
    return features_ND[is_tagged_U], targets.values_UC()[is_tagged_U]


def some_rows(rows: IntArray, most: int) -> IntArray:
    """Return at most so many of some rows, evenly spread."""
    return rows if len(rows) <= most else rows[np.linspace(0, len(rows) - 1, most).round().astype(np.int64)]
