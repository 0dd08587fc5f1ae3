"""Text files without a header: a text a line, or a pair with a tab between, as standard input has them; no rows yet."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from yanmo.data.containers import file_kind
from yanmo.data.decode import check_file, utf8_blocks
from yanmo.data.fasttext import is_fasttext
from yanmo.data.header import peek_line
from yanmo.data.read import ReadOptions

__all__ = ["line_options"]

logger = logging.getLogger(__name__)

TAB, NOWHERE = "tab", "\x1f"
"""What separates the texts of a pair, and what separates nothing: a single text may hold tabs."""


def line_options(paths: Sequence[Path], options: ReadOptions, inputs: Sequence[str]) -> ReadOptions | None:
    """Return how files of plain lines are read, with columns 1, 2, …; None where the files have a header.

    Args:
        paths: Files.
        options: How they are read.
        inputs: The names that a header would have.
    """
    if not options.header or options.delimiter is not None:
        return None
    if not all(_is_plain(path, options, inputs) for path in paths):
        return None
    what = "a text" if len(inputs) == 1 else "texts with a tab between"
    names = " and ".join(map(repr, inputs))
    logger.info("%s has no header line with %s: every line is read as %s.", paths[0], names, what)
    return options.model_copy(update={"header": False, "delimiter": NOWHERE if len(inputs) == 1 else TAB})


def _is_plain(path: Path, options: ReadOptions, inputs: Sequence[str]) -> bool:
    """Return whether a file's first line is no header, and no line of another format."""
    if file_kind(path, options.file_type) != ".txt":
        return False
    check_file(path)
    head, _ = peek_line(utf8_blocks(path, options.encoding))
    # The head may end within a character.
    first = head.decode("utf-8", errors="ignore").removeprefix("\ufeff").split("\n", 1)[0].strip()
    names = [name.strip() for name in first.split("\t")]
    # One line of several columns without any of the names is a header with a mistake, where single texts are asked for.
    return bool(first) and len(names) == len(inputs) and not set(inputs) & set(names) and not is_fasttext(".txt", head)
