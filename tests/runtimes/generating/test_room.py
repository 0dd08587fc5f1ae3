"""What is not filled takes no memory."""

import os
from pathlib import Path

import pytest

from yanmo.runtimes.generating.room import make_room


def test_a_token_takes_its_own_memory_and_not_that_of_thousands():
    room_HTD = make_room((32, 8192, 64))
    before = resident_bytes()
    room_HTD[:, 0] = 1
    # Pages of 2 MiB would take 64 MiB.
    assert resident_bytes() - before < 2**23
    assert (room_HTD[:, 1:3] == 0).all()


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_more_than_there_is_is_told_as_memory_is_and_nothing_is_empty():
    with pytest.raises(MemoryError, match="no room"):
        make_room((2**20, 2**20, 2**4))
    assert make_room((0, 4, 8, 16)).shape == (0, 4, 8, 16)
