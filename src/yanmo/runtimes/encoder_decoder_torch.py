"""Torch Bundles of models that write a text from another: the Drafts protocol on stock transformers classes.

It serves every family that transformers has, and the proof that exported graphs answer alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from yanmo.arrays import IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.modeling.language.encoder_decoders import load_encoder_decoder
from yanmo.runtimes.generating.drafts import NextScores, places_left

__all__ = ["TorchReadingSession", "load_reading_session"]


class TorchReadingSession:
    """The ReadingSession protocol.

    Args:
        module: A network of ``AutoModelForSeq2SeqLM``.
        device: Where it is.
    """

    def __init__(self, module: Any, device: torch.device) -> None:
        self.module = module
        self.device = device

    def read(self, ids_BS: IntArray, lengths_B: IntArray, *, num_beams: int, num_best: int) -> TorchDrafts:
        """Read texts, and begin answers."""
        mask_BS = np.arange(ids_BS.shape[1]) < lengths_B[:, None]
        mask = torch.from_numpy(mask_BS.astype(np.int64)).to(self.device)
        with torch.inference_mode():
            states = self.module.get_encoder()(
                input_ids=torch.from_numpy(ids_BS).to(self.device), attention_mask=mask
            ).last_hidden_state
        repeated = [one.repeat_interleave(num_beams, dim=0) for one in (states, mask)]
        return TorchDrafts(self, repeated[0], repeated[1], num_beams=num_beams, num_best=num_best)


class TorchDrafts:
    """The Drafts protocol."""

    def __init__(
        self, session: TorchReadingSession, states: Tensor, mask: Tensor, *, num_beams: int, num_best: int
    ) -> None:
        self._session, self._states, self._mask = session, states, mask
        self._num_beams, self._num_best = num_beams, num_best
        self._cache: Any = None

    def step(self, ids_R: IntArray) -> NextScores:
        """Let every row grow by a token, and return how likely the next ones are."""
        with torch.inference_mode():
            found = self._session.module(
                encoder_outputs=(self._states,),
                attention_mask=self._mask,
                decoder_input_ids=torch.from_numpy(ids_R[:, None]).to(self._session.device),
                past_key_values=self._cache,
                use_cache=True,
            )
            self._cache = found.past_key_values
            likelihoods_RV = found.logits[:, -1].float().log_softmax(dim=1)
            values, ids = likelihoods_RV.topk(min(self._num_best, likelihoods_RV.shape[1]), dim=1)
        best_RK, ids_RK, all_RV = (one.cpu().numpy() for one in (values, ids, likelihoods_RV))
        return NextScores(best_RK, ids_RK, all_RV)

    def reorder(self, sources_R: Sequence[int]) -> None:
        """Let every row go on as what another one of the same text was."""
        self._cache.reorder_cache(torch.tensor(sources_R, device=self._session.device))

    def drop(self, texts: Sequence[int]) -> list[int]:
        """Let go of texts; those at the end take their places."""
        order = places_left(len(self._states) // self._num_beams, texts)
        rows = torch.tensor(
            [text * self._num_beams + beam for text in order for beam in range(self._num_beams)],
            device=self._session.device,
        )
        self._cache.batch_select_indices(rows)
        self._states, self._mask = self._states[rows], self._mask[rows]
        return order


def load_reading_session(bundle: Bundle, device: torch.device) -> TorchReadingSession:
    """Return the session of a torch Bundle whose model writes a text from another."""
    return TorchReadingSession(load_encoder_decoder(bundle.path).to(device), device)
