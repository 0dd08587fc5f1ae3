"""Old schema versions, opened through one function a step; it knows no folder and no digest.

An artifact is never edited, so nothing of this is written: what was read of an old folder is carried, step by step, to
what the newest version would have held. A step is added where a version changes what a file means, and none is removed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["GOLDEN_STEPS", "upgraded"]

Migration = Callable[[dict[str, Any]], dict[str, Any]]
"""From the content of a JSON file of one version to that of the next."""


def upgraded(content: dict[str, Any], version: int, steps: Mapping[int, Migration]) -> dict[str, Any]:
    """Return the content of a file as the newest version has it.

    Args:
        content: As it was read.
        version: Of the schema of the artifact that it belongs to.
        steps: Of this file, by the version that each starts from; versions that changed nothing of it are left out.
    """
    for start in sorted(one for one in steps if one >= version):
        content = steps[start](content)
    return content


def _golden_1_to_2(content: dict[str, Any]) -> dict[str, Any]:
    """Name columns as a Dataset does: until then there were ``texts``, perhaps ``texts_b``, and ``probabilities``."""
    second = {} if content["texts_b"] is None else {"text_b": content["texts_b"]}
    return {
        "inputs": {"text": content["texts"], **second},
        "evidence": {"probabilities": content["probabilities"]},
    }


GOLDEN_STEPS: dict[int, Migration] = {1: _golden_1_to_2}
"""The steps of ``golden.json``."""
