"""The embedded data is what the README says: many hands, two languages, no templates."""

import csv
import itertools
import re
from collections import Counter

import pytest


@pytest.fixture(scope="module")
def rows(project_root):
    with (project_root / "examples" / "messages" / "messages.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_there_are_enough_rows_of_every_intent(rows):
    counts = Counter(row["intent"] for row in rows)
    assert len(rows) >= 800
    assert len(counts) == 8
    assert min(counts.values()) >= 100


def test_half_is_chinese_and_half_is_english(rows):
    share = sum(len(re.findall("[\u4e00-\u9fff]", row["text"])) > 0.2 * len(row["text"]) for row in rows) / len(rows)
    assert 0.45 <= share <= 0.55


def test_there_is_the_noise_of_real_messages(rows):
    texts = [row["text"] for row in rows]
    assert sum(bool(re.search("&nbsp;|&amp;|<br|<p>", text)) for text in texts) >= 20
    assert sum(bool(re.search("[\U0001f300-\U0001faff]", text)) for text in texts) >= 40
    assert sum(len(text) <= 12 for text in texts) >= 60
    assert sum(len(text) >= 250 for text in texts) >= 30


def trigrams(text):
    normal = " ".join(text.lower().split())
    return {normal[start : start + 3] for start in range(len(normal) - 2)}


def test_no_two_rows_of_a_class_share_more_than_60_percent_of_their_trigrams(rows):
    by_intent = {}
    for row in rows:
        by_intent.setdefault(row["intent"], []).append(trigrams(row["text"]))
    for sets in by_intent.values():
        for first, second in itertools.combinations([one for one in sets if one], 2):
            assert len(first & second) <= 0.6 * min(len(first), len(second))
