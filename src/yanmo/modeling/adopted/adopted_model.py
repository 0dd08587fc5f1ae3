"""What is known of a model that was trained elsewhere, and how much it reads; it opens none."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from yanmo.answers.links import Link
from yanmo.errors import ConfigError
from yanmo.modeling.networks import encoders
from yanmo.modeling.pretrained.weight_files import network_folder
from yanmo.text.inputs import Inputs

__all__ = ["Adopted", "Wanted", "fit_length", "refuse_label_names"]

DEFAULT_LENGTH = 512
LONGEST = 1_000_000
"""Tokenizers of models without a limit name a larger number."""
SENTENCE_SETTINGS = "sentence_bert_config.json"


@dataclass(frozen=True)
class Wanted:
    """What the user knows better than the checkpoint.

    Attributes:
        name: Of the model, for messages.
        label_names: Of the scores in their order; empty where the checkpoint names them.
        link: From scores to probabilities; None: as the checkpoint says.
        max_length: Most tokens of a text; None: as many as the checkpoint reads.
    """

    name: str
    label_names: Sequence[str] = ()
    link: Link | None = None
    max_length: int | None = None


@dataclass(frozen=True)
class Adopted:
    """A model that answers.

    Attributes:
        head: What it decides about, a name of ``protocols.ABOUT``.
        labels: What it decides between, in the order of its scores where it has one for each.
        link: From scores to probabilities; None where it has none for each label.
        max_length: Most tokens of a text.
        architecture: What its code needs to build it again.
        save: Writes its files into a folder.
        score: From texts, as the Bundle reads them, and its evidence about them, not activated, to the same as
            transformers by itself has it, each text alone; not a number where there is nothing to compare with.
    """

    head: str
    labels: list[str]
    link: Link | None
    max_length: int
    architecture: dict[str, Any]
    save: Callable[[Path], None]
    score: Callable[[Inputs, Any], Any]


def refuse_label_names(wanted: Wanted, why: str) -> None:
    """Refuse names for labels that a model has not.

    Args:
        wanted: What the user says about it.
        why: What it is, as the end of a sentence.

    Raises:
        ConfigError: As said.
    """
    if wanted.label_names:
        raise ConfigError(
            f"The 'label_names' parameter of adopt does not suit {wanted.name}, {why}.",
            hint="Leave label_names out.",
        )


def fit_length(
    folder: Path, wrapped: PreTrainedTokenizerFast, module: Any, wanted: Wanted, *, verb: str = "adopt"
) -> int:
    """Return the most tokens of a text.

    Args:
        folder: Of the checkpoint.
        wrapped: Its tokenizer.
        module: Its network.
        wanted: What the user says about it.
        verb: Who was given that, for the message.

    Raises:
        ConfigError: The user wants more than the network reads.
    """
    limit = encoders.max_positions(module)
    if wanted.max_length is not None and limit is not None and wanted.max_length > limit:
        raise ConfigError(
            f"The 'max_length' parameter of {verb} must be at most {limit} for {wanted.name}. "
            f"Got {wanted.max_length} instead."
        )
    if wanted.max_length is not None:
        return wanted.max_length
    said = (limit, wrapped.model_max_length, _sentence_length(folder), _sentence_length(network_folder(folder)))
    return min((one for one in said if one is not None and one < LONGEST), default=DEFAULT_LENGTH)


def _sentence_length(folder: Path) -> int | None:
    """Return the most tokens that sentence-transformers lets a network read, where it says so."""
    try:
        found = json.loads((folder / SENTENCE_SETTINGS).read_text(encoding="utf-8"))["max_seq_length"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return int(found) if found else None
