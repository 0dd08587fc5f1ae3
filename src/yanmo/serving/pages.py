"""The pages and what they load, as files of the package; they ask nobody but this service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from yanmo.serving.exchange import Reply, RouteCall

__all__ = ["openapi_json", "page", "static"]

POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    b"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
TYPES = {
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "json": b"application/json",
}
# Asked for anew each time: another version of the package has other files under the same names.
UNKEPT = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache")]
SERVER = b'"url": "/"'
"""Stands in the document once."""


def page(name: str) -> Callable[[RouteCall], Awaitable[Reply]]:
    """Return a route that answers a page, under a strict policy of what it may load."""
    return _file(name, [(b"content-security-policy", POLICY), (b"referrer-policy", b"no-referrer")])


async def openapi_json(call: RouteCall) -> Reply:
    """Answer the document of the API, with the prefix under which a proxy shows the service."""
    content = _read("openapi.json").replace(SERVER, SERVER.replace(b"/", call.service.config.root_path.encode() + b"/"))
    return Reply(content, [(b"content-type", TYPES["json"]), *UNKEPT])


def static(name: str) -> Callable[[RouteCall], Awaitable[Reply]]:
    """Return a route that answers a file."""
    return _file(name, [])


def _file(name: str, headers: list[tuple[bytes, bytes]]) -> Callable[[RouteCall], Awaitable[Reply]]:
    async def answer(_: RouteCall) -> Reply:
        kind = (b"content-type", TYPES[name.rpartition(".")[2]])
        return Reply(_read(name), [kind, *UNKEPT, *headers])

    return answer


@cache
def _read(name: str) -> bytes:
    return files("yanmo.serving").joinpath("static", name).read_bytes()
