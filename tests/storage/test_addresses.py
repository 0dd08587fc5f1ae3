"""Commands over addresses of a real S3 server: what they make is what they make here, and faults are told."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from yanmo.artifacts.base import read_manifest
from yanmo.artifacts.copies import copy_artifact, copy_objects
from yanmo.artifacts.origins import copies_dir, origin_of
from yanmo.artifacts.predictions import Predictions
from yanmo.cli import main
from yanmo.errors import StorageError
from yanmo.executors import answering
from yanmo.integrations import object_storage
from yanmo.integrations.object_storage import open_bucket

pytestmark = [pytest.mark.extra("obstore"), pytest.mark.extra("moto")]
BUNDLE, TEXTS = "s3://bucket/models/bundle", "s3://bucket/texts"
PREDICT = ["predict", BUNDLE, TEXTS, "--num-threads", "1", "--out"]
SECRET = "a-secret-of-somebody"


@pytest.fixture
def here(model, tmp_path, monkeypatch):
    """The Predictions of the same texts in files here."""
    texts = tmp_path / "texts"
    texts.mkdir()
    bucket, _ = open_bucket(TEXTS)
    for number in range(2):
        (texts / f"{number}.csv").write_bytes(bucket.read(f"texts/{number}.csv"))
    assert main(["predict", str(model / "bundle"), str(texts), "--num-threads", "1", "--out", str(tmp_path / "a")]) == 0
    return Predictions.open(tmp_path / "a")


@pytest.mark.parametrize("executor", ["local", "local:2"])
def test_predictions_at_an_address_are_those_of_files_here(stored, here, executor, capsys):
    assert main([*PREDICT, "s3://bucket/answers", "--executor", executor, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["path"] == "s3://bucket/answers"
    made = Predictions.open(copy_artifact("s3://bucket/answers"))
    assert made.digest == told["digest"]
    assert made.frame().equals(here.frame())
    assert made.manifest.parents == here.manifest.parents
    assert made.manifest.key == here.manifest.key
    tables = [path.read_bytes() for path in sorted(made.path.glob("part-*.table.csv"))]
    assert len(tables) == 2
    assert b"".join(tables) == (here.path / "table.csv").read_bytes()
    # The ledger has done its work, and nothing says where all this was.
    assert {name for name in stored.names() if name.startswith("answers/")} == {
        f"answers/{name}" for name in ("manifest.json", *made.manifest.files)
    }
    assert "s3:" not in (made.path / "manifest.json").read_text()


def test_a_dataset_and_a_report_are_made_at_addresses(stored, model, tmp_path, capsys):
    stored.put("raw.csv", b"text,label\n" + b"".join(b"%d rain,a\n%d rice,b\n" % (row, row) for row in range(40)))
    assert main(["prepare", "s3://bucket/raw.csv", "--out", "s3://bucket/data"]) == 0
    (tmp_path / "raw.csv").write_bytes(open_bucket(TEXTS)[0].read("raw.csv"))
    assert main(["prepare", str(tmp_path / "raw.csv"), "--out", str(tmp_path / "data")]) == 0
    assert read_manifest(copy_artifact("s3://bucket/data")) == read_manifest(tmp_path / "data")
    assert main(["train", str(tmp_path / "data"), "--model", "linear", "--out", str(tmp_path / "bundle")]) == 0
    capsys.readouterr()
    evaluate = ["evaluate", str(tmp_path / "bundle"), "s3://bucket/data", "--out", "s3://bucket/report"]
    assert main(evaluate) == 0
    assert "s3://bucket/report" in capsys.readouterr().out
    page = (copy_artifact("s3://bucket/report") / "report.html").read_text()
    assert "s3://bucket/data --out s3://bucket/report" in page
    assert str(copies_dir()) not in page
    assert SECRET not in page
    assert main(evaluate) == 2
    assert "s3://bucket/report exists already.\nhint: Choose another --out, or replace it: --force." in (
        capsys.readouterr().err
    )
    assert main([*evaluate, "--force"]) == 0


def test_a_service_takes_its_bundle_from_an_address(stored):
    command = [sys.executable, "-m", "yanmo", "serve", BUNDLE, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        told = json.loads(process.stdout.readline())
        body = json.dumps({"text": "rain"}).encode()
        request = urllib.request.Request(f"{told['url']}/predict", body, {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert json.load(answer)["prediction"] in {"city", "fruit", "tool"}
        process.terminate()
        process.communicate(timeout=20)
    assert told["models"] == ["bundle"]
    assert told["path"] == BUNDLE


@pytest.mark.parametrize("source", [f"{TEXTS}/1*.csv", f"{TEXTS}/0.csv"])
def test_a_pattern_and_one_object_are_read(stored, tmp_path, source):
    assert main(["predict", BUNDLE, source, "--out", str(tmp_path / "out")]) == 0
    assert Predictions.open(tmp_path / "out").frame().height == 30


@pytest.mark.parametrize("fault", ["busy", "cut"])
def test_what_is_throttled_or_cut_is_tried_again(stored, here, fault):
    setattr(stored.faults, fault, 3)
    assert main([*PREDICT, "s3://bucket/answers"]) == 0
    assert getattr(stored.faults, fault) == 0
    assert Predictions.open(copy_artifact("s3://bucket/answers")).frame().equals(here.frame())


def test_a_bucket_that_stays_busy_is_told(stored, monkeypatch, capsys):
    monkeypatch.setattr(object_storage, "RETRY_SECONDS", 1.0)
    stored.faults.busy = 1000
    assert main([*PREDICT, "s3://bucket/answers"]) == 2
    told = capsys.readouterr().err
    assert "s3://bucket is too busy: SlowDown, as Yanmo" in told
    assert "hint: It was tried for 1 s." in told


def test_a_wrong_key_is_told_and_never_repeated(stored, capsys):
    stored.post("reset-auth", b"0")
    try:
        assert main([*PREDICT, "s3://bucket/answers"]) == 2
    finally:
        stored.post("reset-auth", b"inf")
    told = capsys.readouterr().err
    assert "s3://bucket refuses: " in told
    assert "hint: Check the credentials in the environment: AWS_ACCESS_KEY_ID" in told
    assert SECRET not in told
    assert "somebody" not in told


def test_a_machine_without_credentials_is_told_what_to_set(stored, monkeypatch, capsys):
    monkeypatch.setattr(object_storage, "RETRY_SECONDS", 1.0)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    # Where a machine's role would be asked for, nobody listens.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    assert main([*PREDICT, "s3://bucket/answers"]) == 2
    told = capsys.readouterr().err
    assert "hint: " in told
    assert "AWS_ACCESS_KEY_ID" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["predict", "s3://nowhere/bundle", TEXTS], "There is no bucket s3://nowhere: NoSuchBucket."),
        (["predict", "s3://bucket/models", TEXTS], "There is no artifact at s3://bucket/models: it has no manifest"),
        (["predict", BUNDLE, f"{TEXTS}/none.csv"], f"There is nothing to read at {TEXTS}/none.csv"),
        (["predict", BUNDLE, f"{BUNDLE}/golden.json"], f"{BUNDLE}/golden.json has the unknown extension '.json'"),
        (["prepare", f"{TEXTS}/0.csv"], f"{TEXTS}/0.csv has no column 'label'"),
        (["prepare", "s3://bucket/brat/1.txt"], "brat/1.txt at s3://bucket/brat/1.txt belongs to a file beside it."),
        (["prepare", "s3://bucket/brat"], "brat/1.txt at s3://bucket/brat belongs to a file beside it."),
        (["prepare", "s3://k:s@bucket/x.csv"], "must be an address like s3://bucket/folder, with nothing else in it."),
        (["train", "s3://bucket/data", "--model", "ngram"], "The 'dataset' input of train must be a path on this"),
    ],
)
def test_what_is_not_there_is_told_by_its_address(stored, tmp_path, words, said, capsys):
    for name in ("1.txt", "1.ann"):
        stored.put(f"brat/{name}", b"a text")
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "k:s@" not in told
    assert str(tmp_path) not in told.replace(str(copies_dir()), "")


def test_an_address_with_other_objects_is_not_written_to(stored, capsys):
    assert main([*PREDICT, TEXTS]) == 2
    assert f"{TEXTS} holds 3 objects that are no artifact, such as 0.csv." in capsys.readouterr().err


def cut_off(monkeypatch):
    """Let the second part of a run fail."""
    put, done = answering.put_stored_part, []

    def fail(address, number, ending, write, *, mark):
        if number:
            raise StorageError("cut off")
        done.append(number)
        return put(address, number, ending, write, mark=mark)

    monkeypatch.setattr(answering, "put_stored_part", fail)


def test_a_command_that_was_cut_off_makes_only_what_is_missing(stored, here, model, monkeypatch, capsys, caplog):
    caplog.set_level("INFO")
    with monkeypatch.context() as patch:
        cut_off(patch)
        assert main([*PREDICT, "s3://bucket/answers"]) == 2
    claim, line = sorted(name for name in stored.names() if name.startswith("answers/.work/"))[::-1]
    assert claim == "answers/.work/work.json"
    assert re.fullmatch(r"answers/\.work/[0-9a-f]{8}/finished/000000\.json", line)
    stored.faults.seen.clear()
    other = ["predict", str(model / "bundle"), TEXTS, "--plain-cells", "--out", "s3://bucket/answers"]
    assert main(other) == 2
    told = capsys.readouterr().err
    assert "The work in s3://bucket/answers was begun with something else:" in told
    assert "  plain_cells: False → True" in told
    assert main([*PREDICT, "s3://bucket/answers"]) == 0
    assert "Answered before: 30 texts;" in caplog.text
    assert not [one for one in stored.faults.seen if one.startswith("PUT /bucket/answers/part-000000")]
    assert Predictions.open(copy_artifact("s3://bucket/answers")).frame().equals(here.frame())


def test_other_work_begins_anew_where_that_is_asked_for(stored, monkeypatch):
    with monkeypatch.context() as patch:
        cut_off(patch)
        assert main([*PREDICT, "s3://bucket/answers"]) == 2
    assert main([*PREDICT, "s3://bucket/answers", "--plain-cells", "--fork"]) == 0
    assert Predictions.open(copy_artifact("s3://bucket/answers")).manifest.config["plain_cells"] is True


def test_two_processes_make_one_copy(stored):
    code = f"from yanmo.artifacts.copies import copy_artifact; print(copy_artifact({BUNDLE!r}))"
    both = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    places = {process.communicate(timeout=60)[0].strip() for process in both}
    assert len(places) == 1
    (place,) = map(Path, places)
    assert read_manifest(place)[1] == origin_of(place).version
    assert stored.faults.seen.count("GET /bucket/models/bundle/model.safetensors") == 1


def test_an_object_that_changes_has_another_copy(stored):
    bucket, _ = open_bucket(TEXTS)
    old = bucket.find("texts/0.csv")
    (before,) = copy_objects(bucket, [old])
    stored.put("texts/0.csv", b"text\nother\n")
    (after,) = copy_objects(bucket, [bucket.find("texts/0.csv")])
    assert before.read_bytes() != after.read_bytes() == b"text\nother\n"
    before.unlink()
    with pytest.raises(StorageError, match="texts/0.csv has changed since it was read first"):
        copy_objects(bucket, [old])


def test_a_bucket_is_asked_no_more_than_for_what_is_new(stored, tmp_path):
    for out in ("a", "b"):
        stored.faults.seen.clear()
        assert main(["predict", BUNDLE, TEXTS, "--out", str(tmp_path / out)]) == 0
    assert {one for one in stored.faults.seen if one.startswith("GET")} == {
        "GET /bucket",
        "GET /bucket/models/bundle/manifest.json",
    }
