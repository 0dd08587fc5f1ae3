"""Beam search: several beginnings of one text are kept, and the likeliest whole ones returned; it knows ids, no text.

Source: Graves 2012, "Sequence Transduction with Recurrent Neural Networks", section 2.5, arXiv:1211.3711; Wu et al.
2016, arXiv:1609.08144, section 7 (likelihoods divided by a power of the length).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from yanmo.arrays import FloatArray
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.generator import CHUNK, Ending
from yanmo.runtimes.generating.sampling import log_likelihoods_WV

__all__ = ["Hypothesis", "search_beams"]


class Hypothesis(Struct, frozen=True):
    """One whole text.

    Attributes:
        score: The log-likelihood of its tokens in nats, divided by a power of their number.
        ids: Its tokens, with the one that ended it.
        log_likelihoods: Of these.
        ending: Why it ended.
    """

    score: float
    ids: list[int]
    log_likelihoods: list[float]
    ending: Ending


def search_beams(
    session: DecoderSession,
    prompt: Sequence[int],
    *,
    num_beams: int,
    max_new_tokens: int,
    end_ids: frozenset[int] = frozenset(),
    length_penalty: float = 1.0,
) -> list[Hypothesis]:
    """Return the best texts that were found, the best first.

    Args:
        session: The decoder, with room for as many rows; nobody else may use them meanwhile.
        prompt: The tokens before the text.
        num_beams: Beginnings that are kept, and texts that are returned.
        max_new_tokens: The most tokens of a text.
        end_ids: Tokens that end a text.
        length_penalty: Likelihoods are divided by the number of tokens to this power: above 0 longer texts win more.
    """
    running = [Hypothesis(0.0, [], [], "length")]
    logits_BV = _read(session, prompt, num_beams)
    whole: list[Hypothesis] = []
    limit = min(max_new_tokens, session.max_length - len(prompt) + 1)
    for length in range(1, limit + 1):
        # Each beam may end in as many ways as there are ends, and as many beams must be left all the same.
        parents, grown = _grow(running, log_likelihoods_WV(logits_BV), (1 + len(end_ids)) * num_beams)
        divisor = length**length_penalty
        is_end = [beam.ids[-1] in end_ids for beam in grown]
        # Only what is among the best may end: a rare end must not push out a better beginning.
        ended = [beam for beam, ends in zip(grown[:num_beams], is_end, strict=False) if ends]
        whole += [Hypothesis(beam.score / divisor, beam.ids, beam.log_likelihoods, "stop") for beam in ended]
        whole = sorted(whole, key=lambda beam: -beam.score)[:num_beams]
        kept = [place for place, ends in enumerate(is_end) if not ends][:num_beams]
        running = [grown[place] for place in kept]
        best = running[0].score / divisor
        if length == limit or (len(whole) == num_beams and whole[-1].score >= best):
            break
        session.reorder_rows(np.array([parents[place] for place in kept]), len(prompt) + length - 1)
        lengths = np.full(len(running), len(prompt) + length - 1)
        logits_BV = session.step(np.array([beam.ids[-1] for beam in running]), lengths)
    # What did not end counts as far as it came.
    cut = [
        Hypothesis(one.score / len(one.ids) ** length_penalty, one.ids, one.log_likelihoods, "length")
        for one in running
    ]
    return sorted([*whole, *cut], key=lambda beam: -beam.score)[:num_beams]


def _read(session: DecoderSession, prompt: Sequence[int], num_beams: int) -> FloatArray:
    """Read the prompt, give every beam its memory, and return the first scores, shape (1, V)."""
    logits_WV = np.zeros((1, session.vocabulary_size), np.float32)
    for start in range(0, len(prompt), CHUNK):
        part = prompt[start : start + CHUNK]
        logits_WV = session.extend(0, part, start, wanted_W=np.array([len(part) - 1]))
    for row in range(1, num_beams):
        session.copy_row(0, row, len(prompt))
    return logits_WV


def _grow(running: Sequence[Hypothesis], scores_BV: FloatArray, count: int) -> tuple[list[int], list[Hypothesis]]:
    """Return the best continuations by one token, the best first, and which beam each of them continues."""
    totals_BV = scores_BV + np.array([[beam.score] for beam in running], np.float32)
    flat = totals_BV.ravel()
    count = min(count, len(flat))
    places = np.argpartition(-flat, count - 1)[:count]
    places = places[np.lexsort((places, -flat[places]))]
    parents, tokens = (found.tolist() for found in np.divmod(places, totals_BV.shape[1]))
    grown = []
    for parent, token in zip(parents, tokens, strict=True):
        before, value = running[parent], float(scores_BV[parent, token])
        grown.append(
            Hypothesis(before.score + value, [*before.ids, token], [*before.log_likelihoods, value], before.ending)
        )
    return parents, grown
