"""The standard streams as a command may find them: closed, full, without a reader, in an encoding without a character.

What cannot be shown is escaped. It knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import sys
from collections.abc import Iterator

from yanmo.errors import OutputError

__all__ = [
    "NoReaderError",
    "complain",
    "is_unicode",
    "log_to_stderr",
    "mend_streams",
    "printable",
    "release_output",
    "say",
    "saying",
]

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, color or reorder what stands around them."""
RED, PLAIN = "\x1b[1;31m", "\x1b[0m"


class NoReaderError(Exception):
    """Whoever read the standard output reads no more, as ``head`` does; what is left to say is said to nobody."""


def mend_streams() -> None:
    """Make the streams such that a character that they lack is escaped, and open those that are closed.

    A closed input is empty, and what is said to a closed standard error is lost. Their numbers are taken, so that no
    file that is opened later gets what a library prints. To write to a closed output fails, as it did before.
    """
    # In this order: a file that is opened gets the lowest number that is free, so each stream gets its own.
    if sys.stdin is None:
        sys.stdin = _open_nothing(os.O_RDONLY, "r")
    if sys.stdout is None:
        # For reading, so that writing to it fails.
        sys.stdout = _open_nothing(os.O_RDONLY, "w")
    if sys.stderr is None:
        sys.stderr = _open_nothing(os.O_WRONLY, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _open_nothing(flags: int, mode: str) -> io.TextIOWrapper:
    stream = os.fdopen(os.open(os.devnull, flags), mode, encoding="utf-8")
    assert isinstance(stream, io.TextIOWrapper)
    return stream


def is_unicode() -> bool:
    """Return whether the standard output has every character."""
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("_", "-").startswith("utf")


def printable(text: str, *, kept: str = "\n\t") -> str:
    """Return a text whose control characters are escaped, but for those that are kept."""
    return CONTROL.sub(lambda found: found[0] if found[0] in kept else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


class _Printable(logging.Formatter):
    """The message alone, printable: what it quotes of a file is no command to the terminal."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def log_to_stderr(told: str = "yanmo") -> None:
    """Let the log go to the standard error: of one package all that it tells, of the others what is wrong."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger(told).setLevel(logging.INFO)


def say(text: str) -> None:
    """Write a line to the standard output, at once.

    Raises:
        OutputError: It cannot be written.
        NoReaderError: Nobody reads any more.
    """
    with saying():
        sys.stdout.write(f"{text}\n")


@contextlib.contextmanager
def saying() -> Iterator[None]:
    """Let what is written to the standard output inside the block raise what :func:`say` raises."""
    try:
        yield
        # Here and not when the program ends: a full disk is then an error of the command.
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise NoReaderError from error
    except SystemExit as error:  # rich ends the program where nobody reads
        if not isinstance(error.__context__, BrokenPipeError):
            raise
        raise NoReaderError from error
    except OSError as error:
        raise OutputError(
            f"Cannot write to the standard output: {error.strerror}.",
            hint="Free some space, or let it go to another place.",
        ) from error


def complain(text: str, *, is_error: bool = False) -> None:
    """Write a line to the standard error; where that cannot be done, nobody is told.

    Args:
        text: What is said; control characters in it are escaped.
        is_error: A terminal shows ``error:`` before it, in red unless NO_COLOR is set.
    """
    # A stream that is closed raises ValueError.
    with contextlib.suppress(OSError, ValueError):
        mark = _error_mark() if is_error and sys.stderr.isatty() else ""
        sys.stderr.write(f"{mark}{printable(text)}\n")
        sys.stderr.flush()


def _error_mark() -> str:
    # Any value but none turns colors off, as no-color.org has it.
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return "error: " if is_plain else f"{RED}error:{PLAIN} "


def release_output() -> None:
    """Throw away what could not be written, so that the end of the program does not try it once more."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
