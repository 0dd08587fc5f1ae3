"""The URL of a database in a file, whatever the file's folder is called; it knows nothing of what is in it."""

from __future__ import annotations

from pathlib import Path

__all__ = ["sqlite_url"]


def sqlite_url(path: Path) -> str:
    """Return the URL for SQLAlchemy, in which ``?``, ``#``, ``%`` and braces of the path mean themselves."""
    from sqlalchemy import URL

    return URL.create("sqlite", database=str(path.resolve())).render_as_string()
