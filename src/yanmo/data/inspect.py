"""The profile of a Dataset: counts, lengths, duplicates, leaks; as JSON and as one page. It knows no models."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
import msgspec
import polars as pl

from yanmo.counted import counted
from yanmo.data.gather import TARGET_LENGTH, Gathered
from yanmo.data.labels import say_similar, similar_labels
from yanmo.data.split import explode_labels, leaks
from yanmo.data.terms import TopTerms

__all__ = ["profile_info", "profile_rows", "write_profile"]

logger = logging.getLogger(__name__)

SPLIT_ORDER = ("train", "valid", "test", "unlabeled")
NEAR = ("num_near_duplicates", "num_near_leaks")
"""What a profile has where nearly equal texts were looked for."""
PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def profile_rows(
    gathered: Gathered, labels: Sequence[str], *, by_text: bool = True, by_near: bool = False
) -> dict[str, Any]:
    """Return what is known about the rows of a Dataset, as JSON values, and log what deserves a look.

    Args:
        gathered: All rows, their splits cut.
        labels: All labels in order.
        by_text: Rows with one key are the same text twice, and not several rows about one passage.
        by_near: Texts that are nearly equal were looked for.
    """
    rows = gathered.rows
    splits = [name for name in SPLIT_ORDER if name in set(rows["split"].unique())]
    parts = {split: rows.filter(pl.col("split") == split) for split in splits}
    counts = _label_counts(parts, labels)
    profile = {
        "num_rows": {split: part.height for split, part in parts.items()},
        "labels": counts,
        **_span_counts(parts),
        "similar_labels": _similar(rows, counts),
        "lengths": {split: _lengths(part["length"]) for split, part in parts.items()},
        **_target_lengths(parts),
        "cjk_share": round(gathered.cjk_share, 4),
        "num_duplicates": {
            split: part.height - part["key"].n_unique() if by_text else 0 for split, part in parts.items()
        },
        "num_conflicts": _num_conflicts(rows) if by_text else 0,
        "num_leaks": leaks(rows),
        **(_near(parts, rows) if by_near else {}),
        "num_damaged": gathered.num_damaged,
        "cleaning": gathered.changed_rows,
        "rejected": gathered.refusals.counts(),
    }
    _say(profile)
    return profile


def profile_info(profile: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of a profile that belongs into the manifest, where other verbs look."""
    num_rejected = sum(profile["rejected"].values())
    num_leaks = sum(profile["num_leaks"].values())
    return {
        "num_rows": profile["num_rows"],
        "cjk_share": profile["cjk_share"],
        "rejected": profile["rejected"],
        "num_leaks": profile["num_leaks"],
        "summary": {
            "num_rows": profile["num_rows"],
            "num_rejected": num_rejected,
            "num_leaks": num_leaks,
            "num_conflicts": profile["num_conflicts"],
            **{name: sum(profile[name].values()) for name in NEAR if name in profile},
            "cjk_share": profile["cjk_share"],
        },
    }


def write_profile(folder: Path, profile: Mapping[str, Any], top_terms: TopTerms) -> None:
    """Write ``profile.json`` and ``profile.html``.

    Args:
        folder: The Dataset's staging folder.
        profile: From :func:`profile_rows`.
        top_terms: Label to its most telling terms, each with its weight.
    """
    content = msgspec.json.format(msgspec.json.encode(profile), indent=2) + b"\n"
    (folder / "profile.json").write_bytes(content)
    loader = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined)
    template = environment.get_template("profile.html")
    widest = max((sum(counts.values()) for counts in profile["labels"].values()), default=1)
    page = template.render(profile=profile, top_terms=top_terms, widest=widest, total=sum(profile["num_rows"].values()))
    (folder / "profile.html").write_text(page + "\n", encoding="utf-8", newline="\n")


def _label_counts(parts: Mapping[str, pl.DataFrame], labels: Sequence[str]) -> dict[str, dict[str, int]]:
    counts = {
        split: dict(explode_labels(part.select("label"))["label"].value_counts().iter_rows())
        for split, part in parts.items()
        if split != "unlabeled"
    }
    return {label: {split: found.get(label, 0) for split, found in counts.items()} for label in labels}


def _span_counts(parts: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Return what is counted where parts of texts are labeled: spans by their kind, and units without a label."""
    labeled = {split: part for split, part in parts.items() if split != "unlabeled" and "kinds" in part.columns}
    if not labeled:
        return {}
    found = {
        split: dict(part["kinds"].explode().drop_nulls().value_counts().iter_rows()) for split, part in labeled.items()
    }
    kinds = sorted({kind for counts in found.values() for kind in counts})
    units = {split: part["label"].explode() for split, part in labeled.items()}
    return {
        "spans": {kind: {split: counts.get(kind, 0) for split, counts in found.items()} for kind in kinds},
        "num_units": {split: len(tags) for split, tags in units.items()},
        "num_unlabeled_units": {split: tags.null_count() for split, tags in units.items()},
    }


def _near(parts: Mapping[str, pl.DataFrame], rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return how many distinct texts are nearly equal to another one of their split, and rows to a text of train."""
    equal = leaks(rows)
    return {
        "num_near_duplicates": {
            split: part["key"].n_unique() - part["group"].n_unique() for split, part in parts.items()
        },
        "num_near_leaks": {split: count - equal[split] for split, count in leaks(rows, "group").items()},
    }


def _similar(rows: pl.DataFrame, counts: Mapping[str, Mapping[str, int]]) -> list[dict[str, int]]:
    """Return the labels, or kinds, that look alike, with the number of rows of each."""
    if "kinds" not in rows.columns:
        return similar_labels({label: sum(found.values()) for label, found in counts.items()})
    # A kind is in two tags or more, so that all of them would look alike.
    kinds = rows["kinds"].list.unique().explode().drop_nulls()
    return similar_labels(dict(kinds.value_counts().iter_rows()))


def _target_lengths(parts: Mapping[str, pl.DataFrame]) -> dict[str, Any]:
    """Return the lengths of what is to be written, where texts are written for others."""
    labeled = {split: part for split, part in parts.items() if split != "unlabeled" and TARGET_LENGTH in part.columns}
    return (
        {"target_lengths": {split: _lengths(part[TARGET_LENGTH]) for split, part in labeled.items()}} if labeled else {}
    )


def _lengths(lengths: pl.Series) -> dict[str, float]:
    """Return statistics of the cleaned texts' lengths in characters; of pairs both texts together."""
    # "nearest" gives a length that occurs.
    points = {f"p{round(100 * point)}": lengths.quantile(point, interpolation="nearest") for point in PERCENTILES}
    values = {"min": lengths.min(), **points, "max": lengths.max(), "mean": lengths.mean()}
    return {name: round(float(str(value)), 1) for name, value in values.items()}


def _num_conflicts(rows: pl.DataFrame) -> int:
    """Return the number of distinct texts that have more than one label."""
    labeled = rows.filter(pl.col("split") != "unlabeled")
    if isinstance(labeled.schema["label"], pl.List):
        # Sets of labels are compared as texts: equal sets in another order are no conflict. Tags have an order.
        labels = pl.col("label") if "kinds" in rows.columns else pl.col("label").list.sort()
        labeled = labeled.with_columns(labels.list.eval(pl.element().fill_null("")).list.join("\x1f"))
    return labeled.group_by("key").agg(pl.col("label").n_unique().alias("n")).filter(pl.col("n") > 1).height


def _say(profile: Mapping[str, Any]) -> None:
    rows = ", ".join(f"{split} {count}" for split, count in profile["num_rows"].items())
    logger.info("%s; rows: %s", counted(len(profile["labels"]), "label"), rows)
    say_similar(profile["similar_labels"])
    for split, count in profile["num_leaks"].items():
        if count:
            total = profile["num_rows"][split]
            logger.warning("%d of %d rows of %s have a text that stands in train, too.", count, total, split)
    for split, count in profile.get("num_near_leaks", {}).items():
        if count:
            total = profile["num_rows"][split]
            logger.warning("%d of %d rows of %s are nearly equal to a text of train.", count, total, split)
    if near := sum(profile.get("num_near_duplicates", {}).values()):
        logger.info("Nearly equal to another text of their split: %s.", counted(near, "text"))
    if profile["num_conflicts"]:
        logger.warning("With different labels: %s.", counted(profile["num_conflicts"], "text"))
    if profile["num_damaged"]:
        logger.warning(
            "With U+FFFD, the mark of an earlier wrong decoding: %s.", counted(profile["num_damaged"], "text")
        )
