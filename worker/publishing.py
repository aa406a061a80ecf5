"""Publishing as a process runs it: the relay by itself, or beside a worker."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import structlog

from adapters.postgres.database import Database
from adapters.postgres.outbox import Outbox, keep_outbox
from adapters.postgres.schema import check_schema
from adapters.telemetry.opening import open_telemetry
from definitions.errors import UnreachableError
from worker.connections import database_url, kafka_connection
from worker.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.telemetry.providers import Providers
    from worker.settings import Settings

_log = structlog.get_logger(__name__)

#: Seconds before a relay begins again that has failed for a reason that it does not know.
_AGAIN = 5.0


def make_relay(settings: Settings, database: Database, telemetry: Providers | None = None) -> Relay:
    """The relay that the settings ask for.

    Raises:
        UnreachableError: No Kafka is set up.
    """
    connection = kafka_connection(settings)
    if connection is None:
        raise UnreachableError(
            "Kafka", "no Kafka is set up", hint="set STEPLOOM_KAFKA_BOOTSTRAP_SERVERS"
        )
    relay = Relay(Outbox(database), connection, settings.kafka_topic)
    if telemetry is not None:
        tally = relay.tally
        telemetry.meters.watch_outbox(lambda: tally.waiting, lambda: tally.age, lambda: tally.dead)
    return relay


async def run_relay(
    settings: Settings,
    stop: asyncio.Event,
    ready: Callable[[Relay], None] = lambda _: None,
) -> None:
    """Publishes until ``stop`` is set. ``ready`` is told when Postgres has answered.

    Raises:
        UnreachableError: No Kafka is set up, or Postgres does not answer at the start.
        SteploomError: The database has another schema than this code works with.
    """
    telemetry = open_telemetry(os.environ)
    try:
        async with Database(database_url(settings), pool_size=2) as database:
            await check_schema(database)
            relay = make_relay(settings, database, telemetry)
            _log.info("relay_started", topic=settings.kafka_topic)
            ready(relay)
            await _until(stop, relay)
            tally = relay.tally
            _log.info("relay_stopped", published=tally.published, given_up=tally.given_up)
    finally:
        if telemetry is not None:
            await asyncio.to_thread(telemetry.close)


async def _until(stop: asyncio.Event, relay: Relay) -> None:
    running = asyncio.create_task(relay.run())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        relay.stop()
        await running
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running, stopping})


class Publishing:
    """What a worker does for the outbox: it removes what is old, and, if asked to, is a relay.

    Raises:
        UnreachableError: It is to be a relay, and no Kafka is set up.
    """

    def __init__(
        self, settings: Settings, database: Database, telemetry: Providers | None = None
    ) -> None:
        self._relay = make_relay(settings, database, telemetry) if settings.relay else None
        self._cleaning = asyncio.create_task(
            keep_outbox(
                database,
                settings.outbox_retention,
                unpublished=not settings.kafka_bootstrap_servers,
            ),
            name="outbox retention",
        )
        self._relaying: asyncio.Task[None] | None = None
        if self._relay is not None:
            self._relaying = asyncio.create_task(self._keep_relaying(self._relay), name="relay")

    async def close(self) -> None:
        """Ends both, the relay once what it is sending has been answered."""
        self._cleaning.cancel()
        await asyncio.wait({self._cleaning})
        if self._relay is not None and self._relaying is not None:
            self._relay.stop()
            await asyncio.wait({self._relaying})

    @staticmethod
    async def _keep_relaying(relay: Relay) -> None:
        while not relay.stopped:
            try:
                await relay.run()
            except Exception:  # noqa: BLE001 (it is told, and tried again)
                # Runs are served all the same, and it may be over in a moment.
                _log.exception("relay_failed")
                await relay.wait(_AGAIN)
