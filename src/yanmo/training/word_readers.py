"""The Bundles that a parser is trained with and keeps inside: what cuts raw texts into words, and what tags these."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from yanmo.answers.choices import Choices
from yanmo.answers.tags import TagScheme
from yanmo.arrays import IntArray
from yanmo.artifacts.bundle import SEGMENTER, Bundle
from yanmo.errors import ConfigError
from yanmo.models import ModelSpec
from yanmo.protocols import Task
from yanmo.runtimes.word_tagger import BundleTagger
from yanmo.tasks import task_of
from yanmo.text.inputs import Inputs

__all__ = ["WordReaders", "word_readers"]

PARSERS = "trees"
"""What is decided about by models that read kinds of words."""


@dataclass(frozen=True)
class GivenTagger:
    """A tagger that was trained before."""

    bundle: Bundle

    @property
    def tags(self) -> Sequence[str]:
        """Their names, in order."""
        return self.bundle.labels

    def kinds_U(self, texts: Inputs) -> IntArray:
        """Return the number of the tag of every word, from 1."""
        return BundleTagger(self.bundle).kinds_U(texts)

    def save(self, folder: Path) -> None:
        """Copy it into an empty folder."""
        shutil.copytree(self.bundle.path, folder, dirs_exist_ok=True)


@dataclass(frozen=True)
class WordReaders:
    """What was given beside a Dataset of trees; nothing by default."""

    tagger: GivenTagger | None = None
    segmenter: Bundle | None = None

    @property
    def parents(self) -> dict[str, str]:
        """Role to digest."""
        tagger = {} if self.tagger is None else {"tagger": self.tagger.bundle.digest}
        return tagger if self.segmenter is None else tagger | {"segmenter": self.segmenter.digest}

    def save_segmenter(self, folder: Path) -> None:
        """Copy the segmenter, if there is one, into the folder of a model."""
        if self.segmenter is not None:
            shutil.copytree(self.segmenter.path, folder / SEGMENTER)


def word_readers(task: Task[Any], spec: ModelSpec, *, tagger: Bundle | None, segmenter: Bundle | None) -> WordReaders:
    """Return the Bundles that a parser is trained with, after checking that they can be.

    Args:
        task: What is learned.
        spec: The model that learns it.
        tagger: Tells the kinds of words.
        segmenter: Tells where words are.

    Raises:
        ConfigError: The task has no use for them, the model does not read kinds, or a Bundle says something else.
    """
    for role, bundle in (("tagger", tagger), ("segmenter", segmenter)):
        if bundle is None:
            continue
        if task.head != PARSERS:
            raise ConfigError(f"The task {task.name} does not use the '{role}' input of train.", hint="Leave it out.")
        _check(role, bundle)
    if tagger is not None and not (spec.reads_kinds or spec.family == "arcs"):
        raise ConfigError(
            f"The model {spec.name} reads words alone, and no 'tagger' input of train.",
            hint="Leave it out, or train arcs, bilstm or a shape from scratch such as bert-4x312.",
        )
    return WordReaders(None if tagger is None else GivenTagger(tagger), segmenter)


def _check(role: str, bundle: Bundle) -> None:
    units = bundle.text_config.units
    is_tagging = task_of(bundle).form is Choices and units is not None
    is_plain = is_tagging and TagScheme.of(bundle.labels).is_plain
    if role == "tagger" and not (is_plain and units == "words"):
        raise ConfigError(
            f"The 'tagger' input of train must be a Bundle that gives every word one tag. {bundle.path} is of the task "
            f"{bundle.task}{f', its units are {units}' if units else ''}.",
            hint="Train one: prepare TREEBANK --task token_labels --label upos.",
        )
    if role == "segmenter" and (not is_tagging or is_plain):
        raise ConfigError(
            f"The 'segmenter' input of train must be a Bundle that finds words. {bundle.path} is of the task "
            f"{bundle.task}.",
            hint="Train one: prepare TREEBANK --task token_labels --label words.",
        )
