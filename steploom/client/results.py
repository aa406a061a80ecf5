"""How an execution has ended: its output, or an error that says why there is none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from temporalio.client import WorkflowFailureError
from temporalio.exceptions import (
    ApplicationError,
    CancelledError,
    TerminatedError,
)
from temporalio.exceptions import TimeoutError as TemporalTimeoutError
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import NotFoundError
from definitions.identity import instance_id
from definitions.statuses import InstanceStatus
from steploom.client.errors import (
    ExecutionCancelledError,
    ExecutionEndedError,
    ExecutionFailedError,
    ExecutionTerminatedError,
    ExecutionTimedOutError,
    WaitTimeoutError,
)
from steploom.operations.executions import find_first_run
from steploom.operations.temporal import unreachable

if TYPE_CHECKING:
    from definitions.ports import Organization
    from definitions.views import InstanceView
    from steploom.services import Services


async def result_of(services: Services, org: Organization, name: str, seconds: float | None) -> Any:
    """The output of an execution, once it has ended; at most so many seconds are waited.

    Raises:
        NotFoundError: No such execution in this org.
        ExecutionEndedError: It did not end well.
        WaitTimeoutError: It did not end in time.
    """
    execution_id, first_run = await find_first_run(services, org, name)
    handle = services.client.get_workflow_handle(execution_id, run_id=first_run)
    try:
        return await asyncio.wait_for(handle.result(), seconds)
    except TimeoutError:
        raise WaitTimeoutError(execution_id, seconds or 0.0) from None
    except WorkflowFailureError as failed:
        raise _error(execution_id, failed.cause) from None
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise unreachable(error) from error
        if not services.recorded:
            raise NotFoundError("execution", name) from None
    # Temporal has forgotten it, and the record has not.
    return _recorded(await services.reader.find_instance(org.id, str(instance_id(first_run))))


def _error(execution_id: str, cause: BaseException | None) -> ExecutionEndedError:
    match cause:
        case CancelledError():
            return ExecutionCancelledError(execution_id, f"{execution_id} was cancelled")
        case TerminatedError():
            said = f": {cause.message}" if cause.message else ""
            return ExecutionTerminatedError(execution_id, f"{execution_id} was terminated{said}")
        case TemporalTimeoutError():
            return ExecutionTimedOutError(
                execution_id,
                f"{execution_id} has timed out in Temporal",
                {"type": "WorkflowTimeout"},
            )
        case ApplicationError():
            given = cause.details[0] if cause.details else None
            error = given if isinstance(given, dict) else {}
            return _failed(execution_id, cause.message, {"type": cause.type, **error})
        case _:
            return _failed(execution_id, str(cause), {"type": type(cause).__name__})


def _failed(execution_id: str, message: str, error: dict[str, Any]) -> ExecutionFailedError:
    kind = ExecutionFailedError
    if error.get("type") == "WorkflowTimeout":
        kind = ExecutionTimedOutError
    return kind(execution_id, f"{execution_id} failed: {message}", error)


def _recorded(instance: InstanceView) -> Any:
    name, error = instance.execution_id, instance.error or {}
    match instance.status:
        case InstanceStatus.COMPLETED:
            return instance.output
        case InstanceStatus.CANCELLED:
            raise ExecutionCancelledError(name, f"{name} was cancelled", error)
        case InstanceStatus.FAILED if error.get("type") == "WorkflowTerminated":
            raise ExecutionTerminatedError(name, f"{name} was terminated", error)
        case InstanceStatus.FAILED:
            raise _failed(name, str(error.get("message") or error.get("type")), error)
        case _:
            raise NotFoundError(
                "execution", name, hint="Temporal does not know it, and its record has no end"
            )
