"""Artifacts appear whole or not at all, and a changed one is noticed."""

import errno
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from yanmo.artifacts.base import SCHEMA_VERSION, Identity, numbered, publish
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.placing import MANIFEST, check_out, lock, work_dir
from yanmo.artifacts.predictions import Predictions
from yanmo.errors import ArtifactError, BusyError


def make(out, content=b"hello", effects=NO_EFFECTS, **changes):
    values = {
        "kind": "predictions",
        "verb": "predict",
        "task": "single_label",
        "labels": ["a", "b"],
        "parents": {"bundle": "0" * 64},
        "config": {"batch": 1},
        "seed": 1,
    }
    with publish(out, Identity(**{**values, **changes}), effects=effects) as staging:
        (staging / "data.bin").write_bytes(content)
        (staging / "sub").mkdir()
        (staging / "sub" / "more.txt").write_text("more")
    return Predictions.open(out)


def test_a_published_folder_opens_and_holds_every_digest(tmp_path):
    artifact = make(tmp_path / "deep" / "one")
    assert set(artifact.manifest.files) == {"data.bin", "sub/more.txt"}
    assert artifact.manifest.config == {"verb": "predict", "batch": 1}
    assert artifact.labels == ["a", "b"]
    assert artifact.size_bytes == 9


def test_equal_work_gives_an_equal_digest(tmp_path):
    assert make(tmp_path / "one").digest == make(tmp_path / "two").digest
    assert make(tmp_path / "three", content=b"other").digest != make(tmp_path / "four").digest


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps rights elsewhere")
def test_who_may_read_the_folder_may_read_its_files(tmp_path):
    identity = Identity(kind="dataset", verb="prepare", task="single_label", labels=["a"])
    with publish(tmp_path / "made", identity) as staging:
        for name in ("weights", "settings"):
            (staging / name).write_text(name, encoding="utf-8")
        (staging / "weights").chmod(0o600)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "made").iterdir()}
    assert modes["weights"] == modes["settings"] == (tmp_path / "made").stat().st_mode & 0o666


def test_a_failing_block_leaves_nothing(tmp_path):
    with (
        pytest.raises(RuntimeError),
        publish(tmp_path / "one", Identity(kind="report", verb="v", task="t", labels=[])) as staging,
    ):
        (staging / "half").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    first = make(tmp_path / "one")
    with pytest.raises(ArtifactError, match="exists already"):
        make(tmp_path / "one", content=b"new")
    assert Predictions.open(tmp_path / "one").digest == first.digest


def test_replace_swaps_the_folder(tmp_path):
    first = make(tmp_path / "one")
    second = make(tmp_path / "one", content=b"new", effects=Effects(replace=True))
    assert first.digest != second.digest
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


KILLED = """
import os, signal, sys
from pathlib import Path
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.effects import Effects

rename = Path.rename
def die_at_the_second(path, target):
    if path.name.endswith(".partial"):
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(path, target)

Path.rename = die_at_the_second
values = dict(kind="predictions", verb="v", task="t", labels=[], parents={}, config={})
with publish(sys.argv[1], Identity(**values), effects=Effects(replace=True)) as staging:
    (staging / "data.bin").write_bytes(b"new")
"""


@pytest.fixture
def cut_off(tmp_path):
    """Where an artifact was to be replaced by a process that was killed between the two renames."""
    make(tmp_path / "one")
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "one")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not (tmp_path / "one").exists()
    return tmp_path / "one"


def test_a_swap_that_was_killed_between_its_renames_is_finished_by_whoever_opens_it(cut_off):
    artifact = Predictions.open(cut_off)
    assert (cut_off / "data.bin").read_bytes() == b"new"
    assert [path.name for path in cut_off.parent.iterdir()] == ["one"]
    assert sorted(path.name for path in cut_off.iterdir()) == ["data.bin", MANIFEST]
    assert Predictions.open(cut_off).digest == artifact.digest


def test_a_swap_that_was_killed_is_finished_before_the_next_one(cut_off):
    with pytest.raises(ArtifactError, match="exists already"):
        make(cut_off)
    assert (cut_off / "data.bin").read_bytes() == b"new"
    make(cut_off, content=b"newest", effects=Effects(replace=True))
    assert (cut_off / "data.bin").read_bytes() == b"newest"
    assert [path.name for path in cut_off.parent.iterdir()] == ["one"]


def test_what_a_later_kill_left_aside_does_not_come_back(tmp_path):
    old = make(tmp_path / ".one.replaced")
    with pytest.raises(ArtifactError, match="There is no folder"):
        Predictions.open(tmp_path / "one")
    assert make(tmp_path / "one", content=b"new").digest != old.digest
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_rename_that_fails_leaves_the_old_folder_where_it_was(tmp_path, monkeypatch):
    first, rename = make(tmp_path / "one"), Path.rename

    def fail(path, target):
        if path.name.endswith(".partial"):
            raise OSError(errno.EACCES, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", fail)
    with pytest.raises(ArtifactError, match="Cannot write .*: Permission denied"):
        make(tmp_path / "one", content=b"new", effects=Effects(replace=True))
    assert Predictions.open(tmp_path / "one").digest == first.digest
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_a_changed_byte_is_noticed(tmp_path):
    artifact = make(tmp_path / "one")
    (artifact.path / "data.bin").write_bytes(b"hellO")
    with pytest.raises(ArtifactError) as caught:
        Predictions.open(artifact.path)
    assert str(caught.value) == (
        f"{artifact.path / 'data.bin'} was changed: it does not match the digest in manifest.json.\n"
        "hint: Copy the folder again, or make it anew; artifacts are never edited."
    )


def test_a_missing_file_is_noticed(tmp_path):
    artifact = make(tmp_path / "one")
    (artifact.path / "sub" / "more.txt").unlink()
    with pytest.raises(ArtifactError, match=r"more\.txt is missing"):
        Predictions.open(artifact.path)


def test_a_link_in_place_of_a_file_is_refused(tmp_path):
    artifact = make(tmp_path / "one")
    (tmp_path / "elsewhere").write_bytes(b"hello")
    (artifact.path / "data.bin").unlink()
    (artifact.path / "data.bin").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="a link"):
        Predictions.open(artifact.path)


def test_a_newer_schema_says_to_upgrade(tmp_path):
    artifact = make(tmp_path / "one")
    manifest = json.loads((artifact.path / MANIFEST).read_text())
    manifest |= {"schema_version": SCHEMA_VERSION + 1, "unheard_of": True}
    (artifact.path / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError) as caught:
        Predictions.open(artifact.path)
    assert str(caught.value) == (
        f"{artifact.path} has schema version {SCHEMA_VERSION + 1}; this Yanmo reads versions up to {SCHEMA_VERSION}.\n"
        "hint: pip install --upgrade yanmo"
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": "x"}',
        '{"schema_version": ' + 5000 * "[" + 5000 * "]" + "}",
    ],
    ids=str.__len__,
)
def test_a_damaged_manifest_is_an_error_for_the_user(tmp_path, content):
    artifact = make(tmp_path / "one")
    (artifact.path / MANIFEST).write_text(content)
    with pytest.raises(ArtifactError, match="damaged"):
        Predictions.open(artifact.path)


def test_another_kind_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="is a dataset artifact; a predictions artifact is wanted"):
        make(tmp_path / "one", kind="dataset")


def test_a_missing_folder_and_a_plain_folder_are_refused(tmp_path):
    with pytest.raises(ArtifactError, match="There is no folder"):
        Predictions.open(tmp_path / "none")
    with pytest.raises(ArtifactError, match=r"is no artifact: it has no manifest\.json"):
        Predictions.open(tmp_path)


def test_a_copy_elsewhere_is_the_same_artifact(tmp_path):
    artifact = make(tmp_path / "one")
    subprocess.run(["cp", "-r", str(artifact.path), str(tmp_path / "copy")], check=True)
    assert Predictions.open(tmp_path / "copy").digest == artifact.digest


def test_no_write_permission_is_said_before_any_work():
    code = (
        "import os, sys; from yanmo.artifacts.placing import check_out; from yanmo.errors import ArtifactError\n"
        "if os.geteuid() == 0: os.setuid(65534)\n"  # root may write anywhere
        "try: check_out(sys.argv[1])\n"
        "except ArtifactError as error: print(error); sys.exit(error.exit_code)"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        command = [sys.executable, "-c", code, str(folder / "out")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expected = f"Cannot write {folder / 'out'}: no permission in {folder}.\nhint: Choose another --out.\n"
        assert (done.returncode, done.stdout) == (2, expected)


def test_nothing_is_made_inside_of_a_finished_artifact(tmp_path):
    made = make(tmp_path / "one")
    with pytest.raises(ArtifactError, match="is a finished artifact: another folder in it would damage it"):
        make(tmp_path / "one" / "deep" / "two")
    assert sorted(path.name for path in made.path.iterdir()) == ["data.bin", "manifest.json", "sub"]


def test_what_a_path_passes_on_its_way_is_not_what_it_lies_in(tmp_path):
    made = make(tmp_path / "one")
    assert make(made.path / "sub" / ".." / ".." / "beside").path.resolve() == tmp_path / "beside"
    (tmp_path / "link").symlink_to(made.path / "sub")
    with pytest.raises(ArtifactError, match="is a finished artifact"):
        make(tmp_path / "link" / "two")


def test_the_manifest_of_another_program_is_in_nobodys_way(tmp_path):
    (tmp_path / "manifest.json").write_text('{"name": "a web page", "start_url": "/"}')
    assert make(tmp_path / "one").size_bytes == 9


def test_a_writer_that_meets_a_full_disk_leaves_nothing(tmp_path):
    code = (
        "import resource, signal, sys; from yanmo.artifacts.base import Identity, publish\n"
        "from yanmo.errors import YanmoError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "  with publish(sys.argv[1], Identity(kind='report', verb='v', task='t', labels=[])) as staging:\n"
        "    (staging / 'big').write_bytes(b'x' * 5000)\n"
        "except YanmoError as error: print(error.message); sys.exit(error.exit_code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "out")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, f"Cannot write {tmp_path / 'out'}: File too large.\n")
    assert list(tmp_path.iterdir()) == []


def test_two_processes_cannot_hold_one_work_folder(tmp_path):
    folder = work_dir(tmp_path / "model")
    assert folder.name == ".model.work"
    code = (
        "import sys; from pathlib import Path\n"
        "from yanmo.artifacts.placing import lock; from yanmo.errors import BusyError\n"
        "try:\n"
        "  with lock(Path(sys.argv[1])): pass\n"
        "except BusyError as error: sys.exit(error.exit_code)"
    )
    with lock(folder):
        done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False)
    assert done.returncode == BusyError.exit_code == 75
    with lock(folder):
        assert folder.is_dir()


def test_two_writers_of_one_folder_do_not_mix_their_files(tmp_path):
    values = {"kind": "predictions", "verb": "v", "task": "t", "labels": [], "parents": {}, "config": {}}
    with publish(tmp_path / "one", Identity(**values)) as staging:
        (staging / "mine").write_text("mine")
        with pytest.raises(BusyError, match="Another process works in"):
            make(tmp_path / "one")
    assert set(Predictions.open(tmp_path / "one").manifest.files) == {"mine"}
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    (tmp_path / ".one.partial" / "sub").mkdir(parents=True)
    (tmp_path / ".one.partial" / "half").write_text("half")
    assert set(make(tmp_path / "one").manifest.files) == {"data.bin", "sub/more.txt"}


def test_a_file_where_a_parent_folder_should_be_is_an_error(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="Cannot write"):
        check_out(tmp_path / "file" / "out")


def test_a_work_folder_that_cannot_be_made_is_an_error_for_the_user(tmp_path):
    folder = tmp_path / ("a" * 300)
    with pytest.raises(ArtifactError, match="File name too long"), lock(folder):
        pass


def test_what_is_added_to_an_identity_while_the_folder_is_filled_is_in_the_manifest(tmp_path):
    identity = Identity(kind="predictions", verb="v", task="t", labels=["b", "a"], parents={"z": "1" * 64}, seed=3)
    draft = identity.manifest()
    with publish(tmp_path / "one", identity) as staging:
        (staging / "data.bin").write_bytes(b"x")
        identity.info["found"] = 1
        identity.parents["a"] = "0" * 64
    made = Predictions.open(tmp_path / "one").manifest
    assert (made.info, list(made.parents), made.config) == ({"found": 1}, ["a", "z"], {"verb": "v"})
    assert made.key == identity.key
    assert (draft.labels, draft.seed, draft.info, draft.files) == (made.labels, made.seed, made.info, {})


def test_several_parents_are_numbered_in_an_order_that_sorting_keeps(tmp_path):
    one = make(tmp_path / "one")
    assert numbered("member", [one]) == {"member_1": one.digest}
    assert list(numbered("member", [one] * 11)) == sorted(f"member_{number:02}" for number in range(1, 12))
