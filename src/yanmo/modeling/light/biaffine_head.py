"""The biaffine head while it is learned: weights, and the loss of a batch of trees; it knows no file and no encoder.

Legend: U words of B rows, S numbers of a word, A of them for arcs, R for relations, C relations, D words of the longest
row.

Source: Dozat, Manning 2017, "Deep Biaffine Attention for Neural Dependency Parsing", section 3, arXiv:1611.01734.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn
from torch.nn import functional

from yanmo.artifacts.bundle import TREES
from yanmo.parsing.biaffine import ARC_SIZE, RELATION_SIZE, SLOPE, BiaffineWeights

__all__ = ["BiaffineHead", "save_tree_head"]

DROPOUT = 0.33
NOWHERE = -1


class BiaffineHead(nn.Module):
    """Scores of arcs and relations.

    Args:
        num_relations: C.
    """

    def __init__(self, num_relations: int) -> None:
        super().__init__()
        self.arcs = nn.Parameter(torch.zeros(ARC_SIZE + 1, ARC_SIZE))
        self.relations = nn.Parameter(torch.zeros(num_relations, RELATION_SIZE + 1, RELATION_SIZE + 1))
        self.root = nn.Parameter(torch.empty(ARC_SIZE + RELATION_SIZE))
        nn.init.normal_(self.root, std=0.1)
        # Zeros would stay so for long: a product's slope is what the other side is multiplied with.
        nn.init.xavier_uniform_(self.arcs)
        nn.init.normal_(self.relations, std=0.02)

    def loss(self, states_US: Tensor, heads_U: Tensor, relations_U: Tensor, lengths_B: Tensor) -> Tensor:
        """Return the sum of all words' losses: of their heads, and of their relations to the true heads.

        Args:
            states_US: Of a network.
            heads_U: The number of each word's head in its row, 0 for the root, -1 where it is not in the row.
            relations_U: The true relations.
            lengths_B: Words of each row.
        """
        states_US = functional.leaky_relu(states_US.float(), float(SLOPE))
        parts = torch.split(states_US, [ARC_SIZE, ARC_SIZE, RELATION_SIZE, RELATION_SIZE], dim=1)
        child_UA, head_UA, child_UR, head_UR = (functional.dropout(one, DROPOUT, self.training) for one in parts)
        known = (heads_U != NOWHERE).nonzero().squeeze(1)
        scores_UH = self._arc_scores(child_UA, head_UA, lengths_B)
        arc_loss = functional.cross_entropy(scores_UH[known], heads_U[known], reduction="sum")
        begins_U = (lengths_B.cumsum(0) - lengths_B).repeat_interleave(lengths_B)
        place_U = (begins_U + heads_U - 1).clamp_min(0)
        root_R = self.root[ARC_SIZE:]
        above_UR = torch.where((heads_U == 0)[:, None], root_R, head_UR[place_U])
        scores_UC = self._relation_scores(child_UR[known], above_UR[known])
        return arc_loss + functional.cross_entropy(scores_UC, relations_U[known], reduction="sum")

    def _arc_scores(self, child_UA: Tensor, head_UA: Tensor, lengths_B: Tensor) -> Tensor:
        """Return scores_UH: of the root, then of the words of the row; what is none of them is impossible."""
        places_D = torch.arange(int(lengths_B.max()), device=child_UA.device)
        mask_BD = places_D < lengths_B[:, None]
        asked_UA = _with_one(child_UA) @ self.arcs
        empty = child_UA.new_zeros(*mask_BD.shape, ARC_SIZE)
        asked_BDA = empty.masked_scatter(mask_BD.unsqueeze(2), asked_UA)
        heads_BDA = empty.masked_scatter(mask_BD.unsqueeze(2), head_UA)
        scores_BDD = asked_BDA @ heads_BDA.transpose(1, 2)
        is_own_DD = torch.eye(len(places_D), dtype=torch.bool, device=child_UA.device)
        scores_BDD = scores_BDD.masked_fill(~mask_BD.unsqueeze(1) | is_own_DD, float("-inf"))
        root_BD1 = (asked_BDA @ self.root[:ARC_SIZE]).unsqueeze(2)
        return torch.cat([root_BD1, scores_BDD], dim=2)[mask_BD]

    def _relation_scores(self, child_UR: Tensor, head_UR: Tensor) -> Tensor:
        asked_UCR = torch.einsum("ui,cij->ucj", _with_one(child_UR), self.relations)
        return torch.einsum("ucj,uj->uc", asked_UCR, _with_one(head_UR))

    def weights(self) -> BiaffineWeights:
        """Return the weights as they answer."""
        arrays = (one.detach().float().cpu().contiguous().numpy() for one in (self.arcs, self.relations, self.root))
        return BiaffineWeights(*arrays)


def save_tree_head(folder: Path, module: nn.Module) -> None:
    """Write the head for trees that a network may have, beside its other files."""
    head = getattr(module, "tree_head", None)
    if isinstance(head, BiaffineHead):
        tensors = {name: np.ascontiguousarray(one) for name, one in head.weights().tensors().items()}
        save_file(tensors, folder / TREES, metadata={"format": "pt"})


def _with_one(values_UD: Tensor) -> Tensor:
    return functional.pad(values_UD, (0, 1), value=1.0)
