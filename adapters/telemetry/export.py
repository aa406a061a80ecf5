"""Exporters: which the environment asks for, and how an outage of theirs is told, once.

Here and in the modules that import OpenTelemetry nothing is imported before telemetry is asked for.
"""

from __future__ import annotations

import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import structlog
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Callable

    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from adapters.telemetry.environment import Exporter, OtlpTarget

#: What Temporal's native part calls itself where it exports metrics to the same place.
_NATIVE_EXPORTER = "::telemetry::otel::metric_export"

_log = structlog.get_logger(__name__)


class Outage:
    """Says once that nothing arrives, and once that it does again."""

    def __init__(self, *, silent: bool = False) -> None:
        self._silent = silent
        self._lock = threading.Lock()
        self._out = False

    def watch(self, exporter: Any, endpoint: str) -> None:
        """Looks at each answer of an exporter (of spans or of metrics)."""
        export: Callable[..., Any] = exporter.export

        def watched(*arguments: Any, **keywords: Any) -> Any:
            result = export(*arguments, **keywords)
            self._saw(endpoint, good=result.name == "SUCCESS")
            return result

        exporter.export = watched

    def _saw(self, endpoint: str, *, good: bool) -> None:
        with self._lock:
            changed, self._out = self._out is good, not good
        if self._silent:
            return
        if changed and good:
            _log.info("telemetry_exported_again", endpoint=endpoint)
        elif changed:
            _log.warning(
                "telemetry_not_exported",
                endpoint=endpoint,
                hint="nothing listens there, or it refuses us; runs go on as ever, and this is "
                "not said again before it works",
            )


class _NoNativeExporter(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        return not record.name.endswith(_NATIVE_EXPORTER)


_NO_NATIVE_EXPORTER = _NoNativeExporter()


def quiet_exporters() -> None:
    """Keeps the exporters from reporting each try: ``Outage`` says the same in one line."""
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
    # The logger that the native part's messages are forwarded to (``adapters.temporal.runtime``).
    logging.getLogger("temporalio.core").addFilter(_NO_NATIVE_EXPORTER)


def span_exporter(kind: Exporter, target: OtlpTarget | None) -> SpanExporter:
    """The exporter of spans. Endpoint, headers, TLS and timeouts it reads by itself."""
    if target is None or kind == "console":
        from opentelemetry.sdk.trace.export import ConsoleSpanExporter  # noqa: PLC0415

        # Commands write their results to stdout.
        return ConsoleSpanExporter(out=sys.stderr)
    if target.http:
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as http  # noqa: PLC0415

        return http.OTLPSpanExporter()
    from opentelemetry.exporter.otlp.proto.grpc import trace_exporter as grpc  # noqa: PLC0415

    return grpc.OTLPSpanExporter()


def metric_exporter(kind: Exporter, target: OtlpTarget | None) -> MetricExporter:
    """The exporter of metrics."""
    if target is None or kind == "console":
        from opentelemetry.sdk.metrics.export import ConsoleMetricExporter  # noqa: PLC0415

        return ConsoleMetricExporter(out=sys.stderr)
    if target.http:
        from opentelemetry.exporter.otlp.proto.http import metric_exporter as http  # noqa: PLC0415

        return http.OTLPMetricExporter()
    from opentelemetry.exporter.otlp.proto.grpc import metric_exporter as grpc  # noqa: PLC0415

    return grpc.OTLPMetricExporter()
