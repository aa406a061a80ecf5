"""Postgres that goes away every few seconds while runs write to it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from adapters.postgres.database import Database
from adapters.postgres.migrate import upgrade
from adapters.postgres.server import EmbeddedPostgres
from tests.faults.conftest import all_agree, start_many
from tests.workflows.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_RUNS = 200
#: Seconds that it is there, each time, before it is stopped or killed.
_UP = 3.0


@pytest.fixture
def own_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, which keeps what it has committed."""
    folder: Path = tmp_path_factory.mktemp("restarted")
    with EmbeddedPostgres(folder) as first:
        port = first.port
        upgrade(first.url)
    with EmbeddedPostgres(folder, port=port) as server:
        yield server


async def test_nothing_is_lost_or_doubled(bare: Stack, own_postgres: EmbeddedPostgres) -> None:
    """200 runs: writes wait for it and are done again; stopped or killed makes no difference."""
    stop = asyncio.Event()
    restarts = 0

    async def restart() -> None:
        nonlocal restarts
        while not stop.is_set():
            await asyncio.sleep(_UP)
            await asyncio.to_thread(own_postgres.stop)
            await asyncio.to_thread(own_postgres.start)
            restarts += 1

    async with Database(own_postgres.url) as database:
        own = Stack(bare.client, database, own_postgres.url, "")
        async with own.worker() as served:
            restarting = asyncio.create_task(restart())
            handles = await start_many(served, _RUNS, at_once=10)
            try:
                for handle in handles:
                    await served.result(handle)
            finally:
                stop.set()
                await restarting
    async with Database(own_postgres.url) as database:
        assert restarts >= 1
        await all_agree(Stack(bare.client, database, own_postgres.url, ""), handles)
