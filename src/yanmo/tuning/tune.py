"""tune: one model on one Dataset with many settings; it publishes the best model and tells how it was found."""

from __future__ import annotations

import hashlib
import logging
import platform
import shutil
import statistics
from collections import deque
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from yanmo.artifacts.base import Identity, publish
from yanmo.artifacts.bundle import Bundle, copy_files
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import stage_key
from yanmo.artifacts.placing import lock, work_dir
from yanmo.artifacts.report import Report, circumstances, plain, write_report
from yanmo.artifacts.work import claim
from yanmo.errors import ConfigError, ModelError
from yanmo.executors.choice import is_on_this_machine, open_helpers
from yanmo.executors.jobs import Executor
from yanmo.family_settings import default_settings, unused_settings
from yanmo.integrations.tracking import tracked
from yanmo.machine import num_workers
from yanmo.measuring.evaluation import identify
from yanmo.reporting.tuning import render_tuning
from yanmo.runtimes.predictor import default_num_threads
from yanmo.tasks import task_of
from yanmo.tasks.forms import check_form
from yanmo.training.job import find_metric, settle
from yanmo.training.starting_model import start
from yanmo.training.train_config import TrainConfig
from yanmo.tuning.config import TuneConfig
from yanmo.tuning.space import Space, default_space, read_space
from yanmo.tuning.trial_job import run_side_by_side
from yanmo.tuning.trials import SearchPlan, bundle_of, open_search, run_trials, score_of, train_once, weights_digest
from yanmo.verbs.calls import Call, call_of, command_line, shown_path, stage_toml
from yanmo.verbs.signature import named_path, verb

if TYPE_CHECKING:
    from yanmo.integrations.optuna_trials import Tried, Verdict

__all__ = ["tune"]

logger = logging.getLogger(__name__)

TUNING = "tuning"
RECIPE = "recipe.toml"
"""In the Bundle: the Report of the search, and what train must be told to make the same files."""


@dataclass(frozen=True)
class SearchResult:
    """What a search has found.

    Attributes:
        plan: Of the search.
        bundle: What is published.
        best: The trial that has its settings.
        trials: All of them.
        importances: Name of a setting to its share of the scores' spread.
        spread: Scores of these settings, one a seed.
        first_spread: The same of the default settings.
    """

    plan: SearchPlan
    bundle: Bundle
    best: Tried
    trials: list[Tried]
    importances: dict[str, float]
    spread: list[float]
    first_spread: list[float]


@verb
def tune(dataset: Dataset, config: TuneConfig, *, out: Path, effects: Effects = NO_EFFECTS) -> Bundle:
    """Search a model's settings and publish the best model.

    Each trial is a training. A tree-structured Parzen estimator draws its settings from the trials before it, and one
    that is worse than others after as many evaluations is given up. The best settings are then trained with further
    seeds beside the default ones, which are taken if they are as good in the mean. The Bundle is the one that train
    makes with the settings that are left, the same files, and holds a Report of the search and the recipe in its folder
    ``tuning``. A search that was killed goes on when the same command is given again; more trials may then be asked
    for.

    Args:
        dataset: With the splits train and valid; the test split is never read.
        config: Which model, what is searched, and how long.
        out: Where the Bundle appears.
        effects: Key, replacement and watchers of the call.

    Raises:
        ModelError: There is no such model, or nothing to search in it.
        ConfigError: The search space or the storage cannot be used, or what is searched has changed since the search
            was begun.
        DataError: The Dataset cannot be learned from.
        BusyError: Another process searches there.
        MissingExtraError: Optuna, or a package that trains, is not installed.

    Source: Bergstra et al. 2011, "Algorithms for Hyper-Parameter Optimization", section 4; Li et al. 2020, "A System
        for Massively Parallel Hyperparameter Tuning", arXiv:1810.05934.
    """
    check_form(task_of(dataset), "tune")
    if num_workers() > 1:
        raise ConfigError(
            f"The trials of tune are trained in one process each, but torchrun has started {num_workers()}.",
            hint="Start the command without torchrun; --executor local:2 trains two trials at the same time.",
        )
    _check_storage(config)
    with lock(work_dir(out)) as folder, open_helpers(config.executor, config.num_threads) as executor:
        num_threads = config.num_threads or (executor and executor.num_threads) or default_num_threads()
        name = f"{platform.node()}:{shown_path(out)}"
        plan = _make_plan(dataset, config, folder, name, num_threads=num_threads)
        with tracked(config.tracker, name=out.name, work_dir=folder) as run:
            plan = msgspec.structs.replace(plan, tracker_run=run.run_id)
            found = _search(plan, dataset, config, effects.within(), executor)
            _publish(found, dataset, config, out, effects)
            run.finish({**plan.call.config, **found.best.values}, {plan.metric: found.best.score or 0.0}, out)
        shutil.rmtree(folder, ignore_errors=True)
    return Bundle.open(out, verify=False)


def _check_storage(config: TuneConfig) -> None:
    """Refuse a search whose machines would share a file of SQLite, which is safe on none of their common storages."""
    if config.storage is None and not is_on_this_machine(config.executor):
        raise ConfigError(
            "The 'storage' parameter of tune must be a database that all machines of the executor reach. "
            "Got None instead.",
            hint="Such as --storage postgresql://user@host/database",
        )


def _search(
    plan: SearchPlan, dataset: Dataset, config: TuneConfig, effects: Effects, executor: Executor | None
) -> SearchResult:
    """Run the trials, and choose between the best settings and the default ones with other seeds.

    The highest of many scores is partly luck; a second look at the default settings shows whether it is no more.

    Raises:
        ModelError: No trial came to its end.
    """
    with open_search(plan) as search:
        if executor is None:
            deque(run_trials(plan, effects), maxlen=0)
        else:
            run_side_by_side(plan, executor, is_here=is_on_this_machine(config.executor))
        # Taken while the storage is open, which the publishing needs no more.
        best, trials, importances = search.best(), search.trials(), search.importances()
        verdict = search.verdict([one.number for one in trials], config.num_seeds)
    if best is None:
        raise ModelError("No trial of the search came to its end.", hint="Allow more trials, or give it more time.")
    if verdict is None:
        ours = _judge(plan, dataset, best, trials, config.num_seeds, effects)
        # Opened again: many trainings have gone by.
        with open_search(plan) as search:
            verdict = search.agree(ours)
    chosen = next(one for one in trials if one.number == verdict.best)
    bundle = train_once(plan, bundle_of(plan, chosen.number), chosen.values, effects)
    if chosen.where != plan.shared_as:
        _compare(plan, dataset, bundle, chosen)
    return SearchResult(plan, bundle, chosen, trials, importances, verdict.spread, verdict.first_spread)


def _judge(
    plan: SearchPlan, dataset: Dataset, best: Tried, trials: list[Tried], num_seeds: int, effects: Effects
) -> Verdict:
    """Return whether the best settings are better than the default ones with other seeds, too."""
    from yanmo.integrations.optuna_trials import Verdict

    first = trials[0]
    spread = first_spread = _spread(plan, dataset, best, num_seeds, effects)
    # Where the default settings won there is nothing to compare them with.
    if first.number != best.number:
        first_spread = _spread(plan, dataset, first, num_seeds, effects) if first.score is not None else []
        if _is_luck(spread, first_spread, lowest=plan.lowest):
            logger.info(
                "Over %d seeds the default settings are as good as those of trial %d.", len(spread), best.number
            )
            best, spread = first, first_spread
    return Verdict([one.number for one in trials], num_seeds, best.number, spread, first_spread)


def _compare(plan: SearchPlan, dataset: Dataset, bundle: Bundle, chosen: Tried) -> None:
    """Say whether a trial of another machine, trained here once more, is what it has there."""
    if weights_digest(bundle) == chosen.weights:
        logger.info("Trial %d of %s, the best, was trained here again: the same weights.", chosen.number, chosen.where)
        return
    logger.warning(
        "Trial %d of %s, the best, was trained here again: its settings are the same and its weights are not, as other "
        "processors or numbers of threads compute (%s %.6f here, %.6f there). Copy one machine's Bundle to the others "
        "to have the same everywhere.",
        chosen.number,
        chosen.where,
        plan.metric,
        score_of(bundle, dataset, plan.metric),
        chosen.score,
    )


def _is_luck(spread: list[float], first_spread: list[float], *, lowest: bool) -> bool:
    if not first_spread:
        return False
    gain = statistics.fmean(spread) - statistics.fmean(first_spread)
    # Of equal means the default settings win: they were chosen by nobody's luck.
    return gain >= 0 if lowest else gain <= 0


def _make_plan(dataset: Dataset, config: TuneConfig, folder: Path, name: str, *, num_threads: int) -> SearchPlan:
    """Return the plan of a search, whose the folder then is.

    Args:
        dataset: What is learned from.
        config: What was asked for.
        folder: Where the trials are kept.
        name: What other machines call this one, where they share the storage.
        num_threads: Of each training.

    Raises:
        ConfigError: The folder is that of another search.
    """
    named = TrainConfig(model=config.model, offline=config.offline)
    spec, begun = start(named, None, dataset)
    num_rows = dataset.split("train").height if "train" in dataset.splits else 0
    fixed: dict[str, Any] = {}
    space: Space
    task = task_of(dataset)
    if config.space is None:
        shape = {"layers": spec.layers, "width": spec.width}
        usual = default_settings(spec.family, max(num_rows, 1), **shape, form=task.head)
        space = default_space(spec.family, usual, idle=unused_settings(spec, task.head))
    else:
        space, fixed = read_space(config.space)
    metric, lowest = find_metric(task, config.metric, verb="tune")
    fixed |= {"model": config.model, "metric": metric, "seed": config.seed, "num_threads": num_threads}
    fixed |= {"offline": config.offline} | ({"folds": config.folds} if config.folds else {})
    parents = {"dataset": dataset.digest, **begun}
    # Without the threads, so that a search may go on with another number of workers.
    searched = {**fixed, **msgspec.to_builtins(space), "model": spec.name, "num_threads": None, "prune": config.prune}
    key = stage_key("tune", parents, searched)
    storage = config.storage and hashlib.sha256(config.storage.encode()).hexdigest()  # the URL may hold a password
    claim(folder, parents=parents, config={**searched, "storage": storage}, fork=config.fork)
    defaults = settle(named, spec, num_rows, task_of(dataset)).model_dump(mode="json")
    return SearchPlan(
        call=call_of("train", {"dataset": dataset}, fixed),
        folder=str(folder),
        # By the key: machines that share a storage share a study only where they search for the same.
        study=f"yanmo-{key[:16]}",
        storage=config.storage,
        space=space,
        first={name: defaults[name] for name in space},
        metric=metric,
        lowest=lowest,
        num_trials=config.num_trials,
        max_seconds=3600 * config.max_hours if config.max_hours else None,
        prune=config.prune,
        seed=config.seed,
        tracker=config.tracker,
        shared_as=name if config.storage else None,
    )


def _spread(plan: SearchPlan, dataset: Dataset, trial: Tried, num_seeds: int, effects: Effects) -> list[float]:
    """Return the scores of a trial's settings, its own and those with further seeds."""
    # The trial itself was trained with the plan's seed.
    scores = [trial.score or 0.0]
    for seed in range(plan.seed + 1, plan.seed + num_seeds):
        out = Path(plan.folder) / "seeds" / f"{trial.number:04}" / str(seed)
        bundle = train_once(plan, out, {**trial.values, "seed": seed}, effects)
        scores.append(score_of(bundle, dataset, plan.metric))
    return scores


def _publish(found: SearchResult, dataset: Dataset, config: TuneConfig, out: Path, effects: Effects) -> None:
    """Make the best trial's Bundle appear at ``out``, with the Report of the search in it."""
    bundle, report = found.bundle, _report(found, dataset, config, page=out / TUNING)
    space = config.space and config.space.name
    facts = {"num_trials": len(found.trials), "best_trial": found.best.number}
    identity = Identity(
        kind=Bundle.kind,
        verb="tune",
        task=bundle.task,
        labels=bundle.labels,
        parents=dict(bundle.manifest.parents),
        config={**config.model_dump(mode="json"), "space": space, "storage": None, "model": bundle.model},
        seed=config.seed,
        info={**bundle.manifest.info, "summary": {**bundle.manifest.info["summary"], **facts}},
    )
    headlines = {name: report[name] for name in ("report", "metric", "best", "spread")}
    part = replace(identity, kind=Report.kind, info={"summary": headlines})
    with publish(out, identity, effects=effects) as staging:
        copy_files(bundle, staging)
        with publish(staging / TUNING, part, effects=effects) as folder:
            write_report(folder, report, render_tuning(report))
            (folder / RECIPE).write_text(report["recipe"], encoding="utf-8")


def _report(found: SearchResult, dataset: Dataset, config: TuneConfig, *, page: Path) -> dict[str, Any]:
    return plain(
        {
            "report": "tuning",
            "model": found.bundle.model,
            "dataset": identify(dataset),
            "metric": found.plan.metric,
            "lowest": found.plan.lowest,
            "folds": config.folds,
            "best": asdict(found.best),
            "first": asdict(found.trials[0]),
            "trials": [asdict(one) for one in found.trials],
            "space": {name: msgspec.to_builtins(part) for name, part in found.plan.space.items()},
            "importances": found.importances,
            "spread": found.spread,
            "first_spread": found.first_spread,
            "seconds": sum(one.seconds for one in found.trials),
            "recipe": _recipe(found, dataset),
            **circumstances(config.language),
            "command": command_line(_call(dataset, config), page=page),
        }
    )


def _recipe(found: SearchResult, dataset: Dataset) -> str:
    """Return a stage of a pipeline that makes the same files."""
    call, bundle = found.plan.call, found.bundle
    folder = named_path("model", call.config["model"])
    settings = {**call.config, **found.best.values, "model": shown_path(folder) if folder else bundle.model}
    if bundle.architecture.get("family") in ("encoder", "encoder-decoder"):
        # auto may come to another arithmetic on another machine.
        settings["precision"] = bundle.manifest.config["precision"]
    return stage_toml("model", call_of(call.verb, {"dataset": Path(shown_path(dataset.path))}, settings))


def _call(dataset: Dataset, config: TuneConfig) -> Call:
    """Return the call that searches again; the storage, whose URL may hold a password, is left out."""
    given = {name: value for name, value in config if name in config.model_fields_set - {"storage"}}
    return call_of("tune", {"dataset": dataset}, given)
