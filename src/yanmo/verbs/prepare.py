"""prepare: raw files to a Dataset; it reads, refuses, splits and inspects, and knows no model."""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.dataset import SPLITS, Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.parquet import write_pieces
from yanmo.data.decode import check_file
from yanmo.data.documents import check_document_keys
from yanmo.data.finding import companions
from yanmo.data.gather import Gathered, ReadsLabels, gather_rows
from yanmo.data.inspect import profile_info, profile_rows, write_profile
from yanmo.data.openers import GLOSSARY, USER_DICT, open_raw, text_config
from yanmo.data.pipes import kept_pipes
from yanmo.data.prepare_config import PrepareConfig, given_files
from yanmo.data.rows import file_parents
from yanmo.data.spill import Spill
from yanmo.data.split import check_labels, cut_splits
from yanmo.data.targets import check_target_keys
from yanmo.data.terms import TopTerms, choose_sample, write_tfidf
from yanmo.errors import ConfigError
from yanmo.protocols import Task
from yanmo.tasks import TASKS, get_task
from yanmo.text.clean import UNIT_STEPS
from yanmo.text.glossary import read_glossary
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.segment import read_user_dict
from yanmo.text.word_list import read_word_list
from yanmo.verbs.signature import verb

__all__ = ["check_config", "prepare"]

REJECTED = "rejected.jsonl"
SPILL = "spill"


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
    with contextlib.ExitStack() as until_end:
        # Those of the source are found by whoever calls a verb.
        files = {"source": list(source)}
        for role, paths in given_files(config).items():
            files[role] = list(until_end.enter_context(kept_pipes(paths)))
        _publish(task, files, config, out, effects)
    return Dataset.open(out, verify=False)


def _publish(task: Task[Any], files: dict[str, list[Path]], config: PrepareConfig, out: Path, effects: Effects) -> None:
    reader, blocks, text_config = open_raw(task, files, config)
    identity = Identity(
        kind=Dataset.kind,
        verb="prepare",
        task=task.name,
        labels=[],
        config=_plain(config),
        seed=config.seed,
        info={"text": text_config.model_dump(mode="json")},
    )
    # The spill is inside of the staging folder and is removed first, so that it is never published.
    with publish(out, identity, effects=effects) as staging, Spill(staging / SPILL) as spill:
        gathered = _gather(blocks, config, text_config, reader, spill, staging)
        labels = reader.order(task.label_names(gathered.rows.filter(pl.col("split") != "unlabeled")["label"]))
        by_near = config.least_similarity is not None
        profile = profile_rows(gathered, labels, by_text=task.group == task.inputs, by_near=by_near)
        # Known only now; the manifest is written when the block ends.
        identity.labels.extend(labels)
        identity.parents.update(_parents(files, config))
        identity.info.update(profile_info(profile))
        if config.user_dict:
            (staging / USER_DICT).write_bytes(config.user_dict.read_bytes())
        if config.glossary:
            (staging / GLOSSARY).write_bytes(config.glossary.read_bytes())
        _write_splits(staging, gathered.rows, spill)
        top_terms: TopTerms = {}
        # Terms tell what a label is given to as a whole.
        if task.head == "texts":
            train, pipeline = _sample(gathered.rows, spill), TextPipeline(text_config, staging)
            top_terms = write_tfidf(staging, train, task, labels, pipeline, profile["cjk_share"])
        write_profile(staging, profile, top_terms)


def check_config(config: PrepareConfig) -> Task[Any]:
    """Return the task, after checking what no single field can tell.

    Raises:
        ConfigError: Values contradict each other, or a cleaning step is unknown.
        DataError: The user dictionary cannot be used.
    """
    task = get_task(config.task)
    if task.head == "texts" and (len(task.inputs) > 1) != (config.text_b is not None):
        pairs = " or ".join(name for name, one in TASKS.items() if one.head == "texts" and len(one.inputs) > 1)
        problem = "needs" if len(task.inputs) > 1 else "does not use"
        raise ConfigError(
            f"The task {task.name} {problem} the 'text_b' parameter.",
            hint="Give --text-b, the column of the second text." if len(task.inputs) > 1 else f"Use --task {pairs}.",
        )
    if config.label_columns and config.given("label") is not None:
        raise ConfigError(
            "The 'label' and 'label_columns' parameters of prepare exclude each other.",
            hint="Name one column of labels, or the columns of 0 and 1.",
        )
    if sum(_ratios(config).values()) >= 1.0:
        raise ConfigError(
            f"The 'valid_ratio' and 'test_ratio' parameters of prepare must together be below 1. "
            f"Got {config.valid_ratio} and {config.test_ratio} instead.",
            hint="Train gets what they leave.",
        )
    if config.user_dict:
        check_file(config.user_dict)
        if config.segmenter == "none" and not task.reads_units:
            raise ConfigError(
                "The 'user_dict' parameter of prepare needs a segmenter.", hint="Give --segmenter rjieba, too."
            )
        # Read for its errors alone: a bad line is told before any row is read.
        read = read_word_list if task.reads_units else read_user_dict
        read(config.user_dict)
    # For its errors alone.
    text_config(task, config)
    _check_units(task, config)
    given = [name for name, one in PrepareConfig.model_fields.items() if getattr(config, name) != one.default]
    check_document_keys(task, config, given)
    check_target_keys(task, given)
    if config.glossary:
        read_glossary(check_file(config.glossary))
    return task


def _check_units(task: Task[Any], config: PrepareConfig) -> None:
    """Check what matters where parts of texts are labeled or answer questions, and only there.

    Raises:
        ConfigError: A value has no meaning for the task.
    """
    if config.max_answer is not None and task.head != "passages":
        passages = " or ".join(name for name, one in TASKS.items() if one.head == "passages")
        raise ConfigError(
            f"The task {task.name} does not use the 'max_answer' parameter.", hint=f"Use --task {passages}."
        )
    if not task.reads_units:
        given = next((name for name in ("tagging", "units") if getattr(config, name) is not None), None)
        if given:
            units = " or ".join(name for name, one in TASKS.items() if one.reads_units)
            raise ConfigError(
                f"The task {task.name} does not use the '{given}' parameter.",
                hint=f"Use --task {units}, or leave it out.",
            )
        return
    odd = next((step for step in config.cleaning if step not in UNIT_STEPS), None)
    if odd is not None:
        raise ConfigError(
            f"The cleaning step '{odd}' cannot be used with the task {task.name}: it takes characters away, "
            "and the places of the labels would move.",
            hint=f"The steps that can: {', '.join(UNIT_STEPS)}.",
        )
    if config.segmenter != "none" or config.label_columns:
        name = "label_columns" if config.label_columns else "segmenter"
        raise ConfigError(f"The task {task.name} does not use the '{name}' parameter.", hint="Leave it out.")


def _ratios(config: PrepareConfig) -> dict[str, float]:
    """Return the splits to cut from the source, with their shares."""
    wanted = {"valid": (config.valid, config.valid_ratio), "test": (config.test, config.test_ratio)}
    return {split: ratio for split, (given, ratio) in wanted.items() if given is None and ratio > 0}


def _parents(files: dict[str, list[Path]], config: PrepareConfig) -> dict[str, str]:
    """Return role and name to digest of all files, those included that are read because of another one."""
    read = {role: [one for path in paths for one in (path, *companions(path))] for role, paths in files.items()}
    chosen = read if get_task(config.task).reads_units else files
    beside = {"user_dict": config.user_dict, "glossary": config.glossary}
    return file_parents({**chosen, **{role: [path] if path else [] for role, path in beside.items()}})


def _gather(
    blocks: Iterable[pl.DataFrame],
    config: PrepareConfig,
    text_config: TextConfig,
    labels: ReadsLabels,
    spill: Spill,
    staging: Path,
) -> Gathered:
    """Return all rows with their splits; their texts wait on disk."""
    gathered = gather_rows(
        blocks,
        labels,
        text_config.cleaning,
        spill=spill,
        rejected=staging / REJECTED,
        max_rejected=config.max_rejected,
        has_ids=config.id is not None,
        near=config.least_similarity,
    )
    # Without labels there are no classes that splits should balance.
    rows = gathered.rows if labels.task.least_labels else gathered.rows.with_columns(pl.lit("").alias("label"))
    # Texts that are nearly equal go to one split, as equal ones do.
    split = cut_splits(rows.with_columns(key="group"), _ratios(config), config.seed).alias("split")
    check_labels(rows.with_columns(split), least=labels.task.least_labels)
    return replace(gathered, rows=gathered.rows.with_columns(split))


def _plain(config: PrepareConfig) -> dict[str, Any]:
    """Return the config as JSON values; of a file only its name, since its content is among the parents."""
    return {
        name: value.name if isinstance(value, Path) else value
        for name, value in config.model_dump(mode="python").items()
    }


def _write_splits(folder: Path, rows: pl.DataFrame, spill: Spill) -> None:
    """Write the files of the splits that have rows: ``id``, what the task reads, and ``label`` if any."""
    for split in SPLITS:
        chosen = rows["split"] == split
        if num_rows := int(chosen.sum()):
            labels = None if split == "unlabeled" else rows.filter(chosen)["label"]
            write_pieces(_labeled(spill.take(chosen), labels), num_rows, folder / f"{split}.parquet")


def _labeled(frames: Iterable[pl.DataFrame], labels: pl.Series | None) -> Iterator[pl.DataFrame]:
    """Yield the pieces with their labels."""
    # The pieces come in the order of the rows, so their labels are the next ones each time.
    place = 0
    for frame in frames:
        yield frame if labels is None else frame.with_columns(labels[place : place + frame.height].alias("label"))
        place += frame.height


def _sample(rows: pl.DataFrame, spill: Spill) -> pl.DataFrame:
    """Return the rows of train in which terms are counted."""
    chosen = choose_sample(rows)
    return pl.concat(_labeled(spill.take(chosen), rows.filter(chosen)["label"]))
