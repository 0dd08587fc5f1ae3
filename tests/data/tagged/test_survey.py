"""What all files have in common: what they say, what the units are, how tags are written; others are named."""

import pytest

from yanmo.data.tagged.survey import TagKeys, as_form, choose_manner, survey_file
from yanmo.data.tagging import TaggingOptions
from yanmo.errors import ConfigError, DataError

ENGLISH = "in O\nNew B-LOC\nYork I-LOC\n"
CHINESE = "在 O\n北 B-LOC\n京 I-LOC\n"
WORDS = "在 P\n北京 N\n,_ X\n"


@pytest.fixture
def survey(tmp_path):
    def made(content, name="a.conll", tagging=None, **keys):
        path = tmp_path / name
        path.write_text(content, encoding="utf-8")
        return survey_file(path, TaggingOptions(tagging=tagging), TagKeys(**keys))

    return made


@pytest.mark.parametrize(
    ("content", "label", "units", "manner"),
    [
        (ENGLISH, None, None, ("spans", "tokens", "IOB2")),
        (CHINESE, None, None, ("spans", "characters", "IOB2")),
        (ENGLISH, None, "characters", ("spans", "characters", "IOB2")),
        (ENGLISH, "1", None, ("plain", "words", "plain")),
        (WORDS, None, None, ("plain", "characters", "BMES-kind")),
        (WORDS, None, "words", ("plain", "words", "plain")),
        (WORDS, "words", None, ("words", "characters", "BMES")),
        (ENGLISH, "words", "tokens", ("words", "tokens", "BMES")),
        ("北 B\n京 E\n在 S\n", None, None, ("words", "characters", "BMES")),
        ("北 B-N\n京 E-N\n在 S-P\n", None, None, ("joint", "characters", "BMES-kind")),
    ],
)
def test_the_manner_follows_from_what_is_said_and_the_language(survey, content, label, units, manner):
    # The first column as tags: words of which each is one of its own.
    keys = {"label": label} if label != "1" else {}
    content = content.replace(" O", " X").replace("B-LOC", "Y").replace("I-LOC", "Y") if label == "1" else content
    found = choose_manner([survey(content, **keys)], 1, units)
    assert (found.form, found.rule, found.writing) == manner


def test_the_source_decides_the_language(survey):
    english, chinese = survey(ENGLISH, "b.conll"), survey(CHINESE)
    assert choose_manner([chinese, english], 1, None).rule == "characters"
    assert choose_manner([english, chinese], 1, None).rule == "tokens"


def test_files_that_say_different_things_are_named(survey):
    with pytest.raises(DataError, match=r".*a.conll has spans with kinds, but .*b.conll has a tag for every word."):
        choose_manner([survey(ENGLISH), survey(WORDS, "b.conll")], 1, None)


def test_a_small_file_may_have_nothing_outside_of_its_spans_or_nothing_else(survey):
    train = survey("a B-X\nb E-X\nc O\n")
    small, empty = survey("a B-X\nb E-X\n", "b.conll"), survey("a O\n", "c.conll")
    assert (small.form, empty.form) == ("joint", None)
    assert choose_manner([train, small, empty], 1, None).form == "spans"
    assert choose_manner([empty, train], 1, None).form == "spans"
    assert choose_manner([empty], 1, None).form == "spans"
    assert as_form(small, "spans").form == "spans"


@pytest.mark.parametrize(
    ("name", "content", "tagging", "glue"),
    [
        ("a.conll", CHINESE, None, "nothing"),
        ("a.conll", WORDS.replace("在", "正在"), None, "as written"),
        ("a.conll", ENGLISH, None, "as written"),
        ("a.conll", "가 O\n나 B-X\n", None, "as written"),
        ("a.txt", "上海 推 迎", "segmented", "nothing"),
    ],
)
def test_characters_stand_side_by_side(survey, name, content, tagging, glue):
    file = survey(content, name, tagging)
    assert choose_manner([file], 1, None).glue(file) == glue
    assert choose_manner([file], 1, "words").glue(file) == "space"
    assert (choose_manner([file], 1, "characters").glue(file) == "nothing") == (
        file.has_characters or glue == "nothing"
    )


def test_a_file_has_characters_where_more_than_nine_in_ten_words_are_one(survey):
    longer = "서울 B-X\n"
    nine, ten = (survey("가 O\n" * num + longer, f"{num}.conll") for num in (9, 10))
    assert choose_manner([nine], 1, "characters").glue(nine) == "as written"
    assert choose_manner([ten], 1, "characters").glue(ten) == "nothing"


@pytest.mark.parametrize("label", ["upos", "0", "-1"])
def test_a_column_has_a_number(survey, label):
    with pytest.raises(ConfigError, match="'label' parameter of prepare must be the number of a column, or words"):
        survey(ENGLISH, label=label)


def test_a_file_without_a_sentence_is_an_error(survey):
    with pytest.raises(DataError, match=r"a.conll has no sentence."):
        survey("\n\n")
