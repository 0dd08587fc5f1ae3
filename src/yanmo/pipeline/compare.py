"""The Report at a pipeline's end: every Bundle it made, on the rows of its own Dataset; it measures nothing itself."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from yanmo.artifacts import Bundle, Dataset, Report
from yanmo.artifacts.base import check_files, read_manifest
from yanmo.artifacts.effects import Effects
from yanmo.artifacts.identity import stage_key
from yanmo.artifacts.placing import is_artifact
from yanmo.artifacts.report import REPORT_HTML
from yanmo.counted import counted
from yanmo.errors import ArtifactError
from yanmo.measuring.evaluation import publish_comparison
from yanmo.pipeline.plan import Plan, Step
from yanmo.pipeline.spec import REPORT
from yanmo.translations import Language

__all__ = ["compare_bundles"]

logger = logging.getLogger(__name__)

SPLITS = ("test", "valid")
Links = Mapping[str, Sequence[Mapping[str, str]]]


def compare_bundles(plan: Plan, *, command: str) -> Report | None:
    """Publish a Report that compares every Bundle of a finished pipeline; one that is up to date is kept.

    Bundles of different Datasets are not comparable: each Dataset gets a Report of its own.

    Args:
        plan: With all steps done.
        command: What ran it, for the Report.

    Returns:
        The Report of the first Dataset, or None if there is nothing to compare.
    """
    groups: dict[Path, list[Bundle]] = {}
    for step in plan.steps:
        if step.stage.verb.output is not Bundle:
            continue
        dataset = _find_dataset([step])
        if dataset is None:
            logger.info("%s is not compared: the pipeline names no Dataset for it", step.name)
        else:
            # Every step has just been verified, or made, so files are not hashed once more.
            groups.setdefault(dataset, []).append(Bundle.open(step.out, verify=False))
    links = _links(plan)
    reports = [
        _compare(plan.out / name, path, bundles, command, links, plan.language)
        for name, (path, bundles) in zip(_names(len(groups)), groups.items(), strict=True)
    ]
    return next((report for report in reports if report is not None), None)


def _names(count: int) -> list[str]:
    return [f"{REPORT}-{number}" if number > 1 else REPORT for number in range(1, count + 1)]


def _find_dataset(sources: Iterable[Step | Path]) -> Path | None:
    """Return the nearest Dataset that the sources were made from."""
    steps = [one for one in sources if isinstance(one, Step)]
    for step in steps:
        for one in step.stage.verb.inputs:
            if Dataset in one.kinds and step.inputs.get(one.name):
                return step.sources()[one.name][0]
    inputs = [one for step in steps for values in step.inputs.values() for one in values]
    return _find_dataset(inputs) if inputs else None


def _links(plan: Plan) -> Links:
    """Return the pages of the Reports about each Bundle, by its digest, as a page of the same folder names them."""
    found: dict[str, list[dict[str, str]]] = {}
    for step in plan.steps:
        if step.stage.verb.output is not Report:
            continue
        page = (Path(os.pardir) / step.out.relative_to(plan.out) / REPORT_HTML).as_posix()
        for role, digest in Report.open(step.out, verify=False).manifest.parents.items():
            if role.startswith("bundle"):
                found.setdefault(digest, []).append({"name": step.name, "page": quote(page)})
    return found


def _compare(
    out: Path, path: Path, bundles: Sequence[Bundle], command: str, links: Links, language: Language
) -> Report | None:
    dataset = Dataset.open(path, verify=False)
    split = next((name for name in SPLITS if name in dataset.splits), None)
    if split is None:
        logger.info("no comparison on %s: it has no split %s", path, " or ".join(SPLITS))
        return None
    known = {bundle.digest for bundle in bundles}
    links = {digest: pages for digest, pages in links.items() if digest in known}
    if _is_current(out, {dataset.digest, *known}, {"split": split, "links": links, "language": language}):
        logger.info("report %s: unchanged, skipped", out)
        return Report.open(out)
    logger.info("report %s: compare %s on the %s split …", out, counted(len(bundles), "model"), split)
    # A folder that is no artifact is never replaced.
    effects = Effects(replace=is_artifact(out))
    return publish_comparison(
        bundles,
        dataset,
        out=out,
        split=split,
        command=command,
        links=links,
        language=language,
        effects=effects,
    )


def _is_current(out: Path, digests: set[str], config: Mapping[str, Any]) -> bool:
    """Tell whether a Report compares exactly these artifacts, made by this code."""
    try:
        manifest, _ = read_manifest(out)
        check_files(out, manifest)
    except ArtifactError:
        return False
    key = stage_key("compare", manifest.parents, config)
    return manifest.key == key and set(manifest.parents.values()) == digests
