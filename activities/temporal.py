"""The activities as Temporal sees them: one for every task, and some of our own.

Tasks share one dynamic activity, so the activity's type in Temporal's UI is the task's id, and a
task that nobody serves is an answer (``UnknownTask``) rather than a run that waits for ever.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import ValidationError
from temporalio import activity
from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.workflowservice.v1 import GetWorkflowExecutionHistoryReverseRequest
from temporalio.common import RawValue
from temporalio.exceptions import ApplicationError

from activities.attempt import AttemptInfo, AttemptRunner, Failure
from activities.watching import WATCHED, NoTelemetry
from definitions.calls import FailureDetails, ResolveRequest, TaskEnvelope, WebhookCall
from definitions.errors import TaskError
from definitions.names import (
    ATTEMPTS_ACTIVITY,
    RECORD_ACTIVITY,
    RESOLVE_ACTIVITY,
    WEBHOOK_ACTIVITY,
)
from definitions.outputs import MAX_ERROR_MESSAGE
from definitions.records import RecordBatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from activities.runs import RunActivities
    from activities.webhooks import Webhooks
    from definitions.ports import Recorder, Telemetry
    from definitions.redaction import Redactor

_log = structlog.get_logger(__name__)

#: Seconds between the signs of life that a task gets for free. Cancellation arrives with them.
BEAT = 2.0
#: How much of a history is read at a time; what is looked for has only just happened.
_EVENTS = 100


class Activities:
    """All activities of one worker."""

    def __init__(
        self,
        attempts: AttemptRunner,
        runs: RunActivities,
        webhooks: Webhooks,
        redactor: Redactor,
        *,
        identity: str,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._attempts = attempts
        self._runs = runs
        self._webhooks = webhooks
        self._redactor = redactor
        self._identity = identity
        self._telemetry = telemetry or NoTelemetry()

    def all(self) -> list[Callable[..., Any]]:
        """What a Temporal worker is given."""
        return [self.run_task, self.resolve, self.record, self.attempts, self.webhook]

    @activity.defn(dynamic=True)
    async def run_task(self, arguments: Sequence[RawValue]) -> Any:
        """Runs one attempt of the task that the activity is named after."""
        info = activity.info()
        converter = activity.payload_converter()
        try:
            given, sent = (converter.from_payload(one.payload) for one in arguments)
            envelope = TaskEnvelope.model_validate(sent)
        except ValueError as error:
            raise ApplicationError(
                f"{info.activity_type} was not called by a steploom run: {error}",
                type="InputError",
                non_retryable=True,
            ) from None
        beat = _beater(self._redactor)
        number = info.attempt + envelope.attempts_before
        attempt = AttemptInfo(number=number, worker=self._identity, beat=beat)
        automatic = not info.is_local and not envelope.own_heartbeats
        async with _alive(beat, automatic=automatic):
            try:
                return await self._watch(
                    self._attempts, info.activity_type, given, envelope, attempt
                )
            except Failure as failure:
                cause = self._tellable(failure.__cause__)
                raise _as_temporal_says(failure, number) from cause

    async def attempt(
        self, task_id: str, given: Any, envelope: TaskEnvelope, recorder: Recorder
    ) -> Any:
        """Runs the first attempt of a local task inside of another activity.

        Raises:
            Failure: The attempt failed; that was given to the recorder.
        """
        info = AttemptInfo(number=1, worker=self._identity, beat=lambda *_: None)
        attempts = self._attempts.recording_to(recorder)
        return await self._watch(attempts, task_id, given, envelope, info)

    async def _watch(
        self,
        attempts: AttemptRunner,
        task_id: str,
        given: Any,
        envelope: TaskEnvelope,
        attempt: AttemptInfo,
    ) -> Any:
        """Runs an attempt, seen by telemetry and logs."""
        _bind_logs(envelope, attempt)
        with self._telemetry.attempt(envelope, attempt.number) as watched:
            WATCHED.set(watched)
            try:
                return await attempts.run(task_id, given, envelope, attempt)
            except Failure as failure:
                watched.failed(failure.info)
                _log_failure(failure, envelope, attempt)
                raise

    def _tellable(self, cause: BaseException | None) -> BaseException | None:
        """The cause, unless something in its chain must not, or cannot, stand in a history."""
        one = cause
        while one is not None:
            if isinstance(one, ValidationError):
                # It quotes the input without its midst, where no secret is recognised.
                return None
            text = str(one)
            try:
                text.encode()
            except UnicodeEncodeError:
                return None
            if len(text) > MAX_ERROR_MESSAGE or self._redactor.text(text) != text:
                return None
            one = one.__cause__ or one.__context__
        return cause

    @activity.defn(name=RESOLVE_ACTIVITY)
    async def resolve(self, request: dict[str, Any]) -> dict[str, Any]:
        """Pins a run to its definition and writes its first record."""
        resolved = await self._runs.resolve(ResolveRequest.model_validate(request))
        return resolved.to_json()

    @activity.defn(name=RECORD_ACTIVITY)
    async def record(self, batch: dict[str, Any]) -> None:
        """Writes what a run has kept."""
        await self._runs.record(RecordBatch.model_validate(batch))

    @activity.defn(name=WEBHOOK_ACTIVITY)
    async def webhook(self, call: dict[str, Any]) -> None:
        """Tells a webhook that a run has ended."""
        number = activity.info().attempt
        try:
            await self._webhooks.deliver(WebhookCall.model_validate(call), number)
        except Failure as failure:
            raise _as_temporal_says(failure, number) from None

    @activity.defn(name=ATTEMPTS_ACTIVITY)
    async def attempts(self, activity_id: str) -> int | None:
        """How often the run's activity that ended last with this id was tried.

        0 for one that no worker took, None for one that the run's history does not have.
        """
        info = activity.info()
        client = activity.client()
        request = GetWorkflowExecutionHistoryReverseRequest(
            namespace=client.namespace,
            execution=WorkflowExecution(
                workflow_id=info.workflow_id or "", run_id=info.workflow_run_id or ""
            ),
            maximum_page_size=_EVENTS,
        )
        started: dict[int, int] = {}
        while True:
            service = client.workflow_service
            page = await service.get_workflow_execution_history_reverse(request)
            for event in page.history.events:
                begun = event.activity_task_started_event_attributes
                scheduled = event.activity_task_scheduled_event_attributes
                if event.HasField("activity_task_started_event_attributes"):
                    started[begun.scheduled_event_id] = begun.attempt
                elif scheduled.activity_id == activity_id:
                    return started.get(event.event_id, 0)
            if not page.next_page_token:
                return None
            request.next_page_token = page.next_page_token


def _as_temporal_says(failure: Failure, attempt: int) -> ApplicationError:
    info = failure.info
    details = FailureDetails(code=info.code, details=info.details, attempt=attempt)
    return ApplicationError(
        info.message,
        details.to_json(),
        type=info.type,
        non_retryable=not failure.retryable,
    )


def _bind_logs(envelope: TaskEnvelope, attempt: AttemptInfo) -> None:
    """Has every line say it that is logged in this attempt, the task's own included."""
    # Nothing is unbound: an activity has a context of its own, which ends with it.
    structlog.contextvars.bind_contextvars(
        execution=envelope.ref.execution_id,
        step=envelope.record.path,
        task=envelope.record.task_id,
        attempt=attempt.number,
    )


def _log_failure(failure: Failure, envelope: TaskEnvelope, attempt: AttemptInfo) -> None:
    """One line for a failed attempt; a traceback only for what the task did not mean to raise."""
    cause = failure.__cause__
    unexpected = cause is not None and not isinstance(cause, TaskError | ValidationError)
    _log.warning(
        "attempt_failed",
        execution=envelope.ref.execution_id,
        step=envelope.record.path,
        task=envelope.record.task_id,
        attempt=attempt.number,
        error_type=failure.info.type,
        error=failure.info.message,
        retryable=failure.retryable,
        exc_info=cause if unexpected else None,
    )


def _beater(redactor: Redactor) -> Callable[..., None]:
    """A heartbeat that may be called from any thread."""
    if activity.info().is_local:
        return lambda *_: None
    loop = asyncio.get_running_loop()
    context = contextvars.copy_context()

    def beat(*details: Any) -> None:
        details = tuple(map(redactor.without_secrets, details))
        loop.call_soon_threadsafe(lambda: context.copy().run(activity.heartbeat, *details))

    return beat


@asynccontextmanager
async def _alive(beat: Callable[..., None], *, automatic: bool) -> AsyncIterator[None]:
    """Sends signs of life while the body runs, unless the task sends its own."""
    if not automatic:
        yield
        return

    async def signs() -> None:
        while True:
            await asyncio.sleep(BEAT)
            beat()

    sender = asyncio.create_task(signs())
    try:
        yield
    finally:
        sender.cancel()
