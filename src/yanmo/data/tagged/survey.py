"""What files of labeled texts have in common, found by reading them once: what is said, of which units, in which tags.

It knows how a row is read and makes none. A file is read by its own format, whatever format the others have.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from yanmo.data.decode import utf8_blocks, utf8_lines
from yanmo.data.finding import companions
from yanmo.data.tagged.brat import brat_files, read_brat
from yanmo.data.tagged.conll import Columns, read_conll
from yanmo.data.tagged.conllu import read_conllu
from yanmo.data.tagged.joining import Glue
from yanmo.data.tagged.json_spans import NAMELESS, JsonKeys, read_json_rows
from yanmo.data.tagged.laying import TagWriting
from yanmo.data.tagged.offsets import OffsetReading, find_reading
from yanmo.data.tagged.sentence import SpansRow, TagForm, WordsRow
from yanmo.data.tagged.tag_sequences import TagNotation, find_notation
from yanmo.data.tagged.tag_tables import names_inside, read_tag_table
from yanmo.data.tagged.word_lines import read_aligned, read_segmented, read_tagged_words, tags_beside
from yanmo.data.tagging import Tagging, TaggingOptions, find_format
from yanmo.errors import ConfigError, DataError
from yanmo.text.unit_places import UnitRule
from yanmo.text.units import count_letters

__all__ = ["Manner", "SurveyedFile", "TagKeys", "as_form", "choose_manner", "given_rows", "survey_file"]

WORDS = "words"
"""The label that asks for the words themselves."""
DEFAULT_COLUMN = "upos"
FORM_NAMES: Mapping[TagForm, str] = {
    "spans": "spans with kinds",
    "words": "words without kinds",
    "joint": "words with kinds",
    "plain": "a tag for every word",
}
MOST = 0.5
NEARLY_ALL = 0.9


@dataclass(frozen=True)
class TagKeys:
    """What is read of a row, as the user names it; None: by the usual names.

    Attributes:
        text: The key of the text, in JSON.
        label: The column or key of the tags or spans; ``words``: the words themselves.
        name: The key or comment with the row's own name.
        tag_names: Names of tags that are numbers, number to name.
    """

    text: str | None = None
    label: str | None = None
    name: str | None = None
    tag_names: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SurveyedFile:
    """What is known about a file before its rows are made.

    Attributes:
        path: The file.
        tagging: Its format.
        notation: How tags of its words are read; None: its words are all that is asked for.
        reading: What the ends of its spans count.
        num_letters: Chinese and Japanese characters, and all letters, digits and characters.
        has_characters: Nearly all of its words are single characters.
    """

    path: Path
    tagging: Tagging
    notation: TagNotation | None
    reading: OffsetReading
    num_letters: tuple[int, int]
    has_characters: bool

    @property
    def form(self) -> TagForm | None:
        """What the file says about its texts; None where it says nothing that tells."""
        if self.notation is None:
            return "words"
        return None if self.notation.is_empty else self.notation.form


@dataclass(frozen=True)
class Manner:
    """How all rows are made.

    Attributes:
        form: What is said about the texts.
        rule: What a unit is.
        writing: How the tags are written.
    """

    form: TagForm
    rule: UnitRule
    writing: TagWriting

    def glue(self, file: SurveyedFile) -> Glue:
        """Return what stands between the words of a file."""
        if self.rule == "words":
            return "space"
        # Between the words of a segmented text nothing stood, or they could be seen; between characters neither.
        is_close = self.form == "words" or (self.rule == "characters" and file.has_characters)
        return "nothing" if is_close else "as written"


def survey_file(path: Path, options: TaggingOptions, keys: TagKeys) -> SurveyedFile:
    """Read a file once, for its mistakes and for what holds in all of it.

    Args:
        path: The file.
        options: How it is read.
        keys: What is read of it.

    Raises:
        DataError: It cannot be read, lacks what is asked for, or mixes two schemes of tags.
        ConfigError: Nothing says which format it has.
    """
    tagging = find_format(path, options.encoding, options.tagging)
    seen = _Seen(has_word_lines=tagging in ("conll", "conllu"))
    reading = find_reading(seen.watch(given_rows(path, tagging, options, keys, Counter())))
    if not seen.num_rows:
        raise DataError(f"{path} has no sentence.", hint="Give a file that has rows, and say what it is: --tagging.")
    notation: TagNotation | None = TagNotation("spans")
    if seen.num_words:
        is_asked = tagging == "segmented" or keys.label == WORDS
        notation = None if is_asked else find_notation(seen.tag_lines, path, is_partial=seen.is_partial)
    has_characters = seen.num_single > NEARLY_ALL * seen.num_words
    return SurveyedFile(path, tagging, notation, reading, (seen.num_cjk, seen.num_letters), has_characters)


class _Seen:
    """What was seen of the rows of a file.

    Args:
        has_word_lines: Every word has a line of its own.
    """

    def __init__(self, *, has_word_lines: bool) -> None:
        self._step = int(has_word_lines)
        self.num_rows = self.num_words = self.num_single = self.num_cjk = self.num_letters = 0
        self.tag_lines: dict[str, int] = {}
        self.is_partial = False

    def watch(self, rows: Iterable[SpansRow | WordsRow]) -> Iterator[SpansRow]:
        """Yield the rows with spans, and remember what was seen of all rows."""
        for row in rows:
            self.num_rows += 1
            if isinstance(row, SpansRow):
                self._count([row.text or ""])
                yield row
                continue
            self.num_words += len(row.words)
            self.num_single += sum(len(word) == 1 for word in row.words)
            self._count(row.words)
            self.is_partial = self.is_partial or (None in row.tags and row.problem is None)
            for place, tag in enumerate(row.tags):
                if tag is not None:
                    self.tag_lines.setdefault(tag, row.line + self._step * place)

    def _count(self, texts: Sequence[str]) -> None:
        num_cjk, num_letters = count_letters(texts)
        self.num_cjk += num_cjk
        self.num_letters += num_letters


def given_rows(
    path: Path, tagging: Tagging, options: TaggingOptions, keys: TagKeys, counts: Counter[str]
) -> Iterator[SpansRow | WordsRow]:
    """Return what a file gives, row by row.

    Args:
        path: The file.
        tagging: Its format.
        options: How it is read.
        keys: What is read of it.
        counts: Is told of what is left out.
    """
    rows = FORMATS[tagging](_Asked(path, options, keys, counts))
    return map(functools.partial(_named, names=keys.tag_names), rows) if keys.tag_names else rows


def _named(row: SpansRow | WordsRow, names: Mapping[str, str]) -> SpansRow | WordsRow:
    """Return a row whose numbered tags have their names; one with a number that has none cannot be used."""
    if isinstance(row, SpansRow):
        spans = [replace(span, kind=names.get(span.kind, span.kind)) for span in row.spans]
        unnamed = any(span.kind.isdecimal() for span in spans)
        return replace(row, spans=spans, problem=row.problem or (NAMELESS if unnamed else None))
    tags = [_tag_named(tag, names) if tag is not None else None for tag in row.tags]
    if any(tag is not None and tag.isdecimal() for tag in tags):
        return replace(row, tags=[None] * len(tags), problem=NAMELESS)
    return replace(row, tags=tags)


def _tag_named(tag: str, names: Mapping[str, str]) -> str:
    """Return a tag with the name of its number, or of that of its kind, as in B-1."""
    sign, dash, kind = tag.partition("-")
    return names.get(tag) or (f"{sign}-{names[kind]}" if dash and kind in names else tag)


@dataclass(frozen=True)
class _Asked:
    """What is read, and how."""

    path: Path
    options: TaggingOptions
    keys: TagKeys
    counts: Counter[str]

    @property
    def lines(self) -> Iterator[str]:
        return utf8_lines(self.path, self.options.encoding)

    @property
    def json_keys(self) -> JsonKeys:
        names = self.keys.tag_names or names_inside(self.path, self.keys.label)
        return JsonKeys(self.keys.text, self.keys.label, self.keys.name, names)


def _conllu(asked: _Asked) -> Iterator[WordsRow]:
    tag = None if asked.keys.label == WORDS else asked.keys.label or DEFAULT_COLUMN
    return read_conllu(asked.path, asked.lines, tag, name=asked.keys.name, counts=asked.counts)


def _aligned(asked: _Asked) -> Iterator[WordsRow]:
    beside = tags_beside(asked.path)
    return read_aligned(asked.path, asked.lines, beside, utf8_lines(beside, asked.options.encoding))


def _spans(asked: _Asked) -> Iterator[SpansRow | WordsRow]:
    path, encoding = asked.path, asked.options.encoding
    if path.suffix != ".ann" and path.with_suffix(".ann") not in companions(path):
        yield from read_json_rows(path, asked.lines, asked.json_keys, asked.counts)
        return
    text_path, annotations = brat_files(path)
    text = b"".join(utf8_blocks(text_path, encoding)).decode("utf-8")
    # An empty file of annotations says that there are none.
    lines = utf8_lines(annotations, encoding) if annotations.stat().st_size else ()
    yield read_brat(text, annotations, lines, asked.counts)


FORMATS: Mapping[Tagging, Callable[[_Asked], Iterator[SpansRow | WordsRow]]] = MappingProxyType(
    {
        "conll": lambda asked: read_conll(asked.path, asked.lines, _columns(asked.options, asked.keys)),
        "conllu": _conllu,
        "segmented": lambda asked: read_segmented(asked.lines),
        "tagged": lambda asked: read_tagged_words(asked.path, asked.lines),
        "aligned": _aligned,
        "spans": _spans,
        "table": lambda asked: read_tag_table(asked.path, asked.options, asked.json_keys, asked.counts),
    }
)


def _columns(options: TaggingOptions, keys: TagKeys) -> Columns:
    if keys.label is None or keys.label == WORDS:
        return Columns(options.word_column, None if keys.label else 0, keys.name)
    if keys.label.isdecimal() and int(keys.label):
        return Columns(options.word_column, int(keys.label), keys.name)
    raise ConfigError(
        f"The 'label' parameter of prepare must be the number of a column, or {WORDS}, for files in columns. "
        f"Got {keys.label!r} instead.",
        hint="The first column is 1. In CoNLL-U columns have names: --tagging conllu.",
    )


def choose_manner(files: Sequence[SurveyedFile], num_source: int, units: UnitRule | None) -> Manner:
    """Return how the rows of all files are made.

    Args:
        files: All of them, those of the source first.
        num_source: How many are the source's; they decide which language it is.
        units: What a unit is, if the user says it.

    Raises:
        DataError: Two files say different things about their texts.
    """
    form = _common_form(files)
    num_cjk, num_letters = map(sum, zip(*(one.num_letters for one in files[:num_source]), strict=True))
    is_chinese = num_cjk > MOST * num_letters
    if form == "plain":
        rule = units or ("characters" if is_chinese else "words")
        return Manner(form, rule, "BMES-kind" if rule == "characters" else "plain")
    if form == "spans":
        return Manner(form, units or ("characters" if is_chinese else "tokens"), "IOB2")
    return Manner(form, units or "characters", "BMES" if form == "words" else "BMES-kind")


def _common_form(files: Sequence[SurveyedFile]) -> TagForm:
    telling = [(one, one.form) for one in files if one.form is not None]
    if not telling:
        return "spans"
    first, form = telling[0]
    for other, found in telling:
        # Where a small file has no unit outside of its spans, it looks as if they were words; another file tells.
        if found != form and {found, form} != {"spans", "joint"}:
            raise DataError(
                f"{first.path} has {FORM_NAMES[form]}, but {other.path} has {FORM_NAMES[found]}.",
                hint="All files of a Dataset are labeled alike; look at --label and --word-column.",
            )
    return "spans" if any(found == "spans" for _, found in telling) else form


def as_form(file: SurveyedFile, form: TagForm) -> SurveyedFile:
    """Return a file whose tags are read in the form of all files."""
    return file if file.notation is None else replace(file, notation=replace(file.notation, form=form))
