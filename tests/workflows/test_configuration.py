"""What a run is configured with: which layers count, and that they stay what they were."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from uuid import uuid4

import pytest

from activities.registry import TaskRegistry
from activities.runs import RunActivities
from adapters.postgres.configs import PostgresConfigStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.calls import ResolveRequest
from definitions.errors import InvalidInputError, RefusedError
from definitions.start import StartRequest
from definitions.validation.api import parse_definition
from steploom.operations.reruns import rerun
from steploom.operations.starting import start
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
    return Services(settings, stack.client, stack.database)


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


async def test_without_a_channel_the_enabled_one_of_highest_priority_is_taken(
    stack: Stack, configs: Configs
) -> None:
    """Its configuration counts, and the record says which one it was."""
    version = await stack.register(telling())
    for channel in ("web", "voice", "efax"):
        await configs.activate({"channel": channel}, channel=channel)
    await configs.set(version, "web", priority=1)
    await configs.set(version, "voice", priority=9, enabled=False)
    await configs.set(version, "efax", priority=5, data={"own": True})
    handle = await stack.start(version.workflow_id)
    assert await stack.result(handle) == {"channel": "efax", "own": True}
    assert configs.trace(handle)["channel"] == "efax"
    assert (await stack.record(handle)).instance.channel == "efax"
    # What the org does not use is offered by none of its workflows.
    await configs.store.set_org_channel(DEFAULT, "efax", enabled=False)
    assert (await stack.run(version.workflow_id))[0] == {"channel": "web"}


async def test_a_disabled_channel_is_refused(stack: Stack, configs: Configs) -> None:
    """Whoever starts the run: it fails before its first step, and says so on record."""
    version = await stack.register(telling())
    await configs.set(version, "voice", enabled=False)
    error, record = await stack.run_failing(version.workflow_id, channel="voice")
    assert (error.type, record.steps) == ("InputError", [])
    assert "the channel voice is disabled" in error.message
    assert (record.instance.status, record.instance.channel) == ("failed", "voice")
    request = StartRequest(workflow_id=version.workflow_id, channel="voice")
    with pytest.raises(InvalidInputError, match="the channel voice is disabled"):
        await start(services(stack, configs), request)
    await configs.set(version, "web", enabled=False)
    error, _ = await stack.run_failing(version.workflow_id)
    assert "the channel web is disabled" in error.message
    await configs.set(version, "voice", enabled=True)
    assert (await start(services(stack, configs), request)).served


async def test_a_channel_that_the_org_does_not_use_is_refused(
    stack: Stack, configs: Configs
) -> None:
    """Also where a workflow offers it."""
    version = await stack.register(telling())
    await configs.set(version, "efax")
    await configs.store.set_org_channel(DEFAULT, "efax", enabled=False)
    error, _ = await stack.run_failing(version.workflow_id, channel="efax")
    assert "the channel efax is disabled" in error.message


async def test_an_idempotent_start_finds_its_run_on_a_channel_that_was_disabled(
    stack: Stack, configs: Configs
) -> None:
    """What was started is found, whatever may be started now."""
    version = await stack.register(telling())
    request = StartRequest(
        workflow_id=version.workflow_id, channel="voice", idempotency_key=uuid4().hex
    )
    first = await start(services(stack, configs), request)
    await stack.result(stack.client.get_workflow_handle(first.execution_id))
    await configs.set(version, "voice", enabled=False)
    again = await start(services(stack, configs), request)
    assert (again.existing, again.execution_id) == (True, first.execution_id)


async def test_a_beginning_that_is_repeated_is_the_same(stack: Stack, configs: Configs) -> None:
    """A worker that dies after it has written, and before it has answered, changes nothing."""
    version = await stack.register(telling())
    await configs.activate({"limit": 1}, version.definition_id)
    recorder = PostgresRecorder(stack.database)
    runs = RunActivities(
        stack.store,
        stack.reader,
        configs.store,
        recorder,
        TaskRegistry(),
        search_attributes=False,
        liveness_timeout=30,
        history_limit=3000,
    )
    request = ResolveRequest(
        start={"workflowId": version.workflow_id, "channel": "voice"},
        execution_id=uuid4().hex,
        first_run_id=uuid4().hex,
        started_at=datetime.now(UTC),
        interpreter_version=1,
    )
    first = await runs.resolve(request)
    await configs.activate({"limit": 2}, version.definition_id)
    await configs.set(version, "voice", enabled=False)
    again = await runs.resolve(request)
    assert first.config == again.config == {"limit": 1}
    other = await runs.resolve(request.model_copy(update={"first_run_id": uuid4().hex}))
    assert other.error is not None
    await recorder.close()


async def test_a_run_that_continues_keeps_its_configuration(stack: Stack, configs: Configs) -> None:
    """Through every run of its chain."""
    names = ["a", "b", "c", "d"]
    document = definition(
        *(step(name, "test.echo", input={name: "${config.limit}"}) for name in names),
        output="${data}",
    )
    version = await stack.register(document)
    await configs.activate({"limit": 3}, version.definition_id)
    async with stack.worker(history_limit=1) as hasty:
        handle = await hasty.start(version.workflow_id)
        assert await hasty.result(handle) == dict.fromkeys(names, 3)
        description = await handle.describe()
        assert description.run_id != handle.first_execution_run_id


async def test_a_rerun_takes_what_the_earlier_run_was_pinned_to(
    stack: Stack, configs: Configs
) -> None:
    """Even when its channel was disabled since; on another channel it takes what counts there."""
    version = await stack.register(telling())
    await configs.activate({"limit": 1}, version.definition_id)
    first = await stack.start(version.workflow_id, channel="voice")
    await stack.result(first)
    await configs.activate({"limit": 2}, version.definition_id)
    await configs.set(version, "voice", enabled=False)
    asked = {"executionId": first.id, "fromStep": "tell"}
    again = await stack.start_with({"rerun": asked})
    assert await stack.result(again) == {"limit": 1}
    assert configs.trace(again) == {"channel": "voice", "config_snapshot": {"limit": 1}}
    elsewhere = await stack.start_with({"rerun": asked, "channel": "web"})
    assert await stack.result(elsewhere) == {"limit": 2}


async def test_a_rerun_is_refused_what_is_redacted(stack: Stack, configs: Configs) -> None:
    """What came by SQL, past the command that refuses it, is redacted in the record."""
    document = definition(step("tell", "test.echo", input={"n": "${size(config)}"}))
    version = await stack.register(document)
    await configs.activate({"api_key": "planted-in-config"}, version.definition_id)
    first = await stack.start(version.workflow_id)
    assert await stack.result(first) == {"n": 1}
    assert configs.trace(first)["config_snapshot"] == {"api_key": "[redacted]"}
    request = StartRequest.model_validate({"rerun": {"executionId": first.id, "fromStep": "tell"}})
    with pytest.raises(RefusedError, match="is redacted in its record"):
        await rerun(services(stack, configs), request)
    handle = await stack.start_with(request.to_json())
    error = await stack.failure(handle)
    assert error.type == "InputError"
    assert "is redacted in its record" in error.message


async def test_a_secret_is_a_reference_until_a_task_gets_it(
    stack: Stack, configs: Configs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reference is on record and can be run again from; the secret is nowhere."""
    monkeypatch.setenv("STEPLOOM_SECRET_SHOP_KEY", "planted-shop-key")
    document = definition(step("call", "test.echo", input={"x": "${config.api_key}"}))
    version = await stack.register(document)
    await configs.activate({"api_key": "secret://shop-key"}, version.definition_id)
    handle = await stack.start(version.workflow_id)
    assert await stack.result(handle) == {"x": "[redacted]"}
    assert configs.trace(handle)["config_snapshot"] == {"api_key": "secret://shop-key"}
    asked = {"executionId": handle.id, "fromStep": "call"}
    assert await stack.result(await stack.start_with({"rerun": asked})) == {"x": "[redacted]"}
    history = await handle.fetch_history()
    assert "planted-shop-key" not in history.to_json()


async def test_a_child_run_has_a_configuration_of_its_own(stack: Stack, configs: Configs) -> None:
    """That of its own workflow, not its parent's."""
    child = await stack.register(telling())
    parent = await stack.register(
        definition(step("run", "core.workflow", input={"workflowId": child.workflow_id}))
    )
    await configs.activate({"whose": "child"}, child.definition_id)
    await configs.activate({"whose": "parent"}, parent.definition_id)
    assert (await stack.run(parent.workflow_id))[0] == {"whose": "child"}


async def test_another_orgs_configuration_is_never_seen(stack: Stack, configs: Configs) -> None:
    """Neither what it says of all, nor of channels, nor of a workflow of the same name."""
    other = await stack.store.create_org(f"other-{uuid4().hex[:8]}")
    document = telling()
    ours = await stack.register(document)
    theirs = await stack.store.register(other.id, parse_definition(document), document)
    for data, said in (
        ({"all": 1}, {}),
        ({"channel": 1}, {"channel": "web"}),
        ({"workflow": 1}, {"workflow_id": theirs.definition_id}),
    ):
        made = await configs.store.create(other.id, data, **said)
        await configs.store.activate(other.id, made.id)
    await configs.store.set_org_channel(other.id, "web", enabled=False)
    await configs.store.set_channel(other.id, theirs.definition_id, "voice", priority=9)
    await configs.activate({"mine": 1}, ours.definition_id)
    assert (await stack.run(ours.workflow_id))[0] == {"mine": 1}
    assert (await stack.run(document))[0] == {"mine": 1}
    expected = {"all": 1, "workflow": 1}
    handle = await stack.start(ours.workflow_id, orgId=other.slug)
    assert await stack.result(handle) == expected


@pytest.mark.parametrize(
    ("stored", "said"),
    [
        ("[1]", "a configuration is a JSON object"),
        ('{"n": 1e400}', "/n"),
        (json.dumps({"text": "x" * 70_000}), "at most 65536 are allowed"),
    ],
    ids=["list", "number", "size"],
)
async def test_what_cannot_be_a_configuration_is_refused(
    stack: Stack, configs: Configs, stored: str, said: str
) -> None:
    """However it came into the table: the run fails at once, with a sentence."""
    version = await stack.register(telling())
    as_administrator(
        stack.url,
        "INSERT INTO workflow_configs (org_id, config_type, workflow_id, version, config_data,"
        " is_active) VALUES (%s, 'workflow', %s, 1, %s::jsonb, true)",
        DEFAULT,
        version.definition_id,
        stored,
    )
    error, _ = await stack.run_failing(version.workflow_id)
    assert error.type == "InputError"
    assert said in error.message
