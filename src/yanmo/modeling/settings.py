"""What training is given and what it gives back, as plain dataclasses; it imports no torch, so that verbs can."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from yanmo.answers.links import Link
from yanmo.arrays import IntArray, take_rows
from yanmo.text.inputs import Inputs
from yanmo.text.language_tokens import Tokenization

__all__ = [
    "Activation",
    "Compile",
    "Importance",
    "LabeledTexts",
    "LanguageSettings",
    "LoopSettings",
    "Match",
    "MeasureAnswers",
    "NetworkSettings",
    "OptimizerName",
    "Pooling",
    "Precision",
    "Pruning",
    "ReadingSettings",
    "Schedule",
    "Sharding",
    "Teaching",
    "Trained",
]

Precision = Literal["fp32", "bf16"]
Compile = Literal["never", "auto", "always"]
Sharding = Literal["none", "full"]
OptimizerName = Literal["adamw", "muon", "scaled-adamw"]
Schedule = Literal["linear", "cosine", "constant", "wsd"]
Activation = Literal["gelu", "relu", "silu", "tanh"]
Pooling = Literal["auto", "first", "mean"]
Match = Literal["none", "hidden", "attention", "hidden+attention", "relations"]
Importance = Literal["taylor", "magnitude"]
MeasureAnswers = Callable[[Any, Any], dict[str, float]]
"""From evidence and targets of held-out rows to scores, ``loss`` among them."""


@dataclass(frozen=True)
class LabeledTexts:
    """Cleaned texts with their targets.

    Attributes:
        texts: N rows.
        targets: What the task encodes labels as: float32, shape (N, C), zeros in the rows that have a teacher's answer
            and no label; or of units the places of their tags, ragged, -1 where there is none.
        ids: Of the rows, where they have any.
        soft: A teacher's evidence, probabilities; None without a teacher.
        num_labeled: So many rows, the first ones, have labels; None: all.
    """

    texts: Inputs
    targets: Any
    ids: Sequence[str] | None = None
    soft: Any = None
    num_labeled: int | None = None

    @property
    def is_labeled_N(self) -> npt.NDArray[np.bool_]:
        """Which rows have labels."""
        num_rows = len(self.targets)
        return np.arange(num_rows) < (num_rows if self.num_labeled is None else self.num_labeled)

    def labeled(self) -> LabeledTexts:
        """Return the rows that have labels; a teacher's answers are left behind."""
        return self.take(np.flatnonzero(self.is_labeled_N))

    def take(self, rows: IntArray) -> LabeledTexts:
        """Return some of the rows; a teacher's answers are left behind."""
        return LabeledTexts(
            self.texts.take(rows), take_rows(self.targets, rows), self.ids and [self.ids[row] for row in rows.tolist()]
        )


@dataclass(frozen=True)
class Teaching:
    """How much a student listens to its teacher.

    Attributes:
        alpha: Weight of the teacher's answers to a text that has a label, too, in [0, 1]; the label has the rest.
        temperature: Softening of both answers, > 0.
        match: What of the teacher's inside the student also learns to reproduce.
        match_weight: Weight of that.
        teacher_dir: The folder of the teacher's network; only with ``match``.
    """

    alpha: float
    temperature: float
    match: Match = "none"
    match_weight: float = 1.0
    teacher_dir: Path | None = None


@dataclass(frozen=True)
class NetworkSettings:
    """What decides a network besides its name, and the loss it learns with; None where a family has no use for it.

    ``is_length_given``: the user chose ``max_length``, so it is not lowered to what a checkpoint reads. ``head``:
    what is decided about, as ``protocols.ABOUT`` names it. ``labels`` are the network's outputs; ``decided`` the labels
    of what is decided from them, where they are others. ``kinds``: names of the kinds of units that it reads, in order.
    """

    labels: Sequence[str]
    link: Link
    max_length: int | None = None
    is_length_given: bool = False
    vocab_size: int | None = None
    dropout: float | None = None
    activation: Activation | None = None
    label_smoothing: float = 0.0
    is_balanced: bool = False
    offline: bool = False
    focal_gamma: float = 0.0
    multi_sample_dropout: int = 1
    frozen_layers: int = 0
    lora_rank: int = 0
    is_sharded: bool = False
    pooling: Pooling = "auto"
    head_start: Literal["probe", "random"] = "probe"
    is_frozen: bool = False
    is_few_shot: bool = False
    head: str = "texts"
    decided: Sequence[str] = ()
    kinds: Sequence[str] = ()
    teaching: Teaching | None = None

    @property
    def per_unit(self) -> bool:
        """Whether every unit of a text gets scores of its own, and not the text as a whole."""
        return self.head != "texts"


@dataclass(frozen=True)
class LanguageSettings:
    """What decides a language model besides its name; the fields mean what they mean in the config of ``train``.

    ``is_length_given``: the user chose ``max_length``, so it is not lowered to what a checkpoint reads.
    """

    max_length: int | None
    is_length_given: bool
    vocab_size: int | None
    tokenization: Tokenization
    order: int | None
    dropout: float | None
    lora_rank: int
    frozen_layers: int
    offline: bool
    max_target_length: int | None = None
    label_smoothing: float | None = None
    num_beams: int = 1


@dataclass(frozen=True)
class Pruning:
    """What is cut out of an encoder; the fields mean what they mean in the config of ``prune``."""

    heads: float = 0.0
    feed_forward: float = 0.0
    layers: int = 0
    vocabulary: int = 0
    importance: Importance = "taylor"
    uniform: bool = True
    num_importance_texts: int = 1000


@dataclass(frozen=True)
class ReadingSettings:
    """What an encoder learns from plain texts; the fields mean what they mean in the config of ``pretrain``.

    ``keeps_some``: of the hidden tokens some keep their id or get a random one. ``is_segmented``: a segmenter has put
    spaces between the words.
    """

    objective: Literal["mlm", "rtd", "spans", "clm"]
    max_length: int
    packing: Literal["documents", "rows"]
    vocab_size: int
    mask_ratio: float
    keeps_some: bool
    whole_words: bool
    dropout: float
    is_segmented: bool
    offline: bool


@dataclass(frozen=True)
class LoopSettings:
    """How a network is trained; the fields mean what they mean in the config of ``train``."""

    learning_rate: float
    batch_size: int
    num_epochs: int
    weight_decay: float
    early_stopping_patience: int
    seed: int
    warmup_ratio: float = 0.0
    max_grad_norm: float = 1.0
    gradient_accumulation_steps: int = 1
    num_threads: int = 1
    eval_steps: int | None = None
    batch_tokens: int | None = None
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: Compile = "never"
    sharding: Sharding = "none"
    device: str = "cpu"
    optimizer: OptimizerName = "adamw"
    schedule: Schedule = "linear"
    layer_decay: float = 1.0
    ema_decay: float = 0.0
    swa_start: float = 1.0
    interpolate_weights: bool = False
    r_drop: float = 0.0
    fgm_epsilon: float = 0.0
    metric: str = "loss"
    lowest: bool = False


@dataclass(frozen=True)
class Trained:
    """A trained model.

    Attributes:
        save: Writes its files into a folder.
        scores: Of its weights on the validation split.
        architecture: What its code needs to build it again.
        max_length: Most tokens of a text; 0 where all of it is read.
        precision: The arithmetic that trained it.
        is_int8: Its weights are stored in a byte each.
    """

    save: Callable[[Path], None]
    scores: dict[str, float]
    architecture: dict[str, Any]
    max_length: int
    precision: Precision = "fp32"
    is_int8: bool = False
