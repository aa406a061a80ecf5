"""Events that come in, in one form whatever they came as.

Two shapes are read: the envelope of ``workflow_events`` and a CloudEvent 1.0 in JSON. Members that
are not known are ignored. What an author sees in a trigger, as ``event`` in its condition and as
the whole value in its transform, is ``InboundEvent.scope()``.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, ValidationError

from definitions.cel import compile_expression
from definitions.errors import SteploomError
from definitions.expressions import TRIGGER_NAMES
from definitions.identity import inbound_event_id
from definitions.jsongate import JsonGateError, check, loads
from definitions.triggers import wrong_type
from definitions.wording import misfit_words
from workflow_events import WorkflowEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.cel import CelExpression
    from definitions.deadletters import Message
    from definitions.document import Trigger
    from definitions.jsontypes import Json, JsonObject

#: The longest event that is read, in bytes: that of Kafka's default.
MAX_EVENT_BYTES = 1024 * 1024
_LONGEST_NAME = 2048
#: The members of a CloudEvent that are not its author's extensions.
_CLOUD = {"specversion", "id", "source", "type", "subject", "time", "data", "data_base64"}


class EventRefusedError(SteploomError):
    """An event that cannot be read. ``code`` is one word for the reason."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message, hint="correct whoever sends it")
        self.code = code


class InboundEvent(BaseModel):
    """An event as triggers see it.

    ``id`` is the event's own where that is a UUID, else a UUIDv5 of source and id; ``given_id`` is
    what it came with. ``workflow_id`` and ``workflow_run_id`` are those of a run that tells of
    itself. ``correlation_id`` and ``depth`` are the extensions of that name.
    """

    model_config = ConfigDict(frozen=True)

    id: UUID
    given_id: str
    type: str
    source: str
    time: datetime | None = None
    subject: str | None = None
    workflow_id: str | None = None
    workflow_run_id: str | None = None
    correlation_id: str | None = None
    data: Any = None
    metadata: dict[str, Any]

    def scope(self) -> JsonObject:
        """What conditions and transforms see; each member is there, null where it has no value."""
        return {
            "id": str(self.id),
            "type": self.type,
            "source": self.source,
            "time": self.time.isoformat().replace("+00:00", "Z") if self.time else None,
            "subject": self.subject,
            "workflow_id": self.workflow_id,
            "workflow_run_id": self.workflow_run_id,
            "correlation_id": self.correlation_id,
            "data": self.data,
            "metadata": self.metadata,
        }


def read_event(text: str | bytes) -> InboundEvent:
    """The event in a JSON text.

    Raises:
        EventRefusedError: It is no JSON, or no event.
    """
    try:
        return parse_event(loads(text, max_bytes=MAX_EVENT_BYTES))
    except JsonGateError as error:
        raise EventRefusedError(error.code, f"the event is unusable: {error}") from None


def read_message(message: Message) -> InboundEvent:
    """The event in what came: with ``ce_`` headers a CloudEvent whose body is its data.

    Raises:
        EventRefusedError: There is none.
    """
    if "ce_specversion" not in message.headers:
        return read_event(message.body)
    attributes = {
        name.removeprefix("ce_"): text
        for name, text in message.headers.items()
        if name.startswith("ce_")
    }
    kind = message.headers.get("content-type")
    data: Json = None
    try:
        check(attributes)
        if message.body:
            data = loads(message.body, max_bytes=MAX_EVENT_BYTES)
    except JsonGateError as error:
        raise EventRefusedError(error.code, f"the event is unusable: {error}") from None
    return parse_event({**attributes, **({"datacontenttype": kind} if kind else {}), "data": data})


def parse_event(value: Json) -> InboundEvent:
    """The event in a JSON value that has passed the gate.

    Raises:
        EventRefusedError: It is no event of a known shape.
    """
    if not isinstance(value, dict):
        raise EventRefusedError("not_an_event", "an event is a JSON object")
    event = _cloud_event(value) if "specversion" in value else _workflow_event(value)
    if (wrong := wrong_type(event.type)) is not None:
        raise EventRefusedError("unusable_type", wrong)
    return event


def first_that_holds(triggers: Sequence[Trigger], scope: JsonObject) -> Trigger | None:
    """Of triggers whose patterns match, the first whose condition is absent or true.

    Args:
        triggers: In the order of the document.
        scope: ``InboundEvent.scope()``.

    Raises:
        EvaluationError: A condition before that fails on the event.
    """
    for trigger in triggers:
        if trigger.condition is None or _condition(trigger.condition).test({"event": scope}):
            return trigger
    return None


@lru_cache(maxsize=1000)
def _condition(text: str) -> CelExpression:
    return compile_expression(text, TRIGGER_NAMES)


def _workflow_event(value: JsonObject) -> InboundEvent:
    if "event_type" not in value:
        raise EventRefusedError(
            "not_an_event",
            "this is neither a workflow event (no event_type) nor a CloudEvent (no specversion)",
        )
    # An id that is no UUID is made one; without an id the same event could not be told from
    # another one, so there has to be one.
    given = value.get("event_id")
    source = value.get("source")
    if not isinstance(given, str) or not given:
        raise EventRefusedError("invalid_event", "event_id: a text is required")
    identity = _identity(str(source), given)
    try:
        read = WorkflowEvent.model_validate({**value, "event_id": str(identity)})
    except ValidationError as error:
        raise EventRefusedError("invalid_event", _sentences(error)) from None
    data = read.payload.data
    correlation = data.get("correlation_id")
    return InboundEvent(
        id=identity,
        given_id=given,
        type=read.event_type.value,
        source=read.source.value,
        time=read.timestamp.astimezone(UTC),
        workflow_id=read.workflow_id,
        workflow_run_id=read.workflow_run_id,
        correlation_id=correlation if isinstance(correlation, str) and correlation else None,
        data=data,
        metadata=read.metadata.model_dump(),
    )


def _cloud_event(value: JsonObject) -> InboundEvent:
    version = value["specversion"]
    if version != "1.0":
        raise EventRefusedError(
            "invalid_event", f"specversion: only CloudEvents 1.0 are read, not {version!r:.40}"
        )
    given, source = _text(value, "id"), _text(value, "source")
    if "data_base64" in value:
        raise EventRefusedError("invalid_event", "data_base64: only JSON is read, in data")
    content = value.get("datacontenttype", "application/json")
    kind = content.partition(";")[0].strip().lower() if isinstance(content, str) else ""
    if kind != "application/json" and not kind.endswith("+json"):
        raise EventRefusedError("invalid_event", "datacontenttype: only JSON is read")
    correlation = value.get("correlationid")
    return InboundEvent(
        id=_identity(source, given),
        given_id=given,
        type=_text(value, "type"),
        source=source,
        time=_time(value.get("time")),
        subject=_text(value, "subject") if value.get("subject") is not None else None,
        correlation_id=correlation if isinstance(correlation, str) and correlation else None,
        data=value.get("data"),
        metadata={name: member for name, member in value.items() if name not in _CLOUD},
    )


def _text(value: JsonObject, name: str) -> str:
    member = value.get(name)
    if not isinstance(member, str) or not member:
        raise EventRefusedError("invalid_event", f"{name}: a text is required")
    if len(member) > _LONGEST_NAME:
        raise EventRefusedError(
            "invalid_event",
            f"{name}: it has {len(member)} characters, at most {_LONGEST_NAME} are allowed",
        )
    return member


def _time(value: Json) -> datetime | None:
    if value is None:
        return None
    try:
        read = datetime.fromisoformat(str(value))
        return read.replace(tzinfo=read.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise EventRefusedError("invalid_event", "time: it is no RFC 3339 timestamp") from None


def _identity(source: str, given: str) -> UUID:
    try:
        return UUID(given)
    except ValueError:
        return inbound_event_id(source, given)


def _sentences(error: ValidationError) -> str:
    found = error.errors(include_url=False)[:10]
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {misfit_words(one)}" for one in found)
