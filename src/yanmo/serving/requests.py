"""From a body's bytes to a request that keeps the rules; it knows no model and no socket."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET

from yanmo.runtimes.library import Library
from yanmo.serving.problems import Problem
from yanmo.serving.schemas import Parameters, PredictBody, Reload, Text
from yanmo.text.gap_marks import marks_of
from yanmo.translations import Phrase

__all__ = [
    "EXPECTED",
    "READS_ONE",
    "TOO_MANY",
    "Limits",
    "Request",
    "check_column",
    "check_unique_keys",
    "decode_reload",
    "decode_request",
    "whole_count",
]

EXPECTED = {
    "text": "a string",
    "text_b": "a string",
    "texts": "a list of strings",
    "texts_b": "a list of strings",
    "inputs": "a string, a list of strings, or a list of such lists",
    "return_probabilities": "true or false",
    "top_k": "a whole number from 1 to 1000000",
    "threshold": "a number from 0 to 1",
    "truncate": "true, false or null",
    "raw_scores": "true or false",
    "truncation_direction": "Right or Left",
    "stream": "true or false",
    "parameters": "an object with 'top_k', a whole number from 1, and 'function_to_apply': softmax, sigmoid or none; "
    "of entities 'aggregation_strategy': simple, first, average or max, and 'ignore_labels', a list of labels",
}
READS_ONE = "This model reads one text at a time."
TOO_MANY = "'{key}' must have at most {most} texts. Got {got} instead."
MOST_REREAD = 1000
"""Characters of a text that is read as often as it has tokens, so that one request does not hold up all others."""
CountT = TypeVar("CountT")
DECODER = msgspec.json.Decoder(PredictBody)
RELOAD_DECODER = msgspec.json.Decoder(Reload)
# msgspec takes the last of equal keys without a word, so keys are counted in the bytes.
STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"[ \t\r\n]*+(:?)')
"""A string, whole, for one may begin with a colon; and the colon behind it, if it is a key."""
# The end of msgspec's messages, such as `$.texts[3]`.
ERROR_PATH = re.compile(r"`\$\.([a-z_]+)(?:\[(\d+)\])?(?:\[\.\.\.\]|\[\d+\]|\.[a-z_]+)*`$")
NUM_KEYS = len(EXPECTED)
NUM_PARAMETERS = len(Parameters.__struct_fields__)


@dataclass(frozen=True)
class Limits:
    """What one request may hold.

    Attributes:
        num_columns: 1, or 2 where the task is about pairs.
        max_texts: The most texts or pairs.
        max_characters: The most characters of one text.
        head: What the model decides about, which says in which words it is asked.
        library: Where the passages are found that a question does not bring along, None where it must.
    """

    num_columns: int
    max_texts: int
    max_characters: int
    head: str = "texts"
    library: Library | None = None


class Request(msgspec.Struct):
    """A request that keeps the rules.

    Attributes:
        texts: Texts, or pairs of them.
        is_single: It was one text, not a list.
        options: The body it came in, for its options.
        encode: Makes the reply where it has a form of its own: of the answers, this request, the model and its digest.
    """

    texts: list[Text]
    is_single: bool
    options: PredictBody
    encode: Callable[..., Any] | None = None


def decode_request(body: bytes, limits: Limits) -> Request:
    """Return the request that a body holds.

    Args:
        body: JSON in UTF-8.
        limits: What it may hold.

    Raises:
        Problem: It breaks a rule; the problem says which.
    """
    parsed = _parse(body)
    if parsed.inputs is not UNSET:
        return _from_inputs(parsed, limits)
    if not (parsed.raw_scores is parsed.truncation_direction is parsed.parameters is UNSET):
        raise Problem("wrong_option", "Give 'raw_scores', 'truncation_direction' and 'parameters' only with 'inputs'.")
    first, is_single = _first_column(parsed, limits)
    second = _second_column(parsed, limits, is_single=is_single)
    if second is None:
        return Request(first, is_single, parsed)  # type: ignore[arg-type]
    if len(first) != len(second):
        raise Problem("wrong_pair", "'texts' and 'texts_b' must have the same length.")
    return Request(list(zip(first, second, strict=True)), is_single, parsed)


def decode_reload(body: bytes) -> Reload:
    """Return what a body says about a new Bundle.

    Raises:
        Problem: It is no such body.
    """
    try:
        parsed = RELOAD_DECODER.decode(body)
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise Problem("wrong_type", 'The body must be {"path": "folder of a Bundle"}.') from None
    _check_keys(body, 1)
    return parsed


def _parse(body: bytes) -> PredictBody:
    try:
        parsed = DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise _explain(str(error)) from None
    # Broken JSON and broken UTF-8 are ValueErrors; brackets nested too deep raise the other one.
    except (ValueError, RecursionError):
        raise Problem("invalid_json", "Send one JSON object in UTF-8, without a byte order mark.") from None
    parsed.top_k = whole_count(parsed.top_k)
    num_keys = NUM_KEYS - msgspec.structs.astuple(parsed).count(UNSET)
    if parsed.parameters is not UNSET:
        parsed.parameters.top_k = whole_count(parsed.parameters.top_k)
        num_keys += NUM_PARAMETERS - msgspec.structs.astuple(parsed.parameters).count(UNSET)
    _check_keys(body, num_keys)
    return parsed


def whole_count(count: CountT) -> CountT | int:
    """Return a count as a whole number, also where its client wrote 2.0; what is no number stays.

    Raises:
        Problem: It has a fraction.
    """
    if not isinstance(count, float):
        return count
    if not count.is_integer():
        raise Problem("wrong_type", "'{key}' must be {wanted}.", key="top_k", wanted=Phrase(EXPECTED["top_k"]))
    return int(count)


def _check_keys(body: bytes, num_keys: int) -> None:
    """Refuse a body that was read well and has more keys than were found.

    Raises:
        Problem: As said.
    """
    if STRING.findall(body).count(b":") != num_keys:
        raise Problem("duplicate_key", "Give every key once.")


def check_unique_keys(body: bytes) -> None:
    """Refuse JSON that has a key twice in one object, whatever its keys are, or is no JSON where nobody read it.

    Raises:
        Problem: As said.
    """
    try:
        num_keys = _count_keys(msgspec.json.decode(body))
    # A decoder passes over the values, and the bytes, of keys that it does not know.
    except (ValueError, RecursionError):
        raise Problem("invalid_json", "Send one JSON object in UTF-8, without a byte order mark.") from None
    if STRING.findall(body).count(b":") > num_keys:
        raise Problem("duplicate_key", "Give every key once.")


def _count_keys(value: object) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_count_keys(one) for one in value.values())
    return sum(_count_keys(one) for one in value if isinstance(one, dict | list)) if isinstance(value, list) else 0


def _explain(message: str) -> Problem:
    """Return the problem behind msgspec's message, of which only the place is used, and only where the key is ours."""
    if message.startswith("Object contains unknown field"):
        return Problem("unknown_key", "The keys are: {names}.", names=", ".join(EXPECTED))
    place = ERROR_PATH.search(message)
    # A place may hold a key that the client made up, and a problem repeats nothing of the client's.
    if place is None or place[1] not in EXPECTED:
        return Problem("wrong_type", "The body must be a JSON object.")
    key, wanted = place[1], Phrase(EXPECTED[place[1]])
    if place[2] and key != "inputs":
        sentence = "'{key}' must be {wanted}. Item {item} is not a string."
        return Problem("wrong_type", sentence, key=key, wanted=wanted, item=place[2])
    return Problem("wrong_type", "'{key}' must be {wanted}.", key=key, wanted=wanted)


def _from_inputs(parsed: PredictBody, limits: Limits) -> Request:
    """Return the request of a body with ``inputs``.

    A flat list is one text or, where the model reads pairs, one pair, as text-embeddings-inference takes it. Of two and
    more texts, where the model reads one at a time, it is a batch.
    """
    inputs = parsed.inputs
    if not (parsed.text is parsed.text_b is parsed.texts is parsed.texts_b is UNSET):
        raise Problem("text_or_texts", "Give 'inputs' without 'text', 'text_b', 'texts' and 'texts_b'.")
    if parsed.return_probabilities is not UNSET:
        raise Problem("wrong_option", "Give 'return_probabilities' without 'inputs'; 'top_k' makes the answer shorter.")
    if parsed.parameters is not UNSET and not (parsed.top_k is parsed.raw_scores is UNSET):
        raise Problem("wrong_option", "Give 'top_k' and 'raw_scores' without 'parameters', which holds their like.")
    width = limits.num_columns
    if isinstance(inputs, str):
        rows, is_single = [[inputs]], True
    else:
        flat = [one for one in inputs if isinstance(one, str)]  # type: ignore[union-attr]
        is_single = len(flat) == len(inputs) > 0 and (width == 2 or len(flat) == 1)  # type: ignore[arg-type]
        rows = [flat] if is_single else [[one] if isinstance(one, str) else one for one in inputs]  # type: ignore[union-attr]
    if any(len(row) != width for row in rows):
        raise Problem("wrong_pair", READS_ONE if width == 1 else "This model reads two texts at a time.")
    columns = [check_column([row[place] for row in rows], "inputs", limits) for place in range(width)]
    texts: list[Text] = columns[0] if width == 1 else list(zip(*columns, strict=True))  # type: ignore[assignment]
    return Request(texts, is_single, parsed)


def _first_column(parsed: PredictBody, limits: Limits) -> tuple[list[str], bool]:
    """Return the texts, and whether they were one."""
    if isinstance(parsed.text, str) and parsed.texts is UNSET:
        return check_column([parsed.text], "text", limits), True
    if isinstance(parsed.texts, list) and parsed.text is UNSET:
        return check_column(parsed.texts, "texts", limits), False
    raise Problem("text_or_texts", "Give either 'text', a string, or 'texts', a list of strings.")


def _second_column(parsed: PredictBody, limits: Limits, *, is_single: bool) -> list[str] | None:
    """Return the second texts of pairs, or None where the task has single texts."""
    if limits.num_columns == 1:
        if parsed.text_b is UNSET and parsed.texts_b is UNSET:
            return None
        raise Problem("wrong_pair", "This model reads one text at a time: leave out 'text_b' and 'texts_b'.")
    if isinstance(parsed.text_b, str) and parsed.texts_b is UNSET and is_single:
        return check_column([parsed.text_b], "text_b", limits)
    if isinstance(parsed.texts_b, list) and parsed.text_b is UNSET and not is_single:
        return check_column(parsed.texts_b, "texts_b", limits)
    raise Problem("wrong_pair", "This model reads pairs: give 'text' and 'text_b', or 'texts' and 'texts_b'.")


def check_column(column: list[str], key: str, limits: Limits) -> list[str]:
    """Return the column if it keeps the limits.

    Raises:
        Problem: It does not.
    """
    if not column:
        raise Problem("no_texts", "'{key}' must have at least one text.", key=key)
    if len(column) > limits.max_texts:
        raise Problem("too_many_texts", TOO_MANY, key=key, most=limits.max_texts, got=len(column))
    longest = max(map(len, column))
    if longest > limits.max_characters:
        raise Problem(
            "text_too_long",
            "A text in '{key}' has {length} characters; at most {most} are allowed.",
            key=key,
            length=longest,
            most=limits.max_characters,
        )
    if limits.head == "gaps" and longest > MOST_REREAD:
        _check_reread(column)
    return column


def _check_reread(column: list[str]) -> None:
    """Refuse a long text that is read once for each of its tokens, since it has no gap.

    Raises:
        Problem: There is one.
    """
    long = next((place for place, one in enumerate(column) if len(one) > MOST_REREAD and not marks_of(one)), None)
    if long is not None:
        sentence = "Text {place} has no gap and is read once for each token: at most {most} characters are allowed."
        raise Problem("text_too_long", sentence, place=long, most=MOST_REREAD)
