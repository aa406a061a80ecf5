"""What a rehearsal left behind, in a form in which two of them can be compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.rehearsal.trace import trace

if TYPE_CHECKING:
    from worker.rehearsal.run import CaseResult

__all__ = ["comparable", "trace"]

#: What a run is called is another thing on every host, and so are the ids that are made of it.
_NAMES = {"executionId", "execution_id", "eventId", "firstRunId", "instanceId", "first_run_id"}


def comparable(result: CaseResult) -> dict[str, Any]:
    """The trace of a run on any host: everything but its names.

    Attempts that end at the same instant come in no order.
    """
    whole: dict[str, Any] = json.loads(json.dumps(_without_names(trace(result)), default=str))
    whole["attempts"].sort(key=_attempt)
    # A run that has ended cannot say itself why it refuses something.
    whole["differences"] = [line.partition(" refused: ")[0] for line in whole["differences"]]
    return whole


def _attempt(attempt: dict[str, Any]) -> tuple[str, int, int]:
    step = attempt["step"]
    return step["path"], step["iteration"], attempt["attempt"]


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_names(one)
            for key, one in value.items()
            if key not in _NAMES and key != "instance_id"
        }
    if isinstance(value, list):
        return [_without_names(one) for one in value]
    return value
