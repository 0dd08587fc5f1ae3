"""What the operating system refuses, as a user is told it: a full disk, a name that is too long, a path in the way.

It knows no verb.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from yanmo.errors import ArtifactError, DataError, InternalError, YanmoError

__all__ = ["system_errors"]

RUST_ERROR = re.compile(r"\(os error (\d+)\)")
BETWEEN_PROCESSES = (ConnectionError, ChildProcessError, ProcessLookupError, BlockingIOError, InterruptedError)
"""Errors of processes that talk to each other, which are no user's mistake."""


@contextlib.contextmanager
def system_errors(out: str | Path | None) -> Iterator[None]:
    """Turn what the operating system refuses inside the block into a user's error.

    Libraries written in Rust say it in words only.

    Args:
        out: Where the result was to appear, None where nothing was to be written.

    Raises:
        ArtifactError: ``out`` cannot be written.
        DataError: Another file cannot be used.
        InternalError: Two processes of ours lost each other.
    """
    try:
        yield
    except YanmoError:
        raise
    # They are OSErrors as well, so they are looked at first.
    except BETWEEN_PROCESSES as error:
        raise InternalError(f"{type(error).__name__}: {error}.", hint="This is our mistake. Report it.") from error
    except Exception as error:
        said = RUST_ERROR.search(str(error))
        # polars and tokenizers raise errors of their own, whose text ends with the number.
        number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
        if number is None:
            raise
        raise _refusal(getattr(error, "filename", None), os.strerror(number), out) from error


def _refusal(filename: str | bytes | int | None, reason: str, out: str | Path | None) -> YanmoError:
    path = Path(os.fsdecode(filename)) if isinstance(filename, str | bytes) and filename else None
    if out is not None and (path is None or _belongs_to(path, Path(out))):
        return ArtifactError(
            f"Cannot write {out}: {reason}.",
            hint="Free some space or choose another --out; nothing half-written was left.",
        )
    if path is None:
        return DataError(f"The operating system refuses it: {reason}.", hint="Check the paths of the command.")
    return DataError(f"Cannot use {path}: {reason}.", hint="Check the path: that it is right, and that you may use it.")


def _belongs_to(path: Path, out: Path) -> bool:
    """Return whether a path is that of ``out`` or of what is kept beside it until it is whole."""
    try:
        first = path.absolute().relative_to(out.absolute().parent).parts[:1]
    except ValueError:
        return False
    # The parent itself, in which nothing can be made; the place; or what is staged beside it, as .NAME.partial.
    return not first or first[0] == out.name or first[0].startswith(f".{out.name}.")
