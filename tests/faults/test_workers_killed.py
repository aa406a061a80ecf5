"""Workers that are killed at any moment: afterwards every record agrees with its history."""

from __future__ import annotations

import asyncio
import os
import random
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tests.e2e.live import work_folder
from tests.faults.agreement import UNPUBLISHED, UNTOLD, disagreements
from tests.faults.killed import KINDS, Workers, drive
from tests.postgres import as_administrator
from tests.workflows.stack import Stack, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.workflows.stack import Handle, Record

_KILLS = 30
_WORKERS = 3
#: Runs that are under way at a time.
_RUNS = 12
#: Attempts that begin between two kills, at least and at most: by the work that is done, and not by
#: the clock, so that a slow machine gets on as well.
_BETWEEN = (1, 8)
#: Steps that run as local activities, of which a history has no attempts.
_LOCAL = {"near", "last", "before", "after"}

_ATTEMPTS = "SELECT count(*) AS attempts FROM workflow_step_attempts"
_TWICE = """
SELECT trace_id, event_type, path, iteration, attempt, count(*) FROM workflow_events
GROUP BY trace_id, event_type, path, iteration, attempt HAVING count(*) > 1
"""
_OPEN = """
SELECT 'run', id::text FROM workflow_instances WHERE status IN ('running', 'suspended')
UNION ALL
SELECT 'trace', id::text FROM workflow_trace WHERE status NOT IN ('completed')
UNION ALL
SELECT 'attempt', path FROM workflow_step_attempts WHERE status IN ('pending', 'active', 'waiting')
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder for the workers."""
    with work_folder() as made:
        yield made


@pytest.mark.timeout(600)
async def test_nothing_is_lost_or_doubled(bare: Stack, folder: Path) -> None:
    """30 kills while runs of all kinds go on: every run ends well, and its record says so."""
    seed = int(os.environ.get("STEPLOOM_SEED") or random.SystemRandom().randrange(1_000_000))
    print(f"STEPLOOM_SEED={seed}")  # noqa: T201 (pytest shows it where the test fails)
    chance = random.Random(seed)  # noqa: S311 (faults, no secrets)
    queue = f"killed-{seed}"
    for document, _ in KINDS:
        await bare.register(document)
    stack = Stack(bare.client, bare.database, bare.url, queue)
    handles: list[Handle] = []
    settings = stack.settings(
        task_queue=queue,
        tasks=["tests.faults.work_tasks"],
        liveness_timeout=timedelta(seconds=3),
        sandbox=False,
    )
    with Workers(folder, settings, _WORKERS) as workers:
        numbers = iter(range(1_000_000))

        async def keep_running() -> None:
            # At least one each, and no end before the last kill.
            while True:
                handles.append(await drive(stack, next(numbers)))
                if workers.killed >= _KILLS:
                    return

        running = [asyncio.create_task(keep_running()) for _ in range(_RUNS)]
        try:
            while workers.killed < _KILLS:
                await _more_attempts(bare, chance.randint(*_BETWEEN))
                await workers.kill_one(chance)
            await asyncio.gather(*running)
        except BaseException:
            print(workers.log())  # noqa: T201 (the same)
            raise
        finally:
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)

    inline = {document["workflowId"]: paths for document, paths in KINDS}
    for handle in handles:
        record = await stack.record(handle)
        found = await disagreements(handle, record, inline[record.instance.workflow_id])
        found += _local_attempts(record)
        assert not found, f"{handle.id}: {found}"
        for one in record.steps:
            assert len(one.votes or ()) == (one.path == "approve"), f"{handle.id}: {one.votes}"
    for query in (UNTOLD, UNPUBLISHED, _TWICE):
        assert not as_administrator(bare.url, query)
    assert not as_administrator(bare.url, _OPEN)
    counted = as_administrator(bare.url, "SELECT count(*) AS runs FROM workflow_instances")
    assert counted[0]["runs"] == len(handles)


async def _more_attempts(stack: Stack, count: int) -> None:
    """Returns when so many more attempts are on record."""

    async def there() -> int:
        counted = await asyncio.to_thread(as_administrator, stack.url, _ATTEMPTS)
        return int(counted[0]["attempts"])

    wanted = await there() + count

    async def enough() -> bool:
        return await there() >= wanted

    await until(enough)


def _local_attempts(record: Record) -> list[str]:
    """What is wrong with the attempts of local steps: the last answered, the others were lost."""
    found = []
    for step in record.steps:
        if step.path.rpartition("/")[2] not in _LOCAL:
            continue
        numbers = [one.attempt for one in step.attempt_records]
        *lost, last = step.attempt_records
        if numbers != [*range(1, len(numbers) + 1)] or last.status != "completed":
            found.append(f"{step.path} has attempts {numbers}, the last {last.status}")
        found += [
            f"{step.path} attempt {one.attempt} is {one.status}"
            for one in lost
            if one.error is None or one.error.code != "AttemptLost"
        ]
    return found
