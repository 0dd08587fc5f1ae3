"""Text pair: two texts, ``text`` and ``text_b``, have exactly one of C labels together."""

from yanmo.tasks.single_label import SingleLabel

__all__ = ["TEXT_PAIR"]

TEXT_PAIR = SingleLabel(name="text_pair", inputs=("text", "text_b"))
