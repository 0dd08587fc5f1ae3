"""Strict decoding of bytes in pieces: the same text, or the same wrong byte, as of all bytes at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data.decode import CODECS, ENCODINGS, Decoder, WrongByteError

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
