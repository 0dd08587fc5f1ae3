"""A linear chain over the tags of a text's units, learned with the network that scores them; it knows no text.

From scores of units it makes those of units in their rows: the logarithms of the tags' marginal probabilities. So every
loss of single decisions is one of chains, too, whichever units have tags, and so is a teacher's answer.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from yanmo.answers.chains import IMPOSSIBLE, LEAST_LOG, TINY
from yanmo.answers.tags import TagScheme
from yanmo.arrays import FloatArray
from yanmo.modeling.light.sequence_layers import reorder, reversed_positions

__all__ = ["LabelChain", "without_chain"]


class LabelChain(nn.Module):
    """How tags follow each other: a score for each two neighbors, and for the first and the last of a row.

    Source: Lafferty, McCallum, Pereira 2001, "Conditional Random Fields", section 3; Kakade, Teh, Roweis 2002, "An
    Alternate Objective Function for Markovian Fields" (the likelihood of each unit's own tag, not of the whole path).
    Differs: what the scheme of the tags forbids is as good as impossible, and not learned.
    """

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        scheme = TagScheme.of(labels)
        self.transitions = nn.Parameter(torch.zeros(len(labels), len(labels)))
        self.start = nn.Parameter(torch.zeros(len(labels)))
        self.end = nn.Parameter(torch.zeros(len(labels)))
        legal = {"pairs": scheme.may_follow_CC, "starts": scheme.may_begin_C, "ends": scheme.may_end_C}
        for name, is_legal in legal.items():
            forbidden = torch.from_numpy(np.where(is_legal, np.float32(0), IMPOSSIBLE))
            self.register_buffer(name, forbidden, persistent=False)

    def scores(self) -> dict[str, Tensor]:
        """Return the scores of neighbors, ``transitions``, and of the first and the last tag, ``start`` and ``end``."""
        pairs, starts, ends = (self.get_buffer(name) for name in ("pairs", "starts", "ends"))
        return {"transitions": self.transitions + pairs, "start": self.start + starts, "end": self.end + ends}

    def arrays(self) -> dict[str, FloatArray]:
        """Return the same as arrays."""
        return {name: one.detach().cpu().numpy().astype(np.float32) for name, one in self.scores().items()}

    def forward(self, scores_UC: Tensor, lengths_B: Tensor) -> Tensor:
        """Return scores whose softmax is the probability of each tag at each unit, shape (U, C).

        Args:
            scores_UC: Of every unit's tags, one row after the other.
            lengths_B: Units of each row.
        """
        if not len(scores_UC):
            return scores_UC
        with torch.autocast(scores_UC.device.type, enabled=False):
            return self._sum(scores_UC.float(), lengths_B)

    def _sum(self, scores_UC: Tensor, lengths_B: Tensor) -> Tensor:
        chain = self.scores()
        places_T = torch.arange(int(lengths_B.max()), device=scores_UC.device)
        mask_BT = places_T < lengths_B[:, None]
        # Of a row without units no place is looked at.
        first_BT1 = (places_T == 0).expand_as(mask_BT).unsqueeze(2)
        last_BT1 = (places_T == lengths_B[:, None] - 1).unsqueeze(2)
        padded_BTC = scores_UC.new_zeros(*mask_BT.shape, scores_UC.shape[1]).masked_scatter(
            mask_BT.unsqueeze(2), scores_UC
        )
        padded_BTC = padded_BTC + first_BT1 * chain["start"] + last_BT1 * chain["end"]
        logs_BTC = (padded_BTC - padded_BTC.amax(dim=2, keepdim=True).detach()).clamp_min(float(LEAST_LOG))
        mirror_BT = reversed_positions(mask_BT.long())
        emitted = torch.stack([logs_BTC, reorder(logs_BTC, mirror_BT)]).exp()
        moves_CC = chain["transitions"].exp()
        # The sums from the end are those from the beginning of the mirrored rows: both are one product a step.
        moves = torch.stack([moves_CC, moves_CC.T])
        reached = [emitted[:, :, 0] / emitted[:, :, 0].sum(dim=2, keepdim=True)]
        for step in emitted.unbind(2)[1:]:
            here = step * (reached[-1] @ moves)
            reached.append(here / here.sum(dim=2, keepdim=True))
        forward_BTC, backward_BTC = torch.stack(reached, dim=2).unbind(0)
        summed_BTC = _log(forward_BTC) + _log(reorder(backward_BTC, mirror_BT)) - logs_BTC
        return summed_BTC[mask_BT]


def without_chain(module: nn.Module) -> dict[str, Tensor]:
    """Return the weights of a network but for those of its chain or its head for trees, which have a file."""
    return {
        name: one for name, one in module.state_dict().items() if not name.startswith(("label_chain.", "tree_head."))
    }


def _log(values: Tensor) -> Tensor:
    return values.clamp_min(float(TINY)).log()
