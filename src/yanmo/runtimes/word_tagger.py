"""The tagger inside of a parser's Bundle: the kind of every word, before the parser reads it; it knows no parser.

It is the window model that ``train`` made of a treebank's own tags, or a whole Bundle that ``train`` was given.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec
import numpy as np

from yanmo.answers.links import SOFTMAX
from yanmo.arrays import IntArray
from yanmo.artifacts.bundle import TAGGER, TAGS, Bundle
from yanmo.artifacts.placing import MANIFEST
from yanmo.errors import ArtifactError, InternalError
from yanmo.runtimes.predictor import open_bundle
from yanmo.runtimes.window import WindowRuntime
from yanmo.text.inputs import Inputs

__all__ = ["BundleTagger", "WordTagger", "open_tagger"]


class WordTagger(Protocol):
    """What tells the kind of every word."""

    def kinds_U(self, inputs: Inputs) -> IntArray:
        """Return the number of the tag of every word of N cleaned texts, from 1."""
        ...


class _WindowTagger:
    """A window model without a manifest: that of the Bundle holds the digests of its files, too."""

    def __init__(self, bundle: Bundle, folder: Path) -> None:
        self._runtime = WindowRuntime(Bundle(folder, bundle.manifest, ""), SOFTMAX, _read_tags(folder / TAGS))

    def kinds_U(self, inputs: Inputs) -> IntArray:
        """Return the number of the tag of every word of N cleaned texts, from 1."""
        scores_UC = self._runtime.score(self._runtime.encode(inputs)).scores.values_MC
        return np.asarray(scores_UC.argmax(axis=1) + 1)


class BundleTagger:
    """A Bundle that gives every word one of its labels.

    Args:
        bundle: It.
        num_threads: To compute with.
    """

    def __init__(self, bundle: Bundle, num_threads: int = 1) -> None:
        self._predictor = open_bundle(bundle, num_threads=num_threads, verify_golden=False)

    def kinds_U(self, inputs: Inputs) -> IntArray:
        """Return the number of the tag of every word of N texts, from 1; they are cleaned as the tagger has it."""
        inference = self._predictor.score(self._predictor.encode(inputs))
        kinds_U = self._predictor.activate(inference.scores).values_MC.argmax(axis=1) + 1
        if inputs.units is not None and len(kinds_U) != len(inputs.units.surfaces):
            raise InternalError(f"The tagger told {len(kinds_U)} kinds of {len(inputs.units.surfaces)} words.")
        return np.asarray(kinds_U)


def open_tagger(bundle: Bundle) -> WordTagger | None:
    """Return the tagger of a parser, None where it has none.

    Raises:
        ArtifactError: A file of it is missing or damaged.
    """
    folder = bundle.path / TAGGER
    if not folder.is_dir():
        return None
    # The digests of its files have been checked with those of the Bundle.
    whole = (folder / MANIFEST).is_file()
    return BundleTagger(Bundle.open(folder, verify=False)) if whole else _WindowTagger(bundle, folder)


def _read_tags(path: Path) -> Sequence[str]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[str])
    except (OSError, msgspec.MsgspecError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}.", hint="Train the Bundle again.") from error
