"""The application: it finds the route, asks who may, and turns whatever goes wrong into a problem.

It is bare ASGI: the body's bytes go to msgspec, the answer's bytes to the server, and no request or response object of
a framework stands between.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time

from yanmo.serving.access import NEEDS_NO_KEY, Access
from yanmo.serving.early_refusals import EarlyRefusals
from yanmo.serving.exchange import ClientGoneError, Observer, Receive, Reply, RequestIds, RouteCall, Scope, Send
from yanmo.serving.logs import AccessLog
from yanmo.serving.origins import preflight_headers
from yanmo.serving.problems import Problem
from yanmo.serving.routes import HEALTH_PATHS, ROUTES, Route
from yanmo.serving.service import Service
from yanmo.serving.tracing import find_tracing

__all__ = ["App"]

logger = logging.getLogger(__name__)

# Headers that decide who asks what; of two that differ, a proxy in front may have read the other one.
UNIQUE = (b"host", b"origin", b"authorization", b"x-api-key", b"content-type", b"content-encoding", b"x-timeout-ms")
NAMED = re.compile(
    r"^(?P<root>/v1/models/|/v2/models/|/admin/models/)(?P<name>[^/]+?)"
    r"(/versions/(?P<version>[^/]+))?(?P<rest>/predict|:predict|/infer|/ready)?$"
)


class App:
    """The ASGI application of a service.

    Args:
        service: Who answers.
        access: Who may ask.
        admin_port: The port on which admin routes are found, and no others; None for all on one port.
    """

    def __init__(self, service: Service, access: Access, *, admin_port: int | None = None) -> None:
        self._service = service
        self._access = access
        self._admin_port = admin_port
        self._root_path = service.config.root_path
        log = AccessLog() if service.config.access_log else None
        self._observers: list[Observer] = [one for one in (log, find_tracing()) if one is not None]
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        begin = time.perf_counter()
        call = RouteCall(self._service, scope, receive, self._ids)
        try:
            reply = await self._answer(scope, call)
        except ClientGoneError:
            self._count(call, call.connection.told, begin)
            return
        except Problem as problem:
            reply = self._refuse(call, problem)
        # uvicorn cancels what is not answered in the time of draining; its client is told so.
        except asyncio.CancelledError:
            reply = self._refuse(call, Problem("not_ready", "The service is shutting down."))
        except Exception:
            logger.exception("Request %s failed.", call.request_id.decode())
            reply = self._refuse(call, Problem("internal_error", "The error is in the service's log."))
        reply.headers.append((b"x-request-id", call.request_id))
        reply.headers.extend(call.allowing)
        await reply.send(send)
        self._count(call, reply.status, begin)

    async def _answer(self, scope: Scope, call: RouteCall) -> Reply:
        """Return the answer to a request.

        Raises:
            Problem: It may not ask this, or cannot be answered.
            ClientGoneError: Nobody waits for the answer any more.
        """
        # The mapping is shorter only where a name came twice, so that other requests pay nothing.
        if len(call.headers) < len(scope["headers"]):
            _check_unique([name for name, _ in scope["headers"]])
        path: str = scope["path"]
        if self._root_path and path.startswith(f"{self._root_path}/"):
            path = path.removeprefix(self._root_path)
        if path not in HEALTH_PATHS:
            self._access.check_host(call.headers)
        if path and path == self._root_path:
            # The links of its pages lead on from a path that ends with a slash.
            return Reply(b"", [(b"location", f"{path}/".encode())], 308)
        call.allowing = self._access.origins.check(call.headers, scope["client"])
        method = scope["method"]
        wanted = call.headers.get(b"access-control-request-method") if call.allowing and method == "OPTIONS" else None
        route = self._find(scope, call, path, wanted.decode("latin-1") if wanted else method)
        call.route_path, call.refuse = route.path, route.refuse
        if call.allowing and route.need == "admin":
            raise Problem("wrong_origin", "Only pages of the service itself may ask this.")
        if wanted:
            return Reply(b"", preflight_headers(route.method), 204)
        call.key = self._access.admit(call.headers, route.need)
        return await route.answer(call)

    def early_refusals(self) -> EarlyRefusals:
        """Return what refuses by the same rules, before this is called."""
        return EarlyRefusals(self._service, self._access, self._ids, self._observers, admin_port=self._admin_port)

    def _find(self, scope: Scope, call: RouteCall, path: str, method: str) -> Route:
        """Return the route of a path, without the prefix of a proxy, and a method.

        Raises:
            Problem: There is none, or not with this method.
        """
        found = ROUTES.get(path)
        if found is None:
            match = NAMED.match(path)
            if match is not None:
                call.name, call.version = match["name"], match["version"]
                version = "/versions/{version}" if call.version else ""
                found = ROUTES.get(f"{match['root']}{{name}}{version}{match['rest'] or ''}")
        if found is not None and self._admin_port is not None:
            found = {method: route for method, route in found.items() if self._is_here(scope, route)}
        if not found:
            raise Problem("not_found", "GET /openapi.json lists the routes.")
        # uvicorn leaves out the body of an answer to HEAD.
        route = found.get("GET" if method == "HEAD" else method)
        if route is None:
            allowed = ", ".join([*found, *(["HEAD"] if "GET" in found else [])])
            raise Problem(
                "method_not_allowed", "The methods are: {methods}.", headers={"allow": allowed}, methods=allowed
            )
        return route

    def _is_here(self, scope: Scope, route: Route) -> bool:
        is_admin_port = scope["server"][1] == self._admin_port
        return route.need in NEEDS_NO_KEY or (route.need == "admin") == is_admin_port

    def _refuse(self, call: RouteCall, problem: Problem) -> Reply:
        self._service.counters.add_refused(problem.code)
        problem.speak(call.language)
        return call.refuse(problem)

    def _count(self, call: RouteCall, status: int, begin: float) -> None:
        seconds = time.perf_counter() - begin
        self._service.counters.add_request(call.route_path, status, seconds)
        for observer in self._observers:
            observer.write(call, call.route_path, status, seconds)


def _check_unique(names: list[bytes]) -> None:
    """Refuse a header that may be read in two ways.

    Raises:
        Problem: One is there twice.
    """
    twice = next((name for name in UNIQUE if names.count(name) > 1), None)
    if twice is not None:
        raise Problem("bad_http", "Give the header '{header}' once.", header=twice.decode())
