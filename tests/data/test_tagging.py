"""The format of a file is said by its name or by its content; where neither does, it is asked for."""

import pytest

from yanmo.data.tagging import find_format
from yanmo.errors import ConfigError

CONLL = "in O\nRome B-LOC\n\nat O\n"
CONLLU = "1\tRome\t_\tPROPN\t_\t_\t0\t_\t_\t_\n\n"


@pytest.mark.parametrize(
    ("name", "content", "tagging"),
    [
        ("a.conllu", "x", "conllu"),
        ("a.conllu.gz", None, "conllu"),
        ("a.iob2", "x", "conll"),
        ("train.char.bmes", "x", "conll"),
        ("a.jsonl", "x", "spans"),
        ("a.json", "x", "spans"),
        ("a.ann", "x", "spans"),
        ("train.seq.in", "x", "aligned"),
        ("seq.in", "x", "aligned"),
        ("a.txt", CONLL, "conll"),
        ("a.tsv", CONLL.replace(" ", "\t"), "conll"),
        ("a.txt", f"# text = Rome\n{CONLLU}", "conllu"),
        ("a.txt", "in/IN Rome/NNP\n", "tagged"),
        ("a.txt", "in_IN Rome_NNP\n", "tagged"),
        ("a.txt", '{"text": "Rome"}\n', "spans"),
        ("a", '[{"text": "Rome"}]\n', "spans"),
    ],
)
def test_a_file_says_what_it_is(tmp_path, name, content, tagging):
    path = tmp_path / name
    path.write_text(content or "", encoding="utf-8")
    assert find_format(path, "utf-8", None) == tagging
    assert find_format(path, "utf-8", "segmented") == "segmented"


@pytest.mark.parametrize(
    "content", ["上海 推 “ 迎\n", "in Rome\nat noon\n", "in O\nRome O\n", "and/or not/x y\n", "\n"]
)
def test_what_could_only_be_guessed_is_asked_for(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="Nothing says how the parts of the texts are labeled in") as caught:
        find_format(path, "utf-8", None)
    assert "--tagging conll, conllu, segmented" in caught.value.hint


def test_a_text_with_annotations_beside_it_has_spans(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("in Rome", encoding="utf-8")
    (tmp_path / "a.ann").touch()
    assert find_format(path, "utf-8", None) == "spans"
