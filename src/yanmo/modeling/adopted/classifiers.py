"""A classifier that was trained elsewhere, opened as it is: its head, its labels, its length; it knows no artifact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from yanmo.answers.links import SIGMOID, SOFTMAX, Link
from yanmo.errors import ConfigError, ModelError
from yanmo.modeling.adopted.stock_models import StockScore, stock_scorer
from yanmo.modeling.networks import encoders, heads
from yanmo.modeling.networks.pooling import classifier_class
from yanmo.modeling.networks.trainable_networks import encoder_trainable
from yanmo.modeling.pretrained import checkpoint_tokenizer
from yanmo.modeling.pretrained.batch_invariance import check_invariance
from yanmo.modeling.pretrained.weight_files import network_folder
from yanmo.modeling.settings import NetworkSettings
from yanmo.text.inputs import Inputs

__all__ = ["Adopted", "Wanted", "adopt_checkpoint", "fit_length"]

DEFAULT_LENGTH = 512
LONGEST = 1_000_000
"""Tokenizers of models without a limit name a larger number."""
SENTENCE_SETTINGS = "sentence_bert_config.json"
PROBLEMS: dict[str | None, Link] = {"single_label_classification": SOFTMAX, "multi_label_classification": SIGMOID}
# Short and long, Latin and Chinese: whatever the tokenizer, some of them are padded beside the others.
EXAMPLES = ("a", "很快", "not bad", "A text of several words, somewhat longer than the others: 味道不错。")


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
    """A classifier.

    Attributes:
        labels: Of its scores, in their order.
        link: From scores to probabilities.
        max_length: Most tokens of a text.
        architecture: What its code needs to build it again.
        save: Writes its files into a folder.
        score: What transformers by itself answers, each text alone.
    """

    labels: list[str]
    link: Link
    max_length: int
    architecture: dict[str, Any]
    save: Callable[[Path], None]
    score: StockScore


def adopt_checkpoint(folder: Path, wanted: Wanted) -> Adopted:
    """Return the classifier of a folder.

    Args:
        folder: A local one, as transformers or sentence-transformers lays it out.
        wanted: What the user says about it.

    Raises:
        ModelError: It is no whole classifier of texts, or answers by what else is in a batch.
        ConfigError: The labels' names or the length do not suit it.
    """
    config = encoders.read_config(folder)
    _check_kind(config, wanted.name)
    module: Any
    module, new = encoders.open_network(classifier_class(config), folder, config)
    if new:
        raise ModelError(
            f"{wanted.name} is no whole classifier: its weights lack {', '.join(sorted(new)[:3])}.",
            hint=f"Train its head: yanmo train DATASET --model {wanted.name} --out BUNDLE",
        )
    wrapped = checkpoint_tokenizer.load_tokenizer(folder)
    checkpoint_tokenizer.check_fits(
        wrapped.backend_tokenizer, module.get_input_embeddings().num_embeddings, wanted.name
    )
    module.config.pad_token_id = wrapped.pad_token_id
    labels, link = _read_labels(config, wanted), wanted.link or PROBLEMS.get(config.problem_type, SOFTMAX)
    module.config.update(heads.head_config(labels, link))
    max_length = fit_length(folder, wrapped, module, wanted, verb="adopt")
    settings = NetworkSettings(labels, link, max_length=max_length, offline=True)
    trainable = encoder_trainable(module.eval(), wrapped, wrapped.backend_tokenizer, settings, max_length)
    score = stock_scorer(module, wrapped, max_length=max_length)
    check_invariance(module, trainable.score, trainable.encode(Inputs((EXAMPLES,))), name=wanted.name)
    return Adopted(labels, link, max_length, trainable.architecture, trainable.save, score)


def _check_kind(config: Any, name: str) -> None:
    """Refuse models that do something else.

    Raises:
        ModelError: As said.
    """
    # A bare encoder such as BertModel passes here; it is refused for the head that it lacks.
    made_for = [kind for kind in config.architectures or () if "For" in kind]
    if made_for and not any(kind.endswith("ForSequenceClassification") for kind in made_for):
        raise ModelError(
            f"{name} is a {made_for[0]}; adopt takes models that classify texts.",
            hint=f"To make a classifier of it: yanmo train DATASET --model {name} --out BUNDLE",
        )
    if config.problem_type == "regression" or config.num_labels < 2:
        raise ModelError(
            f"{name} gives {config.num_labels} score and no choice among labels.",
            hint="Give a model that was trained with at least two labels.",
        )


def _read_labels(config: Any, wanted: Wanted) -> list[str]:
    """Return the labels' names in the order of the scores.

    Raises:
        ConfigError: Too few or too many names were given.
        ModelError: Two labels have one name.
    """
    labels = [config.id2label[place] for place in range(config.num_labels)]
    if wanted.label_names and len(wanted.label_names) != len(labels):
        raise ConfigError(
            f"The 'label_names' parameter of adopt must have {len(labels)} names, one a score of {wanted.name}. "
            f"Got {len(wanted.label_names)} instead.",
            hint="Give them in the order in which the model was trained, between commas.",
        )
    labels = list(wanted.label_names) or labels
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise ModelError(
            f"Two labels of {wanted.name} have the name {twice!r}.", hint="Name all of them apart: --label-names a,b,c"
        )
    return labels


def fit_length(folder: Path, wrapped: PreTrainedTokenizerFast, module: Any, wanted: Wanted, *, verb: str) -> int:
    """Return the most tokens of a text: as wanted, else the least that anything of the checkpoint allows.

    Args:
        folder: The checkpoint's.
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
