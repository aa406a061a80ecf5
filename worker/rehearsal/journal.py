"""Everything that a rehearsed run leaves behind, as a real one's would be written to Postgres."""

from __future__ import annotations

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
        return _path(self.steps(), "", 0, None)

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


def _path(steps: list[StepRecord], prefix: str, after: int, before: int | None) -> list[Json]:
    """The path of one list of steps, whose records lie between two numbers."""
    entries: list[Json] = []
    began = after
    for step in steps:
        inside = after < step.seq and (before is None or step.seq < before)
        name = step.path.removeprefix(prefix)
        if not inside or not step.path.startswith(prefix) or "/" in name or "@" in name:
            continue
        if "#" in name or not step.status.ended or step.status is StepStatus.CANCELLED:
            continue
        entries.append(name)
        branches: dict[str, list[Json]] = {}
        for inner in steps:
            if inner.path.startswith(f"{step.path}/") and began < inner.seq < step.seq:
                branch = inner.path.removeprefix(f"{step.path}/").partition("/")[0]
                branches.setdefault(branch, [])
        for branch in branches:
            branches[branch] = _path(steps, f"{step.path}/{branch}/", began, step.seq)
        if branches:
            entries.append({"fork": branches})
        began = step.seq
    return entries
