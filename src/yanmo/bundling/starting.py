"""Which weights a training begins with, if they are those of an encoder that pretrain made; it reads no weights."""

from __future__ import annotations

from pathlib import Path

from yanmo.artifacts.base import MANIFEST
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.errors import ConfigError
from yanmo.models import ModelSpec, resolve

__all__ = ["find_init", "start_from"]


def find_init(model: str) -> Bundle | None:
    """Return the pre-trained encoder whose folder was given as a model's name, if it is one.

    Raises:
        ModelError: There is no such model.
        ArtifactError: It is one that is not whole.
    """
    spec = resolve(model)
    if not spec.is_local or not (Path(spec.source) / MANIFEST).is_file():
        return None
    bundle = Bundle.open(spec.source)
    return bundle if bundle.only_reads else None


def start_from(init: Bundle, model: str | None, dataset: Dataset) -> ModelSpec:
    """Return the model that begins with the weights of a pre-trained encoder.

    Args:
        init: The encoder.
        model: The name that was asked for, None for the encoder's own.
        dataset: What will be learned.

    Raises:
        ConfigError: The Bundle is no such encoder, is of another shape, or has read words that were cut otherwise.
    """
    if not init.only_reads:
        raise ConfigError(
            f"The 'init' input of train must be an encoder that pretrain made. {init.path} is of the task {init.task}.",
            hint="To go on from any other checkpoint, give its folder as the model.",
        )
    named = resolve(model) if model else None
    if named and not named.is_local and named.name != init.model:
        raise ConfigError(
            f"The 'model' parameter of train is {named.name}, but {init.path} holds {init.model}.",
            hint=f"Leave model out, or give --model {init.model}.",
        )
    ours, theirs = init.text_config.segmenter, dataset.text_config.segmenter
    if ours != theirs:
        raise ConfigError(
            f"{init.path} has read texts with the segmenter '{ours}', but {dataset.path} has '{theirs}'.",
            hint="Prepare the Dataset with that segmenter, or pre-train on texts that were prepared alike.",
        )
    return ModelSpec(init.model, "init", source=str(init.path), is_local=True)
