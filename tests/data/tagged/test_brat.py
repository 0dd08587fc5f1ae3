"""brat's two files are one text with its spans; what is no span is counted, and no line is passed over."""

from collections import Counter
from pathlib import Path

import pytest

from yanmo.data.tagged.brat import brat_files, read_brat
from yanmo.errors import DataError

TEXT = "Anna lives\nin Rome"


def read(*lines, counts=None):
    return read_brat(TEXT, Path("doc.ann"), lines, Counter() if counts is None else counts)


def test_the_spans_of_a_text_are_read_and_other_lines_are_counted():
    counts = Counter()
    row = read(
        "T1\tPER 0 4\tAnna", "T2\tLOC 14 18\tRome", "R1\tlives Arg1:T1 Arg2:T2", "#1\tNote T1\tx", "", counts=counts
    )
    assert [(one.start, one.end, one.kind, one.surface) for one in row.spans] == [
        (0, 4, "PER", "Anna"),
        (14, 18, "LOC", "Rome"),
    ]
    assert (row.text, row.name, row.problem) == (TEXT, "doc", None)
    assert list(counts.values()) == [2]


def test_a_span_in_several_parts_is_refused():
    assert read("T1\tPER 0 4;14 18\tAnna Rome").problem == "discontinuous span"


@pytest.mark.parametrize("line", ["T1\tPER 0\tAnna", "T1 PER 0 4 Anna", "T1\tPER 0 x\tAnna"])
def test_a_line_that_cannot_be_read_is_named(line):
    with pytest.raises(DataError, match=r"doc.ann line 2 is no annotation of brat."):
        read("T1\tPER 0 4\tAnna", line)


def test_each_file_names_the_other(tmp_path):
    text, annotations = tmp_path / "a.txt", tmp_path / "a.ann"
    annotations.touch()
    with pytest.raises(DataError, match=r"There is no file .*a.txt beside .*a.ann."):
        brat_files(annotations)
    text.touch()
    assert brat_files(annotations) == brat_files(text) == (text, annotations)
