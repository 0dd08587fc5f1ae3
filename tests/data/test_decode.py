"""Strict decoding of bytes in pieces: the same text, or the same wrong byte, as of all bytes at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from yanmo.data import containers
from yanmo.data.decode import CODECS, ENCODINGS, Decoder, WrongByteError, utf8_lines

TEXT = st.text(st.sampled_from("aé好吃\n\r\ufeff😀"), max_size=12)
RUBBISH = st.binary(max_size=4)


def decode_in_pieces(data: bytes, encoding: str, size: int) -> str:
    decoder = Decoder(encoding)  # type: ignore[arg-type]
    pieces = [decoder.decode(data[start : start + size]) for start in range(0, len(data), size)]
    return "".join([*pieces, decoder.decode(b"", final=True)])


@pytest.mark.parametrize("encoding", ENCODINGS)
@settings(max_examples=100, deadline=None)
@given(text=TEXT, rubbish=RUBBISH, tail=TEXT, size=st.sampled_from([1, 2, 3, 100]))
def test_pieces_give_the_text_or_the_wrong_byte_of_the_whole(
    encoding: str, text: str, rubbish: bytes, tail: str, size: int
) -> None:
    codec = CODECS.get(encoding, encoding)
    data = text.encode(codec, "ignore") + rubbish + tail.encode(codec, "ignore")
    try:
        expected = data.decode(codec).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        value = f"byte 0x{data[error.start]:02X}" if error.start < len(data) else "the end of the file"
        line = data[: error.start].decode(codec, "replace").count("\n") + 1
        expected = f"{value} at offset {error.start}, line {line} ({error.reason})"
    try:
        found = decode_in_pieces(data, encoding, size)
    except WrongByteError as error:
        found = str(error)
    assert found == expected


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    lines=st.lists(st.text(st.sampled_from("a好\u2028\x0b\r😀"), max_size=4), min_size=1),
    end=st.sampled_from(["\n", "\r\n"]),
)
@pytest.mark.parametrize("size", [1, 3, 1 << 20])
def test_only_line_ends_end_a_line(
    lines: list[str], end: str, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(containers, "BLOCK_BYTES", size)
    path = tmp_path / "a.txt"
    path.write_text("".join(f"x{line}y{end}" for line in lines), encoding="utf-8", newline="")
    assert list(utf8_lines(path)) == [f"x{line}y" for line in lines]
