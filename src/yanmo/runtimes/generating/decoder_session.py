"""A decoder's graph on onnxruntime with its buffers of keys and values; it knows tokens and places, and no wishes.

The buffers are numpy arrays that the graph reads and appends to where they stand, so a row's memory is moved or copied
by an assignment. Nothing is copied from step to step, and what each step needs is bound once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ArtifactError
from yanmo.runtimes.engines.ort import open_session
from yanmo.runtimes.generating.bound_call import BoundCall
from yanmo.runtimes.generating.room import make_room

__all__ = ["DecoderSession"]

LEAP = 16
"""Tokens of a call that is kept at most."""


class DecoderSession:
    """A loaded decoder and room for some rows.

    Args:
        path: The ONNX file, as ``exporting.decoder_graph`` writes it.
        num_rows: Rows that there is room for.
        max_length: The most tokens of a row.
        num_threads: Threads to compute with.

    Attributes:
        num_rows: Rows that there is room for.
        max_length: The most tokens of a row.
        vocabulary_size: V.

    Raises:
        ArtifactError: onnxruntime cannot load the file, or it is no decoder's.
    """

    def __init__(self, path: Path, *, num_rows: int, max_length: int, num_threads: int) -> None:
        self.num_rows = num_rows
        self.max_length = max_length
        self._session = open_session(path, num_threads)
        shapes = {one.name: one.shape for one in self._session.get_inputs()}
        buffers = [name for name in shapes if name.startswith("past.")]
        if not buffers or "wanted" not in shapes:
            raise ArtifactError(f"{path} is not the graph of a decoder.", hint="Export the Bundle again.")
        self._has_positions = "positions" in shapes
        self.vocabulary_size = int(self._session.get_outputs()[0].shape[-1])
        # Room for long rows costs short ones nothing.
        self._buffers = {name: make_room((num_rows, shapes[name][1], max_length, shapes[name][3])) for name in buffers}
        self._steps: dict[int, _Call] = {}
        self._leaps: dict[tuple[int, int, int], _Call] = {}

    def step(self, ids_B: IntArray, lengths_B: IntArray) -> FloatArray:
        """Append one token to each of the first B rows.

        Args:
            ids_B: The tokens.
            lengths_B: How many tokens each row has already.

        Returns:
            The scores of the next tokens, shape (B, V); overwritten by the next step of as many rows.
        """
        num_rows = len(ids_B)
        call = self._steps.get(num_rows)
        if call is None:
            call = self._steps[num_rows] = self._bind(0, num_rows, 1, num_rows)
        call.ids_BT[:, 0] = ids_B
        call.set_places(lengths_B)
        call.run()
        return call.logits_WV

    def extend(
        self, row: int, ids_T: Sequence[int] | IntArray, start: int, *, wanted_W: IntArray, is_kept: bool = False
    ) -> FloatArray:
        """Append several tokens to one row.

        Args:
            row: Its number.
            ids_T: The tokens.
            start: How many tokens the row has already; what stands behind them is overwritten.
            wanted_W: The places, among these tokens, behind which scores are wanted.
            is_kept: Whether the next call with as few tokens is alike, as where drafts are checked.

        Returns:
            The scores, shape (W, V); of a kept call overwritten by the next one with as many.
        """
        bind = self._kept if is_kept else self._bind_one
        call = bind(row, len(ids_T), len(wanted_W))
        call.ids_BT[0] = ids_T
        call.wanted_W[:] = wanted_W
        call.set_places(np.array([start]))
        call.run()
        return call.logits_WV

    def _bind_one(self, row: int, length: int, num_wanted: int) -> _Call:
        return self._bind(row, 1, length, num_wanted)

    def _kept(self, row: int, length: int, num_wanted: int) -> _Call:
        """Return a call of one row; of few tokens it is kept: binding takes as long as running it."""
        if length > LEAP:
            return self._bind_one(row, length, num_wanted)
        key = (row, length, num_wanted)
        if key not in self._leaps:
            self._leaps[key] = self._bind_one(row, length, num_wanted)
        return self._leaps[key]

    def copy_row(self, source: int, target: int, length: int) -> None:
        """Make the first tokens of one row those of another."""
        for buffer in self._buffers.values():
            buffer[target, :, :length] = buffer[source, :, :length]

    def reorder_rows(self, sources_B: IntArray, length: int) -> None:
        """Make each of the first B rows what one of them was, as far as some length."""
        for buffer in self._buffers.values():
            # The right side is a copy by then, so rows may change places.
            buffer[: len(sources_B), :, :length] = buffer[sources_B, :, :length]

    def _bind(self, first: int, num_rows: int, length: int, num_wanted: int) -> _Call:
        """Return a call of some rows, all with as many tokens; whatever it needs has its place in memory."""
        call = _Call(self._session, num_rows, length, num_wanted, self.vocabulary_size)
        call.bind_input("input_ids", call.ids_BT)
        call.bind_input("last_places", call.last_B)
        call.bind_input("total_length", call.total)
        call.bind_input("wanted", call.wanted_W)
        if self._has_positions:
            call.bind_input("positions", call.positions_BT)
        call.bind_output("logits", call.logits_WV)
        for name, buffer in self._buffers.items():
            part = buffer[first : first + num_rows]
            call.bind_input(name, part)
            call.bind_output(f"present.{name.removeprefix('past.')}", part)
        return call


class _Call(BoundCall):
    """The arrays of one shape of call, bound to the graph."""

    def __init__(
        self, session: onnxruntime.InferenceSession, num_rows: int, length: int, num_wanted: int, vocabulary_size: int
    ) -> None:
        super().__init__(session)
        self.ids_BT = np.zeros((num_rows, length), np.int64)
        self.positions_BT = np.zeros((num_rows, length), np.int64)
        self.last_B = np.zeros(num_rows, np.int32)
        self.total = np.zeros((), np.int32)
        self.wanted_W = np.arange(num_wanted, dtype=np.int64)
        self.logits_WV = np.zeros((num_wanted, vocabulary_size), np.float32)
        self._steps_T = np.arange(length)

    def set_places(self, lengths_B: IntArray) -> None:
        """Say how many tokens each row has before the new ones."""
        length = self.ids_BT.shape[1]
        np.add(lengths_B, length - 1, out=self.last_B, casting="unsafe")
        np.add(lengths_B[:, None], self._steps_T, out=self.positions_BT)
        self.total[...] = self.last_B.max() + 1
