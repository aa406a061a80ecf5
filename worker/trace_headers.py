"""Hands on a run's place in a trace: to its activities, its children and the run that continues it.

Part of the workflow, so it is replayed: it reads the run's own header and derives the rest. It
knows nothing of OpenTelemetry, and no span is made here. Headers are no part of what a replay is
compared with, so a history that was made with it replays without it, and the other way round.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from temporalio import workflow
from temporalio.converter import PayloadConverter
from temporalio.worker import (
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowOutboundInterceptor,
)
from typing_extensions import override

from definitions.calls import ChildMemo
from definitions.names import MEMO
from definitions.tracing import TRACE_HEADER, RunTrace, step_span_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from temporalio.api.common.v1 import Payload
    from temporalio.worker import (
        ContinueAsNewInput,
        StartActivityInput,
        StartChildWorkflowInput,
        StartLocalActivityInput,
        WorkflowInterceptorClassInput,
    )

    Headers = Mapping[str, Payload]


class TraceHeaders(Interceptor):
    """For a worker whose activities make spans."""

    @override
    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        """What is put around each run."""
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    @override
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    _trace: RunTrace | None = None

    @override
    def start_activity(self, input: StartActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = _with(input.headers, self._run().for_activity())
        return super().start_activity(input)

    @override
    def start_local_activity(self, input: StartLocalActivityInput) -> workflow.ActivityHandle[Any]:
        input.headers = _with(input.headers, self._run().for_activity())
        return super().start_local_activity(input)

    @override
    async def start_child_workflow(
        self, input: StartChildWorkflowInput
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        run = self._run()
        input.headers = _with(input.headers, run.for_child(_starting_span(input) or run.span_id))
        return await super().start_child_workflow(input)

    @override
    def continue_as_new(self, input: ContinueAsNewInput) -> NoReturn:
        input.headers = _with(input.headers, self._run().for_next())
        super().continue_as_new(input)

    def _run(self) -> RunTrace:
        if self._trace is None:
            info = workflow.info()
            self._trace = RunTrace.begun(
                read_trace_header(info.headers),
                info.first_execution_run_id,
                info.workflow_start_time,
            )
        return self._trace


def read_trace_header(headers: Headers) -> Any:
    """The carrier in a header; None where there is none that can be read."""
    payload = headers.get(TRACE_HEADER)
    if payload is None:
        return None
    try:
        return PayloadConverter.default.from_payload(payload)
    except Exception:  # noqa: BLE001 (anybody can send a header; none may stop a run)
        return None


def _with(headers: Headers, carrier: Mapping[str, str]) -> Headers:
    if not carrier:
        return headers
    return {**headers, TRACE_HEADER: PayloadConverter.default.to_payload(carrier)}


def _starting_span(input: StartChildWorkflowInput) -> str | None:  # noqa: A002 (the SDK's word)
    """The span of the step that starts the child, which the child's memo names."""
    given = (input.memo or {}).get(MEMO)
    origin = ChildMemo.model_validate(given).origin if given is not None else None
    if origin is None:
        return None
    first_run_id = workflow.info().first_execution_run_id
    return step_span_id(first_run_id, origin.path, origin.iteration)
