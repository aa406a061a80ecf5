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
    if before is not None:
        _refuse_undone(name, steps, before)
    earlier = [
        step for step in steps[: begun[-1]] if step.status.ended and _COMPENSATION not in step.path
    ]
    inherited = before.completed if before is not None else []
    state = ReusedState(
        step_id=step_id,
        data=_data(earlier, given, before),
        variables=_variables(definition, earlier, before),
        steps={**(before.steps if before is not None else {}), **_views(definition, earlier)},
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


def _refuse_undone(name: str, steps: Sequence[StepView], before: ReusedState) -> None:
    """Refuses to go on from what the earlier run has taken over, and then rolled back itself."""
    undone = {(step.path, step.iteration) for step in steps if _COMPENSATION in step.path}
    for one in before.completed:
        if (f"{one.path}{_COMPENSATION}", one.iteration) in undone:
            raise RefusedError(
                f"step {one.path} was rolled back by {name}, so nothing can go on from what it did",
                hint=f"run it again from {_on_main_path_of(one.path)} or before",
            )


def _on_main_path_of(path: str) -> str:
    return path.partition("/")[0].partition("#")[0]


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
    return data_of(earlier, {**(before.data if before is not None else {}), **given})


def data_of(steps: Sequence[StepView], given: JsonObject) -> JsonObject:
    """``data`` on the main path after these steps, which began as ``given``."""
    data = dict(given)
    for step in steps:
        merged = _on_main_path(step) and _did_its_work(step) and not step.wrapped
        if merged and isinstance(step.output, dict):
            data.update(step.output)
    return data


def _variables(
    definition: Definition, earlier: Sequence[StepView], before: ReusedState | None
) -> JsonObject:
    variables = dict(before.variables if before is not None else definition.variables)
    # In the order in which they began: one with branches has written before these do. Whatever
    # became of such a step later, an input that is an object was written.
    for step in earlier:
        written = step.task_id == "core.set" and step.status is not StepStatus.SKIPPED
        if written and isinstance(step.input, dict):
            variables.update(step.input)
    return variables


def _views(definition: Definition, earlier: Sequence[StepView]) -> dict[str, JsonObject]:
    """The steps as expressions see them: of each the one that was seen last."""
    with_items = {
        step.step_id for step in every_step(definition.steps) if step.for_each is not None
    }
    failed_items = _failed_items(earlier)
    views: dict[str, JsonObject] = {}
    for step in _as_seen(earlier):
        view = _view(step)
        if step.step_id in with_items and (_did_its_work(step) or step.error is not None):
            view["errors"] = failed_items.get((step.path, step.iteration), [])
        views.pop(step.step_id, None)
        views[step.step_id] = view
    return views


def _as_seen(earlier: Sequence[StepView]) -> list[StepView]:
    """The steps, but not items, in the order in which the main path came to see them.

    Steps inside an item are seen when that item has ended, so they come in the items' order.
    """
    ends: dict[str, list[int]] = {}
    for step in sorted(earlier, key=_number):
        if _is_item(step):
            ends.setdefault(step.path, []).append(step.seq)

    def place(step: StepView) -> tuple[int, ...]:
        parts = step.path.split("/")
        around = []
        for length in range(1, len(parts)):
            # A branch of an item is called by the item's number: fork/branch#3 is in fork#3.
            _, mark, index = parts[length].partition("#")
            if mark and length % 2 == 1:
                item = f"{'/'.join(parts[:length])}#{index}"
                around.append(next((end for end in ends.get(item, ()) if end > step.seq), step.seq))
        return (*around, step.seq)

    return sorted((step for step in earlier if not _is_item(step)), key=place)


def _failed_items(earlier: Sequence[StepView]) -> dict[tuple[str, int], list[JsonObject]]:
    """The failures of each step's items, by its path and iteration, as expressions see them."""
    failures: dict[tuple[str, int], list[JsonObject]] = {}
    for step in sorted(earlier, key=_number):
        if _is_item(step) and step.error is not None:
            path, _, index = step.path.rpartition("#")
            known = failures.setdefault((path, step.iteration), [])
            known.append({"index": int(index), **step.error.as_seen()})
    return failures


def _number(step: StepView) -> int:
    return step.seq


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


def _by_completion(earlier: Sequence[StepView]) -> list[StepView]:
    """The steps in the order in which they ended.

    On the main path that is the order of their numbers. Inside one of its steps, tasks side by side
    got theirs when they began, so there the clock decides.
    """
    ends = sorted(step.seq for step in earlier if _on_main_path(step))

    def place(step: StepView) -> tuple[int, bool, float, int]:
        around = next((end for end in ends if end >= step.seq), step.seq)
        ended = step.completed_at.timestamp() if step.completed_at is not None else 0.0
        return (around, step.seq == around, ended, step.seq)

    return sorted(earlier, key=place)


def _error(earlier: Sequence[StepView], before: ReusedState | None) -> JsonObject | None:
    return error_of(earlier) or (before.error if before is not None else None)


def error_of(steps: Sequence[StepView]) -> JsonObject | None:
    """``error`` after these steps: the latest one of them, if any failed."""
    failed = [step for step in steps if step.error is not None and not _is_item(step)]
    if not failed:
        return None
    latest = max(failed, key=_number)
    return latest.error.as_seen() if latest.error is not None else None


def _completed(definition: Definition, earlier: Sequence[StepView]) -> list[ReusedStep]:
    """The steps that the new run's rollback would have to undo, in the order of completion."""
    undone = {one.step_id: one for one in every_step(definition.steps) if one.compensation}
    found = []
    for step in _by_completion(earlier):
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
    return RefusedError(
        f"step {path} was rolled back, so nothing can go on from what it did",
        hint=f"run it again from {_on_main_path_of(path)} or before",
    )
