"""The relay in bad times: Kafka away, a relay killed, several at once, an event that is refused.

``STEPLOOM_TEST_KAFKA_OUTAGE`` is how many seconds Kafka is away (12), under 60 runs; from a minute
on it is under 200.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from adapters.postgres.database import Database
from adapters.postgres.outbox import Outbox
from definitions.errors import UnreachableError
from tests.workflows.consuming import consuming, relaying
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT, PATIENCE, Stack, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from adapters.kafka.server import KafkaServer
    from tests.workflows.consuming import Consumer, Received
    from tests.workflows.stack import Handle

OUTAGE = float(os.environ.get("STEPLOOM_TEST_KAFKA_OUTAGE", "12"))
RUNS = 200 if OUTAGE >= 60 else 60
ROOT = Path(__file__).parents[2]

#: Some events of the author's beside those of the run, and a task between them.
DOCUMENT = definition(
    step("one", "core.publish", input={"type": "order.one", "data": "${input.n}"}),
    step("work", "test.echo", input={"n": "${input.n}"}),
    step("two", "core.publish", input={"type": "order.two", "data": "${input.n}"}),
)
TYPES = ["workflow.triggered", "order.one", "order.two", "workflow.completed"]


@asynccontextmanager
async def working(stack: Stack, url: str, **settings: Any) -> AsyncIterator[Stack]:
    """A worker on a database of the test's own."""
    async with (
        Database(url) as database,
        Stack(stack.client, database, url, "").worker(sandbox=False, **settings) as served,
    ):
        yield served


async def start_many(stack: Stack, runs: int) -> list[Handle]:
    """Starts runs, a few at a time."""
    handles: list[Handle] = []
    for first in range(0, runs, 20):
        numbers = range(first, min(first + 20, runs))
        handles += await asyncio.gather(*(stack.start(DOCUMENT, {"n": n}) for n in numbers))
    return handles


def once(messages: Sequence[Received]) -> list[Received]:
    """The messages without those whose event has come before."""
    return list({one.event_id: one for one in reversed(messages)}.values())[::-1]


def complete(consumer: Consumer, handles: Sequence[Handle]) -> bool:
    """Whether everything that these runs tell has come at least once."""
    return all(set(consumer.types(handle.id)) == set(TYPES) for handle in handles)


async def drained(stack: Stack) -> None:
    """Returns when nothing is left to be published."""

    async def look() -> bool:
        return (await Outbox(stack.database).lag()).waiting == 0

    await until(look)


async def test_kafka_may_be_away_while_many_runs_go_on(
    stack: Stack, database_url: str, broker: KafkaServer, topic: str
) -> None:
    """No run is held up, and afterwards every event arrives, those of a run in their order."""
    await stack.register(DOCUMENT)
    async with (
        working(stack, database_url) as served,
        relaying(database_url, broker.address, topic, patience=5.0) as relay,
    ):
        first = await served.start(DOCUMENT, {"n": -1})
        await served.result(first)
        await drained(served)
        assert relay.tally.published == len(TYPES)
        handles = await start_many(served, RUNS // 2)
        broker.stop()
        away = asyncio.get_running_loop().time()
        handles += await start_many(served, RUNS - len(handles))
        await asyncio.gather(*(served.result(handle) for handle in handles))
        waiting = (await Outbox(served.database).lag()).waiting
        assert waiting >= RUNS // 2 * len(TYPES)
        await asyncio.sleep(max(0.0, away + OUTAGE - asyncio.get_running_loop().time()))
        await asyncio.to_thread(broker.start)
        async with consuming(broker.address, topic) as consumer:
            await consumer.until(lambda seen: complete(seen, [first, *handles]))
            await drained(served)
    for handle in handles:
        assert [one.type for one in once(consumer.of(handle.id))] == TYPES
    assert relay.tally.given_up == 0


async def test_several_relays_keep_the_order_of_each_run(
    stack: Stack, database_url: str, kafka: KafkaServer, topic: str
) -> None:
    """They share the runs among them, and while nothing fails nothing comes twice."""
    async with (
        working(stack, database_url) as served,
        consuming(kafka.address, topic) as consumer,
    ):
        handles = await start_many(served, 30)  # some wait already when the relays come
        async with (
            relaying(database_url, kafka.address, topic) as one,
            relaying(database_url, kafka.address, topic) as other,
        ):
            handles += await start_many(served, 30)
            await consumer.until(lambda seen: complete(seen, handles))
            await drained(served)
    for handle in handles:
        assert consumer.types(handle.id) == TYPES
    assert one.tally.published + other.tally.published == len(handles) * len(TYPES)


@contextmanager
def relay_process(
    url: str, address: str, topic: str, log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``steploom relay`` as a process."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "steploom", "relay", "--topic", topic, "--output", "json"],
            cwd=log.parent,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "STEPLOOM_DATABASE_URL": url,
                "STEPLOOM_KAFKA_BOOTSTRAP_SERVERS": address,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


async def ended(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Sends it a signal; its exit code."""
    process.send_signal(number)
    return await asyncio.to_thread(process.wait, PATIENCE)


async def test_a_relay_that_is_killed_before_it_marks_sends_again(
    stack: Stack, database_url: str, kafka: KafkaServer, topic: str, tmp_path: Path
) -> None:
    """Nothing is lost, and what comes twice has the same id: the consumer can tell."""
    async with working(stack, database_url) as served:
        handles = await start_many(served, 10)
        await asyncio.gather(*(served.result(handle) for handle in handles))
    everything = len(handles) * len(TYPES)
    where = (database_url, kafka.address, topic)
    async with Database(database_url) as database, consuming(kafka.address, topic) as consumer:
        outbox = Outbox(database)
        # Rows can be claimed, but no transaction gets to mark them.
        with (
            psycopg.connect(database_url) as blocker,
            relay_process(*where, tmp_path / "killed.log") as killed,
        ):
            blocker.execute("LOCK TABLE outbox_events IN SHARE MODE")
            await consumer.until(lambda seen: any(complete(seen, [one]) for one in handles))
            assert await ended(killed, signal.SIGKILL) == -signal.SIGKILL
        assert (await outbox.lag()).waiting == everything
        before = {one.event_id for one in consumer.received}
        with relay_process(*where, tmp_path / "again.log") as again:
            await consumer.until(lambda seen: complete(seen, handles))

            async def look() -> bool:
                return (await outbox.lag()).waiting == 0

            await until(look)
            assert await ended(again, signal.SIGTERM) == 0
        await consumer.until(
            lambda seen: len(seen.received) >= everything + len(before)  # all that was sent
        )
    told = (tmp_path / "again.log").read_text()
    assert '"message": "relay_stopped"' in told
    assert f'"published": {everything}' in told
    counts = Counter(one.event_id for one in consumer.received)
    assert len(counts) == everything
    assert all(counts[event_id] > 1 for event_id in before)
    for handle in handles:
        assert [one.type for one in once(consumer.of(handle.id))] == TYPES


async def test_an_event_that_kafka_refuses_holds_up_nobody(
    stack: Stack, database_url: str, kafka: KafkaServer, topic: str
) -> None:
    """It is given up with the reason, its run's other events go on, and it can be tried again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.address)
    await admin.start()
    small = NewTopic(topic, 1, 1, topic_configs={"max.message.bytes": "20000"})
    await admin.create_topics([small])
    await admin.close()
    document = definition(
        step("before", "core.publish", input={"type": "order.before"}),
        step("huge", "core.publish", input={"type": "order.huge", "data": "${input.text}"}),
        step("after", "core.publish", input={"type": "order.after"}),
    )
    async with (
        working(stack, database_url) as served,
        consuming(kafka.address, topic) as consumer,
    ):
        huge = await served.start(document, {"text": "x" * 50_000})
        others = await start_many(served, 20)
        await asyncio.gather(*(served.result(handle) for handle in (huge, *others)))
        async with relaying(database_url, kafka.address, topic) as relay:
            await consumer.until(lambda seen: complete(seen, others))
            await consumer.ended(huge.id)
            await drained(served)
        outbox = Outbox(served.database)
        [dead] = [one for one in await _events(served, huge) if one.dead_at is not None]
        assert dead.event_type == "order.huge"
        assert dead.error is not None
        assert "MessageSizeTooLarge" in dead.error
        assert (relay.tally.given_up, (await outbox.lag()).dead) == (1, 1)
        assert await outbox.revive(DEFAULT, [dead.event_id]) == [dead.event_id]
        async with relaying(database_url, kafka.address, f"{topic}-large"):
            await drained(served)
        [sent] = [one for one in await _events(served, huge) if one.event_id == dead.event_id]
        assert sent.published_at is not None
        assert sent.error is None
    assert [one.type for one in once(consumer.of(huge.id))] == [
        "workflow.triggered",
        "order.before",
        "order.after",
        "workflow.completed",
    ]
    for handle in others:
        assert [one.type for one in once(consumer.of(handle.id))] == TYPES


async def _events(stack: Stack, handle: Handle) -> Sequence[Any]:
    begin = await stack.reader.find_instance(DEFAULT, handle.id)
    return await stack.reader.outbox_page(DEFAULT, since=begin.started_at, execution_id=handle.id)


async def test_a_worker_can_be_the_relay(
    stack: Stack, database_url: str, kafka: KafkaServer, topic: str
) -> None:
    """By a setting."""
    settings = {"relay": True, "kafka_bootstrap_servers": [kafka.address], "kafka_topic": topic}
    async with (
        consuming(kafka.address, topic) as consumer,
        working(stack, database_url, **settings) as served,
    ):
        handle = await served.start(DOCUMENT, {"n": 1})
        await consumer.ended(handle.id)
    assert consumer.types(handle.id) == TYPES


async def test_a_relay_without_kafka_says_so(stack: Stack, database_url: str) -> None:
    """Before it serves anything."""
    with pytest.raises(UnreachableError, match="no Kafka is set up") as caught:
        async with working(stack, database_url, relay=True):
            pass
    assert "STEPLOOM_KAFKA_BOOTSTRAP_SERVERS" in str(caught.value.hint)
