"""Frames that are finished one after the other are there after a kill; what is torn is not believed."""

from __future__ import annotations

import polars as pl
import pytest

from yanmo.artifacts import ledger as module
from yanmo.artifacts.ledger import LEDGER, FrameLedger

FRAMES = [pl.DataFrame({"id": [f"{number}-{row}" for row in range(5)], "x": [0.5 * number] * 5}) for number in range(6)]


def fill(folder, frames=FRAMES):
    ledger = FrameLedger(folder)
    for number, frame in enumerate(frames):
        ledger.append(frame, {"number": number, "name": "好"})
    return ledger


def read(folder):
    return [(frame, facts["number"]) for frame, facts in FrameLedger(folder).read()]


def test_another_process_reads_what_was_appended_and_appends(tmp_path):
    fill(tmp_path / "made", FRAMES[:4])
    again = FrameLedger(tmp_path / "made")
    assert (len(again), [facts["name"] for facts in again.facts]) == (4, ["好"] * 4)
    again.append(FRAMES[4], {"number": 4})
    found = read(tmp_path / "made")
    assert [number for _, number in found] == list(range(5))
    assert all(frame.equals(expected) for (frame, _), expected in zip(found, FRAMES, strict=False))


@pytest.mark.parametrize(
    "damage",
    [lambda raw: raw[:-1], lambda raw: raw[:-20], lambda raw: raw + b"\0" * 50, lambda raw: raw + b'{"sha256":"\xff'],
    ids=["no line end", "half a line", "zeros", "no UTF-8"],
)
def test_a_torn_line_counts_for_nothing_and_the_next_one_stands_by_itself(damage, tmp_path):
    fill(tmp_path, FRAMES[:4])
    raw = (tmp_path / LEDGER).read_bytes()
    (tmp_path / LEDGER).write_bytes(damage(raw))
    num_whole = 4 if len(damage(raw)) > len(raw) else 3
    FrameLedger(tmp_path).append(FRAMES[5], {"number": 5})
    assert [number for _, number in read(tmp_path)] == [*range(num_whole), 5]


@pytest.mark.parametrize("damage", [lambda path: path.write_bytes(b""), lambda path: path.unlink()])
def test_a_damaged_frame_and_those_after_it_count_no_more(damage, tmp_path, caplog):
    fill(tmp_path)
    damage(tmp_path / "000002.parquet")
    assert [number for _, number in read(tmp_path)] == [0, 1]
    assert "000002.parquet is damaged" in caplog.text
    assert len(FrameLedger(tmp_path)) == 2


def test_one_file_of_all_frames_is_the_same_however_often_the_work_was_cut_off(tmp_path):
    fill(tmp_path / "whole").put_together(tmp_path / "whole.parquet")
    fill(tmp_path / "cut", FRAMES[:2])
    again = FrameLedger(tmp_path / "cut")
    for number in (2, 3, 4, 5):
        again.append(FRAMES[number], {"number": number})
    again.put_together(tmp_path / "cut.parquet")
    assert (tmp_path / "cut.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert pl.read_parquet(tmp_path / "cut.parquet").equals(pl.concat(FRAMES))


def test_frames_are_synced_before_the_ledger_that_names_them(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(module, "sync", lambda path: synced.append(path.name))
    monkeypatch.setattr(module, "SYNC_SECONDS", 0.0)
    fill(tmp_path / "made", FRAMES[:2])
    assert synced == ["000000.parquet", LEDGER, "made", "000001.parquet", LEDGER, "made"]
