"""The two graphs of a model that writes a text from another, on onnxruntime, with their buffers of keys and values.

The buffers are numpy arrays that the graphs read and append to where they stand. It knows tokens, and no wishes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from yanmo.arrays import FloatArray, IntArray
from yanmo.errors import ArtifactError
from yanmo.runtimes.engines.ort import open_session
from yanmo.runtimes.generating.bound_call import BoundCall
from yanmo.runtimes.generating.drafts import NextScores, places_left
from yanmo.runtimes.generating.room import make_room

__all__ = ["EncoderDecoderSession"]

PIECE_CELLS = 512
"""Tokens that are read at once, padding included."""


class EncoderDecoderSession:
    """A loaded model.

    Args:
        reading: The ONNX file that reads, as ``exporting.encoder_decoder_graph`` writes it.
        writing: The ONNX file that writes.
        max_length: The most tokens of a text that is written, with the one before it.
        num_threads: Threads to compute with.

    Raises:
        ArtifactError: onnxruntime cannot load a file, or it is no such graph.
    """

    def __init__(self, reading: Path, writing: Path, *, max_length: int, num_threads: int) -> None:
        self.max_length = max_length
        self._reading, self._writing = (open_session(path, num_threads) for path in (reading, writing))
        shapes = {one.name: one.shape for one in self._writing.get_inputs()}
        self._cross = [one.name for one in self._reading.get_outputs()]
        self._past = {name: (shapes[name][1], shapes[name][3]) for name in shapes if name.startswith("past.")}
        if not self._past or any(name not in shapes for name in self._cross):
            raise ArtifactError(f"{reading} and {writing} do not belong together.", hint="Export the Bundle again.")
        self.vocabulary_size = int(self._writing.get_outputs()[0].shape[-1])
        self._rooms: dict[str, FloatArray] = {}

    def read(self, ids_BS: IntArray, lengths_B: IntArray, *, num_beams: int, num_best: int) -> OnnxDrafts:
        """Read texts, and begin answers; those before these end."""
        num_texts, length = ids_BS.shape
        num_heads, width = next(iter(self._past.values()))
        # Zeros, for what is not read is multiplied by 0, and must be a number.
        cross = {name: np.zeros((num_texts, num_heads, length, width), np.float32) for name in self._cross}
        for rows in _pieces(lengths_B):
            self._read_piece(ids_BS, lengths_B, rows, cross)
        past, counts_B = self._room(num_texts * num_beams), lengths_B.astype(np.int32)
        return OnnxDrafts(self, cross, past, counts_B, num_beams=num_beams, num_best=num_best)

    def _read_piece(self, ids_BS: IntArray, lengths_B: IntArray, rows: IntArray, cross: dict[str, FloatArray]) -> None:
        """Read some of the texts, no wider than the longest of them, and put what is found where it belongs."""
        call = BoundCall(self._reading)
        lengths = lengths_B[rows].astype(np.int32)
        ids = np.ascontiguousarray(ids_BS[rows, : lengths.max()])
        call.bind_input("input_ids", ids)
        call.bind_input("lengths", lengths)
        num_heads, width = next(iter(self._past.values()))
        found = {name: np.empty((len(rows), num_heads, ids.shape[1], width), np.float32) for name in cross}
        for name, values in found.items():
            call.bind_output(name, values)
        call.run()
        for name, values in found.items():
            cross[name][rows, :, : ids.shape[1]] = values

    def bind(self) -> BoundCall:
        """Return a call of the graph that writes."""
        return BoundCall(self._writing)

    def _room(self, num_rows: int) -> dict[str, FloatArray]:
        """Return buffers for so many rows; what stands in them does not matter."""
        # Kept from batch to batch: new memory costs more than what is computed in it.
        if len(next(iter(self._rooms.values()), ())) < num_rows:
            self._rooms = {
                name: make_room((num_rows, heads, self.max_length, width))
                for name, (heads, width) in self._past.items()
            }
        return {name: buffer[:num_rows] for name, buffer in self._rooms.items()}


def _pieces(lengths_B: IntArray) -> Iterator[IntArray]:
    """Yield the rows of texts of like length, so many that their states stay in a core's own cache."""
    order_B = np.argsort(-lengths_B, kind="stable")
    start = 0
    while start < len(order_B):
        width = max(int(lengths_B[order_B[start]]), 1)
        stop = start + max(PIECE_CELLS // width, 1)
        yield order_B[start:stop]
        start = stop


class OnnxDrafts:
    """The Drafts protocol."""

    def __init__(
        self,
        session: EncoderDecoderSession,
        cross: dict[str, FloatArray],
        past: dict[str, FloatArray],
        lengths_B: npt.NDArray[np.int32],
        *,
        num_beams: int,
        num_best: int,
    ) -> None:
        self._session = session
        self._cross, self._past, self._lengths_B = cross, past, lengths_B
        self._num_beams, self._num_texts, self._length = num_beams, len(lengths_B), 0
        num_rows = num_beams * len(lengths_B)
        self._ids_R1 = np.zeros((num_rows, 1), np.int64)
        self._last_R = np.zeros(num_rows, np.int32)
        self._total = np.zeros((), np.int32)
        self._num_best = np.array([num_best], np.int64)
        self._likelihoods_R1V = np.empty((num_rows, 1, session.vocabulary_size), np.float32)
        self._best_R1K = np.empty((num_rows, 1, num_best), np.float32)
        self._best_ids_R1K = np.empty((num_rows, 1, num_best), np.int64)
        self._call = self._bind()

    def step(self, ids_R: IntArray) -> NextScores:
        """Let every row grow by a token, and return how likely the next ones are."""
        num_rows = len(ids_R)
        self._ids_R1[:num_rows, 0] = ids_R
        self._last_R[:] = self._length
        self._length += 1
        self._total[...] = self._length
        self._call.run()
        return NextScores(
            self._best_R1K[:num_rows, 0], self._best_ids_R1K[:num_rows, 0], self._likelihoods_R1V[:num_rows, 0]
        )

    def reorder(self, sources_R: Sequence[int]) -> None:
        """Let every row go on as what another one of the same text was."""
        moved = [row for row, source in enumerate(sources_R) if row != source]
        sources = [sources_R[row] for row in moved]
        if moved:
            for buffer in self._past.values():
                # The right side is a copy by then, so rows may change places.
                buffer[moved, :, : self._length] = buffer[sources, :, : self._length]

    def drop(self, texts: Sequence[int]) -> list[int]:
        """Let go of texts; those at the end take their places."""
        order = places_left(self._num_texts, texts)
        moves = [(place, text) for place, text in enumerate(order) if place != text]
        for place, text in moves:
            self._lengths_B[place] = self._lengths_B[text]
            for values in self._cross.values():
                values[place] = values[text]
            rows, sources = self._rows(place), self._rows(text)
            for buffer in self._past.values():
                buffer[rows, :, : self._length] = buffer[sources, :, : self._length]
        self._num_texts = len(order)
        if order:
            self._call = self._bind()
        return order

    def _rows(self, text: int) -> slice:
        return slice(text * self._num_beams, (text + 1) * self._num_beams)

    def _bind(self) -> BoundCall:
        """Return a call for the texts that are left; what it needs has its place in memory."""
        call, num_texts = self._session.bind(), self._num_texts
        num_rows = num_texts * self._num_beams
        call.bind_input("input_ids", self._ids_R1[:num_rows])
        call.bind_input("last_places", self._last_R[:num_rows])
        call.bind_input("total_length", self._total)
        call.bind_input("lengths", self._lengths_B[:num_texts])
        call.bind_input("num_best", self._num_best)
        for name, values in self._cross.items():
            call.bind_input(name, values[:num_texts])
        for name, buffer in self._past.items():
            call.bind_input(name, buffer[:num_rows])
            call.bind_output(f"present.{name.removeprefix('past.')}", buffer[:num_rows])
        call.bind_output("log_likelihoods", self._likelihoods_R1V[:num_rows])
        call.bind_output("best.values", self._best_R1K[:num_rows])
        call.bind_output("best.ids", self._best_ids_R1K[:num_rows])
        return call
