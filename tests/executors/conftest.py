"""A small Bundle and rows for it, and the folder of the jobs that workers are given."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from yanmo.answers.choices import Choices
from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import write_golden
from yanmo.modeling.runs.linear_model import fit_linear
from yanmo.modeling.settings import LabeledTexts, NetworkSettings
from yanmo.tasks import get_task
from yanmo.text.inputs import Inputs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
TEXTS, LABELS = ["good", "bad", "很好", "不好"], ["neg", "pos"]


@pytest.fixture(scope="session")
def workers_path() -> str:
    """The PYTHONPATH with which workers find the jobs of these tests."""
    return os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])


def write_rows(path: Path, num_rows: int) -> None:
    path.write_text("text\n" + "".join(f"{TEXTS[i % 4]} {i}\n" for i in range(num_rows)), "utf-8")


@pytest.fixture(scope="session")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``bundle``, which tells good from bad, ``rows.csv`` of 23 rows and ``many.csv`` of 20,000."""
    folder = tmp_path_factory.mktemp("executors")
    link = get_task("single_label").link
    targets_NC = np.eye(2, dtype=np.float32)[[1, 0, 1, 0]]
    model = fit_linear(LabeledTexts(Inputs((TEXTS,)), targets_NC), NetworkSettings(LABELS, link))
    info = {"format": "linear", "model": "linear", "max_length": 0, "architecture": {"family": "linear"}, "text": {}}
    identity = Identity(kind="bundle", verb="train", task="single_label", labels=LABELS, info=info)
    with publish(folder / "bundle", identity) as staging:
        model.save(staging)
        write_golden(staging, ("text",), Inputs(([],)), Choices(np.zeros((0, 2), dtype=np.float32), link))
    write_rows(folder / "rows.csv", 23)
    write_rows(folder / "many.csv", 20_000)
    return folder
