"""A worker that meets a database which a newer steploom has migrated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from definitions.errors import RefusedError
from steploom.catalogue import TaskSources, load_registry
from tests.postgres import as_administrator
from worker.process import run_worker

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


async def test_a_worker_does_not_start(stack: Stack, database_url: str) -> None:
    """It ends before it polls, with one sentence and what to do."""
    as_administrator(database_url, "UPDATE alembic_version SET version_num = '099_from_the_future'")
    settings = stack.settings(database_url=SecretStr(database_url))
    registry = load_registry(TaskSources([], []), [])
    polled: list[object] = []
    with pytest.raises(RefusedError, match="099_from_the_future") as caught:
        await run_worker(settings, registry, ready=polled.append)
    assert caught.value.hint == "upgrade steploom to the version that migrated this database"
    assert polled == []
