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


@pytest.fixture(scope="session")
def write_project():
    """Write reviews.csv, if it is not there, and pipeline.toml into a folder; return the path of the latter."""

    def write_files(folder, text, *, before=PREPARE):
        if not (folder / "reviews.csv").exists():
            (folder / "reviews.csv").write_text(csv_rows())
        (folder / "pipeline.toml").write_text(textwrap.dedent(before) + textwrap.dedent(text), encoding="utf-8")
        return folder / "pipeline.toml"

    return write_files


@pytest.fixture
def project(tmp_path, monkeypatch):
    """An empty folder that is the working directory, so that messages hold no long paths."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def write(project, write_project):
    """Write the files of a project and return the pipeline file's path, relative to the working directory."""
    return lambda text, **more: write_project(project, text, **more).relative_to(project)
