"""Rows that wait on disk come back in their order, whole or those of a mask, and leave nothing."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from yanmo.data import spill as module
from yanmo.data.spill import Spill


@pytest.mark.parametrize("piece_bytes", [1, 200, 1 << 25])
def test_rows_come_back_as_they_went(piece_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE_BYTES", piece_bytes)
    numbers = pl.int_range(100, eager=True)
    rows = pl.DataFrame({"id": numbers.cast(pl.String), "text": ["好吃\n" * (number % 5) for number in numbers]})
    chosen = numbers % 7 == 3
    with Spill(tmp_path / "spill") as spill:
        for place in range(0, 100, 9):
            spill.write(rows[place : place + 9])
        assert pl.concat(spill.read()).equals(rows)
        assert pl.concat(spill.take(chosen)).equals(rows.filter(chosen))
        assert pl.concat(spill.read()).equals(rows)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_work_that_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="wrong"), Spill(tmp_path / "spill") as spill:
        spill.write(pl.DataFrame({"id": ["1"]}))
        list(spill.read())
        raise ValueError("wrong")
    assert list(tmp_path.iterdir()) == []
