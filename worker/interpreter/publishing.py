"""``core.publish``: an event of the author's own, as a CloudEvent for the outbox.

It costs no activity. The record travels with whatever the run writes next, in the same transaction,
so an event is there exactly when the step's own record is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.outputs import json_size
from definitions.records import PublishedRecord
from worker.interpreter.host import step_error
from worker.interpreter.requests import object_input, required_name
from worker.interpreter.state import timestamp

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from definitions.jsontypes import Json
    from worker.interpreter.state import RunState

#: UTF-8 bytes of an event's ``data`` as JSON. Kafka's default takes a message of 1 MB.
MAX_DATA_BYTES = 256 * 1024


def published(
    state: RunState, value: Json, *, path: str, iteration: int, now: datetime, event_id: UUID
) -> PublishedRecord:
    """The event that a step publishes.

    Args:
        state: The run.
        value: The step's input: ``type``, and optionally ``subject`` and ``data``.
        path: The step's path.
        iteration: Which time it runs.
        now: The time of the event.
        event_id: Its id: the same however often the run is replayed.

    Raises:
        StepError: The input is unusable (``InputError``), or too big (``PayloadTooLarge``).
    """
    given = object_input(value, "core.publish")
    kind = required_name(given, "type", "core.publish")
    subject = state.execution_id
    if given.get("subject") is not None:
        subject = required_name(given, "subject", "core.publish")
    data = given.get("data")
    if (size := json_size(data)) > MAX_DATA_BYTES:
        raise step_error(
            "PayloadTooLarge",
            f"core.publish: data has {size} bytes, at most {MAX_DATA_BYTES} are allowed",
        )
    envelope = {
        "specversion": "1.0",
        "id": str(event_id),
        "source": f"/steploom/workflows/{state.workflow_id}",
        "type": kind,
        "subject": subject,
        "time": timestamp(now),
        "datacontenttype": "application/json",
        "data": data,
    }
    after, state.last_published = state.last_published, state.next_seq()
    return PublishedRecord(
        seq=state.last_published,
        event_id=event_id,
        event_type=kind,
        path=path,
        iteration=iteration,
        occurred_at=now,
        envelope=envelope,
        after=after,
    )
