"""The execution schema: both ways of applying it, its indexes, its partitions, its retention."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg
import pytest
from psycopg import sql

from adapters.postgres.binaries import find_binaries
from adapters.postgres.migrate import downgrade, upgrade
from adapters.postgres.urls import with_database
from definitions.errors import UnreachableError
from definitions.identity import NAMESPACE, event_id, instance_id, org_id, step_record_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REVISION = "014_add_workflow_execution_tables"
BEFORE = "003_create_actions_and_outbox"
ROOT = Path(__file__).parents[2]
SQL = ROOT / "adapters" / "postgres" / "sql"
TABLES = (
    "workflow_configs",
    "channel_configs",
    "workflow_channel_configs",
    "node_io_requirements",
    "workflow_trace",
    "workflow_steps",
    "workflow_trace_context",
    "workflow_events",
    "workflow_data_bindings",
    "config_status",
)
VIEWS = (
    "v_active_workflow_configs",
    "v_workflow_execution_summary",
    "v_workflow_channel_performance",
    "v_node_execution_stats",
    "v_workflow_execution_timeline",
    "v_failed_steps_analysis",
)
FUNCTIONS = (
    "start_workflow_execution",
    "complete_workflow_execution",
    "start_workflow_step",
    "complete_workflow_step",
    "retry_workflow_step",
    "set_workflow_context",
    "get_workflow_context",
    "get_active_workflow_config",
    "cleanup_old_execution_data",
)
#: Foreign keys whose first column no index begins with.
UNINDEXED = """
SELECT c.conrelid::regclass::text || '.' || a.attname
FROM pg_constraint AS c
JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
JOIN pg_class AS r ON r.oid = c.conrelid
WHERE c.contype = 'f' AND c.conparentid = 0 AND NOT r.relispartition
  AND r.relname = ANY(%s)
  AND NOT EXISTS (
      SELECT FROM pg_index AS i WHERE i.indrelid = c.conrelid AND i.indkey[0] = c.conkey[1]
  )
ORDER BY 1
"""
#: Of 5,000 executions most are the web's, and went well.
MANY_TRACES = """
WITH runs AS (
    INSERT INTO workflow_instances (id, org_id, workflow_id, version, execution_id, first_run_id,
        status, started_at, updated_at, trace_id, trace_created_at)
    SELECT gen_random_uuid(), %(org)s, 'order', '1.0.0', n, n, 'completed', %(now)s, %(now)s, n,
        %(now)s
    FROM generate_series(1, 5000) AS n
    RETURNING id, trace_id
)
INSERT INTO workflow_trace (id, created_at, org_id, instance_id, status, channel, external_id,
    start_time, updated_at)
SELECT trace_id, %(now)s, %(org)s, id,
    (CASE trace_id %% 100 WHEN 0 THEN 'failed' ELSE 'completed' END)::trace_status,
    (CASE trace_id %% 100 WHEN 1 THEN 'voice' ELSE 'web' END)::workflow_channel,
    'x-' || trace_id, %(now)s, %(now)s
FROM runs
"""


def names(url: str, query: str, *values: object) -> list[str]:
    with psycopg.connect(url) as connection:
        rows: Sequence[tuple[str]] = connection.execute(query.encode(), values or None).fetchall()
        return [row[0] for row in rows]


def program(name: str) -> str:
    """``psql`` or ``pg_dump``, of the server's own release where that is known."""
    try:
        found = find_binaries().folder / name
    except UnreachableError:
        found = Path(shutil.which(name) or name)
    if not found.is_file():
        pytest.skip(f"there is no {name} here")
    return str(found)


def schema_of(url: str) -> str:
    """Everything that the database's tables, views and functions are, without any data."""
    dumped = subprocess.run(
        [program("pg_dump"), "--schema-only", "--exclude-table=alembic_version", f"--dbname={url}"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    # A dump begins and ends with a word of its own making.
    return re.sub(r"^\\(un)?restrict .*$", "", dumped, flags=re.MULTILINE)


def alembic(url: str, *arguments: str) -> str:
    """What the ``alembic`` command prints."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=ROOT,
        env={**os.environ, "STEPLOOM_DATABASE_URL": url},
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout


def apply(url: str, text: str) -> None:
    """Runs SQL with ``psql``."""
    subprocess.run(
        [program("psql"), "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={url}"],
        input=text,
        text=True,
        cwd=SQL,
        check=True,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def other_database_url(empty_database_url: str, postgres_server: str) -> Iterator[str]:
    """A second database without any schema."""
    name = f"{empty_database_url.rpartition('/')[2].partition('?')[0]}_other"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        yield with_database(postgres_server, name)
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def test_psql_and_alembic_make_the_same_schema(
    empty_database_url: str, other_database_url: str
) -> None:
    """The two files, applied with ``psql``, leave exactly what the migration leaves."""
    alembic(other_database_url, "upgrade", REVISION)
    upgrade(empty_database_url, BEFORE)
    for file in ("add_workflow_execution_tables.sql", "workflow_execution_views.sql"):
        apply(empty_database_url, f"\\i {file}")
    assert schema_of(empty_database_url) == schema_of(other_database_url)
    # From there on Alembic goes on, once it is told.
    alembic(empty_database_url, "stamp", REVISION)
    upgrade(empty_database_url)
    upgrade(other_database_url)
    assert schema_of(empty_database_url) == schema_of(other_database_url)


def test_migrations_that_are_printed_make_the_same_schema(
    empty_database_url: str, other_database_url: str
) -> None:
    """``alembic upgrade head --sql`` prints what an administrator can apply."""
    upgrade(empty_database_url)
    apply(other_database_url, alembic(other_database_url, "upgrade", "head", "--sql"))
    assert schema_of(empty_database_url) == schema_of(other_database_url)


def test_a_file_that_fails_leaves_nothing(empty_database_url: str) -> None:
    """On a database without the earlier migrations ``psql`` stops, and nothing is there."""
    done = subprocess.run(
        [
            program("psql"),
            f"--dbname={empty_database_url}",
            f"--file={SQL / 'add_workflow_execution_tables.sql'}",
        ],
        check=False,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert names(empty_database_url, "SELECT typname FROM pg_type WHERE typname ~ 'channel'") == []


def test_the_migration_can_be_taken_back(empty_database_url: str) -> None:
    """Nothing of it stays: no table, view, function, type, sequence or column."""
    upgrade(empty_database_url, BEFORE)
    before = schema_of(empty_database_url)
    upgrade(empty_database_url, REVISION)
    assert schema_of(empty_database_url) != before
    downgrade(empty_database_url, BEFORE)
    assert schema_of(empty_database_url) == before


def test_everything_that_is_described_is_there(database_url: str) -> None:
    """Ten tables, six views, nine functions, three enums with their values."""
    query = "SELECT relname FROM pg_class WHERE relkind = ANY(%s) AND relname = ANY(%s)"
    assert set(names(database_url, query, ["r", "p"], list(TABLES))) == set(TABLES)
    assert set(names(database_url, query, ["v"], list(VIEWS))) == set(VIEWS)
    query = "SELECT proname FROM pg_proc WHERE proname = ANY(%s)"
    assert sorted(names(database_url, query, list(FUNCTIONS))) == sorted(FUNCTIONS)
    query = "SELECT unnest(enum_range(NULL::{}))::text"
    assert names(database_url, query.format("workflow_channel")) == ["web", "voice", "efax"]
    assert names(database_url, query.format("trace_status")) == [
        "pending", "active", "completed", "failed", "cancelled", "timeout",
    ]  # fmt: skip
    assert "waiting" in names(database_url, query.format("step_status"))


def test_foreign_keys_have_indexes(database_url: str) -> None:
    """Each one's first column leads an index, so that what it refers to can be removed."""
    tables = [*TABLES, "workflow_nodes", "workflow_step_attempts"]
    assert names(database_url, UNINDEXED, tables) == [
        # Orgs are never removed.
        "node_io_requirements.org_id",
        "workflow_data_bindings.org_id",
        "workflow_nodes.org_id",
    ]


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("status = 'failed' AND start_time > now() - interval '1 h'", "status"),
        ("channel = 'voice' AND start_time > now() - interval '1 h'", "channel"),
        ("external_id = 'x'", "external_id"),
    ],
)
def test_traces_are_found_by_index(database_url: str, query: LiteralString, index: str) -> None:
    """By status, channel and external id, and only in the months that are asked for."""
    now = datetime.now(UTC)
    explain = sql.SQL(
        "EXPLAIN SELECT * FROM workflow_trace WHERE org_id = {}"
        " AND created_at >= {} AND created_at <= {} AND "
    ).format(org_id("default"), now.replace(day=1, hour=0, minute=0, second=0, microsecond=0), now)
    with psycopg.connect(database_url) as connection:
        connection.execute(MANY_TRACES, {"org": org_id("default"), "now": now})
        connection.execute("ANALYZE workflow_trace")
        rows = connection.execute(explain + sql.SQL(query)).fetchall()
    plan = "\n".join(row[0] for row in rows)
    assert f"_{index}_" in plan
    assert set(re.findall(r"workflow_trace_(?:default|y\d{4}m\d\d)", plan)) == {
        f"workflow_trace_{now:y%Ym%m}"
    }


def test_ids_are_made_alike_in_sql_and_in_python(database_url: str) -> None:
    """Whoever writes a fact gives it the same id, whatever its path is called."""
    org = org_id("default")
    with psycopg.connect(database_url) as connection:

        def made(call: str, *values: object) -> object:
            row = connection.execute(f"SELECT {call}".encode(), values).fetchone()
            assert row is not None
            return row[0]

        # Around the ends of SHA-1's blocks, too.
        for path in ("", "ship/each#3/label", "größe", *("x" * size for size in range(40, 130))):
            mine = event_id(org, "run-1", "step.started", path=path, iteration=2, attempt=3)
            assert made("execution_event_id(%s, 'run-1', 'step.started', %s, 2, 3)", org, path) == (
                mine
            )
        run = instance_id("run-1")
        assert made("execution_id_of('instance', 'run-1')") == run
        assert made("execution_id_of('step', %s, 'a', '1')", str(run)) == (
            step_record_id(run, "a", 1)
        )
        assert made("execution_uuid5(%s, '')", NAMESPACE)


def test_months_are_made_ahead_of_time(database_url: str) -> None:
    """This month and the coming ones; a second time nothing is made."""
    query = (
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'workflow_trace'::regclass ORDER BY 1"
    )
    assert len(names(database_url, query)) == 5
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT create_execution_partitions()").fetchone() == (0,)
        made = connection.execute("SELECT create_execution_partitions(1, '2031-11-05')").fetchone()
        assert made == (4,)
    assert "workflow_trace_y2031m12" in names(database_url, query)


def test_a_month_that_the_default_partition_has_rows_of_stays_there(database_url: str) -> None:
    """A record that came before its month was made is kept, and so are those that follow."""
    start = (
        "SELECT record_execution(%s, jsonb_build_object('starts', jsonb_build_array("
        "jsonb_build_array(jsonb_build_object('id', gen_random_uuid(), 'workflow_id', 'w',"
        " 'version', '1.0.0', 'execution_id', 'e', 'first_run_id', 'r',"
        " 'started_at', '2031-11-05T00:00:00Z', 'interpreter_version', 1)))))"
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(start.encode(), (org_id("default"),))
        made = connection.execute("SELECT create_execution_partitions(1, '2031-11-05')").fetchone()
        assert made == (3,)
        connection.execute(start.encode(), (org_id("default"),))
        counted = connection.execute("SELECT count(*) FROM ONLY workflow_trace_default").fetchone()
    assert counted == (2,)
