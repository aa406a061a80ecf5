"""Events from Kafka: each starts what it starts, once, whatever happens on the way."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.kafka.consumer import Place
from adapters.postgres.database import Database
from adapters.postgres.dead_letters import PostgresDeadLetters
from adapters.temporal.connection import TemporalConnection, connect
from steploom.operations.consuming import consume
from steploom.services import Services
from tests.postgres import as_administrator
from tests.proxies import Door
from tests.workflows.consuming import relaying
from tests.workflows.events import cloud_event, event_type, on, services_of, triggered_by
from tests.workflows.stack import DEFAULT, PATIENCE, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from adapters.kafka.consumer import KafkaConsumer
    from adapters.kafka.server import KafkaServer
    from definitions.ports import Organization
    from definitions.views import InstanceView
    from tests.workflows.stack import Stack

ROOT = Path(__file__).parents[2]


def services_with(stack: Stack, kafka: KafkaServer) -> Services:
    services = services_of(stack)
    settings = services.settings.model_copy(update={"kafka_bootstrap_servers": [kafka.address]})
    return Services(settings, stack.client, stack.database)


@asynccontextmanager
async def consuming(
    services: Services, topic: str, *, org: Organization | None = None
) -> AsyncIterator[KafkaConsumer]:
    """A consumer in a group of the topic's name."""
    stop, begun = asyncio.Event(), asyncio.Event()
    found: list[KafkaConsumer] = []

    def ready(consumer: KafkaConsumer) -> None:
        found.append(consumer)
        begun.set()

    work = asyncio.create_task(consume(services, Place([topic], topic), stop, org=org, ready=ready))
    await begun.wait()
    try:
        yield found[0]
    finally:
        stop.set()
        await asyncio.wait_for(work, PATIENCE)


async def produce(
    kafka: KafkaServer, topic: str, values: Sequence[Any], org: str | None = "default"
) -> None:
    """Sends events (bytes as they are), in one partition."""
    headers = [("org_id", org.encode())] if org is not None else []
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for value in values:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            await producer.send_and_wait(topic, body, key=b"k", headers=headers)


async def committed(kafka: KafkaServer, topic: str) -> int:
    """The offset that the topic's group goes on at."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.address, group_id=topic, enable_auto_commit=False
    )
    async with consumer:
        return await consumer.committed(TopicPartition(topic, 0)) or 0


async def runs_of(stack: Stack, document: dict[str, Any], count: int) -> list[InstanceView]:
    """The runs of a definition, once so many have completed."""

    async def look() -> list[InstanceView]:
        page = await stack.reader.list_instances(
            DEFAULT, workflow_id=document["workflowId"], limit=1000
        )
        ended = [one for one in page.items if one.status.ended]
        return ended if len(ended) >= count else []

    return await until(look)


async def test_events_with_a_poisoned_one_between_them(
    stack: Stack, kafka: KafkaServer, topic: str
) -> None:
    """Both start a run; what is no event is a dead letter that says where it lay."""
    kind = event_type()
    document = triggered_by(on(kind, "{n: data.n}"))
    await stack.register(document)
    unknown = {
        "event_id": str(uuid4()),
        "event_type": "workflow.vanished",
        "source": "airflow",
        "workflow_id": "w",
        "workflow_run_id": "r",
        "payload": {"data": {}},
        "metadata": {"environment": "moon"},
    }
    events = [cloud_event(kind, {"n": 1}), b"poison", unknown, b"", cloud_event(kind, {"n": 2})]
    await produce(kafka, topic, events)
    async with consuming(services_with(stack, kafka), topic):
        runs = await runs_of(stack, document, 2)
    assert sorted(one.input["n"] for one in await whole(stack, runs)) == [1, 2]
    assert {one.trigger_event_id for one in runs} == {
        UUID(event["id"]) for event in events if isinstance(event, dict) and "id" in event
    }
    letters = [one for one in await letters_of(stack) if one.topic == topic]
    told = {(one.topic_offset, one.code) for one in letters}
    assert told == {(1, "invalid_json"), (2, "invalid_event"), (3, "invalid_json")}
    [reason] = [one.reason for one in letters if one.topic_offset == 2]
    assert "event_type" in reason
    assert "environment" in reason
    assert await committed(kafka, topic) == 5


async def whole(stack: Stack, runs: Sequence[InstanceView]) -> list[Any]:
    return [await stack.reader.find_instance(DEFAULT, str(one.id)) for one in runs]


async def letters_of(stack: Stack) -> Sequence[Any]:
    return await PostgresDeadLetters(stack.database).list(DEFAULT, limit=1000)


async def test_binary_cloud_events(stack: Stack, kafka: KafkaServer, topic: str) -> None:
    """The attributes in headers, the data as the message."""
    kind = event_type()
    document = triggered_by(on(kind, "{n: data.n, s: subject}"))
    await stack.register(document)
    headers = {
        "org_id": "default",
        "content-type": "application/json; charset=utf-8",
        "ce_specversion": "1.0",
        "ce_id": "event 1",
        "ce_source": "/shop",
        "ce_type": kind,
        "ce_subject": "order 7",
    }
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        await producer.send_and_wait(
            topic, b'{"n": 7}', headers=[(name, text.encode()) for name, text in headers.items()]
        )
    async with consuming(services_with(stack, kafka), topic):
        [run] = await whole(stack, await runs_of(stack, document, 1))
    assert run.input == {"n": 7, "s": "order 7"}


async def test_whose_events_they_are(stack: Stack, kafka: KafkaServer, topic: str) -> None:
    """Without an org: nobody's letter, or the consumer's own; another org's are passed over."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    await produce(kafka, topic, [cloud_event(kind, {"n": 1})], org=None)
    services = services_with(stack, kafka)
    async with consuming(services, topic) as consumer:
        await until(lambda: _so_many(consumer, 1))
    found = await PostgresDeadLetters(stack.database).list(None, limit=1000)
    assert [one.code for one in found if one.topic == topic] == ["no_org"]
    other = await stack.store.create_org(f"other-{uuid4().hex[:8]}")
    await produce(kafka, topic, [cloud_event(kind, {"n": 2})], org=None)
    await produce(kafka, topic, [cloud_event(kind, {"n": 3})], org=other.slug)
    await produce(kafka, topic, [cloud_event(kind, {"n": 4})], org="default")
    mine = await stack.store.find_org("default")
    async with consuming(services, topic, org=mine) as consumer:
        await until(lambda: _so_many(consumer, 3))
        runs = await runs_of(stack, document, 2)
    assert sorted(one.input["n"] for one in await whole(stack, runs)) == [2, 4]
    assert await committed(kafka, topic) == 4


async def _so_many(consumer: KafkaConsumer, count: int) -> bool:
    return consumer.handled >= count


async def test_a_consumer_that_is_killed_before_it_commits(
    stack: Stack, kafka: KafkaServer, topic: str
) -> None:
    """The next one gets its events again, and starts none of them a second time."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    await produce(kafka, topic, [cloud_event(kind, {"n": n}) for n in range(5)])
    settings = stack.settings(task_queue=stack.task_queue)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.workflows.consume_and_die",
        "consume", "--topic", topic, "--group", topic,
        cwd=ROOT,
        env={
            **os.environ,
            "STEPLOOM_KAFKA_BOOTSTRAP_SERVERS": kafka.address,
            "STEPLOOM_TEMPORAL_ADDRESS": settings.temporal_address or "",
            "STEPLOOM_DATABASE_URL": stack.url,
            "STEPLOOM_TASK_QUEUE": stack.task_queue,
        },
    )  # fmt: skip
    assert await asyncio.wait_for(process.wait(), PATIENCE) == -signal.SIGKILL
    before = {one.id for one in await runs_of(stack, document, 1)}
    assert await committed(kafka, topic) == 0
    async with consuming(services_with(stack, kafka), topic) as consumer:
        await until(lambda: _so_many(consumer, 5))
        runs = await runs_of(stack, document, 5)
    assert len(runs) == 5
    assert before <= {one.id for one in runs}
    assert await committed(kafka, topic) == 5


async def test_several_consumers_share_the_work(
    stack: Stack, kafka: KafkaServer, topic: str
) -> None:
    """One joins, one leaves in the middle: every event starts one run, and none starts two."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    await admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=1)])
    await admin.close()
    events = [cloud_event(kind, {"n": n}) for n in range(60)]
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:
        for number, event in enumerate(events):
            await producer.send_and_wait(
                topic,
                json.dumps(event).encode(),
                partition=number % 3,
                headers=[("org_id", b"default")],
            )
    services = services_with(stack, kafka)
    async with consuming(services, topic):
        async with consuming(services, topic) as second:
            await until(lambda: _so_many(second, 1))
        runs = await runs_of(stack, document, 60)
    assert len(runs) == 60
    assert {one.trigger_event_id for one in runs} == {UUID(event["id"]) for event in events}


async def test_temporal_is_away_for_a_while(stack: Stack, kafka: KafkaServer, topic: str) -> None:
    """Nothing is committed, nothing is a dead letter; afterwards everything is started."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    host, _, port = (stack.client.service_client.config.target_host).partition(":")
    door = Door(host, int(port))
    async with door.serving() as address:
        client = await connect(TemporalConnection(address=address))
        plain = services_with(stack, kafka)
        services = Services(plain.settings, client, stack.database)
        await door.shut()
        await produce(kafka, topic, [cloud_event(kind, {"n": n}) for n in range(3)])
        async with consuming(services, topic) as consumer:
            await until(lambda: _refused(door, 3))
            assert (consumer.handled, await committed(kafka, topic)) == (0, 0)
            door.open()
            runs = await runs_of(stack, document, 3)
    assert len(runs) == 3
    assert [one for one in await letters_of(stack) if one.topic == topic] == []
    assert await committed(kafka, topic) == 3


async def _refused(door: Door, count: int) -> bool:
    return door.refused >= count


async def test_postgres_is_away_for_a_while(stack: Stack, kafka: KafkaServer, topic: str) -> None:
    """The same: a poisoned message waits as well, until its letter is in Postgres."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    parts = urlsplit(stack.url)
    door = Door(parts.hostname or "127.0.0.1", parts.port or 5432)
    async with door.serving() as address:
        credentials, _, _ = parts.netloc.rpartition("@")
        url = urlunsplit(parts._replace(netloc=f"{credentials}@{address}"))
        async with Database(url, pool_size=2, timeout=3.0) as database:
            plain = services_with(stack, kafka)
            services = Services(plain.settings, stack.client, database)
            await door.shut()
            await produce(kafka, topic, [b"poison", *(cloud_event(kind) for _ in range(3))])
            async with consuming(services, topic) as consumer:
                await until(lambda: _refused(door, 3))
                assert (consumer.handled, await committed(kafka, topic)) == (0, 0)
                door.open()
                runs = await runs_of(stack, document, 3)
    assert len(runs) == 3
    assert [one.code for one in await letters_of(stack) if one.topic == topic] == ["invalid_json"]
    assert await committed(kafka, topic) == 4


async def test_a_runs_end_starts_another_definition(
    stack: Stack, kafka: KafkaServer, topic: str
) -> None:
    """By way of our own relay and our own consumer; the second run is one further."""
    first = triggered_by()
    second = triggered_by(
        on(
            "workflow.completed",
            "{of: workflow_run_id, result: data.output}",
            condition=f"event.workflow_id == '{first['workflowId']}'",
        )
    )
    await stack.register(first)
    await stack.register(second)
    async with (
        relaying(stack.url, kafka.address, topic),
        consuming(services_with(stack, kafka), topic),
    ):
        handle = await stack.start(first["workflowId"], {"n": 1}, correlationId="case-7")
        [run] = await whole(stack, await runs_of(stack, second, 1))
    assert run.input["of"] == handle.id
    assert (run.metadata["causationDepth"], run.correlation_id) == (1, "case-7")
    [told] = as_administrator(
        stack.url,
        "SELECT event_id FROM outbox_events"
        " WHERE execution_id = %s AND event_type = 'workflow.completed'",
        handle.id,
    )
    assert run.trigger_event_id == told["event_id"]


async def test_kafka_is_away_for_a_while(stack: Stack, broker: KafkaServer, topic: str) -> None:
    """The consumer waits, and goes on where it was."""
    kind = event_type()
    document = triggered_by(on(kind))
    await stack.register(document)
    await produce(broker, topic, [cloud_event(kind) for _ in range(3)])
    async with consuming(services_with(stack, broker), topic):
        await runs_of(stack, document, 3)
        await asyncio.to_thread(broker.stop)
        await asyncio.to_thread(broker.start)
        await produce(broker, topic, [cloud_event(kind) for _ in range(3)])
        runs = await runs_of(stack, document, 6)
    assert len(runs) == 6
    assert await committed(broker, topic) == 6
