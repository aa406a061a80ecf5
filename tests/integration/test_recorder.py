"""The recorder: idempotent, mergeable in any order, and honest about attempts that were lost."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from adapters.postgres import database as database_module
from adapters.postgres.database import Database
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import SteploomError, UnreachableError
from definitions.identity import org_id
from definitions.records import (
    CompensationRecord,
    Decision,
    ErrorInfo,
    RecordBatch,
    TransitionRecord,
)
from definitions.statuses import InstanceStatus, StepStatus
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
    from definitions.views import AttemptView, StepView

ACTIVE, COMPLETED, FAILED = StepStatus.ACTIVE, StepStatus.COMPLETED, StepStatus.FAILED
REF = run_ref()


@pytest.fixture
def recorder(database: Database) -> PostgresRecorder:
    return PostgresRecorder(database)


@pytest.fixture
def reader(database: Database) -> PostgresReader:
    return PostgresReader(database)


async def only_step(reader: PostgresReader) -> StepView:
    [found] = await reader.steps(DEFAULT, REF.instance_id)
    return found


async def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    result = {}
    async with database.transaction(DEFAULT) as connection:
        for table, order in (
            ("workflow_instances", "id"),
            ("workflow_trace", "instance_id"),
            ("workflow_steps", "path, iteration"),
            ("workflow_step_attempts", "path, iteration, attempt"),
            ("workflow_trace_context", "context_key"),
            ("workflow_events", "event_id"),
            ("audit_events", "event_id"),
            ("outbox_events", "event_id"),
        ):
            cursor = await connection.execute(f"SELECT * FROM {table} ORDER BY {order}")  # noqa: S608 (names of ours)
            result[table] = await cursor.fetchall()
    for row in (row for rows in result.values() for row in rows):
        # Numbers and times of the writing itself.
        for name in ("recorded_at", "trace_id", "trace_created_at", "created_at"):
            row.pop(name, None)
        if not isinstance(row.get("id"), UUID):
            row.pop("id", None)
    for row in result["workflow_events"]:
        # A step whose row was not there yet when somebody acted on it.
        del row["step_id"]
    return result


def a_whole_run() -> list[RecordBatch]:
    """A run of two steps: an attempt that fails, one that does not, a loop back, the end."""
    decision = Decision(kind="sequence", target="ship")
    first = step(2, input={"amount": 5})
    done = step(3, COMPLETED, output={"chargeId": "c-1"})
    again = step(6, path="ship/each#3/label", step_id="label", iteration=2)
    return [
        started(REF, input={"amount": 5}, tags={"a": "b"}, correlation_id="c"),
        attempt(REF, 1, ACTIVE, first),
        attempt(REF, 1, FAILED, first, error=ErrorInfo(type="GatewayError", code="502")),
        attempt(REF, 2, COMPLETED, done, output={"chargeId": "c-1"}),
        facts(REF, TransitionRecord(seq=4, path="charge", iteration=1, decision=decision)),
        facts(REF, again, step(7, COMPLETED, path="ship/each#3/label", iteration=2)),
        facts(REF, flush(8, current_step_id="ship"), action(REF, 8), action(REF, 12, "resume")),
        facts(REF, published(REF, 13), published(REF, 14)),
        facts(REF, CompensationRecord(seq=9, path="charge", iteration=1, compensated=True)),
        facts(
            REF,
            flush(10, InstanceStatus.COMPLETED, output={"ok": True}),
            audit(REF, 11, "workflow.completed", outcome="success"),
        ),
    ]


async def test_a_run_is_read_back_as_it_was(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Everything that the batches say is on record once they are written."""
    for batch in a_whole_run():
        await recorder.write(batch)
    run = await reader.find_instance(DEFAULT, "exec-run-1")
    assert (run.status, run.output, run.current_step_id) == ("completed", {"ok": True}, None)
    assert (run.input, run.tags, run.completed_at) == ({"amount": 5}, {"a": "b"}, at(10))
    charge, label = await reader.steps(DEFAULT, REF.instance_id)
    assert (charge.status, charge.attempts, charge.compensated) == (COMPLETED, 2, True)
    assert (charge.input, charge.output) == ({"amount": 5}, {"chargeId": "c-1"})
    assert charge.decision == Decision(kind="sequence", target="ship")
    assert (charge.started_at, charge.completed_at) == (at(0), at(3))
    assert [(one.attempt, one.status) for one in charge.attempt_records] == [
        (1, FAILED),
        (2, COMPLETED),
    ]
    assert charge.attempt_records[0].error == ErrorInfo(type="GatewayError", code="502")
    assert (label.path, label.iteration, label.status) == ("ship/each#3/label", 2, COMPLETED)
    [event] = await reader.audit_events(DEFAULT, REF.instance_id)
    assert (event.event_type, event.event_timestamp) == ("workflow.completed", at(11))


@pytest.mark.parametrize("seed", range(12))
async def test_the_order_and_the_number_of_writes_change_nothing(
    recorder: PostgresRecorder, database: Database, database_url: str, seed: int
) -> None:
    """Written in any order, some of it twice, alone or grouped, a run leaves the same rows.

    Attempts alone are written in their own order, as they are made one after the other.
    """
    batches = a_whole_run()
    for batch in batches:
        await recorder.write(batch)
    expected = await everything(database)
    with psycopg.connect(database_url) as connection:
        connection.execute("ALTER TABLE audit_events DISABLE TRIGGER USER")
        for table in ("workflow_instances", "audit_events", "outbox_events"):
            connection.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
    recorder = PostgresRecorder(database)  # one that knows of no run's row
    shuffled = random.Random(seed)  # noqa: S311 (a shuffled order, not a secret)
    order = [*batches, *shuffled.choices(batches, k=4)]
    shuffled.shuffle(order)
    slots = [index for index, batch in enumerate(order) if batch.attempt]
    in_order = sorted((order[index] for index in slots), key=batches.index)
    for index, batch in zip(slots, in_order, strict=True):
        order[index] = batch
    while order:
        size = shuffled.randint(1, 4)
        async with asyncio.TaskGroup() as group:
            for batch in order[:size]:
                group.create_task(recorder.write(batch))
        del order[:size]
    assert await everything(database) == expected


async def test_an_ended_step_is_not_opened_again(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """What has ended outranks what has not, even with a higher ``seq``."""
    await recorder.write(facts(REF, step(5, COMPLETED, output={"a": 1})))
    await recorder.write(facts(REF, step(9, ACTIVE)))
    found = await only_step(reader)
    assert (found.status, found.seq, found.output) == (COMPLETED, 5, {"a": 1})


async def test_an_end_can_be_overruled_by_a_later_one(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """A completed step whose transition failed has failed, and keeps its output."""
    error = ErrorInfo(type="NoTransitionMatched")
    await recorder.write(facts(REF, step(5, COMPLETED, output={"a": 1})))
    await recorder.write(facts(REF, step(6, FAILED, error=error)))
    await recorder.write(facts(REF, step(5, COMPLETED, output={"a": 1})))
    found = await only_step(reader)
    assert (found.status, found.output, found.error) == (FAILED, {"a": 1}, error)


async def test_a_decision_before_its_step_is_kept(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """The partial row is overruled by the step's record, whatever its ``seq``."""
    decision = Decision(kind="end")
    place = {"path": "ship/each#3/label", "iteration": 1}
    await recorder.write(facts(REF, TransitionRecord(seq=9, decision=decision, **place)))
    partial = await only_step(reader)
    assert (partial.step_id, partial.status, partial.started_at) == ("label", "pending", None)
    await recorder.write(facts(REF, step(2, ACTIVE, step_id="label", path=place["path"])))
    found = await only_step(reader)
    assert (found.status, found.decision, found.started_at) == (ACTIVE, decision, at(0))


async def test_the_next_attempt_closes_those_that_never_answered(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Attempts that began, and attempts that left no trace, end as ``AttemptLost``."""
    await recorder.write(attempt(REF, 1, FAILED, step(1), error=ErrorInfo(type="Oops")))
    await recorder.write(attempt(REF, 2, ACTIVE, step(1)))
    await recorder.write(attempt(REF, 5, COMPLETED, step(2, COMPLETED)))
    found = await only_step(reader)
    assert [one.status for one in found.attempt_records] == [
        "failed", "timeout", "timeout", "timeout", "completed",
    ]  # fmt: skip
    lost = found.attempt_records[1:4]
    assert {_code(one) for one in lost} == {("TimeoutError", "AttemptLost")}
    assert [one.started_at for one in lost] == [at(2), None, None]
    assert [one.completed_at for one in lost] == [at(5)] * 3
    assert found.attempts == 5


async def test_the_end_of_a_step_closes_its_open_attempts(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """When the run gives a step up, the attempt that did not answer is closed with it."""
    await recorder.write(attempt(REF, 1, ACTIVE, step(1)))
    await recorder.write(facts(REF, step(2, StepStatus.TIMEOUT)))
    found = await only_step(reader)
    [only] = found.attempt_records
    assert (only.status, _code(only)) == ("timeout", ("TimeoutError", "AttemptLost"))
    assert only.completed_at == at(2)


async def test_what_a_lost_attempt_says_afterwards_changes_nothing(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """A worker that was given up and comes back overrules neither its attempt nor the step."""
    await recorder.write(attempt(REF, 1, ACTIVE, step(1)))
    await recorder.write(attempt(REF, 2, ACTIVE, step(1)))
    await recorder.write(
        attempt(REF, 1, COMPLETED, step(2, COMPLETED, output={"late": 1}), output={"late": 1})
    )
    found = await only_step(reader)
    assert (found.status, found.output, found.attempts) == (ACTIVE, None, 2)
    assert [one.status for one in found.attempt_records] == ["timeout", "active"]


async def test_a_later_attempt_replaces_an_earlier_outcome(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """An attempt that was recorded but never answered is made again; the later outcome counts."""
    await recorder.write(attempt(REF, 1, COMPLETED, step(2, COMPLETED, output={"n": 1})))
    error = ErrorInfo(type="Oops")
    await recorder.write(attempt(REF, 2, FAILED, step(2, FAILED, error=error), error=error))
    found = await only_step(reader)
    assert (found.status, found.output, found.error) == (FAILED, None, error)


async def test_a_flush_counts_only_when_it_is_newer(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """An older flush changes nothing, and an ended run stays ended."""
    await recorder.write(facts(REF, flush(5, current_step_id="b")))
    await recorder.write(facts(REF, flush(4, current_step_id="a")))
    assert (await reader.find_instance(DEFAULT, "exec-run-1")).current_step_id == "b"
    await recorder.write(facts(REF, flush(6, InstanceStatus.CANCELLED)))
    await recorder.write(facts(REF, flush(7, InstanceStatus.RUNNING)))
    assert (await reader.find_instance(DEFAULT, "exec-run-1")).status == "cancelled"


async def test_values_that_postgres_cannot_keep_do_not_lose_the_record(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """U+0000, lone surrogates and NaN are replaced, in values, keys and messages."""
    output = {"a\x00": "\ud800", "n": float("nan"), "big": 2**60 + 1, "nothing": None}
    error = ErrorInfo(type="Oops\x00", message="\ud800", details=[float("inf")])
    await recorder.write(attempt(REF, 1, FAILED, step(1), output=output, error=error))
    [only] = (await only_step(reader)).attempt_records
    assert only.output == {"a\ufffd": "\ufffd", "n": "NaN", "big": 2**60 + 1, "nothing": None}
    assert only.error == ErrorInfo(type="Oops\ufffd", message="\ufffd", details=["Infinity"])


async def test_a_bad_batch_harms_itself_alone(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """One of fifty in a group is refused; the others are written."""
    bad = started(run_ref("bad"), definition_id=DEFAULT)  # no such definition
    batches = [*(started(run_ref(f"good-{n}")) for n in range(49)), bad]
    results = await asyncio.gather(*map(recorder.write, batches), return_exceptions=True)
    assert results[:-1] == [None] * 49
    assert isinstance(results[-1], SteploomError)
    assert str(run_ref("bad").instance_id) in results[-1].message
    assert len((await reader.list_instances(DEFAULT)).items) == 49


async def test_concurrent_writes_share_transactions(
    recorder: PostgresRecorder, database: Database
) -> None:
    """Two hundred batches that come at once cost a handful of commits."""
    await asyncio.gather(
        *(
            recorder.write(attempt(run_ref(f"r{n}"), 1, COMPLETED, step(1, COMPLETED)))
            for n in range(200)
        )
    )
    async with database.transaction(DEFAULT) as connection:
        cursor = await connection.execute(
            "SELECT count(DISTINCT xmin::text) AS commits, count(*) AS n FROM workflow_steps"
        )
        row = await cursor.fetchone()
    assert row is not None
    assert row["n"] == 200
    assert row["commits"] <= 3


async def test_each_org_gets_transactions_of_its_own(
    recorder: PostgresRecorder, database_url: str
) -> None:
    """Batches of two orgs never share a transaction, and each row carries its org."""
    acme = org_id("acme")
    as_administrator(
        database_url, "INSERT INTO organizations (id, slug, name) VALUES (%s, 'acme', 'Acme')", acme
    )
    await asyncio.gather(
        *(recorder.write(started(run_ref(f"r{n}", acme if n % 2 else DEFAULT))) for n in range(20))
    )
    counted = as_administrator(
        database_url,
        "SELECT org_id, count(*) AS n, count(DISTINCT xmin::text) AS commits"
        " FROM workflow_instances GROUP BY org_id",
    )
    rows = {row["org_id"]: row for row in counted}
    shared = as_administrator(
        database_url,
        "SELECT count(DISTINCT org_id) AS orgs FROM workflow_instances GROUP BY xmin::text",
    )
    assert all(row["orgs"] == 1 for row in shared)
    assert {org: row["n"] for org, row in rows.items()} == {acme: 10, DEFAULT: 10}


async def test_two_workers_write_the_same_rows_without_harm(
    database: Database, database_url: str, reader: PostgresReader
) -> None:
    """Writers of other processes that touch the same rows in other orders lose nothing."""
    async with Database(database_url) as other:
        recorders = (PostgresRecorder(database), PostgresRecorder(other))
        refs = [run_ref(f"r{n}") for n in range(30)]
        async with asyncio.TaskGroup() as group:
            for turn in range(4):
                for ref in refs if turn % 2 else reversed(refs):
                    batch = attempt(ref, 1, COMPLETED, step(1, COMPLETED))
                    group.create_task(recorders[turn % 2].write(batch))
    for ref in refs:
        assert len(await reader.steps(DEFAULT, ref.instance_id)) == 1


async def test_a_deleted_run_does_not_stop_its_late_records(
    recorder: PostgresRecorder, database: Database, reader: PostgresReader
) -> None:
    """A run's row that was cleaned away meanwhile is made again."""
    await recorder.write(started(REF))
    async with database.transaction(DEFAULT) as connection:
        await connection.execute("DELETE FROM workflow_instances")
    await recorder.write(facts(REF, step(1)))
    assert (await only_step(reader)).status == ACTIVE


async def test_a_database_that_goes_away_is_unreachable_and_comes_back(
    database: Database,
    database_url: str,
    reader: PostgresReader,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The waiters are told, with the address, and a later write of the same batch succeeds."""
    recorder = PostgresRecorder(database)
    await recorder.write(started(REF))
    original = database_module._send

    async def dying(connection: Any, message: Any) -> None:
        pid = connection.info.backend_pid
        as_administrator(database_url, "SELECT pg_terminate_backend(%s, 5000)", pid)
        await original(connection, message)

    with monkeypatch.context() as patched:
        patched.setattr(database_module, "_send", dying)
        with pytest.raises(UnreachableError, match="Postgres at"):
            await recorder.write(facts(REF, step(1)))
    await recorder.write(facts(REF, step(1)))
    assert (await only_step(reader)).status == ACTIVE


async def test_close_writes_what_was_taken(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Closing waits for the queue, and takes nothing more."""
    writes = [asyncio.create_task(recorder.write(started(run_ref(f"r{n}")))) for n in range(9)]
    await asyncio.sleep(0)
    await recorder.close()
    assert all(write.done() for write in writes)
    assert len((await reader.list_instances(DEFAULT)).items) == 9
    with pytest.raises(SteploomError, match="closed"):
        await recorder.write(started(REF))


async def test_a_caller_that_gives_up_leaves_the_others_alone(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """A cancelled write is written all the same, and its neighbours are answered."""
    gives_up = asyncio.create_task(recorder.write(started(run_ref("a"))))
    stays = asyncio.create_task(recorder.write(started(run_ref("b"))))
    await asyncio.sleep(0)
    gives_up.cancel()
    await stays
    assert len((await reader.list_instances(DEFAULT)).items) == 2


def _code(one: AttemptView) -> tuple[str, str | None]:
    assert one.error is not None
    return one.error.type, one.error.code


@pytest.mark.parametrize(
    "told", [{"external": True}, {"task_id": "core.workflow"}, {"task_id": "core.event"}]
)
async def test_attempts_that_nobody_of_ours_makes_get_no_rows(
    recorder: PostgresRecorder, reader: PostgresReader, told: dict[str, Any]
) -> None:
    """What another language's worker, or a child run, did is no attempt that was lost."""
    ended = step(9, FAILED, error=ErrorInfo(type="Oops"), attempts=3)
    await recorder.write(facts(REF, ended.model_copy(update=told)))
    found = await only_step(reader)
    assert (found.attempts, found.attempt_records) == (3, [])


async def test_attempts_that_left_no_trace_have_rows_at_the_steps_end(
    recorder: PostgresRecorder, reader: PostgresReader
) -> None:
    """Temporal knows of three attempts, and only the first was heard of: all three are there."""
    await recorder.write(started(REF))
    await recorder.write(attempt(REF, 1, ACTIVE, step(2)))
    lost = ErrorInfo(type="TimeoutError", message="no heartbeat", attempts=3)
    await recorder.write(facts(REF, step(9, StepStatus.TIMEOUT, error=lost, attempts=3)))

    found = await only_step(reader)
    assert found.attempts == 3
    assert [(one.attempt, one.status) for one in found.attempt_records] == [
        (1, StepStatus.TIMEOUT),
        (2, StepStatus.TIMEOUT),
        (3, StepStatus.TIMEOUT),
    ]
    assert all(one.error and one.error.code == "AttemptLost" for one in found.attempt_records)
