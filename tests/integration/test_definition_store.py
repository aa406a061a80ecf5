"""The definition store: immutable versions, the highest on show, races, and orgs apart."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from adapters.postgres.definitions import PostgresDefinitionStore
from adapters.postgres.recorder import PostgresRecorder
from definitions.canonical import content_hash
from definitions.document import Definition
from definitions.errors import ConflictError, NotFoundError
from definitions.identity import org_id
from definitions.statuses import InstanceStatus
from definitions.tasks import TaskSpec
from tests.integration.facts import DEFAULT, facts, flush, run_ref, started
from tests.postgres import as_administrator

if TYPE_CHECKING:
    from uuid import UUID

    from adapters.postgres.database import Database
    from definitions.ports import StoredVersion


@pytest.fixture
def store(database: Database) -> PostgresDefinitionStore:
    return PostgresDefinitionStore(database)


def document(version: str = "1.0.0", **values: Any) -> dict[str, Any]:
    return {
        "workflowId": "order",
        "name": "Order",
        "version": version,
        "steps": [{"stepId": "charge", "taskId": "demo.charge"}],
        **values,
    }


async def register(
    store: PostgresDefinitionStore, given: dict[str, Any], org: UUID = DEFAULT, **values: Any
) -> StoredVersion:
    return await store.register(org, Definition.model_validate(given), given, **values)


async def shown(database: Database) -> list[dict[str, Any]]:
    async with database.transaction(DEFAULT) as connection:
        cursor = await connection.execute("SELECT * FROM workflow_definitions")
        return await cursor.fetchall()


async def test_a_version_comes_back_as_it_was_registered(store: PostgresDefinitionStore) -> None:
    """The document, its hash, and who registered it are kept."""
    given = document(variables={"big": 2**60 + 1, "half": 0.5, "text": "ü"})
    stored = await register(store, given, created_by="ann")
    assert stored.created
    assert stored.document == given
    assert stored.content_hash == content_hash(given) == content_hash(stored.document)
    assert stored.created_by == "ann"
    assert await store.get(DEFAULT, "order", "1.0.0") == stored.model_copy(
        update={"created": False}
    )


async def test_the_same_content_again_is_a_no_op(store: PostgresDefinitionStore) -> None:
    """Key order and white space make no other content."""
    first = await register(store, document())
    again = await register(store, dict(reversed(document().items())), created_by="bob")
    assert not again.created
    assert again == first.model_copy(update={"created": False})


async def test_other_content_under_the_same_version_is_refused(
    store: PostgresDefinitionStore,
) -> None:
    """A registered version never changes."""
    await register(store, document())
    with pytest.raises(ConflictError, match=r"1\.0\.0"):
        await register(store, document(name="Other"))
    assert (await store.get(DEFAULT, "order", None)).document["name"] == "Order"


async def test_the_highest_version_is_on_show(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """The latest row shows the highest release, whatever the order of registering."""
    for version in ("1.2.0", "2.0.0-rc.1", "1.10.0", "1.9.0"):
        await register(
            store, document(version, description=f"v{version}", onFailure={"action": "stop"})
        )
    [row] = await shown(database)
    assert (row["version"], row["description"]) == ("1.10.0", "v1.10.0")
    assert row["steps"] == document()["steps"]
    assert row["on_failure"] == {"action": "stop"}
    assert (await store.get(DEFAULT, "order", None)).version == "1.10.0"
    versions = [stored.version for stored in await store.versions(DEFAULT, "order")]
    assert versions == ["1.10.0", "1.9.0", "1.2.0", "2.0.0-rc.1"]


async def test_twenty_registrations_of_one_version_store_it_once(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """All succeed, and one of them is told that it stored it."""
    stored = await asyncio.gather(*(register(store, document()) for _ in range(20)))
    assert [one.created for one in stored].count(True) == 1
    assert len({one.version_id for one in stored}) == 1
    assert len(await shown(database)) == 1


async def test_the_first_version_of_many_definitions_at_once(
    store: PostgresDefinitionStore,
) -> None:
    """Two who both bring a definition that nobody had meet in any of its indexes, unharmed."""
    for n in range(25):
        await asyncio.gather(
            *(register(store, {**document(), "workflowId": f"new-{n}"}) for _ in range(4))
        )
        assert len(await store.versions(DEFAULT, f"new-{n}")) == 1


async def test_twenty_contents_for_one_version_leave_one(store: PostgresDefinitionStore) -> None:
    """The first wins; all others are refused."""
    results = await asyncio.gather(
        *(register(store, document(name=f"Order {n}")) for n in range(20)), return_exceptions=True
    )
    assert [isinstance(one, ConflictError) for one in results].count(True) == 19
    assert len(await store.versions(DEFAULT, "order")) == 1


async def test_twenty_versions_at_once_show_the_highest(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """No registration is lost, and the latest row ends at the highest."""
    await asyncio.gather(*(register(store, document(f"1.{n}.0")) for n in range(20)))
    assert len(await store.versions(DEFAULT, "order")) == 20
    [row] = await shown(database)
    assert row["version"] == "1.19.0"
    assert row["listed"]


async def test_an_inline_document_touches_nothing_that_is_listed(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """An unlisted version is kept, and can be had neither by version nor as the highest."""
    await register(store, document())
    inline = await register(store, document("1.0.0", name="Inline"), listed=False)
    await register(store, document("9.0.0"), listed=False)
    assert inline.created
    assert not inline.listed
    [row] = await shown(database)
    assert (row["version"], row["name"]) == ("1.0.0", "Order")
    assert (await store.get(DEFAULT, "order", None)).document["name"] == "Order"
    with pytest.raises(NotFoundError):
        await store.get(DEFAULT, "order", "9.0.0")


async def test_any_version_is_found_by_its_id(store: PostgresDefinitionStore) -> None:
    """An unlisted one too; an id that another org has is not found."""
    for stored in (
        await register(store, document()),
        await register(store, document(name="Inline"), listed=False),
    ):
        found = await store.get_version(DEFAULT, stored.version_id)
        assert (found.document, found.listed) == (stored.document, stored.listed)
        other = await store.create_org(f"acme-{stored.listed}".lower())
        with pytest.raises(NotFoundError):
            await store.get_version(other.id, stored.version_id)


async def test_an_inline_document_under_a_new_id_is_not_listed(
    store: PostgresDefinitionStore,
) -> None:
    """A definition that only a run brought along is in no list."""
    first = await register(store, document(), listed=False)
    again = await register(store, document(), listed=False)
    assert (first.created, again.created) == (True, False)
    assert list(await store.list_definitions(DEFAULT)) == []
    with pytest.raises(NotFoundError):
        await store.get(DEFAULT, "order", None)


async def test_an_inline_document_can_be_registered_later(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """It becomes a listed version with the id that its runs know, under who registered it."""
    inline = await register(store, document(), listed=False)
    listed = await register(store, document(), created_by="ann")
    assert listed.version_id == inline.version_id
    assert (listed.created, listed.listed, listed.created_by) == (True, True, "ann")
    assert (await store.get(DEFAULT, "order", None)).version == "1.0.0"
    assert (await register(store, document(), listed=False)).listed
    [row] = await shown(database)
    assert (row["listed"], row["created_by"]) == (True, "ann")


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE workflow_definition_versions SET document = '{}'",
        "UPDATE workflow_definition_versions SET listed = false",
        "UPDATE workflow_definition_versions SET created_by = 'mallory'",
        "DELETE FROM workflow_definition_versions",
    ],
)
async def test_the_database_refuses_to_change_a_version(
    store: PostgresDefinitionStore, database_url: str, change: str
) -> None:
    """No statement changes or deletes a registered version, not even an administrator's."""
    await register(store, document())
    with pytest.raises(psycopg.errors.RestrictViolation, match="never changes"):
        as_administrator(database_url, change)


async def test_orgs_do_not_see_each_other(store: PostgresDefinitionStore) -> None:
    """The same id and version in two orgs are two definitions; another org's is not found."""
    other = await store.create_org("acme", "Acme")
    await register(store, document())
    with pytest.raises(NotFoundError):
        await store.get(other.id, "order", None)
    await register(store, document(name="Theirs"), other.id)
    assert (await store.get(DEFAULT, "order", None)).document["name"] == "Order"
    assert (await store.get(other.id, "order", "1.0.0")).document["name"] == "Theirs"


async def test_an_org_is_found_by_slug_and_by_id(store: PostgresDefinitionStore) -> None:
    """Slugs are unique; an org that is not there is not found."""
    made = await store.create_org("acme")
    assert await store.find_org("acme") == await store.find_org(str(made.id)) == made
    assert [org.slug for org in await store.list_orgs()] == ["acme", "default"]
    with pytest.raises(ConflictError):
        await store.create_org("acme")
    with pytest.raises(NotFoundError):
        await store.find_org("nobody")
    with pytest.raises(NotFoundError):
        await register(store, document(), org_id("nobody"))


async def test_users_belong_to_an_org(store: PostgresDefinitionStore) -> None:
    """A name is unique in its org alone."""
    acme = await store.create_org("acme")
    await store.create_user(DEFAULT, "ann")
    await store.create_user(acme.id, "ann", created_by="root")
    with pytest.raises(ConflictError):
        await store.create_user(acme.id, "ann")
    assert [user.name for user in await store.list_users(DEFAULT)] == ["ann"]


async def test_the_list_counts_runs_by_status(
    store: PostgresDefinitionStore, database: Database
) -> None:
    """Each definition stands once, at its highest version, with its versions and runs counted."""
    await register(store, document("1.0.0"))
    stored = await register(store, document("1.1.0"))
    recorder = PostgresRecorder(database)
    for name in ("a", "b"):
        ref = run_ref(name)
        await recorder.write(
            started(ref, definition_id=stored.definition_id, version_id=stored.version_id)
        )
    await recorder.write(facts(run_ref("b"), flush(1, InstanceStatus.COMPLETED)))
    [view] = await store.list_definitions(DEFAULT)
    assert (view.version, view.versions) == ("1.1.0", 2)
    assert view.instances == {"running": 1, "completed": 1}


async def test_a_registration_numbers_the_steps_and_says_what_they_read(
    store: PostgresDefinitionStore, database_url: str
) -> None:
    """Each version has its own nodes, with their bindings, once however often it is registered."""
    given = document()
    given["steps"] = [
        {"stepId": "charge", "taskId": "demo.charge", "input": "${data.amount}"},
        {"stepId": "tell", "taskId": "core.noop", "input": {"id": "${steps.charge.output.id}"}},
    ]
    for _ in range(2):
        await register(store, given)
    await register(store, {**given, "version": "1.1.0"}, listed=False)
    rows = as_administrator(
        database_url,
        "SELECT v.version, t.step_id AS reads, s.step_id AS of, b.source_path, b.target_path"
        " FROM workflow_data_bindings AS b"
        " JOIN workflow_definition_versions AS v ON v.id = b.definition_version_id"
        " JOIN workflow_nodes AS t ON t.id = b.target_node_id"
        " LEFT JOIN workflow_nodes AS s ON s.id = b.source_node_id ORDER BY v.version, b.id",
    )
    assert [tuple(row.values()) for row in rows] == [
        (version, *binding)
        for version in ("1.0.0", "1.1.0")
        for binding in (
            ("charge", None, "data.amount", "/steps/0/input"),
            ("tell", "charge", "steps.charge.output.id", "/steps/1/input/id"),
        )
    ]


async def test_what_tasks_take_and_give_is_described_as_they_are_served(
    store: PostgresDefinitionStore, database_url: str
) -> None:
    """The latest schemas count; what they no longer name is gone."""
    given = document()
    given["steps"] = [{"stepId": "charge", "taskId": "demo.charge"}]
    version = await register(store, given)

    async def described(**properties: Any) -> list[tuple[Any, ...]]:
        schema = {"type": "object", "properties": properties, "required": ["amount"]}
        task = TaskSpec(task_id="demo.charge", input_schema=schema)
        await store.describe_tasks(version, {task.task_id: task})
        rows = as_administrator(
            database_url,
            "SELECT field_name, data_type, is_required, default_value, validation_rules"
            " FROM node_io_requirements ORDER BY field_name",
        )
        return [tuple(row.values()) for row in rows]

    amount = {"type": "integer", "minimum": 1}
    first = ("amount", "integer", True, None, {"minimum": 1})
    note = {"type": "string", "default": "-"}
    assert await described(amount=amount, note=note) == [first, ("note", "string", False, "-", {})]
    assert await described(amount=amount) == [first]
    # What somebody has changed stays, field by field and column by column.
    as_administrator(
        database_url,
        "UPDATE node_io_requirements SET default_value = '5' WHERE field_name = 'amount'",
    )
    changed = ("amount", "number", True, 5, {"minimum": 2})
    assert await described(amount={"type": "number", "minimum": 2}) == [changed]
    assert await described(note=note) == [changed, ("note", "string", False, "-", {})]
