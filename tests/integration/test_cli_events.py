"""``steploom events``: what runs publish, as a person and as a program see it."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest_asyncio

from activities.announcing import AnnouncingRecorder
from adapters.postgres.outbox import Outbox
from adapters.postgres.recorder import PostgresRecorder
from definitions.statuses import InstanceStatus
from tests.integration.facts import DEFAULT, facts, flush, published, run_ref, started

if TYPE_CHECKING:
    from adapters.postgres.database import Database

ROOT = Path(__file__).parents[2]


@pytest_asyncio.fixture
async def recorded(database: Database) -> None:
    """A run whose beginning is published, whose own event was given up, and whose end waits."""
    inner, ref = PostgresRecorder(database), run_ref()
    recorder = AnnouncingRecorder(inner, "dev")
    await recorder.write(started(ref))
    await recorder.write(facts(ref, published(ref, 1)))
    async with Outbox(database).claim(DEFAULT) as claim:
        [[first, second]] = claim.lanes
        claim.published.append(first.id)
        claim.dead[second.id] = "Kafka refuses it"
    await recorder.write(facts(ref, flush(2, InstanceStatus.COMPLETED)))
    await inner.close()


async def steploom(url: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """How a command ended."""
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "steploom", "events", *arguments],
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "STEPLOOM_DATABASE_URL": url,
            "NO_COLOR": "1",
            **settings,
        },
        capture_output=True,
        text=True,
        check=False,
    )


async def test_a_person_sees_what_became_of_each_event(recorded: None, database_url: str) -> None:
    """A line each: when, what, of which run and step, and where it is by now."""
    done = await steploom(database_url, "tail")
    first, second, third = done.stdout.splitlines()
    assert first.startswith("2026-01-01 12:00:00  workflow.triggered  exec-run-1  published 2")
    assert "order.shipped  exec-run-1  tell  given up 2" in second
    assert second.endswith(": Kafka refuses it")
    assert third.endswith("workflow.completed  exec-run-1  waiting")
    assert done.returncode == 0
    one = await steploom(database_url, "tail", "--type", "workflow.completed", "--since", "1h")
    assert one.stdout.splitlines() == [third]
    none = await steploom(database_url, "tail", "--execution", "another", "--output", "json")
    assert json.loads(none.stdout) == []


async def test_it_is_said_that_nothing_sends_what_waits(recorded: None, database_url: str) -> None:
    """Once, beside the result; not where Kafka is configured, nor where nothing waits."""
    told = "No Kafka is configured here (STEPLOOM_KAFKA_BOOTSTRAP_SERVERS is not set)."
    for output in ("table", "jsonl", "json"):
        done = await steploom(
            database_url, "tail", "--output", output, STEPLOOM_OUTBOX_RETENTION="P3D"
        )
        assert done.stderr.count(told) == 1
        assert "kept for P3D (STEPLOOM_OUTBOX_RETENTION)" in done.stderr
        assert told not in done.stdout
    for arguments, settings in (
        ((), {"STEPLOOM_KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:9092"}),
        (("--type", "order.shipped"), {}),
    ):
        done = await steploom(database_url, "tail", *arguments, **settings)
        assert (done.returncode, done.stderr) == (0, "")


async def test_a_program_has_an_object_a_line(recorded: None, database_url: str) -> None:
    """With the whole event as it is sent."""
    done = await steploom(database_url, "tail", "--output", "jsonl")
    first, second, third = map(json.loads, done.stdout.splitlines())
    assert first["eventType"] == first["envelope"]["event_type"] == "workflow.triggered"
    assert first["eventId"] == first["envelope"]["event_id"]
    assert first["publishedAt"]
    assert second["error"] == "Kafka refuses it"
    assert second["deadAt"]
    assert not third.get("publishedAt")


async def test_what_was_given_up_can_be_published_again(
    recorded: None, database: Database, database_url: str
) -> None:
    """By its id, or all; anything else is not found."""
    wrong = await steploom(database_url, "republish")
    assert wrong.returncode != 0
    assert "it is not said which events" in wrong.stderr
    done = await steploom(database_url, "tail", "--type", "order.shipped", "--output", "jsonl")
    event = json.loads(done.stdout)["eventId"]
    again = await steploom(database_url, "republish", event, "--output", "json")
    assert json.loads(again.stdout) == {"eventIds": [event]}
    assert (await Outbox(database).lag()).dead == 0
    missing = await steploom(database_url, "republish", event)
    assert missing.returncode != 0
    assert "not found" in missing.stderr
    everything = await steploom(database_url, "republish", "--all")
    assert everything.stdout == "0 to be published again.\n"
