"""What Windows lacks of Python's modules and signals is missing here, too, and the commands work all the same.

No Windows and no macOS runs these tests; this is as near as Linux comes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import types
import urllib.request
from pathlib import Path

import pytest

import yanmo
from yanmo.artifacts import durable

LACKING = """
import os, signal, sys
for name in ("resource", "pwd", "grp", "termios"):
    sys.modules[name] = None
for name in ("SIGHUP", "SIGUSR1", "SIGALRM", "pthread_sigmask", "SIG_BLOCK", "SIG_SETMASK", "setitimer"):
    delattr(signal, name)
for name in ("sched_getaffinity", "sysconf", "getuid", "fork"):
    delattr(os, name)
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """The variables with which every Python lacks these from its start."""
    folder = tmp_path_factory.mktemp("lacking")
    (folder / "sitecustomize.py").write_text(LACKING)
    source = str(Path(yanmo.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{source}"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, make_words):
    folder = tmp_path_factory.mktemp("elsewhere")
    data = make_words(folder / "data", ["fruit", "tool"])
    return yanmo.train(data, model="linear", num_threads=1, out=folder / "linear"), data


def run(environment, *arguments, **options):
    command = [sys.executable, "-m", "yanmo", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, **options)


def test_every_command_can_be_looked_up(elsewhere):
    code = "import signal; from yanmo.verbs import COMMANDS; from yanmo.verbs.signature import get_verb; "
    code += "[get_verb(name) for name in COMMANDS]; assert not hasattr(signal, 'SIGHUP')"
    done = subprocess.run([sys.executable, "-c", code], env=elsewhere, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_data_become_a_model_that_answers_and_is_measured(elsewhere, tmp_path, make_words, bundle):
    (tmp_path / "in.csv").write_text("text,label\n" + "".join(f"good {i},a\nbad {i},b\n" for i in range(40)))
    for arguments in (
        ["prepare", "in.csv", "--out", "data"],
        ["train", "data", "--model", "linear", "--out", "model"],
        ["evaluate", "model", "data", "--out", "report"],
        ["benchmark", "model", "--dataset", "data", "--quick", "--out", "speed"],
    ):
        done = run(elsewhere, *arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert run(elsewhere, "predict", "model", "-", cwd=tmp_path, input="good 1\n").stdout.startswith("a\t")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_service_answers_and_ends(elsewhere, bundle, workers):
    command = [
        sys.executable,
        "-m",
        "yanmo",
        "serve",
        bundle[0].path,
        "--port",
        "0",
        "--workers",
        str(workers),
        "--json",
    ]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=elsewhere, stdout=pipe, stderr=pipe, text=True) as process:
        url = json.loads(process.stdout.readline())["url"]
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(f"{url}/predict", b'{"text": "a"}', headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["prediction"] in {"fruit", "tool"}
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 0, told
    assert "Traceback" not in told


def test_where_folders_cannot_be_opened_they_are_not_synced(tmp_path, monkeypatch):
    asked = []

    def opened(path, flags):
        asked.append((path.name, flags))
        return os.open(path, flags)

    names = ("fsync", "close", "O_RDONLY", "O_RDWR")
    # Of this module alone: a Path that believes in Windows cannot be made here.
    windows = types.SimpleNamespace(name="nt", open=opened, **{name: getattr(os, name) for name in names})
    (tmp_path / "file").touch()
    monkeypatch.setattr(durable, "os", windows)
    durable.sync(tmp_path / "file")
    durable.sync(tmp_path)
    assert asked == [("file", os.O_RDWR)]
