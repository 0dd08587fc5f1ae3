"""brat: a text in one file, and beside it a file of its labeled parts; it knows no offsets.

Source: Stenetorp et al. 2012, "brat: a Web-based Tool for NLP-Assisted Text Annotation"; brat.nlplab.org/standoff.html.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from yanmo.data.tagged.sentence import GivenSpan, SpansRow
from yanmo.errors import DataError

__all__ = ["brat_files", "read_brat"]

OTHERS = "lines about relations, events or attributes, which are left out"


def brat_files(path: Path) -> tuple[Path, Path]:
    """Return the file of a text and that of its annotations, of which one is given.

    Raises:
        DataError: The other one is not there.
    """
    text, annotations = path.with_suffix(".txt"), path.with_suffix(".ann")
    missing = next((one for one in (text, annotations) if not one.is_file()), None)
    if missing is not None:
        raise DataError(
            f"There is no file {missing} beside {path}.", hint="brat has a .txt and a .ann file for each text."
        )
    return text, annotations


def read_brat(text: str, path: Path, lines: Iterable[str], counts: Counter[str]) -> SpansRow:
    """Return a whole text with its spans.

    Args:
        text: As it is.
        path: The file of annotations, for messages.
        lines: Of that file.
        counts: Is told of what is left out.

    Raises:
        DataError: A line cannot be read.
    """
    spans, problem = [], None
    for number, line in enumerate(lines, 1):
        if not line.startswith("T"):
            counts[OTHERS] += bool(line.strip())
            continue
        _, _, rest = line.partition("\t")
        about, _, surface = rest.partition("\t")
        kind, _, places = about.partition(" ")
        if ";" in places:
            problem = "discontinuous span"
            continue
        ends = places.split(" ")
        if len(ends) != 2 or not all(one.isdecimal() for one in ends):
            raise DataError(
                f"{path} line {number} is no annotation of brat. Got {line[:60]!r}.",
                hint="A line is such as: T1<TAB>PER 0 5<TAB>Alice",
            )
        spans.append(GivenSpan(int(ends[0]), int(ends[1]), kind, surface or None))
    return SpansRow(1, text, spans, path.stem, problem)
