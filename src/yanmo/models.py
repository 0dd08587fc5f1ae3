"""Names of models: which families there are, what a name means, each family's default settings.

It knows no torch and no file format: a name is taken apart here and built in ``modeling``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from yanmo.errors import ModelError, did_you_mean

__all__ = [
    "ENCODER_FAMILIES",
    "FAMILY_DEFAULTS",
    "LIGHT_FAMILIES",
    "STARTED_FAMILIES",
    "Defaults",
    "ModelSpec",
    "default_settings",
    "num_heads",
    "resolve",
    "unsharded",
    "unsuited",
    "unused_settings",
]

ENCODER_FAMILIES = ("bert", "roberta", "albert", "electra")
STARTED_FAMILIES = ("pretrained", "init")
"""Encoders that begin with the weights of a checkpoint, or with those of a Bundle that was pre-trained here."""
LAYERED_FAMILIES = ("bert", "roberta", "electra", *STARTED_FAMILIES)
"""Those with layers that do not share their weights."""
LIGHT_FAMILIES = ("textcnn", "bilstm", "ngram", "linear")
EXAMPLES = ("bert-4x312", "roberta-4x256", "albert-4x312", "electra-4x256")

NETWORK_SETTINGS = (
    "eval_steps",
    "metric",
    "batch_tokens",
    "compile",
    "sharding",
    "seed",
    "schedule",
    "ema_decay",
    "swa_start",
    "focal_gamma",
    "r_drop",
    "fgm_epsilon",
    "multi_sample_dropout",
)
"""Settings of every network, which a linear model has no use for."""

MIN_STEPS = 1000
MIN_BATCH_SIZE = 16
BATCHES_AN_EPOCH = 64

HEAD_WIDTH = 64
ODD_HEAD_WIDTH = 32
SHAPE = re.compile(r"(?P<family>[a-z0-9]+)-(?P<layers>[1-9]\d{0,2})x(?P<width>[1-9]\d{0,4})")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelSpec:
    """What a model's name means.

    Attributes:
        name: As the user gave it; for a local folder the folder's last part, so that no path is written down.
        family: A key of :data:`FAMILY_DEFAULTS`.
        layers: Of an encoder trained from scratch, else 0.
        width: Of an encoder trained from scratch, else 0.
        source: Of a model that begins with weights: the hub id or the local folder, else empty.
        is_local: The source is a local folder.
    """

    name: str
    family: str
    layers: int = 0
    width: int = 0
    source: str = ""
    is_local: bool = False

    @property
    def format(self) -> Literal["torch", "ngram", "linear"]:
        """The format of the Bundle that training makes."""
        match self.family:
            case "ngram":
                return "ngram"
            case "linear":
                return "linear"
        return "torch"

    @property
    def is_hub_id(self) -> bool:
        """Whether the weights come from the hub, over the network."""
        return self.family == "pretrained" and not self.is_local


@dataclass(frozen=True)
class Defaults:
    """A family's default settings; None means that the family has no use for the setting.

    Attributes:
        learning_rate: Peak of the schedule.
        batch_size: Texts a step.
        num_epochs: Passes over the training split.
        max_length: Most tokens of a text, special tokens included.
        vocab_size: Most entries of a vocabulary trained from the texts.
        warmup_ratio: Share of all steps over which the learning rate rises.
        weight_decay: Of AdamW, on weight matrices.
        max_grad_norm: The gradient is scaled down to this length.
        gradient_accumulation_steps: Parts that a batch is cut into.
        label_smoothing: Share of the target that is spread over all classes.
        dropout: Share of the activations that is dropped; of a model that begins with weights that of its own config.
        early_stopping_patience: Evaluations without a better score after which training ends.
    """

    learning_rate: float | None = None
    batch_size: int | None = None
    num_epochs: int | None = None
    max_length: int | None = None
    vocab_size: int | None = None
    warmup_ratio: float | None = None
    weight_decay: float | None = None
    max_grad_norm: float | None = None
    gradient_accumulation_steps: int | None = None
    label_smoothing: float | None = None
    dropout: float | None = None
    early_stopping_patience: int | None = None


_SCRATCH = Defaults(
    learning_rate=4e-4,
    batch_size=32,
    num_epochs=3,
    max_length=128,
    vocab_size=8000,
    warmup_ratio=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    gradient_accumulation_steps=1,
    label_smoothing=0.0,
    dropout=0.1,
    early_stopping_patience=3,
)

FAMILY_DEFAULTS: dict[str, Defaults] = {
    **dict.fromkeys(ENCODER_FAMILIES, _SCRATCH),
    "pretrained": Defaults(
        learning_rate=3e-5,
        batch_size=32,
        num_epochs=3,
        max_length=128,
        warmup_ratio=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
        gradient_accumulation_steps=1,
        label_smoothing=0.0,
        early_stopping_patience=3,
    ),
    "init": replace(_SCRATCH, learning_rate=2e-4, vocab_size=None, dropout=None),
    "textcnn": Defaults(
        learning_rate=3e-3,
        batch_size=128,
        num_epochs=8,
        max_length=128,
        vocab_size=8000,
        warmup_ratio=0.05,
        weight_decay=0.01,
        max_grad_norm=1.0,
        gradient_accumulation_steps=1,
        label_smoothing=0.1,
        dropout=0.5,
        early_stopping_patience=3,
    ),
    "bilstm": Defaults(
        learning_rate=2e-3,
        batch_size=64,
        num_epochs=6,
        max_length=128,
        vocab_size=8000,
        warmup_ratio=0.05,
        weight_decay=0.01,
        max_grad_norm=1.0,
        gradient_accumulation_steps=1,
        label_smoothing=0.0,
        dropout=0.3,
        early_stopping_patience=3,
    ),
    "ngram": Defaults(
        learning_rate=5e-3,
        batch_size=128,
        num_epochs=3,
        warmup_ratio=0.05,
        weight_decay=0.01,
        max_grad_norm=1.0,
        gradient_accumulation_steps=1,
        label_smoothing=0.1,
        dropout=0.3,
        early_stopping_patience=3,
    ),
    "linear": Defaults(),
}


def default_settings(family: str, num_rows: int) -> Defaults:
    """Return a family's default settings for a training split of some size.

    Few rows need small batches and many passes: a batch is at most 1/64 of the rows (but not under 16), and the number
    of epochs rises until there are about 1,000 steps, with patience for a quarter of them.

    Args:
        family: A key of :data:`FAMILY_DEFAULTS`.
        num_rows: Of the training split, at least 1.
    """
    defaults = FAMILY_DEFAULTS[family]
    if defaults.batch_size is None or defaults.num_epochs is None:
        return defaults
    power_of_two = 1 << max(0, (num_rows // BATCHES_AN_EPOCH).bit_length() - 1)
    batch_size = min(defaults.batch_size, max(MIN_BATCH_SIZE, power_of_two))
    num_epochs = max(defaults.num_epochs, math.ceil(MIN_STEPS * batch_size / num_rows))
    patience = max(defaults.early_stopping_patience or 0, num_epochs // 4)
    return replace(defaults, batch_size=batch_size, num_epochs=num_epochs, early_stopping_patience=patience)


def unused_settings(spec: ModelSpec) -> list[str]:
    """Return the names of settings that have no effect on a model."""
    unused = [name for name, value in asdict(FAMILY_DEFAULTS[spec.family]).items() if value is None]
    if spec.family in LIGHT_FAMILIES:
        unused.append("precision")
    if spec.family in STARTED_FAMILIES:
        unused.remove("dropout")
    return [*unused, *NETWORK_SETTINGS] if spec.family == "linear" else unused


def unsuited(spec: ModelSpec, settings: Mapping[str, Any]) -> str | None:
    """Return the first of the given settings that needs another kind of network than the model's, or None.

    Args:
        spec: The model.
        settings: Names and values that a user gave.
    """
    needs: dict[str, tuple[Any, Sequence[str]]] = {
        "lora_rank": (0, (*ENCODER_FAMILIES, *STARTED_FAMILIES)),
        "frozen_layers": (0, LAYERED_FAMILIES),
        "layer_decay": (1.0, LAYERED_FAMILIES),
    }
    for name, (default, families) in needs.items():
        if settings.get(name, default) != default and spec.family not in families:
            return name
    return None


def unsharded(settings: Mapping[str, Any]) -> str | None:
    """Return the first of the given settings that needs whole weights in every worker, or None."""
    defaults = {"fgm_epsilon": 0.0, "lora_rank": 0, "compile": "never"}
    return next((name for name, default in defaults.items() if settings.get(name, default) != default), None)


def resolve(name: str) -> ModelSpec:
    """Return what a model's name means.

    Args:
        name: ``textcnn``, ``bilstm``, ``ngram``, ``linear``; a shape to train from scratch such as ``bert-4x312``
            (4 layers, 312 wide); an existing local folder; or a hub id, owner/name, where no folder "owner" is here.

    Raises:
        ModelError: The name is none of these.
    """
    if name in LIGHT_FAMILIES:
        return ModelSpec(name, family=name)
    shape = SHAPE.fullmatch(name)
    if shape and shape["family"] in ENCODER_FAMILIES:
        return ModelSpec(name, shape["family"], layers=int(shape["layers"]), width=int(shape["width"]))
    folder = Path(name) if Path(name).is_dir() else Path(name).expanduser()
    if name and folder.is_dir():
        return ModelSpec(folder.resolve().name, "pretrained", source=str(folder), is_local=True)
    if HUB_ID.fullmatch(name) and folder.parent.is_dir():
        found = [str(one) for one in folder.parent.iterdir() if one.is_dir()]
        raise ModelError(
            f"There is no folder {name}.{did_you_mean(name, found)}",
            hint=f"The folder {folder.parent} is here, so {name} is no hub id. If the hub's model is meant, work in "
            "another folder.",
        )
    if HUB_ID.fullmatch(name):
        return ModelSpec(name, "pretrained", source=name)
    if "/" in name or "\\" in name:
        raise ModelError(
            f"There is no folder {name}.", hint="Give an existing folder, or a hub id of the form owner/name."
        )
    raise ModelError(
        f"There is no model '{name}'.{did_you_mean(name, (*LIGHT_FAMILIES, *ENCODER_FAMILIES, *EXAMPLES))}",
        hint=f"The models are: {', '.join(LIGHT_FAMILIES)}; {', '.join(ENCODER_FAMILIES)} with layers x width such as "
        "bert-4x312; a local folder; a hub id (owner/name).",
    )


def num_heads(width: int) -> int:
    """Return the number of attention heads of an encoder from scratch.

    Args:
        width: Of the encoder. Heads are 64 wide where that divides it, else as wide as the largest divisor up to 32
            (312 wide gives 12 heads of 26, as in TinyBERT).
    """
    if width % HEAD_WIDTH == 0:
        return width // HEAD_WIDTH
    return width // max(part for part in range(1, ODD_HEAD_WIDTH + 1) if width % part == 0)
