"""Trains a transition-based parser and its tagger; it knows no artifact and no torch.

Legend: U words, N sentences, P places of the rows of a batch, C relations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file
from threadpoolctl import threadpool_limits

from yanmo import progress
from yanmo.arrays import IntArray
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, LoopSettings, MeasureAnswers, Trained
from yanmo.modeling.structured.arcs_learning import Perceptron
from yanmo.modeling.structured.beam_learning import learn_with_beam
from yanmo.modeling.structured.taught_trees import with_taught_trees
from yanmo.modeling.structured.word_tagging import Tagger, WordTagging, tag_words
from yanmo.parsing.arc_evidence import Sharpness, fit_sharpness
from yanmo.parsing.parser import ArcParser
from yanmo.parsing.sentences import Rows, WordHashes, frequent_words
from yanmo.text.inputs import Units

__all__ = ["ARCS_SETTINGS", "train_arcs"]

ACTION_BITS, RELATION_BITS = 18, 17
MIN_COUNT = 2
"""How often training must meet a word for it to count by itself."""
POOL = 32
"""Batches are cut from so many batches of sentences in the order of their lengths."""
EXPLORE = 0.9
ARCS_SETTINGS = "arcs.json"
METRICS = "metrics.jsonl"


@dataclass(frozen=True)
class _Lesson:
    """Sentences with their trees.

    Attributes:
        words: As the parser reads them.
        heads_U: The number of each word's head, 0 for the root.
        relations_U: Its relation.
    """

    words: WordHashes
    heads_U: IntArray
    relations_U: IntArray

    def targets(self, rows: Rows, sentences: IntArray) -> tuple[IntArray, IntArray]:
        """Return the place of each word's head and its relation, of rows; other places are their own heads."""
        units_U, places_U = self.words.units_of(sentences), rows.places_U()
        begins_U = np.repeat(rows.begins_N, rows.lengths_N)
        roots_U = begins_U + np.repeat(rows.lengths_N, rows.lengths_N)
        heads_P, relations_P = np.arange(len(rows.words_P)), np.zeros(len(rows.words_P), dtype=np.int64)
        heads_U = self.heads_U[units_U]
        heads_P[places_U] = np.where(heads_U == 0, roots_U, begins_U + heads_U - 1)
        relations_P[places_U] = self.relations_U[units_U]
        return heads_P, relations_P


def train_arcs(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    labels: Sequence[str],
    tagger: Tagger | None,
    beam: int,
    loop: LoopSettings,
    measure: MeasureAnswers,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Train a parser; the weights of the epoch with the best score of ``loop.metric`` are kept, in 8 bits.

    Args:
        train: Trees to learn from.
        valid: Trees that choose the epoch.
        labels: The relations.
        tagger: What tells the kinds of words; None: one that is trained here, where the trees have parts of speech.
        beam: How many sequences of actions of a sentence go forward together.
        loop: Epochs, sentences a step, patience, seed.
        measure: From evidence and targets to scores.
        tell: Is shown the record of every epoch.
    """
    with threadpool_limits(loop.num_threads):
        tagging = tag_words(train, valid, tagger=tagger, seed=loop.seed, num_threads=loop.num_threads)
        if tagging is not None:
            train, valid = tagging.learned(train), tagging.read(valid)
        train = with_taught_trees(train)
        units, held = _units(train), _units(valid)
        vocabulary_V = frequent_words(units.surfaces, MIN_COUNT)
        lesson, held_lesson = _lesson(train, vocabulary_V), _lesson(valid, vocabulary_V)
        perceptron = Perceptron(len(labels), ACTION_BITS, RELATION_BITS, loop.seed)
        history = _History(loop, tell)
        for num_mistakes in _epochs(perceptron, lesson, loop, beam):
            parser = ArcParser(perceptron.average(), vocabulary_V, Sharpness(1.0, 1.0), beam)
            parsed = parser.parse(held_lesson.words)
            sharpness = fit_sharpness(parsed, held_lesson.heads_U, held_lesson.relations_U)
            parser = ArcParser(parser.weights, vocabulary_V, sharpness, beam)
            evidence = parser.evidence(held_lesson.words, held.places).activate()
            history.add(parser, num_mistakes, measure(evidence, valid.targets))
            if history.is_over:
                break
    return _trained(history, tagging, labels)


def _trained(history: _History, tagging: WordTagging | None, labels: Sequence[str]) -> Trained:
    parser, scores = history.best

    def save(folder: Path) -> None:
        tensors = parser.weights.actions.tensors("actions") | parser.weights.relations.tensors("relations")
        tensors["vocabulary"] = parser.vocabulary_V
        save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, folder / "model.safetensors")
        settings = {
            "beam": parser.beam,
            "sharpness": {"heads": parser.sharpness.heads, "relations": parser.sharpness.relations},
        }
        (folder / ARCS_SETTINGS).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        if tagging is not None:
            tagging.save(folder)
        (folder / METRICS).write_text("".join(json.dumps(one) + "\n" for one in history.records), encoding="utf-8")

    architecture = {
        "family": "arcs",
        "beam": parser.beam,
        "num_classes": len(labels),
        "num_words": len(parser.vocabulary_V),
        "num_tags": len(tagging.tagger.tags) if tagging else 0,
    }
    return Trained(save, scores, architecture, 0, is_int8=True)


class _History:
    """The record of every epoch, and the parser of the best one."""

    def __init__(self, loop: LoopSettings, tell: Watcher) -> None:
        self._loop, self._tell = loop, tell
        self._best_gain, self._num_worse = float("-inf"), 0
        self._best: tuple[ArcParser, dict[str, float]] | None = None
        self.records: list[dict[str, Any]] = []

    @property
    def best(self) -> tuple[ArcParser, dict[str, float]]:
        """The parser of the best epoch, and its scores."""
        if self._best is None:
            raise InternalError("A training without an epoch has no best one.")
        return self._best

    def add(self, parser: ArcParser, num_mistakes: int, scores: dict[str, float]) -> None:
        """Keep an epoch's record, and its parser where none before scored as well."""
        epoch = len(self.records)
        record = {"step": epoch + 1, "epoch": epoch, "num_mistakes": num_mistakes}
        self.records.append(record | {f"valid_{name}": score for name, score in scores.items()})
        self._tell(self.records[-1])
        gain = -scores[self._loop.metric] if self._loop.lowest else scores[self._loop.metric]
        self._num_worse += 1
        if gain > self._best_gain:
            self._best_gain, self._best, self._num_worse = gain, (parser, scores), 0

    @property
    def is_over(self) -> bool:
        """Whether so many epochs in a row were no better that training ends."""
        return self._num_worse >= self._loop.early_stopping_patience


def _epochs(perceptron: Perceptron, lesson: _Lesson, loop: LoopSettings, beam: int) -> Iterator[int]:
    """Learn from all sentences, epoch by epoch, and yield the number of mistakes of each."""
    if not loop.num_epochs:
        # Whoever asks for no epoch wants to know what such a parser costs.
        yield 0
    with progress.bar(loop.num_epochs, "train", unit="epoch") as bar:
        # Where no sequence is good for long, hardly anything is learned from it: a beam begins where greed has ended.
        # It learns once from a sentence, where greed does from every mistake, so it gets most of the epochs.
        num_greedy = loop.num_epochs if beam == 1 else max(loop.num_epochs // 4, 1)
        for epoch in range(loop.num_epochs):
            num_mistakes = 0
            if epoch == num_greedy:
                perceptron.actions.restart()
                perceptron.relations.restart()
            for sentences in _batches(lesson.words, loop.batch_size, loop.seed, epoch):
                rows = lesson.words.rows(sentences)
                targets = lesson.targets(rows, sentences)
                if epoch >= num_greedy:
                    num_mistakes += learn_with_beam(perceptron, rows, *targets, beam)
                    continue
                # In the first epoch most that follows a mistake is noise.
                num_mistakes += perceptron.learn(rows, *targets, explore=EXPLORE if epoch else 0.0)
            yield num_mistakes
            bar.update(1)


def _batches(words: WordHashes, batch_size: int, seed: int, epoch: int) -> Iterator[IntArray]:
    """Yield the sentences of each step, those of like lengths together, the longest first."""
    random = np.random.default_rng([seed, epoch])
    lengths_N = np.diff(words.offsets)
    order_N = random.permutation(np.flatnonzero(lengths_N > 0))
    batches: list[IntArray] = []
    for begin in range(0, len(order_N), batch_size * POOL):
        pool = order_N[begin : begin + batch_size * POOL]
        pool = pool[np.argsort(-lengths_N[pool], kind="stable")]
        batches.extend(np.split(pool, range(batch_size, len(pool), batch_size)))
    for place in random.permutation(len(batches)).tolist():
        yield batches[place]


def _lesson(texts: LabeledTexts, vocabulary_V: Any) -> _Lesson:
    units, targets = _units(texts), texts.targets.values
    words = WordHashes.of(units.surfaces, units.kinds_U, units.places.offsets, vocabulary_V)
    return _Lesson(words, targets["head"].copy(), targets["relation"].copy())


def _units(texts: LabeledTexts) -> Units:
    if texts.texts.units is None:
        raise InternalError("A parser reads words, but the texts have none.")
    return texts.texts.units
