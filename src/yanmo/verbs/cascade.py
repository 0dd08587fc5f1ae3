"""cascade: stages from cheap to expensive to one Bundle that keeps a guarantee; it measures, chooses and publishes."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from yanmo.arrays import Array, IntArray
from yanmo.artifacts.bundle import Bundle
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.combine.cascading import (
    NEVER,
    Chosen,
    StageTable,
    Withheld,
    answering_stages,
    choose_abstention,
    choose_thresholds,
)
from yanmo.composing.composites import ask_members, check_members, member_names, publish_composite, stage_table
from yanmo.config import Config
from yanmo.errors import ConfigError
from yanmo.measuring.evaluation import load_split, with_labels_of
from yanmo.metrics.labels import ACCURACY, name_right_rows
from yanmo.metrics.measures import Measure
from yanmo.protocols import Task
from yanmo.runtimes.composite import CascadeSettings
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.verbs.signature import verb

__all__ = ["CascadeConfig", "cascade"]

logger = logging.getLogger(__name__)

# Measured costs differ from run to run, so stages of about the same cost are let through.
COST_TOLERANCE = 0.9
MAX_CURVE = 100


class CascadeConfig(Config):
    """What is guaranteed, and on which rows it is shown."""

    guarantee: Literal["agreement", "accuracy"] = "agreement"
    """agreement: the answer differs from the last stage's on at most alpha of all texts; accuracy: the share of rows
    that are right as a whole is at most alpha below the last stage's, whatever the task's headline is."""

    alpha: float = Field(default=0.01, gt=0, lt=1)
    """The share that is allowed."""

    delta: float = Field(default=0.05, gt=0, lt=1)
    """The chance that the guarantee does not hold; 0.05 is a confidence of 95 %."""

    abstain: float | None = Field(default=None, gt=0, lt=1)
    """Give no answer where even the last stage is unsure, so that at most this share of the answers is wrong."""

    split: Literal["valid", "test"] = "valid"
    """The rows that show it; no stage may have learned from them."""

    costs: tuple[Annotated[float, Field(gt=0)], ...] = ()
    """Cost of one text in each stage, in milliseconds; by default they are measured here, in batches."""

    seed: int = Field(default=0, ge=0)
    """Seed of the choice of the rows that lay the path of candidates; the others test it."""

    num_threads: int | None = Field(default=None, ge=1)
    """Threads to compute with; by default one for each CPU that this process may use."""


@verb
def cascade(
    dataset: Dataset, stages: tuple[Bundle, ...], config: CascadeConfig, *, out: Path, effects: Effects = NO_EFFECTS
) -> Bundle:
    """Let a cheap Bundle answer what it is sure of, and dearer ones the rest, with a guarantee.

    Args:
        dataset: On whose split the thresholds are chosen.
        stages: Bundles with the same labels, from cheap to expensive; any format, ensembles and cascades too.
        config: What is guaranteed.
        out: Where the new Bundle appears.
        effects: Key and replacement of the call.

    Raises:
        ConfigError: There are too few stages, they do not go from cheap to expensive, or one would never be asked.
        DataError: The split has too few rows to show the guarantee; or the stages' tasks or labels differ.
    """
    _check_given(stages, config)
    check_form(task_of(dataset), "cascade")
    dataset = with_labels_of(stages, dataset)
    columns, split = check_members(stages, dataset), load_split(dataset, config.split)
    outcomes = ask_members(stages, dataset, split, num_threads=config.num_threads, measure_speed=not config.costs)
    costs_S = list(config.costs) or [1000 / one.facts["throughput_texts_per_second"] for one in outcomes]
    # Four digits, as the manifest and a recipe have them: the same thresholds come out of these again.
    table = stage_table(outcomes, split, dataset, [float(f"{cost:.4g}") for cost in costs_S])
    task = task_of(dataset)
    statistics_SNK = np.stack([task.statistics(one.evidence, split.targets) for one in outcomes])
    _check_order(stages, table.costs_S, statistics_SNK, task.measures[0], config.split)
    chosen = choose_thresholds(
        table,
        guarantee=config.guarantee,
        alpha=config.alpha,
        delta=config.delta,
        seed=config.seed,
        num_tests=_num_tests(stages, config),
        title=_title(config, task),
    )
    # Such a stage would cost time on every text and answer none.
    _check_use(stages, chosen, config, _title(config, task))
    stage_N = answering_stages(table.confidences_SN, chosen.best.thresholds)
    withheld = _choose_abstention(table, stage_N, config, _num_tests(stages, config))
    publish_composite(
        out,
        stages,
        _settings(stages, columns, table, chosen, withheld, config),
        dataset,
        verb="cascade",
        model=f"cascade of {len(stages)}",
        config=config.model_dump(mode="json"),
        seed=config.seed,
        scores=_measured(statistics_SNK, stage_N, task, config.split) | _kept(table, stage_N, chosen, config, task),
        effects=effects,
    )
    return Bundle.open(out, verify=False)


def _check_given(stages: Sequence[Bundle], config: CascadeConfig) -> None:
    """Refuse too few stages, and costs that are not those of the stages.

    Raises:
        ConfigError: As said.
    """
    num_needed = 1 if config.abstain is not None else 2
    if len(stages) < num_needed:
        raise ConfigError(
            f"The 'stages' input of cascade must be at least 2 Bundles. Got {len(stages)} instead.",
            hint="Name more Bundles; with --abstain one is enough.",
        )
    if config.costs and len(config.costs) != len(stages):
        raise ConfigError(
            f"The 'costs' parameter of cascade must have {len(stages)} values, one a stage. "
            f"Got {len(config.costs)} instead.",
            hint="Milliseconds of one text in each stage; leave --costs out and they are measured.",
        )


def _title(config: CascadeConfig, task: Task[Any]) -> str:
    """Return what is guaranteed, in words: ``accuracy`` is a task's own only where it is the headline."""
    return "right rows" if config.guarantee == "accuracy" and task.measures[0] != ACCURACY else config.guarantee


def _check_order(
    stages: Sequence[Bundle], costs_S: Sequence[float], statistics_SNK: Array, headline: Measure, split: str
) -> None:
    """Refuse stages that get cheaper, and say which one costs more and is worse."""
    scores_S = [headline.score(one_NK) for one_NK in statistics_SNK]
    for place in range(1, len(stages)):
        (before, after), (cheap, dear) = stages[place - 1 : place + 1], costs_S[place - 1 : place + 1]
        if dear < COST_TOLERANCE * cheap:
            raise ConfigError(
                f"The stages of cascade must go from cheap to expensive. {after.path} takes {dear:.3g} ms a text, "
                f"{before.path} before it {cheap:.3g} ms.",
                hint="Give the stages in the order of their costs, or say what they cost elsewhere with --costs.",
            )
        if headline.gain(scores_S[place]) < headline.gain(scores_S[place - 1]):
            logger.warning(
                "Stage %s costs more than stage %s before it and has the worse %s on the %s split (%s against %s): the "
                "cascade may be better without it.",
                after.name,
                before.name,
                headline.title,
                split,
                headline.show(scores_S[place]),
                headline.show(scores_S[place - 1]),
            )


def _check_use(stages: Sequence[Bundle], chosen: Chosen, config: CascadeConfig, title: str) -> None:
    """Refuse stages of which one would never answer.

    Raises:
        ConfigError: As said.
    """
    useless = [
        stage.name for stage, threshold in zip(stages[:-1], chosen.best.thresholds, strict=True) if threshold >= NEVER
    ]
    if not useless:
        return
    rest = "Use the last stage by itself" if len(useless) == len(stages) - 1 else f"Leave {' and '.join(useless)} out"
    raise ConfigError(
        f"{' and '.join(useless)} would never be asked: no threshold is cheaper than to do without and keeps the "
        f"{title} with the last stage within alpha = {config.alpha:g}.",
        hint=f"{rest}, allow a larger --alpha, or give a first stage that is cheaper or more often right.",
    )


def _num_tests(stages: Sequence[Bundle], config: CascadeConfig) -> int:
    """Return how many guarantees are shown: that of the thresholds if there are some, that of abstaining if it may."""
    # They share delta, so that all hold together with the confidence that was asked for.
    return (len(stages) > 1) + (config.abstain is not None)


def _choose_abstention(table: StageTable, stage_N: IntArray, config: CascadeConfig, num_tests: int) -> Withheld | None:
    """Return below which confidence the last stage's answer is withheld, and what that guarantees."""
    if config.abstain is None:
        return None
    rows = np.arange(len(stage_N))
    return choose_abstention(
        table.confidences_SN[stage_N, rows],
        table.right_SN[stage_N, rows],
        # Only the last stage may withhold: the others hand on what they are not sure of.
        stage_N == len(table.costs_S) - 1,
        alpha=config.abstain,
        delta=config.delta,
        seed=config.seed,
        num_tests=num_tests,
    )


def _settings(
    stages: Sequence[Bundle],
    columns: list[list[int]],
    table: StageTable,
    chosen: Chosen,
    withheld: Withheld | None,
    config: CascadeConfig,
) -> CascadeSettings:
    guarantee: dict[str, Any] = {
        "kind": config.guarantee,
        "alpha": config.alpha,
        "delta": config.delta,
        "bound": chosen.best.bound,
        "num_rows": chosen.num_rows,
        "split": config.split,
        "max_wrong": config.abstain,
        "wrong_bound": withheld.bound if withheld else None,
    }
    # Rounded up. The point that was chosen is always kept: the page looks for it.
    step = max(1, -(-len(chosen.path) // MAX_CURVE))
    curve = [asdict(one) for place, one in enumerate(chosen.path) if place % step == 0 or one is chosen.best]
    threshold = withheld.threshold if withheld else None
    thresholds, costs = list(chosen.best.thresholds), list(table.costs_S)
    return CascadeSettings(member_names(stages), columns, thresholds, threshold, costs, guarantee, curve)


def _measured(statistics_SNK: Array, stage_N: IntArray, task: Task[Any], split: str) -> dict[str, float]:
    """Return the headline and shares of rows, of the cascade and of its last stage alone, by name."""
    # What is counted in a row is counted in the answer of the stage that gives it.
    ours_NK, found = statistics_SNK[stage_N, np.arange(len(stage_N))], {}
    for one in task.measures:
        if one is task.measures[0] or one.is_share:
            found[f"{split}_{one.name}"] = one.score(ours_NK)
            found[f"{split}_{one.name}_of_last_stage"] = one.score(statistics_SNK[-1])
    return found


def _kept(
    table: StageTable, stage_N: IntArray, chosen: Chosen, config: CascadeConfig, task: Task[Any]
) -> dict[str, float]:
    """Return what the cascade keeps of its last stage's answers, and what it saves, by name."""
    kept = name_right_rows(task.measures) if config.guarantee == "accuracy" else config.guarantee
    return {
        f"{config.split}_disagreement": float((~table.agrees_SN[stage_N, np.arange(len(stage_N))]).mean()),
        f"bound_of_{kept}": chosen.best.bound or 0.0,
        "share_of_first_stage": float((stage_N == 0).mean()),
        "cost_ms": chosen.best.cost_ms,
        "cost_ms_of_last_stage": float(table.costs_S[-1]),
    }
