"""Tags in the schemes of others say the spans that they stand for; what no scheme allows is repaired and counted."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.data.tagged.tag_sequences import find_notation, read_tags
from yanmo.errors import DataError

FILE = Path("a.conll")


def notation(tags, **more):
    return find_notation({tag: number for number, tag in reversed(list(enumerate(tags, 1)))}, FILE, **more)


def read(text, *others):
    """Return the spans and the repairs of tags with spaces between, in a file that has the others, too; . is no tag."""
    tags = [None if tag == "." else tag for tag in text.split()]
    return read_tags(tags, notation([*filter(None, tags), *others]))


WRITERS = {
    "IOB2": lambda kind, size: [f"B-{kind}", *[f"I-{kind}"] * (size - 1)],
    "BIOES": lambda kind, size: [f"S-{kind}"] if size == 1 else [f"B-{kind}", *[f"I-{kind}"] * (size - 2), f"E-{kind}"],
    "BMES": lambda kind, size: [f"S-{kind}"] if size == 1 else [f"B-{kind}", *[f"M-{kind}"] * (size - 2), f"E-{kind}"],
    "BILOU": lambda kind, size: [f"U-{kind}"] if size == 1 else [f"B-{kind}", *[f"I-{kind}"] * (size - 2), f"L-{kind}"],
    "B_": lambda kind, size: [f"B_{kind}", *[f"I_{kind}"] * (size - 1)],
}
PARTS = st.lists(st.tuples(st.sampled_from(["PER", "B-x", "地", None]), st.integers(1, 4)), min_size=1)


@pytest.mark.parametrize("scheme", WRITERS)
@given(parts=PARTS)
def test_spans_come_back_from_every_scheme_without_a_repair(scheme, parts):
    tags, spans = [], []
    for kind, size in parts:
        if kind is not None:
            spans.append((len(tags), len(tags) + size, kind))
        tags += ["O"] * size if kind is None else WRITERS[scheme](kind, size)
    # A file has all that its scheme has, wherever it stands.
    seen = notation([*tags, "O", *(tag for size in (1, 3) for tag in WRITERS[scheme]("PER", size))])
    assert read_tags(tags, seen) == (spans, 0)


@pytest.mark.parametrize(
    ("tags", "spans", "num_repaired"),
    [
        ("I-A I-A O I-B", [(0, 2, "A"), (3, 4, "B")], 2),
        ("I-A B-A I-A", [(0, 1, "A"), (1, 3, "A")], 1),
        ("B-A B-A I-A", [(0, 1, "A"), (1, 3, "A")], 0),
        ("B-A I-B I-B", [(0, 1, "A"), (1, 3, "B")], 1),
        ("O . I-A", [(2, 3, "A")], 1),
        ("B-A . I-A", [(0, 1, "A"), (2, 3, "A")], 1),
        ("B-A E-A M-A O S-A", [(0, 2, "A"), (2, 3, "A"), (4, 5, "A")], 2),
        ("B-A O E-A", [(0, 1, "A"), (2, 3, "A")], 2),
        ("B-A M-A", [(0, 2, "A")], 1),
        ("B-A S-A E-A", [(0, 1, "A"), (1, 2, "A"), (2, 3, "A")], 2),
    ],
)
def test_what_a_scheme_does_not_allow_is_repaired_and_counted(tags, spans, num_repaired):
    others = ("O", "E-A", "S-A") if set("MES") & {tag[0] for tag in tags.split()} else ("O",)
    assert read(tags, *others) == (spans, num_repaired)


def test_words_are_spans_of_one_kind_whatever_their_scheme():
    assert read("B M E S B E") == ([(0, 3, "word"), (3, 4, "word"), (4, 6, "word")], 0)
    assert read("B I I B B I") == ([(0, 3, "word"), (3, 4, "word"), (4, 6, "word")], 0)
    assert notation(["B", "M", "E", "S"]).form == "words"
    assert read("B I O B") == ([(0, 2, "entity"), (3, 4, "entity")], 0)


@pytest.mark.parametrize(
    ("tags", "form"),
    [
        (["O", "B-A"], "spans"),
        (["I-A", "O"], "spans"),
        (["B-A", "I-A"], "spans"),
        (["B-NN", "E-NN", "S-VV"], "joint"),
        (["B-A", "E-A", "O"], "spans"),
        (["NN", "VV", "S-x"], "plain"),
        (["O", "PER"], "plain"),
        (["B", "NN"], "plain"),
    ],
)
def test_the_tags_of_a_file_tell_what_they_say(tags, form):
    found = notation(tags)
    assert (found.form, found.is_empty) == (form, False)


def test_a_file_of_O_alone_tells_no_form():
    assert notation(["O"]).is_empty


def test_silence_is_outside_where_nothing_else_is():
    assert notation(["B-A"], is_partial=True).silence_is_outside
    assert notation(["B-A", "E-A"], is_partial=True).form == "spans"
    assert not notation(["B-A", "O"], is_partial=True).silence_is_outside
    assert not notation(["NN"], is_partial=True).silence_is_outside


@pytest.mark.parametrize(
    ("tags", "first", "odd"),
    [
        (["O", "B-A", "I-A", "M-A"], "'B-A' on line 2", "'M-A' on line 4"),
        (["B-A", "I-A", "M-A", "I-B"], "'B-A' on line 1", "'M-A' on line 3"),
        (["B-A", "E-A", "L-A"], "'B-A' on line 1", "'L-A' on line 3"),
        (["B-A", "O", "PER"], "'B-A' on line 1", "'PER' on line 3"),
        (["B", "B-A", "O"], "'B-A' on line 2", "'B' on line 1"),
        (["B", "I", "M"], "'B' on line 1", "'M' on line 3"),
    ],
)
def test_two_schemes_in_one_file_are_an_error_that_shows_both(tags, first, odd):
    with pytest.raises(DataError, match=f"a.conll mixes two schemes of tags: {first}, {odd}.") as caught:
        notation(tags)
    assert "IOB (O, B-x, I-x)" in caught.value.hint


def test_a_column_without_any_tag_is_none():
    with pytest.raises(DataError, match="a.conll has no tag: all of them are '_' or '-' or ''."):
        find_notation({}, FILE)
