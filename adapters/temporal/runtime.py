"""The SDK's native part, told to log like the rest of the process."""

from __future__ import annotations

import logging

from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    OpenTelemetryConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)


def forward_native_logs(
    metrics: OpenTelemetryConfig | None = None, service_name: str = "steploom"
) -> None:
    """Sends the native part's warnings through Python's logging instead of straight to stderr.

    Its metrics go where ``metrics`` says, under the service's name.

    Call it before the first connection of the process: the runtime is made once.
    """
    forwarding = LogForwardingConfig(logger=logging.getLogger("temporalio.core"))
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(
        logging=LoggingConfig(filter=levels, forwarding=forwarding),
        metrics=metrics,
        global_tags={"service.name": service_name},
        attach_service_name=False,
    )
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)
