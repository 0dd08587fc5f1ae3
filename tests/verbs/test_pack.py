"""The archive holds what a closed network needs, and nothing of this machine."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tarfile

import pytest

import yanmo
from yanmo.artifacts import Bundle
from yanmo.errors import ArtifactError, ConfigError
from yanmo.verbs.pack import serving_packages


@pytest.fixture(scope="module")
def bundle(tmp_path_factory, examples):
    folder = tmp_path_factory.mktemp("pack")
    dataset = yanmo.prepare(examples, text="text", label="intent", out=folder / "data")
    return yanmo.train(dataset, model="ngram", num_epochs=1, out=folder / "model")


@pytest.fixture(scope="module")
def examples(project_root):
    return project_root / "examples" / "messages" / "messages.csv"


def test_the_archive_unpacks_to_the_same_bundle_and_its_sums_hold(bundle, tmp_path):
    packed = yanmo.pack(bundle, out=tmp_path / "service.tar.gz")
    (tmp_path / "again").mkdir()
    again = yanmo.pack(bundle, out=tmp_path / "again" / "service.tar.gz")
    assert packed.summary()["num_packages"] == len(serving_packages())
    with tarfile.open(packed.path) as archive:
        archive.extractall(tmp_path / "there", filter="data")
        assert {(one.uid, one.gid, one.mtime) for one in archive.getmembers()} == {(0, 0, 0)}
    folder = tmp_path / "there" / "service"
    assert Bundle.open(folder / "bundle").digest == bundle.digest
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    assert sums.keys() == found.keys() - {"SHA256SUMS"}
    for name, digest in sums.items():
        assert hashlib.sha256(found[name].read_bytes()).hexdigest() == digest
    assert again.path.read_bytes() == packed.path.read_bytes(), "equal contents give equal bytes"


def test_the_list_has_every_package_and_no_torch(bundle, tmp_path):
    yanmo.pack(bundle, out=tmp_path / "a.tar.gz")
    with tarfile.open(tmp_path / "a.tar.gz") as archive:
        listed = archive.extractfile("a/requirements.txt").read().decode().split()
    names = {line.partition("==")[0] for line in listed}
    assert {"numpy", "onnxruntime", "uvicorn", "httptools", "limits", "prometheus-client"} <= names
    assert not names & {"yanmo", "torch", "transformers", "scikit-learn", "httpx", "pytest", "starlette"}


def check_the_readme(folder):
    """It compares the hashes before it installs anything, and installs nothing from an index."""
    commands = re.findall(r"^    (.+)$", (folder / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert commands[2].endswith(f"--no-index --find-links wheels -r requirements.txt yanmo=={yanmo.__version__}")
    assert subprocess.run(commands[0].split(), cwd=folder, capture_output=True, check=False).returncode == 0
    next((folder / "wheels").glob("numpy-*")).write_bytes(b"changed on the way")
    assert subprocess.run(commands[0].split(), cwd=folder, capture_output=True, check=False).returncode == 1


def test_wheels_go_along_and_missing_ones_are_named(bundle, tmp_path):
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    packages = serving_packages()
    for name, version in packages.items():
        (wheels / f"{name.replace('-', '_')}-{version}-py3-none-any.whl").write_bytes(name.encode())
    packed = yanmo.pack(bundle, wheels=wheels, out=tmp_path / "whole.tar.gz")
    assert packed.has_wheels
    with tarfile.open(packed.path) as archive:
        assert sum(name.startswith("whole/wheels/") for name in archive.getnames()) == len(packages)
        archive.extractall(tmp_path, filter="data")
    check_the_readme(tmp_path / "whole")
    whole = next(wheels.glob("numpy-*"))
    whole.rename(wheels / f"numpy-{packages['numpy']}-cp27-cp27m-win32.whl")
    with pytest.raises(ConfigError, match=r"lacks 1 of .* numpy=="):
        yanmo.pack(bundle, wheels=wheels, out=tmp_path / "less.tar.gz")
    (wheels / "x.whl").write_bytes(b"")
    with pytest.raises(ConfigError, match="no wheel"):
        yanmo.pack(bundle, wheels=wheels, out=tmp_path / "less.tar.gz")
    assert not (tmp_path / "less.tar.gz").exists()


def test_an_archive_is_never_overwritten_and_a_changed_bundle_not_packed(bundle, tmp_path):
    (tmp_path / "a.tar.gz").write_bytes(b"")
    with pytest.raises(ArtifactError, match="exists already"):
        yanmo.pack(bundle, out=tmp_path / "a.tar.gz")
    shutil.copytree(bundle.path, tmp_path / "changed")
    (tmp_path / "changed" / "ngram.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ArtifactError, match="was changed"):
        yanmo.pack(tmp_path / "changed", out=tmp_path / "b.tar.gz")
