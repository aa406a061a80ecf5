"""Spans for what a client asks of Temporal: the SDK's own, which begin a run's trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from opentelemetry import trace
from opentelemetry.context import attach, get_current
from opentelemetry.propagate import extract
from temporalio.client import Interceptor, OutboundInterceptor
from temporalio.contrib.opentelemetry import TracingInterceptor
from typing_extensions import override

from adapters.telemetry import names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import TracerProvider


class TraceClient(Interceptor):
    """The SDK's interceptor for clients, and not for workers: there we make spans of our own."""

    def __init__(self, provider: TracerProvider) -> None:
        self._interceptor = TracingInterceptor(provider.get_tracer(names.SCOPE))

    @override
    def intercept_client(self, next: OutboundInterceptor) -> OutboundInterceptor:
        """What is put around each call."""
        return self._interceptor.intercept_client(next)


def take_up_environment(environment: Mapping[str, str]) -> None:
    """Goes on with the trace that ``TRACEPARENT`` names, where nothing else has begun one."""
    if not trace.get_current_span().get_span_context().is_valid:
        carrier = {
            name: environment.get(name.upper(), "") for name in ("traceparent", "tracestate")
        }
        attach(extract(carrier, get_current()))
