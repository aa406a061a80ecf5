"""What a process does for the outbox: it measures how much waits, and removes what is old."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from activities.announcing import AnnouncingRecorder
from adapters.postgres.outbox import Outbox
from adapters.postgres.recorder import PostgresRecorder
from adapters.processes.ports import free_ports
from adapters.telemetry.opening import open_telemetry
from tests.integration.facts import DEFAULT, facts, published, run_ref, started
from tests.otlp import http_collector
from tests.postgres import as_administrator
from tests.workflows.stack import until
from worker.publishing import Publishing, make_relay
from worker.settings import Settings

if TYPE_CHECKING:
    from adapters.postgres.database import Database
    from worker.relay import Relay


async def _measured(relay: Relay) -> bool:
    return relay.tally.dead > 0


async def test_what_waits_is_measured(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relay, also while there is no Kafka: how much, since when, and what was given up."""
    inner, ref = PostgresRecorder(database), run_ref()
    recorder = AnnouncingRecorder(inner, "dev")
    await recorder.write(started(ref))
    await recorder.write(facts(ref, published(ref, 1), published(ref, 2)))
    async with Outbox(database).claim(DEFAULT) as claim:
        claim.dead[claim.lanes[0][-1].id] = "Kafka refuses it"
    [port] = free_ports(1)
    settings = Settings(kafka_bootstrap_servers=[f"127.0.0.1:{port}"])
    with http_collector() as collector:
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        telemetry = open_telemetry(variables)
        assert telemetry is not None
        relay = make_relay(settings, database, telemetry)
        running = asyncio.create_task(relay.run())
        await until(lambda: _measured(relay))
        relay.stop()
        await running
        await asyncio.to_thread(telemetry.close)
    found = {name: points[0].value for name, points in collector.metrics.items()}
    assert found["steploom.outbox.waiting"] == 2
    assert found["steploom.outbox.dead"] == 1
    assert found["steploom.outbox.age"] > 0
    await inner.close()


@pytest.mark.parametrize(("kafka", "left"), [([], 1), (["127.0.0.1:1"], 2)], ids=["none", "some"])
async def test_what_is_old_is_removed(
    database: Database, database_url: str, kafka: list[str], left: int
) -> None:
    """By every worker; where Kafka is set up, what still waits for it is not."""
    inner, ref = PostgresRecorder(database), run_ref()
    for seq in range(1, 4):
        await inner.write(facts(ref, published(ref, seq, f"told.{seq}")))
    await inner.close()
    as_administrator(
        database_url,
        "UPDATE outbox_events SET recorded_at = now() - interval '3 days' WHERE seq < 3",
    )
    as_administrator(database_url, "UPDATE outbox_events SET published_at = now() WHERE seq = 1")
    settings = Settings(kafka_bootstrap_servers=kafka, outbox_retention=timedelta(days=2))
    publishing = Publishing(settings, database)

    async def removed() -> bool:
        rows = as_administrator(database_url, "SELECT event_type FROM outbox_events")
        return len(rows) == left

    await until(removed)
    await publishing.close()
    rows = as_administrator(database_url, "SELECT event_type FROM outbox_events ORDER BY seq")
    assert [row["event_type"] for row in rows] == ["told.2", "told.3"][-left:]
