"""The queries that everybody makes look at few rows, however many there are.

Each table is given 200,000 rows (or ``STEPLOOM_PLAN_ROWS`` of them), and each query is run:
what counts is how many rows its scans touched, which neither a slow machine nor the planner's guess
changes. The policies of the application's role do not stand in the way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest

from adapters.postgres.audit import _HEAD, _WAITING, CHAIN, events_query
from adapters.postgres.audit_seals import NEXT
from adapters.postgres.database import APP_ROLE
from adapters.postgres.open_runs import _BY_ID, _SILENT
from adapters.postgres.outbox import _EVENTS as _CLAIMED
from adapters.postgres.outbox import _HEADS, _LOCK, PATIENCE
from adapters.postgres.reader import _ATTEMPTS, _EVENTS, _FILTERS, _OUTBOX, _STEPS, instances_query
from definitions.identity import org_id
from tests.integration.facts import DEFAULT
from tests.integration.test_execution_functions import SUMMARY, WORKFLOW
from tests.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg.sql import Composed

ROWS = int(os.environ.get("STEPLOOM_PLAN_ROWS", "200000"))
#: Rows that a query's scans may touch: some pages, and never a part of a table that grows.
FEW = 2_000
#: Of so many runs one is open.
OPEN_OF = 997
WORKFLOWS = 50
#: Events that wait for their seal.
UNSEALED = 50
ACME = org_id("acme")
#: Every hundredth row is another org's.
ORG = f"CASE WHEN n % 100 = 0 THEN '{ACME}' ELSE '{DEFAULT}' END::uuid"
ID = "lpad(to_hex(n), 32, '0')::uuid"
AT = "'2026-01-01'::timestamptz + n * interval '1 s'"
STATUS = f"""CASE WHEN n % {OPEN_OF} = 0 THEN 'running' WHEN n % 100 = 1 THEN 'failed'
ELSE 'completed' END"""
#: What each table gets: its columns with their values.
FILL: dict[str, dict[str, str]] = {
    "workflow_instances": {
        "id": ID, "org_id": ORG, "workflow_id": "'order' || n % 50", "version": "'1.0.0'",
        "execution_id": "'e' || n", "first_run_id": "'r' || n", "status": STATUS,
        "started_at": AT, "updated_at": AT, "trace_id": "n", "trace_created_at": AT,
        "idempotency_key": "CASE WHEN n % 10 = 1 THEN 'k' || n END",
        "correlation_id": "'c' || n / 3",
        "origin_kind": "CASE WHEN n % 7 = 3 THEN 'child' END",
        "origin_instance_id": "CASE WHEN n % 7 = 3 THEN lpad(to_hex(n - 50), 32, '0')::uuid END",
        "metadata": "CASE WHEN n % 3 = 1 THEN jsonb_build_object('providerRetried', '1.0.0')"
        " ELSE '{}' END",
    },
    "workflow_trace": {
        "id": "n", "created_at": AT, "org_id": ORG, "instance_id": ID,
        "workflow_id": f"lpad(to_hex(n % {WORKFLOWS}), 32, '0')::uuid",
        "status": "CASE WHEN n % 100 = 1 THEN 'failed' ELSE 'completed' END::trace_status",
        "start_time": AT, "updated_at": AT,
    },
    "workflow_steps": {
        "step_uuid": ID, "org_id": ORG, "trace_id": "n", "trace_created_at": AT, "path": "'a'",
        "iteration": "1", "seq": "1", "first_seq": "1", "step_id": "'a'",
        "status": f"CASE WHEN n % {OPEN_OF} = 0 THEN 'active' ELSE 'completed' END::step_status",
    },
    "workflow_step_attempts": {
        "org_id": ORG, "trace_id": "n", "trace_created_at": AT, "path": "'a'", "iteration": "1",
        "attempt": "1", "status": "'completed'",
    },
    "audit_events": {
        "event_id": ID, "event_timestamp": AT, "recorded_at": AT, "org_id": ORG,
        "event_type": "CASE WHEN n % 100 = 1 THEN 'workflow.failed' ELSE 'workflow.started' END",
        "event_data": "'{}'", "instance_id": ID, "seq": "1",
    },
    "outbox_events": {
        "event_id": ID, "org_id": ORG, "instance_id": ID, "execution_id": "'e' || n", "seq": "1",
        "event_type": "'t'", "path": "'a'", "iteration": "1", "envelope": "'{}'",
        "occurred_at": AT, "published_at": f"CASE WHEN n % {OPEN_OF} > 0 THEN {AT} END",
    },
}  # fmt: skip
SEALED = f"""
INSERT INTO audit_seals (org_id, position, event_id, event_hash, previous_hash, hash)
SELECT {ORG}, n, {ID}, '', '', '' FROM generate_series(1, {ROWS - UNSEALED}) AS n
"""  # noqa: S608 (made of what stands above)
QUEUED = f"""
INSERT INTO audit_unsealed (org_id, event_id, recorded_at)
SELECT {ORG}, {ID}, {AT} FROM generate_series({ROWS - UNSEALED + 1}, {ROWS}) AS n
"""  # noqa: S608 (as above)
#: A run in the midst of the others, of the default org.
RUN = UUID(int=ROWS // 2 + 1)
VALUES: dict[str, Any] = {
    "org": DEFAULT,
    "limit": 51,
    "instance": RUN,
    "name": f"e{RUN.int}",
    "id": None,
    "key": f"k{ROWS // 2 + 1}",
    "correlation_id": f"c{ROWS // 6}",
    "workflow_id": "order7",
    "came_from": RUN,
    "since": "2026-01-01T12:00:00Z",
    "until": "2026-01-01T18:00:00Z",
    "after_time": "2026-01-02",
    "after_id": RUN,
    "event_type": "workflow.failed",
    "instance_id": RUN,
    "ids": [RUN, UUID(int=1), UUID(int=2)],
    "before": "2027-01-01",
    "after": ROWS // 2,
    "lanes": 100,
    "each": 50,
    "patience": PATIENCE,
}


def _of_workflow(query: str) -> str:
    """A query of the schema's description, of a workflow that is there."""
    return query.replace(str(WORKFLOW), str(UUID(int=7)))


def _page(*filters: str) -> Composed:
    return instances_query([_FILTERS[name] for name in filters], brief=True)


def _found(condition: str) -> Composed:
    return instances_query([psycopg.sql.SQL(condition)])


QUERIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "the first page": (_page(), {}),
    "a page far back": (_page("after_time"), {}),
    "a page of a definition": (_page("workflow_id", "after_time"), {}),
    "a page of a definition without tries": (
        _page("workflow_id", "no_child_of", "after_time"),
        {"no_child_of": "providerRetried"},
    ),
    "a page of a time": (_page("since", "until"), {}),
    "a page of a frequent status": (_page("status", "after_time"), {"status": "completed"}),
    "a page of a rare status": (_page("status"), {"status": "running"}),
    "a page of a status of a definition": (
        _page("status", "workflow_id", "after_time"),
        {"status": "completed"},
    ),
    "what belongs together": (_page("correlation_id"), {}),
    "what came from a run": (_page("came_from"), {}),
    "a run by its execution id": (_found("(execution_id = %(name)s OR id = %(id)s)"), {}),
    "a run by its id": (_found("(execution_id = %(name)s OR id = %(id)s)"), {"id": RUN}),
    "a run by its idempotency key": (_found("idempotency_key = %(key)s"), {}),
    "a run's steps": (_STEPS, {}),
    "a run's attempts": (_ATTEMPTS, {}),
    "a run's audit events": (_EVENTS, {}),
    "a run's published events": (_OUTBOX, {}),
    "the next lanes of the outbox": (_HEADS, {"after": UUID(int=0)}),
    "lanes of the outbox from the midst": (_HEADS, {"after": RUN}),
    "the locks of lanes": (_LOCK, {"ids": [OPEN_OF * (n + 1) for n in range(100)]}),
    "the events of claimed lanes": (
        _CLAIMED,
        {"lanes": [UUID(int=OPEN_OF * (n + 1)) for n in range(100)]},
    ),
    "the latest executions of a workflow": (_of_workflow(SUMMARY), {}),
    "runs that may be open": (_BY_ID, {}),
    "runs that are silent": (_SILENT, {"after": UUID(int=0)}),
    "the next events to seal": (NEXT, {}),
    "how many wait for a seal": (_WAITING, {}),
    "the head of a chain": (_HEAD, {}),
    "a page of a chain": (CHAIN, {}),
    "a page of audit events": (events_query(["after_time"]), {}),
    "a page of audit events of a type": (events_query(["event_type", "until"]), {}),
    "a page of audit events of a time": (events_query(["since", "until"]), {}),
    "audit events of a run": (events_query(["instance_id"]), {}),
}


@pytest.fixture(scope="module")
def filled(postgres_server: str, database_template: str) -> Iterator[str]:
    """A database with many runs. Indexes are made when the rows are there, which is faster."""
    with fresh_database(postgres_server, database_template) as url:
        with psycopg.connect(url) as connection:
            connection.execute("SET session_replication_role = replica")
            for table, values in FILL.items():
                _fill(connection, table, values)
            connection.execute(SEALED.encode())
            connection.execute(QUEUED.encode())
        with psycopg.connect(url, autocommit=True) as connection:
            for table in (*FILL, "audit_seals", "audit_unsealed"):
                connection.execute(f"VACUUM ANALYZE {table}".encode())
        yield url


def _fill(connection: psycopg.Connection[Any], table: str, values: dict[str, str]) -> None:
    indexes = connection.execute(
        "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index AS i"
        " JOIN pg_class AS c ON c.oid = i.indexrelid"
        # What is partitioned could not be made again by its definition.
        " WHERE i.indrelid = %s::regclass AND c.relkind = 'i'"
        " AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid)",
        (table,),
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}".encode())
    connection.execute(
        f"INSERT INTO {table} ({', '.join(values)})"  # noqa: S608 (our own names)
        f" SELECT {', '.join(values.values())} FROM generate_series(1, {ROWS}) AS n".encode()
    )
    for _, definition in indexes:
        connection.execute(definition.encode())


def _touched(plan: dict[str, Any]) -> int:
    """Rows that the scans of a plan have read, kept or not."""
    below = sum(_touched(child) for child in plan.get("Plans", ()))
    if "Relation Name" not in plan and "Index Name" not in plan:
        return below
    read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
    read += plan.get("Rows Removed by Index Recheck", 0)
    return below + int(read * plan["Actual Loops"])


def _scanned(plan: dict[str, Any]) -> set[str]:
    found = {plan["Relation Name"]} if plan["Node Type"] == "Seq Scan" else set()
    return found.union(*(_scanned(child) for child in plan.get("Plans", ())))


@pytest.mark.parametrize("role", ["none", APP_ROLE])
@pytest.mark.parametrize("name", QUERIES)
def test_a_query_touches_few_rows(filled: str, name: str, role: str) -> None:
    """No scan of a whole table, and no walk along an index in search of something."""
    query, own = QUERIES[name]
    with psycopg.connect(filled) as connection:
        connection.execute(
            "SELECT set_config('role', %s, true), set_config('app.current_org_id', %s, true)",
            (role, str(DEFAULT)),
        )
        statement = psycopg.ClientCursor(connection).mogrify(query, {**VALUES, **own})
        row = connection.execute(
            f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {statement}".encode()
        ).fetchone()
        assert row is not None
        plan = row[0][0]["Plan"]
    # The months of the traces are empty: what is here is older than they.
    scanned = {name for name in _scanned(plan) if not name.startswith("workflow_trace_y")}
    assert scanned <= {"audit_unsealed"}, plan
    assert _touched(plan) <= FEW, plan
