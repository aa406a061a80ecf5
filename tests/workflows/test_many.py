"""Many runs at once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.workflows.documents import branch, definition, retry, step

if TYPE_CHECKING:
    from tests.workflows.stack import Stack

RUNS = 50


async def test_fifty_runs_at_once_give_fifty_complete_records(stack: Stack) -> None:
    """Every run has its own result, every record all of its steps, attempts and events."""
    document = definition(
        step("remote", "test.echo", input={"n": "${input.n}"}),
        step("local", "test.echo-local"),
        step("flaky", "test.fail", input={"times": 1, "then": {"ok": True}}, retryPolicy=retry(3)),
        step(
            "fork",
            parallelBranches=[
                branch("a", step("a1", "test.echo"), step("a2", "test.echo-local")),
                branch("b", step("b1", "test.echo-sync")),
            ],
            output={},
        ),
        step(
            "choose",
            next=[{"nextStepId": "even", "condition": "data.n % 2 == 0"}, {"nextStepId": "odd"}],
        ),
        step("even", "core.set", input={"kind": "even"}, next=[{"nextStepId": "last"}]),
        step("odd", "core.set", input={"kind": "odd"}),
        step("last", "test.echo", input={"n": "${data.n}", "kind": "${variables.kind}"}),
        variables={"kind": ""},
    )
    await stack.register(document)
    handles = await asyncio.gather(
        *(stack.start(document["workflowId"], {"n": number}) for number in range(RUNS))
    )
    results = await asyncio.gather(*(stack.result(handle) for handle in handles))
    kinds = ["even", "odd"]
    assert results == [{"n": number, "kind": kinds[number % 2]} for number in range(RUNS)]

    page = await stack.reader.list_instances(
        (await stack.record(handles[0])).instance.org_id,
        workflow_id=document["workflowId"],
        limit=RUNS + 1,
    )
    assert len(page.items) == RUNS
    for number, handle in enumerate(handles):
        record = await stack.record(handle)
        assert record.instance.status == "completed"
        assert record.instance.output == results[number]
        assert sorted(record.statuses()) == sorted(
            (path, "completed")
            for path in (
                *("remote", "local", "flaky", "fork", "fork/a/a1", "fork/a/a2", "fork/b/b1"),
                *("choose", kinds[number % 2], "last"),
            )
        )
        assert record.attempt_statuses("flaky") == ["failed", "completed"]
        for path in ("remote", "local", "fork/a/a1", "fork/a/a2", "fork/b/b1", "last"):
            assert record.attempt_statuses(path) == ["completed"]
        assert all(one.decision is not None for one in record.steps)
        assert [one.event_type for one in record.events] == [
            "workflow.started",
            "workflow.completed",
        ]
