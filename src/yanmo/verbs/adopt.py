"""adopt: a model that was trained elsewhere to a Bundle that answers as it does; it loads no torch by itself."""

import dataclasses
import logging
import shutil
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import Field

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import Bundle, publish_bundle
from yanmo.artifacts.card import render_card, write_cards
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.placing import MANIFEST
from yanmo.config import Config
from yanmo.errors import ConfigError, ModelError
from yanmo.exchanging.adopting import (
    Asked,
    Original,
    check_answers,
    example_inputs,
    open_source,
    pick_task,
)
from yanmo.exchanging.onnx_classifier import find_graph, has_weights
from yanmo.measuring.evaluation import load_split, match_bundle, run_bundle, with_labels_of
from yanmo.measuring.inputs import profile_inputs, write_answers
from yanmo.metrics.measures import measure_with_intervals
from yanmo.models import ModelSpec, resolve
from yanmo.tasks import get_task, task_of
from yanmo.tasks.forms import check_form
from yanmo.tasks.labels import tidy_label
from yanmo.text.unit_places import UnitRule
from yanmo.verbs.signature import verb

__all__ = ["AdoptConfig", "adopt"]

logger = logging.getLogger(__name__)

MEASURED_SPLITS = ("test", "valid")
NUM_RESAMPLES = 1000


class AdoptConfig(Config):
    """What is known better than the source says it."""

    label_names: tuple[str, ...] = ()
    """Names of the labels in the order of the model's scores, where it has none of its own but LABEL_0, LABEL_1."""

    task: str | None = None
    """single_label, multi_label or text_pair; by default that of the Dataset, else what the model was trained for. What
    labels tokens is of token_labels, what finds answers of span, what predicts the next token of causal_lm, what
    guesses hidden ones of masked_lm, what writes a text from another of text_to_text."""

    units: UnitRule | None = None
    """What is labeled by a model of tokens: words, characters, or tokens, which are words and single marks and
    ideographs; by default that of the Dataset, else tokens. Each has the label of its first token."""

    max_length: int | None = Field(default=None, ge=4)
    """Most tokens the model reads of a text; by default as many as it can, as its tokenizer and its settings say."""

    revision: str | None = None
    """Of a hub id: a commit, a branch or a tag. The manifest holds the commit that it stood for."""

    tokenizer: Path | None = None
    """Of an ONNX file: its tokenizer.json, where that is neither beside it nor in the folder above."""

    split: str | None = None
    """Rows of the Dataset to measure on; by default test, or valid where there is no test."""

    offline: bool = False
    """Refuse what would need the network; a hub id is then taken from the hub's cache."""


@verb
def adopt(
    source: Path, config: AdoptConfig, *, dataset: Dataset | None = None, out: Path, effects: Effects = NO_EFFECTS
) -> Bundle:
    """Take in a model that was trained elsewhere.

    A folder or hub id with a classifier of texts or of tokens, a reader of passages, a language model, a masked one, or
    a model that writes a text from another, of any family that transformers has, becomes a torch Bundle; an ONNX file
    of a classifier of texts with its tokenizer an ONNX Bundle. Head, labels and length stay as they are, and nothing is
    cleaned. It is published only if it answers as transformers does by itself, and a text alone as in a batch. Every
    other verb then takes it.

    Args:
        source: A folder, a hub id, or an ONNX file.
        config: What is known better than the source says it.
        dataset: If given, the quality on it is measured at once, and its rows are the golden examples.
        out: Where the Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ModelError: It is no whole model that answers, or would not answer as it did.
        ConfigError: A setting does not suit it; or it is a Bundle already.
        DataError: Its labels or its task are not those of the Dataset.
        MissingExtraError: The packages that open it are not installed.
    """
    found = _find(source, config)
    asked = Asked(**config.model_dump(include={"label_names", "max_length", "tokenizer", "revision", "offline"}))
    units = config.units or (dataset.text_config.units if dataset is not None else None) or Asked.units
    asked = dataclasses.replace(asked, task=config.task or "", units=units)
    opened = open_source(found, asked)
    _check_names(opened.labels, source)
    task = pick_task(opened, asked, dataset)
    settled = {"task": task.name, "max_length": opened.info["max_length"], "revision": opened.commit or None}
    identity = Identity(
        kind=Bundle.kind,
        verb="adopt",
        task=task.name,
        labels=opened.labels,
        parents={**opened.parents, **({"measured_on": dataset.digest} if dataset else {})},
        # What the tokenizer holds is in the Bundle itself; where its file stood is left out.
        config={**config.model_dump(mode="json", exclude={"tokenizer"}), **settled},
        info={**opened.info, "summary": {}},
    )
    with publish_bundle(out, identity, effects=effects) as made:
        _fill(made, opened, dataset, identity.info)
        if dataset is not None:
            # _fill has put the largest difference there, which is shown after the measures.
            identity.info["summary"] = _measure(made, dataset, config.split) | identity.info["summary"]
            identity.info.update(profile_inputs(made, dataset))
        write_cards(made.path, _card(made, identity.info))
    return Bundle.open(out, verify=False)


def _check_names(labels: Sequence[str], source: Path) -> None:
    """Refuse a label that would make two lines of an answer.

    Raises:
        ModelError: There is one.
    """
    wrong = next((label for label in labels if tidy_label(label) is None), None)
    if wrong is not None:
        raise ModelError(
            f"A label of {source} has a control character: {wrong!r}.", hint="Name all of them: --label-names a,b,c"
        )


def _find(source: Path, config: AdoptConfig) -> ModelSpec | Path:
    """Return what a name means: an ONNX file, a folder or a hub id.

    Raises:
        ConfigError: It is a Bundle, or a setting does not suit it.
    """
    if (source / MANIFEST).is_file():
        raise ConfigError(f"{source} is an artifact of Yanmo already.", hint="Use it as it is.")
    if config.task is not None:
        check_form(get_task(config.task), "adopt")
    # Folders of the hub often hold exported graphs beside the weights: those are what was trained.
    graph = None if has_weights(source) else find_graph(source)
    found = graph or resolve(str(source))
    is_hub_id = isinstance(found, ModelSpec) and found.is_hub_id
    if isinstance(found, ModelSpec) and found.family != "pretrained":
        raise ConfigError(f"{found.name} is a shape to train, no model.", hint="Give a folder, a hub id or a file.")
    for name, needs in (("revision", is_hub_id), ("tokenizer", graph is not None)):
        if getattr(config, name) is not None and not needs:
            what = "a hub id" if name == "revision" else "an ONNX file"
            raise ConfigError(f"The '{name}' parameter of adopt is for {what}. {source} is none.")
    return found


def _fill(made: Bundle, opened: Original, dataset: Dataset | None, info: dict[str, Any]) -> None:
    """Write the model, what belongs to it, and its golden examples, once its answers are proved."""
    opened.save(made.path)
    for path in opened.license_files:
        shutil.copyfile(path, made.path / path.name)
    inputs = example_inputs(task_of(made), dataset)
    # Before golden answers are written: those of a model that is not proved would prove themselves.
    difference = check_answers(made, opened, inputs)
    write_answers(made, inputs)
    info["summary"] = {"largest_difference": float(f"{difference:.2g}")}
    logger.info(
        "Probabilities differ from %s by at most %.1g.",
        "transformers' own" if opened.score else "those of each text alone",
        difference,
    )


def _measure(made: Bundle, dataset: Dataset, name: str | None) -> dict[str, Any]:
    """Return what the model answers to a split, measured, and say it."""
    dataset = with_labels_of([made], dataset)
    match_bundle(made, dataset)
    split = load_split(dataset, name or next((one for one in MEASURED_SPLITS if one in dataset.splits), "test"))
    outcome = run_bundle(made, dataset, split, measure_speed=False, verify_golden=False)
    task, num_rows = task_of(made), len(split.inputs)
    statistics_NS = task.statistics(outcome.evidence, split.targets)
    found = measure_with_intervals(statistics_NS, task.measures, num_resamples=NUM_RESAMPLES, seed=0)
    headline = task.measures[0]
    logger.info(
        "The %s is %s on the %d rows of %s.",
        headline.title,
        headline.show(found[headline.name].value),
        num_rows,
        split.name,
    )
    summary: dict[str, Any] = {f"{split.name}_{name}": round(one.value, 6) for name, one in found.items()}
    return summary | {f"{split.name}_{headline.name}_interval": found[headline.name].interval, "num_rows": num_rows}


def _card(made: Bundle, info: dict[str, Any]) -> Callable[..., str]:
    return partial(
        render_card,
        model=made.model,
        format=made.format,
        task=made.task,
        labels=made.labels,
        max_length=made.max_length,
        text=made.text_config,
        scores={},
        source=info["source"],
        measured={name: value for name, value in info["summary"].items() if isinstance(value, float)},
    )
