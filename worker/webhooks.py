"""Telling a webhook that a run has ended: the very last thing that a run does, if at all.

Runs inside the workflow, so everything here is replayed. Whatever comes of it, the run's own result
is what it was.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from definitions.calls import FailureDetails, WebhookCall
    from definitions.names import RECORD_ACTIVITY, WEBHOOK_ACTIVITY
    from definitions.records import RecordBatch, WebhookRecord

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from worker.interpreter.state import RunState

#: One attempt. Its request has less, so that it can say itself what went wrong.
_ATTEMPT = timedelta(seconds=30)
#: Eight attempts within two minutes, where they fail at once.
_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2.0,
    maximum_interval=timedelta(seconds=30),
    maximum_attempts=8,
)
_RECORD_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=10)
)


async def tell_end(state: RunState, *, url: str, org: str) -> None:
    """Calls the webhook of a run that has ended; that it could not be reached is on record.

    Args:
        state: The run. All of it is written.
        url: Whom to call.
        org: The slug of the run's org.
    """
    call = WebhookCall(ref=state.ref, org=org, url=url, seq=state.next_seq())
    calling = workflow.start_activity(
        WEBHOOK_ACTIVITY,
        call.to_json(),
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_RETRY,
        summary="call the webhook",
    )
    error = await _finished(calling)
    if error is None:
        return
    failed = WebhookRecord(
        seq=call.seq, outcome="failed", occurred_at=workflow.now(), data=_told(error)
    )
    writing = workflow.start_local_activity(
        RECORD_ACTIVITY,
        RecordBatch(ref=state.ref, records=[failed]).to_json(),
        start_to_close_timeout=_ATTEMPT,
        retry_policy=_RECORD_RETRY,
        summary="write the record",
    )
    await _finished(writing)


async def _finished(handle: asyncio.Task[Any]) -> BaseException | None:
    """Waits for an activity; a run that has ended is not cancelled any more."""
    while not handle.done():
        try:
            await asyncio.shield(handle)
        except asyncio.CancelledError:
            continue
        except FailureError:
            break
    return handle.exception()


def _told(error: BaseException) -> JsonObject:
    cause = error.cause if isinstance(error, ActivityError) else error
    if not isinstance(cause, ApplicationError):
        return {"error": {"type": "TimeoutError", "message": "the attempts did not answer in time"}}
    given = cause.details[0] if cause.details else None
    known = FailureDetails.model_validate(given) if isinstance(given, dict) else FailureDetails()
    told: JsonObject = {"error": {"type": cause.type, "message": cause.message}}
    if known.code is not None:
        told["error"]["code"] = known.code
    if known.attempt is not None:
        told["attempts"] = known.attempt
    return told
