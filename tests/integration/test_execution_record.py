"""What runs leave in the execution tables, and for how long."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.partitions import keep_partitions, make_partitions
from adapters.postgres.recorder import PostgresRecorder
from definitions.identity import event_id
from definitions.records import ErrorInfo, Vote
from definitions.statuses import InstanceStatus, StepStatus
from definitions.validation.api import parse_definition
from tests.integration.facts import (
    DEFAULT,
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
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from adapters.postgres.database import Database
    from definitions.ports import StoredVersion
    from definitions.records import RecordBatch

ACTIVE, COMPLETED, FAILED = StepStatus.ACTIVE, StepStatus.COMPLETED, StepStatus.FAILED
REF = run_ref()
DOCUMENT: dict[str, Any] = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "steps": [{"stepId": "charge", "taskId": "demo.charge"}],
    "executionLog": {"metadata": ["team", "amount", "nothing"]},
}


@pytest.fixture
def recorder(database: Database) -> PostgresRecorder:
    return PostgresRecorder(database)


async def register(database: Database, **changes: Any) -> StoredVersion:
    given = {**DOCUMENT, **changes}
    store = PostgresDefinitionStore(database)
    return await store.register(DEFAULT, parse_definition(given), given)


def begun(version: StoredVersion, ref: Any = REF, **values: Any) -> RecordBatch:
    return started(
        ref, definition_id=version.definition_id, version_id=version.version_id, **values
    )


def events(url: str) -> list[tuple[Any, ...]]:
    rows = as_administrator(
        url,
        "SELECT seq, event_type, path, iteration, attempt, actor"
        " FROM v_workflow_execution_timeline ORDER BY seq, occurred_at, event_type",
    )
    return [tuple(row.values()) for row in rows]


async def test_a_run_has_its_trace(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """With its definition, channel, user, times, and the configuration that was active."""
    version = await register(database)
    user = await PostgresDefinitionStore(database).create_user(DEFAULT, "clerk@example.com")
    as_administrator(
        database_url,
        "INSERT INTO workflow_configs (org_id, config_type, version, config_data, is_active)"
        " VALUES (%s, 'global', 1, '{\"limit\": 5}', true)",
        DEFAULT,
    )
    values = {"channel": "efax", "external_id": "F-7", "user_id": user.name}
    await recorder.write(begun(version, **values))
    as_administrator(database_url, "UPDATE workflow_configs SET config_data = '{}'")
    await recorder.write(facts(REF, flush(8, InstanceStatus.COMPLETED)))
    [trace] = as_administrator(database_url, "SELECT * FROM workflow_trace")
    expected = {
        "instance_id": REF.instance_id,
        "workflow_id": version.definition_id,
        "definition_version_id": version.version_id,
        "channel": "efax",
        "external_id": "F-7",
        "created_by": user.id,
        "config_snapshot": {"limit": 5},
        "status": "completed",
        "start_time": at(0),
        "created_at": at(0),
        "end_time": at(8),
        "duration_ms": 8000,
        "error_message": None,
    }
    assert {name: trace[name] for name in expected} == expected


@pytest.mark.parametrize("channel", [None, "carrier-pigeon"])
async def test_a_run_without_a_known_channel_is_the_webs(
    recorder: PostgresRecorder, database_url: str, channel: str | None
) -> None:
    """An unknown one costs no record."""
    await recorder.write(started(REF, channel=channel))
    [trace] = as_administrator(database_url, "SELECT channel, status FROM workflow_trace")
    assert trace == {"channel": "web", "status": "active"}


async def test_a_run_that_timed_out_says_so_in_its_trace(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """The run is failed, its trace and its event say timeout."""
    error = {"type": "WorkflowTimeout", "message": "took too long"}
    await recorder.write(facts(REF, flush(3, InstanceStatus.FAILED, error=error)))
    [trace] = as_administrator(database_url, "SELECT status, error_message FROM workflow_trace")
    assert trace == {"status": "timeout", "error_message": "took too long"}
    assert [one[1] for one in events(database_url)] == ["workflow.timeout"]


async def test_a_step_has_its_node_its_times_and_its_retries(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """By the version that the run is pinned to."""
    await recorder.write(begun(await register(database)))
    error = ErrorInfo(type="GatewayError", message="bad gateway")
    await recorder.write(attempt(REF, 1, FAILED, step(1), error=error))
    await recorder.write(attempt(REF, 2, COMPLETED, step(4, COMPLETED)))
    [row] = as_administrator(
        database_url,
        "SELECT s.retry_count, s.duration_ms, s.step_number, n.step_id, n.task_id"
        " FROM workflow_steps AS s JOIN workflow_nodes AS n ON n.id = s.node_id",
    )
    assert row == {
        "retry_count": 1, "duration_ms": 4000, "step_number": 1, "step_id": "charge",
        "task_id": "demo.charge",
    }  # fmt: skip


async def test_context_is_what_the_log_names_and_the_variables(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """Names are looked up in the metadata, then in the input; variables follow the flushes."""
    await recorder.write(
        begun(await register(database), metadata={"team": "a"}, input={"team": "b", "amount": 5})
    )

    def context() -> dict[str, Any]:
        rows = as_administrator(
            database_url, "SELECT context_key, context_value FROM workflow_trace_context"
        )
        return {row["context_key"]: row["context_value"] for row in rows}

    metadata = {"team": "a", "amount": 5, "nothing": None}
    assert context() == {"metadata": metadata}
    for seq, variables in ((3, {"n": 1}), (5, {"n": 2})):
        state = {"input": {}, "steps": {}, "variables": variables}
        await recorder.write(facts(REF, flush(seq, state=state)))
    assert context() == {"metadata": metadata, "variables": {"n": 2}}


async def test_everything_that_happens_is_an_event(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """Runs, steps, attempts, people and actions, in the order of the run, each once."""
    error = ErrorInfo(type="GatewayError", code="502")
    votes = [
        Vote(decision=decision, approver=f"{decision}@example.com", decided_at=at(seconds))
        for seconds, decision in ((6, "approved"), (7, "rejected"))
    ]
    ask = {"path": "ask", "step_id": "ask", "started": 5}
    batches = [
        started(REF, user_id="clerk@example.com"),
        attempt(REF, 1, ACTIVE, step(1)),
        attempt(REF, 1, FAILED, step(1), error=error),
        attempt(REF, 2, COMPLETED, step(3, COMPLETED)),
        facts(REF, step(5, StepStatus.WAITING, **ask), action(REF, 6)),
        facts(REF, step(7, StepStatus.WAITING, votes=votes[:1], **ask)),
        facts(REF, step(8, FAILED, votes=votes, **ask), flush(9, InstanceStatus.CANCELLED)),
    ]
    for batch in (*batches, *batches):
        await recorder.write(batch)
    assert events(database_url) == [
        (0, "workflow.started", None, None, None, "clerk@example.com"),
        (1, "step.started", "charge", 1, None, None),
        (1, "attempt.failed", "charge", 1, 1, None),
        (3, "attempt.completed", "charge", 1, 2, None),
        (3, "step.completed", "charge", 1, None, None),
        (5, "step.started", "ask", 1, None, None),
        (5, "step.waiting", "ask", 1, None, None),
        (6, "action.pause", None, None, None, "manager@example.com"),
        (7, "approval.approved", "ask", 1, None, "approved@example.com"),
        (8, "approval.rejected", "ask", 1, None, "rejected@example.com"),
        (8, "step.failed", "ask", 1, None, None),
        (9, "workflow.cancelled", None, None, None, None),
    ]


async def test_a_lost_attempt_is_an_event_and_what_it_says_later_is_none(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """With the id that the attempt itself would have given it."""
    await recorder.write(attempt(REF, 1, ACTIVE, step(1)))
    await recorder.write(attempt(REF, 3, ACTIVE, step(2)))
    await recorder.write(attempt(REF, 1, FAILED, step(1), error=ErrorInfo(type="Late")))
    found = as_administrator(
        database_url,
        "SELECT event_id, attempt, event_data FROM workflow_events"
        " WHERE event_type LIKE 'attempt.%' ORDER BY attempt",
    )
    lost = {"error": {"type": "TimeoutError", "code": "AttemptLost"}}
    assert found == [
        {
            "event_id": event_id(
                DEFAULT, REF.first_run_id, "attempt.timeout", path="charge", iteration=1,
                attempt=number,
            ),
            "attempt": number,
            "event_data": lost,
        }
        for number in (1, 2)
    ]  # fmt: skip


async def test_a_step_that_is_done_again_has_ended_once(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """An answer that was lost makes a second attempt, not a second end."""
    await recorder.write(attempt(REF, 1, COMPLETED, step(2, COMPLETED)))
    await recorder.write(attempt(REF, 2, COMPLETED, step(2, COMPLETED)))
    assert [one[1] for one in events(database_url)].count("step.completed") == 1


async def whole_run(recorder: PostgresRecorder, name: str, version: StoredVersion | None) -> None:
    ref = run_ref(name)
    await recorder.write(begun(version, ref) if version else started(ref))
    await recorder.write(attempt(ref, 1, COMPLETED, step(2, COMPLETED)))
    await recorder.write(
        facts(
            ref,
            published(ref, 3),
            audit(ref, 4, "workflow.completed", outcome="success"),
            flush(5, InstanceStatus.COMPLETED, state={"variables": {"n": 1}}),
        )
    )


def counts(url: str, *tables: str) -> list[int]:
    return [as_administrator(url, f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables]  # noqa: S608 (names of ours)


async def test_what_is_older_than_its_definition_wants_is_removed(
    database: Database, recorder: PostgresRecorder, database_url: str
) -> None:
    """Its own retention counts; where it says none, the days that are given; else it is kept."""
    short = await register(database, executionLog={"retention": "P30D"})
    long = await register(database, version="2.0.0", executionLog={"retention": "P2Y"})
    for name, version in (("short", short), ("long", long), ("none", None)):
        await whole_run(recorder, name, version)
    await recorder.write(started(run_ref("runs")))

    async def cleaned(now: str, days: int | None = None) -> tuple[int, list[str]]:
        async with database.transaction(DEFAULT) as connection:
            cursor = await connection.execute(
                "SELECT cleanup_old_execution_data(%s, %s) AS removed", (days, now)
            )
            row = await cursor.fetchone()
        left = as_administrator(database_url, "SELECT first_run_id FROM workflow_instances")
        assert row is not None
        return row["removed"], sorted(one["first_run_id"] for one in left)

    everything = ["long", "none", "runs", "short"]
    assert await cleaned("2026-01-30") == (0, everything)
    assert await cleaned("2026-02-01") == (1, ["long", "none", "runs"])
    assert await cleaned("2026-02-01", 365) == (0, ["long", "none", "runs"])
    assert await cleaned("2027-06-01", 365) == (1, ["long", "runs"])
    assert await cleaned("2030-01-01") == (1, ["runs"])


async def test_a_run_is_removed_with_everything_but_what_must_outlive_it(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """Audit events stay, and so do events that no broker has yet."""
    for name in ("gone", "stays"):
        await whole_run(recorder, name, None)
    as_administrator(
        database_url,
        "UPDATE outbox_events SET published_at = now() WHERE instance_id = %s",
        run_ref("stays").instance_id,
    )
    tables = (
        "workflow_instances", "workflow_trace", "workflow_steps", "workflow_step_attempts",
        "workflow_trace_context", "workflow_events", "audit_events", "outbox_events",
    )  # fmt: skip
    assert 0 not in counts(database_url, *tables)
    [row] = as_administrator(database_url, "SELECT cleanup_old_execution_data(1) AS removed")
    assert row["removed"] == 2
    assert counts(database_url, *tables) == [0, 0, 0, 0, 0, 0, 2, 1]


async def test_a_worker_makes_the_coming_months(database: Database, database_url: str) -> None:
    """As the application, which may make no table of its own; it goes on until it is stopped."""
    month = "to_char(now() AT TIME ZONE 'UTC' + interval '1 month', 'YYYY\"m\"MM')"
    [found] = as_administrator(database_url, f"SELECT 'workflow_events_y' || {month} AS name")
    as_administrator(database_url, f"DROP TABLE {found['name']}")
    keeping = asyncio.create_task(keep_partitions(database, every=0.01))
    query = "SELECT count(*) AS n FROM pg_class WHERE relispartition AND relkind = 'r'"
    while as_administrator(database_url, query)[0]["n"] < 10:  # noqa: ASYNC110 (in another process)
        await asyncio.sleep(0.01)
    keeping.cancel()
    await asyncio.wait({keeping})
    assert keeping.cancelled()
    assert await make_partitions(database) == 0
