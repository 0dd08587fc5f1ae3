"""The database of a search, opened for Optuna, and what a user is told where it does not answer; it knows no search."""

from __future__ import annotations

import contextlib
from typing import Any

from optuna.exceptions import StorageInternalError
from optuna.storages import RDBStorage
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError
from sqlalchemy.pool import NullPool

from yanmo.errors import ConfigError, MissingExtraError

__all__ = ["open_storage", "unreached"]

WAIT_SECONDS = 60
NUM_ATTEMPTS = 5


def open_storage(url: str) -> RDBStorage:
    """Return the storage of a URL, whose tables are made where there are none.

    Args:
        url: Of an Optuna storage, such as ``sqlite:///file`` or ``postgresql://…``.

    Raises:
        MissingExtraError: The driver of PostgreSQL is not installed.
        ConfigError: It cannot be opened.
    """
    try:
        return _open(url)
    except Exception as error:  # SQLAlchemy's and the driver's own errors have no common base
        if isinstance(error.__cause__, ModuleNotFoundError) and error.__cause__.name == "psycopg":
            raise MissingExtraError("A search in PostgreSQL", package="psycopg", extra="postgresql") from error
        raise ConfigError(
            f"The storage of the search cannot be opened: {_first_line(error)}",
            hint="Give an Optuna storage URL such as sqlite:///study.db, and install the driver of its database.",
        ) from error


def unreached(error: StorageInternalError) -> ConfigError:
    """Return what a user is told where the database of a search that runs does not answer any more."""
    return ConfigError(
        f"The storage of the search cannot be reached any more: {_first_line(error.__cause__ or error)}",
        hint="Give the same command again when it answers: it goes on from what it has finished.",
    )


def _open(url: str) -> RDBStorage:
    is_file = url.startswith("sqlite")
    # SQLite gives up after five seconds by itself, and many workers may be writing.
    options: dict[str, Any] = {"connect_args": {"timeout": WAIT_SECONDS}} if is_file else {}
    # What those meet that come late, of several that begin at once: the table is there that they were about to make.
    late = (IntegrityError, ProgrammingError, *([OperationalError] if is_file else []))
    for _ in range(NUM_ATTEMPTS):
        with contextlib.suppress(*late):
            # Without a pool, in which a failure would leave its connection.
            RDBStorage(url, engine_kwargs={**options, "poolclass": NullPool}).remove_session()
            break
    # A server closes what is idle for long, as connections are during a training.
    return RDBStorage(url, engine_kwargs={**options, "pool_pre_ping": not is_file})


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
