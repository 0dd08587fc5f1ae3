"""What a file is around its bytes: gzip and Zstandard are unpacked block by block; archives and sheets are named."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from yanmo.errors import DataError, MissingExtraError

__all__ = [
    "BLOCK_BYTES",
    "COMPRESSIONS",
    "EXTENSIONS",
    "SAVE_SHEET",
    "SHEETS",
    "ByteSpans",
    "file_kind",
    "kind_of",
    "raw_blocks",
    "unread_kind",
]

ByteSpans: TypeAlias = tuple[tuple[int, int], ...]
"""Parts of a file that are read as if they were all of it: first byte and the one behind the last; none for all."""

BLOCK_BYTES = 1 << 22
"""Bytes of a file that are in memory at a time."""
EXTENSIONS = (".csv", ".tsv", ".txt", ".jsonl", ".ndjson", ".parquet")
SHEETS = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
"""Files of spreadsheet programs."""
COMPRESSIONS = (".gz", ".zst")
"""Endings of what is unpacked while it is read."""
SAVE_SHEET = "Save its sheet as CSV UTF-8 in the program that opens it, and give that file."
UNPACK = "Unpack it, and give the files that are in it."
PACK_ANEW = "Unpack it; .gz and .zst are read."
UNREAD = {
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), ("an archive", UNPACK)),
    **dict.fromkeys((".bz2", ".xz", ".lz4"), ("compressed in a way that is not read", PACK_ANEW)),
}
SIGNATURES = {
    b"PK\x03\x04": ("an archive or an Excel file", SAVE_SHEET),
    b"\xd0\xcf\x11\xe0": ("an old Excel file", SAVE_SHEET),
    b"\x1f\x8b": ("compressed by gzip", "Let its name end in .gz."),
    b"\x28\xb5\x2f\xfd": ("compressed by Zstandard", "Let its name end in .zst."),
    b"BZh": ("compressed by bzip2", PACK_ANEW),
    b"\xfd7zXZ": ("compressed by xz", PACK_ANEW),
    b"PAR1": ("a Parquet file", "Let its name end in .parquet."),
}


def kind_of(path: Path) -> str:
    """Return the extension that says what a file holds, in lower case; that of its compression is left out."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSIONS else path
    return name.suffix.lower()


def file_kind(path: Path, file_type: str | None) -> str:
    """Return the extension that a file is read by: that of the type it is said to be, else its own."""
    return kind_of(path) if file_type is None else f".{file_type}"


def unread_kind(path: Path) -> DataError | None:
    """Return the error for a file whose extension says that it is nothing to read rows from, if it does."""
    compression, kind = path.suffix.lower(), kind_of(path)
    if kind == ".parquet" and compression in COMPRESSIONS:
        return DataError(
            f"{path} is a Parquet file that was compressed once more.", hint="Unpack it: Parquet is compressed inside."
        )
    if kind in SHEETS and compression in COMPRESSIONS:
        return DataError(f"{path} is a compressed spreadsheet.", hint="Unpack it.")
    what, hint = UNREAD.get(kind, UNREAD.get(compression, ("", "")))
    return DataError(f"{path} is {what}.", hint=hint) if what else None


def raw_blocks(path: Path, spans: ByteSpans = ()) -> Iterator[bytes]:
    """Yield the bytes of a file, unpacked, in blocks of some megabytes.

    Args:
        path: The file.
        spans: What is read of a file that is not compressed.

    Raises:
        DataError: It is damaged, or no table of text at all.
        MissingExtraError: What unpacks it is not installed.
        OSError: It cannot be read.
    """
    unpack = {".gz": _gzip_blocks, ".zst": _zst_blocks}.get(path.suffix.lower())
    blocks = _plain_blocks(path, spans) if unpack is None else unpack(path)
    is_first = True
    for data in blocks:
        if is_first:
            _check_signature(path, data)
        is_first = False
        yield data


def _check_signature(path: Path, data: bytes) -> None:
    found = next((one for one in SIGNATURES if data.startswith(one)), None)
    if found is not None:
        what, hint = SIGNATURES[found]
        raise DataError(f"{path} is {what}, whatever its name says.", hint=hint)


def _plain_blocks(path: Path, spans: ByteSpans) -> Iterator[bytes]:
    with path.open("rb") as file:
        for begin, end in spans:
            file.seek(begin)
            while data := file.read(min(BLOCK_BYTES, end - file.tell())):
                yield data
        if not spans:
            yield from _pieces(file)


def _gzip_blocks(path: Path) -> Iterator[bytes]:
    try:
        with gzip.open(path, "rb") as file:
            yield from _pieces(file)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _damaged(path, "gzip", error) from error


def _zst_blocks(path: Path) -> Iterator[bytes]:
    zstandard = _zstandard(path)
    with path.open("rb") as file:
        decompressor = None
        # A file may hold several frames, one after the other.
        for piece in _pieces(file):
            data = piece
            while data:
                decompressor = decompressor or zstandard.ZstdDecompressor().decompressobj()
                try:
                    unpacked = decompressor.decompress(data)
                except zstandard.ZstdError as error:
                    raise _damaged(path, "Zstandard", error) from error
                data, decompressor = (decompressor.unused_data, None) if decompressor.eof else (b"", decompressor)
                if unpacked:
                    yield unpacked
        if decompressor is not None:
            raise _damaged(path, "Zstandard", EOFError("it was cut off"))


def _zstandard(path: Path) -> Any:
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError(f"Reading {path}", package="zstandard", extra="zstd") from error
    return zstandard


def _pieces(file: BinaryIO | gzip.GzipFile) -> Iterator[bytes]:
    while data := file.read(BLOCK_BYTES):
        yield data


def _damaged(path: Path, what: str, error: Exception) -> DataError:
    return DataError(f"{path} is damaged as a file of {what}: {error}.", hint="Copy it again, or compress it again.")
