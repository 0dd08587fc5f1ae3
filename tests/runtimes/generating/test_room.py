"""What is not filled takes no memory."""

import os
from pathlib import Path

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
