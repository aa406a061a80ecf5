"""A collector for tests: takes what OTLP brings, over HTTP or gRPC, and keeps it."""

from __future__ import annotations

import gzip
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2_grpc as metrics_grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as trace_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


@dataclass(frozen=True)
class Received:
    """A span as it came. Ids are hex; ``parent`` is empty for a root. Times are nanoseconds."""

    name: str
    trace: str
    id: str
    parent: str
    start: int
    end: int
    failed: bool
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


@dataclass
class Point:
    """One data point of a metric; of a histogram, ``value`` is the sum and ``count`` how many."""

    value: float
    count: int
    attributes: Mapping[str, Any]


@dataclass
class Collector:
    """What has come so far, in the order in which it came."""

    endpoint: str = ""
    spans: list[Received] = field(default_factory=list)
    #: The latest points of each metric, as they are cumulative.
    metrics: dict[str, list[Point]] = field(default_factory=dict)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    resources: list[Mapping[str, Any]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def named(self, beginning: str) -> list[Received]:
        """The spans whose names begin so."""
        with self._lock:
            return [span for span in self.spans if span.name.startswith(beginning)]

    def one(self, name: str) -> Received:
        """The one span of this name."""
        found = [span for span in self.named(name) if span.name == name]
        assert len(found) == 1, (name, [span.name for span in self.spans])
        return found[0]

    def take_spans(self, request: ExportTraceServiceRequest) -> None:
        """Keeps the spans of a request."""
        with self._lock:
            for group in request.resource_spans:
                resource = _values(group.resource.attributes)
                for scope in group.scope_spans:
                    self.spans += [
                        Received(
                            name=span.name,
                            trace=span.trace_id.hex(),
                            id=span.span_id.hex(),
                            parent=span.parent_span_id.hex(),
                            start=span.start_time_unix_nano,
                            end=span.end_time_unix_nano,
                            failed=span.status.code == span.status.STATUS_CODE_ERROR,
                            attributes=_values(span.attributes),
                            resource=resource,
                        )
                        for span in scope.spans
                    ]

    def take_metrics(self, request: ExportMetricsServiceRequest) -> None:
        """Keeps the metrics of a request."""
        with self._lock:
            for group in request.resource_metrics:
                self.resources.append(_values(group.resource.attributes))
                for scope in group.scope_metrics:
                    for metric in scope.metrics:
                        self.metrics[metric.name] = _points(metric)


def _points(metric: Any) -> list[Point]:
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind).data_points
    if kind == "histogram":
        return [Point(one.sum, one.count, _values(one.attributes)) for one in data]
    return [Point(one.as_double or one.as_int, 1, _values(one.attributes)) for one in data]


def _values(pairs: Any) -> dict[str, Any]:
    entries: list[KeyValue] = list(pairs)
    return {entry.key: _value(entry.value) for entry in entries}


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind is not None else None


@contextmanager
def http_collector() -> Iterator[Collector]:
    """One that speaks OTLP over HTTP."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            collector.headers.append({k.lower(): v for k, v in self.headers.items()})
            if self.path == "/v1/traces":
                collector.take_spans(ExportTraceServiceRequest.FromString(body))
            elif self.path == "/v1/metrics":
                collector.take_metrics(ExportMetricsServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    collector.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Traces(trace_grpc.TraceServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @override
    def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:
        self._collector.take_spans(request)
        return ExportTraceServiceResponse()


class _Metrics(metrics_grpc.MetricsServiceServicer):
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    @override
    def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:
        self._collector.take_metrics(request)
        return ExportMetricsServiceResponse()


@contextmanager
def grpc_collector() -> Iterator[Collector]:
    """One that speaks OTLP over gRPC."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(4))
    for add, servicer in (
        (trace_grpc.add_TraceServiceServicer_to_server, _Traces(collector)),
        (metrics_grpc.add_MetricsServiceServicer_to_server, _Metrics(collector)),
    ):
        register: Any = add  # generated code without types
        register(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    collector.endpoint = f"http://127.0.0.1:{port}"
    try:
        yield collector
    finally:
        server.stop(None).wait()
