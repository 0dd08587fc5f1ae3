"""Parts that are finished in any order are there after a kill; what is torn is not believed."""

from __future__ import annotations

import pytest

from yanmo.artifacts import durable
from yanmo.artifacts import ledger as module
from yanmo.artifacts.ledger import LEDGER, FinishedPart, PartLedger, part_name, put_part
from yanmo.errors import InternalError


def make(folder, number, content=None):
    content = f"{number}\n" if content is None else content
    folder.mkdir(exist_ok=True)
    digest = put_part(folder, number, "txt", lambda path: path.write_text(content))
    return FinishedPart(number, {"txt": digest}, {"number": number, "name": "好"})


def fill(folder, numbers):
    ledger = PartLedger(folder)
    for number in numbers:
        ledger.add(make(folder, number))
    return ledger


def test_another_process_finds_what_is_finished_and_makes_the_rest(tmp_path):
    fill(tmp_path, [4, 0, 2])
    again = PartLedger(tmp_path)
    assert [part.number for part in again.parts] == [0, 2, 4]
    assert [number in again for number in range(5)] == [True, False, True, False, True]
    assert [part.facts["name"] for part in again.parts] == ["好"] * 3
    for number in (3, 1):
        again.add(make(tmp_path, number))
    again.concatenate("txt", tmp_path / "whole")
    assert (tmp_path / "whole").read_text() == "0\n1\n2\n3\n4\n"


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[:-1], lambda raw: raw[:-20], lambda raw: raw + b"\0" * 50, lambda raw: raw + b'{"number":\xff'],
    ids=["no line end", "half a line", "zeros", "no UTF-8"],
)
def test_a_torn_line_counts_for_nothing_and_the_next_one_stands_by_itself(damage, tmp_path):
    fill(tmp_path, range(4))
    raw = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(damage(raw))
    num_whole = 4 if len(damage(raw)) > len(raw) else 3
    PartLedger(tmp_path).add(make(tmp_path, 5))
    assert [part.number for part in PartLedger(tmp_path).parts] == [*range(num_whole), 5]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_part_that_is_damaged_is_missing_and_the_others_are_not(damage, tmp_path, caplog):
    fill(tmp_path, range(4))
    damage(tmp_path / part_name(2, "txt"))
    assert [part.number for part in PartLedger(tmp_path).parts] == [0, 1, 3]
    assert "part-000002.txt is damaged" in caplog.text
    assert [part.number for part in PartLedger(tmp_path).parts] == [0, 1, 3]


def test_a_part_that_is_made_twice_counts_once_and_must_be_the_same(tmp_path):
    ledger = fill(tmp_path, [0, 1])
    ledger.add(make(tmp_path, 1))
    assert len(PartLedger(tmp_path)) == 2
    with pytest.raises(InternalError, match="Part 1 was made twice"):
        ledger.add(make(tmp_path, 1, content="other"))


def test_a_part_that_nobody_finished_is_not_there(tmp_path):
    def fail(path):
        path.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        put_part(tmp_path, 0, "txt", fail)
    assert not (tmp_path / part_name(0, "txt")).exists()
    make(tmp_path, 1)
    assert len(PartLedger(tmp_path)) == 0


def test_a_part_is_on_disk_before_the_line_that_names_it(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "sync", lambda path: synced.append(path.name))
    monkeypatch.setattr(durable, "sync", lambda path: synced.append(path.name))
    ledger = PartLedger(tmp_path / "parts")
    synced.clear()
    ledger.add(make(tmp_path / "parts", 0))
    partial, *rest = synced
    assert partial.endswith(".partial.txt")
    assert rest == ["parts", LEDGER]
