"""Stages on the bench: what is kept of a failure, and what is measured later."""

import json

import pytest

from yanmo.errors import ArtifactError
from yanmo.grinding.candidates import int8_of
from yanmo.grinding.search import attempt


def kept(bench, name):
    file = bench.folder / "measured" / f"{name}.json"
    return json.loads(file.read_text("utf-8")) if file.is_file() else None


def test_why_a_stage_cannot_be_made_is_kept_only_where_it_stays_so(make_search):
    bench = make_search().bench
    never = int8_of("teacher").configured({"max_drop": 5})
    assert "max_drop" in bench.try_stage(never)["failed"]
    assert "failed" in kept(bench, never.name)
    later = int8_of("missing")
    assert "There is no folder" in bench.try_stage(later)["failed"]
    assert kept(bench, "missing-int8") is None


def test_a_stage_that_was_begun_keeps_its_values(make_search):
    bench = make_search().bench
    stage = int8_of("teacher")
    row = bench.try_stage(stage)
    made = bench.bundle(stage.name).digest
    again = stage.configured({"max_drop": 0.5})
    assert bench.is_begun(stage.name)
    assert bench.as_begun(again) == stage
    assert bench.settled(stage).call.config == {"num_threads": 1}
    assert bench.try_stage(again)["seconds"] == row["seconds"]
    assert bench.bundle(stage.name).digest == made


@pytest.mark.slow
def test_memory_is_measured_when_it_is_asked_for_later(make_search):
    first, second = make_search(), make_search(needs_memory=True)
    attempt(first, int8_of("teacher"))
    assert first.row("teacher-int8")["memory_mb"] is None
    attempt(second, int8_of("teacher"))
    assert second.row("teacher-int8")["memory_mb"] > 10
    assert second.row("teacher-int8")["seconds"] == first.row("teacher-int8")["seconds"]


def test_a_full_disk_is_no_reason_forever(make_search, monkeypatch):
    bench = make_search().bench
    make = type(bench)._make

    def full(self, stage):
        raise ArtifactError("Cannot write: No space left on device.")

    monkeypatch.setattr(type(bench), "_make", full)
    assert "No space" in bench.try_stage(int8_of("teacher"))["failed"]
    monkeypatch.setattr(type(bench), "_make", make)
    assert "failed" not in bench.try_stage(int8_of("teacher"))
