"""The wheel in an environment that holds it and its declared packages alone, and the image's last steps in a chroot."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from importlib import metadata
from pathlib import Path

import psutil
import pytest

import yanmo
from yanmo.verbs.pack import serving_packages

pytestmark = pytest.mark.slow
ROWS = "text,label\n" + "\n".join(f"{text} {place},{label}" for place in range(20) for text, label in
                                  (("good", "yes"), ("bad", "no"), ("很好", "yes"), ("不好", "no")))  # fmt: skip


@pytest.fixture(scope="module")
def environment(tmp_path_factory, project_root):
    """An environment with the wheel, and links to the packages that it declares for a service."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps", "-w", str(folder)]
    done = subprocess.run([*build, str(project_root)], capture_output=True, text=True, check=False)
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("no package index is reachable")
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "yanmo", with_pip=False)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "yanmo")}))
    for name in serving_packages():
        for file in metadata.files(name) or []:
            top = Path(file.parts[0])
            source = Path(str(metadata.distribution(name).locate_file(top)))
            # Programs lie beside the packages, and Yanmo's own files are the wheel's.
            if name != "yanmo" and ".." not in file.parts and source.exists() and not (packages / top).exists():
                (packages / top).symlink_to(source)
    shutil.unpack_archive(wheel, packages, "zip")
    return folder / "yanmo"


def run(environment: Path, *command: str, cwd: Path) -> str:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    python = str(environment / "bin" / "python")
    done = subprocess.run([python, *command], cwd=cwd, env=plain, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_empty_environment_goes_from_a_table_to_answers(environment, tmp_path):
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    where = run(environment, "-c", "import yanmo; print(yanmo.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(environment)
    assert run(environment, "-m", "yanmo", "--version", cwd=tmp_path).strip() == yanmo.__version__
    run(environment, "-m", "yanmo", "init", "shop", cwd=tmp_path)
    assert (tmp_path / "shop" / "messages.csv").exists()
    run(environment, "-m", "yanmo", "prepare", "rows.csv", "--out", "data", cwd=tmp_path)
    yanmo.train(tmp_path / "data", model="ngram", num_epochs=2, out=tmp_path / "model")
    told = run(environment, "-m", "yanmo", "predict", "model", "rows.csv", "--out", "answers", "--json", cwd=tmp_path)
    assert json.loads(told)


def image_command(project_root: Path) -> list[str]:
    """Return what the image runs: its entry point and its command."""
    text = (project_root / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    return [
        word for line in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.+\])$", text, re.MULTILINE) for word in json.loads(line)
    ]


ROOT = """
set -e
bind() { mkdir -p "$ROOT$2"; mount --bind "$1" "$ROOT$2"; mount -o remount,bind,ro "$ROOT$2"; }
mount -t tmpfs tmpfs "$ROOT"
for one in /usr /lib /lib64 /etc/alternatives; do if [ -d "$one" ]; then bind "$(readlink -f "$one")" "$one"; fi; done
mkdir -p "$ROOT/tmp" "$ROOT/proc" "$ROOT/dev" "$ROOT/run/secrets"
mount -t proc proc "$ROOT/proc"
mount --bind /dev "$ROOT/dev"
mount -t tmpfs tmpfs "$ROOT/tmp"
chmod 1777 "$ROOT/tmp"
bind "$BASE" "$BASE"
bind "$PACKAGES" "$PACKAGES"
bind "$VENV" /opt/yanmo
bind "$MODELS" /models
bind "$SECRETS" /run/secrets
mount -o remount,ro "$ROOT"
exec chroot --userspec=10001:10001 "$ROOT" /usr/bin/env -i PATH=/opt/yanmo/bin:/usr/bin:/bin \\
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 MPLCONFIGDIR=/tmp XDG_CACHE_HOME=/tmp \\
    /opt/yanmo/bin/python -m $COMMAND
"""


def test_the_image_serves_from_a_read_only_root_as_a_user_without_rights(environment, tmp_path, project_root):
    may = shutil.which("unshare") and subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True)
    if not may or may.returncode or os.getuid():
        pytest.skip("this user may not make a chroot")
    (tmp_path / "rows.csv").write_text(ROWS, encoding="utf-8")
    for name in ("root", "models", "secrets"):
        (tmp_path / name).mkdir()
    yanmo.prepare(tmp_path / "rows.csv", out=tmp_path / "data")
    yanmo.train(tmp_path / "data", model="ngram", num_epochs=2, out=tmp_path / "models" / "first")
    (tmp_path / "models" / "current").symlink_to("first")
    key = yanmo.key(label="web", file=tmp_path / "secrets" / "keys.toml").secret
    (tmp_path / "secrets" / "keys.toml").chmod(0o644)
    command = image_command(project_root)
    assert command[0] == "yanmo"
    env = {
        "ROOT": str(tmp_path / "root"),
        "BASE": sys.base_prefix,
        "PACKAGES": sysconfig.get_path("purelib"),
        "VENV": str(environment),
        "MODELS": str(tmp_path / "models"),
        "SECRETS": str(tmp_path / "secrets"),
        # Other services of this machine may listen at the image's ports.
        "COMMAND": shlex.join([*command, "--port", "0", "--admin-port", "0", "--json"]).replace(
            "--admin-port 8001 ", ""
        ),
        "PATH": os.environ["PATH"],
    }
    unshare = ["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", ROOT]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(unshare, env=env, text=True, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        try:
            line = process.stdout.readline()
            assert line, (tmp_path / "log").read_text(encoding="utf-8")
            url = json.loads(line)["url"].replace("0.0.0.0", "127.0.0.1")
            assert ask(url, key) == 200
            assert ask(url, "yk_wrong") == 401
        finally:
            # Inside it is process 1, and gets the signal that the image says.
            for inside in psutil.Process(process.pid).children():
                inside.terminate()
            try:
                assert process.wait(30) == 0
            finally:
                process.kill()


def ask(url: str, key: str) -> int:
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    request = urllib.request.Request(f"{url}/predict", b'{"text":"good"}', headers)
    end = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(request, timeout=20) as reply:
                return reply.status
        except urllib.error.HTTPError as error:
            if error.code != 503 or time.monotonic() > end:
                return error.code
            time.sleep(0.1)
