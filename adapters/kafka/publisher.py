"""Sending events to Kafka, each acknowledged by all replicas that are in sync.

The producer is idempotent: what it sends again by itself does not arrive twice. One that has failed
is not used any further, since it neither gives up what it has begun to send nor goes on counting
after a refusal; the next one may send again what the broker has had.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

from definitions.errors import SteploomError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from adapters.kafka.connection import KafkaConnection

#: Seconds that one message, or a connection, may take.
TIMEOUT = 15.0
#: UTF-8 bytes of a message that we try at all. What a broker takes is its own setting.
MAX_MESSAGE = 16 * 1024 * 1024
_STOP_SECONDS = 2.0


class UnpublishableError(SteploomError):
    """Kafka will never take this message, as things are. Others are not concerned."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message. Messages with the same key arrive in the order in which they are sent."""

    key: str
    value: bytes
    headers: Sequence[tuple[str, str]]
    at: datetime


class KafkaPublisher:
    """A producer for one topic, as a context manager.

    Args:
        connection: Where Kafka is.
        topic: Where everything goes.
        timeout: Seconds that one message, or a connection, may take.
    """

    def __init__(
        self, connection: KafkaConnection, topic: str, *, timeout: float = TIMEOUT
    ) -> None:
        self._connection = connection
        self._topic = topic
        self._timeout = timeout
        self._producer: Any = None
        self._broken = False

    async def __aenter__(self) -> Self:
        """Connects.

        Raises:
            UnreachableError: Kafka does not answer, or refuses us; or its library is not there.
        """
        try:
            from aiokafka import AIOKafkaProducer  # noqa: PLC0415 (an extra)
            from aiokafka.errors import KafkaError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise UnreachableError(
                "Kafka",
                f"publishing needs the library {error.name}",
                hint="install steploom's extra `kafka`",
            ) from error
        # It tells of each try by itself; ours tells once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        self._producer = AIOKafkaProducer(
            **self._connection.options(),
            acks="all",
            enable_idempotence=True,
            request_timeout_ms=int(self._timeout * 1000),
            max_request_size=MAX_MESSAGE,
            retry_backoff_ms=100,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await self._producer.start()
        except (KafkaError, OSError, TimeoutError) as error:
            await self._leave(abandon=True)
            raise self._unreachable(error) from error
        except BaseException:
            await self._leave(abandon=True)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave(abandon=self._broken or kind is not None)

    async def send(self, message: Message) -> None:
        """Sends a message; returns when the brokers have it.

        Raises:
            UnpublishableError: This message is refused. The producer is of no more use after it.
            UnreachableError: The brokers did not answer, so that nobody knows whether they have it;
                or they take nothing from us. The producer is of no more use.
        """
        from aiokafka.errors import (  # noqa: PLC0415 (an extra)
            InvalidMessageError,
            KafkaError,
            MessageSizeTooLargeError,
            RecordListTooLargeError,
        )

        try:
            async with asyncio.timeout(self._timeout):
                sent = await self._producer.send(
                    self._topic,
                    value=message.value,
                    key=message.key.encode(),
                    timestamp_ms=int(message.at.astimezone(UTC).timestamp() * 1000),
                    headers=[(name, value.encode()) for name, value in message.headers],
                )
                await sent
        except (MessageSizeTooLargeError, RecordListTooLargeError, InvalidMessageError) as error:
            self._broken = True
            raise UnpublishableError(
                f"Kafka refuses the message of {len(message.value)} bytes: {_reason(error)}"
            ) from error
        except (KafkaError, OSError, TimeoutError) as error:
            self._broken = True
            raise self._unreachable(error) from error

    def _unreachable(self, error: BaseException) -> UnreachableError:
        return UnreachableError(
            "Kafka",
            f"Kafka at {self._connection} does not take messages: {_reason(error)}",
            hint="see STEPLOOM_KAFKA_BOOTSTRAP_SERVERS and the broker's own log",
        )

    async def _leave(self, *, abandon: bool) -> None:
        producer, self._producer = self._producer, None
        if producer is None:
            return
        if abandon:
            # Its own end would wait, for ever if need be, until everything has been sent.
            sender = producer._sender.sender_task  # noqa: SLF001 (there is no other way)
            if sender is not None:
                sender.cancel()
                await asyncio.wait({sender}, timeout=_STOP_SECONDS)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(producer.stop(), _STOP_SECONDS)


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    # Most of Kafka's own errors have their names in their texts.
    name, text = type(error).__name__, " ".join(str(error).split())
    return (text if name in text else f"{name}: {text}" if text else name)[:300]
