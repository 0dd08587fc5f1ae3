"""Names of models: which families there are, what a name means, each family's default settings.

It knows no torch and no file format: a name is taken apart here and built in ``modeling``.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from yanmo.errors import ModelError, did_you_mean
from yanmo.paths import PATH_HINT, path_problem, quoted_path

__all__ = [
    "CHECKPOINT_SETTINGS",
    "ENCODER_FAMILIES",
    "FAMILY_DEFAULTS",
    "LIGHT_FAMILIES",
    "STARTED_FAMILIES",
    "Defaults",
    "ModelSpec",
    "can_mean",
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
"""The families with layers that do not share their weights."""
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
CHECKPOINT_SETTINGS = ("pooling", "head_start", "frozen")
"""Settings of a checkpoint from elsewhere, which no other network has a use for."""
MEAN_TYPES = frozenset(
    ("albert", "bert", "camembert", "deberta-v2", "distilbert", "electra", "mpnet", "roberta", "xlm-roberta")
)
"""What ``model_type`` of a config.json can have a classifier that reads the mean of all tokens."""

MIN_STEPS = 1000
STARTED_STEPS = 2500
BASE_SHAPE = (12, 768)
"""Layers and width of what is called a base model, from whose learning rate those of others follow."""
BASE_RATE = 3e-5
LEAST_RATE, MOST_RATE = 1e-5, 3e-4
MIN_BATCH_SIZE = 16
BATCHES_AN_EPOCH = 64

HEAD_WIDTH = 64
ODD_HEAD_WIDTH = 32
SHAPE = re.compile(r"(?P<family>[a-z0-9]+)-(?P<layers>[1-9]\d{0,2})x(?P<width>[1-9]\d{0,4})")
SHAPE_KEYS = (
    ("num_hidden_layers", "n_layers", "n_layer", "num_layers"),
    ("hidden_size", "dim", "n_embd", "d_model"),
)
"""What families' config.json calls the number of layers and the width."""
# One slash and no dot in front: ./model and a/b/c are paths.
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class ModelSpec:
    """What a model's name means.

    Attributes:
        name: As the user gave it; for a local folder the folder's last part, so that no path is written down.
        family: A key of :data:`FAMILY_DEFAULTS`.
        layers: Of an encoder from scratch or in a local folder, else 0.
        width: Of an encoder from scratch or in a local folder, else 0.
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
        layer_decay: Share of the learning rate of the layer above.
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
    layer_decay: float = 1.0


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
        learning_rate=BASE_RATE,
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


def can_mean(model_type: str) -> bool:
    """Return whether a checkpoint of a ``model_type`` can have a classifier that reads the mean of all tokens."""
    return model_type in MEAN_TYPES


def default_settings(family: str, num_rows: int, *, layers: int = 0, width: int = 0) -> Defaults:
    """Return a family's default settings for a training split of some size.

    Few rows need small batches and many passes: a batch is at most 1/64 of the rows (but not under 16), and the number
    of epochs rises until there are about 1,000 steps, with patience for a quarter of them. A checkpoint from elsewhere
    has about 2,500 steps, and a learning rate by its layers and its width.

    Args:
        family: A key of :data:`FAMILY_DEFAULTS`.
        num_rows: Of the training split, at least 1.
        layers: Of a checkpoint, 0 where that is not known.
        width: Of a checkpoint, 0 where that is not known.
    """
    defaults = FAMILY_DEFAULTS[family]
    is_foreign = family == "pretrained"
    if is_foreign:
        defaults = replace(defaults, learning_rate=_started_rate(layers, width))
    if defaults.batch_size is None or defaults.num_epochs is None:
        return defaults
    # The largest power of two that is at most 1/64 of the rows.
    power_of_two = 1 << max(0, (num_rows // BATCHES_AN_EPOCH).bit_length() - 1)
    batch_size = min(defaults.batch_size, max(MIN_BATCH_SIZE, power_of_two))
    min_steps = STARTED_STEPS if is_foreign else MIN_STEPS
    num_epochs = max(defaults.num_epochs, math.ceil(min_steps * batch_size / num_rows))
    patience = max(defaults.early_stopping_patience or 0, num_epochs // 4)
    return replace(defaults, batch_size=batch_size, num_epochs=num_epochs, early_stopping_patience=patience)


def _started_rate(layers: int, width: int) -> float:
    """Return the learning rate of a checkpoint of a shape, to two digits.

    Source: Turc et al. 2019, "Well-Read Students Learn Better", appendix (rates of small shapes, up to 3e-4),
    arXiv:1908.08962; Devlin et al. 2019, appendix A.3 (2e-5 to 5e-5 for 12 layers of 768), arXiv:1810.04805.
    Differs: a formula between these, and not a search.
    """
    if not layers or not width:
        layers, width = BASE_SHAPE
    rate = BASE_RATE * math.sqrt(BASE_SHAPE[0] / layers) * (BASE_SHAPE[1] / width) ** 2
    return float(f"{min(max(rate, LEAST_RATE), MOST_RATE):.1e}")


def unused_settings(spec: ModelSpec) -> list[str]:
    """Return the names of settings that have no effect on a model."""
    unused = [name for name, value in asdict(FAMILY_DEFAULTS[spec.family]).items() if value is None]
    if spec.family in LIGHT_FAMILIES:
        unused.append("precision")
    if spec.family in STARTED_FAMILIES:
        # It has no default, since a checkpoint's own config says it, but giving it works.
        unused.remove("dropout")
    if spec.family == "init":
        unused.append("pooling")
    elif spec.family != "pretrained":
        unused += CHECKPOINT_SETTINGS
    if spec.family not in ENCODER_FAMILIES:
        unused.append("activation")
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
        if settings.get(name, default) not in (default, None) and spec.family not in families:
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
    problem = path_problem(name)
    if problem:
        raise ModelError(f"The model must be {problem} or a hub id. Got {quoted_path(name)} instead.", hint=PATH_HINT)
    if name in LIGHT_FAMILIES:
        return ModelSpec(name, family=name)
    shape = SHAPE.fullmatch(name)
    if shape and shape["family"] in ENCODER_FAMILIES:
        return ModelSpec(name, shape["family"], layers=int(shape["layers"]), width=int(shape["width"]))
    # A folder that is really called "~" comes before the home that it stands for.
    folder = Path(name) if Path(name).is_dir() else Path(name).expanduser()
    # A folder here wins over a hub id of the same name: what is at hand needs no network.
    if name and folder.is_dir():
        layers, width = _read_shape(folder)
        return ModelSpec(
            folder.resolve().name, "pretrained", layers=layers, width=width, source=str(folder), is_local=True
        )
    # Half of the name is here, so it is a path with a mistake in it: asking the hub would tell nobody so.
    if HUB_ID.fullmatch(name) and folder.parent.is_dir():
        found = [str(one) for one in folder.parent.iterdir() if one.is_dir()]
        raise ModelError(
            f"There is no folder {name}.{did_you_mean(name, found)}",
            hint=f"The folder {folder.parent} is here, so {name} is no hub id. If the hub's model is meant, work in "
            "another folder.",
        )
    if HUB_ID.fullmatch(name):
        return ModelSpec(name, "pretrained", source=name)
    # What looks like a path was meant to be one.
    if "/" in name or "\\" in name:
        raise ModelError(
            f"There is no folder {name}.", hint="Give an existing folder, or a hub id of the form owner/name."
        )
    raise ModelError(
        f"There is no model '{name}'.{did_you_mean(name, (*LIGHT_FAMILIES, *ENCODER_FAMILIES, *EXAMPLES))}",
        hint=f"The models are: {', '.join(LIGHT_FAMILIES)}; {', '.join(ENCODER_FAMILIES)} with layers x width such as "
        "bert-4x312; a local folder; a hub id (owner/name).",
    )


def _read_shape(folder: Path) -> tuple[int, int]:
    """Return the layers and the width that a folder's config.json tells, 0 where it tells nothing."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return 0, 0
    if not isinstance(config, dict):
        return 0, 0
    found = [next((config[name] for name in names if isinstance(config.get(name), int)), 0) for names in SHAPE_KEYS]
    # One without the other gives no learning rate.
    return (found[0], found[1]) if all(found) else (0, 0)


def num_heads(width: int) -> int:
    """Return the number of attention heads of an encoder from scratch.

    Args:
        width: Of the encoder. Heads are 64 wide where that divides it, else as wide as the largest divisor up to 32
            (312 wide gives 12 heads of 26, as in TinyBERT).
    """
    if width % HEAD_WIDTH == 0:
        return width // HEAD_WIDTH
    return width // max(part for part in range(1, ODD_HEAD_WIDTH + 1) if width % part == 0)
