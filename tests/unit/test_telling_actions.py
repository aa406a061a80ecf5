"""What ``show`` and ``explain`` tell of operators, of events, and of the runs around a run."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from rich.console import Console

from definitions.explain import Explanation, explain
from definitions.explain_text import as_text
from definitions.identity import instance_id
from definitions.records import RunOrigin
from definitions.statuses import InstanceStatus
from definitions.views import InstanceView
from steploom.cli.timeline import execution
from steploom.operations.reading import WholeRecord
from tests.unit.recorded import whole_record
from worker.rehearsal.host import START

Object = dict[str, Any]


def record(*steps: Object, **case: Any) -> WholeRecord:
    made = [{"taskId": "core.noop", **step} for step in steps]
    document = {"workflowId": "told", "name": "Told", "version": "1.0.0", "steps": made}
    return whole_record({"definition": document, **case})


def told(whole: WholeRecord, step: str | None = None) -> Explanation:
    return explain(whole.instance, whole.steps, step, actions=whole.actions, related=whole.related)


def shown(whole: WholeRecord) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=240, color_system=None, highlight=False)
    console.print(execution(whole, None))
    return "\n".join(" ".join(line.split()) for line in stream.getvalue().splitlines())


def other(name: str, status: InstanceStatus, origin: RunOrigin | None = None) -> InstanceView:
    return InstanceView(
        id=instance_id(name),
        org_id=instance_id("org"),
        execution_id=name,
        first_run_id=name,
        workflow_id="billing",
        version="2.0.0",
        status=status,
        origin=origin,
        started_at=START,
        updated_at=START,
    )


def came_from(whole: WholeRecord, kind: Any, path: str, iteration: int = 1) -> RunOrigin:
    return RunOrigin(
        kind=kind,
        instance_id=whole.instance.id,
        execution_id=whole.instance.execution_id,
        path=path,
        iteration=iteration,
    )


APPROVAL = {"stepId": "approve", "taskId": "core.approval"}
ANN = {"actor": "ann", "reason": "the bank is down"}


def test_a_skip() -> None:
    """Who did it, when and why; and where the run went then."""
    whole = record(
        {**APPROVAL, "next": [
            {"nextStepId": "no", "condition": "data.amount > 5"}, {"nextStepId": "yes"}]},
        {"stepId": "yes", "next": []},
        {"stepId": "no"},
        input={"amount": 3},
        actions=[{"at": "PT1M", "skip": {"stepId": "approve", **ANN}}],
    )  # fmt: skip
    (step, *_) = told(whole).steps
    assert step.skipped == ("skipped by ann at 2026-01-01 00:01:00 UTC, saying “the bank is down”")
    assert step.because == (
        "approve → yes because an operator skipped it, and data.amount > 5 was false"
        " (data.amount = 3); the next entry has no condition"
    )
    text = as_text(told(whole))
    assert "approve  (core.approval): skipped after 1 min" in text
    assert step.skipped in text
    assert "from outside:\n    skipped approve by ann at 2026-01-01 00:01:00 UTC" in text
    page = shown(whole)
    assert "→ yes, skipped" in page
    assert step.skipped in page.splitlines()
    assert "2026-01-01 00:01:00 skipped approve ann the bank is down" in page


def test_each_iteration_has_its_own_skip() -> None:
    """The second time is told apart from the first."""
    whole = record(
        {**APPROVAL, "next": [
            {"nextStepId": "approve", "condition": "steps.approve.status == 'completed'"},
            {"nextStepId": "done"},
        ]},
        {"stepId": "done"},
        actions=[
            {"at": "PT1M", "approve": {"stepId": "approve", "approver": "ben"}},
            {"at": "PT2M", "skip": {"stepId": "approve"}},
        ],
    )  # fmt: skip
    first, second, _ = told(whole).steps
    assert first.skipped is None
    assert second.skipped == "skipped at 2026-01-01 00:02:00 UTC"


def test_a_pause_and_a_cancel() -> None:
    """Where a run stands, or how it ended, says by whom."""
    pause, cancel = {"at": "PT1M", "pause": ANN}, {"at": "PT2M", "cancel": {"actor": "ben"}}
    whole = record(APPROVAL, actions=[pause, cancel])
    story = told(whole)
    assert story.ending == (
        "the run was cancelled at 2026-01-01 00:02:00 UTC, after 2 min"
        " (asked for by ben at 2026-01-01 00:02:00 UTC)"
    )
    assert story.actions == [
        "paused by ann at 2026-01-01 00:01:00 UTC, saying “the bank is down”",
        "cancelled by ben at 2026-01-01 00:02:00 UTC",
    ]
    standing = replace(
        whole,
        instance=whole.instance.model_copy(
            update={"status": InstanceStatus.SUSPENDED, "completed_at": None}
        ),
        actions=whole.actions[:1],
    )
    assert told(standing).ending.startswith(
        "the run stands at step approve and is paused (asked for by ann at 2026-01-01 00:01:00 UTC,"
        " saying “the bank is down”)"
    )
    assert "paused ann the bank is down" in shown(standing)


def test_events_in_and_out() -> None:
    """What came, what became of it, and what is published, in one order."""
    whole = record(
        {"stepId": "paid", "taskId": "core.event", "input": {"name": "payment.settled"}},
        {"stepId": "tell", "taskId": "core.publish", "input": {"type": "order.settled"}},
        actions=[
            {"at": "PT1S", "event": {"name": "other", "id": "o-1"}},
            {"at": "PT3S", "event": {"name": "payment.settled", "data": {"id": 1}}},
        ],
    )
    (step, _) = told(whole).steps
    assert step.waited == "waited 3 s for the event payment.settled"
    lines = shown(whole).partition("FROM OUTSIDE")[2].splitlines()[1:4]
    assert [line.strip() for line in lines] == [
        "2026-01-01 00:00:01 the event other (id o-1) came, and is kept until a step waits for it",
        "2026-01-01 00:00:03 the event payment.settled came, and a step took it",
        "2026-01-01 00:00:03 published order.settled, not delivered yet",
    ]
    facts = whole.to_json()
    assert [one["data"]["reception"] for one in facts["actions"]] == ["kept", "taken"]
    assert [one["eventType"] for one in facts["published"]] == ["order.settled"]


def test_child_runs_stand_with_their_step() -> None:
    """With each iteration its own, and where to look."""
    whole = record({"stepId": "bill"}, {"stepId": "last"})
    children = [
        other("told/bill", InstanceStatus.FAILED, came_from(whole, "child", "bill")),
        other("told/bill!2", InstanceStatus.COMPLETED, came_from(whole, "child", "bill")),
        other("told/bill@2", InstanceStatus.RUNNING, came_from(whole, "child", "bill", 2)),
    ]
    whole = replace(whole, related=children)
    bill, last = told(whole).steps
    assert [(one.execution_id, one.status) for one in bill.children] == [
        ("told/bill", "failed"), ("told/bill!2", "completed"),
    ]  # fmt: skip
    assert last.children == []
    assert "ran told/bill!2 (billing 2.0.0, completed); `steploom explain told/bill!2`" in as_text(
        told(whole)
    )
    assert "ran told/bill (billing 2.0.0, failed): steploom show told/bill" in shown(whole)
    assert [one["executionId"] for one in whole.to_json()["related"]] == [
        "told/bill", "told/bill!2", "told/bill@2",
    ]  # fmt: skip


def test_where_a_run_came_from_and_what_goes_on_from_it() -> None:
    """Both ends of a rerun, and the step of a child run."""
    whole = record({"stepId": "a"})
    again = other("told-2", InstanceStatus.RUNNING, came_from(whole, "rerun", "a"))
    earlier = replace(whole, related=[again])
    assert [one.execution_id for one in told(earlier).reruns] == ["told-2"]
    assert "run again as told-2 (billing 2.0.0, running)" in as_text(told(earlier))
    assert "run again as told-2 (running)" in shown(earlier)
    for kind, iteration, sentence in (
        ("rerun", 1, "a rerun of rehearsal from step a"),
        ("child", 3, "started by step a, iteration 3 of rehearsal"),
    ):
        origin = came_from(whole, kind, "a", iteration)
        new = replace(whole, instance=whole.instance.model_copy(update={"origin": origin}))
        assert told(new).origin == sentence
        assert sentence in as_text(told(new))
        assert sentence in shown(new)


def test_a_cancelled_step_has_not_gone_on() -> None:
    """The record has the way on from the step's beginning, which it then has not taken."""
    whole = record(
        {"stepId": "charge", "taskId": "charge"},
        {"stepId": "book"},
        tasks={"charge": [{"hang": True}]},
        actions=[{"at": "PT1M", "cancel": {}}],
    )
    (charge,) = whole.steps
    assert charge.decision is not None, "else this test shows nothing"
    assert "→ book" not in shown(whole)


def test_what_others_wrote_forges_no_line() -> None:
    """Names, reasons and ids are told on one line."""
    reason = "fine\ncancelled by nobody\x1b[31m"
    whole = record(
        APPROVAL, actions=[{"at": "PT1M", "cancel": {"actor": "a\nb", "reason": reason}}]
    )
    assert "\ncancelled by nobody" not in as_text(told(whole))
    assert "\x1b" not in as_text(told(whole))
    assert "\ncancelled by nobody" not in shown(whole)
    assert "\x1b" not in shown(whole)
