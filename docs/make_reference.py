"""Write docs/reference from the verbs' signatures and config fields, or check that it is up to date (``--check``)."""

import sys
import typing
from pathlib import Path
from types import UnionType
from typing import Any

from pydantic.fields import FieldInfo

from yanmo.verbs import COMMANDS
from yanmo.verbs.signature import Input, Verb, get_verb

REFERENCE = Path(__file__).parent / "reference"
NOTE = "<!-- Written by `make docs` from the source; change it there. -->\n"


def main() -> int:
    """Write the pages, or compare them and return 1 where they differ."""
    pages = {f"{name}.md": _page(get_verb(name)) for name in COMMANDS}
    pages["README.md"] = _index()
    if "--check" not in sys.argv:
        REFERENCE.mkdir(exist_ok=True)
        for name, text in pages.items():
            (REFERENCE / name).write_text(text, encoding="utf-8")
        return 0
    stale = [name for name, text in pages.items() if not _is_current(REFERENCE / name, text)]
    for name in stale:
        print(f"docs/reference/{name} is out of date: run `make docs`", file=sys.stderr)
    return 1 if stale else 0


def _is_current(file: Path, text: str) -> bool:
    return file.exists() and file.read_text(encoding="utf-8") == text


def _index() -> str:
    rows = "\n".join(f"| [{name}]({name}.md) | {command.summary} |" for name, command in COMMANDS.items())
    return f"{NOTE}# Reference\n\n| command | what it does |\n|---|---|\n{rows}\n"


def _page(verb: Verb) -> str:
    usage = " ".join(one.name.upper() for one in verb.inputs if not one.is_optional)
    out = "" if not verb.has_out else " --out FOLDER" if verb.needs_out else " [--out FOLDER]"
    force = " [--force]" if verb.has_out and verb.takes_effects else ""
    inputs = "".join(_input_row(one) for one in verb.inputs)
    fields = "".join(_field_row(name, field) for name, field in verb.config_class.model_fields.items())
    return (
        f"{NOTE}# {verb.name}\n\n{verb.help}\n\n"
        f"```\nyanmo {verb.name} {usage}{out} [--key value …] [--json]{force}\n```\n"
        + (f"\n| input | kind |\n|---|---|\n{inputs}" if inputs else "")
        + (f"\n| key | type | default | meaning |\n|---|---|---|---|\n{fields}" if fields else "")
    )


def _input_row(one: Input) -> str:
    kind = f"{one.wanted}{', any number' if one.is_many else ''}{', optional' if one.is_optional else ''}"
    return f"| `{one.name}` | {kind} |\n"


def _field_row(name: str, field: FieldInfo) -> str:
    default = "required" if field.is_required() else "" if field.default is None else f"`{field.default}`"
    text = (field.description or "").replace("\n", " ").replace("|", "\\|")
    limits = "".join(
        f" {type(one).__name__.lower()} {_limit(one)}" for one in field.metadata if _limit(one) is not None
    )
    return f"| `{name}` | {_type_name(field.annotation)}{limits} | {default} | {text} |\n"


def _limit(one: Any) -> Any:
    return next((getattr(one, key) for key in ("ge", "gt", "le", "lt") if hasattr(one, key)), None)


def _type_name(hint: Any) -> str:
    if isinstance(hint, UnionType):
        return " or ".join(_type_name(one) for one in typing.get_args(hint) if one is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        return ", ".join(f"`{one}`" for one in typing.get_args(hint))
    if typing.get_origin(hint) is tuple:
        return f"list of {_type_name(typing.get_args(hint)[0])}"
    return getattr(hint, "__name__", str(hint))


if __name__ == "__main__":
    sys.exit(main())
