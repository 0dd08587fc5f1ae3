"""A trained model becomes a Bundle: manifest, weights, card, golden examples; it knows no verb and no torch."""

import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import Identity
from yanmo.artifacts.bundle import Bundle, draft, publish_bundle
from yanmo.artifacts.card import render_card, write_cards
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.family_settings import unused_settings
from yanmo.measuring.inputs import answer_examples
from yanmo.modeling.settings import (
    Trained,
)
from yanmo.training.job import Job
from yanmo.training.no_answer import settle_silence

__all__ = ["draft_trained", "publish_trained"]

SETTLED: Mapping[str, Callable[[Bundle, Dataset, Any], dict[str, float]]] = {"passages": settle_silence}
"""What is decided about to what of its decisions is settled once the weights are; it gives the scores after that."""


def _identify(
    trained: Trained,
    job: Job,
    dataset: Dataset,
    *,
    parents: Mapping[str, str],
    verb: str = "train",
    keys: Mapping[str, Any] | None = None,
) -> Identity:
    """Return what the manifest of a trained model's Bundle says.

    Args:
        trained: The model.
        job: What it was trained with.
        dataset: What it was trained on.
        parents: Role to digest.
        verb: Who makes it.
        keys: Of the verb's config, besides those of ``train``.
    """
    info = {
        "format": job.spec.format,
        "model": job.spec.name,
        "max_length": trained.max_length,
        "architecture": trained.architecture,
        "text": dataset.text_config.model_dump(mode="json"),
        "summary": {f"valid_{name}": round(score, 6) for name, score in trained.scores.items()},
    }
    if trained.is_int8:
        info["precision"] = "int8"
    # What was found out on the way takes the place of auto, so that the manifest says what has computed.
    settled = {"precision": trained.precision, "max_length": trained.max_length or None}
    return Identity(
        kind=Bundle.kind,
        verb=verb,
        task=dataset.task,
        labels=dataset.labels,
        parents=dict(parents),
        config={**job.config.model_dump(mode="json"), **(keys or {}), **settled},
        # No seed is named where chance had no part.
        seed=None if "seed" in unused_settings(job.spec) else job.config.seed,
        info=info,
    )


def draft_trained(trained: Trained, job: Job, dataset: Dataset, folder: Path) -> Bundle:
    """Return a trained model in an empty folder as a Bundle that answers; it has no manifest and is never published."""
    _write_model(trained, job, dataset, folder)
    return draft(folder, _identify(trained, job, dataset, parents={}))


def _write_model(trained: Trained, job: Job, dataset: Dataset, folder: Path) -> None:
    trained.save(folder)
    job.readers.save_segmenter(folder)
    # Where units are labeled, the model itself keeps what it has learned of the word list.
    if dataset.user_dict_path and dataset.text_config.segmenter != "none":
        shutil.copyfile(dataset.user_dict_path, folder / dataset.user_dict_path.name)
    if dataset.glossary_path:
        shutil.copyfile(dataset.glossary_path, folder / dataset.glossary_path.name)


def publish_trained(
    trained: Trained,
    job: Job,
    dataset: Dataset,
    *,
    parents: Mapping[str, str],
    out: Path,
    verb: str = "train",
    keys: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    write_more: Callable[[Path], None] | None = None,
    effects: Effects = NO_EFFECTS,
) -> None:
    """Make the Bundle of a trained model appear.

    Args:
        trained: The model.
        job: What it was trained with.
        dataset: What it was trained on.
        parents: Role to digest.
        out: Where the Bundle appears.
        verb: Who makes it.
        keys: Of the verb's config, besides those of ``train``.
        facts: What the summary says besides the scores.
        write_more: Writes further files into the folder.
        effects: Of the call that makes it.
    """
    identity = _identify(trained, job, dataset, parents=parents, verb=verb, keys=keys)
    identity.info["summary"] |= facts or {}
    with publish_bundle(out, identity, effects=effects) as bundle:
        _write_model(trained, job, dataset, bundle.path)
        scores = SETTLED[job.task.head](bundle, dataset, job.task) if job.task.head in SETTLED else trained.scores
        identity.info["summary"] |= {f"valid_{name}": round(score, 6) for name, score in scores.items()}
        card = partial(
            render_card,
            model=job.spec.name,
            format=job.spec.format,
            task=dataset.task,
            labels=dataset.labels,
            max_length=trained.max_length,
            text=dataset.text_config,
            dataset_digest=dataset.digest,
            scores=scores,
        )
        write_cards(bundle.path, card)
        if write_more is not None:
            write_more(bundle.path)
        # After everything else, since the Bundle is opened for it.
        identity.info.update(answer_examples(bundle, dataset, job.task.inputs))
