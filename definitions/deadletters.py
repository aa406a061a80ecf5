"""Events from outside that could not start what they should have."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from definitions.identity import dead_letter_id

#: The longest reason that is kept, in characters.
MAX_REASON = 1000


@dataclass(frozen=True, slots=True)
class Message:
    """What came, as it came: its bytes, its headers, and where it lay in Kafka if it did."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


class DeadLetter(BaseModel):
    """A row of ``event_dead_letters``. ``message`` is left out of lists."""

    model_config = ConfigDict(frozen=True)

    id: UUID
    org_id: UUID | None = None
    event_id: UUID | None = None
    event_type: str | None = None
    source: str | None = None
    workflow_id: str | None = None
    code: str
    reason: str
    message: bytes = b""
    headers: dict[str, str] = {}
    topic: str | None = None
    topic_partition: int | None = None
    topic_offset: int | None = None
    attempts: int = 1
    first_failed_at: datetime | None = None
    last_failed_at: datetime | None = None
    resolved_at: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """The letter as JSON values, without what came."""
        return {
            "id": str(self.id),
            "eventId": str(self.event_id) if self.event_id else None,
            "eventType": self.event_type,
            "source": self.source,
            "workflowId": self.workflow_id,
            "code": self.code,
            "reason": self.reason,
            "topic": self.topic,
            "partition": self.topic_partition,
            "offset": self.topic_offset,
            "attempts": self.attempts,
            "firstFailedAt": self.first_failed_at.isoformat() if self.first_failed_at else None,
            "lastFailedAt": self.last_failed_at.isoformat() if self.last_failed_at else None,
            "resolvedAt": self.resolved_at.isoformat() if self.resolved_at else None,
        }


def letter_of_event(org: UUID, event_id: UUID, workflow_id: str | None) -> UUID:
    """The id of the letter about an event of an org, for one definition or for all."""
    return dead_letter_id("event", org, event_id, workflow_id or "")


def letter_of_message(org: UUID | None, message: Message) -> UUID:
    """The id of the letter about a message that is no event, or nobody's."""
    place = (message.topic or "", message.partition or 0, message.offset or 0)
    digest = hashlib.sha256(message.body).hexdigest()
    return dead_letter_id("message", str(org or ""), *place, digest)
