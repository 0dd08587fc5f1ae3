"""Make the site of these pages: gather what they link to, list it, and let mkdocs build it strictly.

The pages keep their places beside each other, so that links that work in a checkout work in the site, too. Needs the
packages of docs/requirements.txt and nothing of Yanmo.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PAGES = ["README.md", "README.zh.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "LICENSE", "docs/site.css"]
FOLDERS = {"docs": "*.md", "benchmarks": "*", "deploy": "*", "examples": "*"}
"""Folder to the files of it that pages link to, and those below them."""
SECTIONS = {
    "Guides": "docs/guides",
    "Concepts": "docs/concepts",
    "Reference": "docs/reference",
    "Decisions": "docs/decisions",
    "Benchmarks": "benchmarks",
}
FIRST = [
    "first-model",
    "files",
    "labels",
    "several-labels-and-pairs",
    "train-a-model",
    "measure-a-model",
    "serve-a-model",
]
"""The guides that are read first, in this order."""


def main() -> int:
    """Build the site and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site")
    out = parser.parse_args().out.resolve()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source"
        # The settings name a function, as mkdocs lets them.
        settings = yaml.unsafe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
        languages = {one["locale"]: one for one in settings["plugins"]["i18n"]["languages"]}
        gather(source, languages["zh"]["nav_translations"])
        settings |= {"docs_dir": str(source), "site_dir": str(out), "nav": contents(source)}
        file = Path(folder) / "mkdocs.yml"
        file.write_text(yaml.dump(settings, allow_unicode=True, sort_keys=False), encoding="utf-8")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", file]
        # What mkdocs-material says of another project at every start.
        environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
        done = subprocess.run(command, env=environment, check=False)
    if done.returncode == 0:
        print(out / "index.html")
    return done.returncode


def gather(source: Path, chinese: dict[str, str]) -> None:
    """Copy the pages, and give every folder that is linked to a page of its own, in both languages."""
    for name in PAGES:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name, pattern in FOLDERS.items():
        for path in sorted((ROOT / name).rglob(pattern)):
            if path.is_file() and "__pycache__" not in path.parts:
                place = source / path.relative_to(ROOT)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
    for folder in sorted(path for path in source.rglob("*") if path.is_dir()):
        if not (folder / "README.md").exists():
            name = folder.name.capitalize()
            for ending, heading in {".md": name, ".zh.md": chinese.get(name, name)}.items():
                (folder / f"README{ending}").write_text(listing(folder, heading, ending), encoding="utf-8")
    for page in source.rglob("*.md"):
        page.write_text(to_pages(page), encoding="utf-8")


def listing(folder: Path, heading: str, ending: str) -> str:
    """Return a page with what lies in a folder, by the titles of the pages in the language of an ending."""
    paths = [path for path in sorted(folder.iterdir()) if not path.name.endswith(".zh.md") and path.stem != "README"]
    lines = [f"- [{title(path, ending) if path.suffix == '.md' else path.name}]({path.name})" for path in paths]
    return f"# {heading}\n\n" + "\n".join(lines) + "\n"


def to_pages(page: Path) -> str:
    """Return a page whose links to folders lead to the pages of these."""

    def mend(found: re.Match[str]) -> str:
        target = found[1]
        is_folder = "://" not in target and not target.startswith("#") and (page.parent / target).is_dir()
        return f"]({target.rstrip('/')}/README.md)" if is_folder else found[0]

    text = page.read_text(encoding="utf-8")
    # The languages of the site have a menu of their own.
    text = re.sub(r"^\[(?:中文|English)\]\([^)]*\)\n+", "", text, flags=re.MULTILINE)
    return re.sub(r"\]\(([^)\s]+)\)", mend, text)


def contents(source: Path) -> list[dict[str, object]]:
    """Return the list of pages for mkdocs, by section."""
    listed: list[dict[str, object]] = [{"Home": "README.md"}]
    for name, folder in SECTIONS.items():
        pages = [path for path in (source / folder).glob("*.md") if not path.name.endswith(".zh.md")]
        pages.sort(key=lambda path: (FIRST.index(path.stem) if path.stem in FIRST else len(FIRST), path.stem))
        names = [path.relative_to(source).as_posix() for path in pages if path.stem != "README"]
        # The guides are listed by what one wants to do, and the others by their folder.
        listed.append({name: ["docs/README.md" if name == "Guides" else f"{folder}/README.md", *names]})
    return [*listed, {"Changes": "CHANGELOG.md"}]


def title(page: Path, ending: str) -> str:
    """Return the first heading of a page, or of its sister with an ending where there is one."""
    sister = page.with_suffix(ending)
    text = (sister if sister.exists() else page).read_text(encoding="utf-8")
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else page.stem


if __name__ == "__main__":
    sys.exit(main())
