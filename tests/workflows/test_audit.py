"""What real runs tell auditors, field by field, and the specification's queries on it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from activities.filtering import FilteringRecorder
from adapters.postgres.audit import Audit
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.open_runs import OpenRuns
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.redaction import Redactor
from steploom.operations.auditing import verify
from tests.integration.test_reader import APPROVALS, SUCCESS_RATE
from tests.postgres import as_administrator
from tests.workflows.documents import definition, step
from tests.workflows.stack import until
from worker import reconciler as reconciling
from worker.reconciler import Reconciler

if TYPE_CHECKING:
    from tests.workflows.stack import Handle, Record, Stack

WORKFLOW = "(event_data->'data'->'workflow'->>'workflow_id')"


def asking(workflow_id: str) -> dict[str, Any]:
    """Two approvals with a step between them, and one behind them that has no name."""
    document = definition(
        step("ask", "core.approval", input={"title": "May I?", "onRejected": "continue"}),
        step("between", "test.echo", name="In between"),
        step("again", "core.approval", name="Ask again", input={"title": "Really?"}),
        step("book", "test.echo"),
    )
    return {**document, "workflowId": workflow_id}


async def decide(stack: Stack, handle: Handle, step_id: str, decision: str, approver: str) -> None:
    await stack.waits(handle, step_id)
    await stack.decide(handle, step_id, decision, approver=approver)


def told(record: Record, event_type: str = "workflow.completed") -> dict[str, Any]:
    """``data.workflow`` without what differs from run to run."""
    event = record.event(event_type)
    assert event.pop("execution_id") == record.instance.execution_id
    assert event.pop("workflow_id") == record.instance.workflow_id
    assert record.instance.completed_at is not None
    took = record.instance.completed_at - record.instance.started_at
    assert event.pop("duration_ms") == took // timedelta(milliseconds=1)
    return event


ALWAYS = {"total_steps": 4, "approval_required": True}


async def test_each_end_of_a_run_is_told_and_counted(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Approved, rejected, cancelled, terminated and refused: every field, and both queries."""
    name = f"audited-{uuid4().hex[:8]}"
    await stack.register(asking(name))

    approved = await stack.start(name)
    await decide(stack, approved, "ask", "rejected", "ann")
    await decide(stack, approved, "again", "approved", "bob")
    await stack.result(approved)
    assert told(await stack.record(approved)) == {
        **ALWAYS,
        "phase": "completed",
        "current_step": 4,
        "step_name": "book",
        "outcome": "success",
        "approval_decision": "approved",
        "approver": "bob",
    }

    rejected = await stack.start(name)
    await decide(stack, rejected, "ask", "approved", "ann")
    await decide(stack, rejected, "again", "rejected", "bob")
    error = await stack.failure(rejected)
    assert error.type == "ApprovalRejected"
    for event_type in ("workflow.completed", "workflow.failed"):
        assert told(await stack.record(rejected), event_type) == {
            **ALWAYS,
            "phase": "failed",
            "current_step": 3,
            "step_name": "Ask again",
            "outcome": "failed",
            "approval_decision": "rejected",
            "approver": "bob",
            "error_message": "bob rejected it",
        }

    cancelled = await stack.start(name)
    await stack.waits(cancelled, "ask")
    await cancelled.cancel()
    await stack.end(cancelled)
    assert told(await stack.record(cancelled)) == {
        **ALWAYS,
        "phase": "completed",
        "current_step": 1,
        "step_name": "ask",
        "outcome": "cancelled",
    }

    terminated = await stack.start(name)
    await decide(stack, terminated, "ask", "approved", "ann")
    await stack.waits(terminated, "again")
    await terminated.terminate(reason="no longer wanted")
    record = await _closed(stack, terminated, monkeypatch)
    for event_type in ("workflow.completed", "workflow.failed"):
        event = told(record, event_type)
        assert "no longer wanted" in event.pop("error_message")
        assert event == {
            **ALWAYS,
            "phase": "failed",
            "current_step": 3,
            "step_name": "Ask again",
            "outcome": "failed",
            "approval_decision": "approved",
            "approver": "ann",
        }

    refused = await stack.start(name, version="9.9.9")
    error = await stack.failure(refused)
    record = await stack.record(refused)
    for event_type in ("workflow.completed", "workflow.failed"):
        assert told(record, event_type) == {
            "phase": "failed",
            "outcome": "failed",
            "approval_required": False,
            "error_message": error.message,
        }
    assert record.event("workflow.started")["phase"] == "executing"

    # Word for word, but that they are asked of this test's own runs.
    decisions = as_administrator(stack.url, _of(APPROVALS, name))
    assert sorted(str(row["decision"]) for row in decisions) == [
        *["None"] * (4 + 1), *["approved"] * (1 + 2), *["rejected"] * 2,
    ]  # fmt: skip
    [rate] = as_administrator(stack.url, _of(SUCCESS_RATE, name))
    assert (rate["workflow"], rate["total_executions"], rate["successful"]) == (name, 5, 1)
    assert float(rate["success_rate"]) == 20.0
    for query in (APPROVALS, SUCCESS_RATE):
        rows = as_administrator(stack.url, query)
        assert name in {row["workflow"] for row in rows}


def _of(query: str, workflow: str) -> str:
    return query.replace("WHERE ", f"WHERE {WORKFLOW} = '{workflow}' AND ")


async def _closed(stack: Stack, handle: Handle, monkeypatch: pytest.MonkeyPatch) -> Record:
    """The record of a terminated run, once a reconciler has found it."""
    monkeypatch.setattr(reconciling, "_SETTLED", timedelta(0))
    recorder = PostgresRecorder(stack.database)
    reconciler = Reconciler(
        stack.client,
        PostgresDefinitionStore(stack.database),
        OpenRuns(stack.database),
        PostgresReader(stack.database),
        FilteringRecorder(recorder, Redactor()),
        interval=timedelta(seconds=15),
    )

    async def look() -> Record | None:
        await reconciler.close_ended()
        record = await stack.record(handle)
        return record if record.instance.status.ended else None

    found = await until(look)
    await recorder.close()
    return found


async def test_a_worker_seals_what_its_runs_tell(stack: Stack) -> None:
    """Soon after a run has ended, its events are in the chain, which is whole."""
    async with stack.worker(audit_seal_interval=timedelta(milliseconds=50)) as served:
        handle = await served.start(definition(step("only", "test.echo")))
        await served.result(handle)
        audit = Audit(stack.database)
        org = await PostgresDefinitionStore(stack.database).find_org("default")

        async def nothing_waits() -> bool:
            return (await audit.waiting(org.id)).events == 0

        await until(nothing_waits)
        verdict = await verify(audit, org)
    assert verdict.broken is None
    assert verdict.sealed >= 2
