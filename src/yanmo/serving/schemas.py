"""The wire types; they know no rule, no model and no socket. ``openapi.py`` makes the description of them.

One text::

    {"text": "很快，好吃"}                        {"prediction": "1", "probability": 0.98,
                                                  "probabilities": {"0": 0.02, "1": 0.98},
                                                  "model": "cnn-onnx", "digest": "5f1c…", "truncated": false}

Many texts::

    {"texts": ["很快", "太慢"]}                   {"predictions": [{"prediction": "1", …}, …], "model": …, "digest": …}

Pairs have a second column, as in a Dataset: ``{"text": …, "text_b": …}`` and ``{"texts": […], "texts_b": […]}``.
``{"inputs": …}`` is asked and answered as by text-embeddings-inference: ``[{"score": 0.98, "label": "1"}, …]`` for one
text or pair, a list of such lists for a batch ``[["a", "b"], …]``. Beside ``parameters`` it is answered as the Hugging
Face client reads it, always by a list of lists. A model that labels the units of a text answers a bare list of
entities for one text, a list of such lists for several.
A cascade says which stage answered, and may answer nothing: ``{"prediction": null, "abstained": true, …}``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from yanmo.serving.writing.schemas import CompletionAnswer

__all__ = [
    "Answer",
    "Answers",
    "Count",
    "Entity",
    "FilledGap",
    "FilledText",
    "FoundAnswer",
    "GapCandidate",
    "Health",
    "LabelScore",
    "ListedModel",
    "Models",
    "Parameters",
    "PredictBody",
    "Reload",
    "ServedModel",
    "StreamedAnswer",
    "Text",
    "TreeWord",
    "WrittenCandidate",
    "WrittenText",
]

Text = str | tuple[str, str]
Count = Annotated[int, Meta(ge=1, le=1_000_000)] | Annotated[float, Meta(ge=1, le=1_000_000)]
"""A whole number, which some clients write as 2.0; :func:`~yanmo.serving.requests.whole_count` refuses the others."""


class Parameters(msgspec.Struct, forbid_unknown_fields=True):
    """The options of a Hugging Face client; null is the same as leaving one out.

    Attributes:
        top_k: Only the so many most probable labels.
        function_to_apply: From scores to what is told: softmax, sigmoid or none; by default what the task needs.
        aggregation_strategy: Of entities: how tags become entities. An entity is always a whole one, however it is
            called, so all names but none are allowed.
        ignore_labels: Of entities: labels whose entities are left out.
    """

    top_k: Count | UnsetType | None = UNSET
    function_to_apply: Literal["softmax", "sigmoid", "none"] | UnsetType | None = UNSET
    aggregation_strategy: Literal["simple", "first", "average", "max"] | UnsetType | None = UNSET
    ignore_labels: list[str] | UnsetType | None = UNSET


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is asked. Keys that are not given are UNSET, so that none can be given twice unseen.

    Attributes:
        text: One text.
        text_b: The second text of a pair.
        texts: Many texts.
        texts_b: The second texts of pairs.
        inputs: One text, many texts, or many lists of one text or of a pair.
        return_probabilities: Whether every label's probability is wanted; by default it is. Not with inputs.
        top_k: Of the probabilities only the so many largest.
        threshold: Labels that are less probable are no answer: null, or not in the list for multi-label tasks.
        truncate: Whether a text may be longer than the model reads; by default it may, and the answer says so.
        raw_scores: Only with inputs: logarithms of the probabilities, or of their odds for multi-label tasks.
        truncation_direction: Only with inputs: where a text is cut, which is at its right end; with Left one that would
            have to be cut is refused.
        parameters: Only with inputs: the options of a Hugging Face client.
        stream: Whether what is written is sent as it grows, by server-sent events; only with text and top_k.
    """

    text: str | UnsetType = UNSET
    text_b: str | UnsetType = UNSET
    texts: list[str] | UnsetType = UNSET
    texts_b: list[str] | UnsetType = UNSET
    inputs: str | list[str | list[str]] | UnsetType = UNSET
    return_probabilities: bool | UnsetType = UNSET
    top_k: Count | UnsetType = UNSET
    threshold: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    # text-embeddings-inference allows null, too.
    truncate: bool | UnsetType | None = UNSET
    raw_scores: bool | UnsetType = UNSET
    truncation_direction: Literal["Right", "Left", "right", "left"] | UnsetType = UNSET
    parameters: Parameters | UnsetType = UNSET
    stream: bool | UnsetType = UNSET


class LabelScore(msgspec.Struct, frozen=True):
    """One label in the answer to inputs, which has the most probable first."""

    score: float
    label: str


class Entity(msgspec.Struct, frozen=True):
    """A part of a text: an entity, a word, a slot; as the token classification of the Hugging Face clients has it.

    Attributes:
        entity_group: Its label.
        start: Its first character, counted in Unicode characters of the text as it was sent.
        end: The character behind its last one.
        score: How probable it is.
        word: What stands there.
        source: Where it was not the model that found it: dictionary or rule.
    """

    entity_group: str
    start: int
    end: int
    score: float
    word: str
    source: Literal["dictionary", "rule"] | UnsetType = UNSET


class FoundAnswer(msgspec.Struct, frozen=True):
    """An answer that stands in a passage, as the question answering of the Hugging Face clients has it.

    Attributes:
        answer: What stands there; empty: the passage has no answer.
        score: How probable it is.
        start: Its first character, counted in Unicode characters of the passage as it was sent.
        end: The character behind its last one.
    """

    answer: str
    score: float
    start: int
    end: int


class WrittenCandidate(msgspec.Struct, frozen=True):
    """A text that a model could have written.

    Attributes:
        text: What would have been written.
        log_likelihood: The mean of its tokens' log-likelihoods, in nats.
    """

    text: str
    log_likelihood: float


class WrittenText(msgspec.Struct, frozen=True):
    """What was written for one of the inputs, by the names that clients of translation, summaries and texts read."""

    translation_text: str
    summary_text: str
    generated_text: str


class GapCandidate(msgspec.Struct, frozen=True):
    """What could stand in a gap of a text.

    Attributes:
        token_str: The token as the model writes it.
        token: Its id in the model's vocabulary.
        score: Its probability.
    """

    token_str: str
    token: int
    score: float


class FilledGap(msgspec.Struct, frozen=True):
    """A gap of a text.

    Attributes:
        start: The first character of its mark, counted in Unicode characters of the text as it was sent.
        end: The character behind the mark's last one.
        words: What could stand there, the most probable first.
    """

    start: int
    end: int
    words: Sequence[GapCandidate]


class FilledText(msgspec.Struct, frozen=True):
    """One word for a gap of an input, as clients of fill-mask read it.

    Attributes:
        score: Its probability.
        token: Its id in the model's vocabulary.
        token_str: The token as the model writes it.
        sequence: The text with it.
    """

    score: float
    token: int
    token_str: str
    sequence: str


class TreeWord(msgspec.Struct, frozen=True):
    """A word of a sentence's tree.

    Attributes:
        id: Its number in the sentence, from 1.
        start: Its first character, counted in Unicode characters of the text as it was sent.
        end: The character behind its last one.
        word: What stands there.
        head: The number of its head; 0 for the root.
        relation: To its head.
        score: How probable head and relation are.
    """

    id: int
    start: int
    end: int
    word: str
    head: int
    relation: str
    score: float


class FoundPassage(msgspec.Struct):
    """A part of a document in which an answer was found.

    Attributes:
        document: The name of its file.
        start: Its first character, in the document.
        text: It; places of answers are counted in it.
    """

    document: str
    start: int
    text: str


class Answer(msgspec.Struct):
    """What the model says about one text.

    Attributes:
        prediction: The label, or the text of an answer in a passage, or what was written or filled in; for multi-label
            tasks all labels that are probable enough; for tasks about the units of a text those of its entities, in
            order; null where there is none.
        probability: The label's probability; for multi-label tasks the weakest decision's.
        probabilities: Every label's probability.
        model: The model's name; in a list of answers it stands beside the list.
        digest: The digest of the Bundle that answered; it stands where the name does.
        truncated: Whether the model did not read the end of the text.
        stage: Of a cascade, the number of the stage that answered, from 1.
        abstained: Whether it gave no answer; only of a cascade and where a threshold was asked for.
        entities: The parts of the text that were labeled, in order; only for tasks about the units of a text.
        answers: The most probable answers, of which none overlaps another; only for questions about passages.
        context: Of several passages the one that has the answer, counted from 0.
        passage: Of the service's own documents the part that the answer was found in.
        words: The words with their heads, in order; only for tasks about trees.
        conllu: The same as rows of CoNLL-U.
        vector: What the text is about; only of models that give vectors.
        num_tokens: How many tokens were read; only of these models, and at the end of a stream.
        num_written_tokens: How many tokens were written; only at the end of a stream.
        finish_reason: Why what was written has ended: stop at the token that ends a text, length at the most tokens,
            repeats at what came again and again; only of models that write token by token.
        log_likelihood: The mean log-likelihood of the tokens of what was written, in nats, of texts for texts; of a
            text without gaps its pseudo-log-likelihood.
        candidates: What could have been written, the best first, at most top_k; only of texts for texts, where top_k is
            asked for.
        gaps: The gaps of the text; only of models that guess hidden tokens.
    """

    prediction: str | tuple[str, ...] | None
    probability: float
    probabilities: Mapping[str, float] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    digest: str | UnsetType = UNSET
    truncated: bool = False
    stage: int | UnsetType = UNSET
    abstained: bool | UnsetType = UNSET
    entities: Sequence[Entity] | UnsetType = UNSET
    answers: Sequence[FoundAnswer] | UnsetType = UNSET
    context: int | UnsetType = UNSET
    passage: FoundPassage | UnsetType = UNSET
    words: Sequence[TreeWord] | UnsetType = UNSET
    conllu: str | UnsetType = UNSET
    vector: Sequence[float] | UnsetType = UNSET
    num_tokens: int | UnsetType = UNSET
    num_written_tokens: int | UnsetType = UNSET
    finish_reason: str | UnsetType = UNSET
    log_likelihood: float | UnsetType = UNSET
    candidates: Sequence[WrittenCandidate] | UnsetType = UNSET
    gaps: Sequence[FilledGap] | UnsetType = UNSET


class Answers(msgspec.Struct):
    """What the model says about several texts, in their order."""

    predictions: Sequence[Answer]
    model: str
    digest: str


class StreamedAnswer(CompletionAnswer, frozen=True, omit_defaults=True):
    """An event of an answer that is sent while it is written; the last one has the usage, and the answer as a whole.

    Attributes:
        answer: As it is without stream.
    """

    answer: Answer | UnsetType = UNSET


class ServedModel(msgspec.Struct, frozen=True):
    """One entry of ``GET /v1/models``.

    Attributes:
        name: What it is called here.
        digest: The Bundle's digest.
        task: What it answers.
        labels: In the Bundle's order.
        format: How the Bundle computes.
        model: The kind of model.
        max_length: The most tokens it reads of a text; 0 if it reads all of it.
        size_bytes: Of all files of the Bundle.
        figures: What was measured while the Bundle was made, by name.
        watches_inputs: Whether the Bundle has a profile, so that changed inputs are noticed.
        inputs_changed: Whether what is asked differs from what the model was made for.
        card: The Bundle's model card, as Markdown, in the language of Accept-Language.
        streams: Whether it takes stream; a model that has nothing to tell before its answer is whole sends it in
            one piece.
    """

    name: str
    digest: str
    task: str
    labels: list[str]
    format: str
    model: str
    max_length: int
    size_bytes: int
    figures: dict[str, float]
    watches_inputs: bool
    inputs_changed: bool
    card: str
    streams: bool = False


class ListedModel(msgspec.Struct, frozen=True):
    """A model as OpenAI's clients list it."""

    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "yanmo"


class Models(msgspec.Struct, frozen=True):
    """All models; ``POST /predict`` asks the first. The same names stand under data for OpenAI's clients."""

    models: list[ServedModel]
    object: str = "list"
    data: list[ListedModel] = []


class Health(msgspec.Struct, frozen=True):
    """The answer of ``GET /livez`` and ``GET /readyz``."""

    status: str


class Reload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What replaces a model: the path of a Bundle, relative to the folder of models."""

    path: str
