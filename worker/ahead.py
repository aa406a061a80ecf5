"""What a segment has done of a run, until the run has come to it.

The run goes the same way that the segment went, for it is the same interpreter with the same state
and the same clock, and finds the answers in their order. What it would record on the way was
recorded there. What came from outside meanwhile (a cancellation, a pause) takes hold after it.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from definitions.calls import Answer
    from worker.interpreter.host import TaskCall


class Ahead:
    """The answers that a run has not come to."""

    def __init__(self) -> None:
        self._answers: deque[Answer] = deque()
        self._ended = False
        self._at: datetime | None = None

    def __bool__(self) -> bool:
        return bool(self._answers) or self._ended

    @property
    def answers(self) -> int:
        """How many are left."""
        return len(self._answers)

    def add(self, answers: Sequence[Answer], *, ended: bool = False) -> None:
        """What a segment has answered. ``ended``: it has written the run's end, too."""
        self._answers.extend(answers)
        self._ended = ended and bool(answers)

    def take(self, call: TaskCall) -> Answer | None:
        """The answer of this task; None, and nothing is left, where another one was expected."""
        answer = self._answers.popleft() if self._answers else None
        if answer is not None:
            self._at = answer.at
            if (answer.path, answer.iteration) == (call.record.path, call.record.iteration):
                return answer
        self._answers.clear()
        self._ended = False
        return None

    def take_end(self) -> bool:
        """Whether a segment has written the end at which the run is now."""
        ended, self._ended = self._ended and not self._answers, False
        return ended

    def now(self, clock: datetime) -> datetime:
        """The run's own time, where its clock says so."""
        if self._at is None:
            return clock
        # Inside of what was done already it was that time; afterwards it goes on from there.
        return self._at if self else max(self._at, clock)
