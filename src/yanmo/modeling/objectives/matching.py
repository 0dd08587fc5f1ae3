"""What a student transformer learns from the inside of its teacher: hidden states, attention, or relations of tokens.

Both read the same token ids, so the teacher's inside is computed batch by batch beside the student's. It knows no loop
and no file but the teacher's folder.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import TensorBatch
from yanmo.modeling.networks import encoders
from yanmo.modeling.settings import Teaching

__all__ = ["Matched"]

MATCHING = "matching"
"""Name under which the projections stand in the student while it learns."""
MOST_RELATION_HEADS = 16

Inside = dict[str, Tensor]
"""``hidden.0`` is what the first layer reads, ``hidden.1`` its states; ``query.1`` and so on are its products."""


class Matched:
    """A student's scores together with how far its inside is from its teacher's.

    Called with the student and a batch it returns logits_BC and that distance, a mean over tokens.

    Args:
        student: The network that learns; it is changed until :meth:`detach`.
        teaching: Says what is compared, and where the teacher is.

    Raises:
        ConfigError: The two networks cannot be compared like that.
    """

    def __init__(self, student: nn.Module, teaching: Teaching) -> None:
        self._student, self._weight, self._kinds = student, teaching.match_weight, teaching.match.split("+")
        self._teacher = encoders.load_folder(teaching.teacher_dir or Path())
        for parameter in self._teacher.parameters():
            parameter.requires_grad_(False)
        layers, teacher_layers = _layers(student), _layers(self._teacher)
        # Spread evenly: the student's last layer is held against the teacher's last.
        self._pairs = [(place, place * len(teacher_layers) // len(layers)) for place in range(1, len(layers) + 1)]
        if "attention" in self._kinds:
            _check_attention(layers, teacher_layers)
        self._inside: Inside = {}
        self._teacher_inside: Inside = {}
        self._hooks = [*_watch(layers, self._inside), *_watch(teacher_layers, self._teacher_inside)]
        if "hidden" in self._kinds:
            width, teacher_width = (one.attention.self.query.in_features for one in (layers[0], teacher_layers[0]))
            projections = {name: nn.Linear(width, teacher_width, bias=False) for name in ("embeddings", "states")}
            # In the student, so that the optimizer moves them and a checkpoint holds them; detach takes them out.
            student.add_module(MATCHING, nn.ModuleDict(projections))

    def __call__(self, student: nn.Module, batch: TensorBatch) -> tuple[Tensor, Tensor]:
        """Return logits_BC and the weighted distance."""
        # The trainer moves the student after this was made, and knows no teacher.
        if next(self._teacher.parameters()).device != batch["input_ids"].device:
            self._teacher.to(batch["input_ids"].device)
        logits_BC = encoders.score_encoder(student, batch)
        with torch.no_grad():
            encoders.score_encoder(self._teacher, batch)
        distances = [self._distances[kind](self, batch["attention_mask"]) for kind in self._kinds]
        return logits_BC, self._weight * torch.stack(distances).sum()

    def detach(self) -> None:
        """Leave the student a plain network again."""
        for hook in self._hooks:
            hook.remove()
        if hasattr(self._student, MATCHING):
            delattr(self._student, MATCHING)

    def _hidden(self, mask_BT: Tensor) -> Tensor:
        """Return the squared error of projected hidden states, a mean over layers, tokens and width.

        Source: Jiao et al. 2020, "TinyBERT: Distilling BERT for Natural Language Understanding", equations 8 and 9,
        arXiv:1909.10351; ``hidden+attention`` is the sum in equation 11.
        Differs: the mean over layers, not the sum, so that depth does not change the weight.
        """
        projections: Any = getattr(self._student, MATCHING)
        pairs = [(projections["embeddings"], 0, 0), *((projections["states"], *pair) for pair in self._pairs)]
        losses = []
        for project, ours, theirs in pairs:
            squares_BTD = (
                project(self._inside[f"hidden.{ours}"]).float() - self._teacher_inside[f"hidden.{theirs}"].float()
            ) ** 2
            losses.append(_mean_of_tokens(squares_BTD.mean(dim=2), mask_BT))
        return torch.stack(losses).mean()

    def _attention(self, mask_BT: Tensor) -> Tensor:
        """Return the squared error of the attention's scores before their softmax, a mean over layers, heads, tokens.

        Source: Jiao et al. 2020, equation 7, arXiv:1909.10351.
        """
        num_heads = _num_heads(_layers(self._student)[0])
        losses = []
        for pair in self._pairs:
            ours, theirs = (
                _scores(inside[f"query.{place}"], inside[f"key.{place}"], num_heads)
                for inside, place in zip((self._inside, self._teacher_inside), pair, strict=True)
            )
            # Padding that is looked at is left out here, padding that looks by the mean below.
            squares_BHTT = (ours - theirs) ** 2 * mask_BT[:, None, None, :]
            losses.append(_mean_of_tokens(squares_BHTT.mean(dim=1).sum(dim=2) / mask_BT.sum(1, keepdim=True), mask_BT))
        return torch.stack(losses).mean()

    def _relations(self, mask_BT: Tensor) -> Tensor:
        """Return the divergence of the last layers' attention and of their values' relations.

        Source: Wang et al. 2020, "MiniLM: Deep Self-Attention Distillation", equations 6 to 8, arXiv:2002.10957; the
        heads are cut anew, as in Wang et al. 2021, arXiv:2012.15828, so that widths and heads may differ.
        """
        widths = [inside[f"query.{place}"].shape[2] for inside, place in self._last()]
        num_heads = max(n for n in range(1, MOST_RELATION_HEADS + 1) if not any(width % n for width in widths))
        losses = []
        for first, second in (("query", "key"), ("value", "value")):
            student, teacher = (
                _log_attention(_scores(inside[f"{first}.{place}"], inside[f"{second}.{place}"], num_heads), mask_BT)
                for inside, place in self._last()
            )
            divergence_BHT = (teacher.exp() * (teacher - student)).sum(dim=3)
            losses.append(_mean_of_tokens(divergence_BHT.mean(dim=1), mask_BT))
        return losses[0] + losses[1]

    def _last(self) -> tuple[tuple[Inside, int], tuple[Inside, int]]:
        ours, theirs = self._pairs[-1]
        return (self._inside, ours), (self._teacher_inside, theirs)

    _distances: ClassVar[dict[str, Callable[[Matched, Tensor], Tensor]]] = {
        "hidden": _hidden,
        "attention": _attention,
        "relations": _relations,
    }


def _layers(module: Any) -> list[Any]:
    """Return the layers of a network whose parts have the names that BERT's have.

    Raises:
        ConfigError: It has others.
    """
    base = getattr(module, module.base_model_prefix)
    layers = getattr(getattr(base, "encoder", None), "layer", None)
    if layers is None:
        raise ConfigError(
            f"The 'match' parameter of distill does not suit {type(module).__name__}.",
            hint="Student and teacher must be of the families bert, roberta or electra; or leave match out.",
        )
    return list(layers)


def _num_heads(layer: Any) -> int:
    return int(layer.attention.self.num_attention_heads)


def _check_attention(layers: list[Any], teacher_layers: list[Any]) -> None:
    """Refuse a student whose layers do not each have a layer of the teacher with as many heads.

    Raises:
        ConfigError: As said.
    """
    ours, theirs = _num_heads(layers[0]), _num_heads(teacher_layers[0])
    if ours != theirs:
        raise ConfigError(
            f"The 'match' parameter of distill can be 'attention' only where both have as many heads: the student has "
            f"{ours}, the teacher {theirs}.",
            hint="Use --match relations, which cuts the heads anew, or a student with as many heads.",
        )
    if len(layers) > len(teacher_layers):
        raise ConfigError(
            f"The 'match' parameter of distill can be 'attention' only where the student is no deeper: it has "
            f"{len(layers)} layers, the teacher {len(teacher_layers)}.",
            hint="Use --match relations, which compares the last layers, or a student with fewer layers.",
        )


def _watch(layers: list[Any], inside: Inside) -> list[Any]:
    """Let a network write its inside down in every pass, and return the hooks that do so."""

    def keep(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            # Layers of some versions of transformers give a tuple.
            inside[name] = output[0] if isinstance(output, tuple) else output

        return hook

    def keep_input(_: nn.Module, arguments: tuple[Any, ...]) -> None:
        inside["hidden.0"] = arguments[0]

    hooks = [layers[0].register_forward_pre_hook(keep_input)]
    for place, layer in enumerate(layers, 1):
        hooks.append(layer.register_forward_hook(keep(f"hidden.{place}")))
        for name in ("query", "key", "value"):
            part = getattr(layer.attention.self, name)
            hooks.append(part.register_forward_hook(keep(f"{name}.{place}")))
    return hooks


def _scores(query_BTD: Tensor, key_BTD: Tensor, num_heads: int) -> Tensor:
    """Return scaled products of every two tokens in each head, float32, shape (B, heads, T, T)."""
    query, key = (one.float().reshape(*one.shape[:2], num_heads, -1).transpose(1, 2) for one in (query_BTD, key_BTD))
    scores: Tensor = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])
    return scores


def _log_attention(scores_BHTT: Tensor, mask_BT: Tensor) -> Tensor:
    # Half of the least number: what is still subtracted stays finite, for 0 times infinity would not be a number.
    least = torch.finfo(scores_BHTT.dtype).min / 2
    return functional.log_softmax(scores_BHTT.masked_fill(mask_BT[:, None, None, :] == 0, least), dim=3)


def _mean_of_tokens(values_BT: Tensor, mask_BT: Tensor) -> Tensor:
    return (values_BT * mask_BT).sum() / mask_BT.sum()
