"""Temporal's words for how a run stands and ended, in those of the provider types."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    FailureError,
    TerminatedError,
    TimeoutError,  # noqa: A004 (Temporal's own name for it)
)
from temporalio.service import RPCError, RPCStatusCode

from definitions.outputs import json_size
from definitions.providers.errors import SpecError, Violation, provider_errors
from definitions.providers.limits import MAX_INPUT, MAX_OUTPUT
from definitions.providers.types import ExecutionError, ExecutionState
from steploom.operations.temporal import unreachable
from steploom.providers.temporal_retries import error_of_try

if TYPE_CHECKING:
    from collections.abc import Iterator

    from temporalio.client import Client, WorkflowExecution, WorkflowExecutionDescription

#: The error type of a run that its own timeout has ended.
WORKFLOW_TIMEOUT = "WorkflowTimeout"
#: The longest ``cause`` (UTF-8 bytes).
_MAX_CAUSE = 32 * 1024
#: Before a worker has taken up a run, its history has that it was started, and its first task.
_UNTOUCHED = 2
#: Seconds for the answer about a run that has ended.
_ANSWER = 20.0

_STATES = {
    WorkflowExecutionStatus.COMPLETED: ExecutionState.SUCCEEDED,
    WorkflowExecutionStatus.FAILED: ExecutionState.FAILED,
    WorkflowExecutionStatus.CANCELED: ExecutionState.CANCELLED,
    WorkflowExecutionStatus.TERMINATED: ExecutionState.FAILED,
    WorkflowExecutionStatus.TIMED_OUT: ExecutionState.TIMED_OUT,
}


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended, in Temporal: with an output (``has_output``), or with an error."""

    output: Any = None
    has_output: bool = False
    error: ExecutionError | None = None


@contextmanager
def temporal_errors() -> Iterator[None]:
    """Turns the general errors of its body, and Temporal's, into those of a provider."""
    with provider_errors():
        try:
            yield
        except RPCError as error:
            if error.status is not RPCStatusCode.INVALID_ARGUMENT:
                raise unreachable(error) from error
            found = Violation(pointer="", code="refused", message=error.message)
            raise SpecError("Temporal refuses that", [found]) from error


async def describe(client: Client, execution_id: str) -> WorkflowExecutionDescription | None:
    """What Temporal says of the latest run of this id, if it has one.

    Raises:
        UnreachableError: It does not answer.
    """
    try:
        return await client.get_workflow_handle(execution_id).describe()
    except RPCError as error:
        if error.status in {RPCStatusCode.NOT_FOUND, RPCStatusCode.INVALID_ARGUMENT}:
            return None
        raise unreachable(error) from error


def state_of(described: WorkflowExecution, error: ExecutionError | None) -> ExecutionState:
    """Where a run stands. ``error``: why it failed, where that is known."""
    state = _STATES.get(described.status or WorkflowExecutionStatus.RUNNING)
    if state is None:
        # A run that goes on in a new one, or is tried again, has been taken up before.
        first = (described.raw_info.first_run_id or described.run_id) == described.run_id
        untouched = first and described.history_length <= _UNTOUCHED
        return ExecutionState.PENDING if untouched else ExecutionState.RUNNING
    if state is ExecutionState.FAILED and error is not None and error.code == WORKFLOW_TIMEOUT:
        return ExecutionState.TIMED_OUT
    return state


async def ending_of(
    client: Client, described: WorkflowExecutionDescription, *, retried: bool = False
) -> Ending:
    """How a run that has ended did so. ``retried``: it tried another one again.

    Raises:
        UnreachableError: Temporal does not answer.
    """
    handle = client.get_workflow_handle(described.id, run_id=described.run_id)
    try:
        output = await asyncio.wait_for(handle.result(follow_runs=False), _ANSWER)
    except WorkflowFailureError as failure:
        return Ending(error=error_of_failure(failure.cause, retried=retried))
    except RPCError as error:
        raise unreachable(error) from error
    return Ending(output=output, has_output=True)


def error_of_failure(
    cause: BaseException | None, *, retried: bool = False
) -> ExecutionError | None:
    """Why Temporal says that a run failed; None for one that was cancelled."""
    match cause:
        case CancelledError():
            return None
        case TerminatedError():
            message = cause.message or "it was terminated in Temporal"
            return ExecutionError(code="WorkflowTerminated", message=message)
        case TimeoutError():
            message = "the run took longer than the timeout that it was started with"
            return ExecutionError(code=WORKFLOW_TIMEOUT, message=message)
        case ApplicationError():
            told = cause.details[0] if cause.details else None
            if isinstance(told, dict) and told.get("type") == cause.type:
                return error_on_record(told, retried=retried)
            return ExecutionError(
                code=cause.type or "ApplicationError",
                message=cause.message,
                cause=_below(cause),
            )
        case _:
            return ExecutionError(code=type(cause).__name__, message=str(cause))


def _below(error: FailureError) -> str:
    inner = error.cause
    if inner is None:
        return ""
    name = inner.type if isinstance(inner, ApplicationError) else None
    return f"{name or type(inner).__name__}: {inner}"[:_MAX_CAUSE]


def error_on_record(error: dict[str, Any], *, retried: bool = False) -> ExecutionError:
    """The error of one of our runs: its type as the code, its details as the cause.

    ``retried``: it tried another one again, and that one's last error counts.
    """
    if retried:
        error = error_of_try(error)
    details = error.get("details")
    cause = "" if details is None else json.dumps(details, ensure_ascii=False)
    kind = str(error.get("type") or "Error")
    return ExecutionError(
        code=kind,
        message=str(error.get("message") or kind),
        cause=cause if len(cause.encode("utf-8", "replace")) <= _MAX_CAUSE else "",
        failed_at=str(error.get("stepId") or ""),
    )


def bounded(given: Any, output: Any, *, has_output: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The members ``input`` and ``output`` of a status, and what its metadata says of them.

    A run that was started past the provider may have larger ones than a status holds.
    """
    members: dict[str, Any] = {"input": None}
    metadata: dict[str, str] = {}
    values = [("input", given, MAX_INPUT, True), ("output", output, MAX_OUTPUT, has_output)]
    for name, value, most, there in values:
        size = json_size(value) if there else 0
        if size > most:
            metadata[f"{name}_left_out"] = f"{size} bytes, at most {most} are shown"
        elif there:
            members[name] = value
    return members, metadata
