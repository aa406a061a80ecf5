"""The door to telemetry: imports OpenTelemetry only where the environment asks for it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from adapters.telemetry.environment import read_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.client import Interceptor

    from adapters.telemetry.providers import Providers

_log = structlog.get_logger(__name__)


def open_telemetry(environment: Mapping[str, str]) -> Providers | None:
    """What the environment asks for; None where it asks for nothing, or it is not installed.

    Raises:
        InvalidInputError: A variable has a value that we cannot do.
    """
    settings = read_environment(environment)
    if not settings.on:
        return None
    try:
        from adapters.telemetry.providers import open_providers  # noqa: PLC0415 (the point of it)
    except ModuleNotFoundError as error:
        _log.warning(
            "telemetry_not_installed",
            missing=error.name,
            hint="install steploom's extra `telemetry`, or unset the OTEL_* variables",
        )
        return None
    return open_providers(settings)


def open_client_telemetry(environment: Mapping[str, str]) -> tuple[Providers, Interceptor] | None:
    """For a process that only asks Temporal for things: traces alone, and what makes them.

    Raises:
        InvalidInputError: A variable has a value that we cannot do.
    """
    settings = replace(read_environment(environment), metrics=None, metrics_target=None)
    if not settings.on:
        return None
    try:
        from adapters.telemetry.client import TraceClient, take_up_environment  # noqa: PLC0415
        from adapters.telemetry.providers import open_providers  # noqa: PLC0415
    except ModuleNotFoundError:
        # The worker says so; a command has an answer to give.
        return None
    providers = open_providers(settings, silent=True)
    take_up_environment(environment)
    return providers, TraceClient(providers.tracer_provider)
