"""Written texts are measured as the reference implementations measure them, from sums over rows."""

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from yanmo.metrics.written import WRITTEN_MEASURES, text_tokens, written_statistics
from yanmo.metrics.written_ngrams import ngram_signatures

MEASURES = {one.name: one for one in WRITTEN_MEASURES}
ENGLISH = st.lists(
    st.sampled_from(["the", "cat", "sat", "on", ",", "dog", ".", "Ran", "3.5", "it's"]), min_size=1, max_size=9
)
CHINESE = st.lists(
    st.sampled_from(["今天", "天气", "很好", "，", "去", "公园", "。", "GPU", "3.5"]), min_size=1, max_size=9
)
ROWS = {
    "13a": st.lists(st.tuples(ENGLISH.map(" ".join), st.lists(ENGLISH.map(" ".join), min_size=1, max_size=1))),
    "zh": st.lists(st.tuples(CHINESE.map("".join), st.lists(CHINESE.map("".join), min_size=2, max_size=2))),
}


def score(name, texts, references):
    return MEASURES[name].score(written_statistics(texts, references))


@pytest.mark.parametrize("cut", ["13a", "zh"])
def test_sums_over_rows_give_the_scores_of_sacrebleu(cut):
    @settings(max_examples=30, deadline=None)
    @given(rows=ROWS[cut].filter(len))
    def check(rows):
        texts, references = [text for text, _ in rows], [right for _, right in rows]
        # A row's references decide how it is cut; these must all be of one kind, as a call of sacrebleu has them.
        texts, references = [*texts, "好" if cut == "zh" else "so"], [*references, ["好的"] * len(references[0])]
        if cut == "13a":
            references[-1] = ["so it is"]
        else:
            references = [[one + "好" for one in right] for right in references]
        columns = list(zip(*references, strict=True))
        theirs = {
            "chrf": sacrebleu.corpus_chrf(texts, columns).score,
            "bleu": sacrebleu.corpus_bleu(texts, columns, tokenize=cut).score,
        }
        for name, value in theirs.items():
            assert 100 * score(name, texts, references) == pytest.approx(value, abs=1e-6)

    check()


@settings(max_examples=50, deadline=None)
@given(text=ENGLISH.map(" ".join), right=st.lists(ENGLISH.map(" ".join), min_size=1, max_size=2))
def test_rouge_l_is_that_of_the_reference_implementation(text, right):
    scorer = rouge_scorer.RougeScorer(["rougeL"])
    theirs = max(scorer.score(one, text)["rougeL"].fmeasure for one in right)
    assert score("rouge_l", [text], [right]) == pytest.approx(theirs)


def test_rouge_l_of_chinese_is_by_character():
    assert score("rouge_l", ["今天天气好"], [["今天很好"]]) == pytest.approx(2 * 3 / 9)


def test_an_ideograph_is_a_token_and_so_is_a_phoneme():
    assert text_tokens("AH0 N 今天 ok了") == ["AH0", "N", "今", "天", "ok", "了"]
    assert score("token_error_rate", ["AH N D"], [["AH N"]]) == pytest.approx(1 / 2)
    assert score("character_error_rate", ["今天好"], [["今日好"]]) == pytest.approx(1 / 3)


def test_the_nearest_reference_counts_for_each_measure_by_itself():
    statistics = written_statistics(["a b c"], [["x y z w", "a b d", "a b c d e f"]])
    assert MEASURES["token_error_rate"].score(statistics) == pytest.approx(1 / 3)
    assert MEASURES["exact_match"].score(written_statistics(["a  b "], [["c", "a b"]])) == 1.0


def test_rows_without_references_count_for_nothing():
    with_none = written_statistics(["a b", "c"], [["a c"], []])
    assert not with_none[1].any()
    np.testing.assert_array_equal(with_none[:1], written_statistics(["a b"], [["a c"]]))
    assert np.isnan(MEASURES["exact_match"].score(written_statistics(["a"], [[]])))


def test_the_way_of_counting_is_told():
    found = ngram_signatures([["好"], ["so", "it is"]])
    assert "nc:6" in found["chrf"]
    assert "tok:13a" in found["bleu"]
    assert "tok:zh" in found["bleu"]
