"""Running an execution again from one of its steps: what the new run takes over from the record.

Pure: the record goes in, a state comes out. What a step put into ``data`` is known from its output,
what ``core.set`` wrote from its input, and everything before the chosen step's latest iteration has
ended when that began, because the main path is one line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from definitions.calls import ReusedState, ReusedStep
from definitions.errors import RefusedError
from definitions.outputs import MAX_VALUE_BYTES, json_size
from definitions.redaction import has_redacted
from definitions.statuses import StepStatus
from definitions.walk import every_step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.document import Definition
    from definitions.jsontypes import JsonObject
    from definitions.views import InstanceView, StepView

_COMPENSATION = "@compensation"


def ran_here(steps: Sequence[StepView], step_id: str) -> bool:
    """Whether a step of the main path is on record in this run itself."""
    return any(step.path == step_id for step in steps)


def reuse(
    definition: Definition,
    instance: InstanceView,
    steps: Sequence[StepView],
    step_id: str,
    given: JsonObject,
    *,
    before: ReusedState | None = None,
) -> ReusedState:
    """What a run from a step of an earlier run begins with.

    Args:
        definition: The version that the earlier run was pinned to.
        instance: The earlier run. It has ended.
        steps: Its steps, in the order in which they began.
        step_id: The step, on the main path.
        given: The input of the new run.
        before: What the earlier run had itself taken over, where it was a rerun.

    Raises:
        RefusedError: The run goes on, the step never ran, or what came before was rolled back.
    """
    name = instance.execution_id
    if not instance.status.ended:
        raise RefusedError(
            f"{name} is {instance.status}: it can be run again when it has ended",
            hint=f"`steploom cancel {name}` ends it",
        )
    if definition.execution_log.level == "error":
        raise RefusedError(
            f"the record of {name} keeps no outputs (executionLog.level is error)",
            hint="start a new run",
        )
    begun = [place for place, step in enumerate(steps) if step.path == step_id]
    if not begun:
        raise RefusedError(
            f"step {step_id} of {name} never ran",
            hint=f"steps of its main path that did: {', '.join(_main_path(steps)) or 'none'}",
        )
    earlier = [
        step for step in steps[: begun[-1]] if step.status.ended and _COMPENSATION not in step.path
    ]
    inherited = before.completed if before is not None else []
    undone = {(step.path, step.iteration) for step in steps if step.compensated is not None}
    for one in inherited:
        if (one.path, one.iteration) in undone:
            raise _rolled_back(one.path)
    state = ReusedState(
        step_id=step_id,
        data=_data(earlier, given, before),
        variables=_variables(definition, earlier, before),
        steps={**(before.steps if before is not None else {}), **_views(instance, earlier)},
        error=_error(earlier, before),
        completed=[*inherited, *_completed(definition, earlier)],
        handled_globally=any(
            step.decision is not None and step.decision.kind == "global" for step in earlier
        )
        or (before is not None and before.handled_globally),
    )
    if has_redacted(state.to_json()):
        raise RefusedError(
            f"what {name} had until {step_id} is redacted in its record",
            hint="start a new run, or run it again from an earlier step",
        )
    size = json_size(state.to_json())
    if size > MAX_VALUE_BYTES:
        raise RefusedError(
            f"what {name} had until {step_id} has {size} bytes, at most {MAX_VALUE_BYTES} can be "
            "taken over",
            hint="run it again from an earlier step, or start a new run",
        )
    return state


def _main_path(steps: Sequence[StepView]) -> list[str]:
    return list(dict.fromkeys(step.path for step in steps if _on_main_path(step)))


def _on_main_path(step: StepView) -> bool:
    return not {"/", "#", "@"} & set(step.path)


def _is_item(step: StepView) -> bool:
    return "#" in step.path.rpartition("/")[2]


def _did_its_work(step: StepView) -> bool:
    """Whether it was completed, even where its ``next`` failed afterwards."""
    return step.status is StepStatus.COMPLETED or (
        step.status is StepStatus.FAILED and step.output is not None
    )


def _data(earlier: Sequence[StepView], given: JsonObject, before: ReusedState | None) -> JsonObject:
    # What the earlier run had taken over began with its own input, which the new one replaces.
    data = {**(before.data if before is not None else {}), **given}
    for step in earlier:
        merged = _on_main_path(step) and _did_its_work(step) and not step.wrapped
        if merged and isinstance(step.output, dict):
            data.update(step.output)
    return data


def _variables(
    definition: Definition, earlier: Sequence[StepView], before: ReusedState | None
) -> JsonObject:
    variables = dict(before.variables if before is not None else definition.variables)
    written = [step for step in earlier if step.task_id == "core.set" and _did_its_work(step)]
    for step in sorted(written, key=lambda step: step.seq):
        if isinstance(step.input, dict):
            variables.update(step.input)
    return variables


def _views(instance: InstanceView, earlier: Sequence[StepView]) -> dict[str, JsonObject]:
    """The steps as expressions see them: the latest iteration of each."""
    last: dict[str, JsonObject] = (instance.state or {}).get("steps") or {}
    views: dict[str, JsonObject] = {}
    for step in earlier:
        if _is_item(step):
            continue
        view = _view(step)
        # The record of a step does not list its items' tolerated failures; the run's end does.
        at_end = last.get(step.step_id) or {}
        if "errors" in at_end and at_end.get("completedAt") == view.get("completedAt"):
            view["errors"] = at_end["errors"]
        views[step.step_id] = view
    return views


def _view(step: StepView) -> JsonObject:
    view: JsonObject = {"status": str(step.status)}
    for name, moment in (("startedAt", step.started_at), ("completedAt", step.completed_at)):
        if moment is not None:
            view[name] = moment.isoformat().replace("+00:00", "Z")
    if step.output is not None:
        view["output"] = step.output
    elif step.decision is not None and step.decision.kind in {"handler", "continue", "skip"}:
        view["output"] = {}
    if step.error is not None:
        view["error"] = step.error.as_seen()
    return view


def _error(earlier: Sequence[StepView], before: ReusedState | None) -> JsonObject | None:
    failed = [step for step in earlier if step.error is not None and not _is_item(step)]
    if not failed:
        return before.error if before is not None else None
    latest = max(failed, key=lambda step: step.seq)
    return latest.error.as_seen() if latest.error is not None else None


def _completed(definition: Definition, earlier: Sequence[StepView]) -> list[ReusedStep]:
    """The steps that the new run's rollback would have to undo, in the order of completion."""
    undone = {one.step_id: one for one in every_step(definition.steps) if one.compensation}
    found = []
    for step in sorted(earlier, key=lambda step: step.seq):
        planned = undone.get(step.step_id)
        if planned is None or not _did_its_work(step):
            continue
        if (planned.for_each is not None) is not _is_item(step):
            continue
        if step.compensated is not None:
            raise _rolled_back(step.path)
        output = step.output if isinstance(step.output, dict) else {}
        found.append(
            ReusedStep(
                step_id=step.step_id, path=step.path, iteration=step.iteration, output=output
            )
        )
    return found


def _rolled_back(path: str) -> RefusedError:
    first = path.partition("/")[0].partition("#")[0]
    return RefusedError(
        f"step {path} was rolled back, so nothing can go on from what it did",
        hint=f"run it again from {first} or before",
    )
