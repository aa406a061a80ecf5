"""Which UI components to show for an execution: the run is asked, else its record."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import ValidationError
from temporalio.client import WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError, RPCStatusCode

from definitions.document import Definition
from definitions.errors import InvalidInputError, NotFoundError, UnreachableError
from definitions.names import QUERY_UI
from definitions.reruns import data_of, error_of
from definitions.ui import (
    UiAnswer,
    UiRequest,
    UiUser,
    components_for,
    current_step,
    progress_of,
)
from steploom.operations.temporal import find_run, has_pollers, unreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.client import WorkflowExecutionDescription

    from definitions.jsontypes import Json
    from definitions.ports import Organization
    from definitions.views import InstanceView
    from steploom.services import Services

#: Seconds that a worker has for an answer.
_ANSWER = 20.0
#: What expressions see of an error.
_OF_AN_ERROR = ("type", "code", "message", "details", "stepId", "attempts")


def ui_user(
    user: str | None = None, roles: Sequence[str] = (), permissions: Sequence[str] = ()
) -> UiUser:
    """Who looks at a run.

    Raises:
        InvalidInputError: A name is empty or longer than 255 characters.
    """
    try:
        return UiUser(id=user, roles=list(roles), permissions=list(permissions))
    except ValidationError:
        raise InvalidInputError(
            "a user, a role or a permission is a text of 1 to 255 characters, and there are at "
            "most 1000 of each"
        ) from None


async def show_ui(services: Services, org: Organization, name: str, user: UiUser) -> UiAnswer:
    """The components to show to a user now.

    Raises:
        NotFoundError: No such execution.
        UnreachableError: It goes on, and no worker is there to ask.
    """
    instance: InstanceView | None = None
    if services.recorded:
        try:
            instance = await services.reader.find_instance(org.id, name)
        except NotFoundError:
            instance = None  # Not on record yet, or there is none.
    execution_id = instance.execution_id if instance is not None else name
    found = await find_run(services.client, execution_id, org)
    try:
        if found is not None:
            return await _ask(services, found, user)
    except UnreachableError:
        if instance is None or not instance.status.ended:
            raise
    if instance is None:
        raise NotFoundError("execution", name)
    return await _from_record(services, org, instance, user)


async def _ask(services: Services, found: WorkflowExecutionDescription, user: UiUser) -> UiAnswer:
    execution_id = found.id
    if not await has_pollers(services.client, found.task_queue):
        raise UnreachableError(
            "Temporal",
            f"no worker serves {execution_id} now, so nobody can ask it",
            hint="start a worker with `steploom worker` or `steploom dev`",
        )
    handle = services.client.get_workflow_handle(execution_id, run_id=found.run_id)
    request = UiRequest(user=user).to_json()
    try:
        answer = await asyncio.wait_for(handle.query(QUERY_UI, request), _ANSWER)
        return UiAnswer.model_validate(answer)
    except (WorkflowQueryFailedError, WorkflowQueryRejectedError) as error:
        raise InvalidInputError(f"{execution_id} cannot answer: {error}") from None
    except TimeoutError:
        raise UnreachableError(
            "Temporal",
            f"no worker answered for {execution_id} within {_ANSWER:.0f} s",
            hint="start a worker with `steploom worker` or `steploom dev`",
        ) from None
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            raise NotFoundError("execution", execution_id) from None
        raise unreachable(error) from error


async def _from_record(
    services: Services, org: Organization, instance: InstanceView, user: UiUser
) -> UiAnswer:
    """What the run would answer, with the values as they were stored: redacted ones stay so."""
    status = str(instance.status)
    if instance.definition_version_id is None:
        return UiAnswer(execution_id=instance.execution_id, status=status)
    stored = await services.store.get_version(org.id, instance.definition_version_id)
    definition = Definition.model_validate(stored.document)
    state = instance.state or {}
    steps = state.get("steps") or {}
    given = state.get("input") or {}
    recorded = await services.reader.steps(org.id, instance.id)
    names: dict[str, Json] = {
        "input": given,
        "data": data_of(recorded, given),
        "variables": state.get("variables") or {},
        "steps": steps,
        "workflow": {
            "id": instance.workflow_id,
            "version": instance.version,
            "executionId": instance.execution_id,
            "correlationId": instance.correlation_id,
            "startedAt": instance.started_at.isoformat().replace("+00:00", "Z"),
        },
        "status": status,
    }
    error = instance.error or error_of(recorded)
    if error is not None:
        names["error"] = {name: error.get(name) for name in _OF_AN_ERROR}
    at = instance.current_step_id
    return components_for(
        definition.ui_components,
        names,
        user,
        execution_id=instance.execution_id,
        progress=progress_of([step.step_id for step in definition.steps], steps, status),
        current_step=current_step(at, steps.get(at)) if at is not None else None,
    )
