"""Low-rank adapters: a pretrained network of which only small changes are learned, and merged at the end.

The only module that imports peft. It knows no loop and no file.
"""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers.pytorch_utils import Conv1D

from yanmo.errors import ConfigError, check_installed

__all__ = ["add_adapters", "merge_adapters"]

SCALE = 2
"""The factor of the change: alpha divided by the rank."""


def add_adapters(module: nn.Module, rank: int) -> Any:
    """Put adapters beside the attention's weights; they and the head learn, nothing else does.

    Args:
        module: A transformers model; it is changed.
        rank: Of each change, at least 1.

    Returns:
        What :func:`merge_adapters` takes.

    Raises:
        MissingExtraError: peft is not installed.
        ConfigError: peft does not know which weights of this architecture are the attention's.

    Source: Hu et al. 2022, "LoRA: Low-Rank Adaptation of Large Language Models", section 4, arXiv:2106.09685.
    """
    check_installed("The 'lora_rank' parameter of train", "peft", extra="lora")
    from peft import LoraConfig, LoraModel

    # GPT-2 keeps its matrices turned.
    is_turned = any(isinstance(one, Conv1D) for one in module.modules())
    config = LoraConfig(r=rank, lora_alpha=SCALE * rank, lora_dropout=0.0, fan_in_fan_out=is_turned)
    try:
        tuner = LoraModel(module, config, "default")
    except ValueError as error:
        raise ConfigError(
            f"The 'lora_rank' parameter of train does not suit {type(module).__name__}: {error}",
            hint="Leave lora_rank out.",
        ) from error
    base = str(module.base_model_prefix)
    # peft lets nothing but the adapters learn. A head is new and has to, and so has a pooler, although it stands inside
    # of the base model.
    for name, parameter in module.named_parameters():
        if not name.startswith(f"{base}.") or name.startswith(f"{base}.pooler."):
            parameter.requires_grad_(True)
    return tuner


def merge_adapters(tuner: Any) -> None:
    """Add every change to its weight and remove the adapters, so that the network is a plain one again."""
    tuner.merge_and_unload()
