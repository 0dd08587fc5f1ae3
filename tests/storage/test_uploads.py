"""What stands at an address: nothing goes that is another's, and what others write meanwhile is not taken over."""

from __future__ import annotations

import pytest

from yanmo.artifacts.base import Identity
from yanmo.artifacts.copies import copy_artifact
from yanmo.artifacts.ledger import FinishedPart
from yanmo.artifacts.origins import origin_of
from yanmo.artifacts.stored_ledger import StoredLedger, put_stored_part, work_mark
from yanmo.artifacts.uploads import upload
from yanmo.cli import main
from yanmo.errors import ArtifactError, BusyError
from yanmo.integrations.object_storage import Bucket, open_bucket

pytestmark = [pytest.mark.extra("obstore"), pytest.mark.extra("moto")]
BUNDLE, PLACE = "s3://bucket/models/bundle", "s3://bucket/place"


@pytest.fixture
def made(tmp_path):
    """Two artifacts of the same files with other content."""
    for name in "ab":
        (tmp_path / name).mkdir()
        for file in ("1.html", "2.html"):
            (tmp_path / name / file).write_text(name + file)
        (tmp_path / name / "manifest.json").write_text(
            f'{{"schema_version": 1, "kind": "{name}", "files": {{"1.html": {{}}, "2.html": {{}}}}}}'
        )
    return tmp_path


def inside(s3, folder="place"):
    return {name.removeprefix(f"{folder}/") for name in s3.names() if name.startswith(f"{folder}/")}


@pytest.mark.parametrize("other", ["manifest.json", "photos/1.jpg", "part-000000.parquet"])
def test_what_is_no_artifacts_is_never_replaced(s3, made, other):
    s3.put(f"place/{other}", b'{"name": "a web page"}')
    if other != "manifest.json":
        upload(made / "a", "s3://bucket/elsewhere", replace=False)
        for name in inside(s3, "elsewhere"):
            s3.put(f"place/{name}", open_bucket("s3://bucket")[0].read(f"elsewhere/{name}"))
    before = s3.names()
    with pytest.raises(ArtifactError, match=f"that are no artifact, such as {other}"):
        upload(made / "b", PLACE, replace=True)
    assert s3.names() == before


def test_nothing_is_written_into_an_artifact(s3, made):
    upload(made / "a", PLACE, replace=False)
    with pytest.raises(ArtifactError, match="lies in s3://bucket/place, which is a finished artifact"):
        upload(made / "b", f"{PLACE}/in/it", replace=True)


def cut_off(s3, made, monkeypatch):
    """Begin to upload ``a``, and be killed before its second file."""
    put = Bucket.put_new

    def die(self, path, content):
        if path.endswith("2.html"):
            raise KeyboardInterrupt
        return put(self, path, content)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "put_new", die)
        # A kill undoes nothing.
        patch.setattr(Bucket, "delete", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            upload(made / "a", PLACE, replace=False)
    assert inside(s3) == {"1.html", ".work/upload"}
    s3.faults.seen.clear()


def test_what_another_machine_left_is_known_and_replaced(s3, made, monkeypatch):
    cut_off(s3, made, monkeypatch)
    monkeypatch.setenv("XDG_CACHE_HOME", str(made / "other-cache"))
    with pytest.raises(BusyError, match="was cut off there"):
        upload(made / "b", PLACE, replace=False)
    upload(made / "b", PLACE, replace=True)
    assert inside(s3) == {"1.html", "2.html", "manifest.json"}


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_machine_that_was_cut_off_goes_on(s3, made, monkeypatch, name):
    cut_off(s3, made, monkeypatch)
    upload(made / name, PLACE, replace=False)
    assert inside(s3) == {"1.html", "2.html", "manifest.json"}
    bucket, _ = open_bucket(PLACE)
    assert [bucket.read(f"place/{file}.html").decode() for file in (1, 2)] == [f"{name}1.html", f"{name}2.html"]
    deleted = [path for path in s3.faults.seen if path.startswith("POST")]
    # The mark and the note go; what is the same stays.
    assert len(deleted) == (3 if name == "a" else 4)


def test_what_is_made_no_more_goes(s3, made, monkeypatch):
    cut_off(s3, made, monkeypatch)
    (made / "b" / "1.html").unlink()
    upload(made / "b", PLACE, replace=False)
    assert inside(s3) == {"2.html", "manifest.json"}


def test_whoever_lost_an_address_removes_nothing_there(s3, made, monkeypatch):
    put = Bucket.put_new

    def late(self, path, content):
        if path.endswith("2.html") and content == made / "a" / "2.html":
            # Another command begins anew while this one writes.
            upload(made / "b", PLACE, replace=True)
        return put(self, path, content)

    monkeypatch.setattr(Bucket, "put_new", late)
    with pytest.raises(ArtifactError, match="was written by somebody else meanwhile"):
        upload(made / "a", PLACE, replace=False)
    assert inside(s3) == {"1.html", "2.html", "manifest.json"}
    assert open_bucket(PLACE)[0].read("place/1.html") == b"b1.html"


def test_an_upload_does_not_write_among_parts(s3, made):
    StoredLedger(PLACE, {"bundle": "a"}, replace=False, fork=False)
    for replace in (False, True):
        with pytest.raises(BusyError, match="A predict writes to s3://bucket/place"):
            upload(made / "a", PLACE, replace=replace)


def test_an_answer_that_was_lost_is_no_other_command(s3, made):
    bucket = open_bucket(PLACE)[0]
    assert bucket.put_new("place/1.html", made / "a" / "1.html")
    assert bucket.put_new("place/1.html", made / "a" / "1.html")
    assert not bucket.put_new("place/1.html", made / "b" / "1.html")
    assert not bucket.put_new("place/1.html", b"other")


def part(number, work):
    """Write a part, and return its line."""
    digest = put_stored_part(
        PLACE, number, "txt", lambda path: path.write_text(f"{work} {number}"), mark=work_mark(work)
    )
    return FinishedPart(number, {"txt": digest}, {})


def test_earlier_work_that_goes_on_unseen_is_not_taken_over(s3):
    work = [{"bundle": name} for name in "ab"]
    first = StoredLedger(PLACE, work[0], replace=False, fork=False)
    first.add(part(0, work[0]))
    second = StoredLedger(PLACE, work[1], replace=False, fork=True)
    first.add(part(1, work[0]))
    second.add(part(1, work[1]))
    again = StoredLedger(PLACE, work[1], replace=False, fork=False)
    assert [one.number for one in again.parts] == [1]
    again.add(part(0, work[1]))
    manifest, _ = again.publish(Identity(kind="predictions", verb="predict", task="t", labels=[]), key="k")
    assert inside(s3) == {*manifest.files, "manifest.json"}
    assert {name.split("-")[2] for name in manifest.files} == {f"{work_mark(work[1])}.txt"}


def test_a_part_of_other_bytes_blocks_nothing(s3):
    work = {"bundle": "a"}
    ledger = StoredLedger(PLACE, work, replace=False, fork=False)
    mark = work_mark(work)
    there = put_stored_part(PLACE, 0, "txt", lambda path: path.write_text("of another machine"), mark=mark)
    ledger.add(part(0, work))
    assert ledger.parts[0].files == {"txt": there}
    for more in ({"replace": False, "fork": True}, {"replace": True, "fork": False}):
        assert not StoredLedger(PLACE, work, **more).parts
        assert inside(s3) == {".work/work.json"}
        StoredLedger(PLACE, work, replace=False, fork=False).add(part(0, work))


def test_old_answers_stay_where_the_new_ones_cannot_be_made(stored, tmp_path, capsys):
    predict = ["predict", BUNDLE, "s3://bucket/texts", "--num-threads", "1", "--out", PLACE]
    assert main(predict) == 0
    before = stored.names()
    assert main([*predict, "--force", "--device", "cuda:99"]) == 2
    assert stored.names() == before


def test_a_copy_is_asked_for_where_it_was_named_last_and_mended(stored, model):
    first = copy_artifact(BUNDLE)
    upload(model / "bundle", "s3://bucket/prod/bundle", replace=False)
    (first / "model.safetensors").unlink()
    again = copy_artifact("s3://bucket/prod/bundle")
    assert again == first
    assert (again / "model.safetensors").is_file()
    assert origin_of(again).address == "s3://bucket/prod/bundle"


def test_a_lost_object_is_no_lost_bucket(stored, capsys):
    bucket, path = open_bucket(f"{BUNDLE}/model.safetensors")
    bucket.delete([path])
    assert main(["predict", BUNDLE, "s3://bucket/texts"]) == 2
    assert "There is no object s3://bucket/models/bundle/model.safetensors." in capsys.readouterr().err
