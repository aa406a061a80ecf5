"""Where a run goes, and where it never comes: rules over the graph of each list of steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.terms import reads
from definitions.validation.choices import always_matches
from definitions.validation.graph import may_be_handled
from definitions.validation.outline import object_of, objects_in, text_of
from definitions.validation.parsed import expressions_at, own_places

if TYPE_CHECKING:
    from definitions.jsontypes import JsonObject
    from definitions.validation.findings import Findings, Parts
    from definitions.validation.graph import Flow, Graph
    from definitions.validation.outline import RawStep, StepList
    from definitions.validation.shapes import Scope

#: How many steps of a loop a sentence names.
_NAMED = 5


def check_reachability(flow: Flow, findings: Findings) -> None:
    """A run can come to every step of a list, from its first one or after a failure."""
    for steps in flow.outline.lists:
        graph = flow.of(steps)
        if graph.broken:
            # Where the way that is broken was to lead, nobody knows.
            continue
        for step in steps.steps:
            if step.position not in graph.reached:
                findings.add(
                    step.where, "unreachable_step", "no way leads to this step, and it never runs"
                )


def check_loops(flow: Flow, scope: Scope, findings: Findings) -> None:
    """From every loop a way leads to an end.

    A failure is a way out where something takes it: a step around the list, or the document. Where
    all conditions of a ``next`` may be false, the loop ends there, and that is another rule's.
    """
    for steps in flow.outline.lists:
        if _failure_is_taken(steps, flow):
            continue
        graph = flow.of(steps)
        for loop in graph.loops(graph.trapped()):
            if not always_matches((steps.steps[position] for position in loop), scope):
                continue
            names = [steps.steps[position].step_id or "?" for position in loop]
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            message = f"no way leads out of the loop of {', '.join(names[:_NAMED])}{more}"
            findings.add(steps.steps[loop[0]].where, "endless_loop", f"{message}: it can only fail")


def _failure_is_taken(steps: StepList, flow: Flow) -> bool:
    owner = steps.owner
    if owner is None:
        return False
    while owner is not None:
        if may_be_handled(owner):
            return True
        owner = owner.siblings.owner
    return flow.handles


def check_falling_into_handlers(flow: Flow, findings: Findings) -> None:
    """A step for errors is not come to by merely being the next one in the list.

    ``continue`` may lead to any step of the ordinary way; its target is for errors where it reads
    ``error``. A ``next`` that names the step says that it is meant.
    """
    main = flow.outline.main
    for steps in flow.outline.lists:
        for_errors, after_errors = _error_targets(steps)
        if steps is main:
            on_failure = object_of(flow.outline.document, "onFailure")
            _collect_targets(on_failure, steps, for_errors, for_errors)
        graph = flow.of(steps)
        for position in sorted(for_errors | after_errors):
            step = steps.steps[position]
            if _falls_into(graph, position) and (position in for_errors or _reads_error(step)):
                before = steps.steps[position - 1]
                findings.add(
                    step.where,
                    "falls_into_handler",
                    f"an error handler leads to this step, and a run without any error falls into "
                    f"it from {before.step_id!r:.140}: end that step's way with next",
                )


def _falls_into(graph: Graph, position: int) -> bool:
    before = position - 1
    return before >= 0 and graph.ways[before].falls and before in graph.reached_well


def _error_targets(steps: StepList) -> tuple[set[int], set[int]]:
    handlers: set[int] = set()
    continued: set[int] = set()
    for step in steps.steps:
        _collect_targets(object_of(step.value, "onFailure"), steps, handlers, continued)
    return handlers, continued


def _collect_targets(
    on_failure: JsonObject, steps: StepList, handlers: set[int], continued: set[int]
) -> None:
    for _, condition in objects_in(object_of(on_failure, "errorHandler").get("conditions")):
        if (target := text_of(condition, "nextStepId")) in steps.ids:
            handlers.add(steps.ids[target or ""].position)
    target = text_of(on_failure, "nextStepId")
    if on_failure.get("action") == "continue" and target in steps.ids:
        continued.add(steps.ids[target or ""].position)


def _reads_error(step: RawStep) -> bool:
    return any(
        read.path[0] == "error"
        for place in own_places(step)
        for _, expression in expressions_at(place)
        for read in reads(expression.term)
    )


def check_shadowed_handlers(flow: Flow, findings: Findings) -> None:
    """No error handler stands behind one that takes all of its errors."""
    _check_shadowed(object_of(flow.outline.document, "onFailure"), ("onFailure",), findings)
    for step in flow.outline.steps:
        _check_shadowed(object_of(step.value, "onFailure"), (*step.where, "onFailure"), findings)


def _check_shadowed(on_failure: JsonObject, where: Parts, findings: Findings) -> None:
    seen: set[tuple[str | None, str | None]] = set()
    conditions = object_of(on_failure, "errorHandler").get("conditions")
    for index, condition in objects_in(conditions):
        kind, code = text_of(condition, "errorType"), text_of(condition, "errorCode")
        if not seen.isdisjoint({(kind, code), (None, code), (kind, None), (None, None)}):
            findings.add(
                (*where, "errorHandler", "conditions", index),
                "shadowed_handler",
                "an earlier condition takes every error that this one would",
            )
        seen.add((kind, code))
