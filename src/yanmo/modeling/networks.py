"""Training of any network from labelled texts: vocabulary, features, loop; it knows no artifact."""

from __future__ import annotations

import dataclasses
import functools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.modeling import workers
from yanmo.modeling.determinism import default_device, repeatable
from yanmo.modeling.features import Examples
from yanmo.modeling.loop import METRICS, Trainer, fit
from yanmo.modeling.losses import DIVERGENCES, LOSSES, balanced_class_weights, distillation_loss
from yanmo.modeling.matching import Matched
from yanmo.modeling.settings import LabeledTexts, LoopSettings, Measure, NetworkSettings, Trained
from yanmo.modeling.trainables import Trainable, make_trainable
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
    make: Callable[[], Trainable] | None = None,
    ask: Callable[[], LabeledTexts] | None = None,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train a network of any family but ``linear``; the weights with the best score of ``loop.metric`` are kept.

    Args:
        spec: What the model's name means.
        train: Texts to learn from, which a vocabulary is made of.
        valid: Texts that choose the best weights.
        network: What decides the network and its loss.
        loop: How it is trained.
        measure: From logits_NC and targets_NC to scores.
        work_dir: Where the checkpoint and ``metrics.jsonl`` are kept; a run of the same key is continued.
        run_key: Names the work.
        make: Gives the network, if not the one of the name is trained; the same in every call.
        ask: Gives the texts with a teacher's answers, instead of ``train``; it is called once the network is there.
        tell: Is shown every record of the training.

    Raises:
        ModelError: A checkpoint cannot be used, or the loss is not a finite number.
        StoppedError: SIGTERM came; a checkpoint was written.
        ConfigError: A setting does not suit the model.
    """
    workers.join()
    with repeatable(loop.seed, num_threads=loop.num_threads):
        trainable = make() if make else make_trainable(spec, train.texts, network)
        matched = _match(trainable, network)
    taught = ask() if ask else train
    with repeatable(loop.seed, num_threads=loop.num_threads):
        trainer = Trainer(
            trainable.module,
            trainable.score,
            loss=_loss(network, train),
            measure=measure,
            settings=_settle(spec, loop),
            work_dir=work_dir,
            run_key=run_key,
            divergence=DIVERGENCES[network.link.name],
            matched_score=matched,
            tell=tell,
        )
        examples = Examples(trainable.encode_training(taught.texts), _targets(network, taught), taught.ids)
        scores = fit(trainer, examples, Examples(trainable.encode(valid.texts), valid.targets_NC, valid.ids))
    trainable.module.to("cpu")
    if matched is not None:
        matched.detach()
    save = functools.partial(_save, trainable, work_dir)
    return Trained(save, scores, trainable.architecture, trainable.max_length, trainer.position.precision)


def _save(trainable: Trainable, work_dir: Path, folder: Path) -> None:
    """Write the model and the records of its training into a folder."""
    trainable.save(folder)
    shutil.copyfile(work_dir / METRICS, folder / METRICS)


def _settle(spec: ModelSpec, loop: LoopSettings) -> LoopSettings:
    """Return the settings with the device, and with fp32 for networks that gain nothing from less."""
    is_encoder = spec.family in (*ENCODER_FAMILIES, *STARTED_FAMILIES)
    precision = loop.precision if is_encoder else "fp32"
    return dataclasses.replace(loop, device=default_device(), precision=precision)


def _loss(network: NetworkSettings, train: LabeledTexts) -> functools.partial[Any]:
    labels_NC = train.targets_NC[~np.isnan(train.targets_NC[:, 0])]
    weights_C = balanced_class_weights(labels_NC).to(default_device()) if network.is_balanced else None
    loss = functools.partial(
        LOSSES[network.link.name],
        label_smoothing=network.label_smoothing,
        class_weights_C=weights_C,
        focal_gamma=network.focal_gamma,
    )
    teaching = network.teaching
    if teaching is None:
        return loss
    return functools.partial(
        distillation_loss,
        soft_loss=LOSSES[network.link.name],
        hard_loss=loss,
        alpha=teaching.alpha,
        temperature=teaching.temperature,
    )


def _targets(network: NetworkSettings, train: LabeledTexts) -> FloatArray:
    """Return the labels; with a teacher its softened answers and the labels beside each other, shape (N, 2 C)."""
    teaching = network.teaching
    if teaching is None or train.soft_NC is None:
        return train.targets_NC
    soft_NC = network.link.soften(train.soft_NC, temperature=teaching.temperature)
    return np.concatenate([soft_NC, train.targets_NC], axis=1)


def _match(trainable: Trainable, network: NetworkSettings) -> Matched | None:
    """Return what compares the student's inside with its teacher's, where that is wanted."""
    if network.teaching is None or network.teaching.match == "none":
        return None
    return Matched(trainable.module, network.teaching)
