"""What becomes of a written batch, without any service: spans and numbers in memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from activities.watching import WATCHED, NoTelemetry
from adapters.telemetry.ids import DerivedIds
from adapters.telemetry.meters import Meters
from adapters.telemetry.observer import Observer, WatchedRecorder
from adapters.telemetry.spans import Spans
from definitions.calls import TaskEnvelope
from definitions.errors import TaskError, UnreachableError
from definitions.records import ErrorInfo
from definitions.statuses import InstanceStatus, StepStatus
from tests.integration.facts import at, attempt, facts, flush, run_ref, started, step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.records import RecordBatch

REF = run_ref()


class Recorder:
    """Keeps batches; ``error`` is raised instead, ``open`` is waited for."""

    def __init__(self) -> None:
        self.batches: list[RecordBatch] = []
        self.error: Exception | None = None
        self.open = asyncio.Event()
        self.open.set()

    async def write(self, batch: RecordBatch) -> None:
        """Takes a batch."""
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(batch)


class Watching:
    """An observer, and what it has made."""

    def __init__(self) -> None:
        ids = DerivedIds()
        provider = TracerProvider(id_generator=ids, shutdown_on_exit=False)
        self._exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        meters = Meters(MeterProvider([self._reader], shutdown_on_exit=False))
        self.recorder = Recorder()
        self.observer = Observer(Spans(provider, ids), meters)
        self.watched = WatchedRecorder(self.recorder, self.observer, meters)

    def spans(self) -> list[ReadableSpan]:
        """All spans that have ended, the first one first."""
        return list(self._exporter.get_finished_spans())

    def names(self) -> list[str]:
        """Their names."""
        return [span.name for span in self.spans()]

    def numbers(self, metric: str) -> list[tuple[Mapping[str, Any], Any]]:
        """Attributes and values of a metric's points."""
        data: Any = self._reader.get_metrics_data()
        return [
            (dict(point.attributes), getattr(point, "value", None))
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for one in scope.metrics
            if one.name == metric
            for point in one.data.data_points
        ]


@pytest.fixture
def watching() -> Watching:
    """A fresh one."""
    return Watching()


def envelope() -> TaskEnvelope:
    """The call of a task."""
    return TaskEnvelope(ref=REF, record=step(1), ended_seq=2, final=True, idempotency_key="k")


async def test_a_run_is_told_from_its_record(watching: Watching) -> None:
    """Started, a step, ended: with the times of the record and ids that hang together."""
    await watching.watched.write(started(REF))
    await watching.watched.write(
        attempt(REF, 1, StepStatus.COMPLETED, step(3, StepStatus.COMPLETED))
    )
    failed = flush(5, InstanceStatus.FAILED, error={"type": "GatewayError"})
    await watching.watched.write(facts(REF, failed))
    assert watching.names() == ["record", "record", "step charge", "record", "run order"]
    one_step, run = watching.spans()[2], watching.spans()[4]
    assert one_step.parent is not None
    assert run.context is not None
    assert (run.parent, run.context.span_id) == (None, one_step.parent.span_id)
    assert run.start_time == int(at(0).timestamp()) * 10**9
    assert run.end_time == int(at(5).timestamp()) * 10**9
    assert dict(run.attributes or {})["error.type"] == "GatewayError"
    assert watching.numbers("steploom.runs.started") == [({"steploom.workflow.id": "order"}, 1)]


async def test_a_batch_that_is_written_twice_is_told_once(watching: Watching) -> None:
    """Whoever was not answered writes again; numbers and spans are as of one."""
    for _ in range(2):
        await watching.watched.write(started(REF))
        await watching.watched.write(facts(REF, step(3, StepStatus.COMPLETED)))
        await watching.watched.write(facts(REF, flush(5, InstanceStatus.COMPLETED)))
    assert [name for name in watching.names() if name != "record"] == ["step charge", "run order"]
    assert [value for _, value in watching.numbers("steploom.runs.started")] == [1]
    assert [value for _, value in watching.numbers("steploom.runs.ended")] == [1]
    assert [value for _, value in watching.numbers("steploom.steps")] == [1]


async def test_what_was_not_written_is_not_told(watching: Watching) -> None:
    """A failed write is a failed span, and no step has ended by it."""
    watching.recorder.error = UnreachableError("Postgres", "it is down")
    with pytest.raises(UnreachableError):
        await watching.watched.write(facts(REF, step(3, StepStatus.COMPLETED)))
    [write] = watching.spans()
    assert (write.name, write.status.is_ok) == ("record", False)
    assert dict(write.attributes or {})["error.type"] == "UnreachableError"
    assert watching.numbers("steploom.steps") == []


async def test_the_queue_is_what_the_database_has_not_confirmed(watching: Watching) -> None:
    """Its length, and the age of its oldest."""
    watching.recorder.open.clear()
    writes = [asyncio.create_task(watching.watched.write(started(REF))) for _ in range(3)]
    await asyncio.sleep(0)
    assert watching.numbers("steploom.recorder.queue.length") == [({}, 3)]
    [(_, age)] = watching.numbers("steploom.recorder.queue.age")
    assert age > 0
    watching.recorder.open.set()
    await asyncio.gather(*writes)
    assert watching.numbers("steploom.recorder.queue.length") == [({}, 0)]
    assert watching.numbers("steploom.recorder.queue.age") == [({}, 0)]


async def test_a_fault_of_telemetry_is_not_the_records(
    watching: Watching, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is committed is never reported as anything else."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Meters, "step_ended", broken)
    with structlog.testing.capture_logs() as logs:
        await watching.watched.write(facts(REF, step(3, StepStatus.COMPLETED)))
    assert len(watching.recorder.batches) == 1
    assert [one["event"] for one in logs] == ["telemetry_failed"]


@pytest.mark.parametrize(
    ("raised", "told", "status", "error_type"),
    [
        (None, None, "completed", None),
        (RuntimeError(), ErrorInfo(type="GatewayError"), "failed", "GatewayError"),
        (RuntimeError(), ErrorInfo(type="TimeoutError"), "timeout", "TimeoutError"),
        (RuntimeError(), None, "failed", "RuntimeError"),
        (asyncio.CancelledError(), None, "cancelled", None),
    ],
)
def test_an_attempt_ends_in_its_status(
    watching: Watching,
    raised: BaseException | None,
    told: ErrorInfo | None,
    status: str,
    error_type: str | None,
) -> None:
    """On its span and in the numbers alike."""

    def run() -> None:
        with watching.observer.attempt(envelope(), 2) as watched:
            if told is not None:
                watched.failed(told)
            if raised is not None:
                raise raised

    if raised is None:
        run()
    else:
        with pytest.raises(type(raised)):
            run()
    [span] = watching.spans()
    attributes = dict(span.attributes or {})
    assert (attributes["steploom.status"], attributes.get("error.type")) == (status, error_type)
    assert attributes["steploom.attempt"] == 2
    where = {"steploom.task.id": "demo.charge"}
    assert watching.numbers("steploom.attempts") == [({**where, "steploom.status": status}, 1)]
    assert watching.numbers("steploom.retries") == [(where, 1)]


@pytest.mark.parametrize(
    ("url", "shown", "host"),
    [
        ("https://user:pw@api.example.com:8443/a/b?key=1#x", "https://api.example.com:8443/a/b",
         "api.example.com"),
        ("http://[::1", "", ""),
    ],
)  # fmt: skip
def test_a_request_shows_no_secret(watching: Watching, url: str, shown: str, host: str) -> None:
    """User, query and fragment stay out; a status that is an error marks the span."""
    with (
        watching.observer.attempt(envelope(), 1) as watched,
        watched.request("POST", url) as request,
    ):
        request.answered(503)
    span = watching.spans()[0]
    attributes = dict(span.attributes or {})
    assert (attributes["url.full"], attributes["server.address"]) == (shown, host)
    assert (attributes["error.type"], span.status.is_ok) == ("503", False)
    context = span.context
    assert context is not None
    expected = f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    assert request.headers["traceparent"] == expected


def test_a_request_that_fails_says_how(watching: Watching) -> None:
    """By the error's code, which says more than its class."""
    with (
        pytest.raises(TaskError),
        watching.observer.attempt(envelope(), 1) as watched,
        watched.request("GET", "http://a.example"),
    ):
        raise TaskError("no answer", type="HttpError", code="timeout")
    assert dict(watching.spans()[0].attributes or {})["error.type"] == "timeout"


def test_without_telemetry_nobody_is_told() -> None:
    """And a request has nothing to send along."""
    with NoTelemetry().attempt(envelope(), 1) as watched:
        watched.failed(ErrorInfo(type="GatewayError"))
    with WATCHED.get().request("GET", "http://a.example") as request:
        request.answered(200)
    assert request.headers == {}
