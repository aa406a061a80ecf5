"""Approvals: who may decide what, and what a decision leaves behind."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowUpdateFailedError
from temporalio.common import RawValue

from definitions.names import UPDATE_DECIDE
from tests.workflows.documents import branch, definition, step
from tests.workflows.stack import Stack

if TYPE_CHECKING:
    from tests.workflows.stack import Handle

FORM = {
    "type": "object",
    "properties": {"limit": {"type": "integer", "minimum": 1}},
    "required": ["limit"],
    "additionalProperties": False,
}


def asking(**given: Any) -> dict[str, Any]:
    """A definition with one approval in the middle."""
    return definition(
        step("before", "test.echo", input={"x": 1}),
        step("approve", "core.approval", input={"title": "Really?", **given}),
        step("after", "test.echo", input={"decision": "${steps.approve.output.decision}"}),
        output={"approval": "${steps.approve.output}", "last": "${data}"},
    )


async def waiting(stack: Stack, document: dict[str, Any], path: str = "approve") -> Handle:
    """A run that waits for a decision."""
    handle = await stack.start(document)
    await stack.waits(handle, path)
    return handle


async def test_an_approval_waits_for_a_person(stack: Stack) -> None:
    """Everything up to it is on record, with what is asked; then it goes on."""
    handle = await waiting(stack, asking(description="Look at it", approvers=["ann", "bob"]))
    record = await stack.record(handle)
    assert record.statuses() == [("before", "completed"), ("approve", "waiting")]
    assert record.instance.status == "running"
    assert record.instance.current_step_id == "approve"
    assert record.step("approve").waiting_for == {
        "title": "Really?",
        "description": "Look at it",
        "approvers": ["ann", "bob"],
        "approvalsRequired": 1,
        "form": None,
        "onRejected": "fail",
    }

    answer = await stack.decide(handle, "approve", comment="fine")
    assert answer == {
        "stepId": "approve",
        "accepted": True,
        "verdict": "approved",
        "approvals": 1,
        "approvalsRequired": 1,
    }
    result = await stack.result(handle)
    assert result["last"]["decision"] == "approved"
    approval = result["approval"]
    assert approval["approver"] == "ann"
    assert approval["comment"] == "fine"
    assert approval["payload"] is None
    assert datetime.fromisoformat(approval["decidedAt"]).tzinfo is not None
    assert len(approval["decisions"]) == 1

    record = await stack.record(handle)
    step_record = record.step("approve")
    assert step_record.status == "completed"
    assert step_record.output == approval
    (vote,) = step_record.votes
    assert (vote.decision, vote.approver, vote.comment) == ("approved", "ann", "fine")


async def test_the_audit_events_name_the_approver(stack: Stack) -> None:
    """``approval_required`` from the start, decision and approver at the end."""
    handle = await waiting(stack, asking())
    started = (await stack.record(handle)).event("workflow.started")
    assert started["approval_required"] is True
    assert "approver" not in started
    await stack.decide(handle, "approve", approver="carol")
    await stack.result(handle)
    completed = (await stack.record(handle)).event("workflow.completed")
    assert completed["approval_required"] is True
    assert (completed["approval_decision"], completed["approver"]) == ("approved", "carol")


async def test_a_rejection_fails_the_step(stack: Stack) -> None:
    """``ApprovalRejected``, with the decision in its details; the audit says who."""
    handle = await waiting(stack, asking())
    await stack.decide(handle, "approve", "rejected", comment="too much")
    error = await stack.failure(handle)
    assert error.type == "ApprovalRejected"
    assert "ann rejected it: too much" in error.message
    assert error.details[0]["details"]["decision"] == "rejected"
    record = await stack.record(handle)
    assert record.step("approve").status == "failed"
    assert [one.decision for one in record.step("approve").votes] == ["rejected"]
    failed = record.event("workflow.failed")
    assert (failed["approval_decision"], failed["approver"]) == ("rejected", "ann")
    assert failed["outcome"] == "failed"


async def test_a_rejection_can_be_an_answer(stack: Stack) -> None:
    """With ``onRejected: continue`` the run goes on and sees it."""
    handle = await waiting(stack, asking(onRejected="continue"))
    await stack.decide(handle, "approve", "rejected")
    assert (await stack.result(handle))["last"]["decision"] == "rejected"


async def test_several_approvals_can_be_required(stack: Stack) -> None:
    """Each person counts once; the last vote decides."""
    handle = await waiting(stack, asking(approvers=["ann", "bob", "eve"], approvalsRequired=2))
    first = await stack.decide(handle, "approve")
    assert (first["verdict"], first["approvals"]) == (None, 1)
    reason = await stack.refused(handle, "approve")
    assert "ann has decided on approve already" in reason
    second = await stack.decide(handle, "approve", approver="bob")
    assert (second["verdict"], second["approvals"]) == ("approved", 2)
    approval = (await stack.result(handle))["approval"]
    assert approval["approver"] == "bob"
    assert [one["approver"] for one in approval["decisions"]] == ["ann", "bob"]
    record = await stack.record(handle)
    assert [one.approver for one in record.step("approve").votes] == ["ann", "bob"]


async def test_refused_decisions_say_why_and_change_nothing(stack: Stack) -> None:
    """Not waiting, not an approver, a payload that does not fit; nothing is in the history."""
    handle = await waiting(stack, asking(approvers=["ann"], form=FORM))
    before = len((await handle.fetch_history()).events)
    assert "not an approver" in await stack.refused(handle, "approve", approver="eve")
    reason = await stack.refused(handle, "after")
    assert "after does not wait for a decision" in reason
    assert "approve" in reason
    assert "limit" in await stack.refused(handle, "approve", payload={"limit": 0})
    assert "does not fit the form" in await stack.refused(handle, "approve")
    reason = await stack.refused(handle, "approve", payload={"limit": 1, "more": 2})
    assert "more" in reason
    assert "decision" in await stack.refused(handle, "approve", "maybe", payload={"limit": 1})
    assert "approver" in await stack.refused(handle, "approve", approver="")
    assert "unknown" in await stack.refused(handle, "approve", payload={"limit": 1}, unknown=1)
    heavy = {"limit": 1, "note": "x" * 70_000}
    assert "70021 bytes" in await stack.refused(handle, "approve", payload=heavy)
    assert len((await handle.fetch_history()).events) == before

    await stack.decide(handle, "approve", payload={"limit": 5})
    assert (await stack.result(handle))["approval"]["payload"] == {"limit": 5}


@pytest.mark.parametrize(
    ("encoding", "data"),
    [
        ("binary/plain", b"\x00\x01"),
        ("json/plain", b"{"),
        ("json/plain", b'{"stepId": "approve", "stepId": "approve"}'),
        ("json/plain", b'{"stepId": "approve", "payload": NaN}'),
        ("json/plain", b"[]"),
        ("json/plain", b"null"),
        ("binary/null", b""),
    ],
)
async def test_decisions_that_cannot_be_read_are_refused(
    stack: Stack, encoding: str, data: bytes
) -> None:
    """And the run waits on."""
    handle = await waiting(stack, asking())
    raw = RawValue(payload(encoding, data))
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(UPDATE_DECIDE, raw)
    assert "unusable" in str(caught.value.cause)
    await stack.decide(handle, "approve")
    await stack.result(handle)


def payload(encoding: str, data: bytes) -> Payload:
    """A payload as any client could send it."""
    return Payload(metadata={"encoding": encoding.encode()}, data=data)


async def test_a_decision_without_or_with_too_many_arguments_is_refused(stack: Stack) -> None:
    """And the run waits on."""
    handle = await waiting(stack, asking())
    for arguments in ([], [{"stepId": "approve"}, 2]):
        with pytest.raises(WorkflowUpdateFailedError):
            await handle.execute_update(UPDATE_DECIDE, args=arguments)
    await stack.decide(handle, "approve")
    await stack.result(handle)


async def test_a_decision_after_the_end_is_refused(stack: Stack) -> None:
    """Twice is once too often."""
    handle = await waiting(
        stack,
        definition(
            step("approve", "core.approval"), step("hold", "core.wait", input={"duration": "PT2S"})
        ),
    )
    await stack.decide(handle, "approve")
    reason = await stack.refused(handle, "approve", approver="bob")
    assert "approve does not wait for a decision" in reason or "decided already" in reason
    await stack.result(handle)


async def test_an_approval_has_a_deadline(stack: Stack) -> None:
    """The step's ``timeout``; a handler can take it."""
    document = asking()
    document["steps"][1] |= {
        "timeout": "PT1S",
        "onFailure": {
            "errorHandler": {"conditions": [{"errorType": "TimeoutError", "nextStepId": "late"}]}
        },
    }
    document["steps"][2]["next"] = []
    document["steps"].append(step("late", "test.echo", input={"late": True}))
    del document["output"]
    result, record = await stack.run(document)
    assert result == {"late": True}
    assert record.step("approve").status == "timeout"
    assert record.event("workflow.completed")["outcome"] == "success"
    assert "approver" not in record.event("workflow.completed")


async def test_approvals_in_branches_are_named_by_their_path(stack: Stack) -> None:
    """Where an id is not enough; where only one waits, the id is."""
    document = definition(
        step(
            "review",
            forEach={"items": ["x", "y"]},
            parallelBranches=[
                branch("checks", step("approve", "core.approval", input={"title": "${item}"}))
            ],
        )
    )
    handle = await stack.start(document)
    paths = ("review/checks#0/approve", "review/checks#1/approve")
    for path in paths:
        await stack.waits(handle, path)
    reason = await stack.refused(handle, "approve")
    assert all(path in reason for path in paths)
    answer = await stack.decide(handle, paths[1])
    assert answer["stepId"] == paths[1]
    await stack.decide(handle, "approve", approver="bob")
    result = await stack.result(handle)
    approvers = [one["checks"]["approver"] for one in result["value"]]
    assert approvers == ["bob", "ann"]


async def test_items_of_an_approval_are_named_by_their_number(stack: Stack) -> None:
    """``approve#1`` is the second item's."""
    handle = await stack.start(
        definition(step("approve", "core.approval", forEach={"items": [1, 2]}))
    )
    for path in ("approve#0", "approve#1"):
        await stack.waits(handle, path)
    await stack.decide(handle, "approve#1", approver="bob")
    await stack.decide(handle, "approve#0")
    result = await stack.result(handle)
    assert [one["approver"] for one in result["value"]] == ["ann", "bob"]
    record = await stack.record(handle)
    assert [one.approver for one in record.step("approve#1").votes] == ["bob"]
