"""Writes what runs leave behind, many batches in one transaction.

Every step of every run passes here, and what a commit costs is mostly the commit itself. So a
batch is queued, and one writer at a time takes all that have gathered while it wrote the last
group: under load groups grow by themselves, without load nobody waits. A group holds one org,
because a transaction does. When a group fails it is split, so that a bad batch harms itself alone.

Writing is idempotent (the rules stand in ``sql/workflow_execution_recording.sql``), so whoever was
not answered writes again. A group is one call of ``record_execution()``, in one round trip.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg
from psycopg import errors, sql

from adapters.postgres.database import RETRYABLE, dump_json
from adapters.postgres.payloads import ADD_PAYLOADS
from adapters.postgres.rows import layers, rows_of
from definitions.errors import SteploomError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from uuid import UUID

    from adapters.postgres.database import Database
    from adapters.postgres.rows import BatchRows, Row
    from definitions.records import RecordBatch

#: The most that one transaction takes: batches, and bytes of their JSON.
MAX_BATCHES = 256
MAX_BYTES = 4 * 1024 * 1024
#: Runs whose row is known to be there, so that it is not offered again with each batch.
MAX_KNOWN_RUNS = 20_000
#: How often a group is tried that lost to another writer's locks.
_TRIES = 5

#: The kinds of rows that ``record_execution()`` takes, each with where a batch has them.
_KINDS: tuple[tuple[str, Callable[[BatchRows], list[Row]]], ...] = (
    ("starts", lambda batch: batch.starts),
    ("runs", lambda batch: batch.runs()),
    ("attempts", lambda batch: batch.attempts),
    ("retried", lambda batch: batch.retried),
    ("steps", lambda batch: batch.steps),
    ("untold", lambda batch: batch.untold),
    ("ended", lambda batch: batch.ended),
    ("flushes", lambda batch: batch.flushes),
    ("events", lambda batch: batch.events),
    ("audit", lambda batch: batch.audit),
    ("published", lambda batch: batch.published),
)

_RECORD = sql.SQL("SELECT record_execution({}::uuid, {}::jsonb)")


@dataclass(frozen=True, slots=True)
class _Queued:
    rows: BatchRows
    done: asyncio.Future[None]


class PostgresRecorder:
    """The ``definitions.ports.Recorder`` of a worker. One for each process and event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # The orgs take turns: the first one's batches are written next.
        self._queues: OrderedDict[UUID, deque[_Queued]] = OrderedDict()
        self._writer: asyncio.Task[None] | None = None
        self._known_runs: OrderedDict[UUID, None] = OrderedDict()
        self._closed = False
        #: Told of each commit: how many batches it took, and how many seconds.
        self.on_commit: Callable[[int, float], None] = lambda *_: None

    async def write(self, batch: RecordBatch) -> None:
        """Commits a batch; returns when it is durable. The same batch again changes nothing.

        A caller that is cancelled while it waits gives up the answer; the batch is written all the
        same.

        Raises:
            UnreachableError: The database did not answer. All of it was written, or nothing.
            SteploomError: Postgres refuses this batch, and would again.
        """
        if self._closed:
            raise SteploomError("the recorder is closed")
        queued = _Queued(rows_of(batch), asyncio.get_running_loop().create_future())
        self._queues.setdefault(queued.rows.org_id, deque()).append(queued)
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all(), name="recorder")
        await queued.done

    async def close(self) -> None:
        """Takes no more batches, and returns when those that were taken are written or refused."""
        self._closed = True
        if self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        group: list[_Queued] = []
        try:
            while self._queues:
                group = self._take_group()
                await self._write_group(group)
        finally:
            # Cancelled (the loop is going down): nobody may be left waiting for an answer.
            left = [*group, *(queued for queue in self._queues.values() for queued in queue)]
            self._queues.clear()
            for queued in left:
                _answer([queued], UnreachableError("Postgres", "the recorder was stopped"))

    def _take_group(self) -> list[_Queued]:
        org_id, queue = self._queues.popitem(last=False)
        group = [queue.popleft()]
        size = group[0].rows.size
        while queue and len(group) < MAX_BATCHES and size + queue[0].rows.size <= MAX_BYTES:
            size += queue[0].rows.size
            group.append(queue.popleft())
        if queue:
            self._queues[org_id] = queue
        return group

    async def _write_group(self, group: Sequence[_Queued]) -> None:
        began = time.perf_counter()
        try:
            await self._commit_patiently([queued.rows for queued in group])
        except UnreachableError as error:
            # Each waiter gets its own: an exception's traceback grows wherever it is raised.
            for queued in group:
                mine = UnreachableError(error.service, error.message, hint=error.hint)
                mine.__cause__ = error.__cause__
                _answer([queued], mine)
        except Exception as error:  # noqa: BLE001 (whatever it is, its waiters must be answered)
            if len(group) == 1:
                _answer(group, _refusal(group[0].rows, error))
                return
            middle = len(group) // 2
            await self._write_group(group[:middle])
            await self._write_group(group[middle:])
        else:
            _answer(group, None)
            self.on_commit(len(group), time.perf_counter() - began)

    async def _commit_patiently(self, batches: Sequence[BatchRows]) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                await self._commit(batches)
            except RETRYABLE:
                if attempt == _TRIES:
                    raise
                await asyncio.sleep(0.01 * attempt)
            except errors.ForeignKeyViolation:
                # Somebody deleted a run whose row we believed to be there.
                if attempt == _TRIES or not self._known_runs:
                    raise
                self._known_runs.clear()
            else:
                return

    async def _commit(self, batches: Sequence[BatchRows]) -> None:
        org_id = batches[0].org_id
        # One batch for each run that is not known; which one makes no difference.
        unknown = {
            batch.instance_id: batch
            for batch in batches
            if batch.instance_id not in self._known_runs
        }
        text = _as_json(batches, unknown)
        statement: sql.Composable = _RECORD.format(str(org_id), text)
        payloads = [row.text for batch in batches for row in sorted(batch.payloads)]
        if payloads:
            more = ADD_PAYLOADS.format(str(org_id), f"[{','.join(payloads)}]")
            statement = sql.SQL("; ").join([statement, more])
        await self._database.call(org_id, statement)
        self._known_runs.update(dict.fromkeys(unknown))
        while len(self._known_runs) > MAX_KNOWN_RUNS:
            self._known_runs.popitem(last=False)


def _as_json(batches: Sequence[BatchRows], unknown: Mapping[UUID, BatchRows]) -> str:
    """A group as ``record_execution()`` takes it: lists of rows by kind, in layers."""
    members = []
    for kind, rows_for in _KINDS:
        taken = unknown.values() if kind == "runs" else batches
        lists = layers(row for batch in taken for row in rows_for(batch))
        if lists:
            texts = (f"[{','.join(row.text for row in layer)}]" for layer in lists)
            members.append(f'"{kind}":[{",".join(texts)}]')
    known = {batch.instance_id for batch in batches}.difference(unknown)
    if known:
        members.append(f'"known":[{dump_json([str(run) for run in known])}]')
    return f"{{{','.join(members)}}}"


def _answer(group: Iterable[_Queued], error: SteploomError | None) -> None:
    for queued in group:
        if queued.done.done():
            continue
        if error is None:
            queued.done.set_result(None)
        else:
            queued.done.set_exception(error)


def _refusal(rows: BatchRows, error: Exception) -> SteploomError:
    # Only the first line: the rest may quote the row, and so what is in it.
    words = str(error).strip().splitlines() if isinstance(error, psycopg.Error) else []
    reason = words[0] if words else type(error).__name__
    refusal = SteploomError(f"Postgres refuses a record of run {rows.instance_id}: {reason}")
    refusal.__cause__ = error
    return refusal
