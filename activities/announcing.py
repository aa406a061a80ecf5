"""Every run's beginning and end is an event for the outbox, in the transaction of its record.

A recorder around the real one, below the one that filters: whoever begins or ends a run on record,
a refused start and the reconciler included, announces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.lifecycle import ended, triggered
from definitions.records import InstanceRecord
from definitions.statuses import InstanceStatus

if TYPE_CHECKING:
    from definitions.ports import Recorder
    from definitions.records import Record, RecordBatch


class AnnouncingRecorder:
    """Hands on each batch with the events that it gives rise to."""

    def __init__(self, recorder: Recorder, environment: str) -> None:
        self._recorder = recorder
        self._environment = environment

    async def write(self, batch: RecordBatch) -> None:
        """As the recorder inside."""
        told: list[Record] = []
        if batch.started is not None:
            told.append(triggered(batch.started, environment=self._environment))
        told += [
            ended(batch.ref, record, environment=self._environment)
            for record in batch.records
            if isinstance(record, InstanceRecord) and InstanceStatus(record.status).ended
        ]
        if told:
            batch = batch.model_copy(update={"records": [*batch.records, *told]})
        await self._recorder.write(batch)
