"""Trains the hidden Markov model of second order: everything is counted once, in numpy; it knows no artifact, no torch.

Source: Brants 2000, "TnT: A Statistical Part-of-Speech Tagger", section 2. Differs: the most probable tags are those
unit by unit and not the best path; what a tag's scheme forbids is impossible; a known unit may have a tag that it never
had in training, with what its ending says of it; and the ends of rows are seen in context of two tags.

Legend: C labels, P labels and, as the last one, the edge of a row, U units, W known units, S endings.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from yanmo.answers.chains import IMPOSSIBLE
from yanmo.answers.choices import Choices
from yanmo.answers.links import Link
from yanmo.answers.second_order import SecondOrderChain
from yanmo.answers.tag_chains import TagChain
from yanmo.answers.tags import TagScheme, TagStyle
from yanmo.arrays import Array, Doubles, FloatArray, IntArray, Ragged
from yanmo.artifacts.effects import NO_EFFECTS, Watcher
from yanmo.errors import InternalError
from yanmo.modeling.settings import LabeledTexts, MeasureAnswers, NetworkSettings, Trained
from yanmo.text.inputs import Units
from yanmo.text.unit_endings import LONGEST_ENDING, UnitEndings, ending_hashes, unit_hashes
from yanmo.text.unit_views import UnitViews
from yanmo.text.units import HashArray

__all__ = ["HmmModel", "train_hmm"]

RARE = 10
"""Units that training met at most so often say how endings go with tags."""
ENDING_WEIGHT = 1.0
"""A known unit's ending counts as so many more sightings of it."""
SHARPNESS: Mapping[TagStyle, float] = {"iob2": 3.0, "bmes": 1.0, "plain": 1.0}
"""As the window family has it."""
LEAST_SHARE = 1e-6
"""No tag of a unit is less probable."""


@dataclass(frozen=True)
class HmmModel:
    """Counts turned into scores.

    Attributes:
        endings: Which units and endings have rows.
        emissions_KC: The logarithm of how much more probable each tag makes a unit, float32, shape (W + S, C).
        chain: How tags go together.
        scheme: What the tags mean.
    """

    endings: UnitEndings
    emissions_KC: FloatArray
    chain: SecondOrderChain
    scheme: TagScheme

    @property
    def sharpness(self) -> float:
        """How much more than the others the best path counts, as in ``log_marginals``."""
        return SHARPNESS[self.scheme.style]

    def answer(self, units: Units, link: Link) -> Choices:
        """Return the probabilities of every unit's tags."""
        rows_U, _ = self.endings.find(units.surfaces)
        tag_chain = TagChain(self.chain, self.scheme, self.sharpness)
        return tag_chain.choices(self.emissions_KC[rows_U], link, units.places).activate()

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``hmm.json``, as ``runtimes.hmm`` reads them."""
        tensors: dict[str, Array] = {
            "words": self.endings.words_W,
            "endings": self.endings.endings_S,
            "emissions": self.emissions_KC.astype(np.float16),
            "transitions": self.chain.transitions_PPC,
            "ends": self.chain.ends_PC,
        }
        save_file({name: np.ascontiguousarray(one) for name, one in tensors.items()}, folder / "model.safetensors")
        content = json.dumps({"sharpness": self.sharpness}, indent=2) + "\n"
        (folder / "hmm.json").write_text(content, encoding="utf-8")


def train_hmm(
    train: LabeledTexts,
    valid: LabeledTexts,
    *,
    network: NetworkSettings,
    measure: MeasureAnswers,
    tell: Watcher = NO_EFFECTS.tell,
) -> Trained:
    """Count what the training texts hold, and measure the model on the validation split, the only record.

    Args:
        train: Texts with units to learn from; units without a label are left out.
        valid: Texts that it is measured on.
        network: Labels and link.
        measure: From evidence and targets to scores.
        tell: Is shown the record.
    """
    scheme, (units, tags_U), (held, _) = TagScheme.of(network.labels), _read(train), _read(valid)
    known = np.flatnonzero(tags_U >= 0)
    endings, emissions_KC = _emissions(list(units.surfaces.take(known)), tags_U[known], scheme)
    chain = _transitions(_count_triples(Ragged(tags_U, units.places.offsets), len(scheme.kind_C)), scheme)
    model = HmmModel(endings, emissions_KC, chain, scheme)
    scores = measure(model.answer(held, network.link), valid.targets)
    tell({"step": 1, "epoch": 0, **{f"valid_{name}": score for name, score in scores.items()}})
    sizes = {"num_units": len(endings.words_W), "num_endings": len(endings.endings_S)}
    return Trained(model.save, scores, {"family": "hmm", **sizes, "num_classes": len(network.labels)}, 0)


def _read(texts: LabeledTexts) -> tuple[Units, IntArray]:
    """Return the units of some texts and their tags, -1 where there is none."""
    if texts.texts.units is None or not isinstance(texts.targets, Ragged):
        raise InternalError("The hidden Markov model reads units with a label each, but the texts have none.")
    return texts.texts.units, np.asarray(texts.targets.values, dtype=np.int64)


def _count_triples(tags: Ragged, num_labels: int) -> Doubles:
    """Return how often each three tags stand in a row, float64, shape (P, P, P): two edges before, one behind a row."""
    edge, lengths_N = num_labels, tags.lengths_N
    num_before = 2 * np.cumsum(lengths_N > 0) + np.concatenate(([0], np.cumsum(lengths_N > 0)[:-1]))
    padded = np.full(len(tags.values) + 3 * int((lengths_N > 0).sum()), edge)
    places_U = np.arange(len(tags.values)) + np.repeat(num_before, lengths_N)
    padded[places_U] = tags.values
    # The third of a triple is a unit, or the edge right behind a row's last one.
    thirds = np.union1d(places_U, places_U + 1)
    triples = np.stack([padded[thirds - 2], padded[thirds - 1], padded[thirds]])
    triples = triples[:, (triples >= 0).all(axis=0)]
    shape = (num_labels + 1,) * 3
    counts = np.bincount(np.ravel_multi_index(tuple(triples), shape), minlength=(num_labels + 1) ** 3)
    return counts.reshape(shape).astype(np.float64)


def _transitions(counts_PPP: Doubles, scheme: TagScheme) -> SecondOrderChain:
    """Return the logarithms of how probable a tag is behind two others: by three, by two and by one of them, weighed.

    Source: Brants 2000, section 2.2 (linear interpolation) and figure 1 (deleted interpolation).
    """
    pairs_PP, ones_P = counts_PPP.sum(axis=0), counts_PPP.sum(axis=(0, 1))
    shares = [
        _shares(counts_PPP, counts_PPP.sum(axis=2, keepdims=True)),
        _shares(pairs_PP, pairs_PP.sum(axis=1, keepdims=True))[None],
        _shares(ones_P, ones_P.sum())[None, None],
    ]
    # What each way would say of a triple if that had not been met this one time.
    without = np.stack(
        [
            np.broadcast_to(_shares(found - 1, found.sum(axis=axis, keepdims=True) - 1), counts_PPP.shape)
            for found, axis in ((counts_PPP, 2), (pairs_PP[None], 2), (ones_P[None, None], 2))
        ]
    )
    weights = np.bincount(without.argmax(axis=0).ravel(), counts_PPP.ravel(), minlength=3)
    weights = weights / max(weights.sum(), 1.0)
    mixed = sum(weight * share for weight, share in zip(weights, shares, strict=True))
    logs_PPP = np.where(_is_legal_PP(scheme)[None], np.log(np.maximum(mixed, np.exp(IMPOSSIBLE))), IMPOSSIBLE)
    return SecondOrderChain(logs_PPP[:, :, :-1].astype(np.float32), logs_PPP[:, :-1, -1].astype(np.float32))


def _is_legal_PP(scheme: TagScheme) -> Array:
    """Return which tag or edge (column) may stand behind which (row)."""
    inside = np.concatenate([scheme.may_follow_CC, scheme.may_begin_C[None]])
    return np.concatenate([inside, np.append(scheme.may_end_C, True)[:, None]], axis=1)


def _shares(counts: Doubles, totals: Doubles) -> Doubles:
    return np.divide(counts, totals, out=np.zeros(np.broadcast_shapes(counts.shape, totals.shape)), where=totals > 0)


def _emissions(surfaces: list[str], tags_U: IntArray, scheme: TagScheme) -> tuple[UnitEndings, FloatArray]:
    """Return which units and endings have rows, and their scores.

    Args:
        surfaces: Units with a label.
        tags_U: Their labels.
        scheme: Of the labels.
    """
    num_labels = len(scheme.kind_C)
    hashes_U = unit_hashes(UnitViews(surfaces))
    words_W, first_W, word_U, count_W = np.unique(hashes_U, return_index=True, return_inverse=True, return_counts=True)
    prior_C = _smoothed_prior(tags_U, num_labels)
    rare = np.flatnonzero(count_W[word_U] <= RARE)
    # Of few distinct units, such as letters of a small alphabet, none may be rare.
    rare = rare if len(rare) else np.arange(len(tags_U))
    hashed_S, shares_SC = _count_endings([surfaces[unit] for unit in rare.tolist()], tags_U[rare], prior_C)
    order_S = np.argsort(hashed_S)
    hashed_S, shares_SC = hashed_S[order_S], shares_SC[order_S]
    rows_W, _ = UnitEndings(words_W[:0], hashed_S).find([surfaces[unit] for unit in first_W.tolist()])
    counts_WC = _count(word_U, tags_U, (len(words_W), num_labels)) + ENDING_WEIGHT * shares_SC[rows_W]
    shares_KC = np.concatenate([counts_WC / counts_WC.sum(axis=1, keepdims=True), shares_SC])
    scores_KC = np.log(np.maximum(shares_KC, LEAST_SHARE)) - np.log(prior_C)
    # Trained with what is saved.
    return UnitEndings(words_W, hashed_S), scores_KC.astype(np.float16).astype(np.float32)


def _count_endings(surfaces: list[str], tags_U: IntArray, prior_C: Doubles) -> tuple[HashArray, Doubles]:
    """Return the endings of some units, and how their tags are shared out, smoothed by those of shorter endings.

    Source: Brants 2000, equations 7 to 9.
    """
    views, num_labels = UnitViews(surfaces), len(prior_C)
    theta = float(np.square(prior_C - prior_C.mean()).sum() / max(num_labels - 1, 1))
    found_hashes: list[HashArray] = []
    found_shares: list[Doubles] = []
    shorter_UC = np.broadcast_to(prior_C, (len(tags_U), num_labels))
    for length in range(LONGEST_ENDING + 1):
        long_enough = np.flatnonzero(views.lengths_U >= length)
        hashes = ending_hashes(views, length)[long_enough]
        distinct_S, first_S, place_U = np.unique(hashes, return_index=True, return_inverse=True)
        counts_SC = _count(place_U, tags_U[long_enough], (len(distinct_S), num_labels))
        shares_SC = counts_SC / np.maximum(counts_SC.sum(axis=1, keepdims=True), 1)
        shares_SC = (shares_SC + theta * shorter_UC[long_enough[first_S]]) / (1 + theta)
        shorter_UC = np.array(shorter_UC)
        shorter_UC[long_enough] = shares_SC[place_U]
        found_hashes.append(distinct_S)
        found_shares.append(shares_SC)
    return np.concatenate(found_hashes), np.concatenate(found_shares)


def _smoothed_prior(tags_U: IntArray, num_labels: int) -> Doubles:
    """Return how often each tag is given, none of them never."""
    counts_C = np.bincount(tags_U, minlength=num_labels) + 1.0
    return np.asarray(counts_C / counts_C.sum())


def _count(rows_U: IntArray, tags_U: IntArray, shape: tuple[int, int]) -> Doubles:
    flat = np.bincount(rows_U * shape[1] + tags_U, minlength=shape[0] * shape[1])
    return flat.reshape(shape).astype(np.float64)
