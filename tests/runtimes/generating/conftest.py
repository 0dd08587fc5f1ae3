"""A tiny decoder on onnxruntime, its weights in blocks of 8 bits and in fp32."""

import pytest

from yanmo.exporting.decoder import read_decoder
from yanmo.exporting.decoder_graph import write_decoder
from yanmo.runtimes.generating.decoder_session import DecoderSession


@pytest.fixture(scope="session", params=[False, True], ids=["fp32", "int8"])
def session(request, decoder_folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("session") / "model.onnx"
    path.write_bytes(write_decoder(read_decoder(decoder_folder), is_int8=request.param))
    session = DecoderSession(path, num_rows=3, max_length=64, num_threads=1)
    session.is_int8 = request.param
    return session
