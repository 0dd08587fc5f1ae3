"""Rows that begin, grow by a token a step, and end, in any company: continuous batching; it knows ids, no text.

Prompts are read in chunks that end at multiples of a fixed length, one chunk a step, so that rows which are under way
wait for no long prompt. A row that begins as one before it did takes over what that has read, in whole chunks, so the
same numbers come out with it and without.

Source: Yu et al. 2022, "Orca: A Distributed Serving System for Transformer-Based Generative Models", section 3.1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import takewhile
from typing import Literal

import numpy as np

from yanmo.arrays import FloatArray
from yanmo.errors import InternalError
from yanmo.runtimes.generating.decoder_session import DecoderSession
from yanmo.runtimes.generating.decoding import Constraint, Decoding
from yanmo.runtimes.generating.drafting import Draft, LookUp
from yanmo.runtimes.generating.sampling import NOTHING, Chooser, ChosenTokens, choose_tokens

__all__ = ["CHUNK", "Ending", "Generator", "WrittenRow"]

CHUNK = 128
LOOK_UP = LookUp()
Ending = Literal["stop", "length", "blocked", "repeats"]
"""Of itself; cut, for it was long enough; nothing may follow that its constraint allows; or it repeats itself."""


class WrittenRow:
    """One text that is being written.

    Attributes:
        prompt: Its first tokens.
        ids: What was written, with the token that ended it.
        log_likelihoods: Of these, in nats.
        best: Of each of these the most likely tokens and their log-likelihoods, as many as were wished.
        prompt_likelihoods: Of the prompt's tokens but the first, in nats, where they were wished.
        prompt_best: As ``best``, of these.
        ending: Why it ended; None before.
        num_cached: Tokens of the prompt that had been read before.
    """

    __slots__ = (
        *("best", "chooser", "ending", "ids", "log_likelihoods", "num_cached", "num_read", "prompt"),
        *("prompt_best", "prompt_likelihoods", "slot", "wants_prompt"),
    )

    def __init__(self, prompt: Sequence[int], chooser: Chooser, *, wants_prompt: bool) -> None:
        self.prompt = list(prompt)
        self.chooser = chooser
        self.wants_prompt = wants_prompt
        self.prompt_likelihoods: list[float] = []
        self.prompt_best: list[list[tuple[int, float]]] = []
        self.ids: list[int] = []
        self.log_likelihoods: list[float] = []
        self.best: list[list[tuple[int, float]]] = []
        self.ending: Ending | None = None
        self.num_cached = 0
        self.num_read = 0
        self.slot = -1


class Generator:
    """Rows that a decoder continues together.

    Args:
        session: The decoder, of which nobody else may use the rows meanwhile.
        draft: What foresees tokens of a row that is alone.

    Attributes:
        draft: The same.
    """

    def __init__(self, session: DecoderSession, draft: Draft = LOOK_UP) -> None:
        self._session = session
        self.draft = draft
        self._waiting: deque[WrittenRow] = deque()
        self._reading: WrittenRow | None = None
        # The place in the list is the row's in the session: rows that are written have the first ones, without a gap.
        self._writing: list[WrittenRow] = []
        # Of every place the tokens whose keys and values stand there, in whole chunks; also of rows that have ended.
        self._held: list[list[int]] = [[] for _ in range(session.num_rows)]

    @property
    def num_rows(self) -> int:
        """Rows that are read or written now."""
        return len(self._writing) + (self._reading is not None)

    @property
    def num_waiting(self) -> int:
        """Rows that have not begun."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether a step would do nothing."""
        return not self.num_rows and not self._waiting

    def begin(
        self,
        prompt: Sequence[int],
        decoding: Decoding,
        *,
        constraint: Constraint | None = None,
        wants_prompt: bool = False,
    ) -> WrittenRow:
        """Return a row that grows from the next steps on, as soon as there is room.

        Args:
            prompt: At least one token, and fewer than a row may have.
            decoding: What is wished.
            constraint: What the text must be.
            wants_prompt: Whether the likelihoods of the prompt's own tokens are told.
        """
        if not 0 < len(prompt) <= self._session.max_length:
            raise InternalError(f"A prompt of {len(prompt)} tokens does not fit {self._session.max_length}.")
        chooser = Chooser(decoding, prompt, self._session.vocabulary_size, constraint)
        row = WrittenRow(prompt, chooser, wants_prompt=wants_prompt)
        self._waiting.append(row)
        return row

    def leave(self, row: WrittenRow) -> None:
        """Give up a row; its place is free at once."""
        if row is self._reading:
            self._reading = None
        elif row.slot >= 0 and row.ending is None:
            self._remove(row)
        elif row in self._waiting:
            self._waiting.remove(row)

    def step(self) -> list[WrittenRow]:
        """Read a chunk of a prompt, if any; write a token of each other row; return the rows that grew or ended."""
        grown: list[WrittenRow] = []
        writing = list(self._writing)
        if self._reading is None and self._waiting and len(self._writing) < self._session.num_rows:
            self._admit(self._waiting.popleft())
        if self._reading is not None and self._read_chunk(self._reading):
            grown.append(self._reading)
            self._settle(self._reading)
        if len(writing) == 1 and (guessed := self._guess(writing[0])):
            self._leap(writing[0], guessed)
            grown += writing
        elif writing:
            ids = np.array([row.ids[-1] for row in writing])
            lengths = np.array([row.num_read for row in writing])
            logits_BV = self._session.step(ids, lengths)
            chosen = choose_tokens(logits_BV, [row.chooser for row in writing])
            for place, row in enumerate(writing):
                row.num_read += 1
                self._take(row, chosen, place)
            grown += writing
        # From the last to the first: who takes the place of one that has ended is none that is still to be asked.
        for row in reversed(writing):
            if row.ending is not None:
                self._remove(row)
        return grown

    def _guess(self, row: WrittenRow) -> list[int]:
        """Return what may follow in a row, as far as there is room."""
        room = self._session.max_length - row.num_read - 1
        count = min(row.chooser.decoding.num_guessed or self.draft.usual_count, room)
        foreseen = self.draft.foresee([*row.prompt, *row.ids], count, row.chooser) if count > 0 else []
        # A draft's table of tokens may be longer.
        return list(takewhile(lambda token: token < self._session.vocabulary_size, foreseen))

    def _leap(self, row: WrittenRow, guessed: Sequence[int]) -> None:
        """Read guessed tokens at once, and keep them as far as they are those that are chosen.

        What is chosen depends on scores, seed and step alone, so it is what steps one by one would choose.
        """
        tokens = [row.ids[-1], *guessed]
        logits_TV = self._session.extend(row.slot, tokens, row.num_read, wanted_W=np.arange(len(tokens)), is_kept=True)
        for place in range(len(tokens)):
            row.num_read += 1
            self._take(row, choose_tokens(logits_TV[place : place + 1], [row.chooser]), 0)
            if row.ending is not None or row.ids[-1:] != [*guessed[place : place + 1]]:
                return

    def _admit(self, row: WrittenRow) -> None:
        """Give a row a place, and what another one has read of the same tokens."""
        row.slot = len(self._writing)
        # The last token is always read anew, for it gives the first scores.
        longest = 0 if row.wants_prompt else (len(row.prompt) - 1) // CHUNK * CHUNK
        counts = [_num_common(row.prompt[:longest], held) for held in self._held]
        source = int(np.argmax(counts))
        row.num_cached = row.num_read = counts[source]
        if counts[source] and source != row.slot:
            self._session.copy_row(source, row.slot, counts[source])
        self._held[row.slot] = row.prompt[: counts[source]]
        self._reading = row

    def _read_chunk(self, row: WrittenRow) -> bool:
        """Read the next tokens of a prompt; return whether it is whole, and the first token chosen."""
        start = row.num_read
        stop = min(len(row.prompt), (start // CHUNK + 1) * CHUNK)
        is_whole = stop == len(row.prompt)
        wanted = np.arange(stop - start) if row.wants_prompt else np.array([stop - start - 1])
        logits_WV = self._session.extend(row.slot, row.prompt[start:stop], start, wanted_W=wanted)
        row.num_read = stop
        if stop % CHUNK == 0:
            self._held[row.slot] = row.prompt[:stop]
        if row.wants_prompt:
            self._note_prompt(row, logits_WV, row.prompt[start + 1 : stop + 1])
        if is_whole:
            if row.chooser.decoding.max_new_tokens:
                self._take(row, choose_tokens(logits_WV[-1:], [row.chooser]), 0)
            else:
                row.ending = "length"
        return is_whole

    def _note_prompt(self, row: WrittenRow, logits_WV: FloatArray, following: Sequence[int]) -> None:
        """Note how likely the tokens of a prompt were, of which the last one has no other behind it."""
        chosen = ChosenTokens(np.array(following, np.int64), logits_WV[: len(following)])
        row.prompt_likelihoods += chosen.log_likelihoods_B.tolist()
        if row.chooser.decoding.num_top:
            row.prompt_best += [chosen.best(place, row.chooser.decoding.num_top) for place in range(len(following))]

    def _settle(self, row: WrittenRow) -> None:
        """Let a row whose prompt was read take its place among those that are written."""
        self._reading = None
        if row.ending is not None:
            return
        place = len(self._writing)
        if row.slot != place:
            self._move(row, place)
        self._writing.append(row)

    def _take(self, row: WrittenRow, chosen: ChosenTokens, place: int) -> None:
        token, decoding = int(chosen.ids_B[place]), row.chooser.decoding
        if token == NOTHING:
            row.ending = "blocked"
            return
        row.ids.append(token)
        row.log_likelihoods.append(float(chosen.log_likelihoods_B[place]))
        if decoding.num_top:
            row.best.append(chosen.best(place, decoding.num_top))
        is_whole = row.chooser.take(token)
        if token in decoding.end_ids or is_whole:
            row.ending = "stop"
        elif len(row.ids) >= decoding.max_new_tokens or row.num_read >= self._session.max_length:
            row.ending = "length"

    def _remove(self, row: WrittenRow) -> None:
        """Free a row's place, and close the gap with the last one."""
        last = self._writing.pop()
        if last is not row:
            self._writing[row.slot] = last
            self._move(last, row.slot)
        row.slot = -1

    def _move(self, row: WrittenRow, place: int) -> None:
        self._session.copy_row(row.slot, place, row.num_read)
        self._held[place] = self._held[row.slot]
        row.slot = place


def _num_common(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two rows have in common from their beginnings on, in whole chunks."""
    count = 0
    while count < min(len(first), len(second)) and first[count : count + CHUNK] == second[count : count + CHUNK]:
        count += CHUNK
    return count
