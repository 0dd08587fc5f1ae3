"""adjust: what a user knows stands beside the model, travels with it, and is measured with it."""

from __future__ import annotations

import json

import pytest

import yanmo
from yanmo.errors import ConfigError

ROWS = [
    ("张三在北京工作", [[0, 2, "人"], [3, 5, "地"]]),
    ("李四去上海出差", [[0, 2, "人"], [3, 5, "地"]]),
    ("王五住在广州", [[0, 2, "人"], [4, 6, "地"]]),
    ("赵六到北京开会", [[0, 2, "人"], [3, 5, "地"]]),
    ("今天天气很好", []),
    ("明天再说吧", []),
]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """A Dataset of names and a model of it."""
    folder = tmp_path_factory.mktemp("names")
    rows = [{"text": f"{text}{'。' * (number % 3)}", "label": spans} for number in range(8) for text, spans in ROWS]
    (folder / "names.jsonl").write_text(
        "\n".join(json.dumps(row, ensure_ascii=False) for row in rows), encoding="utf-8"
    )
    data = yanmo.prepare(folder / "names.jsonl", out=folder / "data", task="token_labels", units="characters")
    return data, yanmo.train(data.path, model="window", num_epochs=4, out=folder / "model")


def adjusted(names, tmp_path, text):
    (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    return yanmo.adjust(names[1].path, rules=tmp_path / "rules.toml", out=tmp_path / "adjusted")


def found(bundle, text):
    with yanmo.load(bundle.path) as predictor:
        (answer,) = predictor.predict([text])
    return [(span.text, span.label, span.source) for span in answer.spans]


def test_words_of_files_and_patterns_are_found_and_say_who_found_them(names, tmp_path):
    (tmp_path / "places.txt").write_text("云研大厦\n", encoding="utf-8")
    made = adjusted(
        names,
        tmp_path,
        """
        [[rule]]
        label = "地"
        words_file = "places.txt"

        [[rule]]
        label = "人"
        pattern = '工号\\d+'
        """,
    )
    assert found(made, "张三在云研大厦找工号12") == [
        ("张三", "人", "model"),
        ("云研大厦", "地", "dictionary"),
        ("工号12", "人", "rule"),
    ]
    # The file of words is in the Bundle, and may go.
    (tmp_path / "places.txt").unlink()
    assert ("云研大厦", "地", "dictionary") in found(made, "云研大厦")


def test_a_bundle_with_rules_is_measured_with_them_and_kept_by_calibrate(names, tmp_path):
    data, model = names
    plain = yanmo.evaluate(model.path, data.path, out=tmp_path / "plain").metrics["span_recall"]
    made = adjusted(names, tmp_path, '[[rule]]\nlabel = "地"\nwords = ["北京", "上海", "广州"]\naction = "forbid"\n')
    without = yanmo.evaluate(made.path, data.path, out=tmp_path / "without").metrics["span_recall"]
    assert without < plain
    calibrated = yanmo.calibrate(made.path, data.path, out=tmp_path / "calibrated")
    assert ("北京", "地", "model") in found(model, "张三在北京工作")
    assert found(calibrated, "张三在北京工作") == [("张三", "人", "model")]


def test_rules_are_replaced_and_not_stacked(names, tmp_path):
    first = adjusted(names, tmp_path, '[[rule]]\nlabel = "地"\nwords = ["天气"]\n')
    assert found(first, "今天天气很好") == [("天气", "地", "dictionary")]
    (tmp_path / "more.toml").write_text('[[rule]]\nlabel = "人"\nwords = ["今天"]\n', encoding="utf-8")
    second = yanmo.adjust(first.path, rules=tmp_path / "more.toml", out=tmp_path / "second")
    assert found(second, "今天天气很好") == [("今天", "人", "dictionary")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[rule]]\nlabel = "城"\nwords = ["x"]\n', "rule 1: the model knows no '城', only 人, 地"),
        ('[[rule]]\nlabel = "地"\nwords = ["x"]\naction = "drop"\n', r"Invalid enum value 'drop'"),
        ('[[rule]]\nlabel = "地"\nword = ["x"]\n', "unknown field `word`"),
        ('[[rule]]\nlabel = "地"\nwords_file = "none.txt"\n', "cannot be read"),
        ("[[rule]\n", "rules.toml"),
    ],
)
def test_a_file_that_is_wrong_is_named_with_its_place(names, tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        adjusted(names, tmp_path, text)
    assert not (tmp_path / "adjusted").exists()


def test_calibration_and_ensembles_keep_what_the_rules_say(names, tmp_path):
    made = adjusted(names, tmp_path, '[[rule]]\nlabel = "地"\nwords = ["天气"]\n')
    calibrated = yanmo.calibrate(made.path, names[0].path, out=tmp_path / "calibrated")
    assert ("天气", "地", "dictionary") in found(calibrated, "今天天气很好")
    both = yanmo.ensemble(names[0].path, [made.path, calibrated.path], out=tmp_path / "both")
    # Whose word it was, an ensemble does not know.
    assert ("天气", "地", "model") in found(both, "今天天气很好")
