"""What a consumer of Kafka's sees of the events of runs."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka import AIOKafkaConsumer

from adapters.kafka.connection import KafkaConnection
from adapters.postgres.database import Database
from adapters.postgres.outbox import Outbox
from tests.workflows.stack import PATIENCE, until
from worker.relay import Relay

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@dataclass(frozen=True, slots=True)
class Received:
    """One message."""

    key: str
    headers: dict[str, str]
    value: bytes
    event: dict[str, Any]

    @property
    def type(self) -> str:
        """The type, as its header says."""
        return self.headers["event_type"]

    @property
    def event_id(self) -> str:
        """The id, as its header says."""
        return self.headers["event_id"]


@dataclass(slots=True)
class Consumer:
    """Reads one topic from its beginning."""

    received: list[Received] = field(default_factory=list)

    def of(self, key: str) -> list[Received]:
        """The messages of one execution, in the order in which they came."""
        return [one for one in self.received if one.key == key]

    def types(self, key: str) -> list[str]:
        """Their types."""
        return [one.type for one in self.of(key)]

    async def until(self, condition: Callable[[Consumer], bool]) -> None:
        """Returns when enough was received."""

        async def look() -> bool:
            return condition(self)

        await until(look)

    async def ended(self, *keys: str) -> None:
        """Returns when the ends of these executions were received."""
        ends = {"workflow.completed", "workflow.failed"}
        await self.until(lambda seen: all(ends & set(seen.types(key)) for key in keys))


@asynccontextmanager
async def consuming(address: str, topic: str) -> AsyncIterator[Consumer]:
    """A consumer that reads while the body runs."""
    kafka = AIOKafkaConsumer(
        topic,
        bootstrap_servers=address,
        auto_offset_reset="earliest",
        metadata_max_age_ms=500,  # the topic may not be there yet
        fetch_max_wait_ms=100,
    )
    consumer = Consumer()

    async def read() -> None:
        async for message in kafka:
            consumer.received.append(
                Received(
                    key=message.key.decode(),
                    headers={name: value.decode() for name, value in message.headers},
                    value=message.value,
                    event=json.loads(message.value),
                )
            )

    async with kafka:
        reading = asyncio.create_task(read())
        try:
            yield consumer
        finally:
            reading.cancel()
            await asyncio.wait({reading})


@asynccontextmanager
async def relaying(
    url: str, address: str, topic: str, *, patience: float = 30.0
) -> AsyncIterator[Relay]:
    """A relay of its own connections that runs while the body does."""
    async with Database(url, pool_size=2) as database:
        relay = Relay(
            Outbox(database), KafkaConnection(servers=(address,)), topic, timeout=patience
        )
        running = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            relay.stop()
            await asyncio.wait_for(running, PATIENCE)
