"""The command line prints results on stdout, messages on stderr, and exits with the code of the error tree."""

import json
import os
import string
import subprocess
import sys

import pytest

from yanmo.artifacts import Dataset
from yanmo.cli import _cell, main
from yanmo.verbs import COMMANDS

CSV = "text,label\n" + "".join(f"很好吃 {i} 次,good\n真难吃 {i} 次,bad\n" for i in range(30))


@pytest.fixture
def reviews(tmp_path):
    file = tmp_path / "reviews.csv"
    file.write_text(CSV, encoding="utf-8")
    return file


def yanmo(*arguments, **options):
    command = [sys.executable, "-m", "yanmo", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, **options)


def test_help_lists_every_command_with_its_summary():
    done = yanmo("--help", env={"COLUMNS": "200", "PATH": ""})
    assert done.returncode == 0
    for name, command in COMMANDS.items():
        assert name in done.stdout
        assert command.summary in done.stdout


@pytest.mark.parametrize("name", list(COMMANDS))
def test_help_of_a_command_explains_every_flag(name, capsys, monkeypatch):
    from yanmo.verbs.signature import get_verb

    monkeypatch.setenv("COLUMNS", "200")
    main([name, "--help"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in get_verb(name).config_class.model_fields:
        assert f"--{field.replace('_', '-')}" in shown
    assert "--json" in shown
    assert "--empty-" not in shown


def test_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == "0.1.0"


@pytest.mark.parametrize(
    ("words", "flags"),
    [(["version"], ["--version"]), (["help"], ["--help"]), (["help", "train"], ["train", "--help"])],
    ids=str,
)
def test_what_other_programs_have_as_commands_is_understood(words, flags, capsys):
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert main(flags) == 0
    assert shown == capsys.readouterr().out != ""


@pytest.mark.parametrize(
    ("value", "shown"), [(73_980.4, "73,980"), (-10_000.0, "-10,000"), (9_999.4, "9999"), (0.12345, "0.1235")]
)
def test_large_numbers_are_written_out(value, shown):
    assert _cell(value) == shown


def test_json_prints_one_object(reviews, tmp_path):
    done = yanmo("prepare", reviews, "--out", tmp_path / "data", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["kind"] == "dataset"
    assert summary["path"] == str(tmp_path / "data")


def test_a_list_may_hold_commas_or_repeat(reviews, tmp_path, capsys):
    digests = []
    for name, words in (
        ("one", ["--cleaning", "lowercase,strip_html"]),
        ("two", ["--cleaning", "lowercase", "--cleaning", "strip_html"]),
    ):
        assert main(["prepare", str(reviews), *words, "--out", str(tmp_path / name), "--json"]) == 0
        digests.append(json.loads(capsys.readouterr().out)["digest"])
    assert digests[0] == digests[1]


def test_a_flag_may_be_a_hyphen(tmp_path):
    file = tmp_path / "topics.csv"
    file.write_text("text,label\n" + "".join(f"text {i},a-b\nmore {i},b\n" for i in range(30)))
    arguments = ["--task", "multi_label", "--label-separator", "-", "--out", str(tmp_path / "data")]
    assert main(["prepare", str(file), *arguments]) == 0
    assert json.loads((tmp_path / "data" / "manifest.json").read_text())["labels"] == ["a", "b"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, 'Unknown command "trian". Did you mean "train"?'),
        (["trian"], 2, "hint: yanmo --help"),
        (["train"], 2, "hint: yanmo train --help"),
        (["train"], 2, 'Command "train" parameter DATASET requires an argument.'),
        (["run"], 2, "parameter PIPELINE requires"),
        (
            ["ensemble", "a", "b", "--dataset", "d", "--out", "m"],
            2,
            "a stands at the place of MEMBERS, behind that of DATASET, which has its name: --dataset. Give both by",
        ),
        (["prepare", "reviews.csv"], 2, "parameter --out requires"),
        (["prepare", "reviews.csv"], 2, "--out"),
        (["tune", "d", "--num-workers", "2", "--out", "m"], 2, "hint: --num-workers is now --executor local:N"),
        (["prepare", "none.csv", "--out", "data"], 2, "none.csv"),
        (["prepare", "reviews.csv", "--out", "data", "--seed", "x"], 2, "--seed"),
        (["prepare", "reviews.csv", "--out", "data", "--seed", "-1"], 2, "The 'seed' parameter of prepare must be"),
        (["prepare", "reviews.csv", "--out", "data", "--lable", "x"], 2, "--lable"),
        (["train", "none", "--model", "ngram", "--out", "m"], 2, "There is no folder none."),
        (["evaluate", ".", "."], 2, ". is no artifact"),
    ],
)
def test_a_mistake_returns_2_and_says_what_to_do(reviews, arguments, code, message, capsys, monkeypatch):
    monkeypatch.chdir(reviews.parent)
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert "hint: " in err
    assert not (reviews.parent / "data").exists()


def test_a_mistake_exits_with_2_and_is_told_a_pipe_without_mark_and_traceback(reviews):
    done = yanmo("prepare", "reviews.csv", "--out", "data", "--seed", "-1", cwd=reviews.parent)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("The 'seed' parameter of prepare must be")
    assert "Traceback" not in done.stderr


def test_shell_completion_can_be_made():
    from yanmo.cli import build_app

    script = build_app().generate_completion(shell="bash")
    assert "evaluate" in script
    assert "--learning-rate" in script


def test_on_a_terminal_the_command_that_usually_follows_is_said(reviews, tmp_path):
    ours, theirs = os.openpty()
    arguments = ["prepare", str(reviews), "--out", str(tmp_path / "my data")]
    done = subprocess.run(
        [sys.executable, "-m", "yanmo", *arguments], stdout=subprocess.DEVNULL, stderr=theirs, check=True
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert f"next: yanmo train '{tmp_path}/my data' --model ngram --out '{tmp_path}/my data'-ngram" in shown


@pytest.mark.parametrize(
    ("variables", "mark"),
    [({}, "\x1b[1;31merror:\x1b[0m "), ({"NO_COLOR": "1"}, "error: "), ({"TERM": "dumb"}, "error: ")],
    ids=str,
)
def test_on_a_terminal_an_error_is_called_so_in_red_unless_colors_are_unwanted(tmp_path, variables, mark):
    ours, theirs = os.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    command = [sys.executable, "-m", "yanmo", "evaluate", "no\x1b[2Jthing", "data"]
    environment = {**kept, "TERM": "xterm", **variables}
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=theirs, check=False)
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 2
    # The name of a file colors nothing.
    assert shown.startswith(f"{mark}There is no folder no\\x1b[2Jthing.")


def test_what_follows_names_inputs_that_the_verb_has():
    from yanmo.verbs.signature import get_verb

    for name, command in COMMANDS.items():
        named = {field for _, field, _, _ in string.Formatter().parse(command.usual_next) if field}
        known = {one.name for one in get_verb(name).inputs if not one.is_optional} | {"out"}
        assert named <= known, name
        if command.usual_next:
            assert command.usual_next.split()[0] in COMMANDS


def test_what_stands_at_out_is_replaced_by_force_and_only_an_artifact(reviews, tmp_path, capsys):
    out = tmp_path / "data"
    words = ["prepare", str(reviews), "--out", str(out)]
    assert main([*words, "--force"]) == 0, "nothing stands there yet"
    before = (out / "manifest.json").read_bytes()
    assert main([*words, "--seed", "7"]) == 2
    assert "hint: Choose another --out, or replace it: --force." in capsys.readouterr().err
    assert (out / "manifest.json").read_bytes() == before
    assert main([*words, "--seed", "7", "--force"]) == 0
    assert (out / "manifest.json").read_bytes() != before
    other = tmp_path / "mine"
    other.mkdir()
    (other / "letter.txt").write_text("keep me")
    assert main([*words[:-1], str(other), "--force"]) == 2
    assert "or remove that folder first" in capsys.readouterr().err
    assert (other / "letter.txt").read_text() == "keep me"


def test_what_a_command_reads_is_not_replaced_by_it(reviews, tmp_path, capsys):
    out = tmp_path / "data"
    assert main(["prepare", str(reviews), "--out", str(out)]) == 0
    assert main(["train", str(out), "--model", "ngram", "--out", str(tmp_path / "." / "data"), "--force"]) == 2
    assert f"train would replace {out}, which it reads." in capsys.readouterr().err


def test_force_replaces_no_folder_of_other_programs_and_nothing_that_is_read(reviews, tmp_path, capsys):
    web = tmp_path / "web"
    web.mkdir()
    (web / "manifest.json").write_text('{"name": "a web page"}')
    assert main(["prepare", str(reviews), "--out", str(web), "--force"]) == 2
    assert (web / "manifest.json").read_text() == '{"name": "a web page"}'
    data = tmp_path / "data"
    assert main(["prepare", str(reviews), "--out", str(data)]) == 0
    assert main(["prepare", str(data / "train.parquet"), "--out", str(data), "--force"]) == 2
    assert f"prepare would replace {data}, which it reads." in capsys.readouterr().err
    assert (data / "train.parquet").is_file()


def test_a_link_is_replaced_again_and_again_and_what_it_led_to_stays(reviews, tmp_path):
    data, link = tmp_path / "data", tmp_path / "current"
    assert main(["prepare", str(reviews), "--out", str(data)]) == 0
    link.symlink_to(data)
    for seed in ("7", "8"):
        assert main(["prepare", str(reviews), "--out", str(link), "--seed", seed, "--force"]) == 0
    assert not link.is_symlink()
    assert (link / "manifest.json").is_file()
    assert (data / "manifest.json").is_file()
    assert sorted(path.name for path in tmp_path.iterdir() if "replaced" in path.name) == []


@pytest.mark.parametrize("columns", ["", "60"])
def test_a_digest_stands_on_one_line(reviews, tmp_path, columns, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert main(["prepare", str(reviews), "--out", str(tmp_path / "data")]) == 0
    assert Dataset.open(tmp_path / "data").digest in capsys.readouterr().out
