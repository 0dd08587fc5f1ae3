"""The wire types, and the rules a request must keep; it knows no model and no socket.

One text::

    {"text": "很快，好吃"}                        {"prediction": "1", "probability": 0.98,
                                                  "probabilities": {"0": 0.02, "1": 0.98},
                                                  "model": "cnn-onnx", "truncated": false}

Many texts::

    {"texts": ["很快", "太慢"]}                   {"predictions": [{"prediction": "1", …}, …], "model": "cnn-onnx"}

Pairs have a second column, as in a Dataset: ``{"text": …, "text_b": …}`` and ``{"texts": […], "texts_b": […]}``.
A cascade says which stage answered, and may answer nothing: ``{"prediction": null, "abstained": true, …}``.
``"return_probabilities": false`` leaves ``probabilities`` out. For multi-label tasks ``prediction`` is a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
from msgspec import UNSET, UnsetType

from yanmo.serving.problems import Problem

__all__ = ["Answer", "Answers", "Limits", "Models", "Request", "ServedModel", "Text", "decode_request"]

Text = str | tuple[str, str]

EXPECTED = {
    "text": "a string",
    "text_b": "a string",
    "texts": "a list of strings",
    "texts_b": "a list of strings",
    "return_probabilities": "true or false",
}


class PredictBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of ``POST /predict``. Keys that are not given are UNSET, so that none can be given twice unseen."""

    text: str | UnsetType = UNSET
    text_b: str | UnsetType = UNSET
    texts: list[str] | UnsetType = UNSET
    texts_b: list[str] | UnsetType = UNSET
    return_probabilities: bool | UnsetType = UNSET


class Answer(msgspec.Struct):
    """What the model says about one text.

    Attributes:
        prediction: The label; for multi-label tasks all that are more probable than not; null where it abstained.
        probability: That of the label; for multi-label tasks that of the weakest decision.
        probabilities: Every label's probability.
        model: The Bundle's name; in a list of answers it stands beside the list.
        truncated: Whether the model did not read the end of the text.
        stage: Of a cascade, the number of the stage that answered, from 1.
        abstained: Of a cascade, whether it gave no answer.
    """

    prediction: str | tuple[str, ...] | None
    probability: float
    probabilities: Mapping[str, float] | UnsetType
    model: str | UnsetType
    truncated: bool
    stage: int | UnsetType = UNSET
    abstained: bool | UnsetType = UNSET


class Answers(msgspec.Struct):
    """What the model says about several texts, in their order."""

    predictions: Sequence[Answer]
    model: str


class ServedModel(msgspec.Struct, frozen=True):
    """One entry of ``GET /models``."""

    name: str
    digest: str
    task: str
    labels: list[str]
    format: str
    model: str
    max_length: int
    size_bytes: int


class Models(msgspec.Struct, frozen=True):
    """The answer of ``GET /models``."""

    models: list[ServedModel]


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        num_columns: 1, or 2 where the task is about pairs.
        max_texts: The most texts or pairs.
        max_characters: The most characters of one text.
    """

    num_columns: int
    max_texts: int
    max_characters: int


@dataclass(frozen=True, slots=True)
class Request:
    """A request that keeps the rules.

    Attributes:
        texts: Texts, or pairs of them.
        is_single: It was one text, not a list.
        return_probabilities: Whether every label's probability is wanted.
    """

    texts: list[Text]
    is_single: bool
    return_probabilities: bool


DECODER = msgspec.json.Decoder(PredictBody)
KEY_END = re.compile(rb'(?<!\\)"[ \t\r\n]*:')
ERROR_PATH = re.compile(r"`\$\.([a-z_]+)(?:\[(\d+)\])?`$")


def decode_request(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds.

    Args:
        body: JSON in UTF-8.
        limits: What it may hold.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    parsed = _parse(body)
    first, is_single = _first_column(parsed, limits)
    second = _second_column(parsed, limits, is_single=is_single)
    wants_probabilities = parsed.return_probabilities is not False
    if second is None:
        return Request([*first], is_single, wants_probabilities)
    if len(first) != len(second):
        raise Problem("wrong_pair", "'texts' and 'texts_b' must have the same length.")
    return Request([*zip(first, second, strict=True)], is_single, wants_probabilities)


def _parse(body: bytes) -> PredictBody:
    try:
        parsed = DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    except (ValueError, RecursionError):
        raise Problem("invalid_json", "Send one JSON object in UTF-8, without a byte order mark.") from None
    # Inside a string a quote follows a backslash, and no known key ends with one: this counts keys, and nothing else.
    if len(KEY_END.findall(body)) != len(EXPECTED) - msgspec.structs.astuple(parsed).count(UNSET):
        raise Problem("duplicate_key", "Give every key once.")
    return parsed


def _explain(message: str) -> Problem:
    """Return the problem behind msgspec's message, of which only the place is used, and only where the key is ours."""
    if message.startswith("Object contains unknown field"):
        return Problem("unknown_key", f"The keys are: {', '.join(EXPECTED)}.")
    place = ERROR_PATH.search(message)
    if place is None or place[1] not in EXPECTED:
        return Problem("wrong_type", "The body must be a JSON object.")
    which = f" Item {place[2]} is not a string." if place[2] else ""
    return Problem("wrong_type", f"'{place[1]}' must be {EXPECTED[place[1]]}.{which}")


def _first_column(parsed: PredictBody, limits: Limits) -> tuple[list[str], bool]:
    """Return the texts, and whether they were one."""
    if isinstance(parsed.text, str) and parsed.texts is UNSET:
        return _checked([parsed.text], "text", limits), True
    if isinstance(parsed.texts, list) and parsed.text is UNSET:
        return _checked(parsed.texts, "texts", limits), False
    raise Problem("text_or_texts", "Give either 'text', a string, or 'texts', a list of strings.")


def _second_column(parsed: PredictBody, limits: Limits, *, is_single: bool) -> list[str] | None:
    """Return the second texts of pairs, or None where the task has single texts."""
    if limits.num_columns == 1:
        if parsed.text_b is UNSET and parsed.texts_b is UNSET:
            return None
        raise Problem("wrong_pair", "This model reads one text at a time: leave out 'text_b' and 'texts_b'.")
    if isinstance(parsed.text_b, str) and parsed.texts_b is UNSET and is_single:
        return _checked([parsed.text_b], "text_b", limits)
    if isinstance(parsed.texts_b, list) and parsed.text_b is UNSET and not is_single:
        return _checked(parsed.texts_b, "texts_b", limits)
    raise Problem("wrong_pair", "This model reads pairs: give 'text' and 'text_b', or 'texts' and 'texts_b'.")


def _checked(column: list[str], key: str, limits: Limits) -> list[str]:
    """Return the column if it keeps the limits."""
    if not column:
        raise Problem("no_texts", f"'{key}' must have at least one text.")
    if len(column) > limits.max_texts:
        raise Problem(
            "too_many_texts", f"'{key}' must have at most {limits.max_texts} texts. Got {len(column)} instead."
        )
    longest = max(map(len, column))
    if longest > limits.max_characters:
        raise Problem(
            "text_too_long", f"A text in '{key}' has {longest} characters; at most {limits.max_characters} are allowed."
        )
    return column
