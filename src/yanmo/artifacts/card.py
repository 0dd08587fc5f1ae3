"""The model card of a Bundle, as Markdown, in a file for each language; it knows no model code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from yanmo.text.pipeline import TextConfig
from yanmo.translations import LANGUAGES, Language, translate

__all__ = [
    "CARD",
    "CARDS",
    "find_licenses",
    "read_cards",
    "render_card",
    "render_encoder_card",
    "render_plain_card",
    "write_cards",
]

CARDS: dict[Language, str] = {"en": "README.md", "zh": "README.zh.md"}
CARD = CARDS["en"]
LICENSE_FILES = ("LICENSE*", "NOTICE*")
MAX_READ = 20_000


def write_cards(folder: Path, render: Callable[..., str]) -> None:
    """Write the card of a folder in every language.

    Args:
        folder: A Bundle's, or that of another model.
        render: Returns the card's text; takes the ``language``.
    """
    for language, name in CARDS.items():
        (folder / name).write_text(render(language=language), encoding="utf-8")


def read_cards(folder: Path) -> dict[Language, str]:
    """Return the beginning of a Bundle's card in every language; older Bundles have it in English alone."""
    found: dict[Language, str] = {}
    for language in LANGUAGES:
        paths = [folder / CARDS[language], folder / CARD]
        path = next((one for one in paths if one.is_file()), None)
        found[language] = path.read_text(encoding="utf-8")[:MAX_READ] if path is not None else ""
    return found


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
    language: Language = "en",
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
        language: In which it is read.
    """
    say = partial(translate, language=language)
    shown = ", ".join(labels[:50]) + (" …" if len(labels) > 50 else "")
    most = "at most {count} tokens of a text"
    rows = [
        (say("Model"), model),
        (say("Format"), format),
        (say("Task"), task),
        (say("Labels"), f"{len(labels)}: {shown}"),
        (say("Reads"), say(most, count=max_length) if max_length else say("the whole text")),
        *_reading(text, language),
        *_origin(source, language),
        *([(say("Trained on"), f"Dataset {dataset_digest[:16]}")] if dataset_digest else []),
        *((say("Validation {score}", score=_named(name, language)), f"{value:.4f}") for name, value in scores.items()),
        *((_named(name, language).capitalize(), f"{value:.4g}") for name, value in (measured or {}).items()),
    ]
    used = "The scores above were used to choose the weights."
    return (
        f"{_table(model, rows)}\n\n"
        f"{say('Use it for texts like those it was trained on.')} {say(used) + ' ' if scores else ''}"
        f"{say('Measure on texts it has not seen before you rely on it:')}\n\n"
        f"```\nyanmo evaluate {say('<this folder>')} {say('<a Dataset>')} --out {say('<report>')}\n"
        f"echo '{say('a text')}' | yanmo predict {say('<this folder>')} -\nyanmo serve {say('<this folder>')}\n```\n"
    )


def _named(name: str, language: Language) -> str:
    """Return the name of something that was measured, as a person reads it."""
    return translate(name.replace("_", " "), language)


def _reading(text: TextConfig, language: Language) -> list[tuple[str, str]]:
    """Return the rows that say how texts are prepared; the steps keep the names that a config gives them."""
    steps = ", ".join(text.cleaning) or translate("none", language)
    return [(translate("Cleaning", language), steps), (translate("Segmenter", language), text.segmenter)]


def find_licenses(folder: Path) -> list[Path]:
    """Return the files of a folder that state a licence; copies of a model have to keep them."""
    return sorted(path for pattern in LICENSE_FILES for path in folder.glob(pattern) if path.is_file())


def _origin(source: Mapping[str, str] | None, language: Language) -> list[tuple[str, str]]:
    """Return the rows that say where a model is from, and under which licence it may be used."""
    if source is None:
        return []
    say = partial(translate, language=language)
    commit = f", commit {source['commit']}" if "commit" in source else ""
    stated = source.get("license", say("the source states none"))
    return [(say("Source"), source["name"] + commit), (say("Licence"), stated)]


def render_encoder_card(
    *, model: str, text: TextConfig, facts: Mapping[str, float], task: str, language: Language = "en"
) -> str:
    """Return the text of the model card of an encoder that has learned to read.

    Args:
        model: The model's name.
        text: How texts are cleaned.
        facts: What was counted and measured, by name.
        task: What it has learned: to guess hidden tokens, or the next ones, is an answer.
        language: In which it is read.
    """
    say = partial(translate, language=language)
    answering = {
        "masked_lm": say("This encoder guesses what stands in the gaps of texts. Train another model from it:"),
        "causal_lm": say("This language model tells how texts go on. Train another model from it:"),
    }
    learned = answering.get(task, say("This encoder has learned to read and gives no answers yet. Train one from it:"))
    rows = [
        (say("Model"), model),
        *_reading(text, language),
        *((_named(name, language), f"{value:,}") for name, value in facts.items()),
    ]
    plain = say(
        "It is a plain Hugging Face folder: {model} and {tokenizer} open it.",
        model="`AutoModel.from_pretrained`",
        tokenizer="`AutoTokenizer.from_pretrained`",
    )
    dataset, folder, out = say("<a Dataset>"), say("<this folder>"), say("<where the Bundle appears>")
    return (
        f"{_table(model, rows)}\n\n"
        f"{learned}\n\n"
        f"```\nyanmo train {dataset} --init {folder} --out {out}\n```\n\n{plain}\n"
    )


def render_plain_card(
    model: str,
    labels: Sequence[str],
    text: TextConfig,
    source: Mapping[str, str] | None,
    *,
    language: Language = "en",
) -> str:
    """Return the text of the card of a plain folder, as hubs read it.

    Args:
        model: The model's name.
        labels: All labels in order.
        text: How the Bundle cleans texts, which transformers does not.
        source: Where the model is from, if it was trained elsewhere.
        language: In which it is read.
    """
    say = partial(translate, language=language)
    license_line = f"license: {source['license']}\n" if source and "license" in source else ""
    steps = [*text.cleaning, *([text.segmenter] if text.segmenter != "none" else [])]
    shown = f"{len(labels)}: {', '.join(labels[:50])}"
    rows = [(say("Model"), model), (say("Labels"), shown), *_origin(source, language)]
    prepared = "It has learned from texts prepared so: {steps}. Do the same before you ask it."
    before = say(prepared, steps=", ".join(steps)) + "\n" if steps else ""
    opener = "`transformers.pipeline('text-classification', model=<>)`"
    return (
        f"---\npipeline_tag: text-classification\nlibrary_name: transformers\n{license_line}---\n"
        f"{_table(model, rows)}\n\n{before}"
        f"{say('{call} opens it.', call=opener.replace('<>', say('<this folder>')))}\n"
    )


def _table(model: str, rows: Sequence[tuple[str, str]]) -> str:
    # A bar in a label would end the cell. chr(92) is the backslash, which f-strings cannot hold before Python 3.12.
    table = "\n".join(f"| {name} | {value.replace('|', chr(92) + '|')} |" for name, value in rows)
    return f"# {model}\n\n| | |\n|---|---|\n{table}"
