"""The seals of the audit events: made exactly once, and what they show when somebody tampers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.audit import Audit
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import InvalidInputError
from definitions.identity import org_id
from definitions.ports import Organization
from definitions.seals import ORIGIN, Damage
from steploom.operations.auditing import Head, Verdict, verify
from tests.integration.facts import DEFAULT, at, audit, facts, run_ref
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ACME = org_id("acme")


async def write(
    recorder: PostgresRecorder, count: int, org: UUID = DEFAULT, start: int = 0
) -> None:
    """So many runs that each tell of their start, side by side."""
    runs = [run_ref(f"r{number}", org) for number in range(start, start + count)]
    await asyncio.gather(
        *(
            recorder.write(facts(ref, audit(ref, number, "workflow.started")))
            for number, ref in enumerate(runs, start)
        )
    )


@pytest.fixture
async def recorder(database: Database) -> AsyncIterator[PostgresRecorder]:
    opened = PostgresRecorder(database)
    yield opened
    await opened.close()


@pytest.fixture
async def sealed(database: Database, recorder: PostgresRecorder, database_url: str) -> str:
    """The administrator's URL of a database with ten sealed events."""
    await write(recorder, 10)
    assert await AuditSealer(database).seal_all(DEFAULT) == 10
    return database_url


def organization(identity: UUID = DEFAULT, slug: str = "default") -> Organization:
    return Organization.model_validate(
        {"id": identity, "slug": slug, "name": slug, "created_at": at(0)}
    )


async def check(database: Database, expected: str | None = None) -> Verdict:
    head = Head.parse(expected) if expected is not None else None
    return await verify(Audit(database), organization(), head)


def tamper(url: str, statements: str) -> None:
    """As a superuser who switches the triggers off."""
    as_administrator(url, f"SET session_replication_role = replica; {statements}")


async def test_every_event_gets_one_link(sealed: str, database: Database) -> None:
    """Positions count from 1 without gaps, each link follows the one before, and nothing waits."""
    rows = as_administrator(sealed, "SELECT * FROM audit_seals ORDER BY position")
    events = as_administrator(sealed, "SELECT event_id FROM audit_events")
    assert [row["position"] for row in rows] == list(range(1, 11))
    assert [row["previous_hash"] for row in rows] == [ORIGIN, *(row["hash"] for row in rows[:-1])]
    assert {row["event_id"] for row in rows} == {row["event_id"] for row in events}
    verdict = await check(database)
    assert (verdict.broken, verdict.sealed, verdict.waiting.events) == (None, 10, 0)
    assert verdict.head == f"{rows[-1]['hash']}@10"


async def test_a_repeated_event_is_sealed_once(
    sealed: str, database: Database, recorder: PostgresRecorder
) -> None:
    """Writing a batch again adds nothing to the queue."""
    await write(recorder, 10)
    assert await AuditSealer(database).seal_all(DEFAULT) == 0
    assert (await check(database)).sealed == 10


async def test_many_sealers_and_writers_make_one_chain(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """Whoever seals while others write and seal: every event once, the chain whole."""
    async with Database(database_url) as another:
        sealers = [AuditSealer(one) for one in (database, another, database, another)]
        writing = asyncio.create_task(write(recorder, 300))
        while not writing.done():
            await asyncio.gather(*(one.seal(DEFAULT, limit=7) for one in sealers))
        await writing
        while (await Audit(database).waiting(DEFAULT)).events:
            await asyncio.gather(*(one.seal(DEFAULT, limit=50) for one in sealers))
    verdict = await check(database)
    assert (verdict.broken, verdict.sealed) == (None, 300)


async def test_an_event_that_is_committed_late_is_sealed_then(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """One whose transaction began first and ended last is not passed over."""
    with psycopg.connect(database_url) as slow:
        slow.execute(
            "INSERT INTO audit_events (event_id, event_timestamp, event_type, event_data, org_id,"
            " seq) VALUES (gen_random_uuid(), now(), 'workflow.started', '{\"a\": 1e2}', %s, 1)",
            (DEFAULT,),
        )
        await write(recorder, 3)
        assert await AuditSealer(database).seal_all(DEFAULT) == 3
        slow.commit()
    assert await AuditSealer(database).seal_all(DEFAULT) == 1
    assert (await check(database)).sealed == 4


async def test_each_org_has_its_chain(database: Database, recorder: PostgresRecorder) -> None:
    """Both begin at 1; what happens to one says nothing of the other."""
    await PostgresDefinitionStore(database).create_org("acme")
    await write(recorder, 2)
    await write(recorder, 3, ACME, start=2)
    sealer = AuditSealer(database)
    assert [await sealer.seal_all(org) for org in (DEFAULT, ACME)] == [2, 3]
    theirs = await verify(Audit(database), organization(ACME, "acme"))
    assert (theirs.broken, theirs.sealed, (await check(database)).sealed) == (None, 3, 2)


CHANGED_EVENT = """
UPDATE audit_events
SET event_data = jsonb_set(event_data, '{data,workflow,outcome}', '"success"')
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 4)
"""
CHANGED_RUN = """
UPDATE audit_events SET instance_id = gen_random_uuid()
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 4)
"""
CHANGED_TIME = """
UPDATE audit_events SET event_timestamp = event_timestamp + interval '1 microsecond'
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 4)
"""
REMOVED_EVENTS = """
DELETE FROM audit_events
WHERE event_id IN (SELECT event_id FROM audit_seals WHERE position IN (3, 7))
"""
#: The seal of an event is made once more, after those behind it were put aside.
SEALED_AGAIN = """
INSERT INTO audit_unsealed
SELECT org_id, event_id, recorded_at FROM audit_events
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 4);
DELETE FROM audit_seals WHERE position = 4;
UPDATE audit_seals SET position = -position WHERE position > 4
"""
#: A chain that a thief makes anew from a place on, as well as he can.
REMADE_CHAIN = """
DO $$
DECLARE
    seal record;
    before text := (SELECT hash FROM audit_seals WHERE position = 3);
BEGIN
    UPDATE audit_seals SET event_hash = repeat('a', 64) WHERE position = 4;
    FOR seal IN SELECT * FROM audit_seals WHERE position >= 4 ORDER BY position LOOP
        UPDATE audit_seals SET previous_hash = before, hash = encode(sha256(convert_to(
            seal.position || ' ' || before || ' ' || seal.event_hash, 'UTF8')), 'hex')
        WHERE position = seal.position RETURNING hash INTO before;
    END LOOP;
END
$$
"""
REMADE_SEAL = """
UPDATE audit_seals SET event_hash = repeat('a', 64), hash = encode(sha256(
    convert_to('4 ' || previous_hash || ' ' || repeat('a', 64), 'UTF8')), 'hex')
WHERE position = 4
"""
SWAPPED_SEALS = """
UPDATE audit_seals SET position = 102 WHERE position = 2;
UPDATE audit_seals SET position = 2 WHERE position = 3;
UPDATE audit_seals SET position = 3 WHERE position = 102
"""
SLIPPED_IN = """
INSERT INTO audit_events
SELECT gen_random_uuid(), event_timestamp, event_type, event_data, org_id, instance_id, seq
FROM audit_events LIMIT 1
"""
ZEROS = "UPDATE audit_seals SET {} = repeat('0', 64) WHERE position = {}"
CUT = "DELETE FROM audit_seals WHERE position {}"
TAMPERING = {
    "an event": (CHANGED_EVENT, Damage.EVENT_CHANGED, 4),
    "an event's run": (CHANGED_RUN, Damage.EVENT_CHANGED, 4),
    "an event's time": (CHANGED_TIME, Damage.EVENT_CHANGED, 4),
    "events gone": (REMOVED_EVENTS, Damage.EVENT_REMOVED, 3),
    "a seal's event": (ZEROS.format("event_hash", 5), Damage.SEAL_CHANGED, 5),
    "a seal's predecessor": (ZEROS.format("previous_hash", 5), Damage.SEAL_CHANGED, 5),
    "the last seal's hash": (ZEROS.format("hash", 10), Damage.SEAL_CHANGED, 10),
    "seals gone": (CUT.format("IN (6, 7)"), Damage.SEAL_REMOVED, 6),
    "the first seal gone": (CUT.format("= 1"), Damage.SEAL_REMOVED, 1),
    "the last seals gone": (CUT.format("> 8"), Damage.EVENT_NOT_SEALED, 9),
    "seals swapped": (SWAPPED_SEALS, Damage.SEAL_MOVED, 2),
    "a seal made anew": (REMADE_SEAL, Damage.EVENT_CHANGED, 4),
    "a chain made anew": (REMADE_CHAIN, Damage.EVENT_CHANGED, 4),
    "an event slipped in": (SLIPPED_IN, Damage.EVENT_NOT_SEALED, 11),
}


@pytest.mark.parametrize(
    ("statements", "damage", "position"), list(TAMPERING.values()), ids=list(TAMPERING)
)
async def test_what_was_tampered_with_is_named(
    sealed: str, database: Database, statements: str, damage: Damage, position: int
) -> None:
    """The first place where the chain does not hold, and what is wrong there."""
    tamper(sealed, statements)
    broken = (await check(database)).broken
    assert broken is not None
    assert (broken.damage, broken.position) == (damage, position)
    if damage in {Damage.EVENT_CHANGED, Damage.EVENT_REMOVED}:
        [row] = as_administrator(sealed, "SELECT * FROM audit_seals WHERE position = %s", position)
        assert broken.event_id == row["event_id"]


async def test_an_event_made_anew_with_its_seal_does_not_lead_on(
    sealed: str, database: Database
) -> None:
    """Who changes an event and its seal together is found at the next seal."""
    tamper(sealed, f"{CHANGED_EVENT}; {SEALED_AGAIN}")
    await AuditSealer(database).seal_all(DEFAULT)
    tamper(sealed, "UPDATE audit_seals SET position = -position WHERE position < 0")
    broken = (await check(database)).broken
    assert broken is not None
    assert (broken.damage, broken.position) == (Damage.SEAL_REPLACED, 5)


async def test_an_event_that_goes_before_it_is_sealed_is_missed(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """The queue remembers it; the sealer goes on with the others."""
    await write(recorder, 3)
    tamper(database_url, "DELETE FROM audit_events WHERE event_timestamp = '2026-01-01T12:00:01Z'")
    assert await AuditSealer(database).seal_all(DEFAULT) == 2
    broken = (await check(database)).broken
    assert broken is not None
    assert (broken.damage, broken.position) == (Damage.EVENT_REMOVED, None)


async def test_a_chain_without_its_end_is_whole_but_for_a_noted_head(
    sealed: str, database: Database
) -> None:
    """Events that go with their seals from the end on are seen by who kept the head."""
    head = (await check(database)).head
    digest = head.partition("@")[0]
    for expected in (head, digest):
        assert (await check(database, expected)).broken is None
    with pytest.raises(InvalidInputError):
        Head.parse(f"{digest}@")
    for position in (3, 11):
        misplaced = (await check(database, f"{digest}@{position}")).broken
        assert misplaced is not None
        assert (misplaced.damage, misplaced.position) == (Damage.HEAD_MISSING, position)
        assert f"stands at position 10 of the chain, not at {position}" in misplaced.message
    tamper(sealed, f"{REMOVED_EVENTS.replace('IN (3, 7)', '> 8')}; {CUT.format('> 8')}")
    verdict = await check(database)
    assert (verdict.broken, verdict.sealed) == (None, 8)
    for expected in (head, digest, f"{digest}@3"):
        broken = (await check(database, expected)).broken
        assert broken is not None
        assert broken.damage is Damage.HEAD_MISSING


async def test_a_head_that_was_noted_long_ago_is_found(
    sealed: str, database: Database, recorder: PostgresRecorder
) -> None:
    """The chain may have grown since."""
    head = (await check(database)).head
    await write(recorder, 3, start=50)
    verdict = await check(database, head)
    assert (verdict.broken, verdict.waiting.events) == (None, 3)
    assert verdict.waiting.since is not None
    await AuditSealer(database).seal_all(DEFAULT)
    assert (await check(database, head)).broken is None
    assert sealed


@pytest.mark.parametrize("table", ["audit_events", "audit_seals"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET event_id = event_id", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_nobody_changes_what_is_append_only(sealed: str, table: str, change: str) -> None:
    """The application may not, and a trigger refuses the owner's accidents."""
    with psycopg.connect(sealed) as connection:
        connection.execute(f"SET ROLE {APP_ROLE}".encode())
        connection.execute("SELECT set_config('app.current_org_id', %s, true)", (str(DEFAULT),))
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(change.format(table).encode())
    with (
        psycopg.connect(sealed) as connection,
        pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
    ):
        connection.execute(change.format(table).encode())


async def test_what_the_sealer_hashes_survives_any_session(sealed: str, database_url: str) -> None:
    """Another time zone or date style of a session makes no other text."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        name: Any = connection.info.dbname
        for setting in ("TimeZone = 'Asia/Kolkata'", "DateStyle = 'SQL, DMY'"):
            connection.execute(f'ALTER DATABASE "{name}" SET {setting}'.encode())
    async with Database(database_url) as another:
        assert (await check(another)).broken is None
    assert sealed
