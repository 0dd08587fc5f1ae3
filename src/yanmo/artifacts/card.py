"""The model card of a Bundle, as Markdown; it knows no model code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from yanmo.text.pipeline import TextConfig

__all__ = ["CARD", "find_licenses", "render_card", "render_encoder_card", "render_plain_card"]

CARD = "README.md"
LICENSE_FILES = ("LICENSE*", "NOTICE*")


def render_card(
    *,
    model: str,
    format: str,  # noqa: A002 - the field's name in the manifest
    task: str,
    labels: Sequence[str],
    max_length: int,
    text: TextConfig,
    scores: Mapping[str, float],
    dataset_digest: str = "",
    source: Mapping[str, str] | None = None,
    measured: Mapping[str, float] | None = None,
) -> str:
    """Return the text of a model card.

    Args:
        model: The model's name.
        format: The Bundle's format.
        task: The task's name.
        labels: All labels in order.
        max_length: The most tokens the model reads of a text; 0 if it reads all of it.
        text: How texts are cleaned.
        scores: What was measured on the validation split, by name.
        dataset_digest: The digest of the Dataset it was trained on; empty where nobody knows.
        source: Where it is from, if it was trained elsewhere: ``name``, perhaps ``commit`` and ``license``.
        measured: What else was measured, by name.
    """
    shown = ", ".join(labels[:50]) + (" …" if len(labels) > 50 else "")
    rows = [
        ("Model", model),
        ("Format", format),
        ("Task", task),
        ("Labels", f"{len(labels)}: {shown}"),
        ("Reads", f"at most {max_length} tokens of a text" if max_length else "the whole text"),
        ("Cleaning", ", ".join(text.cleaning) or "none"),
        ("Segmenter", text.segmenter),
        *_origin(source),
        *([("Trained on", f"Dataset {dataset_digest[:16]}")] if dataset_digest else []),
        *((f"Validation {name.replace('_', ' ')}", f"{value:.4f}") for name, value in scores.items()),
        *((name.replace("_", " ").capitalize(), f"{value:.4g}") for name, value in (measured or {}).items()),
    ]
    used = "The scores above were used to choose the weights, so measure\n" if scores else "Measure\n"
    return (
        f"{_table(model, rows)}\n\n"
        f"Use it for texts like those it was trained on. {used}"
        "on texts it has not seen before you rely on it:\n\n"
        "```\nyanmo evaluate <this folder> <a Dataset> --out <report>\n"
        "echo 'a text' | yanmo predict <this folder> -\nyanmo serve <this folder>\n```\n"
    )


def find_licenses(folder: Path) -> list[Path]:
    """Return the files of a folder that state a licence; copies of a model have to keep them."""
    return sorted(path for pattern in LICENSE_FILES for path in folder.glob(pattern) if path.is_file())


def _origin(source: Mapping[str, str] | None) -> list[tuple[str, str]]:
    """Return the rows that say where a model is from, and under which licence it may be used."""
    if source is None:
        return []
    commit = f", commit {source['commit']}" if "commit" in source else ""
    return [("Source", source["name"] + commit), ("Licence", source.get("license", "the source states none"))]


def render_encoder_card(*, model: str, text: TextConfig, facts: Mapping[str, float]) -> str:
    """Return the text of the model card of an encoder that has only learned to read.

    Args:
        model: The model's name.
        text: How texts are cleaned.
        facts: What was counted and measured, by name.
    """
    rows = [
        ("Model", model),
        ("Cleaning", ", ".join(text.cleaning) or "none"),
        ("Segmenter", text.segmenter),
        *((name.replace("_", " "), f"{value:,}") for name, value in facts.items()),
    ]
    return (
        f"{_table(model, rows)}\n\n"
        "This encoder has learned to read and gives no answers yet. Train one from it:\n\n"
        "```\nyanmo train <a Dataset> --init <this folder> --out <where the Bundle appears>\n```\n\n"
        "It is a plain Hugging Face folder: `AutoModel.from_pretrained` and `AutoTokenizer.from_pretrained` open it.\n"
    )


def render_plain_card(model: str, labels: Sequence[str], text: TextConfig, source: Mapping[str, str] | None) -> str:
    """Return the text of the card of a plain folder, as hubs read it.

    Args:
        model: The model's name.
        labels: All labels in order.
        text: How the Bundle cleans texts, which transformers does not.
        source: Where the model is from, if it was trained elsewhere.
    """
    license_line = f"license: {source['license']}\n" if source and "license" in source else ""
    steps = [*text.cleaning, *([text.segmenter] if text.segmenter != "none" else [])]
    rows = [("Model", model), ("Labels", f"{len(labels)}: {', '.join(labels[:50])}"), *_origin(source)]
    before = (
        f"It has learned from texts prepared so: {', '.join(steps)}. Do the same before you ask it.\n" if steps else ""
    )
    return (
        f"---\npipeline_tag: text-classification\nlibrary_name: transformers\n{license_line}---\n"
        f"{_table(model, rows)}\n\n{before}"
        "`transformers.pipeline('text-classification', model=<this folder>)` opens it.\n"
    )


def _table(model: str, rows: Sequence[tuple[str, str]]) -> str:
    # A bar in a label would end the cell. chr(92) is the backslash, which f-strings cannot hold before Python 3.12.
    table = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows)
    return f"# {model}\n\n| | |\n|---|---|\n{table}"
