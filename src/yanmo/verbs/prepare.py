"""prepare: raw files to a Dataset; it reads, refuses, splits and inspects, and knows no model."""

from pathlib import Path
from typing import Any, Literal

import polars as pl
from pydantic import Field

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.dataset import SPLITS, Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.parquet import write_parquet
from yanmo.config import build
from yanmo.data.decode import check_file
from yanmo.data.inspect import profile_info, profile_rows, write_profile
from yanmo.data.read import ReadOptions
from yanmo.data.refuse import check_share, clean_rows, refusal_reasons, write_rejected
from yanmo.data.rows import check_ids, file_parents, read_rows
from yanmo.data.split import check_labels, cut_splits
from yanmo.data.terms import write_tfidf
from yanmo.errors import ConfigError
from yanmo.protocols import Task
from yanmo.tasks import get_task
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.segment import read_user_dict
from yanmo.verbs.signature import verb

__all__ = ["PrepareConfig", "check_config", "prepare"]

USER_DICT = "user_dict.txt"


class PrepareConfig(ReadOptions):
    """What the raw files hold, and how they become a Dataset."""

    task: Literal["single_label", "multi_label", "text_pair"] = "single_label"
    """What is to be predicted: one label a text, any number of labels, or one label for two texts together."""

    text: str = "text"
    """Column of the text; without a header line a number: 1 is the first column."""

    text_b: str | None = None
    """Column of the second text; for text_pair only."""

    label: str = "label"
    """Column of the label, or of the labels."""

    id: str | None = None
    """Column of unique row ids; by default rows are numbered from 1 in reading order."""

    valid: Path | None = None
    """File of the validation split; by default it is cut from the source."""

    test: Path | None = None
    """File of the test split; by default it is cut from the source."""

    unlabeled: Path | None = None
    """File of texts without labels."""

    label_separator: str = ","
    """What separates the labels of a cell, for multi_label; a cell that begins with [ is a JSON list."""

    cleaning: tuple[str, ...] = TextConfig().cleaning
    """Cleaning steps in order; they travel with every model and run in predict and serve too. The steps are:
    strip_html, unicode_nfkc, simplify_chinese, lowercase, strip_urls, strip_emails, strip_digits, strip_symbols,
    stop_words_en, stop_words_zh, collapse_whitespace."""

    segmenter: Literal["none", "rjieba"] = "none"
    """Chinese word segmentation: rjieba gives the light models words as features."""

    user_dict: Path | None = None
    """Dictionary of the segmenter, one word a line with an optional frequency; it travels with every model."""

    valid_ratio: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the distinct texts of each class that is cut for validation; 0 cuts none."""

    test_ratio: float = Field(default=0.1, ge=0.0, lt=1.0)
    """Share of the distinct texts of each class that is cut for the test; 0 cuts none."""

    seed: int = Field(default=1, ge=0)
    """Seed of the split."""

    max_rejected: float = Field(default=0.5, ge=0.0, le=1.0)
    """Largest share of refused rows that is no error."""


@verb
def prepare(source: tuple[Path, ...], config: PrepareConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Dataset:
    """Make a Dataset from raw files.

    Args:
        source: Files with the rows of train, or of everything where valid or test is cut.
        config: What the files hold, and how they become a Dataset.
        out: Where the Dataset appears.
        effects: Key and replacement of the call.

    Raises:
        DataError: A file or too many of its rows cannot be used.
        ConfigError: Values contradict each other.
    """
    task = check_config(config)
    files = _files(source, config)
    text_config = _text_config(config)
    rows, rejected, changed_rows = _read_and_refuse(files, config, task)
    rows = rows.with_columns(cut_splits(rows, _ratios(config), config.seed).alias("split"))
    check_labels(rows)
    labels = task.label_names(rows.filter(pl.col("split") != "unlabeled")["label"])
    profile = profile_rows(rows, rejected, labels, changed_rows)
    identity = Identity(
        kind=Dataset.kind,
        verb="prepare",
        task=task.name,
        labels=labels,
        parents=file_parents({**files, "user_dict": [config.user_dict] if config.user_dict else []}),
        config=_plain(config),
        seed=config.seed,
        info={"text": text_config.model_dump(mode="json"), **profile_info(profile)},
    )
    with publish(out, identity, effects=effects) as staging:
        if config.user_dict:
            (staging / USER_DICT).write_bytes(config.user_dict.read_bytes())
        _write_splits(staging, rows)
        write_rejected(staging / "rejected.jsonl", rejected)
        pipeline = TextPipeline(text_config, staging)
        top_terms = write_tfidf(staging, rows, task, labels, pipeline, profile["cjk_share"])
        write_profile(staging, profile, top_terms)
    return Dataset.open(out, verify=False)


def check_config(config: PrepareConfig) -> Task:
    """Return the task, after checking what no single field can tell.

    Raises:
        ConfigError: Values contradict each other, or a cleaning step is unknown.
        DataError: The user dictionary cannot be used.
    """
    task = get_task(config.task)
    if (task.num_texts == 2) != (config.text_b is not None):
        problem = "needs" if task.num_texts == 2 else "does not use"
        raise ConfigError(
            f"The task {task.name} {problem} the 'text_b' parameter.",
            hint="Give --text-b, the column of the second text." if task.num_texts == 2 else "Use --task text_pair.",
        )
    if sum(_ratios(config).values()) >= 1.0:
        raise ConfigError(
            f"The 'valid_ratio' and 'test_ratio' parameters of prepare must together be below 1. "
            f"Got {config.valid_ratio} and {config.test_ratio} instead.",
            hint="Train gets what they leave.",
        )
    if config.user_dict:
        check_file(config.user_dict)
        if config.segmenter == "none":
            raise ConfigError(
                "The 'user_dict' parameter of prepare needs a segmenter.", hint="Give --segmenter rjieba, too."
            )
        read_user_dict(config.user_dict)
    _text_config(config)
    return task


def _files(source: tuple[Path, ...], config: PrepareConfig) -> dict[str, list[Path]]:
    """Return role to files: ``source`` for what stands for train, then the given splits."""
    given = {"valid": config.valid, "test": config.test, "unlabeled": config.unlabeled}
    return {"source": list(source), **{role: [path] for role, path in given.items() if path is not None}}


def _ratios(config: PrepareConfig) -> dict[str, float]:
    """Return the splits to cut from the source, with their shares."""
    wanted = {"valid": (config.valid, config.valid_ratio), "test": (config.test, config.test_ratio)}
    return {split: ratio for split, (given, ratio) in wanted.items() if given is None and ratio > 0}


def _text_config(config: PrepareConfig) -> TextConfig:
    user_dict = USER_DICT if config.user_dict else None
    values = {"cleaning": config.cleaning, "segmenter": config.segmenter, "user_dict": user_dict}
    return build(TextConfig, values, where="prepare")


def _read_and_refuse(
    files: dict[str, list[Path]], config: PrepareConfig, task: Task
) -> tuple[pl.DataFrame, pl.DataFrame, dict[str, int]]:
    """Return accepted rows, refused rows with their reason, and how many rows each cleaning step changed."""
    columns = {"text": config.text, "text_b": config.text_b, "label": config.label, "id": config.id}
    by_split = {("train" if role == "source" else role): paths for role, paths in files.items()}
    rows = read_rows(by_split, config, {ours: theirs for ours, theirs in columns.items() if theirs is not None})
    rows, changed_rows = clean_rows(rows, config.cleaning)
    rows = rows.with_columns(task.parse_labels(rows["raw_label"], config.label_separator).alias("label"))
    rows = rows.with_columns(refusal_reasons(rows))
    check_share(rows, config.max_rejected)
    accepted = rows.filter(pl.col("reason").is_null())
    check_ids(accepted)
    return accepted, rows.filter(pl.col("reason").is_not_null()), changed_rows


def _plain(config: PrepareConfig) -> dict[str, Any]:
    """Return the config as JSON values; of a file only its name, since its content is among the parents."""
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in config.model_dump(mode="python").items()
    }


def _write_splits(folder: Path, rows: pl.DataFrame) -> None:
    for split in SPLITS:
        part = rows.filter(pl.col("split") == split)
        names = [name for name in ("id", "text", "text_b", "label") if name in part.columns]
        chosen = part.select(names if split != "unlabeled" else names[:-1])
        if part.height:
            write_parquet(chosen, folder / f"{split}.parquet")
