"""The retention of audit events: what goes, what never does, and who may remove them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql
from typing_extensions import override

from adapters.postgres.audit import Audit
from adapters.postgres.audit_pruning import AuditPruning
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.migrate import downgrade
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import RefusedError
from definitions.seals import Damage
from steploom.operations.auditing import verify
from tests.integration.facts import DEFAULT, run_ref, started
from tests.integration.pruning import (
    ACME,
    ALL,
    FIRST,
    FORWARD,
    OLD,
    age,
    aged,
    check,
    everything,
    organization,
    owner,
    prune,
    write,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["aged", "owner"]


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


async def test_the_schema_can_be_taken_back_and_refuses_again(
    aged: str, owner: Database, database_url: str
) -> None:
    """After the downgrade nothing of the audit trail can be deleted, by whatever anchor."""
    await prune(owner)
    assert aged == database_url
    downgrade(database_url, "023_match_triggers")
    for table in ("audit_events", "audit_seals"):
        with (
            psycopg.connect(database_url) as connection,
            pytest.raises(psycopg.errors.RestrictViolation, match="append-only"),
        ):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
