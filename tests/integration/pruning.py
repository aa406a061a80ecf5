"""A pruned audit chain, as short to make as a test wants it: seven of its ten events are old."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.audit import Audit
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.identity import org_id
from steploom.operations.auditing import Head, Verdict, verify
from steploom.operations.pruning import Pruned, Pruning
from tests.integration.facts import DEFAULT, audit, facts, run_ref
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from steploom.operations.archive import Archive

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
#: What the owner of the database does to an anchor: it tells of one link more.
FORWARD = """
INSERT INTO audit_anchors (org_id, position, hash, removed, older_than, pruned_by, event_id)
SELECT org_id, position, hash, 1, now(), 'auditor@example.com', event_id FROM audit_seals
WHERE position = 8
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
