"""Events that a run is sent: who gets one, and where it is kept until somebody waits for it.

Each event is taken by one step: of those that wait for its name, the one that has waited longest.
An event that nobody waits for is kept under its name, and taken in the order of arrival. A step
that is told to stop in the moment in which it got its event gives it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue
from pydantic.alias_generators import to_camel

from definitions.outputs import json_size
from definitions.references import first_reference
from worker.interpreter.requests import MAX_NAME
from worker.interpreter.state import under_way

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from worker.interpreter.state import RunState

#: UTF-8 bytes of one event's ``data``, and of all that are kept: they travel with the state.
MAX_DATA_BYTES = 256 * 1024
MAX_KEPT_BYTES = 256 * 1024
#: How many events are kept.
MAX_KEPT = 5_000
#: How many ids are remembered to tell an event that comes twice.
MAX_IDS = 1_000

#: What became of an event.
Reception = Literal["taken", "kept", "repeated", "refused"]


class EventMessage(BaseModel):
    """An event as it comes in. With an ``id``, the same one a second time changes nothing."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True, frozen=True
    )

    name: Annotated[str, Field(min_length=1, max_length=MAX_NAME)]
    data: JsonValue = Field(default_factory=dict)
    id: Annotated[str, Field(min_length=1, max_length=MAX_NAME)] | None = None


def receive(state: RunState, message: EventMessage) -> Reception:
    """Hands an event to who waits for it, or keeps it.

    Nobody can be told that an event was refused (a signal has no answer), so that is for the
    record: it is too big, has a reserved member, or too much is kept already.
    """
    size = json_size(message.data)
    if size > MAX_DATA_BYTES or first_reference(message.data) is not None:
        return "refused"
    if message.id is not None and message.id in state.event_ids:
        return "repeated"
    if _hand_out(state, message.name, {"data": message.data}):
        _remember(state, message.id)
        return "taken"
    if state.events_kept >= MAX_KEPT or state.event_bytes + size > MAX_KEPT_BYTES:
        return "refused"
    state.events.setdefault(message.name, []).append(message.data)
    state.events_kept += 1
    state.event_bytes += size
    _remember(state, message.id)
    return "kept"


def give_back(state: RunState, name: str, event: JsonObject) -> None:
    """Takes an event back from a step that cannot use it any more, for the next one of its name."""
    if _hand_out(state, name, event):
        return
    # It is older than all that are kept: those would have gone to the step.
    state.events.setdefault(name, []).insert(0, event["data"])
    state.events_kept += 1
    state.event_bytes += json_size(event["data"])


def _hand_out(state: RunState, name: str, event: JsonObject) -> bool:
    """Gives an event to the step that has waited longest for it, if there is one."""
    waiting = [
        unit
        for _, unit in under_way(state.main)
        if unit.is_open and unit.event is None and (unit.waiting_for or {}).get("event") == name
    ]
    if not waiting:
        return False
    min(waiting, key=lambda unit: unit.turn).event = event
    return True


def next_event(state: RunState, name: str) -> JsonObject | None:
    """Takes the oldest event that is kept under a name: ``{"data": …}``, or None."""
    kept = state.events.get(name)
    if not kept:
        return None
    data = kept.pop(0)
    state.events_kept -= 1
    state.event_bytes -= json_size(data)
    if not kept:
        del state.events[name]
    return {"data": data}


def _remember(state: RunState, identity: str | None) -> None:
    if identity is not None:
        state.event_ids = [*state.event_ids[1 - MAX_IDS :], identity]
