"""One tenant never sees another: every table, view, function and partition, seen by everybody.

The database is migrated the way a production one is: by the migrator, who acts as the owner, so
that no superuser owns anything.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
import pytest_asyncio
from psycopg import sql
from psycopg.rows import dict_row

from adapters.postgres.database import APP_ROLE, Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.migrate import upgrade
from adapters.postgres.migrations.sqlfile import SQL
from adapters.postgres.partitions import make_partitions
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from adapters.postgres.schema import check_schema
from adapters.postgres.urls import with_database
from definitions.errors import NotFoundError
from definitions.identity import org_id
from definitions.records import ErrorInfo, Vote
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
            await recorder.write(attempt(ref, 1, StepStatus.FAILED, step(1), error=error))
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
                    "INSERT INTO node_io_requirements (org_id, node_id, io_type, field_name)"
                    " SELECT org_id, id, 'input', 'made_up' FROM workflow_nodes"
                    " ON CONFLICT DO NOTHING"
                )
        await recorder.close()


@pytest_asyncio.fixture(scope="module")
async def tenants(postgres_server: str, owned_template: str) -> AsyncIterator[str]:
    """The administrator's URL of a database with two tenants."""
    with fresh_database(postgres_server, owned_template) as url:
        await fill(url)
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


def test_everything_is_filled(tenants: str) -> None:
    """Each table and view has rows of both orgs, so that the tests below can see something."""
    with psycopg.connect(tenants, row_factory=dict_row) as connection:
        for relation in relations(tenants).keys() - OPEN:
            assert {A, B} <= orgs_in(connection, relation), relation


def test_the_owner_is_no_superuser_and_owns_everything(tenants: str) -> None:
    """Tables, views, sequences and functions: made by the migrator, owned by the owner."""
    rows = as_administrator(
        tenants,
        "SELECT pg_get_userbyid(relowner) AS owner FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace"
        " UNION SELECT pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace",
    )
    assert [row["owner"] for row in rows] == [OWNER]
    [role] = as_administrator(
        tenants, "SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = %s", OWNER
    )
    assert not any(role.values())


@pytest.mark.parametrize("org", [None, A, B], ids=["unset", "acme", "globex"])
@pytest.mark.parametrize("role", [APP_ROLE, OWNER])
def test_a_transaction_sees_its_org_alone(tenants: str, role: str, org: UUID | None) -> None:
    """Every table and view, by the application and by the owner; without an org, nothing."""
    for relation in relations(tenants).keys() - OPEN:
        if (role, relation) == (OWNER, "organizations"):
            continue  # the list of tenants is the owner's
        with acting(tenants, role, org) as connection:
            assert orgs_in(connection, relation) == ({org} if org else set()), relation


@pytest.mark.parametrize("role", [APP_ROLE, OWNER])
def test_a_connection_that_is_used_again_carries_nothing_along(tenants: str, role: str) -> None:
    """After a transaction of one org, the next one sees nothing until it names its own."""
    with psycopg.connect(tenants, row_factory=dict_row) as connection:
        for relation in relations(tenants).keys() - OPEN - {"organizations"}:
            for org, seen in ((A, {A}), (None, set()), (B, {B}), (None, set())):
                connection.execute("SELECT set_config('role', %s, true)", (role,))
                if org is not None:
                    connection.execute(
                        "SELECT set_config('app.current_org_id', %s, true)", (str(org),)
                    )
                assert orgs_in(connection, relation) == seen, relation
                connection.commit()


def test_every_table_is_secured(tenants: str) -> None:
    """Row level security is enabled and forced on each, partitions included."""
    rows = as_administrator(
        tenants,
        "SELECT relname, relrowsecurity AND relforcerowsecurity AS secured FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p')",
    )
    assert {row["relname"] for row in rows if not row["secured"]} == OPEN


def test_every_view_is_its_readers(tenants: str) -> None:
    """A view is read with its reader's rights, never with its owner's."""
    rows = as_administrator(
        tenants,
        "SELECT relname, reloptions FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace AND relkind = 'v'",
    )
    assert len(rows) == 6
    assert all("security_invoker=true" in (row["reloptions"] or []) for row in rows)


def partitions(url: str) -> list[str]:
    rows = as_administrator(
        url, "SELECT relname FROM pg_class WHERE relispartition AND relkind='r'"
    )
    return [row["relname"] for row in rows]


def test_no_partition_is_read_by_its_own_name(tenants: str) -> None:
    """The application may not; the owner sees nothing; those made later are the same."""
    with acting(tenants, APP_ROLE, A) as connection:
        connection.execute("SELECT create_execution_partitions(2, now() + interval '3 years')")
        connection.commit()
    found = partitions(tenants)
    assert len(found) > 14
    for partition in found:
        query = sql.SQL("SELECT FROM {}").format(sql.Identifier(partition))
        with (
            acting(tenants, APP_ROLE, A) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(query)
        with acting(tenants, OWNER, A) as connection:
            assert connection.execute(query).fetchall() == []


def test_nothing_is_truncated_or_changed_beyond_what_is_granted(tenants: str) -> None:
    """Neither TRUNCATE anywhere, nor a change of what is append-only, nor a table of its own."""
    refused = [f"TRUNCATE {name}" for name, kind in relations(tenants).items() if kind != "v"]
    refused += [
        "DELETE FROM audit_events",
        "UPDATE audit_events SET seq = 1",
        "DELETE FROM workflow_definition_versions",
        "DELETE FROM organizations",
        "UPDATE organizations SET name = 'x'",
        "UPDATE alembic_version SET version_num = 'x'",
        "CREATE TABLE mine (a int)",
        "ALTER TABLE workflow_trace DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON workflow_trace",
    ]
    for statement in refused:
        with (
            acting(tenants, APP_ROLE, A) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement.encode())


def test_no_row_is_given_to_another_org(tenants: str) -> None:
    """Neither by changing whose it is, nor by hanging something onto what is another's."""
    tables = [name for name, kind in relations(tenants).items() if kind != "v"]
    # Of these the application may not even change rows of its own, or a trigger refuses it.
    unchanging = {
        *("organizations", "users", "audit_events"),
        *("workflow_nodes", "workflow_definition_versions"),
    }
    for table in set(tables) - OPEN - unchanging:
        with (
            acting(tenants, APP_ROLE, A) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"),
        ):
            connection.execute(
                sql.SQL("UPDATE {} SET org_id = %s").format(sql.Identifier(table)), (B,)
            )
    [theirs] = as_administrator(tenants, "SELECT * FROM workflow_trace WHERE org_id = %s", B)
    for table, columns in (
        ("workflow_trace_context", "context_key, context_value) VALUES (%s, %s, %s, 'k', '1')"),
        (
            "workflow_steps",
            (
                "step_uuid, path, iteration, seq, first_seq, step_id, status)"
                " VALUES (%s, %s, %s, gen_random_uuid(), 'charge', 1, 1, 1, 'charge', 'active')"
            ),
        ),
    ):
        statement = f"INSERT INTO {table} (org_id, trace_id, trace_created_at, {columns}"
        with (
            acting(tenants, APP_ROLE, A) as connection,
            pytest.raises(psycopg.errors.ForeignKeyViolation),
        ):
            connection.execute(statement.encode(), (A, theirs["id"], theirs["created_at"]))


def calls_on(url: str, org: UUID) -> dict[str, str]:
    """A call of every function that takes a name of something, on this org's."""
    [trace] = as_administrator(url, "SELECT * FROM workflow_trace WHERE org_id = %s", org)
    [node] = as_administrator(
        url, "SELECT id FROM workflow_nodes WHERE org_id = %s AND step_id = 'charge'", org
    )
    [found] = as_administrator(
        url, "SELECT id FROM workflow_steps WHERE org_id = %s AND path = 'charge'", org
    )
    return {
        "start_workflow_execution": f"('{trace['workflow_id']}', 'web', NULL, NULL, NULL)",
        "complete_workflow_execution": f"({trace['id']}, 'completed', NULL)",
        "start_workflow_step": f"({trace['id']}, {node['id']}, 1, NULL)",
        "complete_workflow_step": f"({found['id']}, 'completed', NULL, NULL)",
        "retry_workflow_step": f"({found['id']})",
        "set_workflow_context": f"({trace['id']}, 'k', '1')",
    }


@pytest.mark.parametrize("role", [APP_ROLE, OWNER])
@pytest.mark.parametrize("org", [None, B], ids=["unset", "globex"])
def test_another_orgs_id_is_not_found_by_any_function(
    tenants: str, role: str, org: UUID | None
) -> None:
    """Each says "not found", as of an id that nobody has; the org itself can call it."""
    for name, arguments in calls_on(tenants, A).items():
        with (
            acting(tenants, role, org) as connection,
            pytest.raises(psycopg.errors.NoDataFound, match="not found"),
        ):
            connection.execute(f"SELECT {name}{arguments}".encode())
        with acting(tenants, role, A) as connection:
            connection.execute(f"SELECT {name}{arguments}".encode())


@pytest.mark.parametrize("role", [APP_ROLE, OWNER])
@pytest.mark.parametrize("org", [None, B], ids=["unset", "globex"])
def test_functions_that_answer_with_rows_have_none_of_another_org(
    tenants: str, role: str, org: UUID | None
) -> None:
    """Context, configuration and clean-up keep to the org."""
    [trace] = as_administrator(tenants, "SELECT * FROM workflow_trace WHERE org_id = %s", A)
    with acting(tenants, role, org) as connection:
        found = connection.execute("SELECT * FROM get_workflow_context(%s)", (trace["id"],))
        assert found.fetchall() == []
        config = connection.execute(
            "SELECT get_active_workflow_config(%s, 'web') AS config", (trace["workflow_id"],)
        ).fetchone()
        assert config == {"config": {}}
        connection.execute("SELECT cleanup_old_execution_data(0)")
        connection.execute("RESET ROLE")
        assert orgs_in(connection, "workflow_trace") == {A, B} - {org}


def test_every_function_is_known_to_these_tests(tenants: str) -> None:
    """A function with its owner's rights fixes its search path; each is called above."""
    rows = as_administrator(
        tenants,
        "SELECT proname, prosecdef, proconfig FROM pg_proc"
        " WHERE pronamespace = 'public'::regnamespace AND prorettype <> 'trigger'::regtype",
    )
    definers = {row["proname"] for row in rows if row["prosecdef"]}
    assert definers == {"create_execution_partitions", "list_organizations"}
    for row in rows:
        if row["prosecdef"]:
            assert any(one.startswith("search_path=pg_catalog") for one in row["proconfig"])
    pure = {
        "execution_uuid5", "execution_id_of", "execution_event_id", "execution_milliseconds",
        "execution_error_data",
    }  # fmt: skip
    written_through = {
        "record_execution", "record_runs", "record_starts", "record_attempts",
        "record_lost_attempts", "record_steps", "record_flushes", "record_events",
        "record_audit_events", "record_outbox_events", "record_known_runs", "execution_next_seq",
    }  # fmt: skip
    answering = {
        "get_workflow_context", "get_active_workflow_config", "cleanup_old_execution_data",
        "register_workflow_nodes",
    }  # fmt: skip
    named = set(calls_on(tenants, A)) | pure | written_through | answering | definers
    assert {row["proname"] for row in rows} == named


def test_nobody_records_for_another_org(tenants: str) -> None:
    """``record_execution`` with another org's id writes nothing, whatever it is given."""
    [theirs] = as_administrator(tenants, "SELECT * FROM workflow_instances WHERE org_id = %s", A)
    start = {
        "id": str(uuid4()), "workflow_id": "w", "version": "1", "execution_id": "e",
        "first_run_id": "r", "started_at": "2026-01-01T00:00:00Z", "interpreter_version": 1,
    }  # fmt: skip
    ended = {
        "id": str(theirs["id"]), "seq": 99, "status": "completed", "trace_status": "completed",
        "updated_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    for org in (None, B):
        for as_org, batch, error in (
            (A, {"starts": [[start]]}, psycopg.errors.InsufficientPrivilege),
            (A, {"known": [[str(theirs["id"])]]}, psycopg.errors.ForeignKeyViolation),
            (B, {"known": [[str(theirs["id"])]]}, psycopg.errors.ForeignKeyViolation),
        ):
            with acting(tenants, APP_ROLE, org) as connection, pytest.raises(error):
                connection.execute("SELECT record_execution(%s, %s)", (as_org, json.dumps(batch)))
        with acting(tenants, APP_ROLE, org) as connection:
            connection.execute(
                "SELECT record_execution(%s, %s)", (A, json.dumps({"flushes": [[ended]]}))
            )
            connection.commit()
    [now] = as_administrator(tenants, "SELECT * FROM workflow_instances WHERE org_id = %s", A)
    assert now == theirs


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
