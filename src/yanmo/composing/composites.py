"""What the verbs ensemble, cascade and evaluate share: asking members, publishing a composite; it fits nothing."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from yanmo.artifacts.base import Identity, numbered
from yanmo.artifacts.bundle import MEMBERS, Bundle, publish_bundle, write_golden
from yanmo.artifacts.card import render_card, write_cards
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.combine.alignment import check_probabilities, match_labels, match_rows
from yanmo.combine.calibration import read_calibration
from yanmo.combine.cascading import StageTable
from yanmo.executors.jobs import Executor
from yanmo.measuring.evaluation import Outcome, Split, identify, match_bundle, run_bundle
from yanmo.measuring.inputs import profile_inputs
from yanmo.progress import track
from yanmo.reporting.members import agreement_matrix, cascade_facts, compare_members, leave_one_out
from yanmo.runtimes.composite import (
    SETTINGS_FILES,
    CascadeSettings,
    EnsembleSettings,
    open_runtime,
    read_composite_settings,
    read_ensembler,
)
from yanmo.runtimes.predictor import Predictor, default_num_threads
from yanmo.runtimes.token_mean import TOKEN_MEAN
from yanmo.tasks import task_of
from yanmo.text.pipeline import TextConfig

__all__ = ["ask_members", "check_members", "member_names", "publish_composite", "read_out_of_fold", "stage_table"]

logger = logging.getLogger(__name__)

AMBIGUOUS = 0.02
"""Golden texts whose answer hangs on less than this are left out: other machines may round to the other side."""


def check_members(members: Sequence[Bundle], dataset: Dataset) -> list[list[int]]:
    """Return each member's column for each of the Dataset's labels, and say which members' "not sure" is lost.

    Raises:
        DataError: A member answers another task, or has other labels.
    """
    columns = [match_bundle(member, dataset) for member in members]
    for member in members:
        if member.format == "cascade" and read_composite_settings(member, CascadeSettings).abstain is not None:
            logger.warning("%s may give no answer; as a member of another Bundle it always gives one.", member.path)
    return columns


def stage_table(outcomes: Sequence[Outcome], split: Split, dataset: Dataset, costs_S: Sequence[float]) -> StageTable:
    """Return what the stages of a cascade answered on a labelled split.

    Args:
        outcomes: Of each stage, from :func:`ask_members`.
        split: The rows.
        dataset: Of which the split is.
        costs_S: Milliseconds of one text in each stage.
    """
    task, answers = task_of(dataset), [one.evidence for one in outcomes]
    return StageTable(
        np.stack([task.confidence_N(one) for one in answers]),
        np.stack([task.same_N(one, answers[-1]) for one in answers]),
        np.stack([task.right_N(one, split.targets) for one in answers]),
        list(costs_S),
    )


def member_names(members: Sequence[Bundle]) -> list[str]:
    """Return the members' folder names, number and model, so that equal members give equal composites."""
    # Zeros in front, because members are read in the order of their folders' names.
    width = len(str(len(members)))
    # A model's name may be a path or a hub id, with slashes in it.
    words = [re.sub(r"[^\w.+-]+", "_", member.model) for member in members]
    return [f"{number:0{width}}-{word}" for number, word in enumerate(words, 1)]


def ask_members(
    members: Sequence[Bundle],
    dataset: Dataset,
    split: Split,
    *,
    num_threads: int | None,
    measure_speed: bool = False,
    executor: Executor | None = None,
) -> list[Outcome]:
    """Return what each member answers on a split, columns in the Dataset's label order.

    Args:
        members: The Bundles.
        dataset: Whose split it is.
        split: The rows.
        num_threads: Threads of each.
        measure_speed: Whether their speed is measured, too.
        executor: Who answers; None where this process does.

    Raises:
        DataError: A member's answers are no probabilities.
    """
    outcomes = []
    for member in track(members, "asking members", unit="model"):
        outcome = run_bundle(
            member, dataset, split, num_threads=num_threads, measure_speed=measure_speed, executor=executor
        )
        check_probabilities(outcome.evidence, name=str(member.path), labels=dataset.labels)
        outcomes.append(outcome)
    return outcomes


def publish_composite(
    out: Path,
    members: Sequence[Bundle],
    settings: EnsembleSettings | CascadeSettings,
    dataset: Dataset,
    *,
    verb: str,
    model: str,
    config: Mapping[str, Any],
    seed: int | None,
    scores: Mapping[str, float],
    extra_files: Mapping[str, bytes] = {},
    effects: Effects = NO_EFFECTS,
) -> None:
    """Make a composite Bundle appear at ``out``.

    Args:
        out: Where it appears.
        members: Whole Bundles, which are copied.
        settings: Of the format, in which the members stand under :func:`member_names`.
        dataset: On which it was fitted; its labels are the composite's.
        verb: Who makes it.
        model: Its name in reports.
        config: The verb's config as plain JSON values.
        seed: Of every random choice.
        scores: What was measured while it was made, by name.
        extra_files: Name to content of files that the settings need.
        effects: Of the call that makes it.
    """
    format_ = "ensemble" if isinstance(settings, EnsembleSettings) else "cascade"
    # One member in 8 bits is enough to make golden answers as coarse as its own.
    is_int8 = any(member.manifest.info.get("precision") == "int8" for member in members)
    info: dict[str, Any] = {
        "format": format_,
        "model": model,
        # 0 means no limit, so it is no candidate for the least.
        "max_length": min((member.max_length for member in members if member.max_length), default=0),
        "text": _read_by(members[0].text_config).model_dump(mode="json"),
        "precision": "int8" if is_int8 else "fp32",
        "summary": {name: round(float(score), 6) for name, score in scores.items()},
    }
    identity = Identity(
        kind=Bundle.kind,
        verb=verb,
        task=dataset.task,
        labels=dataset.labels,
        parents={**numbered("member", members), "dataset": dataset.digest},
        config=config,
        seed=seed,
        info=info,
    )
    with publish_bundle(out, identity, effects=effects) as unfinished:
        for name, member in zip(settings.members, members, strict=True):
            shutil.copytree(member.path, unfinished.path / MEMBERS / name)
        content = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
        for name, data in {SETTINGS_FILES[format_]: content, **extra_files}.items():
            (unfinished.path / name).write_bytes(data)
        _write_card(unfinished.path, dataset, info, scores)
        _write_golden(unfinished, members[0])  # it opens the unfinished Bundle, whose files must be there
        identity.info.update(profile_inputs(unfinished, dataset))


def _read_by(config: TextConfig) -> TextConfig:
    """Return how a composite reads texts: its members clean them, and what is decided about them is all alike."""
    return TextConfig(cleaning=(), units=config.units, max_answer=config.max_answer)


def _write_card(staging: Path, dataset: Dataset, info: Mapping[str, Any], scores: Mapping[str, float]) -> None:
    card = partial(
        render_card,
        model=info["model"],
        format=info["format"],
        task=dataset.task,
        labels=dataset.labels,
        max_length=info["max_length"],
        text=TextConfig(cleaning=()),
        dataset_digest=dataset.digest,
        scores={name.removeprefix("valid_"): score for name, score in scores.items()},
    )
    write_cards(staging, card)


def _write_golden(bundle: Bundle, member: Bundle) -> None:
    """Write a member's golden texts with the composite's answers, those left out whose answer hangs on a hair."""
    inputs = member.golden().inputs
    runtime = open_runtime(bundle, device="cpu", num_threads=default_num_threads())
    predictor = Predictor(bundle, runtime)
    rows = np.flatnonzero(runtime.gaps(inputs) > AMBIGUOUS)
    evidence, _ = predictor.infer(inputs)
    write_golden(bundle.path, predictor.task.inputs, inputs.take(rows), evidence.take(rows))


def read_out_of_fold(bundle: Bundle, ids: Sequence[str], dataset: Dataset) -> Any:
    """Return a Bundle's out-of-fold answers to the training rows, calibrated as it is, in the Dataset's order.

    Rows are matched by id, and nothing else of them is in the Bundle: another Dataset with equal ids is only said.

    Args:
        bundle: Trained with folds on this Dataset.
        ids: Of the training rows.
        dataset: Of which the labels are.

    Raises:
        ArtifactError: The Bundle has none.
        DataError: They are of other rows or labels, or are no probabilities.
    """
    found, task = bundle.out_of_fold(), task_of(bundle)
    reference = f"the train split of {dataset.path}"
    rows_N = match_rows(ids, found.ids, name=str(found.path), reference=reference)
    if found.manifest.parents.get("dataset") != dataset.digest:
        logger.warning(
            "%s was trained on another Dataset than %s; rows are matched by id. Where texts differ, its out-of-fold "
            "answers are not about these.",
            bundle.path,
            dataset.path,
        )
    evidence = task.read(found.frame())
    check_probabilities(evidence, name=str(found.path), labels=found.labels)
    if bundle.calibration is not None:
        calibration = read_calibration(bundle.calibration, num_classes=len(bundle.labels), where=str(bundle.path))
        # Probabilities are what is kept, but scores are what a calibration maps.
        evidence = calibration.apply(evidence.invert()).activate()
    columns = match_labels(dataset.labels, found.labels, name=str(found.path), reference=str(dataset.path))
    return evidence.take(rows_N).ordered(columns)


def describe_composite(
    bundle: Bundle,
    dataset: Dataset,
    split: Split,
    outcome: Outcome,
    *,
    num_threads: int | None,
    num_resamples: int,
    seed: int,
) -> dict[str, Any] | None:
    """Return a composite held against its members on a split, as JSON values; None for the Bundle of one model.

    Args:
        bundle: What was measured.
        dataset: Whose split it is.
        split: The rows; every member answers all of them.
        outcome: What the composite answered.
        num_threads: Of the members.
        num_resamples: Of the paired bootstrap.
        seed: Of the paired bootstrap.
    """
    if not bundle.is_composite:
        return None
    members = bundle.members()
    outcomes = ask_members(members, dataset, split, num_threads=num_threads)
    answers, task = [one.evidence for one in outcomes], task_of(dataset)
    sampling = {"num_resamples": num_resamples, "seed": seed}
    facts = [{"bundle": identify(member), "size_mb": member.size_bytes / 1e6} for member in members]
    found: dict[str, Any] = {
        "method": bundle.model,
        "members": compare_members(facts, answers, outcome.evidence, split.targets, task, **sampling),
        "agreement": agreement_matrix(answers, task),
        "leave_one_out": None,
        "cascade": None,
    }
    if bundle.format == "ensemble":
        names, settings = [member.name for member in members], read_composite_settings(bundle, EnsembleSettings)
        if settings.method == TOKEN_MEAN:
            # What some of the members write together is not made of what each has written.
            return found
        ensembler = read_ensembler(bundle, settings)
        whole, without = ensembler.combine(answers, task), []
        for place in range(len(members)):
            rest = ensembler.without(place)
            others = [*answers[:place], *answers[place + 1 :]]
            without.append(rest.combine(others, task) if rest else None)
        found["leave_one_out"] = leave_one_out(names, without, whole, split.targets, task, **sampling)
    else:
        found["cascade"] = _describe_cascade(bundle, dataset, split, outcome, outcomes)
    return found


def _describe_cascade(
    bundle: Bundle, dataset: Dataset, split: Split, outcome: Outcome, outcomes: Sequence[Outcome]
) -> dict[str, Any]:
    """Return what a cascade guarantees and what its stages did, as JSON values.

    Args:
        bundle: The cascade.
        dataset: Whose split it is.
        split: The rows.
        outcome: What the cascade answered.
        outcomes: What each of its stages answered.
    """
    settings = read_composite_settings(bundle, CascadeSettings)
    table = stage_table(outcomes, split, dataset, settings.costs_ms)
    curve = [one["thresholds"] for one in settings.curve]
    return {
        **settings.guarantee,
        "thresholds": settings.thresholds,
        "abstain": settings.abstain,
        "costs_ms": settings.costs_ms,
        "shown_cost_ms": next(one["cost_ms"] for one in settings.curve if one["thresholds"] == settings.thresholds),
        "curve": settings.curve,
        **cascade_facts(table, settings.thresholds, curve, outcome.found.abstained_N, task_of(dataset)),
    }
