"""The outbox: lanes that one publisher has at a time, their order, and what is kept how long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
import pytest_asyncio

from activities.announcing import AnnouncingRecorder
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.outbox import _EVENTS, _HEADS, PATIENCE, Outbox
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.identity import org_id
from definitions.statuses import InstanceStatus
from steploom.operations.published import tail
from tests.integration.facts import DEFAULT, facts, flush, published, run_ref, started
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from adapters.postgres.database import Database
    from adapters.postgres.outbox import Claim
    from definitions.records import RunRef
    from definitions.views import OutboxView

ACME = org_id("acme")
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@pytest_asyncio.fixture
async def recorder(database: Database) -> AsyncIterator[AnnouncingRecorder]:
    """Writes with what is announced; there is another org, too."""
    await PostgresDefinitionStore(database).create_org("acme")
    inner = PostgresRecorder(database)
    yield AnnouncingRecorder(inner, "dev")
    await inner.close()


@pytest.fixture
def outbox(database: Database) -> Outbox:
    return Outbox(database)


def told(claim: Claim) -> list[list[str]]:
    """The types of the events of each lane."""
    return sorted([event.event_type for event in lane] for lane in claim.lanes)


async def publish(outbox: Outbox, org: UUID = DEFAULT) -> list[list[str]]:
    """Claims everything and marks it."""
    async with outbox.claim(org) as claim:
        claim.published += [event.id for lane in claim.lanes for event in lane]
    return told(claim)


async def run(
    recorder: AnnouncingRecorder, name: str, org: UUID = DEFAULT, events: int = 1
) -> RunRef:
    """A run that has ended, with so many events of its steps."""
    ref = run_ref(name, org)
    await recorder.write(started(ref))
    for seq in range(1, events + 1):
        await recorder.write(facts(ref, published(ref, seq, f"told.{seq}")))
    await recorder.write(facts(ref, flush(events + 1, InstanceStatus.COMPLETED)))
    return ref


async def test_a_lane_has_its_events_in_the_order_of_the_run(
    recorder: AnnouncingRecorder, outbox: Outbox
) -> None:
    """Not in that in which they were written; and what is published is not claimed again."""
    ref = run_ref()
    await recorder.write(started(ref))
    await recorder.write(facts(ref, published(ref, 7, "late")))
    await recorder.write(facts(ref, published(ref, 3, "early")))
    assert await publish(outbox) == [["workflow.triggered", "early", "late"]]
    assert await publish(outbox) == []


async def test_one_has_a_lane_at_a_time(recorder: AnnouncingRecorder, outbox: Outbox) -> None:
    """What is added meanwhile waits until the claim ends, and others pass the run by."""
    first, second = run_ref("one"), run_ref("two")
    await recorder.write(started(first))
    async with outbox.claim(DEFAULT) as mine:
        assert told(mine) == [["workflow.triggered"]]
        await recorder.write(facts(first, published(first, 1, "next")))
        await recorder.write(started(second))
        async with outbox.claim(DEFAULT) as other:
            assert [lane[0].execution_id for lane in other.lanes] == [second.execution_id]
        mine.published.append(mine.lanes[0][0].id)
    assert await publish(outbox) == [["next"], ["workflow.triggered"]]


async def test_a_claim_that_fails_leaves_everything_as_it_was(
    recorder: AnnouncingRecorder, outbox: Outbox
) -> None:
    """Also what was marked in it."""
    await run(recorder, "one")

    async def fail() -> None:
        async with outbox.claim(DEFAULT) as claim:
            claim.published.append(claim.lanes[0][0].id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await publish(outbox) == [["workflow.triggered", "told.1", "workflow.completed"]]


async def test_many_lanes_are_claimed_page_by_page(
    recorder: AnnouncingRecorder, outbox: Outbox
) -> None:
    """Each lane at most so far, from one run to the next, until there is none."""
    for number in range(5):
        await run(recorder, f"run-{number}", events=3)
    after, seen = None, list[str]()
    for expected in (2, 2, 1):
        async with outbox.claim(DEFAULT, after=after, lanes=2, each=2) as claim:
            assert [len(lane) for lane in claim.lanes] == [2] * expected
            seen += [lane[0].execution_id for lane in claim.lanes]
            after = claim.last
    assert after is None
    assert len(set(seen)) == 5


async def test_an_event_waits_for_the_one_before_it(
    recorder: AnnouncingRecorder, outbox: Outbox
) -> None:
    """Which another task may still carry to the record, for as long as the run goes on."""
    ref = run_ref()
    await recorder.write(started(ref))
    await publish(outbox)
    second = published(ref, 5, "second").model_copy(update={"after": 2})
    third = published(ref, 6, "third").model_copy(update={"after": 5})
    await recorder.write(facts(ref, second, third))
    assert await publish(outbox) == []
    await recorder.write(facts(ref, published(ref, 2, "first")))
    assert await publish(outbox) == [["first", "second", "third"]]


async def test_an_event_whose_predecessor_never_comes_is_published_in_the_end(
    recorder: AnnouncingRecorder, outbox: Outbox, database_url: str
) -> None:
    """A run that was terminated takes with it what it had not written."""
    ref = run_ref()
    await recorder.write(started(ref))
    await publish(outbox)
    lonely = published(ref, 5, "second").model_copy(update={"after": 2})
    await recorder.write(facts(ref, lonely, flush(9, InstanceStatus.FAILED)))
    as_administrator(database_url, "UPDATE workflow_instances SET completed_at = now()")
    assert await publish(outbox) == []
    as_administrator(
        database_url, "UPDATE workflow_instances SET completed_at = now() - interval '2 minutes'"
    )
    assert await publish(outbox) == [["second", "workflow.failed"]]


async def test_the_same_record_again_announces_nothing_again(
    recorder: AnnouncingRecorder, outbox: Outbox
) -> None:
    """Whatever it says the second time: a run has one beginning and one end."""
    ref = await run(recorder, "one")
    await recorder.write(started(ref))
    await recorder.write(facts(ref, flush(99, InstanceStatus.FAILED)))
    assert await publish(outbox) == [["workflow.triggered", "told.1", "workflow.completed"]]


async def test_a_publisher_of_all_orgs_sees_who_has_something_and_nothing_else(
    recorder: AnnouncingRecorder, outbox: Outbox, database: Database
) -> None:
    """As the application it reads an org's events as that org alone."""
    assert list(await outbox.orgs()) == []
    assert tuple(await outbox.lag()) == (0, 0, None)
    await run(recorder, "ours")
    await run(recorder, "theirs", ACME, events=2)
    assert set(await outbox.orgs()) == {DEFAULT, ACME}
    lag = await outbox.lag()
    assert (lag.waiting, lag.dead) == (7, 0)
    assert lag.oldest is not None
    async with database.transaction(None) as connection:
        await connection.execute("SELECT outbox_orgs()")
        # What the function looked at, it has not left open.
        cursor = await connection.execute("SELECT count(*) AS seen FROM outbox_events")
        assert await cursor.fetchone() == {"seen": 0}
    assert len(await publish(outbox)) == 1
    assert list(await outbox.orgs()) == [ACME]
    async with outbox.claim(ACME) as claim:
        assert {event.org_id for lane in claim.lanes for event in lane} == {ACME}


async def test_what_is_given_up_says_why_and_can_be_tried_again(
    recorder: AnnouncingRecorder, outbox: Outbox, database: Database
) -> None:
    """Its run's other events go on."""
    ref = await run(recorder, "one")
    async with outbox.claim(DEFAULT) as claim:
        claim.dead[claim.lanes[0][1].id] = "too large"
    assert await publish(outbox) == [["workflow.triggered", "workflow.completed"]]
    assert list(await outbox.orgs()) == []
    assert (await outbox.lag()).dead == 1
    reader = PostgresReader(database)
    found = await reader.outbox_page(DEFAULT, since=LONG_AGO, execution_id=ref.execution_id)
    [dead] = [one for one in found if one.dead_at is not None]
    assert (dead.event_type, dead.error) == ("told.1", "too large")
    assert await outbox.revive(ACME) == []
    assert await outbox.revive(DEFAULT) == [dead.event_id]
    assert await publish(outbox) == [["told.1"]]


async def test_what_was_published_goes_when_its_time_is_over(
    recorder: AnnouncingRecorder, outbox: Outbox, database_url: str
) -> None:
    """What nobody has published stays, unless nobody is going to."""
    await run(recorder, "one")
    await publish(outbox)
    await run(recorder, "two")
    await run(recorder, "theirs", ACME)
    week = timedelta(days=7)
    assert await outbox.clean(DEFAULT, week, unpublished=True) == 0
    as_administrator(
        database_url, "UPDATE outbox_events SET recorded_at = now() - interval '8 days'"
    )
    assert await outbox.clean(DEFAULT, week, unpublished=False) == 3
    assert await outbox.clean(DEFAULT, week, unpublished=True) == 3
    assert len(as_administrator(database_url, "SELECT * FROM outbox_events")) == 3


async def _collect(database: Database, **options: Any) -> Sequence[str]:
    reader = PostgresReader(database)
    return [event.event_type async for event in tail(reader, DEFAULT, **options)]


async def test_the_tail_has_the_latest_and_what_is_asked_for(
    recorder: AnnouncingRecorder, database: Database
) -> None:
    """By number, type, execution or time; of one org."""
    first = await run(recorder, "one", events=2)
    await run(recorder, "two")
    await run(recorder, "theirs", ACME)
    assert await _collect(database, newest=2) == ["told.1", "workflow.completed"]
    assert await _collect(database, newest=0) == []
    assert len(await _collect(database, newest=100)) == 7
    assert await _collect(database, types=["told.1", "told.2"]) == ["told.1", "told.2", "told.1"]
    assert await _collect(database, execution_id=first.execution_id, newest=1) == [
        "workflow.completed"
    ]
    assert len(await _collect(database, since=LONG_AGO)) == 7
    assert await _collect(database, since=datetime.now(UTC) + timedelta(hours=1)) == []


async def test_the_tail_keeps_the_order_of_a_run(
    recorder: AnnouncingRecorder, database: Database
) -> None:
    """Also of what one transaction has brought, and from one page to the next."""
    ref = run_ref()
    await recorder.write(started(ref))
    late = [published(ref, seq, f"told.{seq}") for seq in (5, 2, 4, 1, 3)]
    await recorder.write(facts(ref, *late, flush(6, InstanceStatus.COMPLETED)))
    expected = ["workflow.triggered", *(f"told.{n}" for n in range(1, 6)), "workflow.completed"]
    assert await _collect(database) == expected
    seen: list[OutboxView] = []
    since, after = LONG_AGO, (-1, -1)
    while page := await PostgresReader(database).outbox_page(
        DEFAULT, since=since, after=after, limit=2
    ):
        seen += page
        since, after = page[-1].recorded_at or since, (page[-1].seq, page[-1].id)
    assert [one.event_type for one in seen] == expected


async def test_events_are_written_with_what_they_tell_of(
    recorder: AnnouncingRecorder, database_url: str
) -> None:
    """In one transaction: the beginning, an event of a step with the run, and the end."""
    instance = "SELECT xmin::text AS written FROM workflow_instances"
    event = "SELECT xmin::text AS written FROM outbox_events WHERE event_type = %s"
    ref = run_ref()
    await recorder.write(started(ref))
    begun = as_administrator(database_url, event, "workflow.triggered")
    assert as_administrator(database_url, instance) == begun
    await recorder.write(facts(ref, published(ref, 1, "told"), flush(2)))
    told = as_administrator(database_url, event, "told")
    assert as_administrator(database_url, instance) == told
    await recorder.write(facts(ref, flush(3, InstanceStatus.COMPLETED)))
    ended = as_administrator(database_url, event, "workflow.completed")
    assert as_administrator(database_url, instance) == ended
    assert len({row["written"] for row in (*begun, *told, *ended)}) == 3


async def test_a_follower_misses_nothing_that_is_committed_late(
    recorder: AnnouncingRecorder, database: Database, database_url: str
) -> None:
    """A transaction that began before others, and ends after them, has the older time."""
    await run(recorder, "one", events=0)
    following = tail(PostgresReader(database), DEFAULT, follow=True)
    assert [(await anext(following)).event_type for _ in range(2)] == [
        "workflow.triggered",
        "workflow.completed",
    ]
    with psycopg.connect(database_url) as slow:
        slow.execute(
            "INSERT INTO outbox_events (event_id, org_id, instance_id, execution_id, seq,"
            " event_type, path, iteration, envelope, occurred_at) SELECT gen_random_uuid(), org_id,"
            " instance_id, execution_id, 50, 'slow', 'x', 1, envelope, occurred_at"
            " FROM outbox_events LIMIT 1"
        )
        await run(recorder, "two", events=0)
        assert [(await anext(following)).event_type for _ in range(2)] == [
            "workflow.triggered",
            "workflow.completed",
        ]
        slow.commit()
    assert (await anext(following)).event_type == "slow"
    await following.aclose()


async def test_a_claim_looks_along_the_index_however_much_waits(
    recorder: AnnouncingRecorder, database: Database, database_url: str
) -> None:
    """From lane to lane, and not through what is in them."""
    await run(recorder, "one")
    as_administrator(
        database_url,
        "INSERT INTO outbox_events (event_id, org_id, instance_id, execution_id, seq, event_type,"
        " path, iteration, envelope, occurred_at) SELECT gen_random_uuid(), o.org_id,"
        " md5((n / 10)::text)::uuid, 'x', 10 + n, 'many', 'x', 1, '{}', o.occurred_at"
        " FROM generate_series(1, 20000) AS n, (SELECT * FROM outbox_events LIMIT 1) AS o",
    )
    # As after an outage: what is on the way out is far from all, and no statistics know of it.
    as_administrator(database_url, "ANALYZE outbox_events")
    as_administrator(
        database_url, "UPDATE outbox_events SET published_at = now() WHERE seq < 15000"
    )
    values: dict[str, Any] = {"org": DEFAULT, "after": UUID(int=0), "lanes": 100}
    lanes = {"lanes": [run_ref().instance_id], "each": 50, "patience": PATIENCE}
    async with database.transaction(DEFAULT) as connection:
        for query, given in ((_HEADS, values), (_EVENTS, {**values, **lanes})):
            explained = "EXPLAIN (ANALYZE, COSTS OFF) " + query
            cursor = await connection.execute(explained.encode(), given)
            plan = "\n".join(row["QUERY PLAN"] for row in await cursor.fetchall())
            assert "outbox_events_unpublished_idx" in plan, plan
            assert "Seq Scan on outbox_events" not in plan, plan
