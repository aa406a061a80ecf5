"""Steering a run: cancel, pause and resume, and what can be seen of it from outside."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    RegisterNamespaceRequest,
)
from temporalio.client import WorkflowExecutionStatus, WorkflowUpdateFailedError
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError

from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.search_attributes import missing
from definitions.names import (
    SEARCH_ATTRIBUTES,
    SEARCH_CORRELATION,
    SEARCH_DEFINITION,
    SEARCH_ORG,
    SEARCH_STATUS,
    SEARCH_VERSION,
    UPDATE_PAUSE,
    UPDATE_RESUME,
)
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import Stack, soon, until
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from temporalio.client import Client

    from tests.workflows.stack import Handle, Record


async def cancelled(stack: Stack, handle: Handle) -> Record:
    """Cancels a run; its record after its end."""
    await handle.cancel()
    assert isinstance(await stack.end(handle), CancelledError)
    description = await handle.describe()
    assert description.status is WorkflowExecutionStatus.CANCELED
    record = await stack.record(handle)
    assert record.instance.status == "cancelled"
    assert record.instance.completed_at is not None
    assert [one.event_type for one in record.events] == ["workflow.started", "workflow.completed"]
    assert record.event("workflow.completed")["outcome"] == "cancelled"
    return record


async def test_cancelling_while_a_task_runs(stack: Stack) -> None:
    """The task is told, and awaited; step, attempt and run are on record as cancelled."""
    here = gate("cancel-task")
    handle = await stack.start(
        definition(step("call", "test.gate", input={"gate": "cancel-task"}), step("never"))
    )
    await soon(here.entered)
    record = await cancelled(stack, handle)
    assert here.cancelled.is_set()
    assert record.statuses() == [("call", "cancelled")]
    assert record.attempt_statuses("call") == ["cancelled"]


async def test_cancelling_while_a_local_task_runs(stack: Stack) -> None:
    """The same for a task that is a local activity."""
    here = gate("cancel-local")
    handle = await stack.start(
        definition(step("call", "test.stuck-local", input={"gate": "cancel-local"}))
    )
    await soon(here.entered)
    record = await cancelled(stack, handle)
    assert record.statuses() == [("call", "cancelled")]
    assert record.attempt_statuses("call") == ["cancelled"]


@pytest.mark.parametrize("task_id", ["core.wait", "core.approval"])
async def test_cancelling_while_a_step_waits(stack: Stack, task_id: str) -> None:
    """Nothing handles a cancellation, ``continue`` included."""
    handle = await stack.start(
        definition(
            step(
                "wait",
                task_id,
                input={"duration": "PT1H"} if task_id == "core.wait" else {},
                onFailure={"action": "continue"},
            ),
            step("never"),
            onFailure={"action": "continue", "nextStepId": "never"},
        )
    )
    await stack.waits(handle, "wait")
    record = await cancelled(stack, handle)
    assert record.statuses() == [("wait", "cancelled")]


@pytest.mark.parametrize("task_id", ["test.fail", "test.fail-local", "core.fail"])
async def test_cancelling_between_two_attempts(stack: Stack, task_id: str) -> None:
    """The next attempt does not come."""
    handle = await stack.start(
        definition(step("call", task_id, retryPolicy=retry(3, "PT1H")), step("never"))
    )
    if task_id == "core.fail":

        async def retrying() -> bool:
            return (await stack.state(handle)).get("currentStepId") == "call"

        await until(retrying)
    else:
        await stack.recorded(
            handle, lambda record: bool(record.steps) and bool(record.attempts("call"))
        )
    record = await cancelled(stack, handle)
    assert record.statuses() == [("call", "cancelled")]
    if task_id != "core.fail":
        assert record.attempt_statuses("call") == ["failed"]


async def test_cancelling_branches(stack: Stack) -> None:
    """Everything that is under way is cancelled, whatever it waits for."""
    handle = await stack.start(
        definition(
            step(
                "fork",
                parallelBranches=[
                    branch("task", step("t", "test.gate", input={"gate": "cancel-branch"})),
                    branch("wait", step("w", "core.wait", input={"duration": "PT1H"})),
                    branch("ask", step("a", "core.approval")),
                    branch("retry", step("r", "test.fail", retryPolicy=retry(2, "PT1H"))),
                ],
            )
        )
    )
    await soon(gate("cancel-branch").entered)
    await stack.waits(handle, "fork/wait/w")
    await stack.waits(handle, "fork/ask/a")
    record = await cancelled(stack, handle)
    assert {status for _, status in record.statuses()} == {"cancelled"}
    assert len(record.steps) == 5


async def test_cancelling_a_run_that_has_hardly_begun(stack: Stack) -> None:
    """It ends cancelled, with whatever it has begun on record; never as an internal error."""
    handles = [
        await stack.start(definition(step("a", "core.wait", input={"duration": "PT1H"})))
        for _ in range(5)
    ]
    for handle in handles:
        await cancelled(stack, handle)


@pytest.mark.parametrize("start", [{"definition": definition(step("a", "core.approval"))}, {}])
async def test_cancelling_a_run_that_no_worker_has_seen(
    stack: Stack, start: dict[str, Any]
) -> None:
    """It is pinned all the same, so that there is a record to say that it was cancelled.

    One that could not have begun anyway fails, for its own reason.
    """
    queue = f"late-{uuid4().hex[:8]}"
    late = Stack(stack.client, stack.database, stack.url, queue)
    handle = await late.start_with(start)
    await handle.cancel()
    async with stack.worker(task_queue=queue):
        cause = await late.end(handle)
    record = await late.record(handle)
    assert record.steps == []
    if start:
        assert isinstance(cause, CancelledError), repr(cause)
        assert record.instance.status == "cancelled"
        assert record.event("workflow.completed")["outcome"] == "cancelled"
    else:
        assert isinstance(cause, ApplicationError)
        assert cause.type == "InputError"
        assert record.instance.status == "failed"


async def test_a_cancelled_run_is_rolled_back_where_it_says_so(stack: Stack) -> None:
    """``rollback.on`` names ``cancelled``; the run still ends cancelled."""
    handle = await stack.start(
        definition(
            step("book", "test.echo", input={"id": 1}, compensation={"taskId": "test.echo"}),
            step("wait", "core.wait", input={"duration": "PT1H"}),
            rollback={"on": ["cancelled"]},
        )
    )
    await stack.waits(handle, "wait")
    record = await cancelled(stack, handle)
    assert record.step("book").compensated is True
    assert record.step("book@compensation").status == "completed"


async def test_pause_lets_the_running_step_finish(stack: Stack) -> None:
    """And starts no new one until ``resume``."""
    here = gate("pause")
    handle = await stack.start(
        definition(
            step("call", "test.gate", input={"gate": "pause"}), step("after", "core.approval")
        )
    )
    await soon(here.entered)
    assert await handle.execute_update(UPDATE_PAUSE) is True
    assert await handle.execute_update(UPDATE_PAUSE) is False
    assert (await stack.state(handle))["status"] == "suspended"
    here.open.set()

    async def done() -> bool:
        steps = (await stack.state(handle))["steps"]
        return "call" in steps and steps["call"]["status"] == "completed"

    await until(done)
    state = await stack.state(handle)
    assert state["status"] == "suspended"
    assert "after" not in state["steps"]
    description = await handle.describe()
    status = description.typed_search_attributes.get(SearchAttributeKey.for_keyword(SEARCH_STATUS))
    assert status == "suspended"

    assert await handle.execute_update(UPDATE_RESUME) is True
    assert await handle.execute_update(UPDATE_RESUME) is False
    await stack.waits(handle, "after")
    await stack.decide(handle, "after")
    await stack.result(handle)
    record = await stack.record(handle)
    assert record.instance.status == "completed"
    assert record.statuses() == [("call", "completed"), ("after", "completed")]


async def test_a_paused_run_is_suspended_on_record(stack: Stack) -> None:
    """An operator who reads SQL sees that nothing will happen."""
    handle = await stack.start(definition(step("ask", "core.approval"), step("after")))
    await stack.waits(handle, "ask")
    await handle.execute_update(UPDATE_PAUSE)
    await stack.recorded(handle, lambda record: str(record.instance.status) == "suspended")
    await handle.execute_update(UPDATE_RESUME)
    await stack.recorded(handle, lambda record: str(record.instance.status) == "running")
    await stack.decide(handle, "ask")
    await stack.result(handle)


async def test_a_paused_run_takes_decisions_and_can_be_cancelled(stack: Stack) -> None:
    """Approvals go on while it is paused; what follows them does not."""
    handle = await stack.start(definition(step("ask", "core.approval"), step("after")))
    await stack.waits(handle, "ask")
    await handle.execute_update(UPDATE_PAUSE)
    await stack.decide(handle, "ask")
    state = await stack.state(handle)
    assert state["status"] == "suspended"
    assert "after" not in state["steps"]
    record = await cancelled(stack, handle)
    assert record.statuses() == [("ask", "completed")]


async def test_the_state_query_shows_where_a_run_stands(stack: Stack) -> None:
    """While it runs as after its end."""
    document = definition(
        step("first", "test.echo", input={"a": 1}),
        step("set", "core.set", input={"v": 2}),
        step("ask", "core.approval"),
    )
    handle = await stack.start(document, {"in": 0})
    await stack.waits(handle, "ask")
    state = await stack.state(handle)
    assert state["executionId"] == handle.id
    assert (state["workflowId"], state["version"]) == (document["workflowId"], "1.0.0")
    assert state["status"] == "running"
    assert state["currentStepId"] == "ask"
    assert state["input"] == {"in": 0}
    assert state["data"] == {"in": 0, "a": 1}
    assert state["variables"] == {"v": 2}
    assert list(state["steps"]) == ["first", "set"]
    await stack.decide(handle, "ask")
    result = await stack.result(handle)
    state = await stack.state(handle)
    assert state["status"] == "completed"
    assert state["output"] == result


async def test_updates_after_the_end_are_refused(stack: Stack) -> None:
    """By Temporal or by us, but never lost without a word."""
    handle = await stack.start(definition(step("only")))
    await stack.result(handle)
    with pytest.raises((RPCError, WorkflowUpdateFailedError)):
        await handle.execute_update(UPDATE_PAUSE)


async def test_search_attributes_tell_what_runs(stack: Stack) -> None:
    """Definition, version, org, status and correlation id; the status follows the run."""
    document = definition(step("ask", "core.approval"))
    correlation = uuid4().hex
    handle = await stack.start(document, correlationId=correlation)
    await stack.waits(handle, "ask")

    async def shown() -> dict[str, str]:
        known = (await handle.describe()).typed_search_attributes
        keys = {name: SearchAttributeKey.for_keyword(name) for name in SEARCH_ATTRIBUTES}
        values = {name: known.get(key) for name, key in keys.items()}
        return {name: value for name, value in values.items() if value is not None}

    expected = {
        SEARCH_DEFINITION: document["workflowId"],
        SEARCH_VERSION: "1.0.0",
        SEARCH_ORG: "default",
        SEARCH_STATUS: "running",
        SEARCH_CORRELATION: correlation,
    }
    assert await shown() == expected
    await stack.decide(handle, "ask")
    await stack.result(handle)
    assert await shown() == {**expected, SEARCH_STATUS: "completed"}

    async def found() -> bool:
        query = f"{SEARCH_CORRELATION} = '{correlation}' AND {SEARCH_STATUS} = 'completed'"
        return [one.id async for one in stack.client.list_workflows(query)] == [handle.id]

    await until(found)


async def test_a_failed_run_shows_its_status(stack: Stack) -> None:
    """The search attribute says so too."""
    handle = await stack.start(definition(step("fail", "core.fail")))
    await stack.failure(handle)
    known = (await handle.describe()).typed_search_attributes
    assert known[SearchAttributeKey.for_keyword(SEARCH_STATUS)] == "failed"


async def test_temporals_ui_shows_names_and_progress(stack: Stack) -> None:
    """Steps' names as activity summaries, and the details as Markdown."""
    handle = await stack.start(
        definition(
            step("call", "test.echo", name="Charge the card"),
            step("ask", "core.approval", name="Ask somebody"),
            name="Order",
        )
    )
    await stack.waits(handle, "ask")
    history = await handle.fetch_history()
    summaries = [
        event.user_metadata.summary.data.decode()
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert summaries == ['"Charge the card"']
    details = await handle.query("__temporal_workflow_metadata")
    text = details["currentDetails"] if isinstance(details, dict) else details.current_details
    assert "### Order" in text
    assert "| call | ✅ completed |" in text
    assert "| ask | ⏳ waiting |" in text
    await stack.decide(handle, "ask")
    await stack.result(handle)


@asynccontextmanager
async def bare_namespace(client: Client) -> AsyncIterator[Client]:
    """A client of a new namespace that knows none of our search attributes."""
    name = f"bare-{uuid4().hex[:8]}"
    await client.workflow_service.register_namespace(
        RegisterNamespaceRequest(
            namespace=name,
            workflow_execution_retention_period=Duration(
                seconds=int(timedelta(days=1).total_seconds())
            ),
        )
    )

    async def there() -> bool:
        # Its caches take a while to hear of it.
        try:
            await client.workflow_service.describe_namespace(
                DescribeNamespaceRequest(namespace=name)
            )
            async for _ in other.list_workflows():
                break
        except RPCError:
            return False
        return True

    other = await connect(
        TemporalConnection(address=client.service_client.config.target_host, namespace=name)
    )
    await until(there)
    yield other


async def test_a_namespace_without_our_search_attributes(stack: Stack) -> None:
    """The worker says so at its start, and runs go on without."""
    async with bare_namespace(stack.client) as client:
        assert sorted(await missing(client)) == sorted(SEARCH_ATTRIBUTES)
        async with stack.worker(client=client, temporal_namespace=client.namespace) as bare:
            result, record = await bare.run(definition(step("only", "test.echo")), {"x": 1})
    assert result == {"x": 1}
    assert record.instance.status == "completed"
