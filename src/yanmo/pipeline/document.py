"""A pipeline file as plain tables that remember where each key stands; it knows no verb and no stage.

``tomllib`` gives values without lines, so a small scan finds the line of every key. Overrides of the command line are
laid over the file's values and are named as the place of theirs.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.counted import counted
from yanmo.errors import PipelineError, did_you_mean

__all__ = ["Document", "Mistake", "read_document"]

Keys = tuple[str, ...]

# Three quotes first: two of them would else be taken for an empty string.
MULTI_LINE = re.compile(r'"""[\s\S]*?"""+|\'\'\'[\s\S]*?\'\'\'+|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*')
HEADER = re.compile(r"\s*(\[[^\[\]=]+\])\s*$")
KEY = re.compile(r"\s*([^=\[\]{},]+?)\s*=")
PLACE = re.compile(r"\(at line (\d+), column (\d+)\)|\(at end of document\)")


@dataclass(frozen=True)
class Mistake:
    """One mistake in a pipeline file.

    Attributes:
        place: File and line, or the override.
        text: What is wrong, as a whole sentence.
        hint: The next action, or None.
    """

    place: str
    text: str
    hint: str | None = None


@dataclass
class Document:
    """The tables of a pipeline file.

    Attributes:
        path: The file.
        tables: Its content, overrides included.
        mistakes: Every mistake found so far.
    """

    path: Path
    tables: dict[str, Any]
    lines: dict[Keys, int] = field(default_factory=dict)
    overrides: dict[Keys, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, keys: Keys) -> str:
        """Return where a key stands: the override that set it, or file and line of it or of the table around it."""
        # From the key itself outward: the next best place is the table around it.
        for length in range(len(keys), 0, -1):
            if keys[:length] in self.overrides:
                return f"--set {self.overrides[keys[:length]]}"
            if keys[:length] in self.lines:
                return f"{self.path}:{self.lines[keys[:length]]}"
        inside = [line for key, line in self.lines.items() if key[: len(keys)] == keys]
        return f"{self.path}:{min(inside)}" if inside else str(self.path)

    def report(self, keys: Keys, text: str, hint: str | None = None) -> None:
        """Add a mistake; one that is known already is not added again."""
        mistake = Mistake(self.place(keys), text, hint)
        # Every combination of a fan-out meets the same mistake.
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)

    def raise_mistakes(self) -> None:
        """Raise all mistakes at once, in the file's order, if there are any.

        Raises:
            PipelineError: As said.
        """
        if not self.mistakes:
            return
        mistakes = sorted(self.mistakes, key=_order)
        if len(mistakes) == 1:
            raise PipelineError(f"{mistakes[0].place}: {mistakes[0].text}", hint=mistakes[0].hint)
        lines = [f"{one.place}: {one.text}" + (f"\n    {one.hint}" if one.hint else "") for one in mistakes]
        raise PipelineError("\n".join(lines), hint=f"Correct {counted(len(mistakes), 'mistake')}; nothing was run.")


def read_document(path: Path, overrides: Sequence[str] = ()) -> Document:
    """Read a pipeline file and lay the overrides over it.

    Args:
        path: The TOML file.
        overrides: ``stage.cnn.learning_rate=3e-4`` each: a path of keys and a TOML value; what is no TOML value is
            taken as a string.

    Raises:
        PipelineError: The file is missing, not UTF-8 or not TOML, or an override has no meaning.
    """
    text = _read_text(path)
    try:
        document = Document(path, tomllib.loads(text), _find_lines(text))
    except tomllib.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error
    for override in overrides:
        _lay_over(document, override)
    return document


def _read_text(path: Path) -> str:
    if path.is_dir():
        hint = f"Name the file: {path / 'pipeline.toml'}"
        raise PipelineError(f"{path} is a folder, not a pipeline file.", hint=hint)
    try:
        # Lines are counted by LF below; Windows may add a mark in front and a CR to each line.
        return path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise PipelineError(
            f"There is no pipeline file {path}.", hint="Check the path; yanmo init FOLDER makes one."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise PipelineError(f"{path}:{line}: The file is not UTF-8.", hint="Save it as UTF-8.") from error
    except OSError as error:
        raise PipelineError(f"Cannot read {path}: {error.strerror}.", hint="Check the file's permissions.") from error


def _syntax_error(path: Path, text: str, message: str) -> PipelineError:
    found = PLACE.search(message)
    # What is wrong at the end of the file has no line in the message: it is the last one.
    line = int(found[1]) if found and found[1] else text.count("\n") + 1
    column = f", column {found[2]}" if found and found[2] else ""
    what = PLACE.sub("", message).strip()
    return PipelineError(
        f"{path}:{line}{column}: This is not TOML: {what}.",
        hint='Text stands in quotes, true and false are small letters: model = "textcnn"',
    )


def _find_lines(text: str) -> dict[Keys, int]:
    """Return the line, from 1, of every table header and of every key outside of arrays and inline tables."""
    lines: dict[Keys, int] = {}
    table: Keys = ()
    depth = 0
    for number, line in enumerate(MULTI_LINE.sub(_blank, text).split("\n"), 1):
        header, key = HEADER.match(line), KEY.match(line)
        if depth == 0 and header:
            table = _parse_keys(header[1])
            lines.setdefault(table, number)
        elif depth == 0 and key:
            keys = (*table, *_parse_keys(f"{key[1]} = 0"))
            lines.setdefault(keys, number)
            depth = _count_open(line.partition("=")[2])
        else:
            depth += _count_open(line)
    return lines


def _blank(found: re.Match[str]) -> str:
    """Return a comment or a string without what could be taken for a key; quoted keys stay as they are."""
    text = found[0]
    is_plain = text[0] != "#" and "\n" not in text and not set("[]{}=") & set(text)
    return text if is_plain else '""' * (text[0] != "#") + "\n" * text.count("\n")


def _count_open(text: str) -> int:
    return sum(text.count(mark) for mark in "[{") - sum(text.count(mark) for mark in "]}")


def _parse_keys(text: str) -> Keys:
    """Return the parts of a header or of a key, with TOML's rules of quoting."""
    keys: list[str] = []
    # By TOML's own reader, since keys may be quoted and have dots.
    table: Any = tomllib.loads(text)
    while isinstance(table, dict) and table:
        keys.extend(table)
        table = next(iter(table.values()))
    return tuple(keys)


def _lay_over(document: Document, override: str) -> None:
    left, equals, right = override.partition("=")
    hint = "The form is --set stage.NAME.KEY=VALUE, such as --set stage.cnn.learning_rate=3e-4."
    try:
        keys = _parse_keys(f"{left} = 0")
    except tomllib.TOMLDecodeError:
        keys = ()
    if not equals or len(keys) < 2:
        raise PipelineError(f"The override '{override}' has no meaning.", hint=hint)
    document.overrides[keys] = override
    table = document.tables
    for depth, key in enumerate(keys[:-1]):
        _check_table(document, table, keys[: depth + 1], override)
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            parent = ".".join(keys[: depth + 1])
            raise PipelineError(f"--set {override}: '{parent}' is a value and holds no keys.", hint=hint)
    table[keys[-1]] = _parse_value(right)


def _check_table(document: Document, table: dict[str, Any], keys: Keys, override: str) -> None:
    """Refuse an override of a stage that is not in the file."""
    known = ["pipeline", "stage"] if len(keys) == 1 else list(table) if keys[0] == "stage" and len(keys) == 2 else None
    if known is None or keys[-1] in known:
        return
    what = "top-level table" if len(keys) == 1 else "stage"
    raise PipelineError(
        f"--set {override}: {document.path} has no {what} '{keys[-1]}'.{did_you_mean(keys[-1], known)}",
        hint=f"It has: {', '.join(known)}." if known else "It has none.",
    )


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _order(mistake: Mistake) -> tuple[str, int]:
    place, _, line = mistake.place.rpartition(":")
    return (place, int(line)) if line.isdigit() else (mistake.place, 0)
