"""How Temporal is to try a task again, and what the failure of its activity means for the step.

Runs inside the workflow; it keeps no state.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError
from temporalio.exceptions import TimeoutError as TemporalTimeoutError

from definitions.calls import FailureDetails
from definitions.durations import parse_duration
from definitions.errors import NEVER_RETRIED
from definitions.records import ErrorInfo
from worker.external_tasks import ATTEMPT_TIMEOUTS
from worker.interpreter.host import StepError
from worker.interpreter.retries import backoff

if TYPE_CHECKING:
    from definitions.document import RetryPolicy as DocumentRetryPolicy

#: Temporal wants some limit; a task without ``attemptTimeout`` may run as long as its worker lives.
UNLIMITED = timedelta(days=3650)


def retry_policy(
    retry: DocumentRetryPolicy, *, before: int = 0, external: bool = False
) -> RetryPolicy:
    """The policy for Temporal; ``before``: so many attempts were made already."""
    # Temporal reads an interval of zero as "the default", so the shortest there is stands for it.
    delay = max(backoff(retry, before + 1), timedelta(milliseconds=1))
    fixed = retry.strategy == "fixed"
    longest = UNLIMITED
    if fixed:
        longest = delay
    elif retry.max_delay is not None:
        longest = max(parse_duration(retry.max_delay), timedelta(milliseconds=1))
    # Our own activities mark what is never retried; those of other languages cannot know.
    never = sorted(NEVER_RETRIED) if external else []
    if external and "TimeoutError" in retry.non_retryable_errors:
        never += ATTEMPT_TIMEOUTS
    return RetryPolicy(
        initial_interval=min(delay, longest),
        backoff_coefficient=1.0 if fixed else retry.backoff_rate,
        maximum_interval=longest,
        # For Temporal, none at all would be as many as you like.
        maximum_attempts=max(1, retry.max_attempts - before),
        non_retryable_error_types=[*retry.non_retryable_errors, *never] or None,
    )


def told_to_stop() -> bool:
    """Whether the current step was cancelled, which what it waited for may not have heard of."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def timeout_info(message: str, attempts: int | None = None) -> ErrorInfo:
    """The error of what took too long."""
    return ErrorInfo(type="TimeoutError", message=message, attempts=attempts)


def cause_of(error: FailureError) -> BaseException | None:
    """Why an activity failed. What a local one failed with may come as it is, not wrapped."""
    return error.cause if isinstance(error, ActivityError) else error


def step_error_of(error: FailureError, retry: DocumentRetryPolicy) -> StepError:
    """A failed activity as the error of its step."""
    cause = cause_of(error)
    if isinstance(cause, ApplicationError):
        given = cause.details[0] if cause.details else None
        known = FailureDetails()
        if isinstance(given, dict):
            known = FailureDetails.model_validate(given)
        return StepError(
            ErrorInfo(
                type=cause.type or "ApplicationError",
                code=known.code,
                message=cause.message,
                details=known.details,
                # Without its own word (its worker went away), one is all that is certain.
                attempts=known.attempt or 1,
            )
        )
    if isinstance(cause, TemporalTimeoutError):
        state = error.retry_state if isinstance(error, ActivityError) else None
        spent = state is not None and state.name == "MAXIMUM_ATTEMPTS_REACHED"
        kind = cause.type.name.lower().replace("_", " ") if cause.type is not None else "its"
        message = f"the task did not answer within the {kind} timeout"
        return StepError(timeout_info(message, retry.max_attempts if spent else 1))
    kind = type(cause).__name__ if cause is not None else "ActivityError"
    return StepError(ErrorInfo(type=kind, message=str(cause or error)))
