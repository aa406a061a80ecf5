"""What the execution schema promises about security: isolation, and who changed what when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.configs import PostgresConfigStore
from adapters.postgres.definitions import PostgresDefinitionStore
from definitions.validation.api import parse_definition
from tests.integration.facts import DEFAULT
from tests.integration.test_configs import ACTOR, DOCUMENT
from tests.integration.test_execution_schema import TABLES
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from adapters.postgres.database import Database

#: Tables that are changed by hand, and one of their columns.
CHANGED = {
    "workflow_configs": "config_name",
    "channel_configs": "config_data",
    "workflow_channel_configs": "webhook_url",
    "node_io_requirements": "default_value",
}


@pytest.mark.parametrize("table", TABLES)
def test_isolation_is_enforced(database_url: str, table: str) -> None:
    """By a policy on ``app.current_org_id``, also for the owner, and by a key of ``org_id``."""
    [secured] = as_administrator(
        database_url,
        "SELECT relrowsecurity AS row_security, relforcerowsecurity AS forced FROM pg_class"
        " WHERE oid = %s::regclass",
        table,
    )
    assert secured == {"row_security": True, "forced": True}
    [policy] = as_administrator(
        database_url, "SELECT qual, cmd, roles FROM pg_policies WHERE tablename = %s", table
    )
    assert "org_id = (NULLIF(current_setting('app.current_org_id'::text, true)" in policy["qual"]
    assert policy["cmd"] == "ALL"
    keys = as_administrator(
        database_url,
        "SELECT c.confrelid::regclass::text AS refers FROM pg_constraint AS c"
        " JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)"
        " WHERE c.contype = 'f' AND c.conparentid = 0 AND a.attname = 'org_id'"
        " AND c.conrelid = %s::regclass",
        table,
    )
    # What belongs to an execution refers to the execution's own row by its id and its org.
    assert {key["refers"] for key in keys} & {"organizations", "workflow_instances"}


async def changeable(database: Database, url: str) -> PostgresConfigStore:
    """A row in each table that is changed by hand."""
    store, configs = PostgresDefinitionStore(database), PostgresConfigStore(database)
    await store.create_user(DEFAULT, ACTOR)
    version = await store.register(DEFAULT, parse_definition(DOCUMENT), DOCUMENT)
    await configs.activate(
        DEFAULT, (await configs.create(DEFAULT, {"n": 1}, actor=ACTOR)).id, actor=ACTOR
    )
    await configs.set_org_channel(DEFAULT, "web", actor=ACTOR)
    await configs.set_channel(DEFAULT, version.definition_id, "web", actor=ACTOR)
    as_administrator(
        url,
        "INSERT INTO node_io_requirements (org_id, node_id, io_type, field_name)"
        " SELECT org_id, id, 'input', 'amount' FROM workflow_nodes",
    )
    return configs


async def test_who_made_and_activated_something_is_on_record(
    database: Database, database_url: str
) -> None:
    """Each configuration, each channel, each activation; what nobody of the org did is nobody's."""
    configs = await changeable(database, database_url)
    for table, column in (
        ("workflow_configs", "created_by"),
        ("channel_configs", "created_by"),
        ("workflow_channel_configs", "created_by"),
        ("config_status", "activated_by"),
    ):
        rows = as_administrator(
            database_url,
            f"SELECT u.name FROM {table} AS t JOIN users AS u ON u.id = t.{column}",  # noqa: S608 (names of ours)
        )
        assert [row["name"] for row in rows] == [ACTOR], table
    made = await configs.create(DEFAULT, {}, channel="voice", actor="somebody@else.example.com")
    assert made.created_by is None


@pytest.mark.parametrize("table", CHANGED)
async def test_a_change_says_when(database: Database, database_url: str, table: str) -> None:
    """Also one that an operator makes in SQL; a change that changes nothing is none."""
    await changeable(database, database_url)
    column = CHANGED[table]
    query = f"SELECT created_at, updated_at, {column} AS said FROM {table}"  # noqa: S608 (names of ours)

    def row() -> dict[str, Any]:
        [found] = as_administrator(database_url, query)
        return found

    before = row()
    as_administrator(database_url, f"UPDATE {table} SET {column} = {column}")  # noqa: S608 (as above)
    assert row() == before
    as_administrator(database_url, f"UPDATE {table} SET {column} = '\"x\"'")  # noqa: S608 (as above)
    after = row()
    assert after["said"] != before["said"]
    assert after["updated_at"] > before["updated_at"]
    assert after["created_at"] == before["created_at"]
