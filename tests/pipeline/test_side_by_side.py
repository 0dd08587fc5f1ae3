"""Stages that do not wait for each other are made side by side, by other processes, and are the same artifacts."""

from __future__ import annotations

import pytest

from yanmo import run
from yanmo.errors import DataError

PIPELINE = """
[pipeline]
out = "{out}"

[stage.data]
verb = "prepare"
source = "rows.csv"

[stage.model]
verb = "train"
dataset = "data"
model = "linear"
each.seed = [1, 2, 3]

[stage.answers]
verb = "predict"
bundle = "model/1"
source = "data"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rows = "".join(
        f"{text} {number},{label}\n" for number in range(30) for text, label in (("good", "p"), ("bad", "n"))
    )
    (tmp_path / "rows.csv").write_text("text,label\n" + rows)
    # Relative paths begin there, for other processes, too.
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, out, text=PIPELINE):
    (folder / f"{out}.toml").write_text(text.format(out=out))
    return folder / f"{out}.toml"


def digests(folder):
    found = sorted(folder.rglob("manifest.json"))
    # The comparison of all Bundles holds times.
    return {str(path.relative_to(folder)): path.read_bytes() for path in found if "report" not in path.parts}


def test_processes_make_the_same_artifacts_and_then_nothing_is_done(folder, caplog):
    caplog.set_level("INFO", logger="yanmo")
    run(write(folder, "alone"))
    run(write(folder, "many"), executor="local:2", num_threads=1)
    assert digests(folder / "many") == digests(folder / "alone")
    assert len(digests(folder / "many")) >= 5
    lines = [line for line in caplog.messages if line.startswith("stage ")]
    # A stage that waits for others begins when the last of them is done.
    many = lines[len(lines) // 2 :]
    first_model = next(place for place, line in enumerate(many) if "model/1: train" in line)
    assert first_model > next(place for place, line in enumerate(many) if "data: done" in line)
    begun = [place for place, line in enumerate(many) if ": train" in line]
    ended = [place for place, line in enumerate(many) if "model/" in line and ": done" in line]
    assert begun[1] < ended[0], "two are made at once"
    caplog.clear()
    run(folder / "many.toml", executor="local:2")
    assert sum("stage " in line and "unchanged" in line for line in caplog.messages) == 5


def test_an_error_of_another_process_names_the_stage(folder):
    path = write(folder, "wrong")
    (folder / "rows.csv").write_text("text,label\ngood,p\n")
    with pytest.raises(DataError, match=r"Stage 'data' \(prepare\) failed: There is one class only") as caught:
        run(path, executor="local:2")
    assert "The finished stages are kept" in caught.value.hint
