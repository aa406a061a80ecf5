"""What a rehearsal left behind, in a form in which two of them can be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from definitions.durations import format_duration
from worker.interpreter.state import dump_state

if TYPE_CHECKING:
    from worker.rehearsal.run import CaseResult


def trace(result: CaseResult) -> dict[str, Any]:
    """Everything that a run did and decided, apart from the numbers of its records, as JSON values.

    A call that a restarted interpreter takes up again has new numbers; their order is the same.
    A run whose input was refused has done nothing: it has no state.
    """
    state = dump_state(result.state) if result.state is not None else {}
    for name in ("seq", "deadline_turn", "last_published"):
        state.pop(name, None)
    state.get("main", {}).pop("turn", None)
    return {
        "status": str(result.status),
        "output": result.output,
        "path": result.path,
        "elapsed": format_duration(result.elapsed),
        "error": result.error,
        "compensated": result.compensated,
        "differences": result.differences,
        "state": state,
        "records": [
            _without_numbers(_unlinked(record.to_json()))
            for record in sorted(result.journal.records, key=lambda record: record.seq)
            if record.kind != "instance"
        ],
        "attempts": [_without_numbers(one.to_json()) for one in result.journal.attempts],
    }


def _unlinked(record: dict[str, Any]) -> dict[str, Any]:
    """A record without the number of another one."""
    return {key: value for key, value in record.items() if key != "after"}


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(one) for key, one in value.items() if key != "seq"}
    return value
