"""One server, one database and one worker for all tests of this folder."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio

from adapters.postgres.database import Database
from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.search_attributes import register
from tests.postgres import fresh_database
from tests.workflows.gobuild import start_build
from tests.workflows.stack import Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_BUILD = pytest.StashKey[Future[Path] | None]()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Builds the worker in Go while other tests run, if any test needs it."""
    if session.config.option.collectonly:
        return
    if any("go_program" in getattr(item, "fixturenames", ()) for item in session.items):
        session.config.stash[_BUILD] = start_build()


@pytest.fixture(scope="session")
def go_program(request: pytest.FixtureRequest) -> Path:
    """The program that is the worker in Go."""
    building = request.config.stash.get(_BUILD, None)
    if building is None:
        pytest.skip("there is no Go on PATH to build the worker with")
    return building.result()


@pytest.fixture(scope="session")
def workflows_database_url(postgres_server: str, database_template: str) -> Iterator[str]:
    """A migrated database that lives as long as the session."""
    with fresh_database(postgres_server, database_template) as url:
        yield url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(temporal_address: str, workflows_database_url: str) -> AsyncIterator[Stack]:
    """The shared worker, sandboxed, and everything to look at what it does."""
    client = await connect(TemporalConnection(address=temporal_address))
    await register(client)
    async with Database(workflows_database_url) as database:
        bare = Stack(client, database, workflows_database_url, "")
        async with bare.worker() as served:
            yield served
