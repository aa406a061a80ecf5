"""What one rehearsed run has in common with its workflow: both are in this process.

The workflow runs in threads of its own, what answers it in the event loop. Nothing here decides
anything for the workflow that its history does not say as well: it only tells what the workflow is
about to do, so that the clock can be stopped in time and the mocked tasks know their places.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.rehearsal.journal import Journal
from worker.rehearsal.mocks import Answers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.records import ErrorInfo, Record
    from definitions.tasks import TaskSpec
    from worker.interpreter.host import TaskCall
    from worker.interpreter.state import RunState
    from worker.rehearsal.case import Answer, Case
    from worker.rehearsal.on_temporal.clock import ServerClock
    from worker.rehearsal.on_temporal.timetable import Timetable


@dataclass(slots=True, eq=False)
class Scheduled:
    """An activity that a run has scheduled: a task, or the writing of records (``call`` is None).

    ``place`` is its place among the run's operations; None: it is done at once. ``told`` is set
    when the run has cancelled it, ``over`` when the run has heard that it is. What is cancelled
    ``after`` something else is not over before that.
    """

    place: int | None
    call: TaskCall | None = None
    answer: Answer | None = None
    told: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    after: Scheduled | None = None
    locked: bool = False


@dataclass(slots=True, eq=False)
class RehearsedRun:
    """One run of a case, over all runs of its chain."""

    case: Case
    catalogue: Mapping[str, TaskSpec]
    timetable: Timetable
    clock: ServerClock
    history_limit: int
    journal: Journal = field(default_factory=Journal)
    #: Why the run was refused before it began.
    refused: ErrorInfo | None = None
    #: How it ended.
    ended: RunState | None = None
    stopped: bool = False
    #: What it waits for, by the names of the tasks that do.
    waits: dict[str, str] = field(default_factory=dict)
    #: The same at the end of all time.
    waited: dict[str, str] = field(default_factory=dict)
    last_cancelled: Scheduled | None = None
    answers: Answers = field(init=False)
    _scheduled: dict[tuple[str, str], Scheduled] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)
    #: The ids of the runs of its chain.
    chain: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.answers = Answers(self.case.tasks)

    def scheduled(self, run_id: str, activity_id: str) -> Scheduled:
        """An activity of this run."""
        return self._scheduled[run_id, activity_id]

    def schedule(
        self, run_id: str, activity_id: str, place: int | None, call: TaskCall | None
    ) -> Scheduled:
        """Notes that an activity is scheduled. Replayed, it is the same one.

        Its first answer is given out now: what is scheduled at once can arrive in any order.
        """
        key = (run_id, activity_id)
        if key not in self._scheduled:
            answer = None if call is None else self.answers.next(call)
            self._scheduled[key] = Scheduled(place, call, answer)
        return self._scheduled[key]

    @property
    def restarts(self) -> int:
        """How often it continued as a new run."""
        return max(len(self.chain) - 1, 0)

    def keep(self, records: list[Record]) -> None:
        """Puts records into the journal; those that are there already are left out."""
        for record in records:
            if record.seq not in self._seen:
                self._seen.add(record.seq)
                self.journal.records.append(record)


#: The runs under way, by the id of their workflow.
RUNS: dict[str, RehearsedRun] = {}
