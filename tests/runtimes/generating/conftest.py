"""A tiny decoder on onnxruntime: in fp32, and with both kinds of products in 8 bits."""

import pytest

from yanmo.exporting.decoder import read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.runtimes.generating.decoder_session import DecoderSession

KINDS = {
    "fp32": {"is_int8": False},
    "int8": {"is_int8": True},
    "int8-rows": {"is_int8": True, "products": "rows"},
}


@pytest.fixture(scope="session", params=KINDS)
def session(request, decoder_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "model.onnx"
    kind = KINDS[request.param]
    path.write_bytes(write_decoder(read_decoder(decoder_folder), **kind))
    session = DecoderSession(path, num_rows=3, max_length=64, num_threads=1)
    session.is_int8 = kind["is_int8"]
    return session
