"""Reading the record: pages, names, orgs, and the specification's own queries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.identity import org_id
from definitions.records import RunOrigin
from definitions.statuses import InstanceStatus, StepStatus
from tests.integration.facts import (
    DEFAULT,
    action,
    at,
    audit,
    facts,
    flush,
    published,
    run_ref,
    started,
    step,
)

if TYPE_CHECKING:
    from adapters.postgres.database import Database

#: Verbatim from the specification of the audit events.
APPROVALS = """
SELECT event_id, event_timestamp,
       event_data->'data'->'workflow'->>'workflow_id' AS workflow,
       event_data->'data'->'workflow'->>'approval_decision' AS decision
FROM audit_events
WHERE event_data->>'service' = 'workflow'
AND event_data->'data'->'workflow'->>'approval_required' = 'true'
ORDER BY event_timestamp DESC;
"""
SUCCESS_RATE = """
SELECT
    event_data->'data'->'workflow'->>'workflow_id' AS workflow,
    COUNT(*) AS total_executions,
    SUM(CASE WHEN event_data->'data'->'workflow'->>'outcome' = 'success' THEN 1 ELSE 0 END) AS successful,
    ROUND(100.0 * SUM(CASE WHEN event_data->'data'->'workflow'->>'outcome' = 'success' THEN 1 ELSE 0 END) / COUNT(*), 2) AS success_rate
FROM audit_events
WHERE event_data->>'service' = 'workflow'
AND event_type = 'workflow.completed'
GROUP BY workflow
ORDER BY success_rate DESC;
"""  # noqa: E501 (verbatim)


@pytest.fixture
def recorder(database: Database) -> PostgresRecorder:
    return PostgresRecorder(database)


@pytest.fixture
def reader(database: Database) -> PostgresReader:
    return PostgresReader(database)


async def start_runs(recorder: PostgresRecorder, count: int, **values: Any) -> None:
    """Runs r0, r1, …: two of them start in the same second."""
    await asyncio.gather(
        *(recorder.write(started(run_ref(f"r{n}", **values), n // 2)) for n in range(count))
    )


async def test_pages_hold_every_run_once_newest_first(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Paging to the end gives all runs in order, though many start at the same time."""
    await start_runs(recorder, 25)
    seen, after = [], None
    while True:
        page = await reader.list_instances(DEFAULT, limit=4, after=after)
        seen += page.items
        after = page.next
        if after is None:
            break
    assert len({run.id for run in seen}) == 25
    keys = [(run.started_at, run.id) for run in seen]
    assert keys == sorted(keys, reverse=True)


async def test_a_run_that_starts_meanwhile_moves_no_page(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """The next page begins where the last one ended."""
    await start_runs(recorder, 6)
    first = await reader.list_instances(DEFAULT, limit=3)
    await recorder.write(started(run_ref("new"), 100))
    second = await reader.list_instances(DEFAULT, limit=3, after=first.next)
    assert len({run.id for run in (*first.items, *second.items)}) == 6
    assert second.next is None


async def test_filters_hold_together(recorder: PostgresRecorder, reader: PostgresReader) -> None:
    """Status, definition, correlation and time can be asked for, alone or together."""
    await start_runs(recorder, 6)
    other = run_ref("other", workflow_id="refund")
    await recorder.write(started(other, 50, correlation_id="c-1"))
    await recorder.write(facts(other, flush(60, InstanceStatus.FAILED)))

    async def ids(**filters: Any) -> int:
        return len((await reader.list_instances(DEFAULT, **filters)).items)

    assert await ids(status=InstanceStatus.RUNNING) == 6
    assert await ids(status=InstanceStatus.FAILED, workflow_id="refund") == 1
    assert await ids(status=InstanceStatus.FAILED, workflow_id="order") == 0
    assert await ids(correlation_id="c-1") == 1
    assert await ids(since=at(1), until=at(2)) == 2


@pytest.mark.parametrize("wrong", [{"after": "nonsense"}, {"limit": 0}, {"limit": 9999}])
async def test_a_wrong_page_is_refused(reader: PostgresReader, wrong: dict[str, Any]) -> None:
    """A cursor that is none, and a limit out of range, are the caller's mistakes."""
    with pytest.raises(InvalidInputError):
        await reader.list_instances(DEFAULT, **wrong)


async def test_a_run_is_found_by_any_of_its_names(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Its id, the beginning of its id, and its execution id, which gives the latest run."""
    await recorder.write(started(run_ref("old", execution_id="exec"), 1))
    await recorder.write(started(run_ref("new", execution_id="exec"), 2))
    new = run_ref("new").instance_id
    for name in ("exec", str(new), str(new)[:8], str(new)[:13].upper()):
        assert (await reader.find_instance(DEFAULT, name)).id == new
    for name in ("nothing", str(new)[:7], "0" * 8):
        with pytest.raises(NotFoundError):
            await reader.find_instance(DEFAULT, name)


async def test_an_ambiguous_beginning_lists_the_candidates(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """The hint names the runs that could be meant."""
    for number in range(2):
        identity = UUID(f"abcdef12-0000-4000-8000-00000000000{number}")
        await recorder.write(
            started(run_ref(f"r{number}").model_copy(update={"instance_id": identity}))
        )
    with pytest.raises(ConflictError) as caught:
        await reader.find_instance(DEFAULT, "abcdef12")
    assert (caught.value.hint or "").count("abcdef12-") == 2


async def test_another_orgs_run_is_not_found(
    database: Database, recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Neither by name, nor in a list, nor its steps and events by id."""
    ref = run_ref()
    await recorder.write(started(ref))
    await recorder.write(facts(ref, step(1), audit(ref, 2, "workflow.started")))
    await recorder.write(facts(ref, action(ref, 3), published(ref, 4)))
    acme = org_id("acme")
    with pytest.raises(NotFoundError):
        await reader.find_instance(acme, ref.execution_id)
    assert (await reader.list_instances(acme)).items == []
    assert list(await reader.steps(acme, ref.instance_id)) == []
    assert list(await reader.audit_events(acme, ref.instance_id)) == []
    assert list(await reader.actions(acme, ref.instance_id)) == []
    assert list(await reader.outbox(acme, ref.instance_id)) == []


async def test_steps_come_in_the_order_in_which_they_began(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """A step that ended late still stands where it began."""
    ref = run_ref()
    await recorder.write(facts(ref, step(1, path="slow"), step(2, path="quick")))
    await recorder.write(facts(ref, step(9, path="slow")))
    assert [one.path for one in await reader.steps(DEFAULT, ref.instance_id)] == ["slow", "quick"]


async def test_what_is_read_at_one_moment_fits_together(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """What is written between two reads of a moment is seen by neither, and by the next moment."""
    run = run_ref("r0")
    await recorder.write(started(run, 0))
    instance = await reader.find_instance(DEFAULT, "exec-r0")
    async with reader.moment(DEFAULT) as still:
        before = await still.find_instance(DEFAULT, "exec-r0")
        await recorder.write(facts(run, flush(5, current_step_id="a"), step(5, path="a")))
        assert (await still.find_instance(DEFAULT, "exec-r0")) == before
        assert await still.steps(DEFAULT, instance.id) == []
        with pytest.raises(ValueError, match="another org's"):
            await still.steps(org_id("acme"), instance.id)
    async with reader.moment(DEFAULT) as later:
        assert (await later.find_instance(DEFAULT, "exec-r0")).current_step_id == "a"
        assert [one.path for one in await later.steps(DEFAULT, instance.id)] == ["a"]


async def test_what_was_done_to_a_run_is_read_in_its_order(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Each action has who did it, why, and the step that it was done to."""
    ref = run_ref()
    skip = action(ref, 9, "skip", path="charge", iteration=2, reason="gateway is down")
    await recorder.write(facts(ref, skip, action(ref, 3), action(ref, 5, "resume")))
    found = await reader.actions(DEFAULT, ref.instance_id)
    assert [one.action for one in found] == ["pause", "resume", "skip"]
    last = found[-1]
    assert (last.path, last.iteration, last.reason) == ("charge", 2, "gateway is down")
    assert (last.actor, last.occurred_at, last.data) == ("manager@example.com", at(9), {})


async def test_what_a_run_publishes_is_read_in_its_order(
    recorder: PostgresRecorder, reader: PostgresReader, database: Database
) -> None:
    """The envelope comes back as it was, and outlives its run."""
    ref = run_ref()
    last, first = published(ref, 7, "order.paid"), published(ref, 2)
    await recorder.write(facts(ref, last, first))
    async with database.transaction(DEFAULT) as connection:
        await connection.execute("DELETE FROM workflow_instances")
    found = await reader.outbox(DEFAULT, ref.instance_id)
    assert [one.envelope for one in found] == [first.envelope, last.envelope]
    assert [one.event_type for one in found] == ["order.shipped", "order.paid"]
    assert {(one.execution_id, one.published_at) for one in found} == {("exec-run-1", None)}


async def test_a_run_knows_where_it_came_from(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """A child names the step that started it; a run of its own has no origin."""
    parent, child = run_ref("parent"), run_ref("child")
    origin = RunOrigin(
        kind="child",
        instance_id=parent.instance_id,
        execution_id=parent.execution_id,
        path="ship#2",
        iteration=3,
    )
    # A fact that came before the run's first record has made its row already.
    await recorder.write(facts(child, step(1)))
    await recorder.write(started(parent))
    await recorder.write(started(child, 1, origin=origin))
    assert (await reader.find_instance(DEFAULT, "exec-child")).origin == origin
    assert (await reader.find_instance(DEFAULT, "exec-parent")).origin is None
    assert [run.origin for run in (await reader.list_instances(DEFAULT)).items] == [origin, None]
    page = await reader.list_instances(DEFAULT, came_from=parent.instance_id)
    assert [run.execution_id for run in page.items] == ["exec-child"]
    assert (await reader.list_instances(DEFAULT, came_from=child.instance_id)).items == []


async def test_child_runs_of_some_runs_can_be_left_out(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Of those that have a name in their metadata; other runs' and their reruns stay."""
    marked, plain = run_ref("marked"), run_ref("plain")
    await recorder.write(started(marked, metadata={"mark": "1.0.0"}))
    await recorder.write(started(plain, metadata={"mark": None, "other": "x"}))
    for name, parent, kind in (
        ("left-out", marked, "child"),
        ("rerun", marked, "rerun"),
        ("stays", plain, "child"),
    ):
        origin = RunOrigin.model_validate(
            {
                "kind": kind,
                "instanceId": parent.instance_id,
                "executionId": parent.execution_id,
                "path": "a",
            }
        )
        await recorder.write(started(run_ref(name), 1, origin=origin))
    page = await reader.list_instances(DEFAULT, no_child_of="mark")
    assert {run.execution_id for run in page.items} == {
        "exec-marked",
        "exec-plain",
        "exec-rerun",
        "exec-stays",
    }
    assert len((await reader.list_instances(DEFAULT, no_child_of="other")).items) == 4
    assert len((await reader.list_instances(DEFAULT)).items) == 5


async def test_an_output_that_was_wrapped_says_so(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Whether ``value`` is the step's own member or the wrapping can be told."""
    ref = run_ref()
    own = step(1, StepStatus.COMPLETED, path="own", output={"value": 1})
    wrapped = step(2, StepStatus.COMPLETED, path="wrapped", output={"value": 1}, wrapped=True)
    await recorder.write(facts(ref, own, wrapped))
    assert [one.wrapped for one in await reader.steps(DEFAULT, ref.instance_id)] == [False, True]


async def test_the_first_run_of_an_idempotency_key_is_found(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """The key answers with the run that was started first, and its request's hash."""
    for seconds, name in ((1, "first"), (2, "second")):
        values = {"idempotency_key": "k", "request_hash": name}
        await recorder.write(started(run_ref(name), seconds, **values))
    found = await reader.find_by_idempotency_key(DEFAULT, "k")
    assert found is not None
    assert (found.id, found.request_hash) == (run_ref("first").instance_id, "first")
    assert await reader.find_by_idempotency_key(DEFAULT, "other") is None


async def test_the_query_for_approvals(recorder: PostgresRecorder, database_url: str) -> None:
    """The specification's first query, word for word, finds the runs that need an approval."""
    asks, plain = run_ref("asks", workflow_id="refund"), run_ref("plain")
    approval = {"approval_required": True, "approval_decision": "approved"}
    await recorder.write(facts(asks, audit(asks, 1, "workflow.completed", **approval)))
    await recorder.write(facts(plain, audit(plain, 2, "workflow.completed")))
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(APPROVALS).fetchall()
    assert [row[2:] for row in rows] == [("refund", "approved")]


async def test_the_query_for_the_success_rate(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """The specification's second query, word for word, counts each ended run once."""
    for name, outcome in (("a", "success"), ("b", "success"), ("c", "failed")):
        ref = run_ref(name)
        await recorder.write(facts(ref, audit(ref, 1, "workflow.started")))
        await recorder.write(facts(ref, audit(ref, 2, "workflow.completed", outcome=outcome)))
        if outcome == "failed":
            await recorder.write(facts(ref, audit(ref, 3, "workflow.failed", outcome=outcome)))
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(SUCCESS_RATE).fetchall()
    assert [(row[0], row[1], row[2], float(row[3])) for row in rows] == [("order", 3, 2, 66.67)]
