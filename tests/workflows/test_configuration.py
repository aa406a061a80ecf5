"""What a run is configured with: which layers count, and that they stay what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import pytest

from adapters.postgres.configs import PostgresConfigStore
from steploom.services import Services
from tests.postgres import as_administrator
from tests.workflows.documents import definition, step
from tests.workflows.stack import DEFAULT
from tests.workflows.tasks import gate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from uuid import UUID

    from definitions.ports import StoredVersion
    from tests.workflows.stack import Handle, Stack

Channel = Literal["web", "voice", "efax"]


class Configs:
    """Configurations of the default org, as an operator makes them."""

    def __init__(self, stack: Stack) -> None:
        self.store = PostgresConfigStore(stack.database)
        self.stack = stack

    async def activate(
        self, data: dict[str, Any], workflow: UUID | None = None, channel: Channel | None = None
    ) -> None:
        """Stores a version and makes it count."""
        made = await self.store.create(DEFAULT, data, workflow_id=workflow, channel=channel)
        await self.store.activate(DEFAULT, made.id)

    async def set(self, version: StoredVersion, channel: Channel, **said: Any) -> None:
        """Offers a workflow on a channel, or no longer does."""
        await self.store.set_channel(DEFAULT, version.definition_id, channel, **said)

    def trace(self, handle: Handle) -> dict[str, Any]:
        """Channel and snapshot of a run's trace."""
        [row] = as_administrator(
            self.stack.url,
            "SELECT t.channel, t.config_snapshot FROM workflow_trace AS t"
            " JOIN workflow_instances AS i ON i.id = t.instance_id WHERE i.execution_id = %s",
            handle.id,
        )
        return row


@pytest.fixture
async def configs(stack: Stack) -> AsyncIterator[Configs]:
    """Configurations; what holds for all workflows is taken back when the test is over."""
    yield Configs(stack)
    as_administrator(stack.url, "DELETE FROM workflow_configs WHERE workflow_id IS NULL")
    as_administrator(stack.url, "DELETE FROM channel_configs")


def telling(*, gated: str | None = None) -> dict[str, Any]:
    """A definition whose output is its whole configuration, read in its last step."""
    steps = [step("gate", "test.gate", input={"gate": gated})] if gated else []
    return definition(*steps, step("tell", "test.echo", input="${config}"))


def services(stack: Stack, configs: Configs) -> Services:
    """What a command works with."""
    settings = stack.settings(task_queue=stack.task_queue)
    return Services(settings, stack.client, stack.store, stack.reader, configs.store)


async def test_the_workflow_goes_before_its_channel_and_that_before_all(
    stack: Stack, configs: Configs
) -> None:
    """Member by member, and what a member holds is replaced whole; the trace has the same."""
    version = await stack.register(telling())
    await configs.activate({"a": "all", "b": "all", "c": "all", "deep": {"x": 1, "y": 1}})
    await configs.activate({"b": "voice", "c": "voice", "deep": {"x": 2}}, channel="voice")
    await configs.activate({"b": "web"}, channel="web")
    await configs.activate({"c": "workflow"}, version.definition_id)
    handle = await stack.start(version.workflow_id, channel="voice")
    expected = {"a": "all", "b": "voice", "c": "workflow", "deep": {"x": 2}}
    assert await stack.result(handle) == expected
    assert configs.trace(handle) == {"channel": "voice", "config_snapshot": expected}


async def test_a_run_stays_with_what_it_began_with(stack: Stack, configs: Configs) -> None:
    """Whatever is activated meanwhile counts for the next run."""
    document = telling(gated="pinned")
    version = await stack.register(document)
    await configs.activate({"limit": 1}, version.definition_id)
    handle = await stack.start(version.workflow_id)
    await gate("pinned").entered.wait()
    await configs.activate({"limit": 2}, version.definition_id)
    gate("pinned").open.set()
    assert await stack.result(handle) == {"limit": 1}
    assert configs.trace(handle)["config_snapshot"] == {"limit": 1}
    assert (await stack.run(version.workflow_id))[0] == {"limit": 2}
