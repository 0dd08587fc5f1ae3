"""What a verb's signature says: its inputs, its config, its output; and the one way to call it from outside.

The command line, a pipeline's stage and the public Python function all go through :class:`Verb`, so they accept the
same names and mean the same.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import inspect
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from msgspec import structs

from yanmo.artifacts.base import Artifact, read_manifest
from yanmo.artifacts.effects import NO_EFFECTS, Effects
from yanmo.artifacts.identity import file_digest, stage_key
from yanmo.artifacts.origins import told_by_address
from yanmo.artifacts.placing import MANIFEST, check_out
from yanmo.config import Config, build
from yanmo.data.finding import companions, find_files, is_pattern
from yanmo.data.pipes import kept_pipes
from yanmo.errors import ConfigError, InternalError, did_you_mean
from yanmo.paths import check_path, storage_address
from yanmo.verbs import COMMANDS, OTHER_NAMES
from yanmo.verbs.addresses import copy_inputs, on_the_way, send_on
from yanmo.verbs.system_errors import system_errors

__all__ = ["Input", "Verb", "get_verb", "named_path", "open_artifact", "verb"]

# The paragraph about effects in a docstring, with the lines that go on in it.
EFFECTS_HELP = re.compile(r"^    effects:.*\n(?:     +.*\n)*", re.MULTILINE)


@dataclass(frozen=True)
class Input:
    """One input of a verb.

    Attributes:
        name: The parameter's name.
        kinds: Artifact classes, or Path for raw files.
        is_many: It takes any number of values.
        is_optional: It may be left out; such an input is given by name.
    """

    name: str
    kinds: tuple[type, ...]
    is_many: bool
    is_optional: bool

    @property
    def is_artifact(self) -> bool:
        """Whether the value is an artifact folder."""
        return issubclass(self.kinds[0], Artifact)

    @property
    def wanted(self) -> str:
        """The names of the kinds, for a sentence."""
        return " or ".join(kind.__name__ for kind in self.kinds)

    def open(self, value: Any, until_end: contextlib.ExitStack) -> Any:
        """Return what the function takes: opened artifacts or paths.

        Args:
            value: What was given.
            until_end: Of the call: it removes what is kept of pipes.
        """
        if value is None:
            return None
        if self.is_many:
            values = [value] if isinstance(value, str | Path | Artifact) else list(value)
            opened = tuple(self._open_one(one) for one in values)
            # What folders, patterns and pipes stand for is found here, once, so that the key knows the files.
            return opened if self.is_artifact else until_end.enter_context(kept_pipes(find_files(opened)))
        return self._open_one(value)

    def _open_one(self, value: Any) -> Any:
        if isinstance(value, self.kinds):
            return value
        if isinstance(value, Artifact) and not self.is_artifact:
            # A verb of raw files that is given an open artifact reads its folder.
            return value.path
        return open_artifact(self.kinds, value) if self.is_artifact else Path(value)


def open_artifact(kinds: Sequence[type], path: str | Path, *, verify: bool = True) -> Artifact:
    """Return the artifact of a folder, which is of one of some kinds.

    Raises:
        ArtifactError: It is of none of them, or not whole.
    """
    artifacts = [kind for kind in kinds if issubclass(kind, Artifact)]
    found = read_manifest(Path(path))[0].kind if len(artifacts) > 1 else artifacts[0].kind
    # One of another kind is opened as the first, which refuses it and says why.
    return next((kind for kind in artifacts if kind.kind == found), artifacts[0]).open(path, verify=verify)


class Verb:
    """A function with its signature taken apart.

    Attributes:
        name: The function's name, which is the command's.
        function: The bare function.
        inputs: Positional inputs first, then the optional ones.
        config_class: The config model.
        has_out: Whether it makes something at ``out``.
        needs_out: Whether ``out`` must be given.
        takes_effects: Whether what stands at ``out`` may be replaced, and who watches.
        takes_addresses: Whether inputs, and what it makes, may be at addresses.
        output: The kind of artifact it makes, None where it makes none.
        tells_ready: Whether it runs until it is stopped and calls ``when_ready`` with a summary before that.
        help: Its docstring, without what only who calls it from Python can give.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = function.__name__
        self.help = EFFECTS_HELP.sub("", inspect.getdoc(function) or "")
        self.summary = self.help.partition("\n")[0]
        parameters = dict(inspect.signature(function).parameters)
        hints = typing.get_type_hints(function)
        out = parameters.pop("out", None)
        config = parameters.pop("config", None)
        self.tells_ready = parameters.pop("when_ready", None) is not None
        self.takes_effects = parameters.pop("effects", None) is not None
        self.has_out = out is not None
        # No default in the signature means that the verb always makes something.
        self.needs_out = out is not None and out.default is inspect.Parameter.empty
        self.takes_addresses = self.name in COMMANDS and COMMANDS[self.name].takes_addresses
        self.output = _read_output(hints.get("return"))
        self.config_class: type[Config] = hints["config"] if config else Config
        self._has_config = config is not None
        self.inputs = tuple(_read_input(parameter, hints[name]) for name, parameter in parameters.items())
        self._printer: Callable[..., Iterator[str]] | None = None

    def __call__(
        self,
        *inputs: Any,
        out: str | Path | None = None,
        config: Config | None = None,
        effects: Effects = NO_EFFECTS,
        when_ready: Callable[[dict[str, Any]], None] | None = None,
        **values: Any,
    ) -> Any:
        """Open the inputs, build the config from the other keywords, and run.

        Args:
            *inputs: Artifacts, or the paths of artifacts or raw files, in the verb's order.
            out: Where the new artifact appears.
            config: A whole config, instead of single values.
            effects: Whether an artifact at ``out`` is replaced when the new one is whole, and who watches.
            when_ready: Called with what ``--json`` prints, by a verb that tells when it is ready.
            **values: Optional inputs and config fields by name.

        Raises:
            ConfigError: An input is missing or a value is wrong.
            ArtifactError: An input cannot be opened or ``out`` cannot be written.
        """
        given = self._bind(inputs, values, config)
        with system_errors(out if self.has_out else None), told_by_address(), contextlib.ExitStack() as until_end:
            # What is no artifact, as an archive, is written here.
            address = (
                self._address(out, f"The 'out' parameter of {self.name}", is_written=True) if self.output else None
            )
            if address is not None:
                given["out"] = until_end.enter_context(on_the_way(address, replace=effects.replace))
            elif self.has_out:
                given["out"] = self._check_out(out, replace=effects.replace)
            if self.tells_ready:
                given["when_ready"] = when_ready
            opened = self._open(given, until_end)
            if self.takes_effects:
                # Before the verb fills in what depends on the machine, so that the key is the same on another one.
                key = self.key(opened, given.get("config")) if given.get("out") and effects.key is None else effects.key
                given["effects"] = structs.replace(effects, key=key, destination=address)
            made = self.function(**{**given, **opened})
            return made if address is None else send_on(made, given["out"], address, replace=effects.replace)

    def prints(self, printer: Callable[..., Iterator[str]]) -> Callable[..., Iterator[str]]:
        """Make a function the one that the command line calls where there is no ``out``: it yields lines.

        Args:
            printer: Takes the verb's inputs and config.
        """
        self._printer = printer
        return printer

    @property
    def can_print(self) -> bool:
        """Whether there is such a function."""
        return self._printer is not None

    def lines(self, *inputs: Any, **values: Any) -> Iterator[str]:
        """Yield the lines of a verb that prints; the arguments are those of a call, without ``out``."""
        if self._printer is None:
            raise InternalError(f"{self.name} prints no lines.")
        given = self._bind(inputs, values, None)
        with system_errors(None), told_by_address(), contextlib.ExitStack() as until_end:
            yield from self._printer(**{**given, **self._open(given, until_end)})

    def _open(self, given: Mapping[str, Any], until_end: contextlib.ExitStack) -> dict[str, Any]:
        values = {one.name: given[one.name] for one in self.inputs if one.name in given}
        if self.takes_addresses:
            kinds = {one.name: one.is_artifact for one in self.inputs}
            values = {name: copy_inputs(value, is_artifact=kinds[name]) for name, value in values.items()}
        return {one.name: one.open(values[one.name], until_end) for one in self.inputs if one.name in values}

    def _address(self, value: Any, what: str, **wanted: bool) -> str | None:
        """Return the address that a value is, where the verb takes one; else None."""
        return storage_address(value, what=what, **wanted) if self.takes_addresses else None

    def key(self, inputs: Mapping[str, Any], config: Config | None) -> str | None:
        """Return the key that the artifact's manifest will have: of the verb, what it is made from, config and code.

        Args:
            inputs: Input name to what the function takes: opened artifacts and paths.
            config: The config; a file or model folder it names counts by its content, not by where it stands.

        Returns:
            The key, or None where an input is neither artifact nor readable file, as the standard input is.
        """
        parents: dict[str, str] = {}
        plain = config.model_dump(mode="json") if config else {}
        asked = dict(inputs)
        for name, value in config or ():
            path = named_path(name, value)
            if path is not None:
                asked[name], plain[name] = path, path.name
        for name, value in asked.items():
            for number, one in enumerate(value if isinstance(value, tuple) else (value,), 1):
                found = {} if one is None else _digests(one)
                # What cannot be read twice has no digest, and what is made from it no key.
                if found is None:
                    return None
                # With its number: members in another order make another ensemble.
                parents |= {f"{name}:{number}:{part}": digest for part, digest in found.items()}
        return stage_key(self.name, parents, plain)

    def _bind(self, inputs: Sequence[Any], values: Mapping[str, Any], config: Config | None) -> dict[str, Any]:
        """Return inputs by name and the config."""
        required = [one for one in self.inputs if not one.is_optional]
        if len(inputs) > len(required):
            raise ConfigError(f"{self.name} takes {len(required)} inputs. Got {len(inputs)} instead.")
        names = {one.name for one in self.inputs}
        # Fewer may be given by position, as the others may come by name.
        given = {one.name: value for one, value in zip(required, inputs, strict=False)}
        given |= {name: value for name, value in values.items() if name in names}
        bundles = {one.name for one in self.inputs if one.is_artifact}
        for name, value in given.items():
            what = f"The '{name}' input of {self.name}"
            for one in value if isinstance(value, list | tuple) else (value,):
                if self._address(one, what, is_registered=name in bundles) is None:
                    check_path(one, what=what)
        for one in required:
            if one.name not in given:
                raise ConfigError(
                    f"The '{one.name}' input of {self.name} is missing.", hint=f"yanmo {self.name} --help"
                )
        others = {name: value for name, value in values.items() if name not in names}
        if self._has_config:
            given["config"] = config or build(self.config_class, others, where=self.name)
        elif others:
            raise ConfigError(f"{self.name} has no parameter '{next(iter(others))}'.")
        return given

    def _check_out(self, out: str | Path | None, *, replace: bool) -> Path | None:
        if out is None:
            if self.needs_out:
                raise ConfigError(
                    f"The 'out' parameter of {self.name} is missing.", hint="Say where to write: --out FOLDER"
                )
            return None
        check_path(out, what=f"The 'out' parameter of {self.name}")
        check_out(out, replace=replace)
        return Path(out)


def verb(function: Callable[..., Any]) -> Verb:
    """Make a function a verb: callable with paths and keyword values, and readable by the command line."""
    return Verb(function)


def get_verb(name: str) -> Verb:
    """Return a verb by its command name, importing its module.

    Raises:
        ConfigError: There is no such verb.
    """
    if name not in COMMANDS:
        meant = f" Its name is '{OTHER_NAMES[name]}'." if name in OTHER_NAMES else did_you_mean(name, COMMANDS)
        raise ConfigError(
            f"There is no verb '{name}'.{meant}",
            hint=f"The verbs are: {', '.join(COMMANDS)}.",
        )
    found = getattr(importlib.import_module(COMMANDS[name].module), name)
    # Commands of other rooms, such as serve, are plain functions.
    return found if isinstance(found, Verb) else Verb(found)


def named_path(name: str, value: Any) -> Path | None:
    """Return the path that a config's value is: that of a file, or of the local folder of a model; else None."""
    if isinstance(value, Path):
        return value
    return Path(value) if name == "model" and isinstance(value, str) and Path(value).is_dir() else None


def _digests(source: Artifact | Path) -> dict[str, str] | None:
    """Return the digest of an artifact or a file, or of every file of another folder; None where nothing stands."""
    if isinstance(source, Artifact):
        return {"": source.digest}
    if (source / MANIFEST).is_file():
        return {"": read_manifest(source)[1]}
    if source.is_dir():
        # A model's folder is no artifact, so nothing but its files says what it is.
        files = sorted(file for file in source.rglob("*") if file.is_file())
        return {file.relative_to(source).as_posix(): file_digest(file) for file in files}
    try:
        if is_pattern(source):
            found = enumerate(find_files([source]), 1)
            return {f"{number}:{file.name}": file_digest(file) for number, file in found}
        # What is read because of another file counts with it.
        return {one.name: file_digest(one) for one in (source, *companions(source))} if source.is_file() else None
    except OSError:
        return None


def _read_output(hint: Any) -> type[Artifact] | None:
    options = [hint, *typing.get_args(hint)]
    return next((one for one in options if isinstance(one, type) and issubclass(one, Artifact)), None)


def _read_input(parameter: inspect.Parameter, hint: Any) -> Input:
    is_optional = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    if typing.get_origin(hint) is tuple:
        return Input(parameter.name, (typing.get_args(hint)[0],), is_many=True, is_optional=is_optional)
    options = tuple(one for one in typing.get_args(hint) if one is not type(None)) or (hint,)
    return Input(parameter.name, options, is_many=False, is_optional=is_optional)
