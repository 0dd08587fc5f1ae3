"""A table that comes in pieces is the table that comes at once."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import frames
from yanmo.artifacts.frames import FrameWriter

READERS = {"csv": pl.read_csv, "jsonl": pl.read_ndjson, "parquet": pl.read_parquet}
FRAME = pl.DataFrame({"id": [str(i) for i in range(50)], "text": ['好, "x"\n', "", "b", "c", "d"] * 10})


def write(path, pieces):
    with FrameWriter(path) as writer:
        for piece in pieces:
            writer.write(piece)
    return path


@pytest.mark.parametrize("extension", list(READERS))
@pytest.mark.parametrize("part_rows", [1, 7, 1000])
def test_pieces_make_one_table(extension, part_rows, tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "PART_ROWS", part_rows)
    path = write(tmp_path / f"table.{extension}", [FRAME[:3], FRAME[3:40], FRAME[40:]])
    options = {"infer_schema": False} if extension == "csv" else {}
    found = READERS[extension](path, **options)
    assert found.fill_null("").to_dict(as_series=False) == FRAME.to_dict(as_series=False)
    assert list(tmp_path.iterdir()) == [path]


def test_parts_put_together_keep_types_and_are_the_same_bytes_every_time(tmp_path, monkeypatch):
    monkeypatch.setattr(frames, "PART_BYTES", 1)
    probabilities = pl.Series(np.eye(50, 4, dtype=np.float32), dtype=pl.Array(pl.Float32, 4))
    labels = pl.Series([["a"], [], ["a", "b"], [], ["c"]] * 10, dtype=pl.List(pl.String))
    frame = FRAME.with_columns(probabilities=probabilities, prediction=labels)
    first, second = (write(tmp_path / f"{name}.parquet", [frame[:9], frame[9:]]) for name in "ab")
    found = pl.read_parquet(first)
    assert found.equals(frame)
    assert found.schema == frame.schema
    assert first.read_bytes() == second.read_bytes()
