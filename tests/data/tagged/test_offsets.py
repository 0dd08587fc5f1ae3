"""What the ends of spans count is found from the file, and they become characters; what fits nowhere is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data.tagged.offsets import OffsetReading, convert_spans, find_reading
from yanmo.data.tagged.sentence import GivenSpan, SpansRow

UTF16, BYTES = OffsetReading("UTF-16 units"), OffsetReading("bytes")
TEXT = "😀 Anna met 👩‍💻 Zoë in Köln"


def row(text, *spans):
    return SpansRow(1, text, [GivenSpan(*span) for span in spans])


def counted(text, part, unit, *, is_inclusive=False, has_surface=True):
    """Return the span of a part of a text as a tool writes it that counts units of so many bytes in an encoding."""
    start = text.index(part)
    encoding, width = {"characters": ("utf-32-le", 4), "UTF-16 units": ("utf-16-le", 2), "bytes": ("utf-8", 1)}[unit]
    ends = [len(text[:place].encode(encoding)) // width for place in (start, start + len(part))]
    return (ends[0], ends[1] - is_inclusive, "X", part if has_surface else None)


@pytest.mark.parametrize("unit", ["characters", "UTF-16 units", "bytes"])
@pytest.mark.parametrize("has_surface", [True, False])
def test_what_the_ends_count_is_found_where_it_matters(unit, has_surface):
    given_row = row(TEXT, *[counted(TEXT, part, unit, has_surface=has_surface) for part in ("Anna", "Zoë", "Köln")])
    rows = [row("in Rome", (3, 7, "X")), given_row]
    reading = find_reading(rows)
    assert reading == OffsetReading(unit)
    spans = convert_spans(given_row, reading).spans
    assert [TEXT[start:end] for start, end, _ in spans] == ["Anna", "Zoë", "Köln"]
    assert convert_spans(rows[0], reading).spans == [(3, 7, "X")]


@pytest.mark.parametrize("unit", ["characters", "UTF-16 units", "bytes"])
def test_ends_that_are_included_are_found_by_what_the_spans_hold(unit):
    given_row = row(
        TEXT, counted(TEXT, "Anna", unit, is_inclusive=True), counted(TEXT, "k"[:0] + "Z", unit, is_inclusive=True)
    )
    reading = find_reading([given_row])
    assert reading.is_inclusive
    assert [TEXT[start:end] for start, end, _ in convert_spans(given_row, reading).spans] == ["Anna", "Z"]
    assert str(OffsetReading("characters", is_inclusive=True)) == "characters, the last one included"


# In characters the first one ends within schrieb, and the second one begins within Anna.
@pytest.mark.parametrize(("text", "part"), [("Jürgen Döblin schrieb", "Jürgen Döblin"), ("In Köln lebt Anna.", "Anna")])
def test_a_span_with_one_end_within_a_word_is_wrong(text, part):
    assert find_reading([row(text, counted(text, part, "bytes", has_surface=False))]) == BYTES


@settings(deadline=None)
@given(st.text(min_size=1), st.sampled_from(["characters", "UTF-16 units", "bytes"]), st.data())
def test_any_span_comes_back(text, unit, data):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    encoding, width = {"characters": ("utf-32-le", 4), "UTF-16 units": ("utf-16-le", 2), "bytes": ("utf-8", 1)}[unit]
    ends = [len(text[:place].encode(encoding)) // width for place in (start, end)]
    found = convert_spans(row(text, (*ends, "X", text[start:end])), OffsetReading(unit))
    assert (found.spans, found.problem) == ([(start, end, "X")], None)


def test_one_wrong_span_does_not_turn_a_file():
    rows = [row("我在北京", (2, 4, "L")), row("你好😀上海", (3, 5, "L")), row("他在东京", (2, 9, "L"))]
    reading = find_reading(rows)
    assert reading.is_usual
    assert [convert_spans(one, reading).problem for one in rows] == [None, None, "span outside of the text"]


@pytest.mark.parametrize("span", [(2, 9), (-1, 2), (9, 12)])
def test_a_span_outside_of_the_text_is_refused(span):
    assert convert_spans(row("ab cd", (*span, "X")), OffsetReading()).problem == "span outside of the text"


def test_half_a_character_is_no_place():
    assert convert_spans(row("😀", (0, 1, "X")), UTF16).problem == "span outside of the text"
    assert convert_spans(row("é", (0, 1, "X")), BYTES).problem == "span outside of the text"


def test_a_span_that_holds_something_else_is_refused():
    assert convert_spans(row("in Rome", (3, 7, "X", "Paris")), OffsetReading()).problem == "span text differs"
    # A line end within a span is written as a space.
    assert convert_spans(row("New\nYork", (0, 8, "X", "New York")), OffsetReading()).problem is None


def test_texts_without_spans_tell_nothing():
    assert find_reading([row("😀"), SpansRow(2, None, [])]).is_usual
