"""Training of any network from labelled texts: vocabulary, features, loop; it knows no artifact."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from pathlib import Path
from typing import Any

from yanmo.modeling import workers
from yanmo.modeling.determinism import default_device, repeatable
from yanmo.modeling.features import Examples
from yanmo.modeling.loop import METRICS, Trainer, fit
from yanmo.modeling.losses import DIVERGENCES, LOSSES, balanced_class_weights
from yanmo.modeling.settings import LabeledTexts, LoopSettings, Measure, NetworkSettings, Trained
from yanmo.modeling.trainables import make_trainable
from yanmo.models import ENCODER_FAMILIES, STARTED_FAMILIES, ModelSpec

__all__ = ["train_network"]


def train_network(
    spec: ModelSpec,
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    loop: LoopSettings,
    measure: Measure,
    work_dir: Path,
    run_key: str,
) -> Trained:
    """Train a network of any family but ``linear``; the weights with the best validation score are kept.

    Args:
        spec: What the model's name means.
        train: Texts to learn from.
        valid: Texts that choose the best weights.
        network: What decides the network and its loss.
        loop: How it is trained.
        measure: From logits_NC and targets_NC to scores.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        StoppedError: SIGTERM came; a checkpoint was written.
        ConfigError: A setting does not suit the model.
    """
    workers.join()
    with repeatable(loop.seed, num_threads=loop.num_threads):
        trainable = make_trainable(spec, train.texts, network)
        trainer = Trainer(
            trainable.module,
            trainable.score,
            loss=_loss(network, train),
            measure=measure,
            settings=_settle(spec, loop),
            work_dir=work_dir,
            run_key=run_key,
            divergence=DIVERGENCES[network.loss],
        )
        examples = Examples(trainable.encode_training(train.texts), train.targets_NC, train.ids)
        scores = fit(trainer, examples, Examples(trainable.encode(valid.texts), valid.targets_NC, valid.ids))
    trainable.module.to("cpu")

    def save(folder: Path) -> None:
        trainable.save(folder)
        shutil.copyfile(work_dir / METRICS, folder / METRICS)

    return Trained(save, scores, trainable.architecture, trainable.max_length, trainer.position.precision)


def _settle(spec: ModelSpec, loop: LoopSettings) -> LoopSettings:
    """Return the settings with the device, and with fp32 for networks that gain nothing from less."""
    is_encoder = spec.family in (*ENCODER_FAMILIES, *STARTED_FAMILIES)
    precision = loop.precision if is_encoder else "fp32"
    return dataclasses.replace(loop, device=default_device(), precision=precision)


def _loss(network: NetworkSettings, train: LabeledTexts) -> functools.partial[Any]:
    weights_C = balanced_class_weights(train.targets_NC).to(default_device()) if network.is_balanced else None
    return functools.partial(
        LOSSES[network.loss],
        label_smoothing=network.label_smoothing,
        class_weights_C=weights_C,
        focal_gamma=network.focal_gamma,
    )
