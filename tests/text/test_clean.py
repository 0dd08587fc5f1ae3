"""Each cleaning step does what its name says, and treats every text as if it stood alone."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.errors import ConfigError, InternalError
from yanmo.text.clean import CLEANING_STEPS, clean_column
from yanmo.text.columns import join_column, split_column

FRAGMENTS = [
    "<script>", "</script>", "<style a='", "<!--", "-->", "<p>", "<b", ">", "<", "</", "&amp;nbsp;",
    "&lt", "&#x1e;", "&#30;", "&", "amp;", "\x1e", "\ud83d", "\x00", " ", "\t", "\u3000", "\u0301", "e",
    "Σ", "İ", "http://", "www.", "a.b@c.de", "@", "c.cn", "漢字", "的", "我们", "什", "么", "the", "don't",
    "3.14", "１２", "😀", "👩\u200d🔬", "ﬁ", "가", "\u1100\u1161", "，",
]  # fmt: skip
TEXT = st.one_of(st.lists(st.sampled_from(FRAGMENTS), max_size=8).map("".join), st.text(max_size=12))
TEXTS = st.lists(TEXT, max_size=6)


@pytest.mark.parametrize("step", list(CLEANING_STEPS))
@given(texts=TEXTS)
@settings(max_examples=60, deadline=None)
def test_a_column_is_cleaned_as_its_texts_are_alone(step: str, texts: list[str]) -> None:
    assert clean_column(texts, [step]) == [clean_column([text], [step])[0] for text in texts]


def test_a_no_break_space_is_a_plain_one_whatever_stands_beside_its_text():
    assert clean_column(["a&nbsp;b", "a\xa0b"], ["strip_html"]) == ["a b", "a b"]
    assert clean_column(["a\xa0b"], ["strip_html"]) == ["a b"]


@given(texts=TEXTS, steps=st.lists(st.sampled_from(list(CLEANING_STEPS)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_steps_in_any_order_clean_a_column_as_its_texts_alone(texts: list[str], steps: list[str]) -> None:
    assert clean_column(texts, steps) == [clean_column([text], steps)[0] for text in texts]


@given(text=TEXT)
@settings(max_examples=300, deadline=None)
def test_nfkc_by_runs_equals_nfkc_of_the_whole(text: str) -> None:
    expected = unicodedata.normalize("NFKC", text.replace("\x1e", " "))
    assert clean_column([text], ["unicode_nfkc"]) == [expected]


@pytest.mark.parametrize(
    ("step", "text", "cleaned"),
    [
        ("strip_html", "<p>很<b>好</b>吃</p><p>下次再来</p>", " 很好吃  下次再来 "),
        ("strip_html", "a < b and <3 and c > d", "a < b and <3 and c > d"),
        ("strip_html", "x<script>if (a < b) { '</p>' }</script>y<style>p {}</style>z", "x y z"),
        ("strip_html", "x<SCRIPT src='a>b'>1</Script >y", "x y"),
        ("strip_html", "x<!-- <p> -->y<!-- left open", "x y "),
        ("strip_html", "x<script>left open", "x "),
        ("strip_html", "x<scripture>y", "x y"),
        ("strip_html", 'a<img alt="1 > 0">b<br/>c<a href=it\'s>d</a>', "a b cd"),
        ("strip_html", "<!DOCTYPE html><?xml version='1'?>a<![CDATA[b]]>", "  a b "),
        ("strip_html", "5&nbsp;&lt;&nbsp;6 &amp;nbsp;&#20013;&#x6587;", "5 < 6  中文"),
        ("strip_html", "&lt;b&gt; is a tag", "<b> is a tag"),
        ("strip_html", "&#" + "9" * 5000 + ";", "\ufffd"),
        ("unicode_nfkc", "ＡＢＣ１２３，ﬁ①", "ABC123,fi1"),
        ("unicode_nfkc", "e\u0301", "é"),
        ("simplify_chinese", "漢字與臺灣 abc", "汉字与台湾 abc"),
        ("simplify_chinese", "漢\ud800", "汉\ufffd"),
        ("lowercase", "Hello ÄÖ", "hello äö"),
        ("strip_urls", "看http://t.cn/a?b=1很好, www.x.com.", "看 很好,  ."),
        ("strip_urls", "See WWW.x.com", "See  "),
        ("strip_urls", "ftp://x.com/a w", "  w"),
        ("strip_urls", "见（https://x.org/a）和 HTTPS://Y.org", "见（ ）和  "),
        ("strip_emails", "写a.b+c@d-e.co.uk吧 @user a@b", "写 吧 @user a@b"),
        ("strip_digits", "2024年１２月 3.14 v2", " 年 月   v "),
        ("strip_symbols", "好！！！😀👍🏽 it's_ok... e\u0301", "好  it s ok  e\u0301"),
        ("stop_words_en", "The food is NOT good, it’s a-ok but don't", " food  NOT good,  a-ok but don't"),
        ("stop_words_en", "另the一 théa", "另一 théa"),
        ("stop_words_zh", "我们的服务是不好的，the end", "服务不好，the end"),
        ("collapse_whitespace", " \ufeffa \t\n b\u3000\u200bc\x00d\r\n", "a b c d"),
    ],
)  # fmt: skip
def test_step(step: str, text: str, cleaned: str) -> None:
    assert clean_column([text], [step]) == [cleaned]


def test_steps_run_in_the_order_given() -> None:
    assert clean_column(["&lt;p&gt;x"], ["strip_html", "strip_html"]) == [" x"]
    assert clean_column([" <p> "], ["collapse_whitespace", "strip_html"]) == [" "]
    assert clean_column([" <p> "], ["strip_html", "collapse_whitespace"]) == [""]


@pytest.mark.parametrize("step", list(CLEANING_STEPS))
@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["\x1e"], ["a\x1eb", "c"]])
def test_empty_texts_and_separators_keep_their_places(step: str, texts: list[str]) -> None:
    cleaned = clean_column(texts, [step])
    assert len(cleaned) == len(texts)
    assert not any("\x1e" in text for text in cleaned)


@pytest.mark.parametrize("step", list(CLEANING_STEPS))
@pytest.mark.parametrize(
    "unit",
    ["<script>", "<script", "</script", "<!--", "<a", "<a '", "&", "a", "a.", "@a", "www.", "http://.", "1,", "a'"],
)
def test_hostile_input_costs_time_in_proportion_to_its_length(step: str, unit: str) -> None:
    # Quadratic behavior would take minutes here, not a fraction of a second.
    start = time.perf_counter()
    clean_column([unit * (100_000 // len(unit))], [step])
    assert time.perf_counter() - start < 10


def test_unknown_step_names_the_closest_and_all() -> None:
    with pytest.raises(
        ConfigError, match=r"no step 'strip_htm'\. Did you mean 'strip_html'\? The steps are: strip_html, "
    ):
        clean_column(["a"], ["strip_htm"])


def test_a_step_that_changes_the_number_of_texts_is_found_out() -> None:
    with pytest.raises(InternalError, match="A column of 2 texts came back as 1"):
        split_column(join_column(["a", "b"]).replace("\x1e", ""), 2)
