"""Predictions that were only returned and stand in no folder; it knows no model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.artifacts.answer_table import answer_lines
from yanmo.artifacts.base import Manifest
from yanmo.artifacts.predictions import Predictions
from yanmo.artifacts.span_table import has_spans, told_spans
from yanmo.artifacts.vector_table import has_vectors

__all__ = ["UnsavedPredictions"]


class UnsavedPredictions(Predictions):
    """Predictions that stand in no folder: ``path`` is None."""

    def __init__(self, manifest: Manifest, frame: pl.DataFrame, texts: pl.Series) -> None:
        super().__init__(Path(), manifest, "")
        self.path = None  # type: ignore[assignment]
        self._frame = frame
        self._texts = texts

    def frame(self) -> pl.DataFrame:
        """Return the rows: ``id``, ``prediction``, ``probability``, and ``probabilities`` where there are labels."""
        return self._frame

    def lines(self) -> Iterator[str]:
        """Yield one line a text: the label, or that a cascade abstained, a tab, the probability."""
        yield from answer_lines(self._frame, self._texts, self.labels)

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints: all answers, too."""
        if has_vectors(self._frame):
            answers = self._frame.to_dicts()
        elif has_spans(self._frame):
            rows = self._frame.drop("probabilities", "places", "pointers", strict=False).to_dicts()
            told = told_spans(self._frame, self._texts)
            answers = [{**row, "prediction": spans} for row, spans in zip(rows, told, strict=True)]
        elif "probabilities" not in self._frame.columns:
            answers = self._frame.select("id", "prediction", "probability").to_dicts()
        else:
            answers = [
                {**row, "probabilities": dict(zip(self.labels, row["probabilities"], strict=True))}
                for row in self._frame.to_dicts()
            ]
        facts = self.manifest.info["summary"]
        return {"kind": self.kind, "path": None, "task": self.task, **facts, "predictions": answers}
