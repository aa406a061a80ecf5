"""Configurations: versions, which one is active and since when, and what a run takes of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

import pytest
import pytest_asyncio

from adapters.postgres.configs import PostgresConfigStore
from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.errors import InvalidInputError, NotFoundError
from definitions.identity import org_id
from definitions.validation.api import parse_definition
from tests.integration.facts import DEFAULT, run_ref, started
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from uuid import UUID

    from adapters.postgres.database import Database

DOCUMENT = {
    "workflowId": "order",
    "name": "Order",
    "version": "1.0.0",
    "steps": [{"stepId": "charge", "taskId": "demo.charge"}],
}
ACTOR = "manager@example.com"


@pytest.fixture
def configs(database: Database) -> PostgresConfigStore:
    return PostgresConfigStore(database)


@pytest_asyncio.fixture
async def workflow(database: Database) -> UUID:
    """A registered definition and a user."""
    store = PostgresDefinitionStore(database)
    await store.create_user(DEFAULT, ACTOR)
    return (await store.register(DEFAULT, parse_definition(DOCUMENT), DOCUMENT)).definition_id


async def test_versions_count_up_and_one_is_active(
    configs: PostgresConfigStore, workflow: UUID
) -> None:
    """A new version is not active; activating it retires the one before."""
    first = await configs.create(DEFAULT, {"n": 1}, workflow_id=workflow, name="a", actor=ACTOR)
    second = await configs.create(DEFAULT, {"n": 2}, workflow_id=workflow)
    assert (first.version, first.active, first.config_type) == (1, False, "workflow")
    assert (first.workflow_name, first.created_by, second.version) == ("order", ACTOR, 2)
    for config in (first, second, second):
        done = await configs.activate(DEFAULT, config.id, actor=ACTOR)
        assert (done.active, done.activated_by) == (True, ACTOR)
    assert [(one.version, one.active) for one in await configs.list_configs(DEFAULT)] == [
        (2, True),
        (1, False),
    ]
    assert await configs.active(DEFAULT, workflow) == {"n": 2}


async def test_each_activation_is_on_record(
    configs: PostgresConfigStore, workflow: UUID, database_url: str
) -> None:
    """Who activated what and when; activating what is active adds nothing."""
    first, second = [await configs.create(DEFAULT, {}, channel="web") for _ in range(2)]
    for config in (first, second, second, first):
        await configs.activate(DEFAULT, config.id, actor=ACTOR)
    rows = as_administrator(database_url, "SELECT * FROM config_status ORDER BY id")
    assert [(row["config_id"], row["is_active"], row["entity_id"]) for row in rows] == [
        (first.id, False, "web"),
        (second.id, False, "web"),
        (first.id, True, "web"),
    ]
    assert [row["deactivated_at"] is None for row in rows] == [False, False, True]


async def test_versions_made_at_once_have_numbers_of_their_own(
    configs: PostgresConfigStore, workflow: UUID
) -> None:
    """Nobody is refused, and at most one is active."""
    made = await asyncio.gather(
        *(configs.create(DEFAULT, {}, workflow_id=workflow) for _ in range(6))
    )
    await asyncio.gather(*(configs.activate(DEFAULT, one.id) for one in made))
    found = await configs.list_configs(DEFAULT)
    assert sorted(one.version for one in found) == [1, 2, 3, 4, 5, 6]
    assert sum(one.active for one in found) == 1


async def test_a_run_is_pinned_to_what_was_active(
    configs: PostgresConfigStore, workflow: UUID, database: Database, database_url: str
) -> None:
    """On its channel: the enabled one of the highest priority where the start names none."""
    for data, target in (
        ({"a": 0, "b": 0}, {}),
        ({"b": 1}, {"channel": "voice"}),
        ({"b": 9}, {"channel": "web"}),
        ({"c": 1}, {"workflow_id": workflow}),
        ({"c": 2}, {"workflow_id": workflow, "channel": "voice"}),
    ):
        made = await configs.create(DEFAULT, data, **cast("dict[str, Any]", target))
        await configs.activate(DEFAULT, made.id)
    await configs.set_channel(DEFAULT, workflow, "web", priority=9, enabled=False)
    await configs.set_channel(DEFAULT, workflow, "efax", priority=1)
    await configs.set_channel(DEFAULT, workflow, "voice", priority=5, webhook_url="https://x.test/")
    await PostgresRecorder(database).write(started(run_ref(), definition_id=workflow))
    [trace] = as_administrator(database_url, "SELECT channel, config_snapshot FROM workflow_trace")
    assert trace == {"channel": "voice", "config_snapshot": {"a": 0, "b": 1, "c": 2}}


async def test_a_channel_is_set_anew(configs: PostgresConfigStore, workflow: UUID) -> None:
    """The latest word counts; the list has the highest priority first."""
    await configs.set_channel(DEFAULT, workflow, "web", data={"a": 1}, actor=ACTOR)
    await configs.set_channel(DEFAULT, workflow, "efax", priority=3)
    changed = await configs.set_channel(DEFAULT, workflow, "web", enabled=False, priority=7)
    assert (changed.enabled, changed.data, changed.workflow_name) == (False, {}, "order")
    found = await configs.list_channels(DEFAULT, workflow)
    assert [(one.channel, one.priority) for one in found] == [("web", 7), ("efax", 3)]


async def test_another_orgs_is_not_found(
    configs: PostgresConfigStore, workflow: UUID, database: Database
) -> None:
    """Neither to be activated nor to be made for its workflow."""
    other = (await PostgresDefinitionStore(database).create_org("acme")).id
    assert other == org_id("acme")
    made = await configs.create(DEFAULT, {"n": 1}, workflow_id=workflow)
    for attempt in (
        configs.activate(other, made.id),
        configs.create(other, {}, workflow_id=workflow),
        configs.set_channel(other, workflow, "web"),
    ):
        with pytest.raises(NotFoundError):
            await attempt
    assert list(await configs.list_configs(other)) == []
    assert await configs.active(other, workflow) == {}


async def test_an_unknown_channel_is_refused(configs: PostgresConfigStore, workflow: UUID) -> None:
    """With the names of those that there are."""
    with pytest.raises(InvalidInputError) as caught:
        await configs.create(DEFAULT, {}, channel=cast("Any", "pigeon"))
    assert "efax" in (caught.value.hint or "")
