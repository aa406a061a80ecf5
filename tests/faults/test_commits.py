"""Commits whose answers are lost, and two workers that write the same run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import SecretStr

from adapters.temporal.connection import TemporalConnection, connect
from tests.faults.conftest import all_agree, start_many
from tests.faults.proxy import LossyProxy

if TYPE_CHECKING:
    from tests.workflows.stack import Stack


async def test_a_commit_whose_answer_is_lost_is_written_once(bare: Stack) -> None:
    """The write is done again, and finds what the first one did."""
    proxy = LossyProxy(bare.url, one_in=6, seed=4711)
    async with (
        proxy.serving() as url,
        bare.worker(database_url=SecretStr(url), database_pool_size=4) as served,
    ):
        handles = await start_many(served, 40)
        for handle in handles:
            await served.result(handle)
    assert proxy.lost > 20, (proxy.lost, proxy.commits)
    await all_agree(bare, handles)


async def test_two_workers_that_write_the_same_runs_agree(
    bare: Stack, temporal_address: str
) -> None:
    """Without a cache every workflow task may be the other's; each fact is there once."""
    # Two workers of one queue in a process need a connection each.
    other = await connect(TemporalConnection(address=temporal_address))
    async with bare.worker(max_cached_workflows=0) as served:
        queue = served.task_queue
        async with bare.worker(client=other, max_cached_workflows=0, task_queue=queue):
            handles = await start_many(served, 15, at_once=5)
            for handle in handles:
                await served.result(handle)
    await all_agree(bare, handles)
