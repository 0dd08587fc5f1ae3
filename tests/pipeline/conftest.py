"""A tiny CSV and a way to write pipeline files beside it."""

import textwrap

import pytest

WORDS = {
    "fruit": ["apple", "pear", "plum", "grape", "melon", "peach"],
    "tool": ["hammer", "saw", "drill", "pliers", "wrench", "chisel"],
}


def csv_rows(num_rows=60):
    """Rows whose label a model can learn, no two alike."""
    lines = ["review,label"]
    for number in range(num_rows):
        label = list(WORDS)[number % 2]
        words = WORDS[label]
        lines.append(f"{words[number % 6]} {words[(number // 6) % 6]} {words[(number // 3) % 6]} no {number},{label}")
    return "\n".join(lines) + "\n"


PREPARE = """
    [stage.reviews]
    verb = "prepare"
    source = "reviews.csv"
    text = "review"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with reviews.csv, which is the working directory, so that messages hold no long paths."""
    (tmp_path / "reviews.csv").write_text(csv_rows())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(project):
    """Write pipeline.toml and return its path, relative to the working directory."""

    def write_pipeline(text, *, after=PREPARE):
        path = project / "pipeline.toml"
        path.write_text(textwrap.dedent(after) + textwrap.dedent(text), encoding="utf-8")
        return path.relative_to(project)

    return write_pipeline
