"""The bytes of a raw file as strict UTF-8; it knows encodings and paths, but no rows and no columns.

Nothing is guessed: the user names the encoding, and a byte that does not fit is an error that says where it stands.
"""

from __future__ import annotations

import codecs
import logging
from pathlib import Path
from typing import Literal, get_args

from yanmo.errors import DataError, did_you_mean

__all__ = ["ENCODINGS", "Encoding", "check_file", "read_utf8"]

logger = logging.getLogger(__name__)

Encoding = Literal[
    "utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "cp1252", "utf-16", "utf-16-le", "utf-16-be"
]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

CODECS = {"gbk": "gb18030", "gb2312": "gb18030", "utf-8-sig": "utf-8"}
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BYTE_ORDER_MARK = "\ufeff"


def check_file(path: Path) -> Path:
    """Return the path if a file stands there.

    Raises:
        DataError: Nothing stands there, or a folder.
    """
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file.", hint=_files_in(path, f"Name one of its files: {path}/"))
    if path.is_file():
        return path
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"There is no file {path}: the folder {folder} does not exist.", hint="Check the path.")
    suggestion = did_you_mean(path.name, [file.name for file in folder.iterdir() if file.is_file()])
    raise DataError(f"There is no file {path}.{suggestion}", hint=_files_in(folder, f"Files in {folder}: "))


def read_utf8(path: Path, encoding: Encoding = "utf-8") -> bytes:
    """Return a file's content as UTF-8 bytes without a byte order mark.

    Args:
        path: The file.
        encoding: What its bytes are; decoding is strict.

    Raises:
        DataError: The file is missing, unreadable or empty, or a byte does not fit the encoding.
    """
    data = read_bytes(path)
    if encoding == "utf-16" and not data.startswith(UTF16_MARKS):
        raise DataError(
            f"{path} has no byte order mark, so utf-16 does not say which byte comes first.",
            hint="Give --encoding utf-16-le (usual on Windows) or --encoding utf-16-be.",
        )
    try:
        text = data.decode(CODECS.get(encoding, encoding))
    except UnicodeDecodeError as error:
        raise _wrong_byte(path, data, encoding, error) from error
    if text.startswith(BYTE_ORDER_MARK):
        if encoding == "utf-8":
            logger.info("%s begins with a byte order mark; it was left out.", path)
        text = text[1:]
    return text.encode("utf-8")


def read_bytes(path: Path) -> bytes:
    """Return the raw bytes of a file that must not be empty.

    Raises:
        DataError: The file is missing, unreadable or empty.
    """
    check_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.", hint="Check the file's permissions.") from error
    if not data:
        raise DataError(f"{path} is empty.", hint="Give a file that has rows.")
    return data


def _wrong_byte(path: Path, data: bytes, encoding: Encoding, error: UnicodeDecodeError) -> DataError:
    """Return the error that says which byte is wrong, where, and which encodings fit the file."""
    offset = error.start
    before = data[:offset].decode(CODECS.get(encoding, encoding), errors="replace")
    fitting = [name for name in ("utf-8", "gb18030", "big5", "utf-16") if name != encoding and _fits(data, name)]
    if not fitting and encoding != "cp1252" and _fits(data, "cp1252"):
        fitting = ["cp1252"]
    if fitting:
        hint = f"The whole file decodes as {', '.join(fitting)}. If that is what it is: --encoding {fitting[0]}."
    else:
        hint = "The file decodes under no supported encoding, so that byte is damaged: repair or remove it."
    value = f"byte 0x{data[offset]:02X}" if offset < len(data) else "the end of the file"
    return DataError(
        f"{path} is not {encoding}: {value} at offset {offset}, line {before.count(chr(10)) + 1} ({error.reason}).",
        hint=hint,
    )


def _fits(data: bytes, encoding: str) -> bool:
    if encoding == "utf-16" and not data.startswith(UTF16_MARKS):
        return False
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _files_in(folder: Path, lead: str) -> str:
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    if not names:
        return f"{folder} has no files."
    more = ", …" if len(names) > 8 else ""
    return f"{lead}{', '.join(names[:8])}{more}"
