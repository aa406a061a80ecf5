"""AWS's history of an execution in the provider types' events, page by page.

States that were entered and left, and the execution's own beginning and end, have the types that
every provider uses. All else that AWS tells (tasks, retries, iterations) keeps AWS's type.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from adapters.stepfunctions.errors import call
from definitions.providers.types import (
    END_EVENTS,
    EXECUTION_STARTED,
    STATE_ENTERED,
    STATE_EXITED,
    ExecutionEvent,
    ExecutionState,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: The most that AWS gives at a time.
_MAX_PAGE = 1000
_TYPES = {
    "ExecutionStarted": EXECUTION_STARTED,
    "ExecutionSucceeded": END_EVENTS[ExecutionState.SUCCEEDED],
    "ExecutionFailed": END_EVENTS[ExecutionState.FAILED],
    "ExecutionTimedOut": END_EVENTS[ExecutionState.TIMED_OUT],
    "ExecutionAborted": END_EVENTS[ExecutionState.CANCELLED],
}
#: What AWS leaves out for us, and says so in each event.
_LEFT_OUT = frozenset({"input", "output", "inputDetails", "outputDetails"})


async def fetch_events(
    client: Any, arn: str, *, page_size: int, newest_first: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """AWS's events, a page at a time.

    Raises:
        ProviderNotFoundError: No such execution.
    """
    token: dict[str, str] = {}
    while True:
        page = await call(
            client.get_execution_history,
            "execution",
            arn,
            executionArn=arn,
            maxResults=max(1, min(page_size, _MAX_PAGE)),
            reverseOrder=newest_first,
            includeExecutionData=False,
            **token,
        )
        events = sorted(page["events"], key=lambda event: event["id"], reverse=newest_first)
        for event in events:
            yield event
        if not page.get("nextToken"):
            return
        token = {"nextToken": page["nextToken"]}


def event_of(given: dict[str, Any]) -> ExecutionEvent:
    """One of AWS's events as one of ours."""
    kind = given["type"]
    ours = _TYPES.get(kind, kind)
    if kind.endswith("StateEntered"):
        ours = STATE_ENTERED
    elif kind.endswith("StateExited"):
        ours = STATE_EXITED
    details: dict[str, Any] = {"id": given["id"]}
    if ours in {STATE_ENTERED, STATE_EXITED}:
        details["kind"] = kind
    for name, value in given.items():
        if name.endswith("EventDetails") and isinstance(value, dict):
            told = {key: _json(one) for key, one in value.items() if key not in _LEFT_OUT}
            if ours in {STATE_ENTERED, STATE_EXITED} and "name" in told:
                details["state"] = told.pop("name")
            details |= told
    return ExecutionEvent(timestamp=given["timestamp"], type=ours, details=details)


async def failed_at(client: Any, arn: str) -> str:
    """The state that was entered last."""
    async for event in fetch_events(client, arn, page_size=_MAX_PAGE, newest_first=True):
        if event["type"].endswith("StateEntered"):
            return str(event.get("stateEnteredEventDetails", {}).get("name", ""))
    return ""


async def last_moment(client: Any, arn: str) -> datetime | None:
    """When the last thing happened."""
    async for event in fetch_events(client, arn, page_size=1, newest_first=True):
        moment: datetime = event["timestamp"]
        return moment
    return None


def _json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {key: _json(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_json(one) for one in value]
    return value
