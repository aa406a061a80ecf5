"""What an activity was handed of its run's trace, for whatever runs inside it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from temporalio.converter import PayloadConverter
from temporalio.worker import ActivityInboundInterceptor, Interceptor
from typing_extensions import override

from definitions.tracing import TRACE_HEADER, RunTrace

if TYPE_CHECKING:
    from temporalio.worker import ExecuteActivityInput

#: The run whose activity runs here; None where its worker makes no traces, or where none runs.
RECEIVED: ContextVar[RunTrace | None] = ContextVar("steploom_received_trace", default=None)


class ReceiveTraces(Interceptor):
    """For a worker: reads the header of each activity."""

    @override
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        """What is put around each activity."""
        return _Inbound(next)


class _Inbound(ActivityInboundInterceptor):
    @override
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        payload = input.headers.get(TRACE_HEADER)
        if payload is not None:
            try:
                RECEIVED.set(RunTrace.received(PayloadConverter.default.from_payload(payload)))
            except Exception:  # noqa: BLE001 (anybody can send a header; none may stop a task)
                RECEIVED.set(None)
        return await super().execute_activity(input)
