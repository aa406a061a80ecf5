"""The ``definitions.ports.Telemetry`` that makes spans and metrics, and its view of the record."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from opentelemetry.trace import format_span_id, format_trace_id

from adapters.telemetry import names
from adapters.telemetry.spans import answered, failed
from definitions.records import InstanceRecord, StepRecord

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime
    from uuid import UUID

    from opentelemetry.trace import Span

    from adapters.telemetry.meters import Meters
    from adapters.telemetry.spans import Spans
    from definitions.calls import TaskEnvelope
    from definitions.ports import Recorder
    from definitions.records import ErrorInfo, RecordBatch

_log = structlog.get_logger(__name__)

#: What was told lately is not told again when a batch is written twice.
_MAX_TOLD = 20_000


class Observer:
    """Watches the attempts of one worker, and what it writes to the record."""

    def __init__(self, spans: Spans, meters: Meters) -> None:
        self._spans = spans
        self._meters = meters
        self._told: OrderedDict[tuple[UUID, str, int], datetime | None] = OrderedDict()

    @contextmanager
    def attempt(self, envelope: TaskEnvelope, number: int) -> Iterator[Attempt]:
        """To be held around an attempt, its write to the record included."""
        began = time.perf_counter()
        with self._spans.attempt(envelope, number) as span:
            attempt = Attempt(self._spans, span)
            where = span.get_span_context()
            try:
                with structlog.contextvars.bound_contextvars(
                    trace_id=format_trace_id(where.trace_id),
                    span_id=format_span_id(where.span_id),
                ):
                    yield attempt
            except asyncio.CancelledError:
                attempt.status = "cancelled"
                raise
            except Exception as error:
                if attempt.status == "completed":
                    attempt.status = "failed"
                    failed(span, type(error).__name__)
                raise
            finally:
                span.set_attribute(names.STATUS, attempt.status)
                self._meters.attempt_ended(
                    envelope.record.task_id,
                    attempt.status,
                    time.perf_counter() - began,
                    again=number > 1,
                )

    @contextmanager
    def write(self, batch: RecordBatch) -> Iterator[None]:
        """To be held around a write to the record."""
        with self._spans.write(batch) as span:
            try:
                yield
            except Exception as error:
                failed(span, type(error).__name__)
                raise
        try:
            self._written(batch)
        except Exception:  # noqa: BLE001 (whatever it was)
            # The record is written; nobody may be told otherwise.
            _log.exception("telemetry_failed")

    def _written(self, batch: RecordBatch) -> None:
        ref = batch.ref
        if batch.started is not None and self._first(ref.instance_id, "", 0):
            self._told[ref.instance_id, "", 0] = batch.started.started_at
            self._meters.run_started(ref)
        steps = [one for one in batch.records if isinstance(one, StepRecord)]
        if batch.attempt is not None:
            steps.append(batch.attempt.step)
        for step in steps:
            if step.status.ended and self._first(ref.instance_id, step.path, step.iteration):
                self._spans.step_ended(ref, step)
                self._meters.step_ended(step)
        for record in batch.records:
            if not isinstance(record, InstanceRecord) or not record.status.ended:
                continue
            if self._first(ref.instance_id, "", 1):
                started = self._spans.began(ref) or self._told.get((ref.instance_id, "", 0))
                ended = record.completed_at or record.updated_at
                started = started or ended
                self._spans.run_ended(ref, record, started)
                seconds = (ended - started).total_seconds()
                self._meters.run_ended(ref, str(record.status), seconds)

    def _first(self, instance: UUID, path: str, number: int) -> bool:
        key = (instance, path, number)
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > _MAX_TOLD:
            self._told.popitem(last=False)
        return True


class Attempt:
    """The ``definitions.ports.WatchedAttempt`` with a span."""

    def __init__(self, spans: Spans, span: Span) -> None:
        self._spans = spans
        self._span = span
        self.status = "completed"

    def failed(self, error: ErrorInfo) -> None:
        """The attempt failed so."""
        self.status = "timeout" if error.type == "TimeoutError" else "failed"
        failed(self._span, error.type)

    @contextmanager
    def request(self, method: str, url: str) -> Iterator[Request]:
        """To be held around an HTTP request of the attempt."""
        with self._spans.request(method, url) as (span, headers):
            try:
                yield Request(span, headers)
            except Exception as error:
                # The code of a TaskError (``dns``, ``timeout``) says more than its class.
                failed(span, getattr(error, "code", None) or type(error).__name__)
                raise


class Request:
    """The ``definitions.ports.WatchedRequest`` with a span."""

    def __init__(self, span: Span, headers: Mapping[str, str]) -> None:
        self._span = span
        self.headers = headers

    def answered(self, status: int) -> None:
        """The response's status has come."""
        answered(self._span, status)


class WatchedRecorder:
    """A recorder whose writes are watched: their spans, and how many wait for the database."""

    def __init__(self, recorder: Recorder, observer: Observer, meters: Meters) -> None:
        self._recorder = recorder
        self._observer = observer
        # In the order in which they began.
        self._waiting: dict[int, float] = {}
        self._number = 0
        meters.watch_queue(self.length, self.age)

    async def write(self, batch: RecordBatch) -> None:
        """As the recorder's own."""
        self._number += 1
        number = self._number
        self._waiting[number] = time.monotonic()
        try:
            with self._observer.write(batch):
                await self._recorder.write(batch)
        finally:
            del self._waiting[number]

    def length(self) -> int:
        """How many writes the database has not confirmed yet."""
        return len(self._waiting)

    def age(self) -> float:
        """How many seconds the oldest of them has waited; 0 without any."""
        try:
            return time.monotonic() - next(iter(self._waiting.values()))
        except (StopIteration, RuntimeError):
            # Asked from another thread: it may change at this very moment.
            return 0.0
