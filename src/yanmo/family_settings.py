"""What the settings of train are to each family of models: a row a setting; it knows no config and no training."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from yanmo.models import (
    DECODER_FAMILIES,
    ENCODER_DECODER_FAMILIES,
    ENCODER_FAMILIES,
    ENCODERS,
    FAMILIES,
    STARTED_FAMILIES,
    ModelSpec,
)

__all__ = [
    "FAMILY_DEFAULTS",
    "HEAD_DEFAULTS",
    "NETWORKS",
    "SETTINGS",
    "Setting",
    "default_settings",
    "few_shot_rate",
    "idle_without_steps",
    "unsharded",
    "unsuited",
    "unused_settings",
]

LABELERS = (*ENCODERS, "textcnn", "bilstm", "ngram")
"""The networks that give labels."""
WRITERS = (*DECODER_FAMILIES, *ENCODER_DECODER_FAMILIES)
NETWORKS = (*LABELERS, *WRITERS)
DESCENDERS = (*NETWORKS, "window")
"""The families whose weights follow a gradient."""
LEARNERS = (*DESCENDERS, "arcs")
"""The families that learn step by step."""
TOKEN_READERS = (*ENCODERS, *WRITERS, "textcnn", "bilstm")
WRITTEN = ("sequences", "targets")
"""What is decided about without labels."""
UNWRITTEN = ("texts", "units", "passages", "trees", "sequences")
"""What is decided about without writing texts for others."""
LAYERED = ("bert", "roberta", "electra", "t5", *STARTED_FAMILIES)
"""The families with layers that do not share their weights."""

OF_STEPS = (
    *("num_epochs", "optimizer", "layer_decay", "schedule", "warmup_ratio", "label_smoothing", "r_drop", "focal_gamma"),
    *(
        "ema_decay",
        "swa_start",
        "interpolate_weights",
        "fgm_epsilon",
        "gradient_accumulation_steps",
        "early_stopping_patience",
        "eval_steps",
    ),
)
"""What says how a network takes steps on labels."""
MIN_STEPS = 1000
STARTED_STEPS = 2500
WRITER_STEPS, MOST_WRITER_EPOCHS = 50_000, 32
"""Of what learns to write texts for others from nothing: longer than what learns labels, but no set more often."""
BASE_SHAPE = (12, 768)
"""Layers and width of what is called a base model, from whose learning rate those of others follow."""
BASE_RATE = 3e-5
LEAST_RATE, MOST_RATE = 1e-5, 3e-4
MIN_BATCH_SIZE = 16
BATCHES_AN_EPOCH = 64
FEW_SHOT_SHARE = 0.3
"""Of the learning rate of a checkpoint, that of its pairs: with the whole one, ten rows a label told it nothing."""


@dataclass(frozen=True)
class Setting:
    """A setting of train, and what the families make of it.

    Attributes:
        name: A key of train.
        families: Those on which it has an effect.
        default: What it is by default for these families; None leaves it to train.
        own: Family to another default.
        off: The value with which it does nothing, of a setting that some trainings cannot have.
        is_refused: Whether the other families refuse it; else it is ignored there, and the user is told so.
        needs_whole_weights: Whether no worker can do it with a shard of the weights.
        idle_heads: What is decided about where it means nothing, such as where texts are learned without labels.
    """

    name: str
    families: tuple[str, ...]
    default: Any = None
    own: Mapping[str, Any] = field(default_factory=dict)
    off: Any = None
    is_refused: bool = False
    needs_whole_weights: bool = False
    idle_heads: tuple[str, ...] = ()

    def default_of(self, family: str) -> Any:
        """Return a family's default, None where train's own holds."""
        return self.own.get(family, self.default if family in self.families else None)

    def is_on(self, settings: Mapping[str, Any]) -> bool:
        """Return whether the settings that a user gave have this one with a value that does something."""
        return settings.get(self.name) not in (self.off, None)


SETTINGS = (
    Setting(
        "learning_rate",
        DESCENDERS,
        4e-4,
        own={
            "pretrained": BASE_RATE,
            "init": 2e-4,
            "gpt2": 1e-3,
            "gpt": 2e-3,
            "lstm": 1e-2,
            "gcnn": 2e-3,
            "t5": 1e-2,
            "textcnn": 3e-3,
            "bilstm": 2e-3,
            "ngram": 5e-3,
            "window": 0.1,
        },
    ),
    Setting("batch_size", LEARNERS, 32, own={"t5": 64, "textcnn": 128, "bilstm": 64, "ngram": 128, "arcs": 16}),
    Setting("num_epochs", LEARNERS, 3, own={"t5": 10, "textcnn": 8, "bilstm": 6, "window": 8, "arcs": 10}),
    Setting("max_length", TOKEN_READERS, 128, own=dict.fromkeys(DECODER_FAMILIES, 256)),
    Setting(
        "max_target_length",
        (*ENCODER_DECODER_FAMILIES, *STARTED_FAMILIES),
        own={"t5": 128},
        idle_heads=UNWRITTEN,
    ),
    Setting("num_beams", (*ENCODER_DECODER_FAMILIES, *STARTED_FAMILIES), idle_heads=UNWRITTEN),
    Setting(
        "vocab_size",
        (*ENCODER_FAMILIES, *WRITERS, "textcnn", "bilstm", "kneser-ney"),
        8000,
        own={"kneser-ney": 50_000},
    ),
    Setting("tokenization", (*WRITERS, "kneser-ney"), off="auto"),
    Setting("order", ("kneser-ney", "pairs"), own={"pairs": 8}),
    Setting("warmup_ratio", NETWORKS, 0.1, own={"textcnn": 0.05, "bilstm": 0.05, "ngram": 0.05}),
    Setting(
        "optimizer",
        (*ENCODERS, *WRITERS),
        "adamw",
        own={"gpt": "muon", "t5": "scaled-adamw"},
        off="adamw",
        needs_whole_weights=True,
    ),
    Setting("weight_decay", DESCENDERS, 0.01, own={"window": 0.0}),
    Setting("max_grad_norm", NETWORKS, 1.0),
    Setting("gradient_accumulation_steps", NETWORKS, 1),
    Setting(
        "label_smoothing",
        (*LABELERS, *ENCODER_DECODER_FAMILIES),
        0.0,
        own={"textcnn": 0.1, "ngram": 0.1, "t5": 0.1},
        idle_heads=("sequences",),
    ),
    # None: a checkpoint's own config says how much of it is dropped.
    Setting(
        "dropout", NETWORKS, 0.1, own={"pretrained": None, "init": None, "textcnn": 0.5, "bilstm": 0.3, "ngram": 0.3}
    ),
    Setting("early_stopping_patience", LEARNERS, 3, own={"window": 8, "arcs": 4}),
    Setting("precision", (*ENCODERS, *WRITERS)),
    Setting("pooling", ("pretrained",), idle_heads=WRITTEN),
    Setting("beam", ("arcs",), 1),
    Setting("head_start", STARTED_FAMILIES, idle_heads=WRITTEN),
    Setting("frozen", STARTED_FAMILIES, idle_heads=WRITTEN),
    Setting("few_shot", STARTED_FAMILIES, idle_heads=WRITTEN, needs_whole_weights=True, off=False),
    Setting("activation", ENCODER_FAMILIES),
    Setting("eval_steps", NETWORKS),
    Setting("metric", LEARNERS),
    Setting("batch_tokens", NETWORKS),
    Setting("compile", NETWORKS, off="never", needs_whole_weights=True),
    Setting("lora_rank", ENCODERS, off=0, is_refused=True, needs_whole_weights=True),
    Setting("frozen_layers", LAYERED, off=0, is_refused=True),
    # Families that refuse it have a default, too: it stands in every Bundle's recipe.
    Setting("layer_decay", LAYERED, own=dict.fromkeys(FAMILIES, 1.0), off=1.0, is_refused=True),
    Setting("sharding", NETWORKS),
    Setting("seed", LEARNERS),
    Setting("schedule", NETWORKS),
    Setting("ema_decay", NETWORKS),
    Setting("swa_start", NETWORKS),
    Setting("interpolate_weights", STARTED_FAMILIES, idle_heads=WRITTEN, off=False),
    Setting("focal_gamma", LABELERS, idle_heads=WRITTEN),
    Setting("r_drop", LABELERS, idle_heads=WRITTEN),
    Setting("fgm_epsilon", NETWORKS, off=0.0, needs_whole_weights=True),
    Setting("multi_sample_dropout", LABELERS, idle_heads=WRITTEN),
)
FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    family: {row.name: row.default_of(family) for row in SETTINGS if row.default_of(family) is not None}
    for family in FAMILIES
}
"""Family to its default settings, for a large Dataset; what is not there has train's own default or no effect."""
_LIGHT_TAGGER = {
    "learning_rate": 2e-3,
    # A row has many decisions, so few rows make a batch.
    "batch_size": 32,
    "num_epochs": 16,
    "dropout": 0.5,
    "label_smoothing": 0.0,
    # The n-grams of the training texts are learned by heart; the mean of the weights is less sure of each of them.
    "ema_decay": 0.995,
}
_OF_UNITS: dict[str, dict[str, Any]] = {
    **{family: {"num_epochs": 10} for family in ENCODER_FAMILIES},
    "textcnn": _LIGHT_TAGGER,
    "bilstm": _LIGHT_TAGGER,
}
_READER = {"max_length": 384, "vocab_size": 16000}
_OF_PASSAGES: dict[str, dict[str, Any]] = {
    **{family: _READER | {"num_epochs": 10} for family in ENCODER_FAMILIES},
    **{family: {"max_length": 384} for family in STARTED_FAMILIES},
    "bilstm": _READER | {"learning_rate": 2e-3, "batch_size": 32, "num_epochs": 8, "dropout": 0.3},
}
HEAD_DEFAULTS: dict[str, dict[str, dict[str, Any]]] = {
    "units": _OF_UNITS,
    "passages": _OF_PASSAGES,
    "trees": _OF_UNITS | {"bilstm": _LIGHT_TAGGER | {"dropout": 0.33, "num_epochs": 12}},
    "sequences": {"pretrained": {"max_length": 256}},
    "targets": {
        "pretrained": {"max_length": 128, "max_target_length": 128},
        "init": {"max_length": 128, "max_target_length": 128, "learning_rate": 3e-3, "optimizer": "scaled-adamw"},
    },
}
"""What is decided about, to families' settings that are otherwise by default for it than for whole texts."""


def default_settings(
    family: str, num_rows: int, *, layers: int = 0, width: int = 0, form: str = "texts"
) -> dict[str, Any]:
    """Return a family's default settings for a training split of some size.

    Few rows need small batches and many passes: a batch is at most 1/64 of the rows (but not under 16), and the number
    of epochs rises until there are about 1,000 steps, with patience for a quarter of them. A checkpoint from elsewhere
    has about 2,500 steps, and a learning rate by its layers and its width. A network that learns to write texts for
    others from nothing has 50,000 steps, but never more than 32 passes for that.

    Args:
        family: A key of :data:`FAMILY_DEFAULTS`.
        num_rows: Of the training split, at least 1.
        layers: Of a checkpoint, 0 where that is not known.
        width: Of a checkpoint, 0 where that is not known.
        form: What is decided about.
    """
    defaults = dict(FAMILY_DEFAULTS[family]) | HEAD_DEFAULTS.get(form, {}).get(family, {})
    is_foreign = family == "pretrained"
    if is_foreign:
        defaults["learning_rate"] = _started_rate(layers, width)
    if family not in LEARNERS:
        return defaults
    # The largest power of two that is at most 1/64 of the rows.
    power_of_two = 1 << max(0, (num_rows // BATCHES_AN_EPOCH).bit_length() - 1)
    batch_size = min(defaults["batch_size"], max(MIN_BATCH_SIZE, power_of_two))
    min_steps = STARTED_STEPS if is_foreign else MIN_STEPS
    num_epochs = max(defaults["num_epochs"], math.ceil(min_steps * batch_size / num_rows))
    if form == "targets" and family in ENCODER_DECODER_FAMILIES:
        num_epochs = max(num_epochs, min(MOST_WRITER_EPOCHS, math.ceil(WRITER_STEPS * batch_size / num_rows)))
    patience = max(defaults["early_stopping_patience"], num_epochs // 4)
    return {**defaults, "batch_size": batch_size, "num_epochs": num_epochs, "early_stopping_patience": patience}


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


def few_shot_rate(learning_rate: float) -> float:
    """Return the default learning rate of pairs, to two digits: few rows, seen often, soon say no more about others.

    Args:
        learning_rate: The default for steps on labels.
    """
    return float(f"{FEW_SHOT_SHARE * learning_rate:.1e}")


def unused_settings(spec: ModelSpec, head: str = "texts") -> list[str]:
    """Return the names of settings that have no effect on a model.

    Args:
        spec: The model.
        head: What it decides about.
    """
    return [
        row.name
        for row in SETTINGS
        if (spec.family not in row.families and not row.is_refused) or head in row.idle_heads
    ]


def idle_without_steps(settings: Mapping[str, Any]) -> list[str]:
    """Return those of the given settings that do nothing, since a recipe takes no steps on labels.

    Args:
        settings: Names and values that a user gave.
    """
    if settings.get("frozen"):
        return [name for name in ("learning_rate", "weight_decay", *OF_STEPS) if name in settings]
    return [name for name in OF_STEPS if name in settings] if settings.get("few_shot") else []


def unsuited(spec: ModelSpec, settings: Mapping[str, Any]) -> str | None:
    """Return the first of the given settings that needs another kind of network than the model's, or None.

    Args:
        spec: The model.
        settings: Names and values that a user gave.
    """
    refused = (row for row in SETTINGS if row.is_refused and spec.family not in row.families)
    return next((row.name for row in refused if row.is_on(settings)), None)


def unsharded(settings: Mapping[str, Any]) -> str | None:
    """Return the last of the given settings, by their rows, that needs whole weights in every worker, or None."""
    refused = (row for row in reversed(SETTINGS) if row.needs_whole_weights)
    return next((row.name for row in refused if row.is_on(settings)), None)
