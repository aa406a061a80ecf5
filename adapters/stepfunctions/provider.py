"""The provider ``step-functions``: workflows are state machines, executions their executions.

Nothing is kept here: all of it is AWS's. An execution's id is its ARN. What belongs to whom is a
matter of names: the state machines of an org other than ``default`` begin with its slug and ``_``,
which no workflow's id has.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from adapters.stepfunctions.errors import call
from adapters.stepfunctions.history import event_of, failed_at, fetch_events, last_moment
from adapters.stepfunctions.names import Names
from adapters.stepfunctions.specs import (
    MAX_EXECUTION_NAME,
    STEP_FUNCTIONS,
    check_spec,
    machine_of,
    too_long,
)
from definitions.canonical import content_hash
from definitions.jsongate import JsonGateError, loads
from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderNotFoundError,
    SpecError,
    UnsupportedError,
)
from definitions.providers.limits import MAX_PAGE, check_listing
from definitions.providers.port import ExecutionPage
from definitions.providers.types import (
    END_EVENTS,
    CreateWorkflowResult,
    ExecutionError,
    ExecutionEvent,
    ExecutionResult,
    ExecutionState,
    ExecutionStatus,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from datetime import datetime

    from definitions.providers.types import ExecutionInput, WorkflowSpec

_STATES = {
    "RUNNING": ExecutionState.RUNNING,
    "PENDING_REDRIVE": ExecutionState.RUNNING,
    "SUCCEEDED": ExecutionState.SUCCEEDED,
    "FAILED": ExecutionState.FAILED,
    "TIMED_OUT": ExecutionState.TIMED_OUT,
    "ABORTED": ExecutionState.CANCELLED,
}
_FILTERS = {state: name for name, state in _STATES.items() if name != "PENDING_REDRIVE"}
#: AWS's longest ``cause``, in characters.
_MAX_CAUSE = 32_768


class StepFunctionsProvider:
    """Workflows and executions of one org (see ``definitions.providers.port``).

    Args:
        client: boto3's client of Step Functions.
        names: What is called how, and what is the org's.
        role_arn: The role of workflows whose ``provider_config`` names none.
    """

    provider_type = STEP_FUNCTIONS

    def __init__(self, client: Any, names: Names, role_arn: str | None = None) -> None:
        self._client = client
        self._names = names
        self._role_arn = role_arn

    async def create(self, spec: WorkflowSpec) -> CreateWorkflowResult:
        """Creates a state machine."""
        machine = self._names.machine(spec.workflow_id)
        config = check_spec(spec, machine, self._role_arn)
        wanted = machine_of(spec)
        more = {
            "loggingConfiguration": config.get("logging_configuration"),
            "tracingConfiguration": config.get("tracing_configuration"),
        }
        created = await call(
            self._client.create_state_machine,
            "workflow",
            spec.workflow_id,
            name=machine,
            definition=_dump(wanted),
            roleArn=config["role_arn"],
            type="STANDARD",
            tags=[{"key": key, "value": value} for key, value in spec.tags.items()],
            **{name: value for name, value in more.items() if value is not None},
        )
        # AWS does not hold the role against the one that is there, for one.
        there = await self._describe(spec.workflow_id)
        same = content_hash(_load(there["definition"])) == content_hash(wanted)
        if not same or there["roleArn"] != config["role_arn"]:
            raise AlreadyExistsError(
                f"there is a workflow {spec.workflow_id!r} with another definition or role",
                hint="take another workflow_id, or delete the workflow first",
            )
        return CreateWorkflowResult(
            workflow_id=spec.workflow_id,
            provider_type=STEP_FUNCTIONS,
            resource_ids={"arn": created["stateMachineArn"]},
            created_at=there["creationDate"],
        )

    async def start(self, workflow_id: str, given: ExecutionInput) -> ExecutionResult:
        """Starts an execution."""
        name = given.execution_name or uuid4().hex
        if len(name) > MAX_EXECUTION_NAME:
            found = too_long("/execution_name", name, MAX_EXECUTION_NAME)
            raise SpecError("an unusable ExecutionInput", [found])
        if given.tags:
            raise UnsupportedError(
                "Step Functions keeps no tags of executions",
                hint="tag the workflow, or put what you look for into the input",
            )
        try:
            started = await call(
                self._client.start_execution,
                "workflow",
                workflow_id,
                stateMachineArn=self._names.machine_arn(workflow_id),
                name=name,
                input=_dump(given.input),
            )
        except AlreadyExistsError:
            return await self._started_before(workflow_id, name, given)
        return ExecutionResult(
            execution_id=started["executionArn"],
            workflow_id=workflow_id,
            provider_type=STEP_FUNCTIONS,
            state=ExecutionState.RUNNING,
            started_at=started["startDate"],
        )

    async def _started_before(
        self, workflow_id: str, name: str, given: ExecutionInput
    ) -> ExecutionResult:
        """The execution of this name, to which AWS compared texts, or which has ended."""
        arn = self._names.execution_arn(workflow_id, name)
        found = await call(self._client.describe_execution, "execution", arn, executionArn=arn)
        if content_hash(_load(found["input"])) != content_hash(given.input):
            raise AlreadyExistsError(
                f"{workflow_id!r} has an execution {name!r} with another input",
                hint="use a new name for a new execution, or repeat the first start unchanged",
            )
        return ExecutionResult(
            execution_id=arn,
            workflow_id=workflow_id,
            provider_type=STEP_FUNCTIONS,
            state=_STATES[found["status"]],
            started_at=found["startDate"],
            message="it was started before",
        )

    async def status(self, execution_id: str, *, history: bool = False) -> ExecutionStatus:
        """An execution as it stands."""
        workflow_id = self._names.workflow_of(execution_id)
        found = await call(
            self._client.describe_execution, "execution", execution_id, executionArn=execution_id
        )
        state = _STATES[found["status"]]
        stopped = await self._stopped(execution_id, state, found.get("stopDate"))
        events = []
        if history:
            events = [event async for event in self._events(execution_id, MAX_PAGE, state, stopped)]
        members: dict[str, Any] = {"input": _load(found.get("input"))}
        if state is ExecutionState.SUCCEEDED and found.get("output") is not None:
            members["output"] = _load(found["output"])
        return ExecutionStatus(
            execution_id=execution_id,
            workflow_id=workflow_id,
            provider_type=STEP_FUNCTIONS,
            state=state,
            start_time=found["startDate"],
            stop_time=stopped,
            error=await self._error(execution_id, state, found),
            history=events,
            metadata={"state_machine_arn": found["stateMachineArn"], "name": found["name"]},
            **members,
        )

    async def _stopped(
        self, execution_id: str, state: ExecutionState, told: datetime | None
    ) -> datetime | None:
        if told is None and state.ended:
            return await last_moment(self._client, execution_id)
        return told if state.ended else None

    async def _error(
        self, execution_id: str, state: ExecutionState, found: dict[str, Any]
    ) -> ExecutionError | None:
        """AWS's error and cause; a cause that a Lambda function has written has a message in it."""
        if state not in {ExecutionState.FAILED, ExecutionState.TIMED_OUT}:
            return None
        code, cause = found.get("error") or "", (found.get("cause") or "")[:_MAX_CAUSE]
        timed_out = state is ExecutionState.TIMED_OUT
        return ExecutionError(
            code=code or ("States.Timeout" if timed_out else "States.Runtime"),
            message=_message(cause) or ("the execution timed out" if timed_out else code or cause),
            cause=cause,
            failed_at=await failed_at(self._client, execution_id),
        )

    async def history(
        self, execution_id: str, *, page_size: int = 100
    ) -> AsyncIterator[ExecutionEvent]:
        """What happened in an execution so far."""
        self._names.workflow_of(execution_id)
        found = await call(
            self._client.describe_execution, "execution", execution_id, executionArn=execution_id
        )
        state = _STATES[found["status"]]
        stopped = await self._stopped(execution_id, state, found.get("stopDate"))
        async for event in self._events(execution_id, page_size, state, stopped):
            yield event

    async def _events(
        self,
        execution_id: str,
        page_size: int,
        state: ExecutionState,
        stopped: datetime | None,
    ) -> AsyncIterator[ExecutionEvent]:
        """AWS's history; its end is made up where the state is known sooner than the history."""
        over = False
        async for given in fetch_events(self._client, execution_id, page_size=page_size):
            event = event_of(given)
            over = over or event.type in END_EVENTS.values()
            yield event
        if state.ended and not over and stopped is not None:
            yield ExecutionEvent(timestamp=stopped, type=END_EVENTS[state], details={})

    async def cancel(self, execution_id: str, *, reason: str | None = None) -> None:
        """Stops an execution."""
        status = await self.status(execution_id)
        if status.state.ended:
            return
        told = {"cause": reason[:_MAX_CAUSE]} if reason else {}
        await call(
            self._client.stop_execution,
            "execution",
            execution_id,
            executionArn=execution_id,
            **told,
        )

    async def list(
        self,
        workflow_id: str,
        *,
        state: ExecutionState | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> ExecutionPage:
        """A page of a state machine's executions."""
        check_listing(limit, tags)
        if tags:
            raise UnsupportedError("Step Functions keeps no tags of executions")
        if state is ExecutionState.PENDING:
            await self._describe(workflow_id)
            return ExecutionPage([])
        asked = {"statusFilter": _FILTERS[state] if state else None, "nextToken": after}
        page = await call(
            self._client.list_executions,
            "workflow",
            workflow_id,
            stateMachineArn=self._names.machine_arn(workflow_id),
            maxResults=limit,
            **{name: value for name, value in asked.items() if value is not None},
        )
        items = [
            ExecutionStatus(
                execution_id=one["executionArn"],
                workflow_id=workflow_id,
                provider_type=STEP_FUNCTIONS,
                state=_STATES[one["status"]],
                start_time=one["startDate"],
                stop_time=one.get("stopDate"),
                input=None,
                metadata={"state_machine_arn": one["stateMachineArn"], "name": one["name"]},
            )
            for one in page["executions"]
        ]
        return ExecutionPage(items, page.get("nextToken") or None)

    async def signal(self, execution_id: str, name: str, data: Any = None) -> None:
        """Refused: a state machine takes no events from outside."""
        raise UnsupportedError(
            f"Step Functions has no signals, so {execution_id} cannot be sent {name!r}",
            hint="a task token answers a task that waits for one; that is done through AWS",
        )

    async def delete(self, workflow_id: str) -> None:
        """Deletes a state machine; AWS ends its executions at their next change of state."""
        await self._describe(workflow_id)
        await call(
            self._client.delete_state_machine,
            "workflow",
            workflow_id,
            stateMachineArn=self._names.machine_arn(workflow_id),
        )

    async def _describe(self, workflow_id: str) -> dict[str, Any]:
        found: dict[str, Any] = await call(
            self._client.describe_state_machine,
            "workflow",
            workflow_id,
            stateMachineArn=self._names.machine_arn(workflow_id),
        )
        if found.get("status") == "DELETING":
            raise ProviderNotFoundError("workflow", workflow_id)
        return found


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _load(text: str | None) -> Any:
    """A value that AWS keeps; a text where it is one that we refuse."""
    if text is None:
        return None
    try:
        return loads(text)
    except JsonGateError:
        return text


def _message(cause: str) -> str:
    """The message in a cause, which is JSON where a Lambda function has failed."""
    try:
        told = loads(cause)
    except JsonGateError:
        return cause
    message = told.get("errorMessage") if isinstance(told, dict) else None
    return message if isinstance(message, str) else cause
