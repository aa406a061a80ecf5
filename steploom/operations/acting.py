"""What people and programs do to executions that run: decide, pause, resume, skip, cancel, send.

Each returns once the run has taken it, but for ``cancel`` and ``send``, which Temporal takes for
the run.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ValidationError
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from definitions.errors import (
    ConflictError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    UnreachableError,
)
from definitions.names import (
    SIGNAL_EVENT,
    UPDATE_DECIDE,
    UPDATE_PAUSE,
    UPDATE_RESUME,
    UPDATE_SKIP,
)
from definitions.outputs import json_size
from definitions.references import KEY, first_reference
from definitions.validation.misfits import misfits
from steploom.operations.executions import find
from steploom.operations.temporal import find_run, has_pollers, unreachable
from steploom.operations.unrecorded import status_of
from worker.interpreter.events import MAX_DATA_BYTES, EventMessage
from worker.interpreter.operators import OperatorRequest, SkipRequest
from worker.messages import cancel_reason

if TYPE_CHECKING:
    from temporalio.client import WorkflowHandle

    from definitions.jsontypes import JsonObject
    from definitions.ports import Organization
    from steploom.operations.executions import Snapshot
    from steploom.services import Services

#: Seconds that a worker has for an answer.
_ANSWER = 20.0


@dataclass(frozen=True, slots=True)
class Acted:
    """What came of ``pause``, ``resume`` or ``cancel``. ``changed``: it was not so before."""

    execution_id: str
    action: Literal["pause", "resume", "cancel"]
    changed: bool

    def to_json(self) -> dict[str, Any]:
        """The outcome as JSON values."""
        return {
            "executionId": self.execution_id,
            "action": self.action,
            "changed": self.changed,
        }


async def decide(
    services: Services,
    org: Organization,
    name: str,
    *,
    decision: Literal["approved", "rejected"],
    approver: str,
    step: str | None = None,
    comment: str | None = None,
    payload: Any = None,
) -> dict[str, Any]:
    """Hands a person's decision to a run; returns what the run answers.

    Args:
        services: Temporal, and Postgres where there is one.
        org: Whose run.
        name: Any name of the run.
        decision: The decision.
        approver: Who decides.
        step: The step's id or path; may be left out where exactly one waits.
        comment: Why.
        payload: What the approval's form asks for.

    Raises:
        NotFoundError: No such run.
        RefusedError: The run refuses it, with its reason; or nothing waits.
        ConflictError: Several steps wait, and none was named.
        UnreachableError: No worker answers.
    """
    if step:
        execution_id = await _find_running(services, org, name)
    else:
        snapshot = await find(services, org, name)
        execution_id = snapshot.instance.execution_id
        if snapshot.instance.status.ended:
            raise _ended(execution_id, str(snapshot.instance.status))
        step = _the_one_that_waits(snapshot)
    request = {
        "stepId": step,
        "decision": decision,
        "approver": approver,
        "comment": comment,
        "payload": payload,
    }
    given = {key: value for key, value in request.items() if value is not None}
    answer = await _ask(services, execution_id, UPDATE_DECIDE, given, "the decision")
    return answer if isinstance(answer, dict) else {}


def _the_one_that_waits(snapshot: Snapshot) -> str:
    waiting = snapshot.waiting
    if len(waiting) == 1:
        return waiting[0].path
    name = snapshot.instance.execution_id
    if not waiting:
        raise RefusedError(
            f"no step of {name} waits for a decision",
            hint=f"`steploom show {name}` tells where it stands",
        )
    raise ConflictError(
        f"{len(waiting)} steps of {name} wait for a decision",
        hint=f"name one: {', '.join(step.path for step in waiting)}",
    )


async def pause(
    services: Services, org: Organization, name: str, *, actor: str, reason: str | None = None
) -> Acted:
    """Has a run start no new step; what runs finishes.

    Raises:
        NotFoundError: No such run.
        RefusedError: It has ended, or has not begun.
        InvalidInputError: The actor or the reason is too long.
        UnreachableError: No worker answers.
    """
    request = _operator(actor, reason)
    execution_id = await _find_running(services, org, name)
    changed = await _ask(services, execution_id, UPDATE_PAUSE, request, "to be paused")
    return Acted(execution_id, "pause", bool(changed))


async def resume(
    services: Services, org: Organization, name: str, *, actor: str, reason: str | None = None
) -> Acted:
    """Has a paused run go on. Raises as ``pause``."""
    request = _operator(actor, reason)
    execution_id = await _find_running(services, org, name)
    changed = await _ask(services, execution_id, UPDATE_RESUME, request, "to be resumed")
    return Acted(execution_id, "resume", bool(changed))


async def skip(
    services: Services,
    org: Organization,
    name: str,
    step: str,
    *,
    actor: str,
    reason: str | None = None,
) -> dict[str, Any]:
    """Has a run go on from a step that waits or whose task runs; returns what the run answers.

    Args:
        services: Temporal, and Postgres where there is one.
        org: Whose run.
        name: Any name of the run.
        step: The step's id, or its path where several of that id are under way.
        actor: Who does it.
        reason: Why.

    Raises:
        NotFoundError: No such run.
        RefusedError: The run refuses it, with its reason.
        InvalidInputError: One of the texts is too long.
        UnreachableError: No worker answers.
    """
    request = _operator(actor, reason, stepId=step)
    execution_id = await _find_running(services, org, name)
    answer = await _ask(services, execution_id, UPDATE_SKIP, request, f"to skip {step}")
    return {"executionId": execution_id, **(answer if isinstance(answer, dict) else {})}


async def cancel(
    services: Services, org: Organization, name: str, *, actor: str, reason: str | None = None
) -> Acted:
    """Asks a run to end as ``cancelled``.

    Raises:
        NotFoundError: No such run.
        RefusedError: It has ended already.
        InvalidInputError: The actor or the reason is too long.
    """
    _operator(actor, reason)
    execution_id = await _find_running(services, org, name)
    try:
        handle = services.client.get_workflow_handle(execution_id)
        await handle.cancel(reason=cancel_reason(actor, reason))
    except RPCError as error:
        raise _rpc_problem(error, execution_id) from error
    return Acted(execution_id, "cancel", changed=True)


async def send(
    services: Services, org: Organization, name: str, message: JsonObject
) -> dict[str, Any]:
    """Sends a run an event. A step that waits for it goes on; else it is kept until one does.

    Args:
        services: Temporal, and Postgres where there is one.
        org: Whose run.
        name: Any name of the run.
        message: ``name`` of the event, and optionally its ``data`` and ``id``; a run takes events
            with the same id only once.

    Returns:
        The message that was sent, with ``executionId`` and ``served``: whether any worker is there
        to hand it to the run now.

    Raises:
        NotFoundError: No such run.
        RefusedError: It has ended already.
        InvalidInputError: The name or the id has no usable length, or the data is too big or has
            the reserved member.
    """
    _check_message(EventMessage, message)
    if (size := json_size(message.get("data"))) > MAX_DATA_BYTES:
        raise InvalidInputError(
            f"the data has {size} bytes, at most {MAX_DATA_BYTES} are allowed",
            hint="pass a reference to what is large",
        )
    if first_reference(message.get("data")) is not None:
        raise InvalidInputError(
            f"the data has a member {KEY}, which is reserved; nothing was sent",
            hint="give the value itself, or one of your own that says where it is",
        )
    execution_id = await _find_running(services, org, name)
    handle = services.client.get_workflow_handle(execution_id)
    try:
        await handle.signal(SIGNAL_EVENT, message)
        served = await _is_served(services, handle)
    except RPCError as error:
        raise _rpc_problem(error, execution_id) from error
    return {"executionId": execution_id, **message, "served": served}


def _operator(actor: str, reason: str | None, **more: str) -> JsonObject:
    """Who acts and why, as a run reads it."""
    message = {**more, "actor": actor} | ({"reason": reason} if reason else {})
    _check_message(SkipRequest if more else OperatorRequest, message)
    return message


def _check_message(model: type[BaseModel], message: JsonObject) -> None:
    """Sees that the run will be able to read a message, which has no good way to say so."""
    try:
        model.model_validate(message, by_alias=True, by_name=False)
    except ValidationError as error:
        raise InvalidInputError("the run could not read that", problems=misfits(error)) from None


async def _find_running(services: Services, org: Organization, name: str) -> str:
    """The execution id of a run that has not ended, as far as one can tell."""
    if services.recorded:
        try:
            instance = await services.reader.find_instance(org.id, name)
        except NotFoundError:
            # One that no worker has taken up yet is not on record.
            if await find_run(services.client, name, org) is None:
                raise
            return name
        if instance.status.ended:
            raise _ended(instance.execution_id, str(instance.status))
        return instance.execution_id
    found = await find_run(services.client, name, org)
    if found is None:
        raise NotFoundError("execution", name)
    if (ended := status_of(found)) is not None:
        raise _ended(name, str(ended))
    return name


async def _ask(
    services: Services, execution_id: str, update: str, request: JsonObject, what: str
) -> Any:
    """What a run answers to an update. ``what`` it is asked, for a sentence."""
    handle = services.client.get_workflow_handle(execution_id)
    try:
        if not await _is_served(services, handle):
            raise UnreachableError(
                "Temporal",
                f"no worker serves {execution_id} now, so nobody can ask it; nothing was changed",
                hint="start a worker with `steploom worker` or `steploom dev`",
            )
        return await asyncio.wait_for(handle.execute_update(update, request), _ANSWER)
    except WorkflowUpdateFailedError as error:
        cause = error.cause
        reason = cause.message if isinstance(cause, ApplicationError) else str(cause)
        raise RefusedError(
            f"{execution_id} refuses {what}: {reason}",
            hint=f"`steploom show {execution_id}` tells where it stands",
        ) from None
    except TimeoutError:
        raise UnreachableError(
            "Temporal",
            f"no worker answered for {execution_id} within {_ANSWER:.0f} s; what it was asked may "
            "still arrive",
            hint="start a worker with `steploom worker` or `steploom dev`",
        ) from None
    except RPCError as error:
        raise _rpc_problem(error, execution_id) from error


async def _is_served(services: Services, handle: WorkflowHandle[Any, Any]) -> bool:
    """Whether a worker is there for a run, which may be on another queue than the settings'."""
    return await has_pollers(services.client, (await handle.describe()).task_queue)


def _ended(execution_id: str, status: str) -> RefusedError:
    return RefusedError(
        f"{execution_id} is {status} already",
        hint=f"`steploom show {execution_id}` tells how it ended",
    )


def _rpc_problem(error: RPCError, execution_id: str) -> RefusedError | UnreachableError:
    if error.status is RPCStatusCode.NOT_FOUND:
        return RefusedError(f"{execution_id} runs no more")
    return unreachable(error)
