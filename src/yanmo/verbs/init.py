"""init: a starter folder with the example data and a pipeline whose every key is explained; it runs nothing.

The explanations are made of the config classes' sentences, ranges and defaults, so they cannot go stale.
"""

import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic.fields import FieldInfo

from yanmo.config import Config
from yanmo.errors import ConfigError, InternalError
from yanmo.starters import TEMPLATES, StarterTemplate, known_template
from yanmo.verbs.signature import Input, Verb, get_verb, verb

__all__ = ["InitConfig", "Starter", "init", "render_pipeline"]

PIPELINE = "pipeline.toml"
README = "README.md"
WIDTH = 116

HEAD = """\
# A pipeline: stages that make artifacts out of artifacts.
#   yanmo check pipeline.toml     checks all of it and runs nothing
#   yanmo run pipeline.toml       runs what is not done yet, then compares all models in runs/report
#   yanmo run pipeline.toml --set {override}
#
# A stage has a verb, the verb's inputs (names of other stages, or paths relative to this file) and the verb's keys.
# Keys behind a # have the value that is shown, or where none is shown a default that depends on the model.
# With each = {{ key = [values] }} a stage makes one artifact for every combination of the values.

[pipeline]
# The folder of all artifacts.
out = "runs"
"""


class InitConfig(Config):
    """Which starter folder is made."""

    task: Annotated[str, AfterValidator(known_template)] = Field(
        default="single_label",
        description="What the example data and its pipeline are for: a label a text, or names in texts: "
        f"{', '.join(TEMPLATES)}.",
    )


@dataclass(frozen=True)
class Starter:
    """The folder that was made and the files in it."""

    path: Path
    files: tuple[str, ...]

    def summary(self) -> dict[str, Any]:
        """Return what ``--json`` prints and the screen's table shows."""
        return {"folder": str(self.path), "files": list(self.files), "next": f"yanmo run {self.path / PIPELINE}"}


@verb
def init(folder: Path, config: InitConfig) -> Starter:
    """Make a starter folder: example data and an explained pipeline.

    Args:
        folder: The folder; it must not exist, or be empty.
        config: What the example is for.

    Raises:
        ConfigError: The folder holds something, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        what = "is not empty" if folder.is_dir() else "is a file"
        raise ConfigError(f"{folder} {what}.", hint="Choose a new folder.")
    template = TEMPLATES[config.task]
    contents = {
        template.data: _example_data(template),
        PIPELINE: render_pipeline(template).encode(),
        README: template.guide.encode(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        raise ConfigError(f"Cannot write {folder}: {error.strerror}.", hint="Choose another folder.") from error
    return Starter(folder, tuple(contents))


def _example_data(template: StarterTemplate) -> bytes:
    """Return the embedded example, from the installed package or from the source tree."""
    # The wheel carries the example inside of the package; a source tree has it at its root.
    installed = resources.files("yanmo") / "examples" / template.example / template.data
    source = Path(__file__).resolve().parents[3] / "examples" / template.example / template.data
    for place in (installed, source):
        if place.is_file():
            return place.read_bytes()
    raise InternalError("The example data is missing in this installation.", hint="Install yanmo again.")


def render_pipeline(template: StarterTemplate) -> str:
    """Return a starter pipeline; each verb's keys are explained where it is used first."""
    explained: set[str] = set()
    parts = [HEAD.format(override=template.override)]
    for name, stage in template.stages.items():
        lines = [*_comment(stage.why), f"[stage.{name}]", f'verb = "{stage.verb}"']
        if stage.verb in explained:
            lines += [f"{key} = {_toml(value)}" for key, value in stage.given.items()]
        else:
            lines += _explain(get_verb(stage.verb), stage.given)
        explained.add(stage.verb)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _explain(stage_verb: Verb, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield every input and key of a verb with its explanation; those not given stand behind a #."""
    for one in stage_verb.inputs:
        yield from _comment(_input_text(one))
        yield f"{one.name} = {_toml(given[one.name])}" if one.name in given else f"# {one.name} ="
    for key, info in stage_verb.config_class.model_fields.items():
        yield from _comment(_field_text(info))
        # The key's explanation stands above the line that varies it.
        if key in given.get("each", {}):
            yield f"each = {_toml(given['each'])}"
        elif key in given:
            yield f"{key} = {_toml(given[key])}"
        else:
            has_default = not info.is_required() and info.default is not None
            yield f"# {key} = {_toml(info.default)}" if has_default else f"# {key} ="


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _input_text(one: Input) -> str:
    what = f"a stage that makes a {one.wanted}, or its folder" if one.is_artifact else "a file"
    many = f"; or a list of them: [{_toml('one')}, {_toml('two')}]" if one.is_many else ""
    return f"Input: {what}{many}.{' May be left out.' if one.is_optional else ''}"


def _field_text(info: FieldInfo) -> str:
    sentence = (info.description or "").replace("\n", " ")
    facts = [fact for fact in (_type_name(info.annotation), _limits(info)) if fact]
    return f"{sentence} ({', '.join(facts)})" if facts else sentence


def _type_name(hint: Any) -> str:
    """Return what a value may be, in words: the choices, or the kind of number; empty where the default shows it."""
    origin = typing.get_origin(hint)
    if origin is Literal:
        return " | ".join(_toml(one) for one in typing.get_args(hint))
    if origin in (UnionType, typing.Union):
        return _type_name(next(one for one in typing.get_args(hint) if one is not type(None)))
    if origin is typing.Annotated:
        return _type_name(typing.get_args(hint)[0])
    if origin is tuple:
        return "a list"
    return {int: "whole number", float: "number", bool: "true | false", Path: "file"}.get(hint, "")


def _limits(info: FieldInfo) -> str:
    # Limits inside of a union or a tuple stand in the annotation, and those of the field itself in its metadata.
    nested = [more for one in typing.get_args(info.annotation) for more in typing.get_args(one)[1:]]
    found = [*info.metadata, *(more for one in nested for more in getattr(one, "metadata", [one]))]
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    limits = [f"{sign} {getattr(one, name)}" for one in found for name, sign in signs.items() if hasattr(one, name)]
    # Each once, in their order: a union may say the same limit for several of its types.
    return " and ".join(dict.fromkeys(limits))


def _toml(value: Any) -> str:
    """Return a value as TOML writes it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    # JSON's strings, true and false are TOML's, too.
    if isinstance(value, bool | str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(str(value), ensure_ascii=False) if isinstance(value, Path) else repr(value)
