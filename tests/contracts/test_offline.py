"""Offline is true: every command, watched by strace in a fresh home, connects to nobody and writes what it names."""

import contextlib
import importlib
import ipaddress
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

import yanmo
from yanmo.offline import SILENT, own_folders, without_module

STRACE = ["strace", "-f", "-y", "--seccomp-bpf", "-s", "300", "-o"]
CALLS = "trace=connect,sendto,sendmsg,sendmmsg,openat,mkdirat,?open,?creat,?mkdir"
NEEDED = Path("/dev/null"), Path("/dev/tty"), Path("/proc"), Path("/dev/shm")
NAME_SERVICE = ["/var/run/nscd/socket"]
"""The socket at which the C library asks who the user is; no package leaves the machine there."""
LONGEST_SILENCE = 11
"""Seconds after which onnxruntime 1.32 has looked up its maker's address, where nothing stops it."""

WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|creat\(|mkdir")
OPENED = re.compile(r'(?:open|creat|mkdir)\w*\((?:(?:AT_FDCWD|\d+)<(?P<base>.*?)>, )?"(?P<path>.*?)"')
ADDRESS = re.compile(r'inet_addr\("(.+?)"\)|inet_pton\(AF_INET6, "(.+?)"')

pytestmark = pytest.mark.timeout(600)
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


class Watched:
    """A place of its own for a command: a home and a folder for temporary files, empty before and after."""

    def __init__(self, folder, **more):
        self.home, self.temporary, self.trace = folder / "home", folder / "temporary", folder / "trace"
        self.folder = folder
        self.home.mkdir(parents=True)
        self.temporary.mkdir()
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        places = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        calm = {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        self.environment = {**kept, **places, **calm, **more}

    def start(self, *command, cwd=None, **options):
        self.folder = cwd or self.folder
        watched = [*STRACE, self.trace, "-e", CALLS, *map(str, command)]
        return subprocess.Popen(
            watched,
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            **options,
        )

    def run(self, *command, **options):
        process = self.start(*command, **options)
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, (command, out.decode(), err.decode())
        return out.decode()

    def strangers(self):
        """Return the addresses that were called and are not this machine's own."""
        found = set()
        for line in self.trace.read_text(errors="replace").splitlines():
            if "AF_UNIX" in line:
                found |= set(re.findall(r'sun_path="(.+?)"', line)) - set(NAME_SERVICE)
            for pair in ADDRESS.findall(line):
                found |= {one for one in pair if one and not ipaddress.ip_address(one).is_loopback}
        return found

    def written(self, *allowed):
        """Return what was opened for writing outside of the folders that a command may write in."""
        places = [*NEEDED, self.temporary, *map(Path, allowed)]
        found = set()
        for line in self.trace.read_text(errors="replace").splitlines():
            match = OPENED.search(line) if WRITING.search(line) and " = -1 " not in line else None
            if match:
                path = Path(os.path.normpath(Path(match["base"] or self.folder, match["path"])))
                found |= {str(path)} if not any(path.is_relative_to(place) for place in places) else set()
        return found

    def left(self):
        """Return what is left at home and in the temporary folder, but for the folder that torch makes and leaves."""
        kept = [*self.home.rglob("*"), *self.temporary.rglob("*")]
        return [path for path in kept if not (path.name.startswith("torchinductor_") and not any(path.iterdir()))]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a raw file, a Dataset, a network and its graph."""
    folder = tmp_path_factory.mktemp("project")
    file = folder / "reviews.csv"
    rows = "".join(f"很好吃 {number} good,1\n真难吃 {number} bad,0\n" for number in range(40))
    file.write_text(f"text,label\n{rows}", encoding="utf-8")
    (folder / "space.toml").write_text("num_epochs = 1\nlearning_rate = [0.01, 0.02]\n", encoding="utf-8")
    data = yanmo.prepare(file, out=folder / "data")
    network = yanmo.train(data, model="bert-1x32", num_epochs=1, out=folder / "bert")
    yanmo.export(network, out=folder / "graph")
    return folder


def check_silent(watched, folder):
    assert watched.strangers() == set()
    assert watched.written(folder) == set()
    assert watched.left() == []


WALK = {
    "prepare": ["prepare", "reviews.csv", "--out", "new"],
    "train": ["train", "data", "--model", "bert", "--num-epochs", "1", "--out", "new"],
    "tune": [
        "tune",
        "data",
        "--model",
        "ngram",
        "--space",
        "space.toml",
        "--num-trials",
        "2",
        "--num-seeds",
        "1",
        "--out",
        "new",
    ],
    "export": ["export", "bert", "--out", "new"],
    "quantize": ["quantize", "graph", "data", "--max-drop", "1", "--out", "new"],
    "predict": ["predict", "graph", "reviews.csv", "--out", "new"],
    "evaluate": ["evaluate", "graph", "data", "--out", "new"],
    "benchmark": ["benchmark", "graph", "--dataset", "data", "--quick", "--out", "new"],
    "doctor": ["doctor", "--seconds", "0"],
}


@needs_strace
@pytest.mark.parametrize("name", list(WALK))
def test_a_command_connects_to_nobody_and_writes_what_it_names(name, project, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(project, folder)
    watched = Watched(tmp_path)
    before = {path.name for path in folder.iterdir()}
    watched.run(sys.executable, "-m", "yanmo", *WALK[name], cwd=folder)
    check_silent(watched, folder)
    assert {path.name for path in folder.iterdir()} - before == ({"new"} if "--out" in WALK[name] else set())


@needs_strace
def test_a_service_connects_to_nobody_however_long_it_runs(project, tmp_path):
    watched = Watched(tmp_path)
    command = [sys.executable, "-m", "yanmo", "serve", project / "graph", "--port", "0", "--workers", "1", "--json"]
    process = watched.start(*command, start_new_session=True)
    try:
        url = json.loads(process.stdout.readline())["url"]
        body = json.dumps({"text": "很好吃"}).encode()
        request = urllib.request.Request(f"{url}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["prediction"] in {"0", "1"}
        time.sleep(LONGEST_SILENCE)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 15)
        process.communicate(timeout=30)
    assert process.returncode == 0
    check_silent(watched, tmp_path / "nothing")


@needs_strace
@pytest.mark.extra("openvino")
def test_openvino_is_silent_too(project, tmp_path):
    watched = Watched(tmp_path)
    command = ["predict", project / "graph", "reviews.csv", "--runtime", "openvino", "--out", tmp_path / "project/new"]
    (tmp_path / "project").mkdir()
    watched.run(sys.executable, "-m", "yanmo", *command, cwd=project)
    check_silent(watched, tmp_path / "project")
    watched = Watched(tmp_path / "doctor")
    watched.run(sys.executable, "-m", "yanmo", "doctor", "--seconds", "0")
    check_silent(watched, tmp_path / "project")


@needs_strace
@pytest.mark.extra("mlflow")
def test_mlflow_is_silent_too(project, tmp_path):
    watched = Watched(tmp_path)
    folder = tmp_path / "project"
    command = ["train", project / "data", "--model", "ngram", "--num-epochs", "1", "--tracker", f"mlflow:{folder}/runs"]
    watched.run(sys.executable, "-m", "yanmo", *command, "--out", folder / "new")
    check_silent(watched, folder)


@needs_strace
def test_the_watch_sees_what_a_silent_command_must_not_do(tmp_path):
    code = (
        "import pathlib, socket\n"
        "pathlib.Path.home().joinpath('noted').write_text('')\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 53))\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 53))\n"
    )
    watched = Watched(tmp_path)
    watched.run(sys.executable, "-c", code)
    assert watched.strangers() == {"192.0.2.1"}
    assert watched.written() == {str(watched.home / "noted")}
    assert watched.left() == [watched.home / "noted"]


def test_importing_the_package_silences_what_is_loaded_later_and_a_users_own_value_wins(tmp_path):
    code = "import json, os, yanmo; print(json.dumps(dict(os.environ)))"
    plain = {"PATH": os.environ["PATH"]}
    for more, expected in (({}, SILENT), ({"ORT_DISABLE_TELEMETRY": "0"}, {**SILENT, "ORT_DISABLE_TELEMETRY": "0"})):
        done = subprocess.run([sys.executable, "-c", code], env={**plain, **more}, capture_output=True, check=True)
        found = json.loads(done.stdout)
        assert {name: found[name] for name in SILENT} == expected


def test_the_notes_of_a_command_are_gone_and_a_users_own_folder_stays(monkeypatch, tmp_path):
    monkeypatch.delenv("MPLCONFIGDIR", raising=False)
    with own_folders():
        folder = Path(os.environ["MPLCONFIGDIR"])
        folder.mkdir()
        (folder / "fonts.json").write_text("{}")
    assert not folder.exists()
    assert "MPLCONFIGDIR" not in os.environ
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path))
    with own_folders():
        assert os.environ["MPLCONFIGDIR"] == str(tmp_path)
    assert tmp_path.is_dir()


def test_a_hidden_module_is_hidden_for_the_import_only():
    with without_module("sqlite3.dump"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("sqlite3.dump")
    assert importlib.import_module("sqlite3.dump")
    with without_module("sqlite3.dump"):
        assert importlib.import_module("sqlite3.dump"), "what is loaded stays loaded"
