"""The execution schema's own usage examples, word for word, and what its functions promise."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg.rows import dict_row

from definitions.audit import workflow_event
from definitions.identity import event_id, org_id, step_record_id

if TYPE_CHECKING:
    from collections.abc import Iterator

WORKFLOW = UUID("123e4567-e89b-12d3-a456-426614174000")
USER = UUID("123e4567-e89b-12d3-a456-426614174001")
DEFAULT = org_id("default")

START = """
-- Start a new workflow execution
SELECT start_workflow_execution(
    '123e4567-e89b-12d3-a456-426614174000'::uuid, -- workflow_id
    'web'::workflow_channel,                        -- channel
    'EXT-12345',                                   -- external_id
    '{"config": "data"}'::jsonb,                   -- config_snapshot
    '123e4567-e89b-12d3-a456-426614174001'::uuid  -- created_by user_id
);
"""
START_STEP = """
-- Start a step
SELECT start_workflow_step(
    1001,                               -- trace_id
    5,                                  -- node_id
    1,                                  -- step_number
    '{"input": "data"}'::jsonb         -- input_data
);
"""
COMPLETE_STEP = """
-- Complete a step
SELECT complete_workflow_step(
    2001,                               -- step_id
    'completed'::step_status,           -- status
    '{"output": "data"}'::jsonb,        -- output_data
    NULL                                -- error_message
);
"""
SET_CONTEXT = """
-- Set context value
SELECT set_workflow_context(
    1001,                               -- trace_id
    'user_session',                     -- key
    '{"session_id": "abc123"}'::jsonb  -- value
);
"""
ALL_CONTEXT = """
-- Get all context for a trace
SELECT * FROM get_workflow_context(1001);
"""
ONE_CONTEXT = """
-- Get specific context value
SELECT * FROM get_workflow_context(1001, 'user_session');
"""
SUMMARY = """
-- View execution summary
SELECT * FROM v_workflow_execution_summary 
WHERE workflow_id = '123e4567-e89b-12d3-a456-426614174000'::uuid
ORDER BY start_time DESC
LIMIT 10;
"""  # noqa: W291 (word for word)
PERFORMANCE = """
-- Analyze channel performance
SELECT * FROM v_workflow_channel_performance
WHERE workflow_id = '123e4567-e89b-12d3-a456-426614174000'::uuid;
"""
FAILED_STEPS = """
-- Debug failed steps
SELECT * FROM v_failed_steps_analysis
WHERE workflow_id = '123e4567-e89b-12d3-a456-426614174000'::uuid;
"""

DOCUMENT = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "steps": [
        {"stepId": "charge", "taskId": "demo.charge", "name": "Charge the card"},
        {
            "stepId": "ship",
            "taskId": "core.noop",
            "parallelBranches": [
                {"branchId": "post", "steps": [{"stepId": "label", "taskId": "demo.label"}]}
            ],
        },
        {"stepId": "tell", "taskId": "demo.tell"},
    ],
}


class Session:
    """A connection whose rows are dictionaries."""

    def __init__(self, connection: psycopg.Connection[dict[str, Any]]) -> None:
        self.connection = connection

    def all(self, query: str, *values: object) -> list[dict[str, Any]]:
        """The rows of a query."""
        # Without parameters a query is taken as it is.
        return self.connection.execute(query.encode(), values or None).fetchall()

    def one(self, query: str, *values: object) -> Any:
        """The only row of a query; its only value, where it has one."""
        [row] = self.all(query, *values)
        return next(iter(row.values())) if len(row) == 1 else row

    def run(self, statement: str, *values: object) -> None:
        """A statement, whatever it answers."""
        self.connection.execute(statement.encode(), values or None)


@pytest.fixture
def db(database_url: str) -> Iterator[Session]:
    """A database with a definition, whose nodes are numbered from 5, and a user."""
    with psycopg.connect(database_url, autocommit=True, row_factory=dict_row) as connection:
        session = Session(connection)
        session.run(
            "INSERT INTO users (id, org_id, name) VALUES (%s, %s, 'clerk@example.com')",
            USER, DEFAULT,
        )  # fmt: skip
        session.run(
            "INSERT INTO workflow_definitions (id, org_id, workflow_id, name, version, steps,"
            " content_hash, listed) VALUES (%s, %s, 'order', 'Order', '1.0.0', '[]', 'h', true)",
            WORKFLOW, DEFAULT,
        )  # fmt: skip
        version = session.one(
            "INSERT INTO workflow_definition_versions (id, definition_id, org_id, workflow_id,"
            " version, content_hash, document, listed) VALUES (gen_random_uuid(), %s, %s, 'order',"
            " '1.0.0', 'h', %s, true) RETURNING id",
            WORKFLOW, DEFAULT, json.dumps(DOCUMENT),
        )  # fmt: skip
        session.run("ALTER SEQUENCE workflow_nodes_id_seq RESTART 5")
        session.run("ALTER SEQUENCE workflow_trace_id_seq RESTART 1001")
        session.run("ALTER SEQUENCE workflow_steps_id_seq RESTART 2001")
        assert session.one("SELECT register_workflow_nodes(%s)", version) == 4
        yield session


def step_row(db: Session, step: int = 2001) -> dict[str, Any]:
    [row] = db.all("SELECT * FROM workflow_steps WHERE id = %s", step)
    return row


def attempts(db: Session) -> list[tuple[int, str, str | None]]:
    rows = db.all("SELECT attempt, status, error FROM workflow_step_attempts ORDER BY attempt")
    return [(row["attempt"], row["status"], (row["error"] or {}).get("code")) for row in rows]


def events(db: Session) -> list[str]:
    rows = db.all("SELECT event_type FROM v_workflow_execution_timeline ORDER BY seq, occurred_at")
    return [row["event_type"] for row in rows]


def test_the_usage_examples_run_word_for_word(db: Session) -> None:
    """Every example of the schema's description, in its order, finds and leaves what it says."""
    assert db.one(START) == 1001
    assert db.one(START_STEP) == 2001
    db.run(COMPLETE_STEP)
    db.run(SET_CONTEXT)
    expected = ("user_session", {"session_id": "abc123"})
    for query in (ALL_CONTEXT, ONE_CONTEXT):
        [row] = db.all(query)
        assert (row["context_key"], row["context_value"]) == expected
    [summary] = db.all(SUMMARY)
    assert (summary["trace_id"], summary["external_id"], summary["status"]) == (
        1001, "EXT-12345", "active",
    )  # fmt: skip
    assert (summary["total_steps"], summary["completed_steps"]) == (1, 1)
    [performance] = db.all(PERFORMANCE)
    assert (performance["channel"], performance["total_executions"]) == ("web", 1)
    assert db.all(FAILED_STEPS) == []
    step = step_row(db)
    assert (step["node_id"], step["step_number"], step["status"]) == (5, 1, "completed")
    assert (step["input_data"], step["output_data"]) == ({"input": "data"}, {"output": "data"})
    assert step["duration_ms"] >= 0


def test_an_execution_is_a_run_like_any_other(db: Session) -> None:
    """It has its row among the runs, the same ids as a worker's, its user and its snapshot."""
    trace = db.one(START)
    [run] = db.all("SELECT * FROM workflow_instances")
    [row] = db.all("SELECT * FROM workflow_trace")
    assert (run["trace_id"], run["status"], run["workflow_id"]) == (trace, "running", "order")
    assert (row["instance_id"], row["created_by"]) == (run["id"], USER)
    assert row["config_snapshot"] == {"config": "data"}
    step = db.one(START_STEP)
    assert step_row(db, step)["step_uuid"] == step_record_id(run["id"], "charge", 1)
    found = db.one("SELECT event_id FROM workflow_events WHERE event_type = 'step.started'")
    assert found == event_id(
        DEFAULT, run["first_run_id"], "step.started", path="charge", iteration=1
    )


def test_the_same_execution_id_again_is_the_same_execution(db: Session) -> None:
    """A start that was not answered can be made again."""
    query = (
        "SELECT start_workflow_execution(%s, 'voice', NULL, NULL, NULL, p_execution_id => 'call-7')"
    )
    first = db.one(query, WORKFLOW)
    assert db.one(query, WORKFLOW) == first
    assert db.one("SELECT count(*) FROM workflow_trace") == 1
    assert events(db) == ["workflow.started"]


@pytest.mark.parametrize(
    ("status", "instance", "event"),
    [
        ("completed", "completed", "workflow.completed"),
        ("failed", "failed", "workflow.failed"),
        ("timeout", "failed", "workflow.timeout"),
        ("cancelled", "cancelled", "workflow.cancelled"),
    ],
)
def test_an_execution_ends_once(db: Session, status: str, instance: str, event: str) -> None:
    """Trace and run agree on how, the first end counts, and it is an event."""
    trace = db.one(START)
    message = None if status in {"completed", "cancelled"} else "gave up"
    db.run("SELECT complete_workflow_execution(%s, %s, %s)", trace, status, message)
    db.run("SELECT complete_workflow_execution(%s, 'failed', 'too late')", trace)
    [row] = db.all("SELECT * FROM workflow_trace")
    assert (row["status"], row["error_message"]) == (status, message)
    assert row["end_time"] >= row["start_time"]
    assert row["duration_ms"] is not None
    [run] = db.all("SELECT * FROM workflow_instances")
    assert (run["status"], run["completed_at"]) == (instance, row["end_time"])
    assert events(db) == ["workflow.started", event]


def test_an_execution_has_its_audit_events(db: Session) -> None:
    """Of the same shape, and with the same ids, as a worker's; one more where it failed."""
    db.run("UPDATE workflow_nodes SET task_id = 'core.approval' WHERE step_id = 'tell'")
    trace = db.one(START)
    db.run("SELECT complete_workflow_execution(%s, 'timeout', 'gave up')", trace)
    [run] = db.all("SELECT * FROM workflow_instances")
    found = db.all("SELECT * FROM audit_events ORDER BY seq")
    ended: dict[str, Any] = {"phase": "failed", "outcome": "failed", "error_message": "gave up"}
    duration = (run["completed_at"] - run["started_at"]) / timedelta(milliseconds=1)
    for row, kind, told in zip(
        found,
        ("workflow.started", "workflow.completed", "workflow.failed"),
        ({"phase": "executing"}, ended, ended),
        strict=True,
    ):
        assert row["event_id"] == event_id(DEFAULT, run["first_run_id"], kind)
        workflow = row["event_data"]["data"]["workflow"]
        assert abs(workflow.pop("duration_ms", duration) - duration) <= 1
        assert row["event_data"] == workflow_event(
            kind,
            timestamp=row["event_timestamp"],
            workflow_id="order",
            execution_id=run["execution_id"],
            total_steps=3,
            approval_required=True,
            **told,
        )


def test_the_end_says_where_an_execution_stood(db: Session) -> None:
    """Position and name of the step of the main path that was begun last."""
    trace = db.one(START)
    for node in (5, 6, 8):
        db.run("SELECT start_workflow_step(%s, %s, 1, NULL)", trace, node)
    db.run("SELECT start_workflow_step(%s, 7, 1, NULL, 'ship/post/label')", trace)
    db.run("SELECT start_workflow_step(%s, 5, 1, NULL)", trace)
    db.run("SELECT complete_workflow_execution(%s, 'completed')", trace)
    [row] = db.all("SELECT * FROM audit_events WHERE event_type = 'workflow.completed'")
    workflow = row["event_data"]["data"]["workflow"]
    told = (workflow["current_step"], workflow["total_steps"], workflow["step_name"])
    assert told == (1, 3, "Charge the card")


def test_a_failed_step_is_tried_again(db: Session) -> None:
    """Each retry is a new attempt; the step opens, counts it, and can end well."""
    db.run(START)
    step = db.one(START_STEP)
    db.run("SELECT complete_workflow_step(%s, 'failed', NULL, 'bad gateway')", step)
    [failed] = db.all(FAILED_STEPS)
    assert (failed["error_message"], failed["node_id"]) == ("bad gateway", 5)
    assert db.one("SELECT retry_workflow_step(%s)", step) == 2
    open_again = step_row(db)
    assert (open_again["status"], open_again["retry_count"]) == ("active", 1)
    assert open_again["error"] is None
    assert db.one("SELECT retry_workflow_step(%s)", step) == 3
    db.run("SELECT complete_workflow_step(%s, 'completed', '{\"ok\": 1}', NULL)", step)
    done = step_row(db)
    assert (done["status"], done["retry_count"], done["output_data"]) == ("completed", 2, {"ok": 1})
    assert attempts(db) == [
        (1, "failed", None),
        (2, "timeout", "AttemptLost"),
        (3, "completed", None),
    ]
    assert events(db) == [
        "workflow.started", "step.started", "attempt.failed", "step.failed", "step.retried",
        "attempt.timeout", "step.retried", "attempt.completed", "step.completed",
    ]  # fmt: skip


def test_a_completed_step_is_not_tried_again(db: Session) -> None:
    """Nor is it ended a second time."""
    db.run(START)
    db.run(START_STEP)
    db.run(COMPLETE_STEP)
    db.run("SELECT complete_workflow_step(2001, 'failed', NULL, 'late')")
    assert step_row(db)["status"] == "completed"
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        db.run("SELECT retry_workflow_step(2001)")


def test_a_step_that_is_begun_again_is_its_next_iteration(db: Session) -> None:
    """Two rows of one path, each with its number."""
    db.run(START)
    for _ in range(2):
        db.run(START_STEP)
    rows = db.all("SELECT path, iteration FROM workflow_steps ORDER BY id")
    assert [tuple(row.values()) for row in rows] == [("charge", 1), ("charge", 2)]


@pytest.mark.parametrize(
    "call",
    [
        "start_workflow_execution(gen_random_uuid(), 'web', NULL, NULL, NULL)",
        "complete_workflow_execution(7, 'completed', NULL)",
        "start_workflow_step(7, 5, 1, NULL)",
        "start_workflow_step(1001, 99, 1, NULL)",
        "complete_workflow_step(7, 'completed', NULL, NULL)",
        "retry_workflow_step(7)",
        "set_workflow_context(7, 'key', '1')",
    ],
)
def test_what_is_not_there_is_not_found(db: Session, call: str) -> None:
    """An unknown id is an error that says so."""
    db.run(START)
    with pytest.raises(psycopg.errors.NoDataFound, match="not found"):
        db.run(f"SELECT {call}")


def test_context_is_set_anew(db: Session) -> None:
    """The later value of a key counts."""
    db.run(START)
    db.run(SET_CONTEXT)
    db.run("SELECT set_workflow_context(1001, 'user_session', '2')")
    assert db.one("SELECT context_value FROM get_workflow_context(1001)") == 2


def test_the_workflows_configuration_goes_before_its_channels_and_that_before_all(
    db: Session,
) -> None:
    """Only active ones count, and each says only what it says."""
    insert = (
        "INSERT INTO workflow_configs (org_id, config_type, workflow_id, channel, version,"
        " config_data, is_active) VALUES (%s, %s, %s, %s, %s, %s, %s)"
    )
    for kind, workflow, channel, version, data, active in (
        ("global", None, None, 1, {"a": 0, "b": 0, "c": 0}, True),
        ("channel", None, "web", 1, {"b": 1, "c": 1}, True),
        ("channel", None, "voice", 1, {"b": 9}, True),
        ("workflow", WORKFLOW, None, 1, {"c": 9, "d": 9}, False),
        ("workflow", WORKFLOW, None, 2, {"c": 2}, True),
    ):
        db.run(insert, DEFAULT, kind, workflow, channel, version, json.dumps(data), active)
    query = "SELECT get_active_workflow_config(%s, 'web')"
    assert db.one(query, WORKFLOW) == {"a": 0, "b": 1, "c": 2}
    assert len(db.all("SELECT * FROM v_active_workflow_configs")) == 4
    with pytest.raises(psycopg.errors.UniqueViolation):
        db.run(insert, DEFAULT, "global", None, None, 2, "{}", True)
    with pytest.raises(psycopg.errors.CheckViolation):
        db.run(insert, DEFAULT, "channel", None, None, 1, "{}", False)


def test_nodes_are_the_steps_of_a_version_in_the_documents_order(db: Session) -> None:
    """Those of branches included; registering again changes nothing."""
    rows = db.all("SELECT id, step_id, task_id, name, position FROM workflow_nodes ORDER BY id")
    assert [row["step_id"] for row in rows] == ["charge", "ship", "label", "tell"]
    assert [row["position"] for row in rows] == [1, 2, 3, 4]
    assert rows[0] == {
        "id": 5, "step_id": "charge", "task_id": "demo.charge", "name": "Charge the card",
        "position": 1,
    }  # fmt: skip
    assert db.one("SELECT register_workflow_nodes(id) FROM workflow_definition_versions") == 4


def test_the_views_tell_how_nodes_and_channels_do(db: Session) -> None:
    """One of two executions failed in its first step."""
    for status in ("completed", "failed"):
        trace = db.one(START)
        step = db.one("SELECT start_workflow_step(%s, 5, 1, NULL)", trace)
        db.run("SELECT complete_workflow_step(%s, %s, NULL, NULL)", step, status)
        db.run("SELECT complete_workflow_execution(%s, %s, NULL)", trace, status)
    [performance] = db.all(PERFORMANCE)
    assert (performance["successful_executions"], performance["failed_executions"]) == (1, 1)
    assert performance["success_rate"] == 50
    nodes = {row["step_id"]: row for row in db.all("SELECT * FROM v_node_execution_stats")}
    assert (nodes["charge"]["total_executions"], nodes["charge"]["failed_executions"]) == (2, 1)
    assert nodes["tell"]["total_executions"] == 0
