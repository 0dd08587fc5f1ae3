"""The bytes of a raw file as strict UTF-8, block by block; it knows encodings and paths, but no rows and no columns.

Nothing is guessed: the user names the encoding, and a byte that does not fit is an error that says where it stands.
"""

from __future__ import annotations

import codecs
import functools
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from yanmo.data.containers import ByteSpans, raw_blocks
from yanmo.errors import DataError, did_you_mean

__all__ = ["ENCODINGS", "Decoder", "Encoding", "WrongByteError", "check_file", "utf8_blocks", "utf8_lines"]

logger = logging.getLogger(__name__)

Encoding = Literal[
    "utf-8", "utf-8-sig", "gb18030", "gbk", "gb2312", "big5", "cp1252", "utf-16", "utf-16-le", "utf-16-be"
]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

# gb18030 holds gbk, which holds gb2312: files that are called so often have characters of the larger sets. The mark of
# utf-8-sig is taken off by the Decoder, as that of every encoding.
CODECS = {"gbk": "gb18030", "gb2312": "gb18030", "utf-8-sig": "utf-8"}
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
BYTE_ORDER_MARK = "\ufeff"
REPLACEMENT = "\ufffd"
FITTING: tuple[Encoding, ...] = ("utf-8", "gb18030", "big5", "utf-16", "cp1252")
"""Encodings that are tried on a file that is not what it is said to be; nearly any file is cp1252, so it comes last."""
FEWER = 10
"""Another encoding is named where a file does not fit it at so many times fewer places."""


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


class WrongByteError(ValueError):
    """A byte that does not fit the encoding; the text says which, where, and why."""


class Decoder:
    """Strict decoding of bytes that come in pieces; a byte order mark at the beginning is left out.

    Attributes:
        had_mark: Whether there was one that the encoding does not call for.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._decoder = codecs.getincrementaldecoder(CODECS.get(encoding, encoding))("strict")
        self._num_bytes = self._num_lines = 0
        self._is_begun = self.had_mark = False

    def decode(self, data: bytes, *, final: bool = False) -> str:
        """Return the text of the next bytes, as far as its characters are complete.

        Raises:
            WrongByteError: A byte does not fit, or at the end (``final``) one is missing.
        """
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            raise self._wrong_byte(data, error) from error
        self._num_bytes += len(data)
        self._num_lines += text.count("\n")
        if text and not self._is_begun:
            self._is_begun, self.had_mark = True, text.startswith(BYTE_ORDER_MARK)
            return text.removeprefix(BYTE_ORDER_MARK)
        return text

    def _wrong_byte(self, data: bytes, error: UnicodeDecodeError) -> WrongByteError:
        held = error.object  # what was left of the bytes before, and data
        value = f"byte 0x{held[error.start]:02X}" if error.start < len(held) else "the end of the file"
        before = held[: error.start].decode(error.encoding, errors="replace")
        # What the codec held back of earlier bytes was counted with them, so ``data`` is counted from its end.
        offset = self._num_bytes + len(data) - len(held) + error.start
        line = self._num_lines + before.count("\n") + 1
        return WrongByteError(f"{value} at offset {offset}, line {line} ({error.reason})")


def utf8_blocks(path: Path, encoding: Encoding = "utf-8", spans: ByteSpans = ()) -> Iterator[bytes]:
    """Yield a file's content as UTF-8 bytes without a byte order mark, whole characters in blocks of some megabytes.

    Args:
        path: The file.
        encoding: What its bytes are; decoding is strict.
        spans: What is read of it, whole characters.

    Raises:
        DataError: The file is missing, unreadable or empty, or a byte does not fit the encoding.
    """
    decoder = Decoder(encoding)
    is_first = True
    for data in _blocks(path, spans):
        if is_first and encoding == "utf-16" and not data.startswith(UTF16_MARKS):
            raise DataError(
                f"{path} has no byte order mark, so utf-16 does not say which byte comes first.",
                hint="Give --encoding utf-16-le (usual on Windows) or --encoding utf-16-be.",
            )
        try:
            text = decoder.decode(data, final=not data)
        except WrongByteError as error:
            raise _not_encoded(path, encoding, error) from error
        if is_first and decoder.had_mark and encoding == "utf-8":
            _say_mark(path)
        is_first = False
        yield text.encode("utf-8")


def utf8_lines(path: Path, encoding: Encoding = "utf-8") -> Iterator[str]:
    """Yield a file's lines without their ends; only LF and CR LF end one.

    Args:
        path: The file.
        encoding: What its bytes are; decoding is strict.

    Raises:
        DataError: As for :func:`utf8_blocks`.
    """
    rest = b""
    for data in utf8_blocks(path, encoding):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield line.decode("utf-8").removesuffix("\r")
    if rest:
        yield rest.decode("utf-8")


@functools.cache
def _say_mark(path: Path) -> None:
    """Say it once, however often the file is read."""
    logger.info("%s begins with a byte order mark; it was left out.", path)


def _blocks(path: Path, spans: ByteSpans = ()) -> Iterator[bytes]:
    """Yield the unpacked bytes of a file, and an empty block at its end.

    Raises:
        DataError: The file is missing, unreadable or empty.
    """
    check_file(path)
    try:
        is_empty = True
        for data in raw_blocks(path, spans):
            is_empty = False
            yield data
        if is_empty:
            raise DataError(f"{path} is empty.", hint="Give a file that has rows.")
        # The decoder learns from it that nothing follows, so that half a character at the end is an error.
        yield b""
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.", hint="Check the file's permissions.") from error


def _not_encoded(path: Path, encoding: Encoding, error: WrongByteError) -> DataError:
    """Return the error that says which byte is wrong, where, and which encodings fit the file, or fit it best."""
    others: list[Encoding] = [name for name in FITTING if name != encoding]
    wrong = {name: found for name in others if (found := _first_wrong(path, name)) is not None}
    fitting = [name for name in others if name not in wrong]
    # cp1252 gives nearly every byte a meaning, so it is named only where nothing else fits.
    fitting = [name for name in fitting if name != "cp1252"] or fitting
    if fitting:
        hint = f"The whole file decodes as {', '.join(fitting)}. If that is what it is: --encoding {fitting[0]}."
    else:
        hint = "The file decodes under no supported encoding, so that byte is damaged: repair or remove it."
        # Of the others a small number says nothing: nearly any bytes are characters of cp1252 or utf-16.
        num_wrong = {name: _num_wrong(path, name) for name in others if name in ("utf-8", "gb18030", "big5")}
        best = min(num_wrong, key=lambda name: num_wrong[name])
        if FEWER * num_wrong[best] <= _num_wrong(path, encoding):
            hint = (
                f"The file decodes under no supported encoding, but as {best} with {num_wrong[best]} damaged places, "
                f"the first at {wrong[best]}. If that is what it is, repair or remove them, and give --encoding {best}."
            )
    return DataError(f"{path} is not {encoding}: {error}.", hint=hint)


def _first_wrong(path: Path, encoding: Encoding) -> WrongByteError | None:
    """Return the first byte of a file that does not fit an encoding."""
    decoder = Decoder(encoding)
    try:
        for number, data in enumerate(_blocks(path)):
            if not number and encoding == "utf-16" and not data.startswith(UTF16_MARKS):
                return WrongByteError("the beginning (no byte order mark)")
            decoder.decode(data, final=not data)
    except WrongByteError as error:
        return error
    return None


def _num_wrong(path: Path, encoding: Encoding) -> int:
    """Return at how many places a file does not fit an encoding."""
    decoder = codecs.getincrementaldecoder(CODECS.get(encoding, encoding))("replace")
    return sum(decoder.decode(data, not data).count(REPLACEMENT) for data in _blocks(path))


def _files_in(folder: Path, lead: str) -> str:
    names = sorted(file.name for file in folder.iterdir() if file.is_file())
    if not names:
        return f"{folder} has no files."
    more = ", …" if len(names) > 8 else ""
    return f"{lead}{', '.join(names[:8])}{more}"
