"""The facts that a run has kept and not written yet, with their size.

They travel in the arguments of activities, of which Temporal limits each one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.outputs import json_size
from definitions.records import (
    ActionRecord,
    PublishedRecord,
    StepRecord,
    TransitionRecord,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from definitions.records import Record

#: So many are written at once, and so many bytes of them, where they are several.
MAX_KEPT = 200
MAX_KEPT_BYTES = 512 * 1024
#: So many bytes may travel to the run that goes on: the state takes the rest of its payload.
MAX_CARRIED_BYTES = 128 * 1024

#: What a fact has beside the values of the run.
_FACT_ITSELF = 512


def weight(record: Record) -> int:
    """About how many bytes a fact has as JSON, and never much less."""
    values: list[object] = []
    if isinstance(record, StepRecord):
        values = [record.input, record.output, record.waiting_for]
        if record.votes:
            values.append([one.payload for one in record.votes])
    if isinstance(record, (StepRecord, TransitionRecord)) and record.decision is not None:
        values.append([one.values for one in record.decision.evaluated])
    if isinstance(record, StepRecord) and record.error is not None:
        values.append([record.error.message, record.error.details])
    if isinstance(record, ActionRecord):
        values.append(record.data)
    if isinstance(record, PublishedRecord):
        values.append(record.envelope)
    return _FACT_ITSELF + sum(json_size(one) for one in values if one is not None)


class KeptRecords:
    """A queue of facts, in the order in which they came."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        self._kept = [(one, weight(one)) for one in records]
        self._bytes = sum(size for _, size in self._kept)

    @property
    def bytes(self) -> int:
        """How many bytes they have together."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def all(self) -> Sequence[Record]:
        """All of them."""
        return [record for record, _ in self._kept]

    @property
    def writes(self) -> int:
        """How many times ``take`` is to be called for all of them; at least one."""
        count, left = 1, (MAX_KEPT, MAX_KEPT_BYTES)
        for _, size in self._kept:
            if left[0] == 0 or (size > left[1] and left[0] < MAX_KEPT):
                count, left = count + 1, (MAX_KEPT, MAX_KEPT_BYTES)
            left = (left[0] - 1, left[1] - size)
        return count

    def overfull(self, limit: int) -> bool:
        """Whether there are too many of them, or more than ``limit`` bytes."""
        return len(self._kept) >= MAX_KEPT or self._bytes > limit

    def add(self, record: Record) -> None:
        """Keeps one more."""
        size = weight(record)
        self._kept.append((record, size))
        self._bytes += size

    def take(self, limit: int | None = None) -> tuple[list[Record], int]:
        """Takes as many as are written at once; also their bytes.

        Without a limit of bytes that is at least one, if there is one.
        """
        count = size = 0
        most = MAX_KEPT_BYTES if limit is None else min(limit, MAX_KEPT_BYTES)
        for _, more in self._kept[:MAX_KEPT]:
            if size + more > most and (count or limit is not None):
                break
            count, size = count + 1, size + more
        taken, self._kept = self._kept[:count], self._kept[count:]
        self._bytes -= size
        return [record for record, _ in taken], size

    def cut(self, count: int) -> None:
        """Forgets all but the first ``count``: the others are on record."""
        self._bytes -= sum(size for _, size in self._kept[count:])
        del self._kept[count:]

    def put_back(self, records: Sequence[Record]) -> None:
        """Takes back what was not written."""
        sized = [(one, weight(one)) for one in records]
        self._kept = [*sized, *self._kept]
        self._bytes += sum(size for _, size in sized)
