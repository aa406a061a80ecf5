"""Writing to the record from an activity.

A database that does not answer is waited for. A batch that it refuses would be refused again, and a
run must not stop for that: the batch is taken apart, everything else in it is written, and what is
refused by itself is reported as a fault of ours.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from definitions.errors import SteploomError, UnreachableError
from definitions.records import RecordBatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.ports import Recorder

#: Seconds between two tries to write, growing from the first to the second.
RETRY = (0.1, 5.0)

_log = structlog.get_logger(__name__)


async def write_record(recorder: Recorder, batch: RecordBatch) -> None:
    """Writes a batch; returns when everything in it that Postgres takes is durable."""
    delay, longest = RETRY
    while True:
        try:
            await recorder.write(batch)
        except UnreachableError as error:
            _log.warning("record_not_written", reason=error.message, retry_in=delay)
            await asyncio.sleep(delay)
            delay = min(delay * 2, longest)
        except SteploomError as error:
            parts = list(_parts(batch))
            if len(parts) == 1:
                _log.error("record_refused", run=str(batch.ref.instance_id), reason=error.message)
                return
            for part in parts:
                await write_record(recorder, part)
            return
        else:
            return


def _parts(batch: RecordBatch) -> Iterator[RecordBatch]:
    if batch.started is not None:
        yield RecordBatch(ref=batch.ref, started=batch.started)
    for record in batch.records:
        yield RecordBatch(ref=batch.ref, records=[record])
    if batch.attempt is not None:
        yield RecordBatch(ref=batch.ref, attempt=batch.attempt)
