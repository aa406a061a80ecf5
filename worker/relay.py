"""The relay: takes events from the outbox to Kafka, at least once, in order within each run.

Any number of relays may run. Each claims the lanes of some runs, sends the events of a lane one
after the other, and marks them in the transaction of the claim. One that dies in between has them
sent again, with the same ids.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import structlog

from adapters.kafka.publisher import KafkaPublisher, Message, UnpublishableError
from definitions.errors import SteploomError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.kafka.connection import KafkaConnection
    from adapters.postgres.outbox import Claim, Lag, Outbox, OutboxEvent

_log = structlog.get_logger(__name__)

#: Seconds between two looks at an outbox with nothing in it.
POLL = 0.5
#: Seconds between two measurements of the lag.
MEASURE = 10.0
#: Every so many of them the lag is logged, if there is one.
_LOG_EVERY = 6
#: Seconds before Kafka or Postgres is tried again: from the first to the longest.
_PAUSES = (0.5, 15.0)
CLOUD_EVENT = "application/cloudevents+json; charset=UTF-8"
PLAIN = "application/json"


@dataclass(slots=True)
class Tally:
    """What a relay has done so far, and what it has last found in the outbox of all orgs."""

    published: int = 0
    given_up: int = 0
    waiting: int = 0
    dead: int = 0
    oldest: datetime | None = None

    @property
    def age(self) -> float:
        """Seconds for which the oldest unpublished event has waited."""
        return 0.0 if self.oldest is None else (datetime.now(UTC) - self.oldest).total_seconds()


class Relay:
    """Publishes until it is told to stop.

    Args:
        outbox: Where events are.
        connection: Where Kafka is.
        topic: Where they go.
        on_lag: Told each measurement.
        timeout: Seconds that Kafka may take for one message.
    """

    def __init__(
        self,
        outbox: Outbox,
        connection: KafkaConnection,
        topic: str,
        *,
        on_lag: Callable[[Lag], None] = lambda _: None,
        timeout: float = 15.0,
    ) -> None:
        self._outbox = outbox
        self._connection = connection
        self._topic = topic
        self._on_lag = on_lag
        self._timeout = timeout
        self._stop = asyncio.Event()
        self._pause = _PAUSES[0]
        #: Where each org was left: relays that begin elsewhere don't all ask for the same lanes.
        self._places: dict[UUID, UUID | None] = {}
        self._suspects: set[int] = set()
        self.tally = Tally()

    @property
    def stopped(self) -> bool:
        """Whether it was told to stop."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Ends it once what is being sent has been answered."""
        self._stop.set()

    async def run(self) -> None:
        """Publishes. What goes wrong is tried again, ever more seldom."""
        measuring = asyncio.create_task(self._measure(), name="outbox lag")
        told: str | None = None
        try:
            while not self._stop.is_set():
                try:
                    async with KafkaPublisher(
                        self._connection, self._topic, timeout=self._timeout
                    ) as publisher:
                        if told is not None:
                            _log.info("relay_goes_on", kafka=str(self._connection))
                            told = None
                        await self._publish_until(publisher)
                except UnreachableError as error:
                    if error.message != told:
                        _log.warning("relay_waits", service=error.service, reason=error.message)
                        told = error.message
                    await self.wait(self._pause * random.uniform(0.8, 1.2))  # noqa: S311
                    self._pause = min(self._pause * 2, _PAUSES[1])
        finally:
            measuring.cancel()
            await asyncio.wait({measuring})

    async def _publish_until(self, publisher: KafkaPublisher) -> None:
        """Publishes until it is stopped, or the producer is of no more use."""
        while not self._stop.is_set():
            more = await self._publish_once(publisher)
            if more is None:
                return
            if not more:
                await self.wait(POLL)

    async def _publish_once(self, publisher: KafkaPublisher) -> bool | None:
        """Goes once through the orgs that have something; whether there may be more at once.

        None: the producer is of no more use, although Kafka answers.

        Raises:
            UnreachableError: Kafka or Postgres did not answer.
        """
        more = False
        for org in await self._outbox.orgs():
            if self._stop.is_set():
                break
            place = self._places.setdefault(org, uuid4())
            failure: SteploomError | None = None
            async with self._outbox.claim(org, after=place) as claim:
                failure = await self._send(publisher, claim)
            self._places[org] = claim.last
            self.tally.published += len(claim.published)
            self.tally.given_up += len(claim.dead)
            if isinstance(failure, UnreachableError):
                raise failure
            if failure is not None:
                return None
            if claim.published:
                self._pause = _PAUSES[0]
            # There may be lanes after the last one, or before the place at which it began.
            more |= bool(claim.published) or claim.last is not None or place is not None
        return more

    async def _send(self, publisher: KafkaPublisher, claim: Claim) -> SteploomError | None:
        """Sends all lanes side by side. Returns what made the producer useless, if anything did."""
        failures: list[SteploomError] = []

        async def send(lane: list[OutboxEvent]) -> None:
            for event in lane:
                if failures:
                    return
                try:
                    await publisher.send(message_of(event))
                except UnpublishableError as error:
                    failures.append(error)
                    # Others may have travelled in one piece with it, and been refused with it.
                    self._suspects.add(event.id)
                    return
                except UnreachableError as error:
                    failures.append(error)
                    return
                claim.published.append(event.id)

        for lane in claim.lanes:
            if lane[0].id in self._suspects:
                refused = await self._send_alone(publisher, claim, lane.pop(0))
                if refused is not None:
                    return refused
        async with asyncio.TaskGroup() as group:
            for lane in claim.lanes:
                group.create_task(send(lane))
        # Beside a refusal, the others fail for no reason of their own.
        own = [one for one in failures if isinstance(one, UnpublishableError)]
        return next(iter(own or failures), None)

    async def _send_alone(
        self, publisher: KafkaPublisher, claim: Claim, event: OutboxEvent
    ) -> SteploomError | None:
        """Sends an event that was refused once while nothing else is sent, or gives it up."""
        try:
            await publisher.send(message_of(event))
        except UnreachableError as error:
            return error
        except UnpublishableError as error:
            claim.dead[event.id] = error.message
            self._suspects.discard(event.id)
            _log.error(
                "event_given_up",
                event_id=str(event.event_id),
                type=event.event_type,
                execution=event.execution_id,
                reason=error.message,
            )
            return error
        self._suspects.discard(event.id)
        claim.published.append(event.id)
        return None

    async def _measure(self) -> None:
        for count in itertools.count(1):
            try:
                lag = await self._outbox.lag()
            except SteploomError:
                pass  # whoever publishes says so
            else:
                self.tally.waiting, self.tally.dead = lag.waiting, lag.dead
                self.tally.oldest = lag.oldest
                self._on_lag(lag)
                if lag.waiting and count % _LOG_EVERY == 0:
                    _log.info(
                        "relay_lag",
                        waiting=lag.waiting,
                        oldest_seconds=round(self.tally.age, 1),
                        given_up=lag.dead,
                    )
            await asyncio.sleep(MEASURE)

    async def wait(self, seconds: float) -> None:
        """Returns after so many seconds, or when it is told to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return


def message_of(event: OutboxEvent) -> Message:
    """An event as Kafka's message: its envelope as JSON, keyed by its execution."""
    value = json.dumps(event.envelope, ensure_ascii=False, separators=(",", ":")).encode()
    cloud = "specversion" in event.envelope
    return Message(
        key=event.execution_id,
        value=value,
        headers=(
            ("org_id", str(event.org_id)),
            ("event_id", str(event.event_id)),
            ("event_type", event.event_type),
            ("content-type", CLOUD_EVENT if cloud else PLAIN),
        ),
        at=event.occurred_at,
    )
