"""What a write reads, counted by Postgres: no more, however much there is already."""

from __future__ import annotations

from adapters.postgres.database import Database
from adapters.postgres.recorder import PostgresRecorder
from definitions.statuses import StepStatus
from tests.integration.facts import attempt, facts, flush, run_ref, started, step
from tests.postgres import as_administrator

_RUNS = 150

_SCANS = """
SELECT indexrelname AS index, idx_scan AS scans FROM pg_stat_user_indexes
WHERE relname = 'workflow_instances' AND idx_scan > 0
"""
_ATTEMPTS = """
SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS read FROM pg_stat_user_tables
WHERE relname = 'workflow_step_attempts'
"""


async def test_a_write_reads_its_own_runs_alone(database_url: str) -> None:
    """Plans that were made while the tables were empty still go by the keys afterwards."""
    # One connection, so that all of it is done by the plans that its first write made.
    async with Database(database_url, pool_size=1) as database:
        recorder = PostgresRecorder(database)
        for number in range(_RUNS):
            ref = run_ref(f"run-{number}")
            await recorder.write(started(ref))
            done = step(1, StepStatus.COMPLETED)
            await recorder.write(attempt(ref, 1, StepStatus.COMPLETED, done))
            await recorder.write(facts(ref, flush(9)))
        async with database.transaction(None) as connection:
            await connection.execute("SELECT pg_stat_force_next_flush()")
    scans = {row["index"]: row["scans"] for row in as_administrator(database_url, _SCANS)}
    assert scans["workflow_instances_pkey"] >= _RUNS
    assert set(scans) <= {"workflow_instances_pkey", "workflow_instances_trace_idx"}
    [attempts] = as_administrator(database_url, _ATTEMPTS)
    assert attempts["read"] <= 4 * _RUNS
