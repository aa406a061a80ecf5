"""Why a run went where it went, told from its record alone.

The record has every fact already; what is added here are the connections: how long until the next
attempt, which decision led to a step, what cancelled it, what a rollback undid.
"""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from definitions.action_sentences import (
    action_sentence,
    by_whom,
    children_of,
    latest,
    origin_sentence,
    reruns_in,
    skip_of,
)
from definitions.decided import decision_of
from definitions.durations import format_duration
from definitions.errors import NotFoundError
from definitions.explain_sentences import (
    cancelled_sentence,
    decision_sentence,
    enclosing,
    error_sentence,
    vote_sentence,
    waiting_sentence,
)
from definitions.records import Decision, ErrorInfo, Vote
from definitions.statuses import InstanceStatus, StepStatus
from definitions.texts import moment, short, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.views import ActionView, AttemptView, InstanceView, StepView

#: Longer inputs and outputs are cut; ``show`` has them whole.
_VALUE = 200
_COMPENSATION = "@compensation"


class _Part(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    def to_json(self) -> dict[str, Any]:
        """The part as JSON values, absent fields left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


class AttemptStory(_Part):
    """One attempt. ``took`` and ``next_after``, until the next one, are ISO 8601 durations."""

    attempt: int
    status: StepStatus
    error: ErrorInfo | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    took: str | None = None
    next_after: str | None = None
    worker: str | None = None


class RelatedRun(_Part):
    """Another run that came from this one; ``steploom explain`` tells of it by its execution id."""

    execution_id: str
    workflow_id: str
    version: str
    status: InstanceStatus


class StepStory(_Part):
    """One iteration of a step, of one item of a ``forEach``, or of a compensation.

    ``given`` and ``result`` are JSON texts, shortened. ``tries`` counts the attempts, also those of
    the interpreter's own tasks, which have no records. Sentences: ``reached`` tells how the run
    came here, ``waited`` for what it waited, ``skipped`` who skipped it and why, ``because`` why it
    went on so, or was cancelled. ``children`` are the runs that it started.
    """

    path: str
    iteration: int
    step_id: str
    kind: Literal["step", "item", "compensation"] = "step"
    task_id: str | None = None
    name: str | None = None
    status: StepStatus
    started_at: datetime | None = None
    completed_at: datetime | None = None
    took: str | None = None
    given: str | None = None
    result: str | None = None
    error: ErrorInfo | None = None
    tries: int = 0
    attempts: list[AttemptStory] = Field(default_factory=list)
    waiting_for: dict[str, Any] | None = None
    waited: str | None = None
    votes: list[Vote] = Field(default_factory=list)
    voted: list[str] = Field(default_factory=list)
    skipped: str | None = None
    children: list[RelatedRun] = Field(default_factory=list)
    decision: Decision | None = None
    reached: str | None = None
    because: str | None = None
    compensated: bool | None = None


class Explanation(_Part):
    """A run, told in the order in which its steps began.

    ``ending`` says how it ended or where it stands. ``compensated`` and ``not_compensated`` are the
    paths of the steps that a rollback undid, or could not, in its order. ``origin`` says which run
    it came from, ``actions`` what was done to it from outside, by whom and why, a sentence each;
    ``reruns`` go on from it. With ``step``, ``steps`` holds that step alone.
    """

    execution_id: str
    workflow_id: str
    version: str
    status: InstanceStatus
    started_at: datetime
    completed_at: datetime | None = None
    given: str | None = None
    origin: str | None = None
    step: str | None = None
    steps: list[StepStory]
    actions: list[str] = Field(default_factory=list)
    ending: str
    compensated: list[str] = Field(default_factory=list)
    not_compensated: list[str] = Field(default_factory=list)
    reruns: list[RelatedRun] = Field(default_factory=list)


def explain(
    instance: InstanceView,
    steps: Sequence[StepView],
    step: str | None = None,
    *,
    actions: Sequence[ActionView] = (),
    related: Sequence[InstanceView] = (),
) -> Explanation:
    """The story of a run.

    Args:
        instance: The run.
        steps: Its steps in the order in which they began, with their attempts.
        step: Only this one, by its id or path: all its iterations, items and compensations.
        actions: What was done to it from outside, in its order.
        related: The runs that came from it, the first one first.

    Raises:
        NotFoundError: No such step is on record; the hint lists those that are.
    """
    told = [
        _story(view, instance, steps, place, actions=actions, related=related)
        for place, view in enumerate(steps)
        if step is None or _is(view, step)
    ]
    if step is not None and not told:
        known = dict.fromkeys(view.step_id for view in steps)
        raise NotFoundError(
            "step",
            step,
            hint=f"the run has not come to it; on record: {', '.join(known) or 'no step yet'}",
        )
    undone = [view for view in steps if view.path.endswith(_COMPENSATION)]
    return Explanation(
        execution_id=instance.execution_id,
        workflow_id=instance.workflow_id,
        version=instance.version,
        status=instance.status,
        started_at=instance.started_at,
        completed_at=instance.completed_at,
        given=short(instance.input, _VALUE) if instance.input is not None else None,
        origin=origin_sentence(instance.origin) if instance.origin is not None else None,
        step=step,
        steps=told,
        actions=[action_sentence(one) for one in actions],
        ending=_ending(instance, steps, actions),
        compensated=[_undone(view) for view in undone if view.status is StepStatus.COMPLETED],
        not_compensated=[_undone(view) for view in undone if view.status is StepStatus.FAILED],
        reruns=[_related(run) for run in reruns_in(related)],
    )


def _related(run: InstanceView) -> RelatedRun:
    return RelatedRun(
        execution_id=run.execution_id,
        workflow_id=run.workflow_id,
        version=run.version,
        status=run.status,
    )


def _is(view: StepView, name: str) -> bool:
    path = _undone(view)
    head, _, last = path.rpartition("/")
    whole = f"{head}/{last.partition('#')[0]}" if head else last.partition("#")[0]
    return name in {view.step_id, view.path, path, whole}


def _undone(view: StepView) -> str:
    return view.path.removesuffix(_COMPENSATION)


def _story(
    view: StepView,
    instance: InstanceView,
    steps: Sequence[StepView],
    place: int,
    *,
    actions: Sequence[ActionView],
    related: Sequence[InstanceView],
) -> StepStory:
    skipped = skip_of(view, actions)
    given = view.input
    if given is None and view.attempt_records:
        given = view.attempt_records[0].input
    return StepStory(
        path=view.path,
        iteration=view.iteration,
        step_id=view.step_id,
        kind=_kind(view),
        task_id=view.task_id,
        name=view.name,
        status=view.status,
        started_at=view.started_at,
        completed_at=view.completed_at,
        took=_between(view.started_at, view.completed_at),
        given=short(given, _VALUE) if given is not None else None,
        result=short(view.output, _VALUE) if view.output is not None else None,
        error=view.error,
        tries=_tries(view),
        attempts=_attempts(view.attempt_records),
        waiting_for=view.waiting_for,
        waited=waiting_sentence(view),
        votes=view.votes,
        voted=[vote_sentence(vote) for vote in view.votes],
        skipped=f"skipped {by_whom(skipped)}" if skipped is not None else None,
        children=[_related(run) for run in children_of(view, related)],
        decision=decision_of(view),
        reached=_reached(view, steps[:place]),
        because=decision_sentence(view)
        or cancelled_sentence(view, instance, steps[:place])
        or _tolerated(view, steps[:place]),
        compensated=view.compensated,
    )


def _tries(view: StepView) -> int:
    recorded = len(view.attempt_records)
    if view.error is not None and view.error.step_id not in {None, view.step_id}:
        return recorded  # The number is that of the step in its branches which failed.
    return max(view.attempts, recorded)


def _kind(view: StepView) -> Literal["step", "item", "compensation"]:
    if view.path.endswith(_COMPENSATION):
        return "compensation"
    return "item" if "#" in view.path.rpartition("/")[2] else "step"


def _attempts(records: Sequence[AttemptView]) -> list[AttemptStory]:
    return [
        AttemptStory(
            attempt=one.attempt,
            status=one.status,
            error=one.error,
            started_at=one.started_at,
            completed_at=one.completed_at,
            took=_between(one.started_at, one.completed_at),
            next_after=_between(one.completed_at, after.started_at if after else None),
            worker=one.worker,
        )
        for one, after in zip_longest(records, records[1:])
    ]


def _between(start: datetime | None, end: datetime | None) -> str | None:
    # Clocks of two workers may disagree; nothing ends before it began.
    return format_duration(max(end - start, end - end)) if start and end else None


def _reached(view: StepView, earlier: Sequence[StepView]) -> str | None:
    """The decision that led to a step: the last one before it, in its list, with it as target."""
    if _kind(view) == "compensation":
        return f"the run was rolled back, and {_undone(view)} had completed"
    if _kind(view) == "item":
        return f"{view.path.rpartition('#')[0]} runs once for each item"
    prefix = view.path.removesuffix(view.step_id)
    for before in reversed(earlier):
        decision = decision_of(before)
        if decision is None or decision.target != view.step_id:
            continue
        if before.path.removesuffix(before.step_id) == prefix:
            return decision_sentence(before)
    outer = enclosing(view.path)
    if outer is None:
        return "the run began here" if not earlier else None
    branch = view.path.split("/")[-2].partition("#")[0]
    return f"branch {branch} of {outer} began here"


def _tolerated(view: StepView, earlier: Sequence[StepView]) -> str | None:
    if _kind(view) != "item" or view.error is None:
        return None
    whole = view.path.rpartition("#")[0]
    found = [one for one in earlier if one.path == whole and one.iteration == view.iteration]
    if found and found[-1].status is StepStatus.COMPLETED:
        return f"{whole} went on because it tolerates failures of some items"
    return None


def _ending(
    instance: InstanceView, steps: Sequence[StepView], actions: Sequence[ActionView]
) -> str:
    when = ""
    if instance.completed_at is not None:
        long = span(instance.completed_at - instance.started_at)
        when = f" at {moment(instance.completed_at)}, after {long}"
    match instance.status:
        case InstanceStatus.COMPLETED:
            result = f", with {short(instance.output, _VALUE)}" if instance.output else ""
            return f"the run completed{when}{result}"
        case InstanceStatus.FAILED:
            error = instance.error or {}
            at = f" at step {error['stepId']}" if error.get("stepId") else ""
            why = f": {error_sentence(error)}" if error else ""
            return f"the run failed{at}{when}{why}"
        case InstanceStatus.CANCELLED:
            asked = latest(actions, "cancel")
            return f"the run was cancelled{when}{_said_of(asked)}"
        case InstanceStatus.RUNNING | InstanceStatus.SUSPENDED:
            return _standing(instance, steps, actions)


def _said_of(action: ActionView | None) -> str:
    return f" (asked for {by_whom(action)})" if action is not None else ""


def _standing(
    instance: InstanceView, steps: Sequence[StepView], actions: Sequence[ActionView]
) -> str:
    paused = ""
    if instance.status is InstanceStatus.SUSPENDED:
        paused = f" and is paused{_said_of(latest(actions, 'pause'))}"
    open_ = [view for view in steps if view.status is StepStatus.WAITING]
    waits = "; ".join(f"{view.path} {waiting_sentence(view) or 'waits'}" for view in open_)
    at = f" at step {instance.current_step_id}" if instance.current_step_id else ""
    return f"the run stands{at}{paused}" + (f": {waits}" if waits else "")
