"""Two tenants in a database that is migrated the way a production one is.

The migrator, who acts as the owner, migrates it, so that no superuser owns anything.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.rows import dict_row

from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import Database
from adapters.postgres.dead_letters import PostgresDeadLetters
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.migrate import upgrade
from adapters.postgres.migrations.sqlfile import SQL
from adapters.postgres.recorder import PostgresRecorder
from adapters.postgres.urls import with_database
from definitions.deadletters import DeadLetter, letter_of_event
from definitions.identity import org_id
from definitions.records import ErrorInfo, Vote
from definitions.references import PayloadReference
from definitions.statuses import InstanceStatus, StepStatus
from definitions.validation.api import parse_definition
from tests.integration.facts import (
    action,
    at,
    attempt,
    audit,
    facts,
    flush,
    published,
    run_ref,
    started,
    step,
)
from tests.postgres import as_administrator, fresh_database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

OWNER = "steploom_owner"
MIGRATOR = "steploom_migrator"
A, B = org_id("acme"), org_id("globex")
ORGS = {"acme": A, "globex": B}
#: Tables without any tenant's data.
OPEN = {"alembic_version"}
#: As if an org's audit events had been pruned; the application may not say so.
ANCHOR = """
INSERT INTO audit_anchors (org_id, position, hash, removed, older_than, pruned_by, event_id)
SELECT id, 7, encode(sha256(convert_to(slug, 'UTF8')), 'hex'), 7, now(), 'auditor@example.com',
    gen_random_uuid()
FROM organizations WHERE id = %s
"""
RELATIONS = """
SELECT c.relname AS name, c.relkind AS kind
FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
  AND NOT c.relispartition
ORDER BY 1
"""


def document(slug: str) -> dict[str, Any]:
    return {
        "workflowId": "order",
        "name": f"Order of {slug}",
        "version": "1.0.0",
        "variables": {"secret": slug},
        "steps": [
            {"stepId": "charge", "taskId": "demo.charge", "input": {"amount": "${data.amount}"}},
            {"stepId": "tell", "taskId": "core.noop", "input": "${steps.charge.output}"},
        ],
        "executionLog": {"metadata": ["team"], "retention": "P30D"},
    }


def administer(server: str, statement: sql.Composed) -> None:
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def owned_template(postgres_server: str) -> Iterator[str]:
    """A database that a migrator without any other right has migrated."""
    name = f"steploom_owned_{uuid4().hex[:12]}"
    password = uuid4().hex
    login = sql.Identifier(f"migrator_{uuid4().hex[:8]}")
    administer(postgres_server, sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    url = with_database(postgres_server, name)
    as_administrator(url, (SQL / "roles.sql").read_text(encoding="utf-8"))
    administer(
        postgres_server,
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            login, sql.Literal(password), sql.Identifier(MIGRATOR)
        ),
    )
    administer(
        postgres_server, sql.SQL("ALTER ROLE {} SET role = {}").format(login, sql.Literal(OWNER))
    )
    with psycopg.connect(url) as connection:
        info = connection.info
        upgrade(
            f"postgresql://{login.as_string(connection).strip(chr(34))}:{password}"
            f"@{info.host}:{info.port}/{name}"
        )
    yield name
    administer(
        postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name))
    )
    administer(postgres_server, sql.SQL("DROP ROLE {}").format(login))


async def fill(url: str) -> None:
    """Two orgs with something of everything, all of it written as the application."""
    async with Database(url) as database:
        store, recorder = PostgresDefinitionStore(database), PostgresRecorder(database)
        for slug, org in ORGS.items():
            await store.create_org(slug)
            user = await store.create_user(org, "clerk@example.com")
            given = document(slug)
            version = await store.register(org, parse_definition(given), given)
            ref = run_ref(f"run-{slug}", org)
            await recorder.write(
                started(
                    ref,
                    user_id=user.name,
                    definition_id=version.definition_id,
                    version_id=version.version_id,
                    input={"team": slug},
                )
            )
            error = ErrorInfo(type="Oops", message=slug)
            vote = Vote(decision="approved", approver="clerk@example.com", decided_at=at(3))
            big = [PayloadReference(sha256=sha256(slug.encode()).hexdigest(), size=1)]
            await recorder.write(
                attempt(ref, 1, StepStatus.FAILED, step(1), error=error, payloads=big)
            )
            await recorder.write(
                facts(
                    ref,
                    step(4, StepStatus.FAILED, error=error, votes=[vote]),
                    action(ref, 5),
                    published(ref, 6),
                    audit(ref, 7, "workflow.completed", outcome="failed"),
                    flush(
                        8,
                        InstanceStatus.FAILED,
                        state={"input": {}, "steps": {}, "variables": {"secret": slug}},
                    ),
                )
            )
            async with database.transaction(org) as connection:
                await connection.execute(
                    "WITH c AS (INSERT INTO workflow_configs (org_id, config_type, version,"
                    " config_data, is_active) VALUES (%(org)s, 'global', 1, %(data)s, true)"
                    " RETURNING id), a AS (INSERT INTO config_status (org_id, entity_type,"
                    " entity_id, config_id) SELECT %(org)s, 'global', 'global', id FROM c),"
                    " b AS (INSERT INTO channel_configs (org_id, channel, config_data)"
                    " VALUES (%(org)s, 'web', %(data)s))"
                    " INSERT INTO workflow_channel_configs (org_id, workflow_id, channel)"
                    " VALUES (%(org)s, %(workflow)s, 'web')",
                    {
                        "org": org,
                        "data": json.dumps({"secret": slug}),
                        "workflow": version.definition_id,
                    },
                )
                await connection.execute(
                    "INSERT INTO provider_workflows (org_id, provider_type, workflow_id, spec,"
                    " resource_ids) VALUES (%s, 'temporal', 'order', '{}', '{}')",
                    (org,),
                )
                await connection.execute(
                    "INSERT INTO node_io_requirements (org_id, node_id, io_type, field_name)"
                    " SELECT org_id, id, 'input', 'made_up' FROM workflow_nodes"
                    " ON CONFLICT DO NOTHING"
                )
            # One event is sealed, and one waits for it.
            await AuditSealer(database).seal_all(org)
            await recorder.write(facts(ref, audit(ref, 9, "workflow.failed", outcome="failed")))
            letter = DeadLetter(
                id=letter_of_event(org, org, "order"),
                org_id=org,
                workflow_id="order",
                code="no_reason",
                reason=slug,
                message=slug.encode(),
            )
            await PostgresDeadLetters(database).put(letter)
        await recorder.close()


@pytest_asyncio.fixture(scope="module")
async def tenants(postgres_server: str, owned_template: str) -> AsyncIterator[str]:
    """The administrator's URL of a database with two tenants."""
    with fresh_database(postgres_server, owned_template) as url:
        await fill(url)
        for org in ORGS.values():
            as_administrator(url, ANCHOR, org)
        yield url


@contextmanager
def acting(url: str, role: str, org: UUID | None) -> Iterator[psycopg.Connection[dict[str, Any]]]:
    """A connection inside a transaction, as a role and for an org."""
    with psycopg.connect(url, row_factory=dict_row) as connection:
        connection.execute("SELECT set_config('role', %s, true)", (role,))
        if org is not None:
            connection.execute("SELECT set_config('app.current_org_id', %s, true)", (str(org),))
        yield connection
        connection.rollback()


def relations(url: str) -> dict[str, str]:
    return {row["name"]: row["kind"] for row in as_administrator(url, RELATIONS)}


def orgs_in(connection: psycopg.Connection[dict[str, Any]], relation: str) -> set[UUID]:
    """Whose rows of a relation can be seen."""
    column = "id" if relation == "organizations" else "org_id"
    query = sql.SQL("SELECT {} AS org FROM {}").format(
        sql.Identifier(column), sql.Identifier(relation)
    )
    return {row["org"] for row in connection.execute(query).fetchall()}
