"""How far publishing lags behind is a metric."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from activities.announcing import AnnouncingRecorder
from adapters.postgres.outbox import Outbox
from adapters.postgres.recorder import PostgresRecorder
from adapters.processes.ports import free_ports
from adapters.telemetry.opening import open_telemetry
from tests.integration.facts import DEFAULT, facts, published, run_ref, started
from tests.otlp import http_collector
from tests.workflows.stack import until
from worker.publishing import make_relay
from worker.settings import Settings

if TYPE_CHECKING:
    import pytest

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
