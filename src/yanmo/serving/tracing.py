"""Spans for OpenTelemetry, where the process was started with it: ``opentelemetry-instrument yanmo serve …``.

Without its packages, or without a provider that records, there is nothing here to do.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

    from yanmo.serving.exchange import Observed

__all__ = ["Tracing", "find_tracing"]


class Tracing:
    """Makes one span a request, below the client's own where it sent a ``traceparent``."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def write(self, call: Observed, route: str, status: int, seconds: float) -> None:
        """Make the span of a request that has ended."""
        from opentelemetry.propagate import extract
        from opentelemetry.trace import SpanKind

        # traceparent and tracestate; latin-1 decodes whatever bytes a client sends.
        carrier = {
            name.decode(): value.decode("latin-1") for name, value in call.headers.items() if name[:5] == b"trace"
        }
        end = time.time_ns()
        span = self._tracer.start_span(
            route, extract(carrier), kind=SpanKind.SERVER, start_time=end - int(seconds * 1e9)
        )
        span.set_attribute("http.route", route)
        span.set_attribute("http.response.status_code", status)
        span.set_attribute("yanmo.request_id", call.request_id.decode())
        span.end(end)


def find_tracing() -> Tracing | None:
    """Return the maker of spans, or None where nobody records them."""
    # opentelemetry-instrument has loaded it before the service starts; nobody else pays for the import.
    if "opentelemetry.sdk.trace" not in sys.modules:
        return None
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    provider = trace.get_tracer_provider()
    return Tracing(provider.get_tracer("yanmo")) if isinstance(provider, TracerProvider) else None
