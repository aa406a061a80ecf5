"""Runs that ended without our code having a say are closed on record, once and rightly."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from temporalio.client import WorkflowExecutionStatus

from activities.filtering import FilteringRecorder
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.open_runs import OpenRuns
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.names import WORKFLOW_TYPE
from definitions.redaction import Redactor
from tests.workflows.documents import branch, definition, step
from tests.workflows.stack import DEFAULT, until
from tests.workflows.tasks import gate
from worker import reconciler as reconciling
from worker.reconciler import Reconciler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.workflows.stack import Handle, Record, Stack


@pytest.fixture
async def reconciler(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reconciler]:
    """One that does not wait for a run's own last words."""
    monkeypatch.setattr(reconciling, "_SETTLED", timedelta(0))
    recorder = PostgresRecorder(stack.database)
    yield Reconciler(
        stack.client,
        PostgresDefinitionStore(stack.database),
        OpenRuns(stack.database),
        PostgresReader(stack.database),
        FilteringRecorder(recorder, Redactor()),
        interval=timedelta(seconds=15),
    )
    await recorder.close()


async def _closed(stack: Stack, handle: Handle, reconciler: Reconciler) -> Record:
    """The record, once a look has closed the run (what Temporal lists comes a little later)."""

    async def look() -> Record | None:
        await reconciler.close_ended()
        record = await stack.record(handle)
        done = record.instance.status.ended and all(one.status.ended for one in record.steps)
        return record if done else None

    return await until(look)


async def test_a_terminated_run_is_closed_with_its_open_steps(
    stack: Stack, reconciler: Reconciler
) -> None:
    """It failed with ``WorkflowTerminated``; what it stood at was cancelled."""
    name = "terminated"
    document = definition(
        step("done", "test.echo", input={"a": 1}),
        step(
            "fork",
            parallelBranches=[
                branch("task", step("runs", "test.gate", input={"gate": name})),
                branch("person", step("asks", "core.approval")),
            ],
        ),
    )
    handle = await stack.start(document)
    await stack.waits(handle, "fork/person/asks")
    await stack.recorded(handle, lambda record: ("fork/task/runs", "active") in record.statuses())
    await handle.terminate(reason="no longer wanted")
    record = await _closed(stack, handle, reconciler)
    gate(name).open.set()
    assert record.instance.status == "failed"
    assert record.instance.error is not None
    assert record.instance.error["type"] == "WorkflowTerminated"
    assert "no longer wanted" in record.instance.error["message"]
    assert dict(record.statuses()) == {
        "done": "completed",
        "fork": "cancelled",
        "fork/task/runs": "cancelled",
        "fork/person/asks": "cancelled",
    }
    assert record.event("workflow.completed")["outcome"] == "failed"
    assert record.event("workflow.completed")["approval_required"] is True
    assert record.event("workflow.failed")["phase"] == "failed"
    # A second look, and a second worker, change nothing.
    await reconciler.close_ended()
    again = await stack.record(handle)
    assert (again.instance, again.events) == (record.instance, record.events)


async def test_a_run_past_its_starters_timeout_is_closed(
    stack: Stack, reconciler: Reconciler
) -> None:
    """Temporal's own execution timeout never asks the run."""
    document = definition(step("asks", "core.approval"))
    handle = await stack.client.start_workflow(
        WORKFLOW_TYPE,
        {"definition": document},
        id=f"timed-out-{document['workflowId']}",
        task_queue=stack.task_queue,
        execution_timeout=timedelta(seconds=2),
    )

    async def timed_out() -> bool:
        return (await handle.describe()).status is WorkflowExecutionStatus.TIMED_OUT

    await until(timed_out)
    record = await _closed(stack, handle, reconciler)
    assert record.instance.error is not None
    assert record.instance.error["type"] == "WorkflowTimeout"


async def test_an_open_run_stays_open(stack: Stack, reconciler: Reconciler) -> None:
    """However long it has been silent: it is asked after, and goes on."""
    document = definition(step("asks", "core.approval"))
    handle = await stack.start(document)
    await stack.waits(handle, "asks")
    await reconciler.close_ended()
    await reconciler.close_silent()
    assert (await stack.record(handle)).instance.status == "running"
    await stack.decide(handle, "asks")
    await stack.result(handle)
    assert (await stack.record(handle)).instance.status == "completed"


async def test_a_run_whose_name_was_used_again_is_closed_by_its_own_end(
    stack: Stack, reconciler: Reconciler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer run of that name goes on undisturbed."""
    monkeypatch.setattr(reconciling, "_SILENT", timedelta(0))
    document = definition(step("asks", "core.approval"))
    name = f"again-{document['workflowId']}"
    first = await stack.client.start_workflow(
        WORKFLOW_TYPE, {"definition": document}, id=name, task_queue=stack.task_queue
    )
    await stack.waits(first, "asks")
    old = (await stack.record(first)).instance.id
    await first.terminate(reason="again")
    second = await stack.client.start_workflow(
        WORKFLOW_TYPE, {"definition": document}, id=name, task_queue=stack.task_queue
    )

    async def begun() -> bool:
        return (await stack.record(second)).instance.id != old

    await until(begun)
    await reconciler.close_silent()
    closed = await stack.reader.find_instance(DEFAULT, str(old))
    assert closed.status == "failed"
    assert (await stack.record(second)).instance.status == "running"
    await second.cancel()
