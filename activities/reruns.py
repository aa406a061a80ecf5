"""Finding what a rerun goes on from: the earlier run, its version, and the state before a step."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import ValidationError

from definitions.document import Definition
from definitions.errors import RefusedError
from definitions.records import RunOrigin
from definitions.reruns import ran_here, reuse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from definitions.calls import ReusedState
    from definitions.jsontypes import JsonObject
    from definitions.ports import DefinitionStore, RunReader, StoredVersion
    from definitions.start import StartRequest
    from definitions.views import InstanceView

#: How many reruns of reruns are followed back.
_MOST_RERUNS = 100


class Rerun(NamedTuple):
    """A rerun, ready to begin. ``start`` has everything that the earlier run had and this left out.

    ``version`` and ``definition`` are those that the earlier run was pinned to. ``same_channel``:
    it is on the earlier run's channel, and so takes its configuration, too.
    """

    start: StartRequest
    version: StoredVersion
    definition: Definition
    reused: ReusedState
    origin: RunOrigin
    same_channel: bool = True


async def prepare_rerun(
    store: DefinitionStore, reader: RunReader, org_id: UUID, start: StartRequest
) -> Rerun:
    """What a start object with ``rerun`` stands for.

    Raises:
        NotFoundError: No such run in this org, or no such version any more.
        ConflictError: The name of the run is the beginning of several.
        RefusedError: It cannot be run again from there.
    """
    asked = start.rerun
    if asked is None:
        raise AssertionError("not a rerun")
    instance = await reader.find_instance(org_id, asked.execution_id)
    if instance.definition_version_id is None:
        raise RefusedError(f"{instance.execution_id} never began: there is nothing to go on from")
    version = await store.get_version(org_id, instance.definition_version_id)
    try:
        definition = Definition.model_validate(version.document)
    except ValidationError as error:
        raise RefusedError(
            f"{version.workflow_id} {version.version} is stored in a shape that cannot be read"
        ) from error
    step_id = asked.from_step
    if step_id not in [step.step_id for step in definition.steps]:
        raise RefusedError(
            f"{step_id} is no step of the main path of {version.workflow_id} {version.version}",
            hint="inside a branch, name the step that forks: "
            + ", ".join(step.step_id for step in definition.steps),
        )
    whole = _completed_start(start, instance)
    reused = await _reused(reader, definition, instance, step_id, whole.input)
    origin = RunOrigin(
        kind="rerun",
        instance_id=instance.id,
        execution_id=instance.execution_id,
        path=step_id,
        iteration=1,
    )
    same_channel = start.channel in (None, instance.channel)
    return Rerun(whole, version, definition, reused, origin, same_channel)


async def _reused(
    reader: RunReader,
    definition: Definition,
    instance: InstanceView,
    step_id: str,
    given: JsonObject,
) -> ReusedState:
    """The state before a step, which may have run in a run that this one is itself a rerun of."""
    chain = [(instance, await reader.steps(instance.org_id, instance.id))]
    while (origin := chain[-1][0].origin) is not None and origin.kind == "rerun":
        if len(chain) > _MOST_RERUNS:
            raise RefusedError(f"{instance.execution_id} is a rerun of more than {_MOST_RERUNS}")
        earlier = await reader.find_instance(instance.org_id, str(origin.instance_id))
        chain.append((earlier, await reader.steps(earlier.org_id, earlier.id)))
    # A step that the latest run took over has run in one of those before it.
    while len(chain) > 1 and not ran_here(chain[0][1], step_id):
        chain.pop(0)
    before: ReusedState | None = None
    targets = [step_id, *(run.origin.path for run, _ in chain[:-1] if run.origin is not None)]
    for (run, steps), target in reversed(list(zip(chain, targets, strict=True))):
        before = reuse(definition, run, steps, target, given, before=before)
    if before is None:
        raise AssertionError("a chain of runs is never empty")
    await _check_undone(reader, [run for run, _ in chain], before)
    return before


async def _check_undone(
    reader: RunReader, chain: Sequence[InstanceView], reused: ReusedState
) -> None:
    """Refuses what another rerun of the same runs has rolled back in the meantime.

    Of a step that a rerun has taken over, its record knows that it was undone, and no more.
    """
    taken_over = {(one.path, one.iteration) for one in reused.completed}
    known = {run.id for run in chain}
    for run in chain:
        for other in await reader.reruns_of(run.org_id, run.id):
            if other.id in known:
                continue
            for step in await reader.steps(other.org_id, other.id):
                undone = step.compensated is not None and step.task_id is None
                if undone and (step.path, step.iteration) in taken_over:
                    raise RefusedError(
                        f"step {step.path} was rolled back by {other.execution_id}, so nothing "
                        "can go on from what it did",
                        hint="run it again from an earlier step",
                    )


def _completed_start(start: StartRequest, instance: InstanceView) -> StartRequest:
    """The start object with what the earlier run was started with, where it says nothing itself."""
    known = {
        "input": instance.input if isinstance(instance.input, dict) else {},
        "channel": instance.channel,
        "external_id": instance.external_id,
        "correlation_id": instance.correlation_id,
        "user_id": instance.user_id,
        "metadata": instance.metadata,
        "tags": instance.tags,
    }
    missing = {name: value for name, value in known.items() if name not in start.model_fields_set}
    return start.model_copy(update=missing)
