"""The pages and what they load, as files of the package; they ask nobody but this service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import cache
from importlib.resources import files

from yanmo.serving.exchange import ENCODER, Reply, RouteCall
from yanmo.translations import sections

__all__ = ["UNKEPT", "chinese_texts", "page", "read_static", "static"]

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
PAGE_SECTIONS = ("pages", "api", "measures")
# Asked for anew each time: another version of the package has other files under the same names.
UNKEPT = [(b"x-content-type-options", b"nosniff"), (b"cache-control", b"no-cache")]


def page(name: str) -> Callable[[RouteCall], Awaitable[Reply]]:
    """Return a route that answers a page, under a strict policy of what it may load."""
    return _file(name, [(b"content-security-policy", POLICY), (b"referrer-policy", b"no-referrer")])


def static(name: str) -> Callable[[RouteCall], Awaitable[Reply]]:
    """Return a route that answers a file."""
    return _file(name, [])


def _file(name: str, headers: list[tuple[bytes, bytes]]) -> Callable[[RouteCall], Awaitable[Reply]]:
    async def answer(_: RouteCall) -> Reply:
        kind = (b"content-type", TYPES[name.rpartition(".")[2]])
        return Reply(read_static(name), [kind, *UNKEPT, *headers])

    return answer


async def chinese_texts(_: RouteCall) -> Reply:
    """Answer what the pages say in Chinese, as a script."""
    return Reply(_chinese_script(), [(b"content-type", TYPES["js"]), *UNKEPT])


@cache
def _chinese_script() -> bytes:
    texts = {english: chinese for name in PAGE_SECTIONS for english, chinese in sections()[name].items()}
    return b"const CHINESE = %s;\n" % ENCODER.encode(texts)


@cache
def read_static(name: str) -> bytes:
    """Return a file of the package."""
    return files("yanmo.serving").joinpath("static", name).read_bytes()
