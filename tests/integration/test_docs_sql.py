"""Every query in the docs runs on the schema, and finds what it is there to find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.recorder import PostgresRecorder
from definitions.records import Decision, ErrorInfo, Evaluated, RunOrigin
from definitions.statuses import InstanceStatus, StepStatus
from tests.docs import blocks
from tests.integration.facts import (
    DEFAULT,
    action,
    attempt,
    audit,
    facts,
    flush,
    run_ref,
    started,
    step,
)
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from adapters.postgres.database import Database
    from tests.docs import Block

#: The names that the queries have to be replaced by one's own.
EXECUTION, CORRELATION = "expense-1", "trip-7"


async def _write_runs(database: Database) -> None:
    """One run that has decided and waits for a person, and two that have ended."""
    recorder = PostgresRecorder(database)
    waiting = run_ref("run-1", execution_id=EXECUTION, workflow_id="expense")
    decision = Decision(
        kind="condition",
        target="ask",
        evaluated=[
            Evaluated(expression="data.amount > 10", values={"data.amount": 42}, result=True)
        ],
    )
    error = ErrorInfo(type="GatewayError", code="502", message="bad gateway")
    classify = step(1, path="classify", step_id="classify")
    ended = step(3, StepStatus.COMPLETED, path="classify", step_id="classify", decision=decision)
    asks = step(
        4,
        StepStatus.WAITING,
        path="ask",
        step_id="ask",
        waiting_for={"title": "May I?", "approvers": ["manager"], "approvalsRequired": 1},
    )
    await recorder.write(started(waiting, correlation_id=CORRELATION, input={"amount": 42}))
    await recorder.write(attempt(waiting, 1, StepStatus.FAILED, classify, error=error))
    await recorder.write(attempt(waiting, 2, StepStatus.COMPLETED, ended, output={}))
    await recorder.write(facts(waiting, asks, flush(5), action(waiting, 6)))
    origin = RunOrigin(
        kind="child",
        instance_id=waiting.instance_id,
        execution_id=waiting.execution_id,
        path="classify",
    )
    for name, outcome in (("run-2", "success"), ("run-3", "failed")):
        run = run_ref(name, workflow_id="expense")
        event = audit(
            run, 2, "workflow.completed", outcome=outcome, approval_required=True,
            approval_decision="approved",
        )  # fmt: skip
        await recorder.write(started(run, origin=origin))
        await recorder.write(facts(run, event, flush(3, InstanceStatus.COMPLETED)))
    await recorder.close()
    await AuditSealer(database).seal_all(DEFAULT)


@pytest.mark.parametrize("block", [pytest.param(block, id=block.place) for block in blocks("sql")])
async def test_a_query_finds_something(block: Block, database: Database) -> None:
    """As it stands in the docs, on a database with some runs."""
    await _write_runs(database)
    async with database.transaction(DEFAULT) as connection:
        # Without parameters a query is taken as it is, its ? and % included.
        rows: list[Any] = await (await connection.execute(block.text.encode())).fetchall()
    assert rows


async def test_the_success_rate_counts_what_ended(database: Database) -> None:
    """One of two runs succeeded."""
    await _write_runs(database)
    [query] = [block.text for block in blocks("sql") if "AS success_rate" in block.text]
    async with database.transaction(DEFAULT) as connection:
        [row] = await (await connection.execute(query.encode())).fetchall()
    assert (row["workflow"], row["total_executions"], row["successful"]) == ("expense", 2, 1)
    assert float(row["success_rate"]) == 50.0


async def test_the_chain_is_checked_in_sql(database: Database, database_url: str) -> None:
    """The query in audit.md holds for an untouched chain, and shows a change of an event."""
    await _write_runs(database)
    [query] = [block.text for block in blocks("sql") if "event_holds" in block.text]
    holds = {"no_gap": True, "follows": True, "seal_holds": True, "event_holds": True}

    def checked() -> list[dict[str, Any]]:
        rows = as_administrator(database_url, query)
        return [{name: row[name] for name in holds} for row in rows]

    assert checked() == [holds, holds]
    as_administrator(
        database_url,
        "SET session_replication_role = replica;"
        ' UPDATE audit_events SET event_data = event_data || \'{"version": "1.1"}\''
        " WHERE event_id = (SELECT event_id FROM audit_seals WHERE position = 2)",
    )
    assert checked() == [holds, {**holds, "event_holds": False}]
