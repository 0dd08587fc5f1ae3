"""From a request's body to the wire type that a route reads, or the problem that says what is wrong with it."""

from __future__ import annotations

import functools
import re
from typing import Any, TypeVar

import msgspec

from yanmo.serving.exchange import RouteCall
from yanmo.serving.problems import Problem
from yanmo.serving.requests import check_unique_keys

__all__ = ["decode_body", "decode_bytes"]

BodyT = TypeVar("BodyT", bound=msgspec.Struct)
# The end of msgspec's messages, such as `$.stop[3]`; a key that the client made up is not repeated.
PLACE = re.compile(r"`\$\.([a-z_]+)")
BOUNDS = re.compile(r"^Expected `[a-z| ]+`(?: [<>=]+ -?[\d.]+)?")


async def decode_body(call: RouteCall, kind: type[BodyT]) -> BodyT:
    """Return the body of a request.

    Raises:
        Problem: It is none of its kind.
    """
    return decode_bytes(await call.read_json(call.service.config.max_body_bytes), kind)


def decode_bytes(content: bytes, kind: type[BodyT]) -> BodyT:
    """Return the body that some bytes are.

    Raises:
        Problem: They are none of its kind.
    """
    try:
        body: BodyT = _decoder(kind).decode(content)
    except msgspec.ValidationError as error:
        raise _explain(str(error), kind) from None
    except (ValueError, RecursionError):
        raise Problem("invalid_json", "Send one JSON object in UTF-8, without a byte order mark.") from None
    check_unique_keys(content)
    return body


@functools.cache
def _decoder(kind: type[msgspec.Struct]) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


def _explain(message: str, kind: type[msgspec.Struct]) -> Problem:
    if message.startswith("Object contains unknown field"):
        return Problem("unknown_key", "The keys are: {names}.", names=", ".join(kind.__struct_fields__))
    place, bounds = PLACE.search(message), BOUNDS.match(message)
    known = place[1] if place is not None and place[1] in kind.__struct_fields__ else None
    if known is None:
        return Problem(
            "wrong_type", "The body must be a JSON object with the keys that {kind} has.", kind=kind.__name__
        )
    if bounds is None:
        return Problem("wrong_type", "'{key}' has a value that it cannot have.", key=known)
    wanted = f"{bounds[0][0].lower()}{bounds[0][1:].replace('`', '')}"
    return Problem("wrong_type", "'{key}' has a value that it cannot have: {wanted}.", key=known, wanted=wanted)
