"""Every key of a pipeline file is found on its line, and overrides are laid over it."""

import re

import pytest

from yanmo.errors import PipelineError
from yanmo.pipeline.document import read_document


def read(tmp_path, text, *overrides):
    path = tmp_path / "pipeline.toml"
    path.write_text(text, encoding="utf-8", newline="")
    return read_document(path, overrides)


def test_every_key_is_found_on_its_line(tmp_path):
    text = (
        "# stage.cnn.verb = 1\n"
        "[stage.cnn] # a comment = with an equals sign\n"
        'verb = "train"\n'
        "note = '''\n"
        "seed = 9\n"
        "[stage.other]\n"
        "'''\n"
        "cleaning = [\n"
        '  "a = b", # ] not the end\n'
        '  "lowercase",\n'
        "]\n"
        "seed = 1\n"
        "each.model = [1]\n"
        '[stage."x y"]\n'
        'text = "# no comment"\n'
        "seed=2\n"
    )
    lines = read(tmp_path, text).lines
    assert lines == {
        ("stage", "cnn"): 2,
        ("stage", "cnn", "verb"): 3,
        ("stage", "cnn", "note"): 4,
        ("stage", "cnn", "cleaning"): 8,
        ("stage", "cnn", "seed"): 12,
        ("stage", "cnn", "each", "model"): 13,
        ("stage", "x y"): 14,
        ("stage", "x y", "text"): 15,
        ("stage", "x y", "seed"): 16,
    }


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path):
    document = read(tmp_path, "\ufeff[stage.a]\r\nseed = 1\r\n")
    assert document.tables == {"stage": {"a": {"seed": 1}}}
    assert document.lines[("stage", "a", "seed")] == 2


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("stage.a.seed=3e-4", 3e-4),
        ("stage.a.seed = [1, 2]", [1, 2]),
        ("stage.a.seed=true", True),
        ('stage.a.seed="1"', "1"),
        ("stage.a.seed=bert-4x312", "bert-4x312"),
        ("stage.a.seed=a=b", "a=b"),
        ("stage.'a'.\"seed\"={ x = 1 }", {"x": 1}),
    ],
)
def test_an_override_is_a_toml_value_or_else_a_string(tmp_path, override, value):
    document = read(tmp_path, "[stage.a]\nseed = 1\n", override)
    assert document.tables["stage"]["a"]["seed"] == value
    assert document.place(("stage", "a", "seed")) == f"--set {override}"


def test_an_override_can_reach_into_a_table_and_make_one(tmp_path):
    document = read(tmp_path, "[stage.a]\neach = { seed = [1] }\n", "stage.a.each.seed=[2]", "pipeline.out=other")
    assert document.tables == {"stage": {"a": {"each": {"seed": [2]}}}, "pipeline": {"out": "other"}}


FORM = "\nhint: The form is --set stage.NAME.KEY=VALUE, such as --set stage.cnn.learning_rate=3e-4."


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=1", "The override 'seed=1' has no meaning." + FORM),
        ("stage.a.seed", "The override 'stage.a.seed' has no meaning." + FORM),
        ("stage..seed=1", "The override 'stage..seed=1' has no meaning." + FORM),
        ("stage.a.seed.x=1", "--set stage.a.seed.x=1: 'stage.a.seed' is a value and holds no keys." + FORM),
        (
            "stag.a.seed=1",
            "--set stag.a.seed=1: pipeline.toml has no top-level table 'stag'. Did you mean 'stage'?"
            "\nhint: It has: pipeline, stage.",
        ),
        (
            "stage.revews.seed=1",
            "--set stage.revews.seed=1: pipeline.toml has no stage 'revews'. Did you mean 'reviews'?"
            "\nhint: It has: a, reviews.",
        ),
    ],
)
def test_an_override_of_what_is_not_there_is_an_error(tmp_path, monkeypatch, override, message):
    (tmp_path / "pipeline.toml").write_text("[stage.a]\nseed = 1\n[stage.reviews]\nseed = 1\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match=f"^{re.escape(message)}$"):
        read_document((tmp_path / "pipeline.toml").relative_to(tmp_path), [override])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"[stage.a\nseed = 1\n",
            "p.toml:1, column 9: This is not TOML: Expected ']' at the end of a table declaration.",
        ),
        (b"seed = textcnn\n", "p.toml:1, column 8: This is not TOML: Invalid value."),
        (b"a = 1\na = 2\n", "p.toml:2, column 6: This is not TOML: Cannot overwrite a value."),
        (b"a = 1\nb = [1,\n", "p.toml:3: This is not TOML: Invalid value."),
        (b"a = 1\nb = '\xff'\n", "p.toml:2: The file is not UTF-8."),
    ],
)
def test_a_file_that_is_no_toml_is_an_error_with_its_line(tmp_path, monkeypatch, content, message):
    (tmp_path / "p.toml").write_bytes(content)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError) as caught:
        read_document((tmp_path / "p.toml").relative_to(tmp_path))
    assert caught.value.message == message
    assert caught.value.hint


def test_a_missing_file_and_a_folder_are_errors(tmp_path):
    with pytest.raises(PipelineError, match="There is no pipeline file"):
        read_document(tmp_path / "none.toml")
    with pytest.raises(PipelineError, match="is a folder, not a pipeline file"):
        read_document(tmp_path)
