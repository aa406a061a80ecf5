"""One tenant never sees another: every table, view, function and partition, seen by everybody."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from adapters.postgres.database import APP_ROLE
from tests.integration.tenancy import (
    OPEN,
    OWNER,
    A,
    B,
    acting,
    orgs_in,
    owned_template,
    relations,
    tenants,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["owned_template", "tenants"]


#: What the owner sees of all tenants, for functions that act with its rights: their list, and the
#: definitions among which an event's are looked up by an index.
OWNERS = {"organizations", "workflow_definitions"}


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
        if role == OWNER and relation in OWNERS:
            continue
        with acting(tenants, role, org) as connection:
            assert orgs_in(connection, relation) == ({org} if org else set()), relation


@pytest.mark.parametrize("role", [APP_ROLE, OWNER])
def test_a_connection_that_is_used_again_carries_nothing_along(tenants: str, role: str) -> None:
    """After a transaction of one org, the next one sees nothing until it names its own."""
    with psycopg.connect(tenants, row_factory=dict_row) as connection:
        for relation in relations(tenants).keys() - OPEN - OWNERS:
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
        "DELETE FROM audit_seals",
        "UPDATE audit_seals SET position = 1",
        "UPDATE audit_unsealed SET recorded_at = now()",
        "INSERT INTO audit_anchors SELECT * FROM audit_anchors",
        "DELETE FROM audit_anchors",
        "UPDATE audit_anchors SET position = 1",
        "SELECT prune_audit_events(now(), 'x', 0, 1)",
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
        *("organizations", "users", "audit_events", "audit_seals", "audit_unsealed", "payloads"),
        *("workflow_nodes", "workflow_definition_versions", "provider_workflows", "audit_anchors"),
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
def test_functions_on_a_connection_that_is_used_again(tenants: str, role: str) -> None:
    """What a function has found for one org, its kept plans do not find for the next."""
    calls = calls_on(tenants, A)
    with psycopg.connect(tenants, row_factory=dict_row) as connection:
        # Plans are kept for good from the sixth call on.
        for org in (*[A] * 7, None, B, A, B, None):
            for name, arguments in calls.items():
                connection.execute("SELECT set_config('role', %s, true)", (role,))
                if org is not None:
                    connection.execute(
                        "SELECT set_config('app.current_org_id', %s, true)", (str(org),)
                    )
                call = f"SELECT {name}{arguments}".encode()
                if org == A:
                    connection.execute(call)
                else:
                    with pytest.raises(psycopg.errors.NoDataFound, match="not found"):
                        connection.execute(call)
                connection.rollback()


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
        prunable = connection.execute("SELECT * FROM prunable_audit_events(now(), 7, 9)").fetchall()
        assert [row["last_hash"] for row in prunable] == [
            None if org is None else sha256(b"globex").hexdigest()
        ]
        [version] = as_administrator(
            tenants, "SELECT id FROM workflow_definition_versions WHERE org_id = %s LIMIT 1", A
        )
        nodes = connection.execute("SELECT register_workflow_nodes(%s) AS n", (version["id"],))
        assert nodes.fetchone() == {"n": 0}
        assert connection.execute("SELECT * FROM match_triggers(ARRAY['x'])").fetchall() == []
        old = connection.execute("SELECT id FROM old_executions('0 days', now() + '9 years')")
        assert trace["instance_id"] not in {row["id"] for row in old.fetchall()}
        connection.execute("SELECT cleanup_old_execution_data(0)")
        connection.execute("SELECT remove_executions(ARRAY[%s]::uuid[])", (trace["instance_id"],))
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
    assert definers == {
        "create_execution_partitions", "list_organizations", "match_triggers", "outbox_orgs",
        "outbox_lag", "prune_audit_events",
    }  # fmt: skip
    for row in rows:
        if row["prosecdef"]:
            assert any(one.startswith("search_path=pg_catalog") for one in row["proconfig"])
    pure = {
        "execution_uuid5", "execution_id_of", "execution_event_id", "execution_milliseconds",
        "execution_error_data", "execution_retention",
    }  # fmt: skip
    written_through = {
        "record_execution", "record_runs", "record_starts", "record_attempts",
        "record_lost_attempts", "record_steps", "record_flushes", "record_events",
        "record_audit_events", "record_outbox_events", "record_known_runs", "execution_next_seq",
        "execution_audit_event",
    }  # fmt: skip
    answering = {
        "get_workflow_context", "get_active_workflow_config", "cleanup_old_execution_data",
        "register_workflow_nodes", "old_executions", "remove_executions", "prunable_audit_events",
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
