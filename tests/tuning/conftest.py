"""A small Dataset whose label is one of three kinds of words."""

import numpy as np
import polars as pl
import pytest

from yanmo.artifacts import Dataset
from yanmo.artifacts.base import Identity, publish
from yanmo.text.pipeline import TextConfig

WORDS = {"city": ["paris", "rome", "oslo", "lima"], "fruit": ["apple", "pear", "plum", "fig"], "tool": ["saw", "drill"]}
FILLERS = ["the", "很", "是", "today", "今天", "really"]


def make_rows(num_rows, seed):
    generator = np.random.default_rng(seed)
    labels = [list(WORDS)[place % 3] for place in range(num_rows)]
    texts = [" ".join([generator.choice(WORDS[one]), *generator.choice(FILLERS, 3)]) for one in labels]
    return pl.DataFrame({"id": [f"{seed}-{place}" for place in range(num_rows)], "text": texts, "label": labels})


@pytest.fixture(scope="session")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "words"
    info = {"text": TextConfig().model_dump(mode="json")}
    identity = {"task": "single_label", "labels": list(WORDS), "parents": {}, "config": {}, "info": info}
    with publish(folder, Identity(kind="dataset", verb="prepare", **identity)) as staging:
        for seed, (split, num_rows) in enumerate({"train": 60, "valid": 30}.items()):
            make_rows(num_rows, seed).write_parquet(staging / f"{split}.parquet")
    return Dataset.open(folder)
