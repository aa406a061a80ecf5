"""A stack whose worker, or whose database, each test brings along."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest_asyncio

from adapters.postgres.audit import Audit
from adapters.postgres.database import Database
from adapters.temporal.connection import TemporalConnection, connect
from adapters.temporal.search_attributes import register
from steploom.operations.auditing import verify
from tests.faults.agreement import UNPUBLISHED, UNTOLD, disagreements
from tests.postgres import as_administrator
from tests.workflows.documents import branch, definition, retry, step
from tests.workflows.stack import DEFAULT, Stack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.workflows.stack import Handle

#: Remote and local tasks, one that fails at first, and two branches; a few steps cost no task.
DOCUMENT = definition(
    step("first", "test.echo", input={"n": "${input.n}"}),
    step("mark", "core.set", input={"n": "${data.n}"}),
    step("flaky", "test.fail", input={"times": 1}, retryPolicy=retry(3)),
    step(
        "fork",
        parallelBranches=[
            branch("a", step("a1", "test.echo", input={"a": 1}), step("a2", "test.echo-sync")),
            branch("b", step("b1", "test.echo", input={"b": 2})),
        ],
    ),
    step("near", "test.echo-local", input={"l": 1}),
    step("last", "test.echo", input={"done": "${variables.n}"}),
    variables={"n": -1},
)
#: Those that leave no event of their own in a history.
INLINE = {"mark", "fork", "near"}


@pytest_asyncio.fixture
async def bare(temporal_address: str, database_url: str) -> AsyncIterator[Stack]:
    """A client's view of a fresh database, and no worker."""
    client = await connect(TemporalConnection(address=temporal_address))
    await register(client)
    async with Database(database_url) as database:
        yield Stack(client, database, database_url, "")


async def start_many(stack: Stack, runs: int, *, at_once: int = 20) -> list[Handle]:
    """Starts runs of the document, a few at a time."""
    handles: list[Handle] = []
    for first in range(0, runs, at_once):
        numbers = range(first, min(first + at_once, runs))
        handles += await asyncio.gather(*(stack.start(DOCUMENT, {"n": n}) for n in numbers))
    return handles


async def all_agree(stack: Stack, handles: Sequence[Handle]) -> None:
    """Every run has ended well, its record agrees with its history, the audit trail is whole."""
    for number, handle in enumerate(handles):
        assert await stack.result(handle) == {"done": number}
        found = await disagreements(handle, await stack.record(handle), INLINE)
        assert not found, f"{handle.id}: {found}"
    for query in (UNTOLD, UNPUBLISHED):
        assert not await asyncio.to_thread(as_administrator, stack.url, query)
    audit = Audit(stack.database)
    await audit.sealer.seal_all(DEFAULT)
    verdict = await verify(audit, await stack.store.find_org("default"))
    assert (verdict.broken, verdict.sealed) == (None, 2 * len(handles))
