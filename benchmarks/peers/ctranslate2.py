"""CTranslate2's int8 encoder with pooler and head in numpy, batches of 32 texts of about equal length."""

from pathlib import Path

import numpy as np

from peers.batches import by_length, open_tokenizer


def converted(folder: Path) -> Path:
    """Return CTranslate2's folder, made on first use."""
    path = folder / "ctranslate2"
    if not path.exists():
        import ctranslate2
        from transformers import AutoTokenizer, BertConfig, BertModel

        BertConfig.position_embedding_type = "absolute"  # what its converter asks and transformers 5 dropped
        source = folder / "encoder"
        BertModel.from_pretrained(folder / "bundle").save_pretrained(source)
        AutoTokenizer.from_pretrained(folder / "bundle").save_pretrained(source)
        ctranslate2.converters.TransformersConverter(str(source)).convert(str(path))
    return path


def open_peer(folder: Path, variant: str, num_threads: int):
    import ctranslate2
    from safetensors.numpy import load_file

    path = str(converted(folder))
    encoder = ctranslate2.Encoder(path, device="cpu", compute_type=variant, intra_threads=num_threads, inter_threads=1)
    weights = load_file(folder / "bundle" / "model.safetensors")
    pooler_DD, pooler_bias = weights["bert.pooler.dense.weight"].T, weights["bert.pooler.dense.bias"]
    head_DC, head_bias = weights["classifier.weight"].T, weights["classifier.bias"]
    tokenizer = open_tokenizer(folder, pads=False)

    def answer(texts: list[str]) -> np.ndarray:
        logits_NC = np.empty((len(texts), len(head_bias)), dtype=np.float32)
        for rows_B in by_length(texts):
            ids = [one.ids for one in tokenizer.encode_batch([texts[row] for row in rows_B])]
            hidden_BTD = np.array(encoder.forward_batch(ids).last_hidden_state)
            logits_NC[rows_B] = np.tanh(hidden_BTD[:, 0] @ pooler_DD + pooler_bias) @ head_DC + head_bias
        return logits_NC

    return answer
