"""JSON objects with labeled parts of texts: doccano, Label Studio, spaCy, Prodigy, CLUENER and their like; no offsets.

An object is recognized by its keys. A text is a string with spans, or a list of words with a list of tags.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from yanmo.data.records import missing_column
from yanmo.data.tagged.sentence import GivenSpan, SpansRow, WordsRow
from yanmo.data.tagged.tag_sequences import UNLABELED
from yanmo.errors import DataError

__all__ = ["NAMELESS", "SPAN_KEYS", "JsonKeys", "read_json_rows", "read_objects"]

TEXT_KEYS = ("text", "sentence", "tokens", "words")
INNER_KEYS = ("data", "userInput")
SPAN_KEYS = ("label", "labels", "entities", "spans", "annotations", "completions", "tags", "ner_tags")
START_KEYS = ("start", "start_offset", "startIndex", "begin")
END_KEYS = ("end", "end_offset", "endIndex")
KIND_KEYS = ("label", "labels", "type", "entity", "entity_group", "slot", "tag", "kind")
SURFACE_KEYS = ("text", "surface", "word")
SEVERAL = "nested spans"
ANNOTATIONS = "texts with several annotations, of which the first one counts"
UNREADABLE = "unreadable label"
MISSING = "missing label"
UNALIGNED = "not a tag for every word"
NAMELESS = "tag without a name"
HINT = 'A row is such as {"text": "…", "label": [[0, 5, "PER"]]}; --text and --label name other keys.'


@dataclass(frozen=True)
class JsonKeys:
    """Which keys are read.

    Attributes:
        text: That of the text; None: one of the usual names.
        label: That of the spans or tags; None: one of the usual names.
        name: That of the row's own name; None where names do not matter.
        tag_names: Names of tags that are numbers, number to name.
    """

    text: str | None = None
    label: str | None = None
    name: str | None = None
    tag_names: Mapping[str, str] = field(default_factory=dict)

    def text_in(self, row: Mapping[str, Any]) -> str | None:
        """Return the key of a row's text or words, None where it has none."""
        return next((key for key in ((self.text,) if self.text else TEXT_KEYS) if row.get(key) is not None), None)

    def label_in(self, row: Mapping[str, Any]) -> str | None:
        """Return the key of a row's spans or tags, None where it has none."""
        return next((key for key in ((self.label,) if self.label else SPAN_KEYS) if row.get(key) is not None), None)


def read_json_rows(
    path: Path, lines: Iterable[str], keys: JsonKeys, counts: Counter[str]
) -> Iterator[SpansRow | WordsRow]:
    """Yield the rows of a file: of JSONL one a line, else those of one list.

    Args:
        path: For messages.
        lines: Of the file.
        keys: Which ones are read.
        counts: Is told of texts that several people have labeled.

    Raises:
        DataError: The file is no JSON, or no row of it has the wanted keys.
    """
    yield from read_objects(path, _decode(path, lines), keys, counts)


def read_objects(
    path: Path, objects: Iterable[tuple[int, Any]], keys: JsonKeys, counts: Counter[str]
) -> Iterator[SpansRow | WordsRow]:
    """Yield the rows that objects are; the other arguments and the errors are those of :func:`read_json_rows`.

    Args:
        path: For messages.
        objects: With their lines.
        keys: Which keys are read.
        counts: Is told of texts that several people have labeled.
    """
    met, has_text, has_label = dict[str, None](), False, False
    for line, value in objects:
        row = _plain_object(value)
        if row is None:
            raise DataError(f"{path} row {line} is no JSON object. Got {str(value)[:60]!r}.", hint=HINT)
        met.update(dict.fromkeys(row))
        found = _read_row(line, row, keys, counts)
        has_text = has_text or _text_of(row, keys) is not None
        is_labeled = found.spans is not None if isinstance(found, _Found) else found.problem != MISSING
        has_label = has_label or is_labeled
        yield found.row if isinstance(found, _Found) else found
    if not has_text:
        raise missing_column(str(path), keys.text or TEXT_KEYS[0], list(met), more=f" {HINT}")
    if not has_label and keys.label is not None:
        raise missing_column(str(path), keys.label, list(met), more=f" {HINT}")
    if not has_label:
        raise DataError(f"{path} has no spans: no row has any under {', '.join(SPAN_KEYS[:4])}.", hint=HINT)


@dataclass(frozen=True, slots=True)
class _Found:
    """A row, and what its spans were read from; None where it has none."""

    row: SpansRow
    spans: Any


def _decode(path: Path, lines: Iterable[str]) -> Iterator[tuple[int, Any]]:
    """Yield the values of a file, with their lines, or in a list with their numbers."""
    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    first = next(numbered, None)
    if first is None:
        raise DataError(f"{path} has no rows, only blank lines.", hint="Give a file that has rows.")
    rest: Iterable[tuple[int, str]] = numbered
    if first[1].lstrip().startswith("["):
        rest = list(numbered)
        value = _decode_one("\n".join([first[1], *(line for _, line in rest)]))
        # Rows of JSONL may be lists, too: then the content is no JSON as a whole, or one row.
        if isinstance(value, list) and not (value and isinstance(value[0], str)):
            yield from enumerate(value, 1)
            return
    for number, line in itertools.chain([first], rest):
        value = _decode_one(line)
        if value is None:
            raise DataError(
                f"{path} line {number} is not valid JSON. Got {line.strip()[:60]!r}.",
                hint="A file holds one JSON object on every line, or one list of them.",
            )
        yield number, value


def _decode_one(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        return None


def _plain_object(value: Any) -> Mapping[str, Any] | None:
    """Return a row as an object; spaCy's is a list of the text and an object."""
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], dict):
        return {"text": value[0], **value[1]}
    return value if isinstance(value, dict) else None


def _text_of(row: Mapping[str, Any], keys: JsonKeys) -> str | list[Any] | None:
    wanted = (keys.text,) if keys.text is not None else TEXT_KEYS
    # What Label Studio was given stands one level deeper, and what a user has said elsewhere, too.
    inner: Mapping[str, Any] = next((row[key] for key in INNER_KEYS if isinstance(row.get(key), dict)), {})
    values = [one[key] for one in (row, inner) for key in wanted if isinstance(one.get(key), str | list)]
    return values[0] if values else None


def _read_row(line: int, row: Mapping[str, Any], keys: JsonKeys, counts: Counter[str]) -> _Found | WordsRow:
    text = _text_of(row, keys)
    given = _given(row, keys)
    name = row.get(keys.name) if keys.name is not None else None
    shown = str(name) if isinstance(name, str | int) else None
    if isinstance(text, list):
        return _words_row(line, text, given, shown, keys.tag_names)
    # An object whose format leaves out what is empty says by that that there is no span.
    if given is None and ("userInput" in row or row.get("answer") == "accept"):
        given = []
    if row.get("answer", "accept") != "accept":
        return _Found(SpansRow(line, text, [], shown, "not accepted"), given)
    if given is None:
        return _Found(SpansRow(line, text, [], shown, MISSING), None)
    spans, problem = _read_spans(given, counts)
    return _Found(SpansRow(line, text, spans, shown, problem), given)


def _words_row(line: int, words: list[Any], tags: Any, name: str | None, names: Mapping[str, str]) -> WordsRow:
    if tags is None:
        return WordsRow(line, words, [None] * len(words), name, problem=MISSING)
    is_list = isinstance(tags, list) and all(isinstance(one, str) for one in words)
    # True is an int of Python's.
    if not is_list or not all(tag is None or isinstance(tag, str) or type(tag) is int for tag in tags):
        raise DataError(
            f"Row {line} has a list of words without a list of tags, all of them texts or numbers.",
            hint='A row is such as {"tokens": ["in", "Rome"], "tags": ["O", "B-LOC"]}; other keys: --text, --label.',
        )
    if len(tags) != len(words):
        return WordsRow(line, words, [None] * len(words), name, problem=UNALIGNED)
    numbers = {tag for tag in tags if isinstance(tag, int) and tag >= 0}
    if numbers and not names:
        raise DataError(
            f"Row {line} has tags that are numbers, such as {min(numbers)}, and nothing says what they mean.",
            hint="Name them in the order of their numbers: --label-names O,B-PER,I-PER; or in a file.",
        )
    if any(str(number) not in names for number in numbers):
        return WordsRow(line, words, [None] * len(words), name, problem=NAMELESS)
    # What has no tag is -100 where networks have made the file.
    told = [names.get(str(tag)) if isinstance(tag, int) else tag for tag in tags]
    return WordsRow(line, words, [None if tag is None or tag in UNLABELED else tag for tag in told], name)


def _given(row: Mapping[str, Any], keys: JsonKeys) -> Any:
    """Return what the row says about its parts, None where it says nothing."""
    if keys.label is not None:
        return row.get(keys.label)
    # A label of the whole text may stand beside the spans, so what could not hold any is passed over.
    return next((row[key] for key in SPAN_KEYS if isinstance(row.get(key), list | dict)), None)


def _read_spans(given: Any, counts: Counter[str]) -> tuple[list[GivenSpan], str | None]:
    """Return the spans of a row, and what is wrong with them."""
    if isinstance(given, dict):
        flat = list(_of_kinds(given))
    elif isinstance(given, list):
        flat = _annotation(given, counts)
    else:
        return [], UNREADABLE
    found, problem = [], None
    for value in flat:
        span = _read_span(value)
        if isinstance(span, str):
            problem = problem or span
        else:
            found.append(span)
    return found, problem


def _of_kinds(given: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the spans of an object of kinds: of each kind its surfaces with their places, or its places alone."""
    for kind, places in given.items():
        surfaces = places.items() if isinstance(places, dict) else [(None, places)]
        for surface, ends in surfaces:
            for pair in ends if isinstance(ends, list) else [ends]:
                whole = {"start": pair[0], "end": pair[1]} if isinstance(pair, list) and len(pair) == 2 else {}
                yield {**whole, "label": kind, "text": surface}


def _annotation(given: list[Any], counts: Counter[str]) -> list[Any]:
    """Return the spans of a list, or of the first annotation of it; relations and choices are left out."""
    if not any(isinstance(one, dict) and "result" in one for one in given):
        return given
    valid = [
        one["result"] for one in given if isinstance(one, dict) and not one.get("was_cancelled") and "result" in one
    ]
    counts[ANNOTATIONS] += len(valid) > 1
    results = [one for one in (valid or [[]])[0] if isinstance(one, dict) and isinstance(one.get("value"), dict)]
    inner = [(one["value"], str(one.get("type"))) for one in results if "start" in one["value"]]
    return [{**value, "label": value.get(kind, value.get("labels"))} for value, kind in inner]


def _read_span(value: Any) -> GivenSpan | str:
    """Return a span, or what is wrong with it."""
    if isinstance(value, list) and len(value) == 3:
        value = dict(zip(("start", "end", "label"), value, strict=True))
    if not isinstance(value, dict):
        return UNREADABLE
    inner = value.get("valueSpan")
    # Of what the startIndex is left out, it is 0.
    places = {"startIndex": 0, **inner} if isinstance(inner, dict) else value
    start, end, kind = (_first(places, START_KEYS), _first(places, END_KEYS), _first(value, KIND_KEYS))
    if isinstance(kind, list):
        if len(kind) > 1:
            return SEVERAL
        kind = kind[0] if kind else None
    if type(start) is not int or type(end) is not int or not isinstance(kind, str | int):
        return UNREADABLE
    surface = _first(value, SURFACE_KEYS)
    return GivenSpan(start, end, str(kind), surface if isinstance(surface, str) else None)


def _first(value: Mapping[str, Any], keys: Iterable[str]) -> Any:
    return next((value[key] for key in keys if value.get(key) is not None), None)
