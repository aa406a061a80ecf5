"""Takes messages from Kafka, and says that they are done when they are: at least once.

A message counts as done when its handler has returned. Offsets are committed after that and never
before, so whoever dies in between gets the same messages again; handlers bear that. A handler that
says ``UnreachableError`` has the message handed to it again, after a pause, and those behind it in
the partition wait: an outage loses and skips nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import structlog

from definitions.deadletters import Message
from definitions.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from adapters.kafka.connection import KafkaConnection

_log = structlog.get_logger(__name__)

Handler: TypeAlias = "Callable[[Message], Awaitable[object]]"

#: Messages that are taken at a time, of all partitions together.
_BATCH = 50
#: Seconds after which the messages of a partition that are left are asked for again: who is silent
#: for five minutes loses its partitions to others.
_TURN = 60.0
#: Seconds before something is tried again: from the first to the longest.
_PAUSES = (0.5, 15.0)
#: Seconds for which one request for messages waits.
_POLL = 1.0
#: Milliseconds after which topics and partitions that are new are looked for.
_METADATA = 30_000
#: Headers that are kept of a message, and characters of each.
_MAX_HEADERS, _MAX_HEADER = 64, 4096


class Place(NamedTuple):
    """Where a consumer reads.

    ``from_latest``: a group that is new to a topic begins with what comes from then on, and not
    with the oldest message that there is.
    """

    topics: Sequence[str]
    group: str
    from_latest: bool = False


class KafkaConsumer:
    """Hands messages to a handler until it is told to stop; one after another in a partition."""

    def __init__(self, connection: KafkaConnection, place: Place, handler: Handler) -> None:
        self._connection = connection
        self._place = place
        self._handler = handler
        self._stop = asyncio.Event()
        self._pause = _PAUSES[0]
        self._told: str | None = None
        self.handled = 0
        #: Set while there is a consumer that has joined its group.
        self.joined = asyncio.Event()

    def stop(self) -> None:
        """Ends it once the messages that are being handled are done."""
        self._stop.set()

    async def run(self) -> None:
        """Consumes. What goes wrong is tried again, ever more seldom.

        Raises:
            UnreachableError: Kafka's library is not there.
        """
        try:
            from aiokafka import AIOKafkaConsumer  # noqa: PLC0415 (an extra)
            from aiokafka.errors import KafkaError  # noqa: PLC0415
        except ModuleNotFoundError as error:
            raise UnreachableError(
                "Kafka",
                f"consuming needs the library {error.name}",
                hint="install steploom's extra `kafka`",
            ) from error
        # It tells of each try by itself; ours tells once.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        while not self._stop.is_set():
            consumer = AIOKafkaConsumer(
                *self._place.topics,
                **self._connection.options(),
                group_id=self._place.group,
                enable_auto_commit=False,
                auto_offset_reset="latest" if self._place.from_latest else "earliest",
                isolation_level="read_committed",
                retry_backoff_ms=100,
                metadata_max_age_ms=_METADATA,
            )
            try:
                await consumer.start()
                self.joined.set()
                await self._consume(consumer)
            except (KafkaError, OSError, TimeoutError) as error:
                await self._wait_out("Kafka", str(error) or type(error).__name__)
            finally:
                self.joined.clear()
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await consumer.stop()

    async def _consume(self, consumer: Any) -> None:
        while not self._stop.is_set():
            taken = await consumer.getmany(timeout_ms=int(1000 * _POLL), max_records=_BATCH)
            if not taken:
                continue
            # Partitions don't wait for each other, but for all of them an outage is one.
            outages = await asyncio.gather(
                *(self._handle_all(consumer, where, found) for where, found in taken.items())
            )
            outage = next((one for one in outages if one is not None), None)
            if outage is not None:
                await self._wait_out(outage.service, outage.message)
            elif self._told is not None:
                _log.info("consumer_goes_on")
                self._told, self._pause = None, _PAUSES[0]

    async def _handle_all(
        self, consumer: Any, where: Any, found: Sequence[Any]
    ) -> UnreachableError | None:
        """Handles what one partition gave, and commits as far as that went."""
        began = time.monotonic()
        outage: UnreachableError | None = None
        done = 0
        for record in found:
            if self._stop.is_set() or time.monotonic() - began > _TURN:
                break
            try:
                await self._handler(_message(record))
            except UnreachableError as error:
                outage = error
                break
            done += 1
        self.handled += done
        from aiokafka.errors import CommitFailedError, IllegalStateError  # noqa: PLC0415 (an extra)

        try:
            if done < len(found):
                consumer.seek(where, found[done].offset)
            if done:
                await consumer.commit({where: found[done - 1].offset + 1})
        except (CommitFailedError, IllegalStateError):
            # The partition is another's by now, who gets these messages again.
            _log.info("consumer_lost_partition", topic=where.topic, partition=where.partition)
        return outage

    async def _wait_out(self, service: str, reason: str) -> None:
        if reason != self._told:
            _log.warning("consumer_waits", service=service, reason=reason)
            self._told = reason
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), self._pause)
        self._pause = min(self._pause * 2, _PAUSES[1])


def _message(record: Any) -> Message:
    headers = {
        name[:_MAX_HEADER]: value.decode("utf-8", "replace").replace("\0", "")[:_MAX_HEADER]
        for name, value in record.headers[:_MAX_HEADERS]
        if value is not None
    }
    return Message(record.value or b"", headers, record.topic, record.partition, record.offset)
