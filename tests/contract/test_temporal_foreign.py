"""The provider ``temporal`` with a workflow type of somebody else, served by their worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.worker import Worker

from definitions.providers.errors import (
    AlreadyExistsError,
    ProviderConflictError,
    ProviderNotFoundError,
    SpecError,
)
from definitions.providers.types import ExecutionInput, ExecutionState
from steploom.testing.provider_contract import GO
from tests.contract.documents import Documents, created, provider_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workflows.stack import Stack


@workflow.defn(name="ForeignGreeting", sandboxed=False)
class Greeting:
    """A workflow type of somebody else."""

    def __init__(self) -> None:
        self._gone = False

    @workflow.run
    async def run(self, given: dict[str, Any]) -> dict[str, Any]:
        """Greets; fails, or waits, where it is told to."""
        if "fail" in given and workflow.info().attempt <= given["fail"]:
            raise ApplicationError("out of greetings", type="NoGreeting")
        if given.get("wait"):
            await workflow.wait_condition(lambda: self._gone)
        return given

    @workflow.signal(name=GO)
    def go(self, _given: Any = None) -> None:
        """Ends the wait."""
        self._gone = True


@pytest.fixture(scope="module")
async def foreign_queue(stack: Stack) -> AsyncIterator[str]:
    """A queue on which somebody else's worker serves."""
    queue = f"foreign-{uuid4().hex[:8]}"
    async with Worker(stack.client, task_queue=queue, workflows=[Greeting]):
        yield queue


def foreign(queue: str) -> dict[str, str]:
    """The definition of somebody else's workflow type."""
    return {"workflowType": "ForeignGreeting", "taskQueue": queue}


async def test_another_workflow_type_is_run(stack: Stack, foreign_queue: str) -> None:
    """Its input is the one argument; Temporal is asked for all that is told of it."""
    provider, suite = await provider_for(stack), Documents()
    spec = suite.spec(definition=foreign(foreign_queue))
    made = await provider.create(spec)
    assert made.resource_ids == {"namespace": "default", "workflow_type": "ForeignGreeting"}
    given = ExecutionInput(input={"hello": "world"}, execution_name="one", tags={"team": "a"})
    started = await provider.start(spec.workflow_id, given)
    status = await suite.ended(provider, started.execution_id)
    assert (status.state, status.input, status.output) == (
        ExecutionState.SUCCEEDED,
        given.input,
        given.input,
    )
    assert status.metadata["tag:team"] == "a"
    assert [one async for one in provider.history(started.execution_id)] == status.history
    assert (await provider.start(spec.workflow_id, given)).execution_id == started.execution_id
    with pytest.raises(AlreadyExistsError):
        await suite.started(provider, spec.workflow_id, execution_name="one", input={"other": 1})

    async def found() -> list[str]:
        page = await provider.list(spec.workflow_id, tags={"team": "a"})
        return [one.execution_id for one in page.items]

    await suite.until(found, lambda ids: ids == [started.execution_id])
    with pytest.raises(SpecError, match="/after"):
        await provider.list(spec.workflow_id, after="none of ours")


async def test_another_workflow_type_fails_waits_and_is_tried_again(
    stack: Stack, foreign_queue: str
) -> None:
    """Errors, signals, cancels, timeouts and retries are Temporal's own."""
    provider, suite = await provider_for(stack), Documents()
    plain = await created(provider, foreign(foreign_queue))
    failing = await suite.started(provider, plain, input={"fail": 9})
    failed = await suite.ended(provider, failing)
    assert failed.state is ExecutionState.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("NoGreeting", "out of greetings")

    waiting = await suite.started(provider, plain, input={"wait": True})
    await provider.signal(waiting, GO, {"any": "thing"})
    assert (await suite.ended(provider, waiting)).state is ExecutionState.SUCCEEDED
    with pytest.raises(ProviderConflictError):
        await provider.signal(waiting, GO)

    waiting = await suite.started(provider, plain, input={"wait": True})
    await provider.cancel(waiting)
    assert (await suite.ended(provider, waiting)).state is ExecutionState.CANCELLED
    await provider.cancel(waiting)

    bounded = await created(provider, foreign(foreign_queue), timeout="1s")
    waiting = await suite.started(provider, bounded, input={"wait": True})
    assert (await suite.ended(provider, waiting)).state is ExecutionState.TIMED_OUT

    policy = {"max_attempts": 3, "backoff_rate": 1.0, "initial_interval": "10ms"}
    patient = await created(provider, foreign(foreign_queue), retry_policy=policy)
    tried = await suite.started(provider, patient, input={"fail": 2})
    assert (await suite.ended(provider, tried)).state is ExecutionState.SUCCEEDED


async def test_foreign_executions_are_their_orgs_alone(stack: Stack, foreign_queue: str) -> None:
    """Of which Postgres knows nothing."""
    slug = f"acme-{uuid4().hex[:6]}"
    await stack.store.create_org(slug)
    ours, theirs, suite = await provider_for(stack), await provider_for(stack, slug), Documents()
    spec = suite.spec(definition=foreign(foreign_queue))
    await ours.create(spec)
    await theirs.create(spec)
    execution = await suite.started(ours, spec.workflow_id, execution_name="same")
    with pytest.raises(ProviderNotFoundError):
        await theirs.status(execution)
    assert await suite.started(theirs, spec.workflow_id, execution_name="same") != execution
