"""Sealers whose commits are answered with an error, or whose connections are cut."""

from __future__ import annotations

import asyncio

from adapters.postgres.audit import Audit
from adapters.postgres.audit_seals import AuditSealer
from adapters.postgres.database import Database
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import UnreachableError
from steploom.operations.auditing import verify
from tests.faults.proxy import LossyProxy
from tests.integration.facts import DEFAULT, audit, facts, run_ref
from tests.postgres import as_administrator

EVENTS = 400
#: Everybody who is connected through a pool of ours is thrown out.
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'steploom' AND state <> 'idle'
"""


async def _write(url: str) -> None:
    async with Database(url) as database:
        recorder = PostgresRecorder(database)
        for number in range(EVENTS):
            ref = run_ref(f"r{number}")
            await recorder.write(facts(ref, audit(ref, number, "workflow.started")))
        await recorder.close()


async def _seal(url: str, writing: asyncio.Task[None]) -> int:
    """Seals until everything is written and sealed; returns how often it was not answered."""
    unanswered = 0
    async with Database(url, pool_size=2) as database:
        sealer, reading = AuditSealer(database), Audit(database)
        while True:
            done = writing.done()
            try:
                await sealer.seal(DEFAULT, limit=9)
                if done and not (await reading.waiting(DEFAULT)).events:
                    return unanswered
            except UnreachableError:
                unanswered += 1


async def test_every_event_is_sealed_once_whatever_fails(database_url: str) -> None:
    """Two sealers that hear of errors after commits, and are cut off in the midst of them."""
    proxy = LossyProxy(database_url, one_in=5, seed=4711)
    writing = asyncio.create_task(_write(database_url))
    async with proxy.serving() as url:
        sealing = [asyncio.create_task(_seal(url, writing)) for _ in range(2)]
        await writing
        while not all(one.done() for one in sealing):
            as_administrator(database_url, CUT)
            await asyncio.sleep(0.2)
        assert sum([await one for one in sealing]) > 0
    assert proxy.lost > 0
    async with Database(database_url) as database:
        org = await PostgresDefinitionStore(database).find_org("default")
        verdict = await verify(Audit(database), org)
    assert (verdict.broken, verdict.sealed, verdict.waiting.events) == (None, EVENTS, 0)
