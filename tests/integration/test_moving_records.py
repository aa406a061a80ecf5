"""What the earlier tables of steps and actions held is in the execution tables afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.database import Database
from adapters.postgres.migrate import downgrade, upgrade
from adapters.postgres.migrations.sqlfile import SQL
from adapters.postgres.reader import PostgresReader
from definitions.identity import definition_id, event_id, step_record_id, version_id
from definitions.records import ErrorInfo
from tests.integration.facts import DEFAULT, at, run_ref
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from collections.abc import Sequence

BEFORE, AFTER = "015_secure_tenants", "016_move_records"
REF = run_ref()
DOCUMENT = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "steps": [{"stepId": "charge", "taskId": "demo.charge"}],
}
TABLES = ("step_records", "step_attempts", "run_actions")


def insert(url: str, table: str, **values: Any) -> None:
    columns, marks = ", ".join(values), ", ".join(["%s"] * len(values))
    given = [json.dumps(value) if isinstance(value, dict) else value for value in values.values()]
    as_administrator(url, f"INSERT INTO {table} ({columns}) VALUES ({marks})", *given)  # noqa: S608 (names of ours)


def write_as_before(url: str) -> None:
    """A run that failed, with a step, its attempt and an action, in the earlier tables."""
    definition = definition_id(DEFAULT, "order")
    version = version_id(DEFAULT, "order", "1.0.0", "h")
    named = {"workflow_id": "order", "version": "1.0.0", "content_hash": "h", "listed": True}
    insert(
        url,
        "workflow_definitions",
        id=definition,
        org_id=DEFAULT,
        name="Order",
        steps="[]",
        **named,
    )
    insert(
        url,
        "workflow_definition_versions",
        id=version,
        definition_id=definition,
        org_id=DEFAULT,
        document=DOCUMENT,
        **named,
    )
    error = {"type": "Oops", "message": "no"}
    insert(
        url,
        "workflow_instances",
        id=REF.instance_id,
        org_id=DEFAULT,
        workflow_definition_id=definition,
        definition_version_id=version,
        workflow_id="order",
        version="1.0.0",
        execution_id=REF.execution_id,
        first_run_id=REF.first_run_id,
        status="failed",
        error=error,
        channel="voice",
        started_at=at(0),
        updated_at=at(9),
        completed_at=at(9),
    )
    place = {"org_id": DEFAULT, "instance_id": REF.instance_id, "path": "charge", "iteration": 1}
    done = {"status": "failed", "input": {"a": 1}, "error": error}
    insert(
        url,
        "step_records",
        id=step_record_id(REF.instance_id, "charge", 1),
        seq=3,
        first_seq=1,
        step_id="charge",
        attempts=2,
        decision={"kind": "raise"},
        started_at=at(1),
        completed_at=at(3),
        **place,
        **done,
    )
    insert(url, "step_attempts", attempt=2, worker="w", started_at=at(2), **place, **done)
    insert(
        url,
        "run_actions",
        event_id=event_id(DEFAULT, REF.first_run_id, "action.1"),
        org_id=DEFAULT,
        instance_id=REF.instance_id,
        seq=4,
        action="pause",
        actor="manager@example.com",
        reason="lunch",
        data={"n": 1},
        occurred_at=at(4),
    )


def everything(url: str) -> dict[str, Sequence[dict[str, Any]]]:
    return {table: as_administrator(url, f"SELECT * FROM {table}") for table in TABLES}  # noqa: S608 (names of ours)


@pytest.mark.parametrize("role", ["postgres", "steploom_owner"])
async def test_records_are_moved_and_read_as_before(empty_database_url: str, role: str) -> None:
    """By whomever: a run's steps, attempts and actions come back as they were, with its trace."""
    as_administrator(empty_database_url, (SQL / "roles.sql").read_text(encoding="utf-8"))
    acting = f"{empty_database_url}?options=-crole%3D{role}"
    upgrade(acting, BEFORE)
    write_as_before(empty_database_url)
    upgrade(acting)
    async with Database(empty_database_url) as database:
        reader = PostgresReader(database)
        run = await reader.find_instance(DEFAULT, REF.execution_id)
        [step] = await reader.steps(DEFAULT, run.id)
        [action] = await reader.actions(DEFAULT, run.id)
    assert (step.id, step.status) == (step_record_id(REF.instance_id, "charge", 1), "failed")
    assert (step.input, step.error) == ({"a": 1}, ErrorInfo(type="Oops", message="no"))
    [attempt] = step.attempt_records
    assert (attempt.attempt, attempt.worker, attempt.started_at) == (2, "w", at(2))
    assert (action.action, action.reason, action.data) == ("pause", "lunch", {"n": 1})
    [trace] = as_administrator(
        empty_database_url,
        "SELECT t.status, t.channel, t.duration_ms, n.step_id AS node FROM workflow_trace AS t"
        " JOIN workflow_steps AS s ON s.trace_id = t.id"
        " JOIN workflow_nodes AS n ON n.id = s.node_id",
    )
    assert trace == {"status": "failed", "channel": "voice", "duration_ms": 9000, "node": "charge"}


def test_records_are_moved_back(empty_database_url: str) -> None:
    """Taking the migration back leaves the earlier tables with what they held."""
    upgrade(empty_database_url, BEFORE)
    write_as_before(empty_database_url)
    before = everything(empty_database_url)
    for _ in range(2):
        upgrade(empty_database_url, AFTER)
        downgrade(empty_database_url, BEFORE)
        assert everything(empty_database_url) == before
