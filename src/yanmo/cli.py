"""The command line, derived from the verbs' signatures; it prints and sets exit codes, and holds no other logic."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import shlex
import sys
import traceback
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, ArgumentOrderError, CycloptsError, MissingArgumentError, Parameter

from yanmo.errors import ConfigError, InternalError, OutputError, YanmoError
from yanmo.machine import worker_rank
from yanmo.stopping import SigtermError, sigterm_raises
from yanmo.streams import (
    NoReaderError,
    complain,
    is_unicode,
    log_to_stderr,
    mend_streams,
    printable,
    release_output,
    say,
    saying,
)
from yanmo.verbs import COMMANDS, OLD_KEYS, OTHER_NAMES

if TYPE_CHECKING:
    from rich.text import Text

    from yanmo.artifacts.effects import Effects
    from yanmo.verbs.signature import Input, Verb

__all__ = ["build_app", "main"]

HELP = """From labelled text to the smallest, fastest language-model service that still meets your accuracy.

Start here:        yanmo init my-project, then yanmo run my-project/pipeline.toml
On your own file:  yanmo prepare reviews.csv --text review --label label --out data/reviews"""
UNSET = None
FORCE = "Replace the artifact that stands at --out; it stays until the new one is whole."
NAMES = {*COMMANDS, *OTHER_NAMES}
HYPHEN = "./-"
PIPE_WIDTH = 160
DIGEST_WIDTH, GRID_PADDING = 64, 4
"""A lone hyphen, which cyclopts takes for an option, as the same path; a flag that is no path gets its hyphen back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 2 the user's mistake, 75 busy, 143 stopped, 1 ours."""
    given = sys.argv[1:] if arguments is None else arguments
    tokens = _usual([HYPHEN if token == "-" else token for token in given])
    # Before the log and the errors are given a stream to go to.
    mend_streams()
    log_to_stderr()
    try:
        with sigterm_raises():
            return _run(tokens)
    finally:
        release_output()


def _usual(tokens: list[str]) -> list[str]:
    """Return ``help``, ``help VERB`` and ``version``, which other programs have as commands, as the flags they are."""
    match tokens:
        case ["version"]:
            return ["--version"]
        case ["help", *verb]:
            return [*verb, "--help"]
    return tokens


def _run(tokens: Sequence[str]) -> int:
    try:
        with contextlib.nullcontext() if _calls_verb(tokens) else saying():
            result = build_app(tokens)(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        # The hint names the command that there is: import is called adopt.
        command = "".join(f"{OTHER_NAMES.get(token, token)} " for token in tokens[:1] if token in NAMES)
        old = next((f"{key} is now {now}" for key, now in OLD_KEYS.items() if key in tokens), None)
        complain(f"{_named_as_written(error)}\nhint: {old or f'yanmo {command}--help'}", is_error=True)
        return 2
    except (YanmoError, SigtermError) as error:
        return _print_error(error.as_stopped() if isinstance(error, SigtermError) else error)
    except KeyboardInterrupt:
        complain("Stopped.")
        # 128 and the number of SIGINT, as shells have it.
        return 130
    except NoReaderError:
        return 0
    except Exception as error:  # noqa: BLE001 - the one place where what nobody expected is said
        return _print_unexpected(error)
    # Help and version return what they have shown.
    return result if isinstance(result, int) else 0


def _named_as_written(error: CycloptsError) -> str:
    """Return a parser's message; inputs are named as the usage line has them, and not as flags."""
    argument = getattr(error, "argument", None)
    if argument is None or argument.field_info.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        return str(error)
    place = argument.name.removeprefix("--").upper()
    if isinstance(error, ArgumentOrderError):
        named = [one.name for one in error.prior_positional_or_keyword_supplied_as_keyword_arguments]
        places = ", ".join(name.removeprefix("--").upper() for name in named)
        return (
            f"{error.token} stands at the place of {place}, behind that of {places}, which has its name: "
            f"{', '.join(named)}. Give both by place, or both by name."
        )
    return str(error).replace(argument.name, place, 1) if isinstance(error, MissingArgumentError) else str(error)


def _calls_verb(tokens: Sequence[str]) -> bool:
    """Return whether a verb is called, which looks after its own errors, or something is shown, as help is."""
    return bool(tokens) and tokens[0] in NAMES and not {"--help", "-h"} & set(tokens)


def _print_error(error: YanmoError) -> int:
    complain(str(error), is_error=True)
    return error.exit_code


def _print_unexpected(error: Exception) -> int:
    """Say that this is our mistake; the traceback is for those who ask for it."""
    if os.environ.get("YANMO_DEBUG"):
        traceback.print_exception(error)
    complain(
        f"Internal error, {type(error).__name__}: {error}\n"
        "hint: This is our mistake. Run it again with YANMO_DEBUG=1 and report what it prints.",
        is_error=True,
    )
    return InternalError.exit_code


def build_app(tokens: Sequence[str] | None = None) -> App:
    """Return the command line.

    Args:
        tokens: The arguments. Only the command they name is imported, so that help stays fast; None imports all of
            them, as shell completion needs.
    """
    app = App(name="yanmo", help=HELP, version=_version, help_format="plaintext", group_commands="Commands")
    named = {token for token in tokens or () if token in COMMANDS}
    wants_all = tokens is None or any(token.startswith("--install-completion") for token in tokens)
    for name, command in COMMANDS.items():
        function = _command(name) if wants_all or name in named else _placeholder(command.summary)
        app.command(function, name=name)
    app.register_install_completion_command()
    return app


def _version() -> str:
    from importlib.metadata import version

    return version("yanmo")


def _placeholder(summary: str) -> Any:
    def command() -> None:
        raise NotImplementedError

    command.__doc__ = summary
    return command


def _command(name: str) -> Any:
    """Return a function with the flags of a verb, which cyclopts reads."""
    # Imported here: the help of all commands loads no data library.
    from yanmo.offline import own_folders
    from yanmo.verbs.signature import get_verb

    verb = get_verb(name)

    @own_folders()
    def command(*positional: Any, **named: Any) -> int:
        as_json, is_forced = named.pop("json", False), named.pop("force", False)
        given = inspect.Signature(parameters).bind(*positional, **named).arguments
        inputs = [given.pop(one.name) for one in verb.inputs if not one.is_optional]
        values = {key: _flatten(value) for key, value in given.items() if value is not UNSET}
        if verb.can_print and not as_json and "out" not in values:
            for lines in verb.lines(*inputs, **values):
                say(lines)
            return 0
        if verb.tells_ready and as_json:
            values["when_ready"] = _print_json
        if is_forced and values.get("out"):
            values["effects"] = _replacing(verb, values["out"], [*inputs, *given.values()])
        # What was not given is left out of ``values``: defaults stand in the config and nowhere else.
        result = verb(*inputs, **values)
        if not worker_rank():
            _print_result(name, result, as_json=as_json)
            # For people alone: a log, or another program, has no use for advice.
            if sys.stderr.isatty() and not as_json and (path := getattr(result, "path", None)):
                names = [one.name for one in verb.inputs if not one.is_optional]
                _print_next(name, {**dict(zip(names, inputs, strict=True)), "out": path})
        return 0

    # cyclopts reads flags off a signature, so the verb's inputs and the fields of its config are made one.
    parameters = _parameters(verb)
    flags = [_keyword("json", bool, default=False, text="Print one JSON object on standard output.", negative="")]
    if verb.has_out and verb.takes_effects:
        flags.append(_keyword("force", bool, default=False, text=FORCE, negative=""))
    command.__signature__ = inspect.Signature([*parameters, *flags])  # type: ignore[attr-defined]
    command.__doc__ = verb.help
    return command


def _replacing(verb: Verb, out: Path, given: Sequence[Any]) -> Effects:
    """Return the effects of a call that may replace the artifact at ``out``; what is no artifact is never replaced.

    Raises:
        ConfigError: The artifact is what the call is made of.
    """
    from yanmo.artifacts.effects import Effects
    from yanmo.artifacts.placing import is_artifact
    from yanmo.paths import as_address

    flat = [one for value in given for one in (value if isinstance(value, list) else [value])]
    paths, place = [one.resolve() for one in flat if isinstance(one, Path) and one is not out], out.resolve()
    if any(place in (path, *path.parents) for path in paths):
        raise ConfigError(
            f"{verb.name} would replace {as_address(out) or out}, which it reads.", hint="Choose another --out."
        )
    # What stands at an address is looked at by whoever writes there.
    return Effects(replace=is_artifact(out) or as_address(out) is not None)


def _parameters(verb: Verb) -> list[inspect.Parameter]:
    required = [_input_parameter(one) for one in verb.inputs if not one.is_optional]
    optional = [_optional_input(one) for one in verb.inputs if one.is_optional]
    fields = [
        _keyword(
            name,
            _optional(field.annotation),
            text=field.description or "",
            default_text=_shown(field.default),
        )
        for name, field in verb.config_class.model_fields.items()
    ]
    return [*required, *_out_parameter(verb), *optional, *fields]


def _input_parameter(one: Input) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    what = f"The {one.wanted} folder." if one.is_artifact else "The raw file, or files." if one.is_many else "The path."
    hint: Any = list[Path] if one.is_many else Path
    return inspect.Parameter(
        one.name, kind, annotation=Annotated[hint, Parameter(help=what, consume_multiple=True, negative="")]
    )


def _optional_input(one: Input) -> inspect.Parameter:
    what = f"A {one.wanted} folder." if one.is_artifact else "Files or folders." if one.is_many else "A file or folder."
    return _keyword(one.name, list[Path] | None if one.is_many else Path | None, text=what, takes_several=one.is_many)


def _out_parameter(verb: Verb) -> list[inspect.Parameter]:
    if not verb.has_out:
        return []
    if verb.needs_out:
        return [_keyword("out", Path, default=inspect.Parameter.empty, text="Where the result appears.")]
    return [_keyword("out", Path | None, text="Where the result appears; without it, it is printed.")]


def _keyword(
    name: str,
    hint: Any,
    *,
    text: str,
    default: Any = UNSET,
    default_text: str | None = None,
    negative: str | None = None,
    takes_several: bool = False,
) -> inspect.Parameter:
    shown: Any = (lambda _: default_text) if default_text is not None else False
    parameter = Parameter(
        help=text, show_default=shown, negative_iterable="", negative=negative, consume_multiple=takes_several or None
    )
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[hint, parameter]
    )


def _optional(hint: Any) -> Any:
    """Return the type of a flag that may be left out; tuples become lists, which repeat or hold commas."""
    if typing.get_origin(hint) is tuple:
        arguments = typing.get_args(hint)
        return list[str] | None if Ellipsis in arguments else hint | None
    return hint | None


def _shown(default: Any) -> str | None:
    # By its name: importing pydantic at the top of this module would make the help of all commands slow.
    if default is None or repr(default) == "PydanticUndefined":
        return None
    return ",".join(map(str, default)) if isinstance(default, tuple) else str(default)


def _flatten(value: Any) -> Any:
    if value == HYPHEN:
        return "-"
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return tuple(part for one in value for part in _split_list(one) if part)
    return value


def _split_list(value: str) -> list[str]:
    return [value] if "=" in value else value.split(",")  # an assignment, as of --set, may hold commas of its own


def _print_result(name: str, result: Any, *, as_json: bool) -> None:
    """Print what a verb returns; where that cannot be done, what it has made is there all the same."""
    if result is None:
        return
    try:
        (_print_json if as_json else _print_summary)(result.summary())
    except OutputError as error:
        if COMMANDS[name].only_tells or getattr(result, "path", None) is None:
            raise
        complain(f"{name} is done, but what it has to tell is lost. {error}", is_error=True)


def _print_next(name: str, given: dict[str, Any]) -> None:
    """Say which command usually follows a verb."""
    words = COMMANDS[name].usual_next
    if words:
        quoted = {key: shlex.quote(str(value)) for key, value in given.items()}
        complain(f"next: yanmo {words.format_map(quoted)}")


def _print_json(summary: dict[str, Any]) -> None:
    # Other programs read this, and NaN is no JSON.
    say(json.dumps(summary, ensure_ascii=not is_unicode(), allow_nan=False))


def _print_summary(summary: dict[str, Any]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    tables = {key: rows for key, rows in summary.items() if _is_table(rows)}
    grid = Table(box=None, show_header=False)
    grid.add_column(no_wrap=True, style="bold")
    grid.add_column(overflow="fold")
    for key, value in summary.items():
        if key not in tables:
            grid.add_row(_text(key), _text(value))
    drawn = [grid]
    for rows in tables.values():
        table = Table(box=box.SIMPLE_HEAD)
        for column in rows[0]:
            table.add_column(_text(column), justify="left" if isinstance(rows[0][column], str) else "right")
        for row in rows:
            table.add_row(*map(_text, row.values()))
        drawn.append(table)
    console = Console()
    # A file and a pipe have longer lines than the 80 characters that are taken for them; who says a width gets it.
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else PIPE_WIDTH
    # A digest on two lines cannot be copied.
    words = [len(word) for key, value in summary.items() if key not in tables for word in _cell(value).split()]
    least = max(map(len, summary), default=0) + min(max(words, default=0), DIGEST_WIDTH) + GRID_PADDING
    with saying():
        Console(width=max(width, least)).print(*drawn)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value)


def _text(value: Any) -> Text:
    """Return a value as it stands in a cell: nothing in it is a command to the terminal or to rich."""
    from rich.text import Text

    return Text(printable(_cell(value), kept=""))


def _cell(value: Any) -> str:
    if isinstance(value, float):
        # Nobody reads 7.398e+04 as 73,980.
        return f"{value:,.0f}" if 10_000 <= abs(value) < 1e15 else f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return _interval(value)
    return "–" if value is None else str(value)


def _interval(values: Iterable[Any]) -> str:
    return f"[{', '.join(map(_cell, values))}]"


if __name__ == "__main__":
    sys.exit(main())
