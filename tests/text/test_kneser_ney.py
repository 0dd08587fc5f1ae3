"""Counted n-grams are a distribution, what a slow count by the book gives, and the same from an ARPA file."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.arrays import Ragged
from yanmo.errors import DataError
from yanmo.text.arpa import read_arpa, write_arpa
from yanmo.text.kneser_ney import count_kneser_ney
from yanmo.text.ngram_language_model import NgramLanguageModel, fit_ngram_language_model

VOCABULARY, END = 6, 0
ROWS = st.lists(st.lists(st.integers(1, VOCABULARY - 1), max_size=8), min_size=1, max_size=8)


def ragged(rows):
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Ragged(np.array([one for row in rows for one in row], dtype=np.int64), offsets)


class Slow:
    """Interpolated modified Kneser-Ney, written down as in Chen and Goodman's report, with dictionaries."""

    def __init__(self, rows, order):
        self.order = order
        rows = [("<s>", *row, END) for row in rows]
        counts = [Counter(row[i : i + n] for row in rows for i in range(len(row) - n + 1)) for n in range(1, order + 1)]
        self.counts = []
        for n in range(1, order + 1):
            found = dict(counts[n - 1])
            if n < order:
                before = defaultdict(set)
                for gram in counts[n]:
                    before[gram[1:]].add(gram[0])
                found = {gram: count if gram[0] == "<s>" else len(before[gram]) for gram, count in found.items()}
            found.pop(("<s>",), None)
            self.counts.append(found)
        self.discounts = [self._discounts(found.values()) for found in self.counts]

    @staticmethod
    def _discounts(counts):
        n1, n2, n3, n4 = (sum(count == wanted for count in counts) for wanted in (1, 2, 3, 4))
        found = (0.5, 1.0, 1.5)
        if n1 and n2 and n3:
            share = n1 / (n1 + 2 * n2)
            found = (1 - 2 * share * n2 / n1, 2 - 3 * share * n3 / n2, 3 - 4 * share * n4 / n3)
        return found if all(0 < one < k for k, one in enumerate(found, 1)) else (0.5, 1.0, 1.5)

    def probability(self, context, token):
        n = len(context) + 1
        if n == 1:
            seen = {gram[0] for gram in self.counts[0]}
            absent = VOCABULARY - len(seen)
            share = 1 / (len(seen) + (absent > 0))
            lower = share if token in seen else share / absent
        else:
            lower = self.probability(context[1:], token)
        following = {gram: count for gram, count in self.counts[n - 1].items() if gram[:-1] == context}
        total = sum(following.values())
        if not total:
            return lower
        discounts = self.discounts[n - 1]
        taken = sum(discounts[min(count, 3) - 1] for count in following.values() if count)
        count = following.get((*context, token), 0)
        kept = max(count - (discounts[min(count, 3) - 1] if count else 0), 0)
        return (kept + taken * lower) / total

    def score(self, row):
        whole = ("<s>", *row, END)
        return [
            np.log(self.probability(whole[max(0, place - self.order + 1) : place], whole[place]))
            for place in range(1, len(whole))
        ]


@settings(max_examples=60)
@given(learned=ROWS, asked=ROWS, order=st.integers(1, 4))
def test_it_is_what_the_book_says(learned, asked, order):
    model = count_kneser_ney(ragged(learned), vocab_size=VOCABULARY, end_id=END, order=order)
    found, slow = model.score(ragged(asked), END), Slow(learned, order)
    wanted = [one for row in asked for one in slow.score(tuple(row))]
    np.testing.assert_allclose(found.values, wanted, atol=1e-9)


@settings(max_examples=30)
@given(learned=ROWS, context=st.lists(st.integers(1, VOCABULARY - 1), max_size=4))
def test_what_may_follow_sums_to_one(learned, context):
    model = count_kneser_ney(ragged(learned), vocab_size=VOCABULARY, end_id=END, order=3)
    scored = model.score(ragged([[*context, token] for token in range(VOCABULARY)]), END)
    assert np.exp([scored.row(token)[len(context)] for token in range(VOCABULARY)]).sum() == pytest.approx(1)


@pytest.mark.parametrize("cut", ["characters", "words", "bytes"])
def test_an_arpa_file_holds_the_same_model(cut, tmp_path):
    texts = ["the cat sat on the mat", "the dog sat", "你好 世界\n", "the cat ran"] * 2
    model = fit_ngram_language_model(texts, tokenization=cut, order=4, vocab_size=300)
    tokens = [model.tokenizer.backend.id_to_token(place) for place in range(model.tokenizer.vocab_size)]
    write_arpa(tmp_path / "lm.arpa", model.model, tokens, end_id=model.tokenizer.end_id)
    found, words, end_id = read_arpa(tmp_path / "lm.arpa")
    tokens[model.tokenizer.end_id] = "</s>"
    assert (words, end_id) == (tokens, model.tokenizer.end_id)
    asked = model.tokenizer.encode(["the cat 你好 ran far", "", "zzz"]).ids
    np.testing.assert_allclose(found.score(asked, end_id).values, model.model.score(asked, end_id).values, atol=1e-9)


def test_an_arpa_file_by_hand_is_read_whatever_its_order(tmp_path):
    lines = ["\\data\\", "ngram 1=4", "ngram 2=2", "", "\\1-grams:", "-0.5\tb", "-99\t<s>\t-0.3", "-0.4\t</s>"]
    lines += ["-0.6\ta\t-0.2", "", "\\2-grams:", "-0.1\t<s> a", "-0.2\ta b", "", "\\end\\", ""]
    (tmp_path / "lm.arpa").write_text("\n".join(lines))
    model, tokens, end_id = read_arpa(tmp_path / "lm.arpa")
    ids = {token: place for place, token in enumerate(tokens)}
    found = model.score(ragged([[ids["a"], ids["b"]], [ids["b"]]]), end_id)
    np.testing.assert_allclose(found.values / np.log(10), [-0.1, -0.2, -0.4, -0.8, -0.4], atol=1e-9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello\n", "is no ARPA file"),
        ("\\data\\\n\n\\1-grams:\n-1\ta\n\n\\end\\\n", "lacks <s> or </s>"),
        ("\\data\\\n\n\\1-grams:\n-1 a\n\n\\end\\\n", "a line that is no 1-gram: '-1 a'"),
        ("\\data\\\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n\n\\2-grams:\n-1\t<s> b\n\n\\end\\\n", "'b' in a 2-gram"),
        (
            "\\data\\\n\n\\1-grams:\n-1\t<s>\n-1\t</s>\n-1\ta\n\n\\2-grams:\n-1\t<s> a\n\n"
            "\\3-grams:\n-1\ta a a\n\n\\end\\\n",
            "lacks the first 2 words of 'a a a'",
        ),
    ],
)
def test_a_broken_arpa_file_is_refused(text, message, tmp_path):
    (tmp_path / "lm.arpa").write_text(text)
    with pytest.raises(DataError) as caught:
        read_arpa(tmp_path / "lm.arpa")
    assert message in caught.value.message
    with pytest.raises(DataError, match="cannot be read"):
        read_arpa(tmp_path / "nowhere.arpa")


def test_a_folder_holds_the_model_and_single_precision_is_enough(tmp_path):
    model = fit_ngram_language_model(["abcabc", "abd", "你好"], vocab_size=300)
    assert model.order == 7
    model.save(tmp_path)
    texts = ["abcd", "", "你😀"]
    ours, theirs = model.score(texts)[0], NgramLanguageModel.open(tmp_path).score(texts)[0]
    np.testing.assert_allclose(ours.values_M, theirs.values_M, atol=1e-5)
    assert ours.texts == texts


def test_the_end_of_a_text_is_predicted_and_is_no_part_of_it():
    model = fit_ngram_language_model(["ab", "ab", "ba"], vocab_size=300)
    scored, _ = model.score(["ab", "b"])
    every = model.model.score(model.tokenizer.encode(["ab", "b"]).ids, model.tokenizer.end_id)
    assert every.lengths_N.tolist() == [3, 2]
    np.testing.assert_allclose(scored.values_M, every.values[[0, 1, 3]], rtol=1e-6)
