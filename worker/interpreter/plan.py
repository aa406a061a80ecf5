"""A definition made ready to run: expressions compiled, durations measured, steps found by id.

A plan is a pure function of the document and the task catalogue that the run pinned, so it is made
once for each content and shared by all runs of a worker.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from definitions.cel import compile_expression
from definitions.document import Definition, RetryPolicy
from definitions.durations import parse_duration
from definitions.expressions import AFTER_STEP_NAMES, ITEM_NAMES, STEP_NAMES
from definitions.tasks import INLINE_TASKS, NOT_ACTIVITIES, TaskSpec
from definitions.templates import CompiledMapping, parse_mapping
from definitions.walk import asks_people

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import timedelta

    from definitions.document import OnFailure, Step
    from definitions.expressions import Expression
    from definitions.jsontypes import JsonObject

#: What a step gets whose own policy and task's leave it out.
DEFAULT_RETRY = RetryPolicy()
#: ``core.fail``, the waits and child runs are not tried again by themselves.
SINGLE_ATTEMPT = RetryPolicy.model_validate({"maxAttempts": 1})
#: What is over at once without any task.
_AT_ONCE = frozenset({"core.noop", "core.set", "core.publish"})


@dataclass(frozen=True, slots=True)
class PlannedTransition:
    """An entry of ``next``."""

    target: str
    condition: Expression | None


@dataclass(frozen=True, slots=True)
class PlannedTask:
    """A task with its input and its limits: a step's own, or a compensation."""

    step_id: str
    spec: TaskSpec
    input: CompiledMapping | None
    retry: RetryPolicy
    timeout: timedelta | None
    attempt_timeout: timedelta | None = None
    heartbeat_timeout: timedelta | None = None

    @property
    def inline(self) -> bool:
        """Whether the interpreter does it by itself."""
        return self.spec.task_id in INLINE_TASKS


@dataclass(frozen=True, slots=True)
class PlannedStep(PlannedTask):
    """A step, ready to run.

    ``following`` is the next one in its list, ``position`` counts from 1. ``chains``: its task is
    local, and so may be what comes right after it.
    """

    name: str | None = None
    output: CompiledMapping | None = None
    items: CompiledMapping | None = None
    max_concurrency: int = 1
    tolerated_failures: int = 0
    next: tuple[PlannedTransition, ...] | None = None
    following: str | None = None
    branches: tuple[tuple[str, PlannedList], ...] = ()
    on_failure: OnFailure | None = None
    compensation: PlannedTask | None = None
    position: int | None = None
    chains: bool = False

    @property
    def quick(self) -> bool:
        """Whether it is over at once: a local task by itself, or what needs no task at all."""
        if self.branches or self.items is not None or self.timeout is not None:
            return False
        return self.spec.mode == "local" or self.spec.task_id in _AT_ONCE

    @property
    def summary(self) -> str:
        """What people see of it: its name, else its id."""
        return self.name or self.step_id


@dataclass(frozen=True, slots=True)
class PlannedList:
    """A list of steps that is walked: the document's own, or a branch's."""

    first: str
    steps: Mapping[str, PlannedStep]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole definition, ready to run. ``approvals``: whether any step asks a person."""

    definition: Definition
    main: PlannedList
    output: CompiledMapping | None
    timeout: timedelta | None
    approvals: bool
    step_ids: tuple[str, ...]


def every_planned(planned: PlannedList) -> Iterator[PlannedStep]:
    """All planned steps, those of branches included."""
    for step in planned.steps.values():
        yield step
        for _, branch in step.branches:
            yield from every_planned(branch)


def make_plan(document: JsonObject, catalogue: Mapping[str, TaskSpec]) -> Plan:
    """The plan of a document that was validated.

    Args:
        document: The definition as JSON.
        catalogue: The task specs that the run pinned; a task that is missing there is remote, and
            its activity answers ``UnknownTask``.
    """
    specs = tuple(sorted(spec.model_dump_json(by_alias=True) for spec in catalogue.values()))
    return _make_plan(json.dumps(document, ensure_ascii=False), specs)


@lru_cache(maxsize=256)
def _make_plan(document: str, specs: tuple[str, ...]) -> Plan:
    definition = Definition.model_validate_json(document)
    catalogue = {spec.task_id: spec for spec in map(TaskSpec.model_validate_json, specs)}
    return Plan(
        definition=definition,
        main=_plan_list(definition.steps, catalogue, STEP_NAMES, top_level=True),
        output=parse_mapping(definition.output, STEP_NAMES) if definition.gave("output") else None,
        timeout=parse_duration(definition.timeout) if definition.timeout else None,
        approvals=asks_people(definition),
        step_ids=tuple(step.step_id for step in definition.steps),
    )


def _plan_list(
    steps: Sequence[Step],
    catalogue: Mapping[str, TaskSpec],
    names: frozenset[str],
    *,
    top_level: bool = False,
) -> PlannedList:
    planned: dict[str, PlannedStep] = {}
    for index, step in enumerate(steps):
        following = steps[index + 1].step_id if index + 1 < len(steps) else None
        position = index + 1 if top_level else None
        planned[step.step_id] = _plan_step(step, following, position, catalogue, names)
    chained = {name: replace(one, chains=_chains(one, planned)) for name, one in planned.items()}
    return PlannedList(first=steps[0].step_id, steps=chained)


def _chains(step: PlannedStep, steps: Mapping[str, PlannedStep]) -> bool:
    if not step.quick or step.inline:
        return False
    targets = [one.target for one in step.next] if step.next is not None else [step.following]
    return any(target is not None and steps[target].quick for target in targets)


def _plan_step(
    step: Step,
    following: str | None,
    position: int | None,
    catalogue: Mapping[str, TaskSpec],
    names: frozenset[str],
) -> PlannedStep:
    spec = catalogue.get(step.task_id) or TaskSpec(task_id=step.task_id)
    inner = names | ITEM_NAMES if step.for_each is not None else names
    after = names | AFTER_STEP_NAMES
    next_ = None
    if step.next is not None:
        next_ = tuple(
            PlannedTransition(
                entry.next_step_id,
                compile_expression(entry.condition, after) if entry.condition else None,
            )
            for entry in step.next
        )
    return PlannedStep(
        step_id=step.step_id,
        name=step.name,
        spec=spec,
        input=parse_mapping(step.input, inner) if step.gave("input") else None,
        output=parse_mapping(step.output, after) if step.gave("output") else None,
        items=parse_mapping(step.for_each.items, names) if step.for_each else None,
        max_concurrency=step.for_each.max_concurrency if step.for_each else 1,
        tolerated_failures=step.for_each.tolerated_failures if step.for_each else 0,
        next=next_,
        following=following,
        branches=tuple(
            (branch.branch_id, _plan_list(branch.steps, catalogue, inner))
            for branch in step.parallel_branches
        ),
        retry=_retry(step, spec),
        timeout=_duration(step.timeout, spec.timeout),
        attempt_timeout=_duration(step.attempt_timeout, spec.attempt_timeout),
        heartbeat_timeout=_duration(step.heartbeat_timeout, spec.heartbeat_timeout),
        on_failure=step.on_failure,
        compensation=_compensation(step, catalogue, after),
        position=position,
    )


def _retry(step: Step, spec: TaskSpec) -> RetryPolicy:
    if step.retry_policy is not None:
        return step.retry_policy
    if step.on_failure is not None and step.on_failure.action == "retry":
        return DEFAULT_RETRY
    if step.task_id in NOT_ACTIVITIES:
        return SINGLE_ATTEMPT
    return spec.retry_policy or DEFAULT_RETRY


def _compensation(
    step: Step, catalogue: Mapping[str, TaskSpec], names: frozenset[str]
) -> PlannedTask | None:
    compensation = step.compensation
    if compensation is None:
        return None
    spec = catalogue.get(compensation.task_id) or TaskSpec(task_id=compensation.task_id)
    return PlannedTask(
        step_id=step.step_id,
        spec=spec,
        input=parse_mapping(compensation.input, names) if compensation.gave("input") else None,
        retry=compensation.retry_policy or DEFAULT_RETRY,
        timeout=_duration(compensation.timeout, spec.timeout),
        attempt_timeout=_duration(spec.attempt_timeout),
        heartbeat_timeout=_duration(spec.heartbeat_timeout),
    )


def _duration(*texts: str | None) -> timedelta | None:
    text = next((text for text in texts if text is not None), None)
    return parse_duration(text) if text is not None else None
