"""The broker that the tests start: a real one, started again with all that it had."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from adapters.kafka.server import KafkaServer, find_or_install
from adapters.processes.child import wait_until_gone
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from pathlib import Path


async def send(address: str, topic: str, value: bytes) -> None:
    """Sends one message and waits for the broker's answer."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        await producer.send_and_wait(topic, value)


async def read(address: str, topic: str, count: int) -> list[bytes]:
    """The first messages of a topic."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=address, auto_offset_reset="earliest")
    async with consumer:
        return [(await consumer.getone()).value or b"" for _ in range(count)]


async def test_what_was_sent_is_there_after_a_stop_and_a_crash(
    broker: KafkaServer, topic: str
) -> None:
    """A broker that is started again has its old address and its old messages."""
    address = broker.address
    await send(address, topic, b"one")
    pid = broker.pid
    broker.stop()
    assert wait_until_gone(pid, 5.0)
    assert broker.start().address == address
    await send(address, topic, b"two")
    broker.kill()
    broker.start()
    assert broker.poll() is None
    assert await read(address, topic, 2) == [b"one", b"two"]


async def test_the_session_has_a_broker_for_all(kafka: KafkaServer, topic: str) -> None:
    """A topic comes into being when it is used first."""
    await send(kafka.address, topic, b"hello")
    assert await read(kafka.address, topic, 1) == [b"hello"]


def test_without_java_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One sentence with the reason, and what to do about it."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnreachableError, match="`java` is not on PATH") as caught:
        find_or_install(lambda _: None)
    assert "install Java" in str(caught.value.hint)


def test_a_broker_that_cannot_start_says_why(tmp_path: Path, kafka: KafkaServer) -> None:
    """The server's own reason, and where its log is."""
    assert kafka.poll() is None  # the jars are there
    server = KafkaServer(tmp_path / "kafka", options={"log.retention.ms": "soon"})
    with pytest.raises(UnreachableError, match=r"log\.retention\.ms"):
        server.start()
