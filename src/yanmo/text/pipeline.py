"""The text pipeline of a Dataset or Bundle: cleaning, then segmentation; it knows nothing about who uses it.

One ``TextConfig`` travels from ``prepare`` through every Bundle, so training, prediction and serving see the same text.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from msgspec.structs import replace
from pydantic import Field, field_validator

from yanmo.arrays import Ragged
from yanmo.config import Config
from yanmo.errors import ArtifactError
from yanmo.text.clean import CLEANING_STEPS, clean_joined, unknown_step
from yanmo.text.columns import join_column, split_column
from yanmo.text.inputs import Inputs, Units
from yanmo.text.segment import Segmenter
from yanmo.text.unit_places import UnitRule, cut_units, unit_places

__all__ = ["TextConfig", "TextPipeline"]


class TextConfig(Config):
    """What is done to every text before a model reads it."""

    cleaning: tuple[str, ...] = ("unicode_nfkc", "collapse_whitespace")
    """Cleaning steps, applied in this order."""

    segmenter: Literal["none", "rjieba"] = "none"
    """Chinese word segmentation: 'rjieba' puts a space between words."""

    user_dict: str | None = None
    """Name of the segmenter's user dictionary inside the artifact."""

    units: UnitRule | None = Field(default=None, exclude_if=lambda rule: rule is None)
    """What the parts of a text are that are labeled one by one; None where whole texts are."""

    max_answer: int | None = Field(default=None, ge=1, exclude_if=lambda length: length is None)
    """Most characters of an answer in a passage; None where that is the task's own matter."""

    prefix: str = Field(default="", exclude_if=lambda prefix: not prefix)
    """What is put before every text, after the cleaning."""

    target_cleaning: tuple[str, ...] = Field(default=(), exclude_if=lambda steps: not steps)
    """Cleaning steps of the texts that are to be written for others, applied in this order."""

    glossary: str | None = Field(default=None, exclude_if=lambda name: name is None)
    """Name of the file inside the artifact that says how phrases are always written."""

    @field_validator("cleaning", "target_cleaning")
    @classmethod
    def _known_steps(cls, cleaning: tuple[str, ...]) -> tuple[str, ...]:
        for name in cleaning:
            if name not in CLEANING_STEPS:
                raise ValueError(f"made of known steps. {unknown_step(name)}")
        return cleaning


class TextPipeline:
    """Applies a ``TextConfig`` to columns; immutable, safe to use from several threads.

    Args:
        config: The steps.
        folder: Where ``config.user_dict`` lies; not needed without one.

    Raises:
        ArtifactError: The user dictionary is named, but there is no folder to find it in.
        DataError: The user dictionary cannot be read, or a line of it is wrong.
    """

    def __init__(self, config: TextConfig, folder: Path | None = None) -> None:
        self.config = config
        self._segmenter: Segmenter | None = None
        if config.segmenter == "rjieba":
            self._segmenter = Segmenter(_user_dict_path(config, folder))

    def read(self, inputs: Inputs, *, places: Ragged | None = None) -> Inputs:
        """Return what a model reads of N raw rows.

        Whole texts are cleaned. Units are cut from the raw text and then cleaned one by one, so that nothing moves
        their places. Units are those of the first column; others, such as questions about it, are cleaned whole.

        Args:
            inputs: Raw rows.
            places: Where the units are, if not where the config's rule finds them.
        """
        rule = self.config.units
        if rule is None:
            columns = [self.apply(column) for column in inputs.columns]
            if self.config.prefix:
                columns[0] = [self.config.prefix + text for text in columns[0]]
            return Inputs(tuple(columns), inputs.is_segmented)
        others = tuple([self.apply(column) for column in inputs.columns[1:]])
        places = unit_places(inputs.first, rule) if places is None else places
        cleaned = cut_units(inputs.first, places).changed(self._clean)
        return replace(inputs, columns=(inputs.first, *others), units=Units(cleaned, places, rule))

    def apply(self, texts: Sequence[str]) -> list[str]:
        """Return N cleaned and segmented texts for N raw ones; some may have become empty."""
        return self._clean(texts, self._segmenter)

    def _clean(self, texts: Sequence[str], segmenter: Segmenter | None = None) -> list[str]:
        # The texts are joined once and split once; between the two every step is one call on the whole column.
        joined = clean_joined(join_column(texts), self.config.cleaning)
        if segmenter is not None:
            joined = segmenter.segment_joined(joined)
        return split_column(joined, len(texts))


def _user_dict_path(config: TextConfig, folder: Path | None) -> Path | None:
    if config.user_dict is None:
        return None
    if folder is None:
        raise ArtifactError(
            f"The text pipeline needs its user dictionary '{config.user_dict}', but no folder was given.",
            hint="Open the Dataset or Bundle from its folder.",
        )
    return folder / config.user_dict
