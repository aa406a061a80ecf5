"""How long it takes to find what an event starts among 10,000 definitions with triggers.

Run with ``python -m bench.trigger_matching``; the goal is less than 20 ms an event.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import psycopg

from adapters.postgres.database import Database
from adapters.postgres.migrate import upgrade
from adapters.postgres.server import EmbeddedPostgres
from adapters.postgres.triggers import PostgresTriggers
from adapters.postgres.urls import with_database
from definitions.identity import org_id

DEFINITIONS = 10_000
ROUNDS = 200
TYPES = ("order.paid", "shop.eu.order.line7.paid", "a.b.c.d.e.f.g.h")
_FILL = """
INSERT INTO workflow_definitions
    (id, org_id, workflow_id, name, version, triggers, steps, content_hash, listed)
SELECT gen_random_uuid(), %(org)s, 'definition-' || n, 'Definition ' || n, '1.0.0',
       jsonb_build_array(
           jsonb_build_object('eventPattern', 'shop.eu.order.line' || n || '.paid'),
           jsonb_build_object('eventPattern', CASE n %% 4
               WHEN 0 THEN 'team' || n || '.*'
               WHEN 1 THEN 'team' || n || '.**'
               WHEN 2 THEN 'shop.*.order.line' || n || '.**'
               ELSE CASE WHEN n < 20 THEN 'order.paid' ELSE 'order.paid' || n END END)),
       %(steps)s, repeat('0', 64), true
FROM generate_series(1, %(count)s) AS n
"""


async def measure(url: str) -> None:
    """Prints a line for each type."""
    org = org_id("default")
    steps = json.dumps([{"stepId": "a", "taskId": "core.noop"}])
    with psycopg.connect(url) as connection:
        connection.execute(_FILL, {"org": org, "count": DEFINITIONS, "steps": steps})
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE workflow_definitions")
    async with Database(url) as database:
        triggers = PostgresTriggers(database)
        for event_type in TYPES:
            found = await triggers.matching(org, event_type)
            times = []
            for _ in range(ROUNDS):
                began = time.perf_counter()
                await triggers.matching(org, event_type)
                times.append(1000 * (time.perf_counter() - began))
            times.sort()
            sys.stdout.write(
                f"{event_type}: {len(found)} of {DEFINITIONS} definitions in "
                f"{statistics.median(times):.1f} ms (p99 {times[int(0.99 * ROUNDS)]:.1f} ms)\n"
            )


def main() -> None:
    """Runs on a server of its own."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server,
    ):
        with psycopg.connect(server.url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE matching")
        url = with_database(server.url, "matching")
        upgrade(url)
        asyncio.run(measure(url))


if __name__ == "__main__":
    main()
