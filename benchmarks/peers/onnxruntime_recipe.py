"""onnxruntime on a plain ``torch.onnx.export``, fp32 or int8 as its own ``quantize_dynamic`` makes it, per channel."""

import logging
from pathlib import Path

import numpy as np

from peers.batches import answer_batches, open_tokenizer
from peers.models import plain_onnx


def int8_onnx(folder: Path) -> Path:
    """Return the quantized file, made on first use."""
    path = folder / "plain-int8.onnx"
    if not path.exists():
        from onnxruntime.quantization import quantize_dynamic

        logging.disable(logging.WARNING)
        quantize_dynamic(plain_onnx(folder), path, per_channel=True)
    return path


def open_session(path: Path, num_threads: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = num_threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def open_peer(folder: Path, variant: str, num_threads: int):
    path = int8_onnx(folder) if variant.startswith("int8") else plain_onnx(folder)
    session, tokenizer = open_session(path, num_threads), open_tokenizer(folder)
    names = [one.name for one in session.get_inputs()]

    def score(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return session.run(["logits"], {name: inputs[name] for name in names})[0]

    return lambda texts: answer_batches(texts, tokenizer, score, sorts=not variant.endswith("arrival"))
