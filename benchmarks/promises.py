"""Promises, what was found of them, and the dated page of the service; it measures nothing."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from pages import page_path

from yanmo.artifacts.identity import library_versions
from yanmo.machine import describe_machine

__all__ = ["Kept", "Progress", "Section", "report"]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "runs" / "service" / "results.json"
PACKAGES = ("uvicorn", "uvloop", "httptools", "msgspec", "flask", "litserve", "schemathesis", "atheris")
ORDER = (
    "ngram",
    "bert",
    "services",
    "overload-ngram",
    "overload-bert",
    "overload-bert-few",
    "refusals",
    "reload",
    "broken",
    "sigterm",
    "workers",
    "hangs",
    "slow",
    "access",
)
ORDER += ("operations", "corpus", "decoder", "soak")
WORDS = {True: "kept", False: "**BROKEN**"}
HEAD = """# The service: speed, load, faults and abuse

{facts}
- versions: {versions}
- date: {date}

Client and service share this machine. Every row is a promise, what was found, and whether it was kept in that run; the
command of its section prints and stores it. The load average is that at the end of the section.
"""


class Kept(NamedTuple):
    """A promise, what was found, and whether it was kept."""

    promise: str
    found: str
    kept: bool


class Section(NamedTuple):
    """One part of a run.

    Attributes:
        title: What was tried, and how.
        rows: Its promises.
        table: Lines of Markdown that stand below them, if any.
    """

    title: str
    rows: Sequence[Kept]
    table: Sequence[str] = ()


class Progress:
    """Says on the standard error which part runs, and how long the last one took."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def begin(self, part: str) -> None:
        self._begun = time.monotonic()
        print(f"{part}: …", file=sys.stderr, flush=True)

    def end(self, part: str) -> None:
        print(f"{part}: {time.monotonic() - self._begun:.0f} s", file=sys.stderr, flush=True)


def report(part: str, section: Section, *, write: bool) -> bool:
    """Print a section, store it if wanted, and return whether all of it was kept."""
    print(f"\n{section.title}")
    for row in section.rows:
        print(f"{'kept  ' if row.kept else 'BROKEN'}  {row.promise}: {row.found}", flush=True)
    if section.table:
        print("\n" + "\n".join(section.table), flush=True)
    if write:
        _store(part, section)
        page = page_path("service")
        page.write_text(_rendered(), encoding="utf-8")
        print(page, file=sys.stderr)
    return all(row.kept for row in section.rows)


def _store(part: str, section: Section) -> None:
    """Keep a section; those that were not measured this time keep their rows."""
    results = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    arguments = [Path(one).name if Path(one).is_absolute() else one for one in sys.argv[1:]]
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *arguments])
    results[part] = {**section._asdict(), "command": command, "date": f"{date.today()}", "load": os.getloadavg()}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1), encoding="utf-8")


def _rendered() -> str:
    """Return the page of everything that is stored."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    facts = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in describe_machine().items())
    versions = ", ".join(f"{name} {version}" for name, version in _versions().items())
    parts = [HEAD.format(facts=facts, versions=versions, date=date.today())]
    for part in sorted(results, key=ORDER.index):
        section = results[part]
        rows = [f"| {promise} | {found} | {WORDS[kept]} |" for promise, found, kept in section["rows"]]
        load = ", ".join(f"{one:.1f}" for one in section["load"])
        parts.append(f"\n## {section['title']}\n\n`{section['command']}`, {section['date']}, load average {load}\n\n")
        parts.append("\n".join(["| promise | found | |", "|---|---|---|", *rows]) + "\n")
        if section["table"]:
            parts.append("\n" + "\n".join(section["table"]) + "\n")
    return "".join(parts)


def _versions() -> dict[str, str]:
    versions = dict(library_versions())
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions
