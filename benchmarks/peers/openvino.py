"""OpenVINO on the plain ONNX file: f32, bf16, or int8 by NNCF's post-training quantization; precision always set."""

from pathlib import Path

import numpy as np

from peers.batches import answer_batches, by_length, make_inputs, open_tokenizer
from peers.models import plain_onnx, read_texts

CALIBRATION_BATCHES = 20


def int8_model(folder: Path) -> Path:
    """Return the quantized model, made on first use from 640 training texts."""
    path = folder / "openvino-int8.xml"
    if not path.exists():
        import nncf
        import openvino

        texts, tokenizer = read_texts(folder / "train.txt")[: 32 * CALIBRATION_BATCHES], open_tokenizer(folder)
        batches = [make_inputs(tokenizer, [texts[row] for row in rows_B]) for rows_B in by_length(texts)]
        model = openvino.Core().read_model(plain_onnx(folder))
        quantized = nncf.quantize(
            model, nncf.Dataset(batches), model_type=nncf.ModelType.TRANSFORMER, subset_size=len(batches)
        )
        openvino.save_model(quantized, path, compress_to_fp16=False)
    return path


def open_peer(folder: Path, variant: str, num_threads: int):
    import openvino

    core = openvino.Core()
    path = int8_model(folder) if variant == "int8" else plain_onnx(folder)
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if variant == "int8" else variant,
        "INFERENCE_NUM_THREADS": num_threads,
        "NUM_STREAMS": "1",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(core.read_model(path), "CPU", settings).create_infer_request()
    tokenizer = open_tokenizer(folder)

    def score(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return np.array(request.infer(inputs)[0])

    return lambda texts: answer_batches(texts, tokenizer, score)
