"""Who a worker and a command may log in as, and that each of them is bound by the policies."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from adapters.postgres.audit import Audit
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.migrate import upgrade
from adapters.postgres.partitions import make_partitions
from adapters.postgres.reader import PostgresReader
from adapters.postgres.schema import check_schema
from adapters.postgres.urls import with_database
from definitions.errors import NotFoundError, RefusedError
from steploom.operations.auditing import verify
from steploom.operations.pruning import Pruning
from tests.integration.tenancy import MIGRATOR, OWNER, A, B, administer, fill, owned_template
from tests.postgres import as_administrator, fresh_database

__all__ = ["owned_template"]


async def test_a_login_of_the_application_needs_no_other_right(
    postgres_server: str, owned_template: str
) -> None:
    """Worker and commands work as a role that is nothing but a member of the application's."""
    name, password = f"app_{uuid4().hex[:8]}", uuid4().hex
    administer(
        postgres_server,
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            sql.Identifier(name), sql.Literal(password), sql.Identifier(APP_ROLE)
        ),
    )
    try:
        with (
            fresh_database(postgres_server, owned_template) as url,
            psycopg.connect(url) as connection,
        ):
            info = connection.info
            mine = f"postgresql://{name}:{password}@{info.host}:{info.port}/{info.dbname}"
            await fill(mine)
            async with Database(mine) as database:
                await check_schema(database)
                assert await make_partitions(database) == 0
    finally:
        administer(postgres_server, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def test_a_database_with_one_user_keeps_tenants_apart_as_well(postgres_server: str) -> None:
    """Where nobody may make roles, the owner migrates and works, and is bound by the policies."""
    name, password = f"single_{uuid4().hex[:8]}", uuid4().hex
    identifier = sql.Identifier(name)
    administer(
        postgres_server,
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(identifier, sql.Literal(password)),
    )
    administer(
        postgres_server, sql.SQL("CREATE DATABASE {} OWNER {}").format(identifier, identifier)
    )
    try:
        with psycopg.connect(with_database(postgres_server, name)) as connection:
            info = connection.info
            url = f"postgresql://{name}:{password}@{info.host}:{info.port}/{name}"
        upgrade(url)
        await fill(url)
        async with Database(url) as database:
            assert len(await PostgresDefinitionStore(database).list_orgs()) == 3
            for org in (A, B):
                async with database.transaction(org) as connection_of_org:
                    cursor = await connection_of_org.execute(
                        "SELECT current_user AS role, org_id FROM workflow_trace"
                    )
                    assert await cursor.fetchall() == [{"role": name, "org_id": org}]
    finally:
        administer(postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))
        administer(postgres_server, sql.SQL("DROP ROLE {}").format(identifier))


async def test_the_applications_own_ways_keep_to_the_org(
    postgres_server: str, owned_template: str
) -> None:
    """The list of orgs is everybody's; all else of another org is not found."""
    with fresh_database(postgres_server, owned_template) as url:
        await fill(url)
        async with Database(url) as database:
            store, reader = PostgresDefinitionStore(database), PostgresReader(database)
            assert {org.slug for org in await store.list_orgs()} == {"acme", "default", "globex"}
            for name in ("acme", str(A)):
                assert (await store.find_org(name)).id == A
            run = await reader.find_instance(A, "exec-run-acme")
            for name in ("exec-run-acme", str(run.id), str(run.id)[:8]):
                with pytest.raises(NotFoundError):
                    await reader.find_instance(B, name)
            version = run.definition_version_id
            assert version is not None
            with pytest.raises(NotFoundError):
                await store.get_version(B, version)
            async with database.transaction(A) as connection:
                cursor = await connection.execute("SELECT current_user AS role")
                assert await cursor.fetchone() == {"role": APP_ROLE}


#: Events that happened long ago, of executions that are not on record.
AGE = """
SET session_replication_role = replica;
DELETE FROM audit_seals;
INSERT INTO audit_unsealed
SELECT org_id, event_id, now() FROM audit_events ON CONFLICT DO NOTHING;
UPDATE audit_events
SET instance_id = NULL, recorded_at = '2001-01-01', event_timestamp = '2001-01-01'
"""


async def test_audit_events_are_pruned_by_who_acts_as_the_owner_alone(
    postgres_server: str, owned_template: str
) -> None:
    """A login for maintenance may, org by org; one of the application's may look, and no more."""
    logins = {"owner": MIGRATOR, "app": APP_ROLE}
    names = {kind: f"{kind}_{uuid4().hex[:8]}" for kind in logins}
    password = uuid4().hex
    for kind, role in logins.items():
        administer(
            postgres_server,
            sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
                sql.Identifier(names[kind]), sql.Literal(password), sql.Identifier(role)
            ),
        )
    administer(
        postgres_server,
        sql.SQL("ALTER ROLE {} SET role = {}").format(
            sql.Identifier(names["owner"]), sql.Identifier(OWNER)
        ),
    )
    try:
        with (
            fresh_database(postgres_server, owned_template) as url,
            psycopg.connect(url) as connection,
        ):
            info = connection.info
            place = f"{password}@{info.host}:{info.port}/{info.dbname}"
            await fill(url)
            as_administrator(url, AGE)
            async with Database(f"postgresql://{names['app']}:{place}", as_owner=True) as app:
                for org in (A, B):
                    assert await AuditSealer(app).seal_all(org) == 2
                assert await _prune(app, dry_run=True) == 1
                with pytest.raises(RefusedError, match="owner of the tables"):
                    await _prune(app)
            async with Database(f"postgresql://{names['owner']}:{place}", as_owner=True) as owner:
                theirs = await PostgresDefinitionStore(owner).find_org("globex")
                before = await verify(Audit(owner), theirs)
                assert await _prune(owner) == 1
                assert await verify(Audit(owner), theirs) == before
                acme = await PostgresDefinitionStore(owner).find_org("acme")
                verdict = await verify(Audit(owner), acme)
                assert (verdict.broken, verdict.sealed, verdict.waiting.events) == (None, 1, 1)
                page = await Audit(owner).list_events(A, event_type="audit.pruned")
                assert page.items[0].event_data["data"]["audit"]["login"] == names["owner"]
    finally:
        for name in names.values():
            administer(postgres_server, sql.SQL("DROP ROLE {}").format(sql.Identifier(name)))


async def _prune(database: Database, *, dry_run: bool = False) -> int:
    acme = await PostgresDefinitionStore(database).find_org("acme")
    pruning = Pruning(
        database=database, archive=None, older_than="P9Y", by="auditor@example.com",
        dry_run=dry_run, say=lambda _: None,
    )  # fmt: skip
    [done] = await pruning.run([acme])
    return done.removed
