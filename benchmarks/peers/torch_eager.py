"""A torch loop over batches of 32 texts of about equal length, in fp32 or bf16."""

from pathlib import Path

import numpy as np

from peers.batches import answer_batches, open_tokenizer


def open_peer(folder: Path, variant: str, num_threads: int):
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.set_num_threads(num_threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[variant]
    model = AutoModelForSequenceClassification.from_pretrained(folder / "bundle", dtype=dtype).eval()
    tokenizer = open_tokenizer(folder)

    @torch.inference_mode()
    def score(inputs: dict[str, np.ndarray]) -> np.ndarray:
        return model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.float().numpy()

    return lambda texts: answer_batches(texts, tokenizer, score)
