"""Training of a network for trees: first the kinds of words are told, then the network reads them beside the words."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from yanmo.modeling.runs.network_training import train_network
from yanmo.modeling.settings import LabeledTexts, LoopSettings, NetworkSettings, Trained
from yanmo.modeling.structured.word_tagging import Tagger, tag_words
from yanmo.models import ModelSpec

__all__ = ["train_parser_network"]


def train_parser_network(
    spec: ModelSpec,
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    loop: LoopSettings,
    tagger: Tagger | None,
    ask: Callable[[], LabeledTexts] | None = None,
    **others: Any,
) -> Trained:
    """Train a network; the tagger of one that reads kinds of words becomes a part of it.

    Args:
        spec: What the model's name means.
        train: Trees to learn from.
        valid: Trees that choose the best weights.
        network: What decides the network and its loss.
        loop: How it is trained.
        tagger: What tells the kinds of words; None: one that is trained here, where the trees have parts of speech.
        ask: Gives the texts with a teacher's answers, as of :func:`train_network`.
        **others: Of :func:`train_network`.
    """
    tagging = None
    if spec.reads_kinds:
        tagging = tag_words(train, valid, tagger=tagger, seed=loop.seed, num_threads=loop.num_threads)
    if tagging is None:
        return train_network(spec, train, valid, network=network, loop=loop, ask=ask, **others)
    trained = train_network(
        spec,
        tagging.learned(train),
        tagging.read(valid),
        network=dataclasses.replace(network, kinds=tagging.tagger.tags),
        loop=loop,
        ask=None if ask is None else lambda: tagging.learned(ask()),
        **others,
    )

    def save(folder: Path) -> None:
        trained.save(folder)
        tagging.save(folder)

    return dataclasses.replace(trained, save=save)
