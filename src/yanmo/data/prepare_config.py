"""What ``prepare`` is asked: what raw files hold, and how they become a Dataset; it reads none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from yanmo.data.documents import DocumentOptions
from yanmo.data.finding import find_files
from yanmo.data.label_pairs import LabelNames, LabelPairs
from yanmo.data.near_duplicates import NearDuplicateOptions
from yanmo.data.tagging import TaggingOptions
from yanmo.data.targets import TargetOptions
from yanmo.tasks import TASKS, known_task
from yanmo.text.pipeline import TextConfig

__all__ = ["PrepareConfig", "given_files"]


class PrepareConfig(DocumentOptions, NearDuplicateOptions, TaggingOptions, TargetOptions):
    """What the raw files hold, and how they become a Dataset."""

    task: Annotated[str, AfterValidator(known_task)] = Field(
        default="single_label",
        description="What is to be predicted, such as one label a text, any number of labels, or one label for two "
        f"texts together: {', '.join(TASKS)}.",
    )

    text: str = "text"
    """Column of the text; without a header line a number: 1 is the first column. For span that of the passage, by
    default passage."""

    text_b: str | None = None
    """Column of the second text; for text_pair, and for span that of the question, by default question."""

    label: str = "label"
    """Column of the label, or of the labels. Where parts of texts are labeled: the number of a column in conll; upos,
    xpos, another column or a key of MISC in conllu, by default upos; a key of JSON; or words, for segmentation. For
    span that of the answers, by default answers."""

    max_answer: int | None = Field(default=None, ge=1)
    """For span: most characters of an answer, by default 100; it travels with every model."""

    label_columns: tuple[str, ...] = ()
    """Columns of 0 and 1, one a label, instead of one column of labels; the names of the columns are the labels."""

    id: str | None = None
    """Column of unique row ids; by default rows are numbered from 1 in reading order."""

    valid: Path | None = None
    """File, folder or pattern of the validation split; by default it is cut from the source."""

    test: Path | None = None
    """File, folder or pattern of the test split; by default it is cut from the source."""

    unlabeled: Path | None = None
    """File, folder or pattern of texts without labels."""

    label_separator: str = ","
    """What separates the labels of a cell, for multi_label; a cell that begins with [ is a JSON list, of labels or,
    with label_names, of 0 and 1, one place a label."""

    label_map: LabelPairs = ()
    """Labels that become others, such as Neg=neg,POS=pos; or a file of such pairs: a JSON object, or a .csv or .tsv of
    two columns without a header."""

    label_names: LabelNames = ()
    """Names of the labels, such as 0=negative,1=positive, or negative,positive for 0 and 1; or a file as for label_map.
    They are what every answer says, in the order given; every label needs one."""

    cleaning: tuple[str, ...] = TextConfig().cleaning
    """Cleaning steps in order; they travel with every model and run in predict and serve too. The steps are:
    strip_html, unicode_nfkc, simplify_chinese, lowercase, strip_urls, strip_emails, strip_digits, strip_symbols,
    stop_words_en, stop_words_zh, collapse_whitespace."""

    segmenter: Literal["none", "rjieba"] = "none"
    """Chinese word segmentation: rjieba gives the light models words as features."""

    user_dict: Path | None = None
    """Dictionary of the segmenter, one word a line with an optional frequency; it travels with every model. Where the
    parts of texts are labeled: words that the model window looks for."""

    valid_ratio: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the distinct texts of each class that is cut for validation; 0 cuts none."""

    test_ratio: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the distinct texts of each class that is cut for the test; 0 cuts none."""

    seed: int = Field(default=1, ge=0)
    """Seed of the split."""

    max_rejected: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest share of refused rows that is no error."""

    def given(self, name: Literal["text", "text_b", "label"]) -> str | None:
        """Return the name of a column that the user has given, be it the default; None where it was left out."""
        return getattr(self, name) if name in self.model_fields_set else None


def given_files(config: PrepareConfig) -> dict[str, tuple[Path, ...]]:
    """Return role to files of the splits that are given and not cut: a folder's and a pattern's one by one.

    Raises:
        DataError: A folder has no file that can be read, or nothing matches a pattern.
    """
    given = {"valid": config.valid, "test": config.test, "unlabeled": config.unlabeled}
    return {role: find_files([path]) for role, path in given.items() if path is not None}
