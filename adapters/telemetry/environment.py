"""What the standard environment variables ask for. Imports nothing of OpenTelemetry.

The variables are those of https://opentelemetry.io/docs/specs/otel/ (its pages on the environment
and on OTLP's exporter). Here stands what decides whether there is telemetry at all, and what
Temporal's native part needs; sampling, batches, resources and what else an exporter can be told are
read by OpenTelemetry's own SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal
from urllib.parse import unquote

from definitions.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Exporter = Literal["otlp", "console"]
Signal = Literal["TRACES", "METRICS"]

_PROTOCOLS = ("grpc", "http/protobuf")
_DEFAULT_INTERVAL = 60_000


@dataclass(frozen=True, slots=True)
class OtlpTarget:
    """Where one signal goes. ``headers`` are sent with each request."""

    http: bool
    endpoint: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What is exported, and how. None: that signal is off. ``interval`` is in milliseconds."""

    traces: Exporter | None = None
    metrics: Exporter | None = None
    traces_target: OtlpTarget | None = None
    metrics_target: OtlpTarget | None = None
    service_name: str = "steploom"
    interval: int = _DEFAULT_INTERVAL

    @property
    def on(self) -> bool:
        """Whether anything is exported."""
        return self.traces is not None or self.metrics is not None


def read_environment(environment: Mapping[str, str]) -> TelemetrySettings:
    """What the variables ask for; nothing, where none of them is set.

    Raises:
        InvalidInputError: A variable has a value that we cannot do.
    """
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return TelemetrySettings()
    traces, metrics = _exporter(environment, "TRACES"), _exporter(environment, "METRICS")
    if traces is None and metrics is None:
        return TelemetrySettings()
    return TelemetrySettings(
        traces=traces,
        metrics=metrics,
        traces_target=_target(environment, "TRACES") if traces == "otlp" else None,
        metrics_target=_target(environment, "METRICS") if metrics == "otlp" else None,
        service_name=_service_name(environment),
        interval=_interval(environment),
    )


def _exporter(environment: Mapping[str, str], signal: Signal) -> Exporter | None:
    name = f"OTEL_{signal}_EXPORTER"
    match environment.get(name, "").strip().lower():
        case "none":
            return None
        case "otlp":
            return "otlp"
        case "console":
            return "console"
        case "":
            asked = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
            return "otlp" if any(environment.get(one, "").strip() for one in asked) else None
        case other:
            raise InvalidInputError(f"{name} is {other!r:.40}", hint="use otlp, console or none")


def _target(environment: Mapping[str, str], signal: Signal) -> OtlpTarget:
    # No default of one's own: the specification's.
    protocol = _for_signal(environment, signal, "PROTOCOL") or "http/protobuf"
    if protocol not in _PROTOCOLS:
        raise InvalidInputError(
            f"OTEL_EXPORTER_OTLP_PROTOCOL is {protocol!r:.40}",
            hint=f"use one of {', '.join(_PROTOCOLS)}",
        )
    http = protocol == "http/protobuf"
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT", "").strip()
    shared = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT", "").strip()
    if http:
        endpoint = own or f"{(shared or 'http://localhost:4318').rstrip('/')}/v1/{signal.lower()}"
    else:
        endpoint = own or shared or "http://localhost:4317"
    return OtlpTarget(http, endpoint, _headers(_for_signal(environment, signal, "HEADERS")))


def _for_signal(environment: Mapping[str, str], signal: Signal, what: str) -> str:
    own = environment.get(f"OTEL_EXPORTER_OTLP_{signal}_{what}", "").strip()
    return own or environment.get(f"OTEL_EXPORTER_OTLP_{what}", "").strip()


def _headers(text: str) -> dict[str, str]:
    pairs = (entry.partition("=") for entry in text.split(",") if "=" in entry)
    return {unquote(name.strip()).lower(): unquote(value.strip()) for name, _, value in pairs}


def _service_name(environment: Mapping[str, str]) -> str:
    name = environment.get("OTEL_SERVICE_NAME", "").strip()
    known = _headers(environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    return name or known.get("service.name") or "steploom"


def _interval(environment: Mapping[str, str]) -> int:
    given = environment.get("OTEL_METRIC_EXPORT_INTERVAL", "").strip()
    if not given:
        return _DEFAULT_INTERVAL
    if not given.isdecimal() or not int(given):
        raise InvalidInputError(
            f"OTEL_METRIC_EXPORT_INTERVAL is {given!r:.40}", hint="give milliseconds"
        )
    return int(given)
