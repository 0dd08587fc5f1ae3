"""The model card of a Bundle, as Markdown; it knows no model code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from yanmo.text.pipeline import TextConfig

__all__ = ["CARD", "render_card", "render_encoder_card"]

CARD = "README.md"


def render_card(
    *,
    model: str,
    format: str,  # noqa: A002 - the field's name in the manifest
    task: str,
    labels: Sequence[str],
    max_length: int,
    text: TextConfig,
    dataset_digest: str,
    scores: Mapping[str, float],
) -> str:
    """Return the text of a model card.

    Args:
        model: The model's name.
        format: The Bundle's format.
        task: The task's name.
        labels: All labels in order.
        max_length: The most tokens the model reads of a text; 0 if it reads all of it.
        text: How texts are cleaned.
        dataset_digest: The digest of the Dataset it was trained on.
        scores: What was measured on the validation split, by name.
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
        ("Trained on", f"Dataset {dataset_digest[:16]}"),
        *((f"Validation {name.replace('_', ' ')}", f"{value:.4f}") for name, value in scores.items()),
    ]
    return (
        f"{_table(model, rows)}\n\n"
        "Use it for texts like those it was trained on. The scores above were used to choose the weights, so measure\n"
        "on texts it has not seen before you rely on it:\n\n"
        "```\nyanmo evaluate <this folder> <a Dataset> --out <report>\n"
        "echo 'a text' | yanmo predict <this folder> -\nyanmo serve <this folder>\n```\n"
    )


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


def _table(model: str, rows: Sequence[tuple[str, str]]) -> str:
    table = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows)
    return f"# {model}\n\n| | |\n|---|---|\n{table}"
