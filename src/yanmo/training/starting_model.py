"""Which model is trained, and whether it begins with an encoder that pretrain made; it reads no weights."""

from __future__ import annotations

from pathlib import Path

from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.identity import folder_digest
from yanmo.artifacts.placing import MANIFEST
from yanmo.errors import ConfigError, check_installed
from yanmo.family_settings import unsuited
from yanmo.models import ModelSpec, resolve
from yanmo.tasks import is_read
from yanmo.text.pipeline import TextConfig
from yanmo.training.train_config import LearnKeys, check_compiler
from yanmo.training.work_folder import check_alone

__all__ = ["check_model", "check_segmenter", "start"]

PACKAGES: dict[str, tuple[str, ...]] = {
    "torch": ("torch", "transformers"),
    "ngram": ("torch",),
    "linear": ("sklearn",),
    "window": ("scipy",),
    "hmm": (),
    "arcs": ("scipy",),
    "kneser-ney": (),
    "pairs": (),
}
"""What training a format needs besides the core install."""
ALONE = ("linear", "window", "hmm", "arcs", "kneser-ney", "pairs")
"""Formats that one process trains."""


def start(config: LearnKeys, init: Bundle | None, dataset: Dataset) -> tuple[ModelSpec, dict[str, str]]:
    """Return the model that is trained, after checking that it can be, and the digest of what it begins with.

    Args:
        config: Its ``model`` may also be the folder of a checkpoint, or of an encoder that pretrain made.
        init: The encoder that was given by itself.
        dataset: What will be learned.

    Raises:
        ModelError: There is no such model.
        ConfigError: It, or a setting, does not suit the encoder; or it would be loaded over the network.
        MissingExtraError: The packages that train it are not installed.
    """
    # Its default is no wish: only a model that was given is held against the encoder.
    model = config.model if init is not None and "model" in config.model_fields_set else None
    init = init or _find_init(config.model)
    if init is not None:
        return check_model(config, _start_from(init, model, dataset)), {"init": init.digest}
    spec = check_model(config)
    # A folder may hold other weights tomorrow; a hub id stands in the config.
    return spec, {"checkpoint": folder_digest(Path(spec.source))} if spec.is_local else {}


def check_model(config: LearnKeys, spec: ModelSpec | None = None) -> ModelSpec:
    """Return what the model's name means, after checking that it can be trained here.

    Args:
        config: What it is trained with.
        spec: What the name means, where that is known already.

    Raises:
        ModelError: There is no such model.
        ConfigError: It would be loaded over the network, but offline is set; or a setting does not suit it, or what
            is here.
        MissingExtraError: The packages that train it are not installed.
    """
    spec = spec or resolve(config.model)
    if config.offline and spec.is_hub_id:
        raise ConfigError(
            f"The model {spec.name} would be loaded over the network, but offline is set.",
            hint="Give a local folder, or leave offline out.",
        )
    found = unsuited(spec, config.model_dump())
    if found:
        raise ConfigError(
            f"The '{found}' parameter of train does not suit the model {spec.name}: it has no layers of its own.",
            hint=f"Leave {found} out, or choose a model with layers, such as bert-4x312 or a pretrained one.",
        )
    check_compiler(config)
    if config.ema_decay and config.swa_start < 1:
        raise ConfigError(
            "The 'ema_decay' and 'swa_start' parameters of train cannot be combined: one mean of the weights is kept.",
            hint="Leave one of them out.",
        )
    # Only the config of train has this key.
    folds = config.model_dump().get("folds")
    if folds or spec.format in ALONE:
        check_alone(f"train {'folds' if folds else f'the model {spec.name}'}")
    check_installed(f"The training of {spec.name}", *PACKAGES[spec.format], extra="train")
    return spec


def _find_init(model: str) -> Bundle | None:
    """Return the pre-trained encoder whose folder was given as a model's name, if it is one.

    Raises:
        ModelError: There is no such model.
        ArtifactError: It is one that is not whole.
    """
    spec = resolve(model)
    if not spec.is_local or not (Path(spec.source) / MANIFEST).is_file():
        return None
    bundle = Bundle.open(spec.source)
    # The Bundle of a classifier, or of a language model, is a checkpoint like any other folder.
    return bundle if is_read(bundle.task) and bundle.architecture.get("family") != "decoder" else None


def _start_from(init: Bundle, model: str | None, dataset: Dataset) -> ModelSpec:
    """Return the model that begins with the weights of a pre-trained encoder.

    Args:
        init: The encoder.
        model: The name that was asked for beside it, None for the encoder's own.
        dataset: What will be learned.

    Raises:
        ConfigError: The Bundle is no such encoder, is of another shape, or has read words that were cut otherwise.
    """
    if not is_read(init.task):
        raise ConfigError(
            f"The 'init' input must be an encoder that pretrain made. {init.path} is of the task {init.task}.",
            hint="To go on from any other checkpoint, give its folder as the model.",
        )
    named = resolve(model) if model else None
    if named and named.name != init.model:
        raise ConfigError(
            f"The 'model' parameter is {named.name}, but {init.path} holds {init.model}.",
            hint=f"Leave model out, or give --model {init.model}.",
        )
    check_segmenter(init, dataset.text_config, str(dataset.path))
    return ModelSpec(init.model, "init", source=str(init.path), is_local=True)


def check_segmenter(bundle: Bundle, text: TextConfig, whose: str) -> None:
    """Refuse texts whose words were cut otherwise than those that a model has read.

    Args:
        bundle: The model.
        text: How the texts are prepared.
        whose: Their name, for the message.

    Raises:
        ConfigError: As said.
    """
    ours, theirs = bundle.text_config.segmenter, text.segmenter
    if ours != theirs:
        raise ConfigError(
            f"{bundle.path} has read texts with the segmenter '{ours}'. That of {whose} is '{theirs}'.",
            hint="Prepare the texts with that segmenter, or begin with a model that has read texts like these.",
        )
