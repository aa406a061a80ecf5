"""Every run is told of: in its outbox, in its transaction, and over Kafka in its order."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import pytest_asyncio

from activities.announcing import AnnouncingRecorder
from activities.filtering import FilteringRecorder
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.open_runs import OpenRuns
from adapters.postgres.reader import PostgresReader
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import NotFoundError
from definitions.redaction import Redactor
from tests.postgres import fresh_database
from tests.workflows.consuming import consuming, relaying
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT, Stack, until
from worker import reconciler as reconciling
from worker.reconciler import Reconciler
from workflow_events import EventSource, EventType, WorkflowEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from adapters.kafka.server import KafkaServer
    from definitions.views import OutboxView
    from tests.workflows.stack import Handle


@pytest.fixture(scope="module")
def url(postgres_server: str, database_template: str) -> Iterator[str]:
    """A database in which nothing happens but what these tests do."""
    with ExitStack() as stops:
        yield stops.enter_context(fresh_database(postgres_server, database_template))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def told(stack: Stack, url: str) -> AsyncIterator[Stack]:
    """A worker of the environment ``staging`` on that database."""
    async with Database(url) as database:
        bare = Stack(stack.client, database, url, "")
        async with bare.worker(environment="staging") as served:
            yield served


LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


async def outbox(stack: Stack, handle: Handle) -> list[OutboxView]:
    """All events of a run."""
    found = await stack.reader.outbox_page(DEFAULT, since=LONG_AGO, execution_id=handle.id)
    return sorted(found, key=lambda one: one.seq)


async def data_of_end(stack: Stack, handle: Handle) -> dict[str, Any]:
    """What the one event of a run's end says."""
    ends = [one for one in await outbox(stack, handle) if one.event_type != "workflow.triggered"]
    assert len(ends) == 1
    data: dict[str, Any] = ends[0].envelope["payload"]["data"]
    return {"event_type": ends[0].event_type, **data}


async def test_a_run_is_told_of_from_its_beginning_to_its_end(
    told: Stack, url: str, kafka: KafkaServer, topic: str
) -> None:
    """In the order of the run, keyed by it, in the typed envelope, without what it was given."""
    document = definition(
        step("first", "core.publish", input={"type": "order.taken", "data": {"n": 1}}),
        step("work", "test.echo", input={"secretly": "${input.secretly}"}),
        step(
            "second",
            "core.publish",
            input={"type": "order.shipped", "subject": "order-1", "data": {"text": "ä\u2028"}},
        ),
    )
    given = {"secretly": "nobody's business"}
    async with consuming(kafka.address, topic) as consumer, relaying(url, kafka.address, topic):
        handle = await told.start(document, given, correlationId="corr-1", externalId="ext-1")
        await told.result(handle)
        await consumer.ended(handle.id)
    record = await told.record(handle)
    first, taken, shipped, last = consumer.of(handle.id)
    assert [first.type, taken.type, shipped.type, last.type] == [
        "workflow.triggered",
        "order.taken",
        "order.shipped",
        "workflow.completed",
    ]
    for message in (first, last):
        event = WorkflowEvent.model_validate_json(message.value)
        assert event.source is EventSource.STEPLOOM
        assert event.workflow_id == document["workflowId"]
        assert event.workflow_run_id == handle.id
        assert event.metadata.environment == "staging"
        assert message.headers == {
            "org_id": str(DEFAULT),
            "event_id": str(event.event_id),
            "event_type": event.event_type.value,
            "content-type": "application/json",
        }
        data = event.payload.data
        assert data["org"] == "default"
        assert data["org_id"] == str(DEFAULT)
        assert data["run_id"] == str(record.instance.id)
        assert data["version"] == "1.0.0"
        assert data["correlation_id"] == "corr-1"
        assert data["external_id"] == "ext-1"
        assert data["parent"] is None
        assert b"nobody" not in message.value
    ended = WorkflowEvent.model_validate_json(last.value)
    assert ended.event_type is EventType.WORKFLOW_COMPLETED
    assert ended.timestamp == record.instance.completed_at
    assert ended.payload.data["outcome"] == "success"
    took = ended.timestamp - record.instance.started_at
    assert ended.payload.data["duration_ms"] == pytest.approx(took / timedelta(milliseconds=1), 1)
    assert shipped.headers["content-type"] == "application/cloudevents+json; charset=UTF-8"
    assert shipped.headers["org_id"] == str(DEFAULT)
    assert shipped.event == {
        "specversion": "1.0",
        "id": shipped.event_id,
        "source": f"/steploom/workflows/{document['workflowId']}",
        "type": "order.shipped",
        "subject": "order-1",
        "time": shipped.event["time"],
        "datacontenttype": "application/json",
        "data": {"text": "ä\u2028"},
    }
    assert all(one.published_at for one in await outbox(told, handle))


async def test_a_failed_run_says_why(told: Stack) -> None:
    """With the error's type, code and message; not with its details."""
    document = definition(
        step(
            "pay",
            "core.fail",
            input={
                "errorType": "Refused",
                "errorCode": "402",
                "message": "x" * 2000,
                "details": {"card": "4711"},
            },
        )
    )
    handle = await told.start(document)
    await told.failure(handle)
    end = await data_of_end(told, handle)
    assert (end["event_type"], end["outcome"]) == ("workflow.failed", "failed")
    assert end["error"] == {
        "type": "Refused",
        "code": "402",
        "message": "x" * 1000,
        "step_id": "pay",
    }
    assert end["duration_ms"] >= 0


async def test_a_cancelled_run_has_failed_with_that_outcome(told: Stack) -> None:
    """For a consumer there is success, and all the rest."""
    handle = await told.start(definition(step("asks", "core.approval")))
    await told.waits(handle, "asks")
    await handle.cancel()
    await told.end(handle)
    end = await data_of_end(told, handle)
    assert (end["event_type"], end["outcome"], end["error"]) == (
        "workflow.failed",
        "cancelled",
        None,
    )


async def test_a_run_that_took_too_long_has_timed_out(told: Stack) -> None:
    """By the definition's own timeout."""
    handle = await told.start(definition(step("asks", "core.approval"), timeout="PT0.5S"))
    assert (await told.failure(handle)).type == "WorkflowTimeout"
    end = await data_of_end(told, handle)
    assert (end["event_type"], end["outcome"]) == ("workflow.failed", "timed_out")


async def test_a_refused_start_is_told_of_twice(told: Stack) -> None:
    """It was triggered, and it has failed."""
    handle = await told.start("nothing-of-this-name")
    await told.failure(handle)
    events = await outbox(told, handle)
    assert [one.event_type for one in events] == ["workflow.triggered", "workflow.failed"]
    end = await data_of_end(told, handle)
    assert end["error"]["type"] == "DefinitionNotFound"
    assert events[-1].envelope["workflow_id"] == "nothing-of-this-name"


async def test_a_run_that_was_terminated_in_temporal_is_told_of_once(
    told: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By whoever closes it on record, however many do."""
    monkeypatch.setattr(reconciling, "_SETTLED", timedelta(0))
    recorder = PostgresRecorder(told.database)
    reconciler = Reconciler(
        told.client,
        PostgresDefinitionStore(told.database),
        OpenRuns(told.database),
        PostgresReader(told.database),
        FilteringRecorder(AnnouncingRecorder(recorder, "staging"), Redactor()),
        interval=timedelta(seconds=15),
    )
    handle = await told.start(definition(step("asks", "core.approval")), correlationId="corr-2")
    await told.waits(handle, "asks")
    await handle.terminate(reason="no longer wanted")

    async def closed() -> bool:
        await reconciler.close_ended()
        return (await told.record(handle)).instance.status.ended

    await until(closed)
    await reconciler.close_ended()
    await recorder.close()
    end = await data_of_end(told, handle)
    assert (end["outcome"], end["correlation_id"]) == ("failed", "corr-2")
    assert end["error"]["type"] == "WorkflowTerminated"


async def test_a_child_names_its_parent(told: Stack) -> None:
    """So that a consumer can tell the runs that others started."""
    child = definition(step("only"))
    await told.register(child)
    parent = definition(
        step("call", "core.workflow", input={"workflowId": child["workflowId"], "input": {}})
    )
    handle = await told.start(parent)
    await told.result(handle)
    record = await told.record(handle)
    found = await told.reader.outbox_page(DEFAULT, since=LONG_AGO, types=["workflow.triggered"])
    [begun] = [one for one in found if one.envelope["workflow_id"] == child["workflowId"]]
    assert begun.envelope["payload"]["data"]["parent"] == {
        "kind": "child",
        "run_id": str(record.instance.id),
        "workflow_run_id": handle.id,
    }


async def test_an_event_names_its_own_org(
    told: Stack, url: str, kafka: KafkaServer, topic: str
) -> None:
    """In a header, so that a consumer need not read what is not its own; and in the event."""
    acme = await told.store.create_org("acme", "Acme Inc.")
    document = definition(step("tell", "core.publish", input={"type": "order.taken"}))
    async with consuming(kafka.address, topic) as consumer, relaying(url, kafka.address, topic):
        ours = await told.start(document)
        theirs = await told.start(document, orgId="acme")
        await consumer.ended(ours.id, theirs.id)
    for handle, org, slug in ((ours, DEFAULT, "default"), (theirs, acme.id, "acme")):
        messages = consumer.of(handle.id)
        assert len(messages) == 3
        assert {one.headers["org_id"] for one in messages} == {str(org)}
        assert messages[0].event["payload"]["data"]["org"] == slug
    with pytest.raises(NotFoundError):
        await told.reader.find_instance(DEFAULT, theirs.id)


async def test_neither_kafka_nor_a_relay_is_needed(told: Stack) -> None:
    """Without them, events stand in the outbox."""
    handle = await told.start(definition(step("only")))
    await told.result(handle)
    events = await outbox(told, handle)
    assert [one.event_type for one in events] == ["workflow.triggered", "workflow.completed"]
    assert not any(one.published_at or one.dead_at for one in events)


async def test_branches_publish_in_the_order_of_the_run(
    told: Stack, url: str, kafka: KafkaServer, topic: str
) -> None:
    """However the tasks that carry the events to the record overtake each other."""
    document = definition(
        step(
            "fork",
            parallelBranches=[
                {
                    "branchId": f"b{number}",
                    "steps": [
                        step(f"tell{number}", "core.publish", input={"type": f"told.{number}"}),
                        step(f"work{number}", "test.echo", input={"n": number}),
                        step(f"more{number}", "core.publish", input={"type": f"more.{number}"}),
                        step(f"end{number}", "test.echo", input={"n": number}),
                    ],
                }
                for number in range(6)
            ],
        )
    )
    async with consuming(kafka.address, topic) as consumer, relaying(url, kafka.address, topic):
        handles = await asyncio.gather(*(told.start(document) for _ in range(20)))
        for handle in handles:
            await told.result(handle)
        await consumer.ended(*(handle.id for handle in handles))
    for handle in handles:
        events = await outbox(told, handle)
        assert len(events) == 14
        assert [one.event_id for one in consumer.of(handle.id)] == [
            str(one.event_id) for one in events
        ]
