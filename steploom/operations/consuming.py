"""Events from Kafka: each is handled, or a dead letter, before its offset counts as done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from adapters.kafka.consumer import KafkaConsumer
from adapters.transforms.pool import Transforms
from definitions.errors import NotFoundError, UnreachableError
from definitions.redaction import make_redactor
from steploom.operations.triggering import ORG_HEADER, Dispatcher
from worker.connections import kafka_connection

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.kafka.consumer import Place
    from definitions.deadletters import Message
    from definitions.ports import Organization
    from steploom.services import Services

_log = structlog.get_logger(__name__)

#: How often an event is handled that fails in a way which nobody has foreseen.
_TRIES = 3


async def consume(
    services: Services,
    place: Place,
    stop: asyncio.Event,
    *,
    org: Organization | None = None,
    ready: Callable[[KafkaConsumer], None] = lambda _: None,
) -> None:
    """Starts what the events of some topics start, until ``stop`` is set.

    Args:
        services: Temporal and Postgres.
        place: The topics and the consumer group.
        stop: Ends it once what is being handled is done.
        org: The one whose events these are. Events that name another are passed over; without
            ``org``, every event has to name its own.
        ready: Told when it begins.

    Raises:
        UnreachableError: Kafka is not set up.
    """
    connection = kafka_connection(services.settings)
    if connection is None:
        raise UnreachableError(
            "Kafka", "no Kafka is set up", hint="set STEPLOOM_KAFKA_BOOTSTRAP_SERVERS"
        )
    redactor = make_redactor(services.settings.redact_keys)
    async with Transforms() as transforms:
        dispatcher = Dispatcher(services, transforms, redactor)

        async def handle(message: Message) -> None:
            if org is None or await _is_of(services, message, org):
                await _handle(dispatcher, message, org)

        consumer = KafkaConsumer(connection, place, handle)
        ready(consumer)
        stopping = asyncio.create_task(_stop(consumer, stop))
        try:
            await consumer.run()
        finally:
            stopping.cancel()
            await asyncio.wait({stopping})


async def _stop(consumer: KafkaConsumer, stop: asyncio.Event) -> None:
    await stop.wait()
    consumer.stop()


async def _is_of(services: Services, message: Message, org: Organization) -> bool:
    named = message.headers.get(ORG_HEADER)
    if not named or named in {org.slug, str(org.id)}:
        return True
    try:
        return (await services.store.find_org(named)).id == org.id
    except NotFoundError:
        return False


async def _handle(dispatcher: Dispatcher, message: Message, org: Organization | None) -> None:
    for attempt in range(1, _TRIES + 1):
        try:
            handled = await dispatcher.handle(message, org=org.slug if org is not None else None)
        except UnreachableError:
            raise
        except Exception as error:  # noqa: BLE001 (an event must not stop those behind it)
            _log.exception(
                "event_failed", topic=message.topic, offset=message.offset, attempt=attempt
            )
            if attempt == _TRIES:
                await dispatcher.give_up(message, f"something unexpected: {type(error).__name__}")
            await asyncio.sleep(0.1 * attempt)
        else:
            _log.info(
                "event_handled",
                event_type=handled.event.type if handled.event is not None else None,
                org=handled.org,
                started=[run.execution_id for run in handled.started if not run.existing],
            )
            for letter in handled.refused:
                _log.warning(
                    "event_is_dead_letter",
                    letter=str(letter.id),
                    code=letter.code,
                    reason=letter.reason,
                )
            return
