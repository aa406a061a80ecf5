"""Everything that a rehearsed run leaves behind, as a real one's would be written to Postgres."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from definitions.records import CompensationRecord, StepRecord
from definitions.statuses import StepStatus

if TYPE_CHECKING:
    from definitions.jsontypes import Json
    from definitions.records import AttemptRecord, Record

COMPENSATION = "@compensation"


@dataclass(slots=True)
class Journal:
    """The records in the order in which they came; ``differences`` from ``expectInput``."""

    records: list[Record] = field(default_factory=list)
    attempts: list[AttemptRecord] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def steps(self) -> list[StepRecord]:
        """Each (path, iteration) as it stands: of its records the one with the highest ``seq``.

        In the order of those numbers. What a step's own records leave out (its attempts know the
        input) stays out here.
        """
        latest: dict[tuple[str, int], StepRecord] = {}
        for record in self.records:
            if isinstance(record, StepRecord):
                known = latest.get((record.path, record.iteration))
                if known is None or known.seq < record.seq:
                    latest[record.path, record.iteration] = record
        return sorted(latest.values(), key=lambda record: record.seq)

    def path(self) -> list[Json]:
        """The steps of the main path in the order in which they ended, those cancelled left out.

        ``{"fork": {branch: path}}`` stands after each step whose branches ran; the branch of an
        item has its index, as in the paths of its steps (``each#3``).
        """
        return _Paths(self.steps()).tell("", 0, math.inf)

    def attempts_of(self, name: str) -> int:
        """How often the task of a step was tried, all its iterations and items together.

        ``name`` is a step's id, or the path of one step or item.
        """
        tried = sum(
            1
            for attempt in self.attempts
            if COMPENSATION not in attempt.step.path
            and name in {attempt.step.path, attempt.step.step_id}
        )
        if tried:
            return tried
        # The interpreter's own tasks have no attempts on record, save their number in an error.
        steps = [
            step
            for step in self.steps()
            if name in {step.path, step.step_id} and COMPENSATION not in step.path
        ]
        items = [step for step in steps if "#" in step.path.rpartition("/")[2]]
        return sum(step.attempts or 1 for step in items or steps)

    def compensated(self) -> list[str]:
        """The paths of the steps that were rolled back, in that order."""
        return [
            record.path
            for record in self.records
            if isinstance(record, CompensationRecord) and record.compensated
        ]


class _Paths:
    """The records of each list of steps, so that a path can be told in one walk over them."""

    def __init__(self, steps: list[StepRecord]) -> None:
        self._lists: dict[str, list[StepRecord]] = {}
        self._branches: dict[str, list[str]] = {}
        for step in steps:
            prefix, slash, _ = step.path.rpartition("/")
            prefix += slash
            if prefix not in self._lists:
                self._lists[prefix] = []
                outer, _, branch = prefix.removesuffix("/").rpartition("/")
                self._branches.setdefault(outer, []).append(branch)
            self._lists[prefix].append(step)

    def tell(self, prefix: str, after: int, before: float) -> list[Json]:
        """The path of one list of steps; its records have numbers between the two."""
        entries: list[Json] = []
        steps = self._lists.get(prefix, [])
        for step in steps[bisect_right(steps, after, key=_number) :]:
            if step.seq >= before:
                break
            name = step.path.removeprefix(prefix)
            inside = "#" not in name and COMPENSATION not in name
            if not inside or not step.status.ended or step.status is StepStatus.CANCELLED:
                continue
            entries.append(name)
            fork = {
                branch: self.tell(f"{step.path}/{branch}/", after, step.seq)
                for branch in self._branches.get(step.path, ())
                if self._any(f"{step.path}/{branch}/", after, step.seq)
            }
            if fork:
                entries.append({"fork": fork})
            after = step.seq
        return entries

    def _any(self, prefix: str, after: int, before: int) -> bool:
        steps = self._lists[prefix]
        first = bisect_right(steps, after, key=_number)
        return first < len(steps) and steps[first].seq < before


def _number(step: StepRecord) -> int:
    return step.seq
