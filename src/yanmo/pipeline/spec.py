"""A pipeline file as stages: verb, inputs, values, fan-out; every stage checked by itself. It runs and opens nothing.

``[pipeline]`` is optional and holds ``out``, the folder of all artifacts, and ``language``, of the pages of Reports.
Each ``[stage.NAME]`` holds ``verb``, the verb's inputs and config keys by name, and perhaps ``each = { KEY = […] }``:
one artifact for every combination of the values. All paths are relative to the file.
"""

from __future__ import annotations

import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from yanmo.data.label_pairs import PAIRS_OR_FILE, is_pairs_file
from yanmo.errors import did_you_mean
from yanmo.paths import PATH_HINT, path_problem
from yanmo.pipeline.document import Document, read_document
from yanmo.translations import LANGUAGES, Language
from yanmo.verbs import COMMANDS
from yanmo.verbs.signature import Input, Verb, get_verb

__all__ = ["DEFAULT_OUT", "REPORT", "RESERVED", "PipelineSpec", "StageSpec", "read_spec"]

DEFAULT_OUT = "runs"
REPORT = "report"
RESERVED = ("verb", "each")
SETTINGS = ("language", "out")


@dataclass(frozen=True)
class StageSpec:
    """One ``[stage.NAME]`` table.

    Attributes:
        name: NAME.
        verb: What it does.
        inputs: Input name to what was written: stage names or paths.
        values: Config key to value, paths made relative to the working directory.
        each: Config key to the values of the fan-out; empty where there is none.
    """

    name: str
    verb: Verb
    inputs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    each: dict[str, list[Any]] = field(default_factory=dict)

    def keys(self, *more: str) -> tuple[str, ...]:
        """Return the path of a key of this stage in the file."""
        return ("stage", self.name, *more)


@dataclass(frozen=True)
class PipelineSpec:
    """A pipeline file whose stages are right one by one.

    Attributes:
        document: The file, which collects the mistakes.
        out: The folder of all artifacts.
        stages: By name, in the file's order. A stage whose verb is unknown is left out.
        names: Of all stages, those left out too.
        language: Of the pages of Reports; a stage may say another one.
    """

    document: Document
    out: Path
    stages: dict[str, StageSpec]
    names: tuple[str, ...]
    language: Language = "en"

    @property
    def folder(self) -> Path:
        """The file's folder, to which its paths are relative."""
        return self.document.path.parent


def read_spec(path: Path, overrides: Sequence[str] = ()) -> PipelineSpec:
    """Read a pipeline file; the mistakes of its stages are collected in ``document``.

    Args:
        path: The TOML file.
        overrides: See :func:`read_document`.

    Raises:
        PipelineError: The file cannot be read at all.
    """
    document = read_document(path, overrides)
    _check_top_level(document)
    tables = document.tables.get("stage", {})
    if not isinstance(tables, dict) or not tables:
        text = f"The file has no stage. Got {tables!r} instead." if tables else "The file has no stage."
        document.report(("stage",), text, 'A stage is a table: [stage.reviews], then verb = "prepare".')
        tables = {}
    settings = _read_settings(document)
    language, out = _read_language(document, settings), _read_out(document, settings)
    stages = {name: stage for name, table in tables.items() if (stage := _read_stage(document, name, table, language))}
    return PipelineSpec(document, out, stages, tuple(tables), language)


def _check_top_level(document: Document) -> None:
    for key in document.tables:
        if key not in ("pipeline", "stage"):
            text = f"There is no top-level key '{key}'.{did_you_mean(key, ('pipeline', 'stage'))}"
            document.report((key,), text, "The tables are [pipeline] and [stage.NAME].")


def _read_settings(document: Document) -> dict[str, Any]:
    """Return the table of the pipeline itself."""
    table = document.tables.get("pipeline", {})
    if not isinstance(table, dict):
        text = f"The 'pipeline' key must be a table. Got {table!r} instead."
        document.report(("pipeline",), text, "Write [pipeline].")
        return {}
    for key in table:
        if key not in SETTINGS:
            text = f"[pipeline] has no key '{key}'.{did_you_mean(key, SETTINGS)}"
            document.report(("pipeline", key), text, f"Its keys are: {', '.join(SETTINGS)}.")
    return table


def _read_language(document: Document, table: dict[str, Any]) -> Language:
    named = table.get("language", "en")
    language = next((one for one in LANGUAGES if one == named), None)
    if language is None:
        text = f"The 'language' key of [pipeline] must be one of {', '.join(LANGUAGES)}. Got {named!r} instead."
        document.report(("pipeline", "language"), text, 'For example: language = "zh"')
    return language or "en"


def _read_out(document: Document, table: dict[str, Any]) -> Path:
    out = table.get("out", DEFAULT_OUT)
    if not isinstance(out, str) or not out:
        text = f"The 'out' key of [pipeline] must be a folder's name. Got {out!r} instead."
        document.report(("pipeline", "out"), text, 'For example: out = "runs"')
        out = DEFAULT_OUT
    problem = path_problem(out)
    if problem:
        text = f"The 'out' key of [pipeline] must be {problem}. Got {out!r} instead."
        document.report(("pipeline", "out"), text, PATH_HINT)
    return document.path.parent / out


def _read_stage(document: Document, name: str, table: Any, language: Language) -> StageSpec | None:
    keys = ("stage", name)
    if not isinstance(table, dict):
        document.report(keys, f"A stage must be a table. Got {name} = {table!r} instead.", f"Write [stage.{name}].")
        return None
    # Further Datasets get Reports called report-2, report-3 and so on.
    is_report = name == REPORT or name.startswith(f"{REPORT}-")
    if not _is_folder_name(name) or is_report:
        why = "is the name of the final Report" if is_report else "cannot be the name of a folder"
        document.report(keys, f"The stage '{name}' {why}.", "Rename the stage; letters, digits, - and _ are good.")
    verb = _read_verb(document, name, table)
    if verb is None:
        return None
    _check_keys(document, name, verb, table)
    inputs = {one.name: _read_input(document, name, verb, one, table) for one in verb.inputs}
    fields = verb.config_class.model_fields
    values = {key: _relative(document, verb, key, value) for key, value in table.items() if key in fields}
    # Left out where it is what a stage has anyway, so that its key does not tell the one from the other.
    if language != "en" and "language" in fields and "language" not in table.get("each", {}):
        values.setdefault("language", language)
    each = _read_each(document, name, verb, table)
    return StageSpec(name, verb, {key: value for key, value in inputs.items() if value}, values, each)


def _is_folder_name(name: str) -> bool:
    # Also what Windows refuses, so that a pipeline can move; a dot in front is for what is being staged.
    return bool(name) and name[0] != "." and not set('/\\:*?"<>|\0') & set(name)


def _read_verb(document: Document, name: str, table: dict[str, Any]) -> Verb | None:
    word = table.get("verb")
    verbs = [key for key, command in COMMANDS.items() if command.is_stage]
    hint = f"The verbs of a stage are: {', '.join(verbs)}."
    if word is None:
        document.report(("stage", name), f"The stage '{name}' has no verb.", hint)
    elif word in verbs:
        return get_verb(str(word))
    # A verb of the command line that makes no artifact, such as serve.
    elif str(word) in COMMANDS:
        document.report(("stage", name, "verb"), f"In the stage '{name}' the verb '{word}' is none of a stage.", hint)
    else:
        text = f"In the stage '{name}' there is no verb '{word}'.{did_you_mean(str(word), verbs)}"
        document.report(("stage", name, "verb"), text, hint)
    return None


def _check_keys(document: Document, name: str, verb: Verb, table: dict[str, Any]) -> None:
    allowed = [*(one.name for one in verb.inputs), *verb.config_class.model_fields]
    for key in table:
        if key not in allowed and key not in RESERVED:
            text = f"In the stage '{name}' {verb.name} has no key '{key}'.{did_you_mean(key, allowed)}"
            document.report(("stage", name, key), text, f"The keys of {verb.name} are: {', '.join(allowed)}.")


def _read_input(document: Document, name: str, verb: Verb, one: Input, table: dict[str, Any]) -> tuple[str, ...]:
    value = table.get(one.name)
    keys = ("stage", name, one.name)
    wanted = f"stages or {one.wanted} folders" if one.is_artifact else "files"
    if value is None:
        if not one.is_optional:
            text = f"In the stage '{name}' the '{one.name}' input of {verb.name} is missing."
            document.report(("stage", name), text, f"Write {one.name} = and the names of {wanted}.")
        return ()
    values = value if isinstance(value, list) else [value]
    if not values or not all(isinstance(word, str) and word for word in values):
        text = f"In the stage '{name}' the '{one.name}' input of {verb.name} must name {wanted}. Got {value!r} instead."
        document.report(keys, text, "Names stand in quotes.")
        return ()
    problem = next((path_problem(word) for word in values if path_problem(word)), None)
    if problem:
        text = f"In the stage '{name}' the '{one.name}' input of {verb.name} must be {problem}. Got {value!r} instead."
        document.report(keys, text, PATH_HINT)
        return ()
    if len(values) > 1 and not one.is_many:
        text = f"In the stage '{name}' the '{one.name}' input of {verb.name} takes one name. Got {value!r} instead."
        document.report(keys, text, "Write a stage for each of them, or name a stage that has 'each'.")
        return ()
    return tuple(values)


def _read_each(document: Document, name: str, verb: Verb, table: dict[str, Any]) -> dict[str, list[Any]]:
    each = table.get("each", {})
    keys = ("stage", name, "each")
    example = "For example: each = { seed = [1, 2, 3] }"
    if not isinstance(each, dict):
        document.report(keys, f"In the stage '{name}' the 'each' key must be a table. Got {each!r} instead.", example)
        return {}
    fields = list(verb.config_class.model_fields)
    good: dict[str, list[Any]] = {}
    for key, values in each.items():
        if key not in fields:
            text = f"In the stage '{name}' each cannot vary '{key}'.{did_you_mean(key, fields)}"
            document.report((*keys, key), text, f"It can vary: {', '.join(fields)}.")
        elif key in table:
            text = f"In the stage '{name}' the key '{key}' stands alone and in each, too."
            document.report((*keys, key), text, "Remove one of them.")
        elif not isinstance(values, list) or not values:
            text = f"In the stage '{name}' each must give '{key}' a list of values. Got {values!r} instead."
            document.report((*keys, key), text, example)
        else:
            good[key] = [_relative(document, verb, key, value) for value in values]
    return good


def _relative(document: Document, verb: Verb, key: str, value: Any) -> Any:
    """Return a value as it is, but a path of the file, of pairs or of a model's local folder as one from here."""
    field = verb.config_class.model_fields[key]
    if PAIRS_OR_FILE in field.metadata and isinstance(value, str) and is_pairs_file(value):
        return str(document.path.parent / value)
    hint = field.annotation
    is_path = hint is Path or Path in typing.get_args(hint)
    if not isinstance(value, str) or not (is_path or key == "model") or path_problem(value):
        return value
    path = document.path.parent / value
    # A hub id has a slash, too: it is a path only where a folder stands there.
    return path if is_path else str(path) if "/" in value and path.is_dir() else value
