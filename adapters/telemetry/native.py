"""The metrics of Temporal's own SDK, which its native part exports by itself."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.runtime import OpenTelemetryConfig

if TYPE_CHECKING:
    from adapters.telemetry.environment import TelemetrySettings


def native_metrics(settings: TelemetrySettings) -> OpenTelemetryConfig | None:
    """What Temporal's runtime is told; None where metrics don't go over OTLP."""
    target = settings.metrics_target
    if target is None:
        return None
    return OpenTelemetryConfig(
        url=target.endpoint,
        headers=target.headers,
        http=target.http,
        metric_periodicity=timedelta(milliseconds=settings.interval),
        durations_as_seconds=True,
    )
