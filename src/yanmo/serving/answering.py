"""One opened Bundle answers batches of texts, in whatever thread or process; it knows no queue and no HTTP."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from yanmo.answers.answered import Answered, Found, Span
from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.forms import row_of
from yanmo.answers.gaps import Gaps
from yanmo.answers.pointers import Pointers
from yanmo.answers.vectors import Vectors
from yanmo.answers.writings import Writings
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.tree_table import conllu_sentence
from yanmo.protocols import AnswerWatcher, Prediction, Task
from yanmo.runtimes.predictor import Predictor, default_num_threads, open_bundle
from yanmo.serving.config import ModelOptions
from yanmo.serving.schemas import (
    Answer,
    Entity,
    FilledGap,
    FoundAnswer,
    GapCandidate,
    Text,
    TreeWord,
    WrittenCandidate,
)
from yanmo.tasks.deciding import count_given
from yanmo.text.inputs import Inputs

__all__ = ["Answerer", "BatchAnswer"]

NUM_WARM_TEXTS = 400
LEAST_SHARE = 1e-37


class BatchAnswer(msgspec.Struct, tag=True):
    """What a model says about a batch of N texts.

    Attributes:
        answers: N answers without names.
        num_tokens: Tokens or features the model saw of each text.
        num_unknown: How many of them it had no entry for.
        num_cells: Tokens of all texts with the padding that batches of equal length need.
        num_given: How often each label was given, in the Bundle's order.
        encode_seconds: Cleaning and tokenizing took so long.
        score_seconds: The model took so long.
        computed_seconds: The processor's seconds of all threads for both.
        digest: The digest of the Bundle.
    """

    answers: list[Answer]
    num_tokens: list[int]
    num_unknown: list[int]
    num_cells: int
    num_given: list[int]
    encode_seconds: float
    score_seconds: float
    computed_seconds: float
    digest: str

    def part(self, start: int, stop: int) -> list[Answer]:
        """Return the answers to some of the texts."""
        return self.answers[start:stop]


class Answerer:
    """A Bundle that answers.

    Args:
        bundle: The Bundle; opening it asks its golden examples again.
        options: How it computes.

    Attributes:
        num_lanes: The batches that it answers at a time. A graph's threads always have one to compute, then, while
            requests of another are read or written.

    Raises:
        ArtifactError: It does not give its golden answers here.
    """

    def __init__(self, bundle: Bundle, options: ModelOptions) -> None:
        # The options may be all of the service's settings, of which a Bundle is opened with these alone.
        values = options.model_dump(exclude={"workers"}, include=set(ModelOptions.model_fields))
        if values["num_threads"] is None:
            values["num_threads"] = max(1, default_num_threads() // max(1, options.workers))
        self._predictor: Predictor = open_bundle(bundle, **values)
        self.num_lanes: int = values["num_threads"] + 1 if bundle.format == "onnx" else 1
        self._digest = bundle.digest
        task = self._predictor.task
        self._num_columns = len(task.inputs)
        self._write = row_of(WRITERS, task.form, "A service")(task)
        # Who asks for vectors is told what was read.
        self._counts_tokens = task.form is Vectors
        if self.num_lanes > 1:  # what computes batches side by side is made now, not when the first ones come
            self.answer([("a", "a") if self._num_columns == 2 else "a"] * NUM_WARM_TEXTS)

    def answer(self, texts: Sequence[Text], watcher: AnswerWatcher | None = None) -> BatchAnswer:
        """Return what the model says about N texts, or pairs.

        Args:
            texts: The texts.
            watcher: Who is told of some answers while they are written; then answers have their numbers of tokens.
        """
        begin, computed = time.perf_counter(), time.process_time()
        inputs = Inputs.of_items(texts, self._num_columns)
        encoded = self._predictor.encode(inputs)
        if watcher is not None:
            encoded = self._predictor.watched(encoded, watcher)
        encoded_at = time.perf_counter()
        answered = self._predictor.answer(encoded)
        predictions, found = self._predictor.predictions(answered, inputs), answered.found
        answers = list(map(self._write, predictions))
        _note(answers, predictions, found, counts_tokens=self._counts_tokens)
        if watcher is not None:
            _count_tokens(answers, answered, watcher)
        return BatchAnswer(
            answers,
            found.num_tokens_N.tolist(),
            found.num_unknown_N.tolist(),
            found.num_cells,
            count_given(self._predictor.task, answered.decided.predictions, self._predictor.labels).tolist(),
            encoded_at - begin,
            time.perf_counter() - encoded_at,
            time.process_time() - computed,
            self._digest,
        )


def _note(answers: Sequence[Answer], predictions: Sequence[Prediction], found: Found, *, counts_tokens: bool) -> None:
    """Tell of each answer what reading its text took, and who gave it, where there is something to tell."""
    if found.truncated_N.any():
        for answer, truncated in zip(answers, found.truncated_N.tolist(), strict=True):
            answer.truncated = truncated
    if counts_tokens:
        for answer, num_tokens in zip(answers, found.num_tokens_N.tolist(), strict=True):
            answer.num_tokens = num_tokens
    if found.ending_N is not None:
        for answer, ending in zip(answers, found.ending_N, strict=True):
            answer.finish_reason = ending
    if found.stage_N is not None:
        for answer, one in zip(answers, predictions, strict=True):
            # Stages are numbered from 1; what is UNSET is left out of the answer.
            answer.stage, answer.abstained = one.stage or UNSET, one.abstained


def _count_tokens(answers: Sequence[Answer], answered: Answered[Writings], watcher: AnswerWatcher) -> None:
    """Tell how many tokens were read and written for the answers that are watched."""
    read_N, written_N = answered.found.num_tokens_N, answered.evidence.num_written_N
    for row, answer in enumerate(answers):
        if row in watcher.rows:
            answer.num_tokens, answer.num_written_tokens = int(read_N[row]), int(written_N[row])


def _writer_of_choices(task: Task[Any]) -> Callable[[Prediction], Answer]:
    return _write_entities if task.reads_units else _write_labels


def _write_labels(told: Prediction) -> Answer:
    return Answer(told.label, told.probability, told.probabilities)


def _write_entities(told: Prediction) -> Answer:
    return Answer(told.label, told.probability, entities=[_entity(span) for span in told.spans])


def _write_found(told: Prediction) -> Answer:
    found = [FoundAnswer(one.text or "", one.probability, one.start, one.end) for one in told.spans]
    return Answer(told.label, told.probability, told.probabilities, answers=found)


def _write_trees(told: Prediction) -> Answer:
    words = [
        TreeWord(number, one.start, one.end, one.text or "", one.head, one.relation, one.probability)
        for number, one in enumerate(told.words, 1)
    ]
    return Answer(told.label, told.probability, words=words, conllu=conllu_sentence(told.words))


def _write_vector(told: Prediction) -> Answer:
    return Answer(told.label, told.probability, vector=told.vector)


def _write_written(told: Prediction) -> Answer:
    found = [WrittenCandidate(text, _nats(share)) for text, share in told.probabilities.items()]
    return Answer(told.label, told.probability, log_likelihood=_nats(told.probability), candidates=found)


def _write_gaps(told: Prediction) -> Answer:
    found = [
        FilledGap(gap.start, gap.end, [GapCandidate(one.text, one.token, one.probability) for one in gap.words])
        for gap in told.gaps
    ]
    whole = told.probabilities.get("log_likelihood", UNSET)
    return Answer(told.label, told.probability, log_likelihood=whole, gaps=found)


def _nats(share: float) -> float:
    """Return the mean log-likelihood of a text's tokens, of which it was told as a probability."""
    return math.log(max(share, LEAST_SHARE))


WRITERS: dict[type[Any], Callable[[Task[Any]], Callable[[Prediction], Answer]]] = {
    Choices: _writer_of_choices,
    Pointers: lambda _: _write_found,
    Arcs: lambda _: _write_trees,
    Vectors: lambda _: _write_vector,
    Writings: lambda _: _write_written,
    Gaps: lambda _: _write_gaps,
}
"""Form of evidence to what makes an answer on the wire of one for a person."""


def _entity(span: Span) -> Entity:
    source = UNSET if span.source == "model" else span.source
    return Entity(span.label, span.start, span.end, span.probability, span.text or "", source)
