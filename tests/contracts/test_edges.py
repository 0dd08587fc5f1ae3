"""At the edges: streams that are closed, full, of a small encoding; names that are too long; success stays success."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import yanmo
from yanmo.cli import main
from yanmo.verbs import COMMANDS

LABELS = ("😀 gut", "[/b] schlecht")
"""One that few encodings have, and one that is a command to rich."""
ROWS = "".join(f"很好吃 {number} gut,{LABELS[0]}\n真难吃 {number} bad,{LABELS[1]}\n" for number in range(40))
LONG = "x" * 300
ALMOST = "x" * 250
"""Is no too long name, but that of the folder beside it, where the result is made, would be."""
ENCODINGS = ["ascii", "latin-1", "gbk"]
FULL = "No space left on device"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder whose name is a command to rich, with a file, a Dataset, a Bundle and a pipeline."""
    folder = tmp_path_factory.mktemp("edges") / "[red]" / "a[" / "b] 中 😀"
    folder.mkdir(parents=True)
    (folder / "reviews.csv").write_text(f"text,label\n{ROWS}", encoding="utf-8")
    data = yanmo.prepare(folder / "reviews.csv", out=folder / "data")
    yanmo.train(data, model="linear", out=folder / "model")
    (folder / "pipeline.toml").write_text('[stage.a]\nverb = "prepare"\nsource = "reviews.csv"\n', encoding="utf-8")
    return folder


@pytest.fixture
def shell(project, tmp_path):
    """Return what runs a line of the shell in the project's folder; NEW is a place for results."""

    def run(line, **more):
        command = (
            f'yanmo() {{ {shlex.quote(sys.executable)} -m yanmo "$@"; }}; NEW={shlex.quote(str(tmp_path))}; {line}'
        )
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **more}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], cwd=project, env=environment, capture_output=True, check=False
        )

    return run


def check_is_told(done, message, code=2):
    err = done.stderr.decode("utf-8", "replace")
    assert (done.returncode, message in err, "hint: " in err) == (code, True, True), err
    assert "Internal error" not in err
    assert "Traceback" not in err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_an_encoding_lacks_is_escaped(encoding, shell, tmp_path):
    out = tmp_path / "data😀 [/b]"
    done = shell(f"yanmo prepare reviews.csv --out {shlex.quote(str(out))}", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    shown = "".join(line.split(None, 1)[-1].strip() for line in done.stdout.decode(encoding).splitlines()[1:4])
    assert out.name.encode(encoding, "backslashreplace").decode(encoding).replace(" ", "") in shown.replace(" ", "")
    done = shell("yanmo predict model reviews.csv | head -2", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    labels = [line.split("\t")[0] for line in done.stdout.decode(encoding).splitlines()]
    assert labels == [label.encode(encoding, "backslashreplace").decode(encoding) for label in LABELS]
    done = shell("echo 好 | yanmo predict model - --json", PYTHONIOENCODING=encoding)
    assert set(json.loads(done.stdout.decode(encoding))["predictions"][0]["probabilities"]) == set(LABELS)


def test_a_terminal_gets_no_commands_from_names(shell, tmp_path):
    out = tmp_path / "a\x1b[31m[red]:smile:\n"
    done = shell(f"yanmo prepare reviews.csv --out {shlex.quote(str(out))}")
    assert done.returncode == 0, done.stderr
    assert b"\x1b" not in done.stdout
    assert r"a\x1b[31m[red]:smile:\n" in "".join(done.stdout.decode().split())
    done = shell(f"yanmo prepare {shlex.quote('no' + chr(27) + '[31m.csv')} --out $NEW/b")
    check_is_told(done, r"There is no file no\x1b[31m.csv.")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_mistake_of_ours(closed, shell, tmp_path):
    done = shell(f"yanmo prepare reviews.csv --out $NEW/data {closed}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "manifest.json").is_file()


def test_a_training_needs_no_stream(shell, tmp_path):
    done = shell("yanmo train data --model ngram --num-epochs 1 --out $NEW/model <&- >&- 2>&-")
    assert done.returncode == 0
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert {"manifest.json", "metrics.jsonl", "model.safetensors"} <= names


def test_what_is_printed_to_a_closed_stream_is_said_to_be_lost(shell):
    check_is_told(shell("yanmo predict model - <&-"), "Standard input is empty.")
    check_is_told(shell("yanmo predict model - 0>/dev/null"), "Cannot read the standard input: Bad file descriptor.")
    check_is_told(shell("echo hi | yanmo predict model - >&-"), "Cannot write to the standard output: Bad file desc")
    done = shell("echo hi | yanmo predict model - 2>&-")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    assert shell("yanmo prepare none.csv --out $NEW/data 2>&-").returncode == 2


@pytest.mark.parametrize("more", ["", "--json"])
def test_a_result_that_cannot_be_shown_is_there_all_the_same(more, shell, tmp_path):
    done = shell(f"yanmo prepare reviews.csv --out $NEW/data {more} >/dev/full")
    check_is_told(
        done, f"prepare is done, but what it has to tell is lost. Cannot write to the standard output: {FULL}.", 0
    )
    assert (tmp_path / "data" / "manifest.json").is_file()


@pytest.mark.parametrize(
    "command",
    [
        "echo hi | yanmo predict model -",
        "yanmo check pipeline.toml",
        "yanmo train --help",
        "yanmo --help",
        "yanmo --version",
    ],
)
def test_what_only_prints_fails_where_it_cannot(command, shell):
    check_is_told(shell(f"{command} >/dev/full"), f"Cannot write to the standard output: {FULL}.")


def test_a_full_standard_error_changes_no_exit_code(shell):
    assert shell("yanmo prepare reviews.csv --out $NEW/data 2>/dev/full").returncode == 0
    assert shell("yanmo prepare none.csv --out $NEW/more 2>/dev/full").returncode == 2
    assert shell("yanmo prepare reviews.csv --out $NEW/even-more >/dev/full 2>&1").returncode == 0


@pytest.mark.parametrize(
    "command",
    [
        "yanmo train --help | head -1",
        "yanmo --help | true",
        "yanmo --version | true",
        "yanmo check pipeline.toml | true",
        "yanmo prepare reviews.csv --out $NEW/data | true",
        "yanmo predict model $NEW/../many.csv | head -1",
    ],
)
def test_a_reader_that_leaves_early_is_no_error(command, shell, tmp_path):
    rows = "".join(f"很好吃 {number}\n" for number in range(30_000))
    (tmp_path / "many.csv").write_text(f"text\n{rows}", encoding="utf-8")
    done = shell(command.replace("$NEW/../many.csv", "$NEW/many.csv"))
    assert (done.returncode, b"error" in done.stderr.lower()) == (0, False), done.stderr


def test_lines_that_come_late_are_waited_for_even_if_the_input_never_waits(shell):
    code = "import os, yanmo.cli; os.set_blocking(0, False); exit(yanmo.cli.main(['predict', 'model', '-']))"
    done = shell(f"(sleep 2; echo a; sleep 1; echo b) | {shlex.quote(sys.executable)} -c {shlex.quote(code)}")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 2), done.stderr


ASK_TWICE = """
import http.client, json, sys
connection = http.client.HTTPConnection(json.loads(sys.stdin.readline())["url"].removeprefix("http://"))
for _ in range(2):
    connection.request("POST", "/predict", b'{"text": "a"}', {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    print(answer.status)
"""


def test_a_service_whose_log_is_full_answers_on(shell):
    # By its program and not the function, whose shell would be all that the signal ends.
    program = f"{shlex.quote(sys.executable)} -m yanmo"
    serve = f"{program} serve model --port 0 --access-log --json 2>/dev/full >$NEW/told & SERVICE=$!"
    wait = "until [ -s $NEW/told ]; do sleep 0.1; done"
    ask = f"{shlex.quote(sys.executable)} -c {shlex.quote(ASK_TWICE)} <$NEW/told"
    done = shell(f"{serve}; {wait}; {ask}; kill $SERVICE; wait $SERVICE")
    assert done.stdout.split() == [b"200", b"200"], done.stderr


LONG_NAMES = {
    "init": ["init", LONG],
    "check": ["check", f"{LONG}.toml"],
    "prepare": ["prepare", f"{LONG}.csv", "--out", "new"],
    "prepare --out": ["prepare", "reviews.csv", "--out", LONG],
    "prepare --out, beside": ["prepare", "reviews.csv", "--out", ALMOST],
    "prepare --valid": ["prepare", "reviews.csv", "--valid", f"{LONG}.csv", "--out", "new"],
    "prepare --user-dict": ["prepare", "reviews.csv", "--segmenter", "rjieba", "--user-dict", LONG, "--out", "new"],
    "train": ["train", LONG, "--model", "linear", "--out", "new"],
    "train --model": ["train", "data", "--model", LONG, "--out", "new"],
    "train --model, a path": ["train", "data", "--model", f"{LONG}/x", "--out", "new"],
    "train --init": ["train", "data", "--model", "ngram", "--init", LONG, "--out", "new"],
    "train --tracker": ["train", "data", "--model", "ngram", "--tracker", f"tensorboard:{LONG}", "--out", "new"],
    "pretrain": ["pretrain", f"{LONG}.txt", "--out", "new"],
    "adopt": ["adopt", LONG, "--out", "new"],
    "adopt --tokenizer": ["adopt", "model.onnx", "--tokenizer", LONG, "--out", "new"],
    "embed": ["embed", LONG, "--out", "new"],
    "tune": ["tune", LONG, "--out", "new"],
    "tune --space": ["tune", "data", "--model", "ngram", "--space", LONG, "--out", "new"],
    "tune --out": ["tune", "data", "--model", "ngram", "--out", LONG],
    "distill": ["distill", LONG, "data", "--out", "new"],
    "distill --transfer": ["distill", "model", "data", "--transfer", f"{LONG}.txt", "--model", "ngram", "--out", "new"],
    "distill --masked-lm": ["distill", "model", "data", "--masked-lm", LONG, "--num-altered", "1", "--out", "new"],
    "ensemble": ["ensemble", "data", "model", LONG, "--out", "new"],
    "cascade": ["cascade", "data", "model", LONG, "--out", "new"],
    "adjust": ["adjust", LONG, "--rules", "rules.toml", "--out", "new"],
    "calibrate": ["calibrate", LONG, "data", "--out", "new"],
    "audit": ["audit", LONG, "data", "--out", "new"],
    "prune": ["prune", LONG, "data", "--weights", "0.5", "--out", "new"],
    "grind": ["grind", "model", LONG, "--max-size-mb", "5", "--out", "new"],
    "export": ["export", LONG, "--out", "new"],
    "generate": ["generate", LONG, "--out", "new"],
    "generate --prompts": ["generate", "model", "--prompts", f"{LONG}.txt"],
    "generate --json-schema": ["generate", "model", "--json-schema", LONG],
    "quantize": ["quantize", LONG, "data", "--out", "new"],
    "predict": ["predict", "model", f"{LONG}.csv"],
    "predict --out": ["predict", "model", "reviews.csv", "--out", LONG],
    "evaluate": ["evaluate", "model", LONG, "--out", "new"],
    "benchmark": ["benchmark", LONG, "--out", "new"],
    "benchmark --texts": ["benchmark", "model", "--texts", LONG, "--out", "new"],
    "run": ["run", f"{LONG}.toml"],
    "run --set": ["run", "pipeline.toml", "--set", f"pipeline.out={LONG}"],
    "serve": ["serve", LONG, "--port", "0"],
    "serve --api-keys": ["serve", "model", "--port", "0", "--api-keys", LONG],
    "pack": ["pack", LONG, "--out", "new.tar.gz"],
    "pack --out": ["pack", "model", "--out", f"{LONG}.tar.gz"],
    "pack --wheels": ["pack", "model", "--wheels", LONG, "--out", "new.tar.gz"],
    "key": ["key", "--label", "web", "--file", LONG],
}
NO_PATHS = {"doctor"}


@pytest.mark.parametrize("name", list(LONG_NAMES))
def test_a_name_that_is_too_long_is_the_users_mistake(name, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    before = {path.name for path in Path().iterdir()}
    assert main(LONG_NAMES[name]) == 2, capsys.readouterr().err
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "hint: " in printed.err
    assert "Internal error" not in printed.err
    assert {path.name for path in Path().iterdir()} == before


def test_every_command_is_asked_with_a_name_that_is_too_long():
    assert {arguments[0] for arguments in LONG_NAMES.values()} | NO_PATHS == set(COMMANDS)


def test_a_folder_that_is_gone_is_said_to_be_gone(shell):
    done = shell("mkdir $NEW/gone && cd $NEW/gone && rmdir ../gone && yanmo prepare reviews.csv --out data")
    assert done.returncode == 2, done.stderr
