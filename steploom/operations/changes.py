"""What is new in an execution that is followed, one change at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from definitions.texts import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from definitions.records import ErrorInfo
    from definitions.views import StepView
    from steploom.operations.executions import Snapshot


@dataclass(frozen=True, slots=True)
class Change:
    """One change: of a step, or (``step`` is absent) of the execution itself.

    ``step`` is the step's path, ``status`` what it, or the execution, has become. ``attempts``
    counts the tries of the step's task. ``error`` has ``type``, ``code`` and ``message``.
    ``compensated`` is absent unless the step was rolled back. ``text`` is the change as a line.
    """

    execution_id: str
    status: str
    text: str
    step: str | None = None
    iteration: int | None = None
    attempts: int = 0
    error: dict[str, Any] | None = None
    compensated: bool | None = None

    @override
    def __str__(self) -> str:
        return self.text

    def to_json(self) -> dict[str, Any]:
        """The change as JSON values."""
        if self.step is None:
            return {"execution": self.execution_id, "status": self.status, "error": self.error}
        return {
            "step": self.step,
            "iteration": self.iteration,
            "status": self.status,
            "attempts": self.attempts,
            "error": self.error,
            "compensated": self.compensated,
        }


class Changes:
    """What is new in a snapshot, compared with the one before."""

    def __init__(self) -> None:
        self._steps: dict[tuple[str, int], tuple[Any, ...]] = {}
        self._status: str | None = None

    def of(self, snapshot: Snapshot) -> Iterator[Change]:
        """Each change, those of steps first."""
        name = snapshot.instance.execution_id
        for step in snapshot.steps:
            failed = sum(1 for attempt in step.attempt_records if attempt.error)
            facts = (str(step.status), step.attempts, failed, len(step.votes), step.compensated)
            if self._steps.get((step.path, step.iteration)) != facts:
                self._steps[step.path, step.iteration] = facts
                yield _of_step(name, step)
        status = str(snapshot.instance.status)
        if status != self._status:
            self._status = status
            error = snapshot.instance.error
            why = f", {error.get('type')}" if error else ""
            yield Change(name, status, f"{name}: {status}{why}", error=error)


def _of_step(name: str, step: StepView) -> Change:
    return Change(
        execution_id=name,
        status=str(step.status),
        text=_line(step),
        step=step.path,
        iteration=step.iteration,
        attempts=step.attempts,
        error=step.error.to_json() if step.error else None,
        compensated=step.compensated,
    )


def _line(step: StepView) -> str:
    again = f" ({step.iteration})" if step.iteration > 1 else ""
    parts = [f"{step.path}{again}: {step.status}"]
    latest = step.attempt_records[-1] if step.attempt_records else None
    if step.error:
        parts.append(error_text(step.error))
    elif latest is not None and latest.error and not step.status.ended:
        parts.append(f"attempt {latest.attempt} failed, {error_text(latest.error)}")
    elif step.attempts > 1:
        parts.append(f"attempt {step.attempts}")
    if step.votes:
        parts.append(f"{step.votes[-1].decision} by {step.votes[-1].approver}")
    if step.compensated is not None:
        parts.append("undone" if step.compensated else "could not be undone")
    return ", ".join(parts)


def error_text(error: ErrorInfo) -> str:
    """An error on one line."""
    code = f" {error.code}" if error.code else ""
    return f"{error.type}{code}: {one_line(error.message, 200)}"
