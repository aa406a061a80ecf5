"""The execution schema: both ways of applying it, its indexes, its partitions, its retention."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from adapters.postgres.binaries import find_binaries
from adapters.postgres.migrate import downgrade, upgrade
from adapters.postgres.urls import with_database
from definitions.errors import UnreachableError
from definitions.identity import NAMESPACE, event_id, instance_id, org_id, step_record_id

if TYPE_CHECKING:
    from collections.abc import Sequence

REVISION = "014_add_workflow_execution_tables"
BEFORE = "003_create_actions_and_outbox"
SQL = Path(__file__).parents[2] / "adapters" / "postgres" / "sql"
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


def test_psql_and_alembic_make_the_same_schema(
    empty_database_url: str, postgres_server: str
) -> None:
    """The two files, applied with ``psql``, leave exactly what the migration leaves."""
    upgrade(empty_database_url, BEFORE)
    for file in ("add_workflow_execution_tables.sql", "workflow_execution_views.sql"):
        subprocess.run(
            [program("psql"), "--quiet", f"--dbname={empty_database_url}", f"--file={SQL / file}"],
            check=True,
            capture_output=True,
            timeout=60,
        )
    by_psql = schema_of(empty_database_url)
    other = f"{empty_database_url.rpartition('/')[2].partition('?')[0]}_alembic"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{other}"'.encode())
        try:
            url = with_database(postgres_server, other)
            upgrade(url, REVISION)
            assert schema_of(url) == by_psql
        finally:
            connection.execute(f'DROP DATABASE "{other}" WITH (FORCE)'.encode())


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
