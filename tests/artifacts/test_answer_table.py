"""Answers for people are a line each, whatever a label holds."""

from __future__ import annotations

import polars as pl

from yanmo.artifacts.answer_table import answer_lines

LABELS = ["a\nb", "\x1b[31mred", "好"]


def test_a_label_is_one_line_and_commands_no_terminal() -> None:
    frame = pl.DataFrame({"prediction": [*LABELS, None], "probability": [0.5] * 4})
    assert list(answer_lines(frame, None, LABELS)) == [
        "a\\nb\t0.5000",
        "\\x1b[31mred\t0.5000",
        "好\t0.5000",
        "(not sure)\t0.5000",
    ]
    lists = pl.DataFrame({"prediction": [LABELS], "probability": [0.5]})
    assert list(answer_lines(lists, None, LABELS)) == ['["a\\nb", "\\u001b[31mred", "好"]\t0.5000']
