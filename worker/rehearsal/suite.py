"""Runs the cases of files, one after the other, and never gives up on the rest.

A case that fails, one whose run is stuck, and a file that is broken are all results. Times are
real seconds, for reports; what a case itself sees is the virtual clock.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from definitions.errors import InvalidDocumentError
from definitions.problems import Problem
from worker.rehearsal.case import load_cases
from worker.rehearsal.compare import differences
from worker.rehearsal.host import RestartError
from worker.rehearsal.loop import Stuck
from worker.rehearsal.run import held_back_differences, rehearse
from worker.rehearsal.trace import trace

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from definitions.tasks import TaskSpec
    from worker.rehearsal.case import Case
    from worker.rehearsal.run import CaseResult

#: Of what a restart changed, the lines that are shown: one wrong thing makes many differ.
_MOST_CHANGES = 10


class Rehearsals(Protocol):
    """Rehearses somewhere else than offline."""

    def rehearse(
        self,
        case: Case,
        *,
        catalogue: Mapping[str, TaskSpec] | None = None,
        continue_every_step: bool = False,
    ) -> CaseResult:
        """Runs a case, with the run continued as a new one after every step if wanted.

        Raises:
            Stuck: The run waits for what the case never brings.
        """
        ...


@dataclass(frozen=True, slots=True)
class CaseFile:
    """A file as it was read: its cases, or why it is none."""

    path: str
    cases: list[Case] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CaseRun:
    """One case that was run.

    ``differences`` are lines; none of them: it passed. ``result`` is absent where the run never
    came to an end.
    """

    file: str
    name: str
    differences: list[str]
    seconds: float
    result: CaseResult | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


@dataclass(slots=True)
class Suite:
    """All that was run. ``stopped``: it did not come to every case."""

    files: list[CaseFile] = field(default_factory=list)
    runs: list[CaseRun] = field(default_factory=list)
    seconds: float = 0.0
    stopped: bool = False

    @property
    def failed(self) -> list[CaseRun]:
        """The cases that failed."""
        return [run for run in self.runs if not run.passed]

    @property
    def broken(self) -> list[CaseFile]:
        """The files that are no case files."""
        return [file for file in self.files if file.problems]


def read_cases(file: Path) -> CaseFile:
    """Reads a file; what is wrong with it is in the result."""
    try:
        return CaseFile(str(file), cases=load_cases(file))
    except InvalidDocumentError as error:
        return CaseFile(str(file), problems=list(error.problems))
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}"
        return CaseFile(str(file), problems=[Problem(pointer="", code="io", message=message)])


def run_case(
    file: str,
    case: Case,
    *,
    restart_every_step: bool = False,
    catalogue: Mapping[str, TaskSpec] | None = None,
    on: Rehearsals | None = None,
) -> CaseRun:
    """Rehearses one case.

    Args:
        file: The file that it is from, for reports.
        case: The case.
        restart_every_step: Run it once more, dumped and loaded wherever nothing moves; whatever
            that changes is a difference, too.
        catalogue: What is known of tasks: their own retry policies and timeouts.
        on: Where it is run; None: offline.
    """
    began = time.perf_counter()
    result: CaseResult | None = None
    found: list[str]
    try:
        if on is not None:
            result = on.rehearse(case, catalogue=catalogue)
        else:
            result = rehearse(case, catalogue=catalogue)
        found = list(result.differences)
        if restart_every_step:
            if on is None:
                found += _restarted(case, result, catalogue)
            else:
                again = on.rehearse(case, catalogue=catalogue, continue_every_step=True)
                found += [f"continued: {line}" for line in held_back_differences(case, again)]
    except (Stuck, RestartError) as error:
        found = [str(error)]
    return CaseRun(file, case.name, found, time.perf_counter() - began, result)


def _restarted(
    case: Case, plain: CaseResult, catalogue: Mapping[str, TaskSpec] | None
) -> list[str]:
    """What is not the same when the run is restarted from its state at every quiescent point."""
    again = rehearse(case, restart_every_step=True, catalogue=catalogue)
    changed = differences("restarted", trace(plain), trace(again))
    if len(changed) > _MOST_CHANGES:
        more = f"restarted: {len(changed) - _MOST_CHANGES} more places differ"
        changed = [*changed[:_MOST_CHANGES], more]
    return changed
