"""Treebanks are read with their heads, relations and tags; a sentence that is no tree is refused, and its line said."""

import logging

import polars as pl
import pytest

import yanmo
from yanmo.data.tagged.tree_checks import find_problem
from yanmo.errors import ConfigError, DataError

GOOD = """\
# sent_id = one
1\tDogs\tdog\tNOUN\tNNS\t_\t2\tnsubj\t2:nsubj\t_
2\tbark\tbark\tVERB\tVBP\t_\t0\troot\t0:root\t_

"""
MULTIWORD = """\
1-2\tdu\t_\t_\t_\t_\t_\t_\t_\t_
1\tde\t_\tADP\t_\t_\t3\tcase\t_\t_
2\tle\t_\tDET\t_\t_\t3\tdet\t_\t_
2.1\t_\t_\t_\t_\t_\t_\t_\t_\t_
3\tchien\t_\tNOUN\t_\t_\t0\troot\t_\t_

"""


def sentence(*heads, words=None):
    rows = [
        f"{place}\t{words[place - 1] if words else 'w'}\t_\tX\t_\t_\t{head}\tdep\t_\t_"
        for place, head in enumerate(heads, 1)
    ]
    return "\n".join(rows) + "\n\n"


def prepare(folder, text, **options):
    (folder / "some.conllu").write_text(text, encoding="utf-8")
    options = {"valid_ratio": 0, "test_ratio": 0} | options
    return yanmo.prepare(folder / "some.conllu", task="dependencies", out=folder / "data", **options)


def test_a_word_has_its_head_its_relation_and_its_tag(tmp_path):
    found = prepare(tmp_path, GOOD + MULTIWORD, id="sent_id", max_rejected=1.0)
    # A sentence without an id is refused where ids are asked for.
    assert found.split("train").to_dicts() == [
        {
            "id": "one",
            "text": "Dogs bark",
            "heads": [2, 0],
            "tags": ["NOUN", "VERB"],
            "spaces": [True, False],
            "label": ["nsubj", "root"],
        }
    ]


def test_the_words_of_a_multi_word_token_stand_and_empty_nodes_do_not(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        found = prepare(tmp_path, GOOD + MULTIWORD)
    assert found.split("train")["text"].to_list() == ["Dogs bark", "de le chien"]
    assert found.split("train")["heads"][1].to_list() == [3, 3, 0]
    assert "multi-word tokens: 1." in caplog.text
    assert "empty nodes, which are left out: 1." in caplog.text
    assert found.labels == ["case", "det", "nsubj", "root"]


def test_another_column_gives_the_tags(tmp_path):
    found = prepare(tmp_path, GOOD, label="xpos")
    assert found.split("train")["tags"][0].to_list() == ["NNS", "VBP"]


def test_relations_are_mapped(tmp_path):
    found = prepare(tmp_path, GOOD, label_map="nsubj=subject")
    assert found.labels == ["root", "subject"]


@pytest.mark.parametrize(
    ("heads", "problem", "line"),
    [
        ((2, 3, 1), "no root", 5),
        ((0, 3, 2), "cycle of heads", 6),
        ((0, 1, 0), "several roots", 7),
        ((0, 1, 4), "head is none of the words", 7),
        ((0, 1, "x"), "head is none of the words", 7),
        ((0, 1, 3), "cycle of heads", 7),
    ],
)
def test_a_sentence_that_is_no_tree_is_refused_and_its_line_is_said(tmp_path, caplog, heads, problem, line):
    found = prepare(tmp_path, GOOD + sentence(*heads))
    assert found.split("train").height == 1
    assert found.manifest.info["rejected"] == {problem: 1}
    assert f"some.conllu line {line}: {problem}" in caplog.text
    assert problem in (found.path / "rejected.jsonl").read_text(encoding="utf-8")


def test_a_word_with_white_space_in_it_is_refused(tmp_path):
    found = prepare(tmp_path, GOOD + sentence(0, 1, words=["a b", "c"]))
    assert found.manifest.info["rejected"] == {"white space in a word": 1}


def test_a_relation_that_train_lacks_may_stand_in_the_test(tmp_path):
    (tmp_path / "test.conllu").write_text(sentence(0, 1), encoding="utf-8")
    found = prepare(tmp_path, GOOD, test=tmp_path / "test.conllu")
    assert found.labels == ["dep", "nsubj", "root"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tagging": "conll"}, "CoNLL-U alone"),
        ({"units": "characters"}, "units of trees are words"),
    ],
)
def test_another_format_and_other_units_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        prepare(tmp_path, GOOD, **options)


def test_a_column_of_texts_is_refused(tmp_path):
    (tmp_path / "trees.conllu").write_text(GOOD, encoding="utf-8")
    with pytest.raises(ConfigError, match="'text' parameter of prepare names a column"):
        yanmo.prepare(tmp_path / "trees.conllu", out=tmp_path / "data", task="dependencies", text="sentence")


def test_files_without_heads_are_refused(tmp_path):
    with pytest.raises(DataError, match="line 2 has no columns HEAD and DEPREL"):
        prepare(tmp_path, "# global.columns = ID FORM UPOS\n1\tDogs\tNOUN\n\n")
    with pytest.raises(DataError, match="has no sentence"):
        prepare(tmp_path, "# nothing\n")


def test_unlabeled_texts_need_no_trees(tmp_path):
    (tmp_path / "more.csv").write_text("text\nCats sleep\n", encoding="utf-8")
    found = prepare(tmp_path, GOOD, unlabeled=tmp_path / "more.csv")
    (row,) = found.split("unlabeled").to_dicts()
    assert row == {"id": "2", "text": "Cats sleep", "heads": None, "tags": None, "spaces": None}


def test_problems_are_found_in_their_order():
    assert find_problem(["a"], [0]) == (None, 0)
    assert find_problem(["a", "b"], [0, 5]) == ("head is none of the words", 1)


def test_a_dataset_keeps_the_type_of_trees_where_a_file_has_no_tags(tmp_path):
    found = prepare(tmp_path, sentence(0, 1).replace("\tX\t", "\t_\t") + GOOD)
    assert found.split("train").schema["tags"] == pl.List(pl.String)
