"""Triggers in Postgres: found by the index, for one org alone; and the dead letters."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest

from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.dead_letters import PostgresDeadLetters
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.triggers import PostgresTriggers
from definitions.deadletters import DeadLetter, Message, letter_of_message
from definitions.errors import ConflictError, NotFoundError
from definitions.identity import org_id
from definitions.inbound import parse_event
from definitions.triggers import candidates
from definitions.validation.api import parse_definition
from tests.integration.tenancy import OWNER, A, B, acting, owned_template, tenants
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["owned_template", "tenants"]

DEFAULT = org_id("default")


def document(workflow_id: str, *patterns: str, version: str = "1.0.0") -> dict[str, Any]:
    return {
        "workflowId": workflow_id,
        "name": workflow_id,
        "version": version,
        "steps": [{"stepId": "a", "taskId": "core.noop"}],
        "triggers": [{"eventPattern": one, "condition": "true"} for one in patterns],
    }


async def register(
    database: Database, given: dict[str, Any], *, org: UUID = DEFAULT, listed: bool = True
) -> None:
    store = PostgresDefinitionStore(database)
    await store.register(org, parse_definition(given), given, listed=listed)


async def found(database: Database, event_type: str, org: UUID = DEFAULT) -> dict[str, list[str]]:
    matching = await PostgresTriggers(database).matching(org, event_type)
    return {one.workflow_id: [t.event_pattern for t in one.triggers] for one in matching}


async def test_what_an_event_matches(database: Database) -> None:
    """By the exact type, by ``*`` and by ``**``; with those triggers that match, and no others."""
    await register(database, document("exact", "order.paid", "order.sent"))
    await register(database, document("star", "*.paid"))
    await register(database, document("rest", "**"))
    await register(database, document("both", "order.*", "order.**", "bill.*"))
    await register(database, document("none", "order", "order.paid.late", "order.paid.**"))
    await register(database, {**document("without"), "triggers": []})
    assert await found(database, "order.paid") == {
        "exact": ["order.paid"],
        "star": ["*.paid"],
        "rest": ["**"],
        "both": ["order.*", "order.**"],
    }
    assert await found(database, "bill.*") == {"rest": ["**"], "both": ["bill.*"]}


async def test_only_the_highest_listed_version_counts(database: Database) -> None:
    """Neither what an earlier version was triggered by, nor what a run brought along."""
    await register(database, document("order", "order.paid"))
    await register(database, document("order", "order.sent", version="2.0.0"))
    await register(database, document("order", "order.paid", version="1.5.0"))
    await register(database, document("inline", "order.paid"), listed=False)
    assert await found(database, "order.paid") == {}
    assert await found(database, "order.sent") == {"order": ["order.sent"]}


async def test_no_other_org_is_triggered(database: Database) -> None:
    """The same type in two orgs."""
    other = await PostgresDefinitionStore(database).create_org("other")
    await register(database, document("mine", "order.paid"))
    await register(database, document("theirs", "order.paid"), org=other.id)
    assert await found(database, "order.paid") == {"mine": ["order.paid"]}
    assert await found(database, "order.paid", other.id) == {"theirs": ["order.paid"]}


_MANY = """
INSERT INTO workflow_definitions
    (id, org_id, workflow_id, name, version, triggers, steps, content_hash, listed)
SELECT gen_random_uuid(), %s, 'many-' || n, 'Many', '1.0.0',
       jsonb_build_array(jsonb_build_object('eventPattern', 'team' || n || '.*')),
       '[{"stepId": "a", "taskId": "core.noop"}]', repeat('0', 64), true
FROM generate_series(1, 3000) AS n
"""


def plan(connection: psycopg.Connection[Any], statement: str, *values: object) -> str:
    rows = connection.execute(f"EXPLAIN {statement}".encode(), values).fetchall()
    return "\n".join(str(next(iter(row.values()))) for row in rows)


def test_the_lookup_uses_the_specified_index(tenants: str) -> None:
    """As the function's owner, in a schema that no superuser owns. Under a policy it would not."""
    as_administrator(tenants, _MANY, A)
    as_administrator(tenants, "ANALYZE workflow_definitions")
    [function] = as_administrator(
        tenants, "SELECT prosrc, prosecdef FROM pg_proc WHERE proname = 'match_triggers'"
    )
    assert function["prosecdef"]
    query = function["prosrc"].replace("$1", "%s::text[]")
    with acting(tenants, OWNER, A) as connection:
        assert "workflow_definitions_triggers_idx" in plan(connection, query, candidates("team7.x"))
    with acting(tenants, APP_ROLE, A) as connection:
        assert "triggers_idx" not in plan(connection, query, candidates("team7.x"))
        call = "SELECT * FROM match_triggers(%s)"
        assert len(connection.execute(call, (candidates("team7.x"),)).fetchall()) == 1
    for org in (B, None):
        with acting(tenants, APP_ROLE, org) as connection:
            call = "SELECT * FROM match_triggers(%s)"
            assert connection.execute(call, (candidates("team7.x"),)).fetchall() == []


def letter(org: UUID | None, body: bytes, **fields: Any) -> DeadLetter:
    message = Message(body)
    given = {"code": "invalid_json", "reason": "no JSON", "message": body, **fields}
    return DeadLetter(id=letter_of_message(org, message), org_id=org, **given)


async def test_dead_letters_are_kept_until_they_are_resolved(database: Database) -> None:
    """Failing again counts; a resolved one that fails again is open again."""
    letters = PostgresDeadLetters(database)
    one = letter(DEFAULT, b"\x00\xff", headers={"org_id": "default"}, topic="t", topic_offset=7)
    await letters.put(one)
    await letters.put(one.model_copy(update={"reason": "still no JSON"}))
    stored = await letters.find(DEFAULT, str(one.id)[:8])
    assert (stored.attempts, stored.reason, stored.message) == (2, "still no JSON", b"\x00\xff")
    assert (stored.headers, stored.topic, stored.topic_offset) == ({"org_id": "default"}, "t", 7)
    await letters.resolve(DEFAULT, one.id)
    assert await letters.list(DEFAULT) == []
    assert [one.id for one in await letters.list(DEFAULT, resolved=True)] == [one.id]
    await letters.put(one)
    assert [one.id for one in await letters.list(DEFAULT)] == [one.id]


async def test_dead_letters_are_their_orgs(database: Database) -> None:
    """An org sees its own alone, and those of no org are seen without one alone."""
    other = await PostgresDefinitionStore(database).create_org("other")
    letters = PostgresDeadLetters(database)
    owners: Sequence[UUID | None] = (DEFAULT, other.id, None)
    for org in owners:
        await letters.put(letter(org, b"x"))
    for org in owners:
        [mine] = await letters.list(org)
        assert mine.org_id == org
        for somebody in owners:
            if somebody != org:
                await letters.resolve(somebody, mine.id)
                with pytest.raises(NotFoundError):
                    await letters.find(somebody, str(mine.id))
    assert all([await letters.list(org) for org in owners])


async def test_the_beginning_of_several_letters_names_none(database: Database) -> None:
    """Neither does an empty name."""
    letters = PostgresDeadLetters(database)
    for number in range(2):
        base = letter(DEFAULT, str(number).encode())
        named = UUID(f"aaaaaaaa-0000-0000-0000-{number:012}")
        await letters.put(base.model_copy(update={"id": named}))
    with pytest.raises(ConflictError):
        await letters.find(DEFAULT, "aaaa")
    with pytest.raises(NotFoundError):
        await letters.find(DEFAULT, "")
    await letters.find(DEFAULT, "AAAAAAAA-0000-0000-0000-000000000001")


async def test_an_events_depth_without_a_run(database: Database) -> None:
    """An event that no run of the org has published is the first cause."""
    value = {"specversion": "1.0", "id": str(uuid4()), "source": "s", "type": "t"}
    event = parse_event(json.loads(json.dumps(value)))
    assert await PostgresTriggers(database).causation_depth(DEFAULT, event) == 0
