"""What a rehearsal left behind, in a form in which two of them can be compared."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from worker.rehearsal.trace import trace

if TYPE_CHECKING:
    from worker.rehearsal.run import CaseResult

__all__ = ["outcome", "trace"]

#: What a run is called is another thing on every host, and so are the ids that are made of it.
_NAMES = {"executionId", "execution_id", "eventId", "firstRunId", "instanceId", "first_run_id"}


def outcome(result: CaseResult) -> dict[str, Any]:
    """What came of a run on any host, down to each step's iterations, times and attempts.

    Left out are the names of the run, and the order of what is recorded at the same instant.
    """
    whole: dict[str, Any] = json.loads(json.dumps(_without_names(trace(result)), default=str))
    # A run that has ended cannot say itself why it refuses something; a signal has no answer.
    refused = [
        line.partition(" refused: ")[0] for line in whole["differences"] if "(event at" not in line
    ]
    return {
        "status": whole["status"],
        "output": whole["output"],
        "path": whole["path"],
        "elapsed": whole["elapsed"],
        "error": whole["error"],
        "compensated": whole["compensated"],
        "data": _without_names(result.data),
        "answers": refused,
        "state": whole["state"],
        "records": sorted(whole["records"], key=lambda one: json.dumps(one, sort_keys=True)),
        "attempts": sorted(whole["attempts"], key=_attempt),
    }


def _attempt(attempt: dict[str, Any]) -> tuple[str, int, int]:
    step = attempt["step"]
    return step["path"], step["iteration"], attempt["attempt"]


def _without_names(value: Any) -> Any:
    if isinstance(value, dict):
        # An event that was published is called by the run, too.
        names = _NAMES | {"id", "subject"} if "specversion" in value else _NAMES
        if value.get("action") == "event":
            # A signal is noticed with the workflow task that brings it, which may be the next one.
            names = names | {"occurredAt"}
        return {
            key: _without_names(one)
            for key, one in value.items()
            if key not in names and key != "instance_id"
        }
    if isinstance(value, list):
        return [_without_names(one) for one in value]
    return value
