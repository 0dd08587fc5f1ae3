"""Pairs of labels as a user gives them: ``a=b,c=d``, the name of a file, or a table; it knows no rows and no task."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator

from yanmo.tasks.labels import tidy_label

__all__ = ["PAIRS_OR_FILE", "LabelNames", "LabelPairs", "is_pairs_file"]

PAIRS_OR_FILE = object()
"""Marks a field whose value may be the path of a file, which a pipeline reads from its own folder."""
FILES = (".json", ".csv", ".tsv")
WANTED = f"pairs such as Neg=neg,POS=pos, or a file of them ({', '.join(FILES)})"


def _read_pairs(value: Any) -> tuple[tuple[str, str], ...]:
    """Return pairs of labels.

    Args:
        value: A mapping, pairs, or one or several texts, each of them pairs with commas between, or a file's path.

    Raises:
        ValueError: It is none of these; the message is the end of a sentence with "must be".
    """
    pairs = tuple(_pairs(value))
    sides = [side for pair in pairs for side in pair]
    if any(not side for side in sides):
        raise ValueError("pairs of labels, none of them empty or with a control character")
    sources = [source for source, _ in pairs]
    double = next((one for one in sources if sources.count(one) > 1), None)
    if double is not None:
        raise ValueError(f"pairs of which no two begin alike, as two do with {double!r}")
    return pairs


def _read_names(value: Any) -> tuple[tuple[str, str], ...]:
    """Return names of labels; a list without ``=`` names 0, 1, 2 and so on.

    Raises:
        ValueError: As for pairs, or two labels have one name.
    """
    texts = (value,) if isinstance(value, str) else value
    is_list = isinstance(texts, list | tuple) and all(isinstance(one, str) and "=" not in one for one in texts)
    if is_list and not any(is_pairs_file(one) for one in texts):
        value = [(str(place), name) for place, name in enumerate(part for one in texts for part in one.split(","))]
    pairs = _read_pairs(value)
    if len({name for _, name in pairs}) < len(pairs):
        raise ValueError("names that are all different; --label-map makes one label of several")
    return pairs


LabelPairs: TypeAlias = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_read_pairs), PAIRS_OR_FILE]
LabelNames: TypeAlias = Annotated[tuple[tuple[str, str], ...], BeforeValidator(_read_names), PAIRS_OR_FILE]


def _pairs(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping):
        value = list(value.items())
    for one in (value,) if isinstance(value, str) else value if isinstance(value, list | tuple) else (None,):
        if isinstance(one, str):
            # A label that holds a comma or this sign stands in a file or a table: here it would be guessed at.
            yield from map(
                _tidy, _read_file(Path(one)) if is_pairs_file(one) else [part.split("=") for part in one.split(",")]
            )
        else:
            yield _tidy(one)


def _tidy(pair: Any) -> tuple[str, str]:
    if not isinstance(pair, list | tuple) or len(pair) != 2 or any(isinstance(one, list | dict) for one in pair):
        raise ValueError(WANTED)
    source, target = (tidy_label(str(one)) or "" for one in pair)
    return source, target


def is_pairs_file(text: str) -> bool:
    """Return whether a text is the path of a file of pairs, and no pairs itself."""
    return "=" not in text and text.lower().endswith(FILES)


def _read_file(path: Path) -> Any:
    """Return the pairs of a JSON object, or of rows of two fields without a header.

    Raises:
        ValueError: It cannot be read, or holds something else.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() == ".json":
                content = json.load(file)
                return list(content.items()) if isinstance(content, dict) else content
            return [row for row in csv.reader(file, delimiter="," if path.suffix.lower() == ".csv" else "\t") if row]
    except OSError as error:
        raise ValueError(f"{WANTED}; the file cannot be read: {error.strerror}") from error
    except (ValueError, csv.Error) as error:
        raise ValueError(f"{WANTED}; the file is damaged: {error}") from error
