"""One execution as a whole, from the record alone: it needs Postgres, and no Temporal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.postgres.reader import MAX_PAGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from definitions.ports import Organization
    from definitions.views import ActionView, InstanceView, OutboxView, StepView
    from steploom.services import Services


@dataclass(frozen=True, slots=True)
class WholeRecord:
    """Everything that is on record of a run.

    ``actions``: what was done to it from outside; ``published``: its events for the outbox;
    ``related``: its child runs and its reruns, the first one first.
    """

    instance: InstanceView
    steps: Sequence[StepView]
    actions: Sequence[ActionView] = ()
    published: Sequence[OutboxView] = ()
    related: Sequence[InstanceView] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as JSON values; of related runs, what tells them apart."""
        return {
            **self.instance.to_json(),
            "steps": [step.to_json() for step in self.steps],
            "actions": [action.to_json() for action in self.actions],
            "published": [event.to_json() for event in self.published],
            "related": [_brief(run) for run in self.related],
        }


def _brief(run: InstanceView) -> dict[str, Any]:
    facts = run.to_json()
    names = (
        "id", "executionId", "workflowId", "version", "status", "origin", "error", "startedAt",
        "completedAt",
    )  # fmt: skip
    return {name: facts[name] for name in names}


async def read_whole(services: Services, org: Organization, name: str) -> WholeRecord:
    """A run by its execution id, its UUID, or the beginning of that.

    Raises:
        NotFoundError: No such run in this org.
        ConflictError: Several runs' ids begin so; the hint lists them.
    """
    async with services.reader.moment(org.id) as reader:
        instance = await reader.find_instance(org.id, name)
        related = await reader.list_instances(org.id, came_from=instance.id, limit=MAX_PAGE)
        return WholeRecord(
            instance=instance,
            steps=await reader.steps(org.id, instance.id),
            actions=await reader.actions(org.id, instance.id),
            published=await reader.outbox(org.id, instance.id),
            related=related.items[::-1],
        )
