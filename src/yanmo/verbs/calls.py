"""A verb's call as plain values: what is called, on what, with which settings; and the two ways to write it down.

It can be compared, kept, and sent to another process, which opens what it names. It knows no single verb.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from yanmo.artifacts.base import Artifact
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.origins import shown_place
from yanmo.config import Config, build
from yanmo.paths import as_address
from yanmo.verbs.signature import Verb, get_verb, named_path

__all__ = ["Call", "InputPaths", "call_of", "command_line", "run_call", "shown_path", "stage_toml", "toml_value"]

InputPaths = str | tuple[str, ...]
"""What an input names: an artifact's folder or a raw file, or several where it takes any number."""

MAX_STEPS_UP = 4
"""From a page to the folder that holds what it is about: runs/quality/linear/ is three below the pipeline's."""
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a verb.

    Attributes:
        verb: Its name.
        inputs: Input name to the paths of what it takes; in a plan, to the names of what will be made.
        config: Config key to value, as plain JSON values; what is left out has its default.
        out: Where the result appears; None where the verb makes none, or in a plan.
        effects: The key, whether what stands at ``out`` is replaced, and who watches.
    """

    verb: str
    inputs: dict[str, InputPaths] = {}
    config: dict[str, Any] = {}
    out: str | None = None
    effects: Effects = NO_EFFECTS


def call_of(
    verb: str, inputs: Mapping[str, Any], config: Config | Mapping[str, Any], *, out: Path | None = None
) -> Call:
    """Return the call of a verb on what is open already.

    Args:
        verb: Its name.
        inputs: Input name to artifacts and paths; one that is None or empty is left out.
        config: The verb's config, of which only what was given counts, or the values themselves.
        out: Where the result appears.
    """
    given = config if isinstance(config, Mapping) else {name: getattr(config, name) for name in config.model_fields_set}
    return Call(
        verb=verb,
        inputs={name: _source(value) for name, value in inputs.items() if value},
        config={name: _plain(value) for name, value in given.items()},
        out=None if out is None else shown_place(out),
    )


def run_call(call: Call) -> Any:
    """Make a call here, and return what the verb returns.

    Raises:
        YanmoError: As the verb says.
    """
    values: dict[str, Any] = {**call.inputs, **call.config}
    return get_verb(call.verb)(**values, out=call.out, effects=call.effects)


def command_line(call: Call, *, page: Path | None = None) -> str:
    """Return the command that makes the same again, as a Report may hold it.

    Settings at their defaults are left out, and those on which no result depends. Paths that were given as absolute
    ones begin at the nearest folder that holds all of them, to which a ``cd`` leads from the folder of the page: a
    Report holds no path of this machine, and goes with what it is about to another one. What is too far away for that
    is named, and no more.

    Args:
        call: The call.
        page: The folder in which the command is read; by default where the result appears.
    """
    place = page or (Path(call.out) if call.out and not as_address(call.out) else None)
    stands = _absolute(place) if place else None
    base = _common_folder(call, stands)
    shown = partial(_from_folder, base=base)
    up = "/".join([os.pardir] * _steps_up(stands, base)) if stands and base else ""
    return f"cd {up} && {_words(call, shown)}" if up else _words(call, shown)


def _words(call: Call, shown: Callable[[Path], str]) -> str:
    verb = get_verb(call.verb)
    words = ["yanmo", call.verb]
    for one in verb.inputs:
        value = call.inputs.get(one.name, ())
        flag = [_flag(one.name)] if one.is_optional else []
        for source in (value,) if isinstance(value, str) else value:
            words += [*flag, shown(Path(source))]
    words += _config_words(verb, call.config, shown)
    if call.out is not None or verb.needs_out:
        words += ["--out", shown(Path(call.out)) if call.out is not None else "FOLDER"]
    return shlex.join(words)


def _common_folder(call: Call, stands: Path | None) -> Path | None:
    """Return the nearest folder above the page that holds all that a call names; None where paths stay as given."""
    inputs = [Path(one) for value in call.inputs.values() for one in ((value,) if isinstance(value, str) else value)]
    named = [path for path in [*inputs, *([Path(call.out)] if call.out else [])] if not as_address(path)]
    if stands is None or not any(path.is_absolute() for path in named):
        return None
    base = Path(os.path.commonpath([stands.parent, *(_absolute(path).parent for path in named)]))
    return base if _steps_up(stands, base) <= MAX_STEPS_UP else None


def _steps_up(stands: Path, base: Path) -> int:
    return len(stands.relative_to(base).parts)


def _absolute(path: Path) -> Path:
    # As it is named, and not what links lead to.
    return Path(os.path.normpath(path.absolute()))


def _from_folder(path: Path, base: Path | None) -> str:
    """Return a path as it is read in the base folder, an address as it is."""
    if address := as_address(path):
        return address
    if base is None or not _absolute(path).is_relative_to(base):
        return shown_path(path)
    return _absolute(path).relative_to(base).as_posix()


def _config_words(verb: Verb, values: Mapping[str, Any], shown: Callable[[Path], str]) -> Iterator[str]:
    config = build(verb.config_class, values, where=verb.name)
    for name, field in verb.config_class.model_fields.items():
        value, flag = getattr(config, name), _flag(name)
        # No result depends on a field that is left out of the manifest.
        if value == field.default or field.exclude:
            continue
        path = named_path(name, value)
        if path is not None:
            yield from (flag, shown(path))
        elif isinstance(value, bool):
            yield flag if value else f"--no-{flag.removeprefix('--')}"
        # The command line splits at commas, but not in an assignment, so such values get a flag each.
        elif isinstance(value, tuple) and not any(set("=,") & set(str(one)) for one in value):
            yield from (flag, ",".join(map(str, value)))
        else:
            for one in value if isinstance(value, tuple) else (value,):
                yield from (flag, str(one))


def stage_toml(name: str, call: Call) -> str:
    """Return a call as the stage of a pipeline file.

    Args:
        name: The stage's.
        call: What it names is there from the file's folder, or is another stage.
    """
    lines = [f"[stage.{name if BARE_KEY.fullmatch(name) else toml_value(name)}]", f"verb = {toml_value(call.verb)}"]
    lines += [f"{key} = {toml_value(value)}" for key, value in {**call.inputs, **call.config}.items()]
    return "\n".join(lines) + "\n"


def shown_path(path: Path) -> str:
    """Return a path as a Report may hold it: as it was given if it is relative, else its last part."""
    return path.name if path.is_absolute() else path.as_posix()


def _source(value: Artifact | Path | Sequence[Artifact | Path]) -> InputPaths:
    if isinstance(value, Artifact):
        return shown_place(value.path)
    return shown_place(Path(value)) if isinstance(value, str | Path) else tuple(str(_source(one)) for one in value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def toml_value(value: object) -> str:
    """Return a plain value as a pipeline file has it."""
    # JSON's strings, numbers, truth values and lists are TOML's, too.
    return json.dumps(value, ensure_ascii=False)
