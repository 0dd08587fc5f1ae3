"""CoNLL-U: ten columns with tabs between, or those that ``# global.columns`` names; it knows no tag's meaning.

Multi-word tokens are kept beside their words; empty nodes, which stand in no text, are left out. Both are counted.

Source: Universal Dependencies, "CoNLL-U Format" (universaldependencies.org/format.html).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yanmo.counted import counted
from yanmo.data.tagged.conll import Comments
from yanmo.data.tagged.sentence import GivenArc, Multiword, WordsRow
from yanmo.data.tagged.tag_sequences import UNLABELED
from yanmo.errors import DataError, did_you_mean

__all__ = ["read_conllu"]

COLUMNS = ("ID", "FORM", "LEMMA", "UPOS", "XPOS", "FEATS", "HEAD", "DEPREL", "DEPS", "MISC")
GLOBAL = "global.columns"
MULTIWORDS, EMPTY_NODES = "multi-word tokens", "empty nodes, which are left out"


def read_conllu(
    path: Path,
    lines: Iterable[str],
    tag: str | None,
    *,
    name: str | None,
    counts: Counter[str],
    has_arcs: bool = False,
) -> Iterator[WordsRow]:
    """Yield the sentences of a file.

    Args:
        path: For messages.
        lines: Of the file.
        tag: A column's name in any case, or a key of the column MISC; None for none.
        name: The comment that names a sentence.
        counts: Is told of multi-word tokens and empty nodes.
        has_arcs: Whether the columns HEAD and DEPREL are read, too.

    Raises:
        DataError: A row has another number of columns, or an id that is none; or no row has the tag.
    """
    columns, comments, sentence, wanted = list(COLUMNS), Comments(), _Sentence(), _Wanted(tag, (), has_arcs)
    for number, line in enumerate(lines, 1):
        if not line.strip():
            if sentence.words:
                yield sentence.finish(*comments.give(name))
                sentence = _Sentence()
        elif line.startswith("#") and "\t" not in line:
            comments.add(line)
            if GLOBAL in comments.found:
                columns = comments.found.pop(GLOBAL).upper().split()
        else:
            fields = line.split("\t")
            if len(fields) != len(columns):
                raise _ragged(path, number, line, len(fields), len(columns))
            if wanted.columns != columns:
                wanted = _Wanted(tag, columns, has_arcs)
            sentence.add(path, number, fields, wanted, counts)
    if sentence.words:
        yield sentence.finish(*comments.give(name))
    wanted.check(path)


class _Wanted:
    """The tag that is asked for: a column, or a key of MISC.

    Args:
        tag: Its name.
        columns: Those of the file.
        has_arcs: Whether heads and relations are asked for, too.
    """

    def __init__(self, tag: str | None, columns: Sequence[str], has_arcs: bool) -> None:
        self.columns = columns
        self.is_met = tag is None
        self._tag = tag
        names = {one: place for place, one in enumerate(columns)}
        self.word, self.misc = names.get("FORM", 1), names.get("MISC")
        self._column = names.get((tag or "").upper())
        self.arc = (names.get("HEAD"), names.get("DEPREL")) if has_arcs else (None, None)
        self._misc_keys: dict[str, None] = {}

    def read(self, fields: Sequence[str], misc: dict[str, str]) -> str | None:
        """Return the tag of a row, None where it has none."""
        if self._tag is None:
            return None
        if self._column is None:
            self._misc_keys.update(dict.fromkeys(misc))
        value = misc.get(self._tag) if self._column is None else fields[self._column]
        self.is_met = self.is_met or value is not None
        return None if value is None or value in UNLABELED else value

    def check(self, path: Path) -> None:
        """Refuse a file in which no row has the tag.

        Raises:
            DataError: None has.
        """
        if self.is_met or not self.columns:
            return
        names = [*map(str.lower, self.columns), *self._misc_keys]
        raise DataError(
            f"{path} has no column and no key of MISC '{self._tag}'.{did_you_mean(str(self._tag), names)}",
            hint=f"It has: {', '.join(names)}; and --label words for the words themselves.",
        )


@dataclass
class _Sentence:
    """A sentence of which some rows have been read."""

    words: list[str] = field(default_factory=list)
    tags: list[str | None] = field(default_factory=list)
    spaces: list[bool] = field(default_factory=list)
    multiwords: list[Multiword] = field(default_factory=list)
    arcs: list[GivenArc] = field(default_factory=list)
    line: int = 0
    says_spaces: bool = False

    def add(self, path: Path, number: int, fields: list[str], wanted: _Wanted, counts: Counter[str]) -> None:
        first, sign, last = fields[0].partition("-")
        misc = _read_misc(fields[wanted.misc]) if wanted.misc is not None else {}
        has_space = misc.get("SpaceAfter") != "No"
        self.says_spaces = self.says_spaces or not has_space
        if not sign and "." in first:
            counts[EMPTY_NODES] += 1
        elif sign and first.isdigit() and last.isdigit():
            counts[MULTIWORDS] += 1
            self.multiwords.append(Multiword(int(first) - 1, int(last), fields[wanted.word]))
            # What follows the token follows the last of its words.
            self.spaces.extend([False] * (int(last) - int(first)) + [has_space])
        elif first.isdigit() and not sign:
            self.line = self.line or number
            if len(self.spaces) == len(self.words):
                self.spaces.append(has_space)
            self.words.append(fields[wanted.word])
            self.tags.append(wanted.read(fields, misc))
            head, relation = wanted.arc
            if head is not None and relation is not None:
                self.arcs.append(GivenArc(number, fields[head], fields[relation]))
        else:
            raise DataError(
                f"{path} line {number} begins with {fields[0][:20]!r}, which is no id of a word.",
                hint="A row of CoNLL-U begins with 1, 1-2 or 1.1. For columns by number: --tagging conll.",
            )

    def finish(self, name: str | None, text: str | None) -> WordsRow:
        multiwords = [one for one in self.multiwords if one.last <= len(self.words)]
        # Spaces that no row denies may as well be unknown: old treebanks say nothing of them.
        spaces = self.spaces[: len(self.words)] if self.says_spaces else None
        return WordsRow(self.line, self.words, self.tags, name, text, spaces, multiwords, self.arcs)


def _read_misc(cell: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in cell.split("|") if part != "_")
    return {key: value for key, _, value in pairs}


def _ragged(path: Path, number: int, line: str, num_fields: int, width: int) -> DataError:
    shown = counted(num_fields, "column")
    return DataError(
        f"{path} line {number} has {shown}, but CoNLL-U has {width} with tabs between. Got {line[:60]!r}.",
        hint="For files of other columns: --tagging conll --word-column 1 --label 2.",
    )
