"""A soup: one Bundle whose weights are the mean of several of one shape, which ``shrinking.soup`` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from yanmo.artifacts.base import Identity, numbered
from yanmo.artifacts.bundle import GOLDEN, OUT_OF_FOLD, WEIGHTS, Bundle, copy_files, publish_bundle, write_golden
from yanmo.artifacts.dataset import Dataset
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.errors import ArtifactError
from yanmo.measuring.evaluation import Split, match_bundle
from yanmo.measuring.inputs import profile_inputs
from yanmo.modeling.shrinking.soup import average_weights
from yanmo.runtimes.predictor import open_bundle

__all__ = ["publish_soup"]

# Where these differ, the same place of two weights means two things.
SHARED_FILES = ("tokenizer.json", "config.json", "ngram.json", "linear.json")


def publish_soup(
    out: Path,
    members: Sequence[Bundle],
    dataset: Dataset,
    split: Split,
    *,
    order: Sequence[int] | None,
    gain: Callable[[Any], float],
    describe: Callable[[float], Mapping[str, float]],
    config: Mapping[str, Any],
    num_threads: int | None,
    effects: Effects = NO_EFFECTS,
) -> None:
    """Make a Bundle with the mean weights of members of one shape appear at ``out``.

    Args:
        out: Where it appears.
        members: Bundles of one format, architecture and vocabulary.
        dataset: Whose split measures.
        split: The rows that measure.
        order: Greedy: members in this order, each kept if the mean does not get worse. None: the mean of all.
        gain: From answers on the split to their headline, so that more is better.
        describe: From the soup's headline, as ``gain`` gives it, to what is noted about it.
        config: The verb's config as plain JSON values.
        num_threads: To compute with.
        effects: Of the call that makes it.

    Raises:
        ArtifactError: The members are not of one shape.

    Source: Wortsman et al. 2022, "Model soups: averaging weights of multiple fine-tuned models improves accuracy
        without increasing inference time", algorithm 1, arXiv:2203.05482.
    """
    _check_shape(members)
    first, columns = members[0], match_bundle(members[0], dataset)
    # Both are about the first member's own weights.
    info = {key: value for key, value in first.manifest.info.items() if key not in ("calibration", "summary")}
    identity = Identity(
        kind=Bundle.kind,
        verb="ensemble",
        task=first.task,
        labels=first.labels,
        parents={**numbered("member", members), "dataset": dataset.digest},
        config=config,
        info=info,
    )
    with publish_bundle(out, identity, effects=effects) as soup:
        copy_files(first, soup.path, without=("metrics.jsonl", WEIGHTS, GOLDEN, OUT_OF_FOLD))

        def measure(chosen: Sequence[int]) -> float:
            average_weights([members[place].path for place in chosen], soup.path)
            with open_bundle(soup, num_threads=num_threads, verify_golden=False) as predictor:
                return gain(predictor.infer(split.inputs)[0].ordered(columns))

        chosen, score = _choose(len(members), order, measure)
        # Anew, for the mean that was measured last may be one that was refused.
        average_weights([members[place].path for place in chosen], soup.path)
        info["summary"] = {**describe(score), "num_averaged": len(chosen)}
        info |= profile_inputs(soup, dataset)  # in place: the identity holds the same dict
        _write_golden(soup, first)


def _write_golden(soup: Bundle, first: Bundle) -> None:
    """Write a member's golden texts with the soup's answers."""
    inputs = first.golden().inputs
    with open_bundle(soup, verify_golden=False) as predictor:
        write_golden(soup.path, predictor.task.inputs, inputs, predictor.infer(inputs)[0])


def _choose(
    num_members: int, order: Sequence[int] | None, measure: Callable[[Sequence[int]], float]
) -> tuple[list[int], float]:
    """Return which members are averaged, and how good their mean is."""
    if order is None:
        everyone = list(range(num_members))
        return everyone, measure(everyone)
    chosen, best = [order[0]], measure(order[:1])
    for member in order[1:]:
        score = measure([*chosen, member])
        # Not worse is enough, as in the paper.
        if score >= best:
            chosen, best = [*chosen, member], score
    return chosen, best


def _check_shape(members: Sequence[Bundle]) -> None:
    """Refuse members whose weights do not mean the same at the same place.

    Raises:
        ArtifactError: As said.
    """
    first = members[0]
    hint = "Train the members on one Dataset with the same model and sizes, only with other seeds or learning rates."
    if not (first.path / WEIGHTS).is_file():
        raise ArtifactError(
            f"average-weights needs members with weights to average; {first.path} is of format {first.format}.",
            hint=hint,
        )
    for member in members[1:]:
        what = _difference(first, member)
        if what is not None:
            raise ArtifactError(
                f"average-weights needs members of one shape: {member.path} and {first.path} differ in {what}.",
                hint=hint,
            )


def _difference(first: Bundle, member: Bundle) -> str | None:
    pairs = {
        "format": (first.format, member.format),
        "labels or their order": (first.labels, member.labels),
        "architecture": (first.architecture, member.architecture),
        "text cleaning": (first.text_config, member.text_config),
        "max_length": (first.max_length, member.max_length),
    }
    for name in SHARED_FILES:
        pairs[name] = (first.manifest.files.get(name), member.manifest.files.get(name))
    return next((name for name, (one, other) in pairs.items() if one != other), None)
