"""What the OTEL_* variables turn on."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import structlog

from adapters.telemetry.environment import OtlpTarget, TelemetrySettings, read_environment
from adapters.telemetry.native import native_metrics
from adapters.telemetry.opening import open_client_telemetry, open_telemetry
from definitions.errors import InvalidInputError
from definitions.statuses import InstanceStatus
from tests.integration.facts import facts, flush, run_ref

_ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "payments", "OTEL_METRIC_EXPORT_INTERVAL": "1"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": " "},
        {**_ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**_ENDPOINT, "OTEL_TRACES_EXPORTER": "none", "OTEL_METRICS_EXPORTER": "None"},
    ],
)
def test_nothing_is_on_unless_asked_for(environment: dict[str, str]) -> None:
    """A name alone exports nothing, and what is disabled stays off."""
    assert read_environment(environment) == TelemetrySettings()
    assert open_telemetry(environment) is None
    assert open_client_telemetry(environment) is None


def test_an_endpoint_turns_both_signals_on() -> None:
    """Over HTTP unless something else is said, each signal at its own path."""
    settings = read_environment(_ENDPOINT)
    assert (settings.traces, settings.metrics, settings.on) == ("otlp", "otlp", True)
    assert settings.traces_target == OtlpTarget(True, "http://collector:4318/v1/traces", {})
    assert settings.metrics_target == OtlpTarget(True, "http://collector:4318/v1/metrics", {})
    assert (settings.service_name, settings.interval) == ("steploom", 60_000)


def test_each_signal_can_be_said_on_its_own() -> None:
    """What is said of one signal goes before what is said of all."""
    settings = read_environment(
        {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4317",
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc",
            "OTEL_METRICS_EXPORTER": "console",
        }
    )
    assert settings.traces_target == OtlpTarget(False, "http://traces:4317", {})
    assert (settings.metrics, settings.metrics_target) == ("console", None)
    assert native_metrics(settings) is None
    alone = read_environment({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces:4318/v1/traces"})
    assert (alone.traces, alone.metrics) == ("otlp", None)
    assert alone.traces_target is not None
    assert alone.traces_target.endpoint == "http://traces:4318/v1/traces"


@pytest.mark.parametrize(
    ("protocol", "endpoint"),
    [("grpc", "http://localhost:4317"), ("http/protobuf", "http://localhost:4318/v1/metrics")],
)
def test_temporals_metrics_go_to_the_same_place(protocol: str, endpoint: str) -> None:
    """Headers, interval and the specification's own endpoint included."""
    settings = read_environment(
        {
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
            "OTEL_EXPORTER_OTLP_HEADERS": "Authorization=Basic%20abc, x-team = a=b",
            "OTEL_METRIC_EXPORT_INTERVAL": "5000",
        }
    )
    native = native_metrics(settings)
    assert native is not None
    assert (native.url, native.http) == (endpoint, protocol == "http/protobuf")
    assert native.headers == {"authorization": "Basic abc", "x-team": "a=b"}
    assert native.metric_periodicity is not None
    assert native.metric_periodicity.total_seconds() == 5


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({"OTEL_SERVICE_NAME": "a", "OTEL_RESOURCE_ATTRIBUTES": "service.name=b"}, "a"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "x=1,service.name=b"}, "b"),
    ],
)
def test_the_service_has_its_name(environment: dict[str, str], name: str) -> None:
    """By either of the two variables that can give it."""
    assert read_environment({**_ENDPOINT, **environment}).service_name == name


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "soon"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "0"),
    ],
)
def test_what_we_cannot_do_is_refused(variable: str, value: str) -> None:
    """By a sentence that names the variable."""
    with pytest.raises(InvalidInputError, match=variable):
        read_environment({**_ENDPOINT, variable: value})


async def test_the_console_is_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """Where both signals go at the end, if not before; stdout is for answers."""
    telemetry = open_telemetry(
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_METRICS_EXPORTER": "console"}
    )
    assert telemetry is not None
    with telemetry.observer.write(facts(run_ref(), flush(1, InstanceStatus.COMPLETED))):
        pass
    telemetry.close()
    written = capsys.readouterr()
    assert '"run order"' in written.err
    assert '"steploom.runs.ended"' in written.err
    assert written.out == ""


def test_without_the_extra_the_worker_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are often there for other programs; a missing package stops nobody."""
    nothing: Any = None
    monkeypatch.setitem(sys.modules, "adapters.telemetry.providers", nothing)
    with structlog.testing.capture_logs() as logs:
        assert open_telemetry(_ENDPOINT) is None
        assert open_client_telemetry(_ENDPOINT) is None
    assert [one["event"] for one in logs] == ["telemetry_not_installed"]
