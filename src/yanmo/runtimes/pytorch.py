"""Torch Bundles on PyTorch: encoders as stock transformers classes, and the light networks; loads torch when imported.

For ONNX files and services use an exported Bundle; this runtime is for training, export and machines with a GPU.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.artifacts.bundle import Bundle
from yanmo.errors import ArtifactError, ConfigError, MissingExtraError
from yanmo.protocols import Inference, Runtime
from yanmo.runtimes.batching import (
    TOKEN_BUDGET,
    Batch,
    count_cells,
    infer_batches,
    plan_batches,
)
from yanmo.runtimes.encoder_decoder import EncoderDecoderRuntime
from yanmo.runtimes.gap_head import GapHead
from yanmo.runtimes.generating.drafts import ReadingSession
from yanmo.runtimes.heads import open_head
from yanmo.text.inputs import Inputs, Windows
from yanmo.text.tokenizer import Encoded

try:
    import torch
    from torch import Tensor, nn
except ImportError as error:
    raise MissingExtraError("A torch Bundle", package="torch", extra="train") from error

__all__ = ["TorchRuntime", "load_module", "open_labeler", "open_reading_session", "open_runtime"]

ENCODER, DECODER, ENCODER_DECODER = "encoder", "decoder", "encoder-decoder"
ACCELERATOR_TOKEN_BUDGET = 1 << 14
"""Cells of a batch on a GPU, which needs large ones."""


class TorchRuntime(Runtime[Encoded]):
    """The Runtime protocol for the format torch.

    Attributes:
        module: The network.
        pad_id: The token id that fills a batch up.
    """

    def __init__(self, bundle: Bundle, device: str) -> None:
        self._architecture = bundle.architecture
        self.pad_id = int(self._architecture.get("pad_id", 0))
        self._head = open_head(bundle)
        self._hides = isinstance(self._head, GapHead)
        self._device = _find_device(device)
        self.module = load_module(bundle).to(self._device)

    def encode(self, inputs: Inputs, *, windows: Windows | None = None) -> Encoded:
        """Return token ids; token types only where the network tells the texts of a pair apart by them."""
        encoded = self._head.encode(inputs, windows=windows)
        has_types = self._architecture.get("token_types", False)
        return encoded if has_types else dataclasses.replace(encoded, type_ids=None)

    def score(self, encoded: Encoded) -> Inference[Any]:
        """Return the scores of N encoded texts."""
        budget = TOKEN_BUDGET if self._device.type == "cpu" else ACCELERATOR_TOKEN_BUDGET
        plan = list(plan_batches(encoded.ids.lengths_N, budget))
        with torch.inference_mode():
            scores_WC = infer_batches(
                encoded.ids,
                encoded.type_ids,
                lambda batches: map(self._infer_batch, batches),
                plan=plan,
                pad_id=self.pad_id,
                num_classes=self._head.num_outputs,
                units=encoded.units,
                condenser=self._head.condenser(encoded),
            )
        return self._head.read(scores_WC, encoded, count_cells(encoded.ids.lengths_N, plan))

    def forward(self, inputs: Mapping[str, Tensor]) -> Tensor:
        """Return logits_BC of a batch.

        Args:
            inputs: ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids``, int64, shape (B, T); of a network
                that labels units also ``units``, shape (U,), and there are as many logits as these.
        """
        if self._architecture["family"] != ENCODER:
            light_BC: Tensor = self.module(*inputs.values())
            return light_BC
        from yanmo.modeling.networks import pretraining_networks, unit_heads

        if "units" in inputs:
            score = pretraining_networks.score_hidden if self._hides else unit_heads.score_stock
            return score(self.module, dict(inputs))
        logits_BC: Tensor = self.module(**inputs).logits
        return logits_BC

    def _infer_batch(self, batch: Batch) -> FloatArray:
        arrays = {
            "input_ids": batch.ids_BT,
            "attention_mask": batch.mask_BT,
            "token_type_ids": batch.token_type_BT,
            "units": batch.units_U,
        }
        tensors = {
            name: torch.from_numpy(array).to(self._device) for name, array in arrays.items() if array is not None
        }
        logits_BC = self.forward(tensors)
        # numpy has no bfloat16.
        return np.asarray(logits_BC.float().cpu().numpy())


def open_runtime(bundle: Bundle, *, device: str, num_threads: int) -> Runtime[Any]:
    """Return the runtime of a torch Bundle; the number of threads holds for the whole process."""
    family = bundle.architecture["family"]
    if family not in (DECODER, ENCODER_DECODER):
        return open_labeler(bundle, device=device, num_threads=num_threads)
    if family == ENCODER_DECODER:
        return EncoderDecoderRuntime(bundle, open_reading_session(bundle, device=device, num_threads=num_threads))
    from yanmo.runtimes.language_torch import TorchLanguageModel

    _use_threads(num_threads)
    return TorchLanguageModel(bundle, _find_device(device))


def open_labeler(bundle: Bundle, *, device: str, num_threads: int) -> TorchRuntime:
    """Return the runtime of a torch Bundle that labels texts or their units."""
    _use_threads(num_threads)
    return TorchRuntime(bundle, device)


def open_reading_session(bundle: Bundle, *, device: str, num_threads: int) -> ReadingSession:
    """Return the network of a torch Bundle that writes a text from another."""
    from yanmo.runtimes.encoder_decoder_torch import load_reading_session

    _use_threads(num_threads)
    return load_reading_session(bundle, _find_device(device))


def _use_threads(num_threads: int) -> None:
    # The number is the whole process's, so it is left alone where it is right.
    if torch.get_num_threads() != num_threads:
        torch.set_num_threads(num_threads)


def load_module(bundle: Bundle) -> nn.Module:
    """Return the network of a torch Bundle on the CPU, ready to answer.

    Raises:
        ArtifactError: The weights do not fit the architecture.
        ModelError: The folder holds no usable checkpoint.
    """
    if bundle.architecture["family"] == ENCODER:
        from yanmo.modeling.networks import encoders
        from yanmo.modeling.sentences import vector_networks

        gives_vectors = "vectors" in bundle.architecture
        return vector_networks.load_vectors(bundle.path) if gives_vectors else encoders.load_folder(bundle.path)
    from safetensors.torch import load_file

    from yanmo.modeling.light import light_models

    module = light_models.build_light_model(bundle.architecture)
    try:
        module.load_state_dict(load_file(bundle.path / "model.safetensors"))
    except RuntimeError as error:
        raise ArtifactError(
            f"The weights of {bundle.path} do not fit its architecture: {error}", hint="Train the Bundle again."
        ) from error
    return module.eval()


def _find_device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        # torch knows names of devices that are not here; without CUDA it says so by an AssertionError.
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"The 'device' parameter must be a device that torch can use here. Got {name!r} instead.",
            hint="Use cpu, or cuda where torch sees a GPU.",
        ) from error
    return device
