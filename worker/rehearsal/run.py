"""Rehearses a case: runs it offline and compares what came with what was expected."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from definitions.durations import format_duration, parse_duration
from definitions.errors import RefusedError
from definitions.identity import instance_id, org_id
from definitions.inputs import check_input
from definitions.records import ErrorInfo
from definitions.start import DEFAULT_ORG
from definitions.statuses import InstanceStatus
from worker.interpreter.begin import new_state
from worker.interpreter.events import EventMessage
from worker.interpreter.operators import OperatorRequest, SkipRequest
from worker.interpreter.people import DecisionRequest
from worker.interpreter.plan import make_plan
from worker.rehearsal.compare import differences
from worker.rehearsal.host import START, RehearsalHost, Restart
from worker.rehearsal.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from definitions.jsontypes import Json, JsonObject
    from definitions.tasks import TaskSpec
    from worker.interpreter.state import RunState
    from worker.rehearsal.case import Action, Case

_FIRST_RUN_ID = "rehearsal"


@dataclass(slots=True)
class CaseResult:
    """What came of a case. It passed when there are no ``differences`` from what was expected."""

    name: str
    status: InstanceStatus
    output: Json = None
    path: list[Json] = field(default_factory=list)
    elapsed: timedelta = timedelta(0)
    attempts: dict[str, int] = field(default_factory=dict)
    error: JsonObject | None = None
    compensated: list[str] = field(default_factory=list)
    data: JsonObject = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    journal: Journal = field(default_factory=Journal, repr=False)
    state: RunState | None = field(default=None, repr=False)
    restarts: int = 0

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return not self.differences


def rehearse(
    case: Case,
    *,
    restart_every_step: bool = False,
    drained: bool = False,
    catalogue: Mapping[str, TaskSpec] | None = None,
) -> CaseResult:
    """Runs a case on the virtual clock.

    Args:
        case: The case; its definition is one that was validated.
        restart_every_step: Dump and load the run's state wherever nothing moves. Changes nothing.
        drained: With it, restart as Temporal does, when no task is under way. Where branches run
            side by side this takes (virtual) time.
        catalogue: What is known of tasks: their own retry policies and timeouts.

    Raises:
        Stuck: The run waits for what the case never brings.
        RestartError: A restart changed what the run waits for.
    """
    plan = make_plan(case.definition, catalogue or {})
    problems = check_input(plan.definition.input_schema, case.input)
    if problems:
        message = "; ".join(f"{one.pointer or '/'}: {one.message}" for one in problems)
        return refused_result(case, ErrorInfo(type="InputError", message=message))
    state = new_state(
        plan,
        org_id=org_id(DEFAULT_ORG),
        instance_id=instance_id(_FIRST_RUN_ID),
        execution_id=_FIRST_RUN_ID,
        first_run_id=_FIRST_RUN_ID,
        started_at=START,
        input=case.input,
        config=case.config,
    )
    mode = Restart.NEVER
    if restart_every_step:
        mode = Restart.DRAINED if drained else Restart.EVERY_STEP
    host = RehearsalHost(plan, state, case.tasks, mode)
    pending = list(case.actions)
    for number, action in enumerate(case.actions):
        act = partial(_act, host, number, action, pending)
        host.from_outside(parse_duration(action.at), act)
    ended = host.run()
    numbers = sorted(range(len(case.actions)), key=lambda one: parse_duration(case.actions[one].at))
    for number in numbers:
        # Whatever comes after the end of a run is refused by it.
        if case.actions[number] in pending:
            _act(host, number, case.actions[number], pending)
    return ended_result(case, host.journal, ended, host.restarts)


def ended_result(case: Case, journal: Journal, ended: RunState, restarts: int) -> CaseResult:
    """What came of a run that began and ended, on whichever host."""
    if ended.ended_at is None:
        raise AssertionError("the run has not ended")
    result = CaseResult(
        name=case.name,
        status=ended.status,
        output=ended.output,
        path=journal.path(),
        elapsed=ended.ended_at - ended.started_at,
        attempts={name: journal.attempts_of(name) for name in case.expect.attempts or {}},
        error=ended.failure,
        compensated=journal.compensated(),
        data=ended.main.data,
        journal=journal,
        state=ended,
        restarts=restarts,
    )
    result.differences = journal.differences + _compare(case, result)
    return result


def refused_result(case: Case, error: ErrorInfo) -> CaseResult:
    """What came of a run whose input was refused: nothing of it was run."""
    result = CaseResult(case.name, InstanceStatus.FAILED, error=error.to_json())
    result.data = case.input
    result.differences = _compare(case, result)
    return result


def held_back_differences(case: Case, result: CaseResult) -> list[str]:
    """The differences of a run whose work was held back for restarts.

    Where work goes on side by side, to hold it back until nothing is under way takes time: then
    neither the clock nor the order of what goes on at once is compared.
    """
    text = json.dumps(case.definition)
    if any(word in text for word in ('"parallelBranches"', '"forEach"', '"parallel"')):
        undone = case.expect.compensated
        changed = {"elapsed": None, "compensated": None if undone is None else sorted(undone)}
        expect = case.expect.model_copy(update=changed)
        case = case.model_copy(update={"expect": expect})
        result = replace(result, compensated=sorted(result.compensated))
    return result.journal.differences + _compare(case, result)


def answer_difference(number: int, action: Action, refused: str | None) -> list[str]:
    """How the run's answer to an action differs from the expected one.

    Args:
        number: The action's place in the case.
        action: The action.
        refused: Why the run refused it; None: it did not.
    """
    what = f"action {number} ({action.kind} at {action.at})"
    if refused is not None and not action.refused:
        return [f"{what}: was refused: {refused}"]
    if refused is None and action.refused:
        return [f"{what}: expected to be refused, was accepted"]
    return []


def _act(host: RehearsalHost, number: int, action: Action, pending: list[Action]) -> None:
    """Does what a case says that the outside does; notes when the run's answer is another one."""
    pending.remove(action)
    refused = None
    try:
        _apply(host, action)
    except RefusedError as error:
        refused = str(error)
    host.journal.differences += answer_difference(number, action, refused)


def _apply(host: RehearsalHost, action: Action) -> None:
    interpreter = host.interpreter
    decision = action.decision()
    if decision is not None:
        interpreter.decide(DecisionRequest.model_validate(decision))
        return
    if interpreter.state.ended_at is not None:
        raise RefusedError(f"the run has ended: it is {interpreter.state.status}")
    if action.cancel is not None:
        interpreter.cancel(actor=action.cancel.actor, reason=action.cancel.reason)
    elif action.event is not None:
        message = EventMessage.model_validate(action.event.model_dump(exclude_unset=True))
        if interpreter.receive(message) == "refused":
            raise RefusedError("the event was not taken")
    elif interpreter.state.status.ended:
        raise RefusedError("the run is being rolled back")
    elif action.pause is not None:
        interpreter.pause(OperatorRequest.model_validate(action.pause.model_dump()))
    elif action.resume is not None:
        interpreter.resume(OperatorRequest.model_validate(action.resume.model_dump()))
    elif action.skip is not None:
        interpreter.skip(SkipRequest.model_validate(action.skip.model_dump()))


def _compare(case: Case, result: CaseResult) -> list[str]:
    """The lines in which a result differs from what the case expects."""
    expect, lines = case.expect, list[str]()
    if expect.status is not None:
        lines += differences("status", str(expect.status), str(result.status))
    if expect.gave("output"):
        lines += differences("output", expect.output, result.output)
    if expect.path is not None:
        lines += differences("path", *_aligned(expect.path, result.path))
    if expect.elapsed is not None and parse_duration(expect.elapsed) != result.elapsed:
        lines += differences("elapsed", expect.elapsed, format_duration(result.elapsed))
    if expect.attempts is not None:
        lines += differences("attempts", expect.attempts, result.attempts)
    if expect.gave("error"):
        lines += differences("error", expect.error, result.error, subset=True)
    elif result.error is not None and expect.status is InstanceStatus.COMPLETED:
        lines.append(f"error: {result.error.get('type')}: {result.error.get('message')}")
    if expect.compensated is not None:
        lines += differences("compensated", expect.compensated, result.compensated)
    if expect.data is not None:
        lines += differences("data", expect.data, result.data, subset=True)
    return lines


def _aligned(expected: list[Json], actual: list[Json]) -> tuple[list[Json], list[Json]]:
    """Both paths, without the forks that were not expected, so that they can be compared."""
    kept: list[Json] = []
    wanted = iter(expected)
    want = next(wanted, None)
    for entry in actual:
        if not isinstance(entry, dict):
            if isinstance(want, dict):
                want = next(wanted, None)  # A fork that was expected and did not come.
            kept.append(entry)
            want = next(wanted, None)
        elif isinstance(want, dict):
            kept.append({"fork": _aligned_fork(want["fork"], entry["fork"])})
            want = next(wanted, None)
    return expected, kept


def _aligned_fork(expected: JsonObject, actual: JsonObject) -> JsonObject:
    """The branches that were expected, each without the forks that were not."""
    return {
        branch: _aligned(path, actual[branch])[1]
        for branch, path in expected.items()
        if branch in actual
    }
