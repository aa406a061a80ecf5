"""The spans of a run: one for the run, one for each step, one for each attempt and what it does.

A span is exported when it ends, by the process in which that happens. A run and its steps pass
through many processes, so their spans are made at their end, from the record, with ids that their
children have known all along (``definitions.tracing``).
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.propagate import inject
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    get_current_span,
    set_span_in_context,
    use_span,
)

from adapters.telemetry import names
from adapters.telemetry.received import RECEIVED
from definitions.statuses import InstanceStatus, StepStatus
from definitions.tracing import RunTrace, run_span_id, step_span_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

    from adapters.telemetry.ids import DerivedIds
    from definitions.calls import TaskEnvelope
    from definitions.records import InstanceRecord, RecordBatch, RunRef, StepRecord

_Attributes = dict[str, str | int]

#: From this status on, an HTTP response is an error (OpenTelemetry's conventions).
_HTTP_ERROR = 400
_BAD_STEPS = (StepStatus.FAILED, StepStatus.TIMEOUT)


class Spans:
    """Makes the spans of one worker. ``ids`` is the generator of the provider."""

    def __init__(self, provider: TracerProvider, ids: DerivedIds) -> None:
        self._tracer = provider.get_tracer(names.SCOPE)
        self._sampler = provider.sampler
        self._ids = ids

    @contextmanager
    def attempt(self, envelope: TaskEnvelope, number: int) -> Iterator[Span]:
        """The span of an attempt, current while the body runs. The caller says how it ended."""
        ref, record = envelope.ref, envelope.record
        step = step_span_id(ref.first_run_id, record.path, record.iteration)
        span = self._tracer.start_span(
            f"{names.SPAN_ATTEMPT} {record.task_id}",
            self._under(self._trace_of(ref), step),
            kind=SpanKind.CONSUMER,
            attributes={**_run(ref), **_step(record), names.ATTEMPT: number},
        )
        # How it ended is the caller's word, and no exception of ours.
        with use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            yield span

    @contextmanager
    def write(self, batch: RecordBatch) -> Iterator[Span]:
        """The span of a write to the record."""
        context = None
        if not get_current_span().get_span_context().is_valid:
            context = self._under(self._trace_of(batch.ref), run_span_id(batch.ref.first_run_id))
        count = len(batch.records) + (batch.started is not None) + (batch.attempt is not None)
        with self._tracer.start_as_current_span(
            names.SPAN_RECORD,
            context,
            attributes={**_run(batch.ref), names.RECORDS: count},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            yield span

    @contextmanager
    def request(self, method: str, url: str) -> Iterator[tuple[Span, Mapping[str, str]]]:
        """The span of an HTTP request, and what is sent along with it."""
        shown, host = _without_secrets(url)
        with self._tracer.start_as_current_span(
            method,
            kind=SpanKind.CLIENT,
            attributes={names.HTTP_METHOD: method, names.URL: shown, names.SERVER: host},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            headers: dict[str, str] = {}
            inject(headers)
            yield span, headers

    def step_ended(self, ref: RunRef, record: StepRecord) -> None:
        """The span of a step's iteration, now that its end is on record."""
        trace = self._trace_of(ref)
        span_id = step_span_id(ref.first_run_id, record.path, record.iteration)
        with self._ids.given(trace.trace_id, span_id):
            span = self._tracer.start_span(
                f"{names.SPAN_STEP} {record.step_id}",
                self._under(trace, trace.span_id),
                attributes={**_run(ref), **_step(record), names.STATUS: str(record.status)},
                start_time=_nanoseconds(record.started_at),
            )
        if record.status in _BAD_STEPS:
            error = record.error
            failed(span, error.type if error is not None else str(record.status))
        span.end(_nanoseconds(record.completed_at or record.started_at))

    def began(self, ref: RunRef) -> datetime | None:
        """When a run began, as far as the run itself has said it."""
        return self._trace_of(ref).started

    def run_ended(self, ref: RunRef, record: InstanceRecord, started: datetime) -> None:
        """The span of a run, now that its end is on record."""
        trace = self._trace_of(ref)
        context = Context()
        if trace.parent_id is not None:
            context = self._under(trace, trace.parent_id)
        with self._ids.given(trace.trace_id, trace.span_id):
            span = self._tracer.start_span(
                f"{names.SPAN_RUN} {ref.workflow_id}",
                context,
                attributes={**_run(ref), names.STATUS: str(record.status)},
                start_time=_nanoseconds(started),
            )
        if record.status is InstanceStatus.FAILED:
            failed(span, str((record.error or {}).get("type", "InternalError")))
        span.end(_nanoseconds(record.completed_at or record.updated_at))

    def _trace_of(self, ref: RunRef) -> RunTrace:
        # A workflow task may have run on a worker without telemetry, which hands nothing on.
        return RECEIVED.get() or RunTrace.derived(ref.first_run_id)

    def _under(self, trace: RunTrace, span_id: str) -> Context:
        """A context whose current span is one that somebody else makes."""
        trace_id = int(trace.trace_id, 16)
        sampled = trace.sampled
        if sampled is None:
            # As it will be decided for the root span: by the trace's id alone.
            decision = self._sampler.should_sample(None, trace_id, "").decision
            sampled = decision is Decision.RECORD_AND_SAMPLE
        parent = SpanContext(
            trace_id,
            int(span_id, 16),
            is_remote=True,
            trace_flags=TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT),
            trace_state=TraceState.from_header([trace.tracestate or ""]),
        )
        return set_span_in_context(NonRecordingSpan(parent), Context())


def failed(span: Span, error_type: str) -> None:
    """Marks a span as failed. Never the message: it may quote what a task was given."""
    span.set_attribute(names.ERROR_TYPE, error_type)
    span.set_status(Status(StatusCode.ERROR, error_type))


def answered(span: Span, status: int) -> None:
    """Marks the span of a request with what came back."""
    span.set_attribute(names.HTTP_STATUS, status)
    if status >= _HTTP_ERROR:
        failed(span, str(status))


def _run(ref: RunRef) -> _Attributes:
    return {
        names.EXECUTION_ID: ref.execution_id,
        names.WORKFLOW_ID: ref.workflow_id,
        names.WORKFLOW_VERSION: ref.version,
        names.ORG_ID: str(ref.org_id),
    }


def _step(record: StepRecord) -> _Attributes:
    return {
        names.STEP_ID: record.step_id,
        names.STEP_PATH: record.path,
        names.STEP_ITERATION: record.iteration,
        names.TASK_ID: record.task_id,
    }


def _without_secrets(url: str) -> tuple[str, str]:
    """The URL without user, query and fragment, where secrets may stand; and its host."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "", ""
    return f"{parts.scheme}://{host}{port}{parts.path}", host


def _nanoseconds(moment: datetime) -> int:
    # Not through a float, which has no room for so many digits.
    return int(moment.timestamp()) * 1_000_000_000 + moment.microsecond * 1_000
