"""Tasks that workers of other languages serve, on Temporal.

Such a worker knows nothing of us: it gets the step's input alone, and what it answers is Temporal's
own. Runs inside the workflow, so everything here is replayed.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import (
    ActivityError,
    ApplicationError,
    FailureError,
    RetryState,
    ServerError,
    TimeoutType,
    is_cancelled_exception,
)
from temporalio.exceptions import (
    TimeoutError as TemporalTimeoutError,
)

with workflow.unsafe.imports_passed_through():
    from definitions.names import ATTEMPTS_ACTIVITY
    from definitions.records import ErrorInfo
    from worker.interpreter.external import external_error, external_output
    from worker.interpreter.host import StepError

if TYPE_CHECKING:
    from collections.abc import Callable

    from definitions.jsontypes import Json
    from definitions.records import Record
    from worker.interpreter.host import TaskCall

#: What Temporal's retry policies call the timeouts of one attempt.
ATTEMPT_TIMEOUTS = ("TemporalTimeout:StartToClose", "TemporalTimeout:Heartbeat")
#: What the server says of a result that it does not take.
_TOO_LARGE = "exceeds size limit"


async def call_external(
    call: TaskCall,
    *,
    remaining: timedelta | None,
    attempt_limit: timedelta,
    retry: RetryPolicy,
    record: Callable[[Record], None],
) -> Json:
    """Runs the task, by Temporal's own retries, and returns its raw output.

    Args:
        call: The call, of a task that has an activity of its own.
        remaining: What is left of the step's time.
        attempt_limit: How long one attempt may take.
        retry: The retry policy in Temporal's terms.
        record: Takes what is learned of the step's attempts.

    Raises:
        StepError: It failed, or its answer cannot be used.
        asyncio.CancelledError: It was told to stop, and has.
    """
    try:
        answer = await workflow.execute_activity(
            call.spec.activity or call.spec.task_id,
            call.input,
            # Its worker finds the idempotency key here: the same on each attempt.
            activity_id=call.idempotency_key,
            task_queue=call.spec.task_queue,
            schedule_to_close_timeout=remaining,
            start_to_close_timeout=attempt_limit,
            heartbeat_timeout=call.heartbeat_timeout,
            retry_policy=retry,
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=call.summary,
            # Decoded here, for the SDK fails the workflow task where it cannot.
            result_type=RawValue,
        )
    except FailureError as error:
        # The server lets no worker say so that was not asked to stop.
        if is_cancelled_exception(error):
            raise asyncio.CancelledError from error
        raise StepError(_error_info(error, call, await _tried(call, error))) from error
    tried = await _tried(call)
    record(call.record.model_copy(update={"attempts": tried}))
    try:
        return _output(answer)
    except StepError as error:
        error.info = error.info.model_copy(update={"attempts": tried})
        raise


def _output(answer: RawValue | None) -> Json:
    if answer is None:
        return None
    encoding = answer.payload.metadata.get("encoding", b"").decode("utf-8", "replace")
    return external_output(encoding, answer.payload.data)


async def _tried(call: TaskCall, error: FailureError | None = None) -> int | None:
    """How often the task was tried: neither its answer nor its failure say so.

    0 where nobody ever took it. None where it cannot be found out.
    """
    limit = call.retry.max_attempts
    if isinstance(error, ActivityError):
        if error.retry_state is RetryState.MAXIMUM_ATTEMPTS_REACHED:
            return limit
        if _never_in_time(error) is None and limit == 1:
            return 1
    elif limit == 1:
        return 1
    try:
        return await _look_up(call)
    except FailureError:
        return None
    except asyncio.CancelledError:
        # The task's end counts, whatever was said meanwhile; whoever goes on asks for that.
        return None


async def _look_up(call: TaskCall) -> int | None:
    once_more = RetryPolicy(maximum_attempts=3)
    limit = timedelta(seconds=10)
    if call.main_path:
        tried: int | None = await workflow.execute_local_activity(
            ATTEMPTS_ACTIVITY,
            call.idempotency_key,
            start_to_close_timeout=limit,
            retry_policy=once_more,
            summary="count the attempts",
        )
    else:
        tried = await workflow.execute_activity(
            ATTEMPTS_ACTIVITY,
            call.idempotency_key,
            start_to_close_timeout=limit,
            retry_policy=once_more,
            summary="count the attempts",
        )
    return tried


def _never_in_time(error: FailureError) -> TemporalTimeoutError | None:
    """The timeout of the whole task, if that is what ended it."""
    cause = error.cause
    whole = {TimeoutType.SCHEDULE_TO_CLOSE, TimeoutType.SCHEDULE_TO_START}
    return cause if isinstance(cause, TemporalTimeoutError) and cause.type in whole else None


def _error_info(error: FailureError, call: TaskCall, tried: int | None) -> ErrorInfo:
    """A failed activity as the error of its step."""
    cause = error.cause if isinstance(error, ActivityError) else error
    if isinstance(cause, ApplicationError):
        details = cause.details[0] if cause.details else None
        return external_error(cause.type, cause.message, details, tried)
    if isinstance(cause, TemporalTimeoutError):
        kind = cause.type.name.lower().replace("_", " ") if cause.type is not None else "its"
        message = f"the task did not answer within the {kind} timeout"
        if tried == 0:
            message = f"no worker took the task from the task queue {call.spec.task_queue} in time"
        return ErrorInfo(type="TimeoutError", message=message, attempts=tried)
    if isinstance(cause, ServerError) and _TOO_LARGE in cause.message:
        message = "Temporal refused what the task answered, which is too large"
        return ErrorInfo(type="PayloadTooLarge", message=message, attempts=tried)
    said = cause.message if isinstance(cause, FailureError) else str(cause or error)
    return external_error(type(cause or error).__name__, said, None, tried)
