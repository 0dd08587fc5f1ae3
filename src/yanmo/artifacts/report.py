"""A Report: what was measured, as strict JSON and as one page that opens offline; it knows no model and draws nothing.

Files: ``report.json`` (no NaN: what has no value is null) and ``report.html``.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from yanmo.artifacts.base import Artifact, Manifest
from yanmo.artifacts.identity import library_versions
from yanmo.machine import describe_machine
from yanmo.translations import Language

__all__ = ["REPORT_HTML", "REPORT_JSON", "Report", "UnsavedReport", "circumstances", "plain", "write_report"]

REPORT_JSON = "report.json"
REPORT_HTML = "report.html"


class Report(Artifact):
    """An opened Report."""

    kind: ClassVar[str] = "report"

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """All that was measured; the ``report`` key says which sort of Report it is."""
        return dict(msgspec.json.decode((self.path / REPORT_JSON).read_bytes()))

    @property
    def html_path(self) -> Path:
        """The page for people."""
        return self.path / REPORT_HTML

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: the headlines, not the tables; ``size_mb`` is the measured Bundle's."""
        return {**super().summary(), "html": str(self.html_path), **self.manifest.info.get("summary", {})}


class UnsavedReport(Report):
    """A Report that stands in no folder: ``path`` is None, and there is no page."""

    def __init__(self, manifest: Manifest, metrics: dict[str, Any]) -> None:
        super().__init__(Path(), manifest, "")
        self.path = None  # type: ignore[assignment]
        self.metrics = metrics

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints."""
        return {"kind": self.kind, "path": None, "task": self.task, **self.manifest.info.get("summary", {})}


def write_report(folder: Path, metrics: Mapping[str, Any], html: str) -> None:
    """Write both files into the staging folder of a Report.

    Args:
        folder: The staging folder.
        metrics: JSON values, from :func:`plain`.
        html: The whole page.
    """
    content = msgspec.json.format(msgspec.json.encode(metrics), indent=2) + b"\n"
    (folder / REPORT_JSON).write_bytes(content)
    # The line ends of Windows would give equal Reports other bytes there.
    (folder / REPORT_HTML).write_text(html, encoding="utf-8", newline="\n")


def circumstances(language: Language) -> dict[str, Any]:
    """Return what every Report says of when, where and with what was measured: ``date``, ``machine``, ``versions``.

    Args:
        language: In which its page is read, which it says, too.

    The day is that of UTC. The variable SOURCE_DATE_EPOCH sets it, as it does for other builds that are to be equal.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    # What is no number, or lies beyond the year 9999, is no date of a build.
    known = int(seconds) if seconds.isdecimal() and len(seconds) < 12 else None
    # A day and no time: Reports of one day that measured the same stay equal to the byte.
    day = time.strftime("%Y-%m-%d", time.gmtime(known))
    return {"language": language, "date": day, "machine": describe_machine(), "versions": library_versions()}


def plain(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same as plain JSON values; a number that is not finite becomes None."""
    return {key: _plain(value) for key, value in metrics.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
