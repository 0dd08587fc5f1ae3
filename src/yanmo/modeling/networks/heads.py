"""The last layer of a checkpoint's head, and which of its rows stay: labels are matched by name, never by place.

It knows transformers' classes for classification and no file.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from yanmo.answers.links import Link
from yanmo.counted import counted
from yanmo.errors import ModelError

__all__ = ["fill_gaps", "fit_head", "has_names", "head_config", "is_in_head", "output_layer"]

logger = logging.getLogger(__name__)

# What transformers calls labels that nobody has named.
UNNAMED = re.compile(r"(?i)label_\d+")
MOST_SHOWN = 5


def head_config(labels: Sequence[str], link: Link) -> dict[str, Any]:
    """Return what a config says of a head.

    Args:
        labels: All labels in order.
        link: From scores to probabilities.
    """
    kind = "single_label_classification" if link.excludes else "multi_label_classification"
    return {
        "id2label": dict(enumerate(labels)),
        "label2id": {label: place for place, label in enumerate(labels)},
        "problem_type": kind,
    }


def fill_gaps(config: Any) -> None:
    """Give the numbers between a config's labels names of their own, so that there are as many labels as scores."""
    names = {int(place): str(name) for place, name in (config.id2label or {}).items()}
    whole = {place: names.get(place, f"LABEL_{place}") for place in range(max(names, default=-1) + 1)}
    config.update({"id2label": whole, "label2id": {name: place for place, name in whole.items()}})


def has_names(labels: Sequence[str]) -> bool:
    """Return whether the labels of a checkpoint tell them apart: not LABEL_0, LABEL_1, and none twice."""
    return len(set(labels)) == len(labels) and not all(UNNAMED.fullmatch(label) for label in labels)


def is_in_head(module: Any, name: str) -> bool:
    """Return whether a weight belongs to what stands on an encoder, which a checkpoint need not have.

    Args:
        module: The network.
        name: Of the weight; a pooler counts, since only classifiers have a use for it.
    """
    return not name.startswith(f"{module.base_model_prefix}.") or "pooler" in name.split(".")


def output_layer(module: nn.Module) -> tuple[str, nn.Linear]:
    """Return the layer that gives one score a label, and its name in the network.

    Raises:
        ModelError: There is none.
    """
    num_labels = module.config.num_labels  # type: ignore[union-attr]
    found = [
        (name, layer)
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Linear) and layer.out_features == num_labels and is_in_head(module, name)
    ]
    if not found:
        raise ModelError(
            f"{type(module).__name__} has no linear layer with one score for each of its {num_labels} labels.",
            hint="Give a model of another family.",
        )
    # A hidden layer of the head may be as wide by chance; the scores come last.
    return found[-1]


def fit_head(module: Any, labels: Sequence[str], *, link: Link, name: str, is_new: bool) -> list[str]:
    """Give a network one score for each of some labels: those that it knows by name keep their rows, the others begin.

    Args:
        module: The network, with its own labels; it is changed.
        labels: All labels in order.
        link: From scores to probabilities.
        name: Of the checkpoint, for what is said.
        is_new: The checkpoint had no head for its labels.

    Returns:
        The labels whose rows were kept.
    """
    old = [module.config.id2label[place] for place in range(module.config.num_labels)]
    places = {} if is_new or not has_names(old) else {label: place for place, label in enumerate(old)}
    kept = [label for label in labels if label in places]
    if kept != labels or old != labels:
        _change_rows(module, labels, places)
    module.config.update(head_config(labels, link))
    # transformers' classes keep the number a second time, beside their config.
    module.num_labels = len(labels)
    _say(name, old, list(labels), kept, is_new=is_new)
    return kept


def _change_rows(module: Any, labels: Sequence[str], places: dict[str, int]) -> None:
    path, layer = output_layer(module)
    fresh = nn.Linear(layer.in_features, len(labels), bias=layer.bias is not None)
    # As the family begins a layer, which is not how torch does.
    module._init_weights(fresh)
    with torch.no_grad():
        for row, label in enumerate(labels):
            if label in places:
                fresh.weight[row] = layer.weight[places[label]]
                if layer.bias is not None:
                    fresh.bias[row] = layer.bias[places[label]]
    parent, _, attribute = path.rpartition(".")
    setattr(module.get_submodule(parent), attribute, fresh)


def _say(name: str, old: list[str], labels: list[str], kept: list[str], *, is_new: bool) -> None:
    fresh = [label for label in labels if label not in kept]
    if is_new:
        logger.info("%s has no head: that for %d labels is new.", name, len(labels))
    elif not has_names(old):
        logger.warning(
            "The %d labels of %s have no names of their own (such as %s), so nothing tells which of ours they are: the "
            "head is new. To take the model with its head: yanmo adopt … --label-names",
            len(old),
            name,
            old[0],
        )
    elif not kept:
        logger.info("None of the %d labels of %s is one of ours: the head is new.", len(old), name)
    elif fresh:
        logger.info(
            "The head of %s keeps %s of equal name; new are: %s.", name, counted(len(kept), "label"), _shown(fresh)
        )
    elif old == labels:
        logger.info("The head of %s is kept: its %d labels are ours.", name, len(kept))
    else:
        order = ", which stood in another order" if kept != [one for one in old if one in kept] else ""
        less = f"; its other {len(old) - len(kept)} are left out" if len(old) > len(kept) else ""
        logger.info("The head of %s is kept by the names of its %d labels%s%s.", name, len(kept), order, less)


def _shown(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - MOST_SHOWN} more" if len(labels) > MOST_SHOWN else ""
    return ", ".join(labels[:MOST_SHOWN]) + more
