"""What the publisher writes into a real broker's log."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from adapters.kafka.connection import KafkaConnection
from adapters.kafka.publisher import KafkaPublisher, Message

if TYPE_CHECKING:
    from pathlib import Path

    from adapters.kafka.server import KafkaServer

#: Of a batch of records: its length after the first twelve bytes, its format, and who made it.
_LENGTH = struct.Struct(">8xi")
_FORMAT = struct.Struct(">16xb")
_PRODUCER = struct.Struct(">43xqhi")


class Batch(NamedTuple):
    """Who made a batch, and the number of its first message; all are -1 without idempotence."""

    producer: int
    epoch: int
    sequence: int


def batches(log: Path) -> list[Batch]:
    """The batches in a segment of a partition."""
    data = log.read_bytes()
    found = []
    while data:
        (length,) = _LENGTH.unpack_from(data)
        assert _FORMAT.unpack_from(data) == (2,)
        found.append(Batch(*_PRODUCER.unpack_from(data)))
        data = data[12 + length :]
    return found


async def test_the_producer_is_idempotent(kafka: KafkaServer, topic: str) -> None:
    """It numbers what it sends, so that the broker knows what comes to it again."""
    connection = KafkaConnection(servers=(kafka.address,))
    async with KafkaPublisher(connection, topic) as publisher:
        for number in range(5):
            at = datetime(2026, 1, 1, tzinfo=UTC)
            await publisher.send(Message("key", b"%d" % number, [("n", "1")], at))
    [log] = (kafka.folder / "data" / f"{topic}-0").glob("*.log")
    found = batches(log)
    assert [one.sequence for one in found] == [0, 1, 2, 3, 4]
    assert {one.producer for one in found} == {found[0].producer}
    assert found[0].producer >= 0
    assert found[0].epoch >= 0
