"""A classifier of texts, or of their units, that was trained elsewhere, opened as it is; it knows no artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast

from yanmo.answers.links import SIGMOID, SOFTMAX, Link
from yanmo.answers.tags import TagScheme
from yanmo.errors import ConfigError, ModelError
from yanmo.modeling.adopted.adopted_model import Adopted, Wanted, fit_length
from yanmo.modeling.adopted.stock_models import stock_scorer
from yanmo.modeling.adopted.stock_units import stock_unit_scorer
from yanmo.modeling.networks import encoders, heads, unit_heads
from yanmo.modeling.networks.pooling import classifier_class
from yanmo.modeling.networks.trainable_networks import encoder_trainable
from yanmo.modeling.pretrained import checkpoint_tokenizer
from yanmo.modeling.pretrained.batch_invariance import check_invariance
from yanmo.modeling.settings import NetworkSettings
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.unit_places import UnitRule

__all__ = ["EXAMPLES", "adopt_classifier", "adopt_tagger", "open_whole"]

PROBLEMS: dict[str | None, Link] = {"single_label_classification": SOFTMAX, "multi_label_classification": SIGMOID}
# Short and long, Latin and Chinese: whatever the tokenizer, some of them are padded beside the others.
EXAMPLES = ("a", "很快", "not bad", "A text of several words, somewhat longer than the others: 味道不错。")
"""Texts that tell whether a network answers alike alone and in a batch."""
UNITS: UnitRule = "tokens"


def adopt_classifier(folder: Path, config: Any, wanted: Wanted) -> Adopted:
    """Return the classifier of whole texts of a folder.

    Args:
        folder: A local one, as transformers or sentence-transformers lays it out.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is no whole classifier of texts, or answers by what else is in a batch.
        ConfigError: The labels' names or the length do not suit it.
    """
    if config.problem_type == "regression" or config.num_labels < 2:
        raise ModelError(
            f"{wanted.name} gives {config.num_labels} score and no choice among labels.",
            hint="Give a model that was trained with at least two labels.",
        )
    module, wrapped = open_whole(classifier_class(config), folder, config, wanted.name)
    labels, link = _read_labels(config, wanted), wanted.link or PROBLEMS.get(config.problem_type, SOFTMAX)
    module.config.update(heads.head_config(labels, link))
    max_length = fit_length(folder, wrapped, module, wanted)
    settings = NetworkSettings(labels, link, max_length=max_length, offline=True)
    trainable = encoder_trainable(module, wrapped, wrapped.backend_tokenizer, settings, max_length)
    score = stock_scorer(module, wrapped, max_length=max_length)
    check_invariance(module, trainable.score, trainable.encode(Inputs((EXAMPLES,))), name=wanted.name)
    return Adopted(
        "texts",
        labels,
        link,
        max_length,
        trainable.architecture,
        trainable.save,
        lambda inputs, ours: ours.having(score(inputs)),
    )


def adopt_tagger(folder: Path, config: Any, wanted: Wanted) -> Adopted:
    """Return the classifier of the units of texts of a folder: each has the scores of its first token.

    Args:
        folder: A local one.
        config: Its config.json.
        wanted: What the user says about it.

    Raises:
        ModelError: It is no whole classifier of tokens, or its tags make no spans.
        ConfigError: The labels' names or the length do not suit it.
    """
    module, wrapped = open_whole(AutoModelForTokenClassification, folder, config, wanted.name)
    labels = _read_labels(config, wanted)
    _check_tags(labels, wanted.name)
    module.config.update(heads.head_config(labels, SOFTMAX))
    max_length = fit_length(folder, wrapped, module, wanted)
    # As those of passages: its tags are scored one by one, for it has not learned how they go together.
    settings = NetworkSettings(labels, SOFTMAX, max_length=max_length, offline=True, head="passages")
    trainable = encoder_trainable(module, wrapped, wrapped.backend_tokenizer, settings, max_length)
    read = TextPipeline(TextConfig(cleaning=(), units=UNITS)).read(Inputs((EXAMPLES,)))
    check_invariance(module, unit_heads.score_stock, trainable.encode(read), name=wanted.name)
    score = stock_unit_scorer(module, wrapped, max_length=max_length)
    architecture = trainable.architecture
    return Adopted(
        "units",
        labels,
        SOFTMAX,
        max_length,
        architecture,
        trainable.save,
        lambda inputs, ours: ours.having(score(inputs)),
    )


def open_whole(kind: Any, folder: Path, config: Any, name: str) -> tuple[Any, PreTrainedTokenizerFast]:
    """Return a network with its head, and its tokenizer, which fit each other.

    Args:
        kind: The class of transformers that opens it.
        folder: A local one.
        config: Its config.json.
        name: Of the model, for messages.

    Raises:
        ModelError: A part of it is missing or is another model's.
    """
    module, new = encoders.open_network(kind, folder, config)
    if new:
        raise ModelError(
            f"{name} is no whole classifier: its weights lack {', '.join(sorted(new)[:3])}.",
            hint=f"Train its head: yanmo train DATASET --model {name} --out BUNDLE. For vectors of texts: yanmo embed.",
        )
    wrapped = checkpoint_tokenizer.load_tokenizer(folder)
    num_embeddings = module.get_input_embeddings().num_embeddings  # type: ignore[operator]
    checkpoint_tokenizer.check_fits(wrapped.backend_tokenizer, num_embeddings, name)
    module.config.pad_token_id = wrapped.pad_token_id  # type: ignore[union-attr]
    return module.eval(), wrapped


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


def _check_tags(labels: list[str], name: str) -> None:
    """Refuse tags that would let a span go on which none can begin.

    Raises:
        ModelError: As said.
    """
    scheme = TagScheme.of(labels)
    beginning = {kind for kind, needs in zip(scheme.kind_C.tolist(), scheme.needs_C.tolist(), strict=True) if needs < 0}
    lost = [scheme.kinds[kind] for kind in sorted({*scheme.kind_C.tolist()} - beginning - {-1})]
    if lost:
        raise ModelError(
            f"{name} has a tag for units within {lost[0]} and none for the first of them, so no span begins.",
            hint="Name its tags without their letters, and every unit is labeled by itself: --label-names O,"
            + ",".join(lost),
        )
