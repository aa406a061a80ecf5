"""What comes from outside while a segment is under way: the run and its record stay one."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from temporalio.api.enums.v1 import EventType

from definitions.names import SIGNAL_EVENT, UPDATE_SKIP
from tests.workflows.documents import definition, retry, step
from tests.workflows.stack import DEFAULT, soon, until
from tests.workflows.tasks import gate
from tests.workflows.test_segments import cancelled_while_written, local

if TYPE_CHECKING:
    from tests.workflows.stack import Stack

SIGNALED = EventType.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
_CHAIN = """
SELECT seq, after_seq FROM outbox_events WHERE instance_id = %s AND path <> '' ORDER BY seq
"""


async def test_the_failure_that_a_segment_has_written_counts(stack: Stack) -> None:
    """A run that is cancelled while its failure is being written has failed, and says so."""
    failing = step("bad", "test.fail-local", retryPolicy=retry(1))
    handle = await cancelled_while_written(stack, "disturbed-failure", failing)
    assert (await stack.failure(handle)).type == "GatewayError"
    record = await stack.record(handle)
    assert record.instance.status == "failed"
    assert record.event("workflow.completed")["outcome"] == "failed"
    assert record.event("workflow.failed")["outcome"] == "failed"
    acted = await stack.reader.actions(DEFAULT, record.instance.id)
    assert [one.action for one in acted] == ["cancel"]


async def test_a_rollback_in_a_segment_is_not_stopped(stack: Stack) -> None:
    """A run that is cancelled when its compensations run has failed; they are run to the end."""
    here = gate("disturbed-rollback")
    undo = {"taskId": "test.gate-local", "input": {"gate": "disturbed-rollback"}}
    handle = await stack.start(
        definition(
            local("a", compensation={"taskId": "test.echo-local"}),
            local("b", compensation=undo),
            step("bad", "test.fail-local", retryPolicy=retry(1)),
        ),
        {"n": 1},
    )
    await soon(here.entered)
    await handle.cancel()

    async def entered_again() -> bool:
        return here.entries > 1

    await until(entered_again)
    here.open.set()
    assert (await stack.failure(handle)).type == "GatewayError"
    record = await stack.record(handle)
    assert record.instance.status == "failed"
    assert record.statuses() == [
        ("a", "completed"),
        ("b", "completed"),
        ("bad", "failed"),
        ("b@compensation", "completed"),
        ("a@compensation", "completed"),
    ]
    assert record.event("workflow.completed")["outcome"] == "failed"


async def test_an_operator_skips_what_has_failed_in_the_segment(stack: Stack) -> None:
    """The step that the run still shows has failed and its handler was begun, so that counts."""
    here = gate("disturbed-skip")
    handle = await stack.start(
        definition(
            step(
                "bad",
                "test.fail-local",
                retryPolicy=retry(1),
                onFailure={"action": "continue", "nextStepId": "slow"},
            ),
            local("never"),
            step("slow", "test.gate-local", input={"gate": "disturbed-skip", "n": 3}),
            local("end"),
        ),
    )
    await soon(here.entered)
    await handle.execute_update(UPDATE_SKIP, {"stepId": "bad"})

    async def entered_again() -> bool:
        return here.entries > 1

    await until(entered_again)
    here.open.set()
    assert (await stack.result(handle))["n"] == 4
    record = await stack.record(handle)
    assert record.statuses() == [("bad", "failed"), ("slow", "completed"), ("end", "completed")]


async def test_events_are_chained_across_a_disturbed_segment(stack: Stack) -> None:
    """Each event names the one before it as that one is on record, or it would not be published."""
    here = gate("disturbed-chain")

    def tell(name: str) -> dict[str, object]:
        return step(name, "core.publish", input={"type": f"test.{name}"}, output={})

    handle = await stack.start(
        definition(
            local("first", 1),
            tell("one"),
            step("slow", "test.gate-local", input={"gate": "disturbed-chain"}),
            tell("two"),
            step("remote", "test.echo"),
            tell("three"),
        ),
    )
    await soon(here.entered)
    await handle.signal(SIGNAL_EVENT, {"name": "somebody.came"})

    async def heard() -> bool:
        history = await handle.fetch_history()
        return any(event.event_type == SIGNALED for event in history.events)

    await until(heard)
    here.open.set()
    await stack.result(handle)
    record = await stack.record(handle)
    async with stack.database.transaction(DEFAULT) as connection:
        rows = await connection.execute(_CHAIN, [record.instance.id])
        chain = [(row["seq"], row["after_seq"]) for row in await rows.fetchall()]
    assert len(chain) == 3
    assert [after for _, after in chain] == [None, *(seq for seq, _ in chain[:2])]


async def test_an_end_that_the_server_refuses_counts(stack: Stack) -> None:
    """A run that was cancelled while its one workflow task ended it has the end that is on record.

    The server takes no end of a run to which something came meanwhile, and has it all done again.
    """

    async def once() -> None:
        handle = await stack.start(
            definition(*(local(f"s{n}", "${input.n}") for n in range(5))), {"n": 1}
        )
        await handle.cancel()
        cause = await stack.end(handle)
        record = await stack.record(handle)
        status = "completed" if cause is None else "cancelled"
        assert record.instance.status == status
        assert {one.status for one in record.steps} <= {status, "completed"}
        [ended] = [one for one in record.events if one.event_type == "workflow.completed"]
        wanted = "success" if cause is None else "cancelled"
        assert ended.event_data["data"]["workflow"]["outcome"] == wanted

    for _ in range(4):
        await asyncio.gather(*(once() for _ in range(15)))
