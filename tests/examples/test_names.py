"""The embedded texts with marked names are what their README says: two languages, many sentences, honest marks."""

import json
import re
from collections import Counter, defaultdict

import pytest

from yanmo.text.unit_places import unit_places

KINDS = {"person", "product", "place", "date", "order", "company"}
ORDER = re.compile(r"(?!20\d\d$)(?=(.*\d){3})[A-Z\d]+(-[A-Z\d]+)*")
DAY = r"(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"
MONTH = r"(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
FEASTS = (
    "Christmas|Easter|Good Friday|Boxing Day|Thanksgiving|New Year's Eve|Black Friday|Cyber Monday|Valentine's Day"
    "|Mother's Day|双十一|六一八|国庆节|元旦|儿童节|中秋节|端午节|元宵节|教师节|除夕|小年|立冬|冬至|白露|小满|秋分|芒种"
    "|去年春节|今年清明|春节"
)
DATE = re.compile(
    rf"{DAY}|(\d+ )?{MONTH}|20\d\d|{FEASTS}"
    r"|下?(周|星期)[一二三四五六日天]|[五九]月|[本下]月\d+号|(\d+年)?\d+月(\d+日)?"
)
WRITTEN_DATE = re.compile(rf"{DAY}|\d{{1,2}} {MONTH}|\d+月\d+日|(周|星期)[一二三四五六日天]")


@pytest.fixture(scope="module")
def rows(project_root):
    text = (project_root / "examples" / "names" / "names.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def is_chinese(text):
    return bool(re.search("[\u4e00-\u9fff]", text))


def spans_of(rows):
    return [(row["text"], row["text"][start:end], kind) for row in rows for start, end, kind in row["label"]]


def test_half_is_chinese_half_is_english_and_no_sentence_stands_twice(rows):
    texts = [row["text"] for row in rows]
    assert len(set(texts)) == len(texts) >= 400
    assert 0.45 <= sum(map(is_chinese, texts)) / len(texts) <= 0.55


def test_the_kinds_are_balanced_in_both_languages(rows):
    for chinese in (True, False):
        counts = Counter(kind for text, _, kind in spans_of(rows) if is_chinese(text) == chinese)
        assert counts.keys() == KINDS
        assert min(counts.values()) >= 60
        assert max(counts.values()) <= 2 * min(counts.values())


def test_every_mark_is_whole_units_beside_each_other(rows):
    places = unit_places([row["text"] for row in rows], "tokens")
    for row, start, stop in zip(rows, places.offsets, places.offsets[1:], strict=False):
        starts, ends = (set(column.tolist()) for column in places.values[start:stop].T)
        behind = 0
        for begin, end, kind in row["label"]:
            assert behind <= begin < end, row
            assert begin in starts, row
            assert end in ends, row
            assert re.fullmatch(r"\w(.*[\w.])?", row["text"][begin:end]), row
            assert kind in KINDS
            behind = end


def test_a_mark_is_around_what_it_says_it_is(rows):
    for text, surface, kind in spans_of(rows):
        assert bool(ORDER.fullmatch(surface)) == (kind == "order"), (text, surface)
        assert kind == "date" or not WRITTEN_DATE.fullmatch(surface), (text, surface)
        assert kind != "date" or DATE.fullmatch(surface), (text, surface)


def test_no_date_and_no_number_of_an_order_is_forgotten(rows):
    for row in rows:
        outside = list(row["text"])
        for start, end, _ in row["label"]:
            outside[start:end] = " " * (end - start)
        assert not WRITTEN_DATE.search("".join(outside)), row
        assert not re.search(r"\b[A-Z]+\d*-\d{3,}", "".join(outside)), row


def test_the_sentences_are_many_and_not_a_few_templates(rows):
    frames = {True: set(), False: set()}
    for row in rows:
        frame = row["text"]
        for start, end, _ in reversed(row["label"]):
            frame = f"{frame[:start]}#{frame[end:]}"
        frames[is_chinese(row["text"])].add(frame)
    assert min(map(len, frames.values())) >= 120


def test_some_words_mean_several_things(rows):
    kinds = defaultdict(set)
    for _, surface, kind in spans_of(rows):
        kinds[surface].add(kind)
    several = {surface for surface, found in kinds.items() if len(found) > 1}
    assert several >= {"May", "Jordan", "Washington", "Victoria", "Amazon", "秦岭", "洪湖", "沈园", "李宁"}
    # The same letters are a name in one sentence and none in another.
    for word in ("Apple", "小米", "苹果", "高兴", "安心", "Hope"):
        texts = [row["text"] for row in rows if re.search(word, row["text"], re.IGNORECASE)]
        marked = {text for text, surface, _ in spans_of(rows) if word in surface}
        assert len(texts) > len(marked) > 0, word
