"""OpenTelemetry's SDK, set up for one process: providers, instruments, spans, and their end."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from opentelemetry import metrics, trace
from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

from adapters.telemetry.export import Outage, metric_exporter, quiet_exporters, span_exporter
from adapters.telemetry.ids import DerivedIds
from adapters.telemetry.meters import Meters
from adapters.telemetry.observer import Observer, WatchedRecorder
from adapters.telemetry.spans import Spans

if TYPE_CHECKING:
    from opentelemetry.sdk.metrics.export import MetricExporter
    from opentelemetry.sdk.trace.export import SpanExporter

    from adapters.telemetry.environment import TelemetrySettings
    from definitions.ports import Recorder

#: Seconds that the end of a process may wait for a collector.
LAST_EXPORT = 5.0


@dataclass(slots=True)
class Providers:
    """What was set up. ``close`` exports what is left."""

    traces: bool
    tracer_provider: TracerProvider
    observer: Observer
    meters: Meters
    _meter_provider: MeterProvider | None
    _exporters: list[SpanExporter | MetricExporter]

    def watch(self, recorder: Recorder) -> WatchedRecorder:
        """The recorder with spans for its writes, and with its queue measured."""
        return WatchedRecorder(recorder, self.observer, self.meters)

    def make_global(self) -> None:
        """Lets tasks that use OpenTelemetry by themselves make spans in the same traces.

        Whoever has set up providers of their own before keeps them.
        """
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            trace.set_tracer_provider(self.tracer_provider)
            if self._meter_provider is not None:
                metrics.set_meter_provider(self._meter_provider)

    def close(self, seconds: float = LAST_EXPORT) -> None:
        """Exports what is left, within so many seconds. Blocks."""
        ending = threading.Thread(target=self._shut_down, name="telemetry-end", daemon=True)
        ending.start()
        ending.join(seconds)
        if ending.is_alive():
            # This ends the pauses between their tries.
            for exporter in self._exporters:
                exporter.shutdown()
            ending.join(1.0)

    def _shut_down(self) -> None:
        self.tracer_provider.shutdown()
        if self._meter_provider is not None:
            self._meter_provider.shutdown()


def open_providers(settings: TelemetrySettings, *, silent: bool = False) -> Providers:
    """Sets up what the environment asks for; the rest it reads itself (sampling, batches, …).

    ``silent``: not even an outage is told, for a process whose output is somebody's answer.
    """
    quiet_exporters()
    outage = Outage(silent=silent)
    # The rest of the resource is the environment's.
    resource = Resource.create({"service.name": settings.service_name})
    ids = DerivedIds()
    exporters: list[SpanExporter | MetricExporter] = []
    tracer_provider = TracerProvider(
        # None: as the environment says.
        sampler=None if settings.traces is not None else ALWAYS_OFF,
        resource=resource,
        id_generator=ids,
        shutdown_on_exit=False,
    )
    if settings.traces is not None:
        spans = span_exporter(settings.traces, settings.traces_target)
        exporters.append(spans)
        target = settings.traces_target
        outage.watch(spans, target.endpoint if target else settings.traces)
        tracer_provider.add_span_processor(BatchSpanProcessor(spans))
    meter_provider = None
    if settings.metrics is not None:
        measured = metric_exporter(settings.metrics, settings.metrics_target)
        exporters.append(measured)
        target = settings.metrics_target
        outage.watch(measured, target.endpoint if target else settings.metrics)
        meter_provider = MeterProvider(
            [PeriodicExportingMetricReader(measured)], resource=resource, shutdown_on_exit=False
        )
    meters = Meters(meter_provider or NoOpMeterProvider())
    observer = Observer(Spans(tracer_provider, ids), meters)
    return Providers(
        settings.traces is not None, tracer_provider, observer, meters, meter_provider, exporters
    )
