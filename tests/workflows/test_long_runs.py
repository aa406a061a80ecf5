"""Runs with a long history: they continue as new ones, and nobody can tell."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from definitions.names import SIGNAL_EVENT, UPDATE_SKIP
from tests.workflows.documents import branch, definition, step
from tests.workflows.stack import until

if TYPE_CHECKING:
    from temporalio.client import WorkflowHistory

    from tests.workflows.stack import Handle, Stack

ROUNDS = 10_000
LIMIT = 60


async def histories(stack: Stack, handle: Handle) -> list[WorkflowHistory]:
    """The histories of all runs of a chain, the first one first."""
    chain = []
    run_id = handle.first_execution_run_id
    while run_id:
        one = stack.client.get_workflow_handle(handle.id, run_id=run_id)
        history = await one.fetch_history()
        chain.append(history)
        last = history.events[-1].workflow_execution_continued_as_new_event_attributes
        run_id = last.new_execution_run_id
    return chain


async def test_ten_thousand_rounds(stack: Stack) -> None:
    """A loop as long as is allowed, beside an approval that waits and events that came early.

    No history of the chain is much longer than the limit, and every round is on record once.
    """
    document = definition(
        step(
            "fork",
            parallelBranches=[
                branch(
                    "loop",
                    step(
                        "count",
                        "core.set",
                        input={"n": "${variables.n + 1}"},
                        next=[
                            {"nextStepId": "count", "condition": f"variables.n < {ROUNDS}"},
                            {"nextStepId": "counted"},
                        ],
                    ),
                    step("counted"),
                ),
                branch("people", step("ask", "core.approval"), step("said")),
                branch("wait", step("w", "core.wait", input={"duration": "P1D"})),
            ],
        ),
        step("first", "core.event", input={"name": "early"}),
        step("second", "core.event", input={"name": "early"}),
        output={
            "n": "${variables.n}",
            "events": ["${steps.first.output.n}", "${steps.second.output.n}"],
            "approver": "${steps.ask.output.approver}",
        },
        variables={"n": 0},
    )
    async with stack.worker(history_limit=LIMIT) as short:
        handle = await short.start(document)
        for number in (1, 2):
            await handle.signal(SIGNAL_EVENT, {"name": "early", "data": {"n": number}})

        async def counted(of: Handle = handle, by: Stack = short) -> bool:
            # Not from the record: reading ten thousand steps again and again takes longer.
            await asyncio.sleep(0.5)
            return bool((await by.state(of)).get("variables", {}).get("n") == ROUNDS)

        await until(counted)
        await short.decide(handle, "ask")
        await handle.execute_update(UPDATE_SKIP, {"stepId": "w"})
        assert await short.result(handle) == {"n": ROUNDS, "events": [1, 2], "approver": "ann"}
        record = await short.record(handle)
        chain = await histories(short, handle)
    rounds = sorted(one.iteration for one in record.steps if one.step_id == "count")
    assert rounds == list(range(1, ROUNDS + 1))
    assert len(chain) > 2
    # One workflow task more than the limit, and what it may come to.
    assert max(len(one.events) for one in chain) < LIMIT + 40
    assert record.step("fork/people/ask").status == "completed"
