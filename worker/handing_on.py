"""What one run of a chain hands to the next one when it continues as new.

Temporal takes all of it as one payload of at most 2 MiB, so everything in it has a limit: the
document, the state (``worker.interpreter.budget``), the facts that are not written yet
(``worker.kept_records``), and here the start object.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import TypeAdapter

from definitions.calls import ResolvedRun
from definitions.outputs import json_size
from definitions.records import Record
from worker.interpreter.packing import pack_state, unpack_state
from worker.messages import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from temporalio.common import RawValue

    from worker.interpreter.state import RunState

_RECORDS: TypeAdapter[list[Record]] = TypeAdapter(list[Record])
#: A start object that is longer is handed on without what makes it long. Only people read it: the
#: run has what it needs of it in its state.
_MAX_START_BYTES = 64 * 1024
_LONG = ("input", "definition", "metadata")
#: What the state has by itself.
_IN_STATE: dict[str, Any] = {"input": None, "reused": None, "config": {}, "requirements": {}}


class TakenUp(NamedTuple):
    """Where an earlier run of the chain stood."""

    run: ResolvedRun
    state: RunState
    records: list[Record]


def hand_on(
    start: RawValue, run: ResolvedRun, state: RunState, records: Sequence[Record]
) -> list[Any]:
    """The arguments of the run that goes on."""
    return [
        _short(start),
        {
            "run": run.model_copy(update=_IN_STATE).to_json(),
            "state": pack_state(state),
            "records": [record.to_json() for record in records],
        },
    ]


def take_up(carried: RawValue) -> TakenUp | None:
    """What ``hand_on`` made; None for anything else, which anybody can give a run."""
    value, problem = decode(carried)
    if problem is not None or not isinstance(value, dict):
        return None
    try:
        return TakenUp(
            ResolvedRun.model_validate(value.get("run")),
            unpack_state(value.get("state")),
            _RECORDS.validate_python(value.get("records") or []),
        )
    except (ValueError, RecursionError):
        return None


def _short(start: RawValue) -> Any:
    if len(start.payload.data) <= _MAX_START_BYTES:
        return start
    value, _ = decode(start)
    if not isinstance(value, dict):
        return {}
    short = {name: one for name, one in value.items() if name not in _LONG}
    return short if json_size(short) <= _MAX_START_BYTES else {}
