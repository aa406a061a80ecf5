"""The retention of audit events: what goes, what never does, and what shows that it went."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from typing_extensions import override

from adapters.postgres.audit import Audit
from adapters.postgres.audit_pruning import AuditPruning
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import RefusedError
from definitions.identity import org_id
from definitions.seals import ORIGIN, Chain, Damage, Link
from steploom.operations.archive import Archive
from steploom.operations.auditing import Head, Verdict, verify
from steploom.operations.pruning import Pruned, Pruning
from tests.integration.facts import DEFAULT, audit, facts, run_ref, started
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from uuid import UUID

ACME = org_id("acme")
OLD, ALL = 7, 10
#: Times of the past for the first events without a seal, so that they come first in the chain too.
AGE = """
UPDATE audit_events SET recorded_at = event_timestamp - interval '30 years'
WHERE (event_data->'data'->'workflow'->>'step_name')::integer < {}
    AND event_id IN (SELECT event_id FROM audit_unsealed);
UPDATE audit_unsealed AS u SET recorded_at = e.recorded_at
FROM audit_events AS e WHERE e.org_id = u.org_id AND e.event_id = u.event_id;
UPDATE audit_events SET event_timestamp = recorded_at
WHERE event_id IN (SELECT event_id FROM audit_unsealed)
"""
FIRST = "SELECT min(position) AS first FROM audit_seals WHERE org_id = %s"
LEFT = "SELECT count(*) AS count FROM audit_events WHERE org_id = %s"


async def write(database: Database, org: UUID = DEFAULT, start: int = 0) -> None:
    """Ten events, each of a run of its own, that are not sealed."""
    recorder = PostgresRecorder(database)
    for number in range(start, start + ALL):
        ref = run_ref(f"{org}-{number}", org)
        event = audit(ref, number, "workflow.started", step_name=str(number))
        await recorder.write(facts(ref, event))
    await recorder.close()


def as_replica(url: str, statements: str) -> None:
    """As a superuser who switches the triggers off."""
    as_administrator(url, f"SET session_replication_role = replica; {statements}")


def age(url: str, older: int = OLD) -> None:
    """Has so many of the events happened thirty years ago, and no execution on record."""
    as_replica(url, AGE.format(older))
    as_administrator(url, "DELETE FROM workflow_instances")


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Database]:
    """Who connects to it as the owner of the tables does."""
    async with Database(database_url, as_owner=True) as opened:
        yield opened


@pytest.fixture
async def aged(database: Database, database_url: str) -> str:
    """The administrator's URL of a database with ten sealed events, seven of them old."""
    await write(database)
    age(database_url)
    assert await AuditSealer(database).seal_all(DEFAULT) == ALL
    return database_url


async def organization(database: Database, slug: str = "default") -> Any:
    return await PostgresDefinitionStore(database).find_org(slug)


async def prune(
    database: Database,
    *,
    portion: int = 3,
    archive: Archive | None = None,
    dry_run: bool = False,
    slug: str = "default",
    older_than: str = "P20Y",
) -> Pruned:
    """Prunes one org, in portions of three."""
    pruning = Pruning(
        database=database,
        archive=archive,
        older_than=older_than,
        by="auditor@example.com",
        dry_run=dry_run,
        say=lambda _: None,
        portion=portion,
    )
    [done] = await pruning.run([await organization(database, slug)])
    return done


async def check(database: Database, expected: str | None = None, slug: str = "default") -> Verdict:
    head = Head.parse(expected) if expected is not None else None
    return await verify(Audit(database), await organization(database, slug), head)


def everything(url: str) -> list[list[dict[str, Any]]]:
    tables = ("audit_events", "audit_seals", "audit_unsealed", "audit_anchors")
    return [as_administrator(url, f"TABLE {table} ORDER BY 1, 2") for table in tables]


async def test_the_old_go_and_the_chain_holds_from_there(
    aged: str, owner: Database, database: Database
) -> None:
    """Seven of ten, three by three; what is left follows on the anchor, of which it tells."""
    [seventh] = as_administrator(aged, "SELECT hash FROM audit_seals WHERE position = 7")
    done = await prune(owner)
    assert (done.removed, done.kept, done.kept_at) == (OLD, "younger", 8)
    assert done.anchor == f"{seventh['hash']}@7"
    assert as_administrator(aged, FIRST, DEFAULT) == [{"first": 8}]
    verdict = await check(database)
    assert (verdict.broken, verdict.sealed, verdict.waiting.events) == (None, 3, 3)
    await AuditSealer(database).seal_all(DEFAULT)
    verdict = await check(database)
    assert (verdict.broken, verdict.sealed, verdict.waiting.events) == (None, 6, 0)
    assert verdict.anchor is not None
    assert (verdict.anchor.position, verdict.anchor.pruned_by) == (7, "auditor@example.com")
    page = await Audit(database).list_events(DEFAULT, event_type="audit.pruned")
    told = sorted(
        (one.event_data["data"]["audit"] for one in page.items), key=lambda one: one["position"]
    )
    assert [(one["position"], one["removed"], one["by"]) for one in told] == [
        (3, 3, "auditor@example.com"),
        (6, 3, "auditor@example.com"),
        (7, 1, "auditor@example.com"),
    ]
    assert told[-1]["hash"] == seventh["hash"]
    again = await prune(owner)
    assert (again.removed, again.anchor) == (0, done.anchor)
    page = await Audit(database).list_events(DEFAULT, event_type="audit.pruned")
    assert len(page.items) == 3


async def test_a_dry_run_changes_nothing(aged: str, database: Database) -> None:
    """It says what would go, and the application may ask for it."""
    before = everything(aged)
    done = await prune(database, dry_run=True)
    assert (done.removed, done.kept, done.kept_at) == (OLD, "younger", 8)
    assert done.anchor is not None
    assert done.anchor.endswith("@7")
    assert everything(aged) == before


async def test_an_event_of_an_execution_on_record_stays(
    aged: str, owner: Database, database: Database
) -> None:
    """And so does all that is behind it, however old; until the execution is gone."""
    recorder = PostgresRecorder(database)
    await recorder.write(started(run_ref(f"{DEFAULT}-4")))
    await recorder.close()
    done = await prune(owner)
    assert (done.removed, done.kept, done.kept_at) == (4, "on_record", 5)
    assert done.execution == f"exec-{DEFAULT}-4"
    assert (await check(database)).broken is None
    as_administrator(aged, "DELETE FROM workflow_instances")
    assert (await prune(owner)).removed == 3


async def test_an_event_without_a_seal_stays(
    aged: str, owner: Database, database: Database
) -> None:
    """However old it is; and so does the last link, on which the next one follows."""
    await write(database, start=20)
    age(aged, older=100)
    # The ten are as they were sealed; those that are not sealed are old.
    assert (await check(database)).waiting.events == 10
    done = await prune(owner, older_than="P20Y")
    assert (done.removed, (await check(database)).waiting.events) == (OLD, 13)


async def test_the_last_link_stays(database: Database, owner: Database, database_url: str) -> None:
    """A head that was noted after the last event is there, and the chain goes on behind it."""
    await write(database)
    age(database_url, older=100)
    await AuditSealer(database).seal_all(DEFAULT)
    head = (await check(database)).head
    done = await prune(owner)
    assert (done.removed, done.kept, done.kept_at) == (9, "last", 10)
    await AuditSealer(database).seal_all(DEFAULT)
    verdict = await check(database, head)
    assert (verdict.broken, verdict.sealed) == (None, 4)
    assert (await prune(owner)).removed == 1
    await AuditSealer(database).seal_all(DEFAULT)
    assert (await check(database)).broken is None


async def test_heads_that_were_noted(aged: str, owner: Database, database: Database) -> None:
    """A later one holds, that of the anchor too; an earlier one was pruned, and it says so."""
    rows = as_administrator(aged, "SELECT position, hash FROM audit_seals ORDER BY position")
    heads = [f"{row['hash']}@{row['position']}" for row in rows]
    await prune(owner)
    for head in (heads[9], heads[7], heads[6], rows[6]["hash"]):
        assert (await check(database, head)).broken is None
    broken = (await check(database, heads[2])).broken
    assert broken is not None
    assert broken.damage is Damage.HEAD_PRUNED
    assert "up to 7 were pruned on " in broken.message
    assert "by auditor@example.com" in broken.message
    for head in (rows[2]["hash"], f"{'a' * 64}@7", f"{'a' * 64}@9", f"{'a' * 64}@99"):
        broken = (await check(database, head)).broken
        assert broken is not None
        assert broken.damage is Damage.HEAD_MISSING


#: What the owner of the database does to a chain that was pruned up to 7.
FORWARD = """
INSERT INTO audit_anchors (org_id, position, hash, removed, older_than, pruned_by, event_id)
SELECT org_id, position, hash, 1, now(), 'auditor@example.com', event_id FROM audit_seals
WHERE position = 8
"""
CUT_BEHIND = """
DELETE FROM audit_events WHERE event_id =
    (SELECT event_id FROM audit_seals WHERE position = 8);
DELETE FROM audit_seals WHERE position = 8
"""
MOVED_BACK = "DELETE FROM audit_anchors WHERE position = 7"
HASH = "UPDATE audit_anchors SET hash = repeat('a', 64) WHERE position = 7"
WHO = "UPDATE audit_anchors SET pruned_by = 'nobody' WHERE position = 7"
WHICH = """
UPDATE audit_anchors SET event_id = (SELECT event_id FROM audit_seals LIMIT 1) WHERE position = 7
"""
UNTOLD = "DELETE FROM audit_events WHERE event_type = 'audit.pruned'"
CHANGED = """
UPDATE audit_events SET event_type = 'x'
WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = {})
"""
GONE = """
DELETE FROM audit_events WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 2)
"""
REMADE = """
UPDATE audit_seals SET previous_hash = repeat('a', 64), hash = encode(sha256(
    convert_to('8 ' || repeat('a', 64) || ' ' || event_hash, 'UTF8')), 'hex')
WHERE position = 8
"""
OF_BEFORE = """
INSERT INTO audit_seals
SELECT org_id, 2, gen_random_uuid(), event_hash, previous_hash,
    encode(sha256(convert_to('2 ' || previous_hash || ' ' || event_hash, 'UTF8')), 'hex')
FROM audit_seals WHERE position = 8
"""
TAMPERING = {
    "the anchor gone": ("DELETE FROM audit_anchors", Damage.SEAL_REMOVED, 1),
    "the anchor moved back": (MOVED_BACK, Damage.SEAL_REMOVED, 7),
    "the anchor moved on": (FORWARD, Damage.ANCHOR_CHANGED, 8),
    "moved on, and the link removed": (f"{FORWARD}; {CUT_BEHIND}", Damage.ANCHOR_CHANGED, 8),
    "the anchor's hash": (HASH, Damage.ANCHOR_CHANGED, 8),
    "who it was": (WHO, Damage.ANCHOR_CHANGED, 7),
    "another event": (WHICH, Damage.ANCHOR_CHANGED, 7),
    "what tells of it": (UNTOLD, Damage.EVENT_REMOVED, 11),
    "the first link": (CUT_BEHIND, Damage.SEAL_REMOVED, 8),
    "all links": ("DELETE FROM audit_seals", Damage.SEAL_REMOVED, 8),
    "an event": (CHANGED.format(9), Damage.EVENT_CHANGED, 9),
    "a link made anew": (REMADE, Damage.ANCHOR_CHANGED, 8),
    "a link of before": (OF_BEFORE, Damage.ANCHOR_CHANGED, 2),
}


@pytest.mark.parametrize(
    ("statements", "damage", "position"), list(TAMPERING.values()), ids=list(TAMPERING)
)
async def test_what_was_tampered_with_afterwards_is_named(
    aged: str, owner: Database, statements: str, damage: Damage, position: int
) -> None:
    """The anchor is held against the first link behind it, and against what the chain tells."""
    await prune(owner)
    await AuditSealer(owner).seal_all(DEFAULT)
    as_replica(aged, statements)
    broken = (await check(owner)).broken
    assert broken is not None
    assert (broken.damage, broken.position) == (damage, position)
    left = as_administrator(aged, LEFT, DEFAULT)
    done = await prune(owner, older_than="PT0S")
    assert (done.removed, done.kept) == (0, "damaged")
    assert as_administrator(aged, LEFT, DEFAULT) == left


@pytest.mark.parametrize(
    "damage",
    [
        CHANGED.format(2),
        GONE,
        "UPDATE audit_seals SET hash = repeat('a', 64) WHERE position = 2",
        "UPDATE audit_seals SET previous_hash = repeat('a', 64) WHERE position = 2",
        "DELETE FROM audit_seals WHERE position = 2",
    ],
)
async def test_the_function_itself_keeps_what_is_damaged(
    aged: str, owner: Database, damage: str
) -> None:
    """Whoever calls it without looking before: the proof of what was done is not removed."""
    as_replica(aged, damage)
    pruning = AuditPruning(owner)
    before = await pruning.before("P20Y")
    portion = await pruning.portion(DEFAULT, before, 0, 3)
    assert (portion.upto, portion.stopped_by) == (1, "damaged")
    with pytest.raises(RefusedError, match="damaged"):
        await pruning.remove(DEFAULT, portion._replace(upto=3), before, "x")
    assert as_administrator(aged, "SELECT FROM audit_anchors") == []


@pytest.mark.parametrize(
    "arguments",
    [
        "now() + interval '1 minute', 'x', 0, 3",
        "NULL, 'x', 0, 3",
        "now(), '', 0, 3",
        "now(), 'x', 0, NULL",
        "now(), 'x', 0, 0",
        "now(), 'x', 0, 1000000",
    ],
)
async def test_the_function_refuses_what_makes_no_sense(aged: str, arguments: str) -> None:
    """No time that is to come, nobody, nothing, too much; and never without an org."""
    with psycopg.connect(aged) as connection:
        for org in (str(DEFAULT), ""):
            connection.execute("SELECT set_config('app.current_org_id', %s, true)", (org,))
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute(f"SELECT prune_audit_events({arguments})".encode())
            connection.rollback()


async def test_the_application_cannot_prune(aged: str, database: Database) -> None:
    """Neither by the function, nor by an anchor of its own, nor by deleting."""
    with pytest.raises(RefusedError, match="owner of the tables"):
        await prune(database)
    pruning = AuditPruning(database)
    before = await pruning.before("P20Y")
    with pytest.raises(RefusedError, match="owner of the tables"):
        await pruning.remove(DEFAULT, await pruning.portion(DEFAULT, before, 0, 3), before, "x")
    for statement in (
        "SELECT prune_audit_events(now(), 'x', 0, 3)",
        FORWARD,
        "UPDATE audit_anchors SET position = 9",
        "DELETE FROM audit_anchors",
        "TRUNCATE audit_anchors",
    ):
        with psycopg.connect(aged) as connection:
            connection.execute(f"SET ROLE {APP_ROLE}".encode())
            connection.execute("SELECT set_config('app.current_org_id', %s, true)", (str(DEFAULT),))
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement.encode())
    assert (await check(database)).sealed == ALL


async def test_an_anchor_lets_go_no_more_than_it_tells_of(aged: str, owner: Database) -> None:
    """The owner's accidents are refused as before: behind the anchor, and the anchor itself."""
    await prune(owner)
    for table in ("audit_events", "audit_seals", "audit_anchors"):
        for change in ("UPDATE {} SET event_id = event_id", "DELETE FROM {}", "TRUNCATE {}"):
            with (
                psycopg.connect(aged) as connection,
                pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
            ):
                connection.execute(change.format(table).encode())


async def test_another_orgs_chain_is_untouched(
    aged: str, owner: Database, database: Database
) -> None:
    """Pruning one says and changes nothing of the other."""
    await PostgresDefinitionStore(database).create_org("acme")
    await write(database, ACME)
    age(aged, older=100)
    await AuditSealer(database).seal_all(ACME)
    theirs = (await check(database, slug="acme")).head
    assert (await prune(owner)).removed == OLD
    verdict = await check(database, theirs, slug="acme")
    assert (verdict.broken, verdict.sealed, verdict.anchor) == (None, ALL, None)
    assert (await prune(owner, slug="acme")).removed == 9
    assert (await check(database)).sealed == 3


async def test_who_is_stopped_between_two_portions_begins_again(
    aged: str, database: Database, tmp_path: Path
) -> None:
    """What went is told and holds; the rest goes the next time, and all of it is archived once."""
    archive = Archive(tmp_path / "archive")
    async with Database(aged, as_owner=True) as owner:
        stopped = Pruning(
            database=owner, archive=archive, older_than="P20Y", by="x", dry_run=False,
            say=_stop, portion=3,
        )  # fmt: skip
        with pytest.raises(_StoppedError):
            await stopped.run([await organization(owner)])
        verdict = await check(database)
        assert (verdict.broken, verdict.sealed) == (None, 7)
        assert (await prune(owner, archive=archive)).removed == 4
    assert (await check(database)).broken is None
    assert [position for position, _ in _archived(tmp_path / "archive")] == list(range(1, 8))


class _StoppedError(Exception):
    pass


def _stop(_: str) -> None:
    raise _StoppedError


async def test_what_is_archived_and_did_not_go_is_archived_again(
    aged: str, owner: Database, database: Database, tmp_path: Path
) -> None:
    """A transaction that fails leaves the events where they are, and says nothing of them."""
    before = everything(aged)
    as_administrator(
        aged,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'no room'; END $$;"
        " CREATE TRIGGER refuse BEFORE DELETE ON audit_seals FOR EACH ROW"
        " EXECUTE FUNCTION refuse()",
    )
    archive = Archive(tmp_path / "archive")
    with pytest.raises(psycopg.errors.RaiseException, match="no room"):
        await prune(owner, archive=archive)
    assert everything(aged) == before
    as_administrator(aged, "DROP TRIGGER refuse ON audit_seals; DROP FUNCTION refuse()")
    assert (await prune(owner, archive=archive)).removed == OLD
    assert (await check(database)).broken is None


async def test_two_at_once_remove_each_event_once(
    aged: str, owner: Database, database: Database
) -> None:
    """Each says what it removed itself, and each portion is told once."""
    async with Database(aged, as_owner=True) as another:
        done = await asyncio.gather(
            *(prune(one, portion=1) for one in (owner, another, owner, another))
        )
    assert sum(one.removed for one in done) == OLD
    page = await Audit(database).list_events(DEFAULT, event_type="audit.pruned")
    assert len(page.items) == OLD
    await AuditSealer(database).seal_all(DEFAULT)
    assert (await check(database)).broken is None


async def test_a_sealer_and_a_check_at_work_meanwhile(
    aged: str, owner: Database, database: Database
) -> None:
    """Neither breaks the chain, and a check never takes what was just pruned for a theft."""
    pruning = asyncio.create_task(prune(owner, portion=1))
    writing = asyncio.create_task(write(database, start=50))
    verdicts = []
    while not (pruning.done() and writing.done()):
        await AuditSealer(database).seal(DEFAULT, limit=2)
        verdicts.append(await check(database))
    assert (await pruning).removed == OLD
    await writing
    await AuditSealer(database).seal_all(DEFAULT)
    verdicts.append(await check(database))
    assert [one.broken for one in verdicts] == [None] * len(verdicts)
    assert verdicts[-1].sealed == ALL - OLD + ALL + OLD
    assert as_administrator(aged, FIRST, DEFAULT) == [{"first": 8}]


async def test_a_check_begins_again_when_the_anchor_moves(
    aged: str, owner: Database, database: Database
) -> None:
    """Links that go after the anchor was read, and before they are, are not missed."""

    class Slow(Audit):
        pruned = False

        @override
        async def head(self, org_id: UUID) -> int:
            if not self.pruned:
                self.pruned = True
                await prune(owner)
            return await super().head(org_id)

    verdict = await verify(Slow(database), await organization(database))
    assert (verdict.broken, verdict.sealed) == (None, 3)
    assert aged


def _archived(folder: Path) -> list[tuple[int, str]]:
    """Position and text of every event in an archive, each file checked with the manifest."""
    found = []
    for line in (folder / "manifest.jsonl").read_text().splitlines():
        entry = json.loads(line)
        content = (folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
        head, *links = map(json.loads, gzip.decompress(content).splitlines())
        assert head["audit"] == entry["audit"]
        found += [(link["position"], link["event"]) for link in links]
    return found


async def test_the_archive_has_everything_that_went(
    aged: str, owner: Database, database: Database, tmp_path: Path
) -> None:
    """Each event with its link, which hold from 64 zeros to the anchor, without any database."""
    events = as_administrator(
        aged, "SELECT e.* FROM audit_events AS e JOIN audit_seals USING (event_id)"
        " WHERE position <= 7 ORDER BY position",
    )  # fmt: skip
    done = await prune(owner, archive=Archive(tmp_path / "archive"))
    assert (done.removed, done.archived) == (OLD, 3)
    files = sorted((tmp_path / "archive").rglob("*.gz"))
    assert [file.name for file in files] == [
        "000000000001-000000000003.jsonl.gz",
        "000000000004-000000000006.jsonl.gz",
        "000000000007-000000000007.jsonl.gz",
    ]
    chain = Chain(0, ORIGIN)
    for file in files:
        head, *links = map(json.loads, gzip.decompress(file.read_bytes()).splitlines())
        assert head["audit"]["previousHash"] == chain.hash
        for link in links:
            made = Link(
                link["position"], uuid4(), link["eventHash"], link["previousHash"], link["hash"],
                link["event"],
            )  # fmt: skip
            assert chain.follow(made) is None
        assert head["audit"]["hash"] == chain.hash
    assert done.anchor == f"{chain.hash}@7"
    texts = [json.loads(text) for _, text in _archived(tmp_path / "archive")]
    assert [one["event_id"] for one in texts] == [str(one["event_id"]) for one in events]
    assert [one["event_data"] for one in texts] == [one["event_data"] for one in events]
    assert (await check(database)).broken is None


async def test_the_auditors_own_query_begins_at_the_anchor(
    aged: str, owner: Database, database: Database
) -> None:
    """The query in audit.md holds for what is left, and shows where an anchor does not fit."""
    from tests.docs import blocks  # noqa: PLC0415

    await prune(owner)
    await AuditSealer(database).seal_all(DEFAULT)
    [query] = [block.text for block in blocks("sql") if "event_holds" in block.text]
    names = ("no_gap", "follows", "seal_holds", "event_holds")

    def wrong() -> set[tuple[int, str]]:
        rows = as_administrator(aged, query)
        assert len(rows) == 6
        return {(row["position"], name) for row in rows for name in names if not row[name]}

    assert wrong() == set()
    as_replica(aged, "UPDATE audit_anchors SET hash = repeat('a', 64) WHERE position = 7")
    assert wrong() == {(8, "follows")}
    as_replica(aged, "DELETE FROM audit_anchors WHERE position = 7")
    assert wrong() == {(8, "follows"), (8, "no_gap")}


async def test_the_schema_can_be_taken_back_and_refuses_again(
    aged: str, owner: Database, database_url: str
) -> None:
    """After the downgrade nothing of the audit trail can be deleted, by whatever anchor."""
    from adapters.postgres.migrate import downgrade  # noqa: PLC0415

    await prune(owner)
    assert aged == database_url
    downgrade(database_url, "023_match_triggers")
    for table in ("audit_events", "audit_seals"):
        with (
            psycopg.connect(database_url) as connection,
            pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
        ):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
