"""What the peers read: Bundles of a shape, the plain ONNX file, and texts one a line.

python -m peers.models MODEL DATASET FOLDER      # MODEL: bert-12x768 gets random weights; or a trained torch Bundle
python -m peers.models ngram DATASET FOLDER      # one epoch: the speed does not depend on the weights
"""

import logging
import random
import shutil
import sys
import warnings
from pathlib import Path

NUM_VOCABULARY_TEXTS = 20_000
NUM_CALIBRATION_TEXTS = 2000
LONGEST = 128


def main() -> int:
    """Make what is not there yet."""
    model, dataset_path, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    import yanmo

    dataset = yanmo.Dataset.open(dataset_path, verify=False)
    folder.mkdir(parents=True, exist_ok=True)
    if model == "ngram":
        if not (folder / "ngram").exists():
            yanmo.train(dataset, model="ngram", num_epochs=1, out=folder / "ngram")
        return 0
    is_trained = Path(model).is_dir()
    write_texts(folder / "train.txt", dataset.split("train")["text"].to_list()[:NUM_CALIBRATION_TEXTS])
    if not (folder / "bundle").exists():
        if is_trained:
            shutil.copytree(model, folder / "bundle")
        else:
            random_bundle(model, dataset, folder / "bundle")
    if not (folder / "bundle-onnx").exists():
        yanmo.export(folder / "bundle", out=folder / "bundle-onnx")
    if "quantize" in yanmo.__all__ and not (folder / "bundle-int8").exists():
        # Random weights have no accuracy to lose.
        gate = {} if is_trained else {"max_drop": 1.0, "num_valid_texts": 100, "num_calibration_texts": 100}
        yanmo.quantize(folder / "bundle-onnx", dataset, out=folder / "bundle-int8", **gate)
    return 0


def random_bundle(model: str, dataset, out: Path, *, texts: list[str] | None = None, vocab_size: int = 8000) -> None:
    """Publish a torch Bundle of a shape with random weights and a tokenizer learned from the Dataset, or from texts."""
    import numpy as np
    import torch

    from yanmo.answers.choices import Choices
    from yanmo.artifacts.base import Identity, publish
    from yanmo.artifacts.bundle import Bundle, write_golden
    from yanmo.modeling.networks.trainable_networks import make_trainable
    from yanmo.modeling.settings import NetworkSettings
    from yanmo.models import resolve
    from yanmo.tasks import get_task
    from yanmo.text.inputs import Inputs

    pipeline = dataset.text_pipeline()
    texts = pipeline.apply(texts or dataset.split("train")["text"].to_list()[:NUM_VOCABULARY_TEXTS])
    task = get_task(dataset.task)
    settings = NetworkSettings(dataset.labels, task.link, max_length=LONGEST, vocab_size=vocab_size, dropout=0.1)
    torch.manual_seed(0)
    made = make_trainable(resolve(model), Inputs((texts,)), settings)
    info = {
        "format": "torch",
        "model": model,
        "max_length": made.max_length,
        "architecture": made.architecture,
        "text": dataset.text_config.model_dump(mode="json"),
    }
    identity = {"kind": Bundle.kind, "task": dataset.task, "labels": dataset.labels, "config": {}, "info": info}
    with publish(out, Identity(verb="train", parents={"dataset": dataset.digest}, **identity)) as staging:
        made.save(staging)
        none_NC = np.zeros((0, len(dataset.labels)), np.float32)
        write_golden(staging, task.inputs, Inputs(([],)), Choices(none_NC, task.link))


def plain_onnx(folder: Path) -> Path:
    """Return the file that ``torch.onnx.export`` writes of the transformers model, made on first use."""
    path = folder / "plain.onnx"
    if not path.exists():
        import torch
        from transformers import AutoModelForSequenceClassification

        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        model = AutoModelForSequenceClassification.from_pretrained(folder / "bundle", dtype=torch.float32).eval()
        ids_BT = torch.tensor([[2, 10, 11, 12, 3], [2, 10, 3, 0, 0]])
        inputs = {
            "input_ids": ids_BT,
            "attention_mask": (ids_BT > 0).long(),
            "token_type_ids": torch.zeros_like(ids_BT),
        }
        part = path.with_suffix(".part")
        torch.onnx.export(
            model,
            (dict(inputs),),
            part,
            input_names=list(inputs),
            output_names=["logits"],
            dynamic_axes={name: {0: "batch", 1: "length"} for name in inputs} | {"logits": {0: "batch"}},
            opset_version=18,
            dynamo=False,
        )
        part.rename(path)
    return path


def write_texts(path: Path, texts: list[str]) -> None:
    """Write texts one a line."""
    path.write_text("\n".join(" ".join(text.split()) for text in texts) + "\n", encoding="utf-8")


def read_texts(path: Path) -> list[str]:
    """Read texts one a line."""
    return path.read_text(encoding="utf-8").splitlines()


def shuffled(texts: list[str]) -> list[str]:
    """Return the texts in an order that is the same in every run."""
    return random.Random(0).sample(texts, len(texts))


if __name__ == "__main__":
    logging.disable(logging.INFO)
    sys.exit(main())
