"""Checkpoints: whole at every moment, on a full or failing disk too, and checked when they are read."""

import errno
import os
import resource
import signal

import pytest
import torch

from yanmo.artifacts import durable
from yanmo.errors import ModelError
from yanmo.modeling.loop import checkpoints

TENSORS = {"a": torch.arange(6.0).view(2, 3), "step": torch.tensor(3.0), "empty": torch.zeros(0)}


def write(folder, step):
    checkpoints.write(folder, {**TENSORS, "b": torch.full((1000,), float(step))}, {"step": step}, step=step)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def failing(function, number, place):
    """Return a function that fails like a disk at its call of this number, before or after its work."""
    calls = []

    def call(*arguments):
        calls.append(1)
        if len(calls) != place:
            return function(*arguments)
        if function is checkpoints._write_file:
            function(*arguments)
            os.truncate(arguments[0], 100)
        raise OSError(number, os.strerror(number))

    return call


def test_what_was_written_is_read(tmp_path):
    write(tmp_path, 4)
    tensors, state = checkpoints.read(tmp_path)
    assert state == {"step": 4}
    for name, tensor in TENSORS.items():
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].dtype == tensor.dtype


def test_the_last_two_are_kept(tmp_path):
    for step in (1, 5, 30, 200):
        write(tmp_path, step)
    assert names(tmp_path) == ["checkpoint-0000000030.safetensors", "checkpoint-0000000200.safetensors"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(("name", "place"), [("_write_file", 1), ("sync", 1), ("_rename", 1), ("sync", 2)], ids=str)
def test_a_disk_that_fails_at_any_call_leaves_a_checkpoint_that_opens(tmp_path, monkeypatch, number, name, place):
    write(tmp_path, 1)
    write(tmp_path, 2)
    module = checkpoints if name == "_write_file" else durable
    monkeypatch.setattr(module, name, failing(getattr(module, name), number, place))
    with pytest.raises(OSError, match=os.strerror(number)):
        write(tmp_path, 3)
    _, state = checkpoints.read(tmp_path)
    assert state == {"step": 3 if (name, place) == ("sync", 2) else 2}
    assert not list(tmp_path.glob(".*partial*"))
    write(tmp_path, 4)
    assert checkpoints.read(tmp_path)[1] == {"step": 4}


@pytest.mark.parametrize("limit", [1, 500, 4000])
def test_a_file_that_cannot_grow_leaves_the_last_checkpoint(tmp_path, limit):
    write(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write(tmp_path, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert caught.value.errno == errno.EFBIG
    assert checkpoints.read(tmp_path)[1] == {"step": 1}
    assert names(tmp_path) == ["checkpoint-0000000001.safetensors"]


@pytest.mark.parametrize("place", [0, 60, 300, -1])
def test_one_changed_byte_is_found_and_the_checkpoint_before_is_taken(tmp_path, caplog, place):
    write(tmp_path, 1)
    write(tmp_path, 2)
    newest = tmp_path / "checkpoint-0000000002.safetensors"
    content = bytearray(newest.read_bytes())
    content[place] ^= 1
    newest.write_bytes(content)
    assert checkpoints.read(tmp_path)[1] == {"step": 1}
    assert "checkpoint-0000000002.safetensors does not verify" in caplog.text


def test_a_cut_off_file_is_found(tmp_path):
    write(tmp_path, 1)
    write(tmp_path, 2)
    os.truncate(tmp_path / "checkpoint-0000000002.safetensors", 2000)
    assert checkpoints.read(tmp_path)[1] == {"step": 1}


def test_nothing_but_damaged_checkpoints_is_an_error(tmp_path):
    write(tmp_path, 1)
    os.truncate(tmp_path / "checkpoint-0000000001.safetensors", 10)
    with pytest.raises(ModelError, match="No checkpoint in .* verifies") as caught:
        checkpoints.read(tmp_path)
    assert "to begin anew" in caught.value.hint


def test_an_empty_folder_has_no_checkpoint(tmp_path):
    assert checkpoints.read(tmp_path) is None
