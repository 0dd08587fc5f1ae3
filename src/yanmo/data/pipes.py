"""Pipes as files: what comes through one is kept until the call ends; it knows no format."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from yanmo.counted import counted

__all__ = ["kept_pipes"]

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def kept_pipes(paths: Sequence[Path]) -> Iterator[tuple[Path, ...]]:
    """Give paths that may be read as often as one likes: in place of each pipe a file with what came through it.

    Args:
        paths: Files, and pipes such as ``/dev/stdin``, ``/dev/fd/63`` or a FIFO.
    """
    if not any(map(_is_pipe, paths)):
        yield tuple(paths)
        return
    # Rows are looked at for mistakes before any is used, and digests are taken of what was read: a pipe gives its
    # bytes once.
    with tempfile.TemporaryDirectory(prefix="yanmo-") as folder:
        yield tuple(_keep(path, Path(folder), number) for number, path in enumerate(paths, 1))


def _is_pipe(path: Path) -> bool:
    return path.is_fifo() or path.is_char_device()


def _keep(path: Path, folder: Path, number: int) -> Path:
    if not _is_pipe(path):
        return path
    file = folder / f"pipe-{number}"
    with path.open("rb") as source, file.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    logger.info("%s: %s came through it, kept in %s meanwhile", path, counted(file.stat().st_size, "byte"), file)
    return file
