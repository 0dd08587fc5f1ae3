"""Every error a user can meet, as one tree; it knows nothing about where they are raised.

YanmoError                  exit 2: the user's mistake, and what to do next
├── ConfigError             a value, a key or a command-line argument
├── DataError               a raw file or a row of it
├── ArtifactError           a Dataset, Bundle, Predictions or Report folder
├── ModelError              a model name, a checkpoint, a training that cannot go on
├── PipelineError           a pipeline file: stages, references, cycles
├── ServingError            a service that cannot start
├── ServiceError            a service that refused a request, or did not answer
├── OutputError             the standard output cannot take what is printed
├── StorageError            a bucket that is not there, refuses, or cannot be reached
├── MissingExtraError       an optional dependency is not installed
├── BusyError               exit 75: another process works in the same folder
├── StoppedError            exit 143: SIGTERM came, and what was done is kept
└── InternalError           exit 1: our mistake
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable
from typing import NoReturn

__all__ = [
    "ArtifactError",
    "BusyError",
    "ConfigError",
    "DataError",
    "InternalError",
    "MissingExtraError",
    "ModelError",
    "OutputError",
    "PipelineError",
    "ServiceError",
    "ServingError",
    "StoppedError",
    "StorageError",
    "YanmoError",
    "check_installed",
    "did_you_mean",
    "raise_again",
    "told",
    "without_secrets",
]

USER = re.compile(r"(?<!\bmodels)(:/{1,2})(?:[^/@\s'\"]*|[^/@\s'\":]*:[^@\s'\"]*)@")
"""Name and password in an address; a registry's alias is none."""
QUERY = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]+:/{1,2}[^\s?'\"]+)\?[^\s'\"]*")
"""What an address has behind a question mark, where signatures stand."""


def without_secrets(text: str) -> str:
    """Return a text without what addresses in it may hold of credentials."""
    return QUERY.sub(r"\1", USER.sub(r"\1…@", text))


class YanmoError(Exception):
    """An error with a message for the user and, where there is one, the next action."""

    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        # Here, since whatever a user has given may be quoted in any of them.
        self.message = without_secrets(message)
        self.hint = hint and without_secrets(hint)
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}\nhint: {self.hint}" if self.hint else self.message


class ConfigError(YanmoError):
    """A value, a key or a command-line argument is wrong."""


class DataError(YanmoError):
    """A raw file or a row of it cannot be used."""


class ArtifactError(YanmoError):
    """An artifact folder is missing, changed, newer than this version, or of another kind."""


class ModelError(YanmoError):
    """A model name or checkpoint cannot be used, or a training cannot go on."""


class PipelineError(YanmoError):
    """A pipeline file is wrong."""


class ServingError(YanmoError):
    """A service cannot start."""


class ServiceError(YanmoError):
    """A service refused a request, or did not answer.

    Attributes:
        status: The HTTP status; 0 without an answer.
        code: The problem's stable name.
        retry_seconds: When the service wants to be asked again; None if it did not say.
    """

    def __init__(self, message: str, *, status: int, code: str, retry_seconds: float | None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_seconds = retry_seconds


class OutputError(YanmoError):
    """What is to be printed cannot be written."""


class StorageError(YanmoError):
    """A bucket is not there, refuses what is asked of it, or cannot be reached."""


class MissingExtraError(YanmoError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, *, package: str, extra: str) -> None:
        super().__init__(
            f"{what} needs the package '{package}', which is not installed.",
            hint=f"pip install 'yanmo[{extra}]'",
        )


class BusyError(YanmoError):
    """Another process works in the same folder."""

    exit_code = 75  # EX_TEMPFAIL of sysexits.h: try again later


class StoppedError(YanmoError):
    """SIGTERM came; what was done until then is kept, and the same command goes on."""

    exit_code = 143  # 128 + SIGTERM, as a shell counts


class InternalError(YanmoError):
    """Something happened that we believed impossible."""

    exit_code = 1


def told(error: YanmoError) -> tuple[str, str, str | None]:
    """Return an error as plain values, for another process: the name of its class, the message, the hint."""
    return type(error).__name__, error.message, error.hint


def raise_again(name: str, message: str, hint: str | None) -> NoReturn:
    """Raise what :func:`told` has made plain values of in another process.

    Raises:
        YanmoError: Of the same class.
    """
    kind: type[YanmoError] = globals().get(name, InternalError)
    # Past the class's own __init__, whose arguments are not those that came back.
    error = kind.__new__(kind)
    YanmoError.__init__(error, message, hint=hint)
    raise error


def check_installed(what: str, *packages: str, extra: str) -> None:
    """Refuse work whose packages are not all installed; nothing is imported.

    Args:
        what: The work, as the message begins with it.
        packages: Names to import.
        extra: The extra of Yanmo that has them.

    Raises:
        MissingExtraError: The first of them that is not there.
    """
    for package in packages:
        # Looked for and not imported: importing torch takes seconds.
        if importlib.util.find_spec(package) is None:
            raise MissingExtraError(what, package=package, extra=extra)


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest of the options, or an empty string."""
    close = difflib.get_close_matches(word, list(options), n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""
