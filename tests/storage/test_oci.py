"""Artifacts of a registry: pushed by a real client to a server of this machine, and read by tag and by digest."""

from __future__ import annotations

import io
import json
import shutil
import tarfile

import pytest
from oci_server import digest_of, serving_registry

from yanmo.artifacts.base import read_manifest
from yanmo.artifacts.copies import copy_artifact
from yanmo.artifacts.origins import copies_dir, origin_of
from yanmo.artifacts.predictions import Predictions
from yanmo.cli import main
from yanmo.errors import ArtifactError, ConfigError, StorageError

pytestmark = pytest.mark.extra("oras")


@pytest.fixture(scope="module")
def server():
    with serving_registry() as registry:
        yield registry


@pytest.fixture
def registry(server, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # No login of whoever runs the tests.
    monkeypatch.setenv("HOME", str(tmp_path))
    return server


@pytest.fixture
def pushed(registry, model, monkeypatch):
    """The registry with the Bundle as models/words:v1, as ``oras push`` writes a folder by its name."""
    from oras.client import OrasClient

    monkeypatch.chdir(model)
    client = OrasClient(hostname=registry.host, insecure=True)
    client.push(target=f"{registry.host}/models/words:v1", files=["bundle"], disable_path_validation=False)
    return registry


def put_layers(registry, name, layers):
    """Keep an artifact of layers: title, content, media type."""
    told = [
        {
            "digest": registry.put_blob(content),
            "size": len(content),
            "mediaType": kind,
            "annotations": {"org.opencontainers.image.title": title},
        }
        for title, content, kind in layers
    ]
    return registry.put(name, "v1", json.dumps({"schemaVersion": 2, "layers": told}).encode())


def test_a_bundle_of_a_registry_answers_and_is_pinned(pushed, model, tmp_path, caplog):
    address = f"oci://{pushed.host}/models/words:v1"
    (tmp_path / "rows.csv").write_text("text\nrain\nrice\n")
    rows = [str(tmp_path / "rows.csv"), "--num-threads", "1", "--out"]
    assert main(["predict", address, *rows, str(tmp_path / "answers")]) == 0
    assert main(["predict", str(model / "bundle"), *rows, str(tmp_path / "here")]) == 0
    made, same = (Predictions.open(tmp_path / name) for name in ("answers", "here"))
    assert made.manifest.files == same.manifest.files
    assert made.manifest.parents == same.manifest.parents
    copy = copy_artifact(address)
    digest = digest_of(pushed.manifests["models/words", "v1"])
    assert origin_of(copy).address == f"oci://{pushed.host}/models/words@{digest}"
    assert origin_of(copy).given == address
    assert copy.name == "words"


def test_a_tag_that_moves_is_read_anew_and_a_digest_is_not(pushed):
    address = f"oci://{pushed.host}/models/words:v1"
    origin = origin_of(copy_artifact(address))
    put_layers(pushed, "models/words", [("note.txt", b"no Bundle", "text/plain")])
    with pytest.raises(ArtifactError, match=f"{address}.* is no"):
        copy_artifact(address)
    shutil.rmtree(copies_dir())
    assert copy_artifact(origin.address, origin.version).is_dir()


def test_single_files_are_an_artifact_too(registry, model):
    files = sorted(path for path in (model / "bundle").rglob("*") if path.is_file())
    layers = [
        (path.relative_to(model / "bundle").as_posix(), path.read_bytes(), "application/octet-stream") for path in files
    ]
    put_layers(registry, "models/files", layers)
    copy = copy_artifact(f"oci://{registry.host}/models/files:v1")
    assert read_manifest(copy) == read_manifest(model / "bundle")


def packed(name):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    return made.getvalue()


FOLDER = "application/vnd.oci.image.layer.v1.tar+gzip"


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        (("../out", b"x", "text/plain"), "a layer without a name that a file can have"),
        (("/out", b"x", "text/plain"), "a layer without a name that a file can have"),
        (("", b"x", "text/plain"), "a layer without a name that a file can have"),
        (("bundle", packed("../out"), FOLDER), "OutsideDestinationError"),
    ],
)
def test_nothing_is_written_outside_of_the_folder(registry, layer, said):
    put_layers(registry, "models/bad", [layer])
    with pytest.raises(StorageError, match=said):
        copy_artifact(f"oci://{registry.host}/models/bad:v1")


@pytest.mark.parametrize("layer", ["x", {"digest": 5}, {"digest": "sha256:0", "annotations": ["x"]}, None])
def test_a_manifest_of_another_form_is_told(registry, layer):
    registry.put("models/odd", "v1", json.dumps({"layers": [layer]}).encode())
    with pytest.raises(StorageError, match="is no artifact with files"):
        copy_artifact(f"oci://{registry.host}/models/odd:v1")


def test_what_is_damaged_on_the_way_is_refused(registry):
    put_layers(registry, "models/damaged", [("manifest.json", b"{}", "text/plain")])
    registry.blobs[digest_of(b"{}")] = b"[]"
    with pytest.raises(StorageError, match="A layer of oci://.* is damaged: manifest.json"):
        copy_artifact(f"oci://{registry.host}/models/damaged:v1")
    del registry.blobs[digest_of(b"{}")]


@pytest.mark.parametrize(
    ("rest", "error", "said"),
    [
        ("models/nothing:v1", StorageError, "cannot be read: ValueError, status 404"),
        ("models/words", ConfigError, "must be oci://HOST/REPOSITORY:TAG"),
    ],
)
def test_what_is_not_there_is_told(registry, rest, error, said):
    with pytest.raises(error, match=said):
        copy_artifact(f"oci://{registry.host}/{rest}")


def test_a_registry_is_for_artifacts_and_is_not_written(registry, tmp_path, capsys):
    (tmp_path / "rows.csv").write_text("text,label\na,b\n")
    assert main(["prepare", str(tmp_path / "rows.csv"), "--out", f"oci://{registry.host}/data:v1"]) == 2
    assert "The 'out' parameter of prepare must be a path on this machine." in capsys.readouterr().err


def test_a_name_before_an_address_is_no_address(capsys):
    assert main(["serve", "words=s3://bucket/models/words"]) == 2
    said = capsys.readouterr().err
    assert "must be a path or an address alone, without a name and = before it" in said
