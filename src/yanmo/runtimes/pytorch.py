"""Torch Bundles on PyTorch: encoders as stock transformers classes, and the light networks; loads torch when imported.

For ONNX files and services use an exported Bundle; this runtime is for training, export and machines with a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, ConfigError, MissingExtraError
from yanmo.protocols import FloatArray, Inference
from yanmo.runtimes.batching import Batch, infer_batches
from yanmo.text import tokenizer as tokenizers

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtraError("A torch Bundle", package="torch", extra="train") from error

__all__ = ["TorchRuntime", "load_module", "open_runtime", "pad_id", "takes_token_types"]

ENCODER = "encoder"


class TorchRuntime:
    """The Runtime protocol for the format torch."""

    def __init__(self, bundle: Bundle, device: str) -> None:
        self._architecture = bundle.architecture
        self._num_classes = len(bundle.labels)
        self._max_length = bundle.max_length
        self._tokenizer = tokenizers.load(bundle.path / "tokenizer.json", max_length=bundle.max_length)
        self._device = _find_device(device)
        self._module = load_module(bundle).to(self._device)

    def infer(self, texts: Sequence[str], texts_b: Sequence[str] | None = None) -> Inference:
        """Return the scores of N cleaned texts."""
        encoded = tokenizers.encode_column(self._tokenizer, texts, texts_b, self._max_length)
        with torch.inference_mode():
            logits_NC = infer_batches(
                encoded.ids,
                encoded.type_ids if takes_token_types(self._architecture) else None,
                self._infer_batch,
                pad_id=pad_id(self._architecture),
                num_classes=self._num_classes,
            )
        return Inference(logits_NC, encoded.ids.lengths_N, encoded.num_unknown_N, encoded.truncated_N)

    def _infer_batch(self, batch: Batch) -> FloatArray:
        arrays = {"input_ids": batch.ids_BT, "attention_mask": batch.mask_BT, "token_type_ids": batch.token_type_BT}
        tensors = {
            name: torch.from_numpy(array).to(self._device) for name, array in arrays.items() if array is not None
        }
        logits_BC = scorer(self._module)(**tensors)
        return np.asarray(logits_BC.float().cpu().numpy())


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> TorchRuntime:
    """Return the runtime of a torch Bundle; the number of threads holds for the whole process."""
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)
    return TorchRuntime(bundle, device)


def load_module(bundle: Bundle) -> nn.Module:
    """Return the network of a torch Bundle on the CPU, ready to answer.

    Raises:
        ArtifactError: The weights do not fit the architecture.
        ModelError: The folder holds no usable checkpoint.
    """
    if bundle.architecture["family"] == ENCODER:
        from yanmo.modeling import encoders

        return encoders.load_folder(bundle.path)
    from safetensors.torch import load_file

    from yanmo.modeling import light_models

    module = light_models.build(bundle.architecture)
    try:
        module.load_state_dict(load_file(bundle.path / "model.safetensors"))
    except RuntimeError as error:
        raise ArtifactError(
            f"The weights of {bundle.path} do not fit its architecture: {error}", hint="Train the Bundle again."
        ) from error
    return module.eval()


def scorer(module: nn.Module) -> Callable[..., Tensor]:
    """Return the function from a batch's tensors, by name, to logits_BC."""
    if hasattr(module, "config"):
        return lambda **tensors: module(**tensors).logits
    return lambda **tensors: module(tensors["input_ids"], tensors["attention_mask"])


def pad_id(architecture: Mapping[str, Any]) -> int:
    """Return the id that fills a batch up."""
    return int(architecture.get("pad_id", 0))


def takes_token_types(architecture: Mapping[str, Any]) -> bool:
    """Return whether the network tells the two texts of a pair apart by token types."""
    return bool(architecture.get("token_types", False))


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"The 'device' parameter must be a device that torch can use here. Got {name!r} instead.",
            hint="Use cpu, or cuda where torch sees a GPU.",
        ) from error
    return device
