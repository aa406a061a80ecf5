"""The decision that a run has really taken after a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from definitions.records import Decision
    from definitions.views import StepView

_UNDECIDED = frozenset({StepStatus.ACTIVE, StepStatus.WAITING, StepStatus.CANCELLED})


def decision_of(step: StepView) -> Decision | None:
    """The decision on record, once the step has ended by itself.

    Where the way on depends on no data, the record has it from the step's beginning, so that the
    end costs no second write; a step that is under way, or was cancelled, has not gone that way.
    """
    return None if step.status in _UNDECIDED else step.decision
