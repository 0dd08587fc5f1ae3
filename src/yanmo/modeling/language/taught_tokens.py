"""What a teacher says of every next token, computed while its student learns; it knows no artifact and no loop.

Teacher and student read the same tokens, so the teacher's probabilities of all of them are there for the asking, and
none is kept: those of a book would take more room than the book by the size of the vocabulary.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from yanmo.arrays import IntArray
from yanmo.errors import ConfigError
from yanmo.modeling.features.ragged import Score, TensorBatch
from yanmo.modeling.language.decoders import load_decoder, score_rows, token_rows
from yanmo.modeling.language.documents import UNCOUNTED
from yanmo.modeling.networks.encoders import max_positions
from yanmo.modeling.pretrained.checkpoint_tokenizer import load_tokenizer
from yanmo.modeling.settings import Teaching

__all__ = ["TeacherDecoder", "open_teacher", "taught_score"]


class TeacherDecoder:
    """A language model that teaches.

    Args:
        folder: Its Hugging Face folder.
        tokens: Its own ids of the student's tokens, rising, where these are only some of its own; None: all.

    Attributes:
        module: Its network, which learns nothing.
        wrapped: Its tokenizer.
        max_length: Most tokens that it reads, None where there is no limit.
    """

    def __init__(self, folder: Path, tokens: IntArray | None = None) -> None:
        self.module: Any = load_decoder(folder).requires_grad_(False)
        self.wrapped: PreTrainedTokenizerFast = load_tokenizer(folder)
        self.max_length = max_positions(self.module)
        self._tokens = None if tokens is None else torch.from_numpy(tokens)

    def to(self, device: str) -> TeacherDecoder:
        """Move it to where the student learns, and return it."""
        self.module.to(device)
        self._tokens = None if self._tokens is None else self._tokens.to(device)
        return self

    def score(self, ids_BT: Tensor) -> Tensor:
        """Return what it says of the student's tokens behind every place, logits_BTV; those of others are left out."""
        with torch.no_grad():
            if self._tokens is None:
                return self.module(input_ids=ids_BT, use_cache=False).logits  # type: ignore[no-any-return]
            logits_BTV: Tensor = self.module(input_ids=self._tokens[ids_BT], use_cache=False).logits
            return logits_BTV[..., self._tokens]

    def check_student(self, tokenizer: Tokenizer, max_length: int, name: str) -> None:
        """Refuse a student that reads other tokens, or more of them than the teacher can.

        Raises:
            ConfigError: As said.
        """
        if tokenizer.get_vocab() != self.wrapped.backend_tokenizer.get_vocab():
            raise ConfigError(
                f"The tokens of {name} are not those of its teacher, whose probabilities say nothing of them.",
                hint="Distill into a shape such as gpt-4x256, which takes over the teacher's tokens; or let the "
                "teacher write texts, and give these: yanmo generate TEACHER --out WRITTEN",
            )
        if self.max_length is not None and max_length > self.max_length:
            raise ConfigError(
                f"The 'max_length' parameter of distill must be at most {self.max_length}, what the teacher reads. "
                f"Got {max_length} instead."
            )


def open_teacher(teaching: Teaching | None, tokens: IntArray | None = None) -> TeacherDecoder | None:
    """Return the teacher whose probabilities are learned, or None where there is none.

    Args:
        teaching: Where it is.
        tokens: As of :class:`TeacherDecoder`.
    """
    if teaching is None or teaching.teacher_dir is None:
        return None
    return TeacherDecoder(teaching.teacher_dir, tokens)


def taught_score(teacher: TeacherDecoder | None, teaching: Teaching | None, *, device: str) -> Score:
    """Return what scores a student's rows: in training beside its teacher, on held-out rows alone.

    Args:
        teacher: None where nobody teaches.
        teaching: How much it is listened to.
        device: Where the student learns.
    """
    if teacher is None or teaching is None:
        return score_rows
    teacher, alpha, temperature = teacher.to(device), teaching.alpha, teaching.temperature
    return functools.partial(_score_taught, teacher=teacher, alpha=alpha, temperature=temperature)


def _score_taught(
    module: nn.Module, batch: TensorBatch, *, teacher: TeacherDecoder, alpha: float, temperature: float
) -> Tensor:
    """Return of every row the sum of its losses and the number of places that count, shape (B, 2).

    Source: Hinton, Vinyals, Dean 2015, "Distilling the Knowledge in a Neural Network", section 2, arXiv:1503.02531, of
        every place; Sanh et al. 2019, "DistilBERT", section 2, arXiv:1910.01108 (with the texts' own tokens beside).
    """
    if not module.training:
        return score_rows(module, batch)
    is_counted_BT = batch["next_ids"] != UNCOUNTED
    # Scores of all tokens are large: of places that do not count none is computed further.
    ours_MV = module(input_ids=batch["input_ids"], use_cache=False).logits[is_counted_BT].float()
    theirs_MV = teacher.score(batch["input_ids"])[is_counted_BT].float()
    own_M = functional.cross_entropy(ours_MV, batch["next_ids"][is_counted_BT], reduction="none")
    soft_MV, wanted_MV = ((one / temperature).log_softmax(dim=1) for one in (ours_MV, theirs_MV))
    taught_M = functional.kl_div(soft_MV, wanted_MV, log_target=True, reduction="none").sum(dim=1)
    losses_M = (1 - alpha) * own_M + alpha * temperature**2 * taught_M
    losses_BT = torch.zeros_like(is_counted_BT, dtype=losses_M.dtype).masked_scatter(is_counted_BT, losses_M)
    return token_rows(losses_BT, batch)
