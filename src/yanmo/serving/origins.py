"""Which pages may ask: the service's own, also behind a proxy, and those of origins that were given; it knows no route.

Source: WHATWG Fetch, "HTTP extensions", https://fetch.spec.whatwg.org/#http-cors-protocol.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping

from yanmo.serving.hosts import HostNames
from yanmo.serving.problems import Problem

__all__ = ["Origins", "check_origin_form", "check_proxy_form", "preflight_headers"]

FORM = re.compile(r"^(https?)://(\[[0-9a-f:.]+\]|[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?)(?::(\d{1,5}))?$")
DEFAULT_PORTS = {"http": "80", "https": "443"}
EXPOSED = b"server-timing, x-request-id, retry-after"
ASKED = b"authorization, content-type, x-api-key, x-request-id, x-timeout-ms"
KEPT_SECONDS = b"600"
"""So long a browser need not ask again before a request."""

Headers = list[tuple[bytes, bytes]]


class Origins:
    """The rules of one service.

    Args:
        given: Origins whose pages may ask, such as ``https://app.example.com``.
        proxies: Addresses and networks of proxies whose forwarded headers are believed.
        names: Under which the service is reached.
    """

    def __init__(self, given: Iterable[str], proxies: Iterable[str], names: HostNames) -> None:
        self._given = frozenset(one.encode() for one in given)
        self._proxies = tuple(ipaddress.ip_network(one) for one in proxies)
        self._names = names

    def check(self, headers: Mapping[bytes, bytes], client: tuple[str, int] | None) -> Headers:
        """Refuse a request by a page of another origin.

        Args:
            headers: Of the request.
            client: The address and port of who is connected.

        Returns:
            The headers that let the page of an origin that was given read the answer.

        Raises:
            Problem: As said, or a proxy that is believed names a host that is none of the service's.
        """
        origin = headers.get(b"origin")
        if origin in self._given:
            return [
                (b"access-control-allow-origin", origin),
                (b"access-control-expose-headers", EXPOSED),
                (b"vary", b"origin"),
            ]
        if origin is not None and origin.partition(b"://")[2].lower() not in self._own(headers, client):
            raise Problem("wrong_origin", "Only pages of the service itself, and those that --cors gives, may ask.")
        # A link on another page may lead here, which is navigation; its scripts may not ask.
        is_foreign = headers.get(b"sec-fetch-site", b"none") not in (b"none", b"same-origin")
        if is_foreign and headers.get(b"sec-fetch-mode") != b"navigate":
            raise Problem("wrong_origin", "Only pages of the service itself, and those that --cors gives, may ask.")
        return []

    def _own(self, headers: Mapping[bytes, bytes], client: tuple[str, int] | None) -> tuple[bytes, ...]:
        """Return the hosts, in lower case, under which a page of the service may have been loaded."""
        forwarded = headers.get(b"x-forwarded-host")
        if forwarded is None or client is None or not self._is_believed(client[0]):
            return (headers.get(b"host", b"").lower(),)
        # Of several the last one was written by the proxy that is connected, and only that is believed.
        host = forwarded.rpartition(b",")[2].strip()
        if not self._names.has(host):
            raise Problem("wrong_host", "The proxy is asked under a name that --hosts does not give.")
        port = headers.get(b"x-forwarded-port", b"").rpartition(b",")[2].strip()
        return host.lower(), host.lower() + b":" + port

    def _is_believed(self, address: str) -> bool:
        found = ipaddress.ip_address(address)
        return any(found in network for network in self._proxies)


def preflight_headers(method: str) -> Headers:
    """Return what a browser wants to know before it lets a page of another origin ask."""
    return [
        (b"access-control-allow-methods", method.encode()),
        (b"access-control-allow-headers", ASKED),
        (b"access-control-max-age", KEPT_SECONDS),
    ]


def check_origin_form(origin: str) -> None:
    """Refuse what no browser can send as an origin.

    Raises:
        ValueError: With the form that is allowed.
    """
    match = FORM.match(origin)
    if match is None or match[4] == DEFAULT_PORTS[match[1]]:
        raise ValueError(
            "origins as browsers send them, such as https://app.example.com or http://localhost:3000: in lower case, "
            "without path, and with a port only where it is not the usual one"
        )


def check_proxy_form(address: str) -> None:
    """Refuse what is no address and no network of addresses.

    Raises:
        ValueError: With the form that is allowed.
    """
    try:
        ipaddress.ip_network(address)
    except ValueError:
        raise ValueError("addresses, such as 127.0.0.1, or networks, such as 10.0.0.0/8") from None
