"""Where definitions, orgs and users are kept (``definitions.ports.DefinitionStore``).

``workflow_definitions`` shows the highest listed version of each id, column by column;
``workflow_definition_versions`` keeps every version whole. Whoever registers takes the lock of the
definition's row first, so that registrations of one id are one after the other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg.types.json import Jsonb

from adapters.postgres.database import dump_json
from adapters.postgres.nodes import write_nodes, write_requirements
from definitions.canonical import content_hash
from definitions.errors import ConflictError, InvalidInputError, NotFoundError
from definitions.identity import definition_id, org_id, user_id, version_id
from definitions.ports import Organization, StoredVersion
from definitions.versions import highest, sort_key
from definitions.views import DefinitionView, UserView

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from adapters.postgres.database import Connection, Database
    from definitions.document import Definition
    from definitions.tasks import TaskSpec

_VERSION = """
SELECT v.definition_id, v.id AS version_id, v.org_id, v.workflow_id, v.version, v.content_hash,
       v.document, v.listed, v.created_by, v.created_at
FROM workflow_definition_versions AS v
"""
_VERSION_BY_ID = _VERSION + "WHERE v.org_id = %(org)s AND v.id = %(version_id)s"
_LISTED_VERSION = _VERSION + (
    "WHERE v.org_id = %(org)s AND v.workflow_id = %(workflow)s AND v.version = %(version)s"
    " AND v.listed"
)
_LISTED_VERSIONS = _VERSION + (
    "WHERE v.org_id = %(org)s AND v.workflow_id = %(workflow)s AND v.listed"
)
#: The row of ``workflow_definitions`` shows the highest listed version.
_HIGHEST = _VERSION + (
    "JOIN workflow_definitions AS d ON d.id = v.definition_id AND d.version = v.version"
    " WHERE v.org_id = %(org)s AND v.workflow_id = %(workflow)s AND v.listed AND d.listed"
)

#: Of two at the same instant, either index may be the first in which the second meets the other.
_INSERT_DEFINITION = """
INSERT INTO workflow_definitions (
    id, org_id, workflow_id, name, description, version, input_schema, triggers, steps,
    ui_components, execution_log, metadata, variables, timeout, output, on_failure, rollback,
    content_hash, listed, created_by
) VALUES (
    %(id)s, %(org)s, %(workflow)s, %(name)s, %(description)s, %(version)s, %(inputSchema)s,
    %(triggers)s, %(steps)s, %(uiComponents)s, %(executionLog)s, %(metadata)s, %(variables)s,
    %(timeout)s, %(output)s, %(onFailure)s, %(rollback)s, %(hash)s, false, %(created_by)s
)
ON CONFLICT DO NOTHING
"""
_LOCK_DEFINITION = "SELECT listed FROM workflow_definitions WHERE id = %(id)s FOR UPDATE"
_SHOW_VERSION = """
UPDATE workflow_definitions SET
    name = %(name)s, description = %(description)s, version = %(version)s,
    input_schema = %(inputSchema)s, triggers = %(triggers)s, steps = %(steps)s,
    ui_components = %(uiComponents)s, execution_log = %(executionLog)s, metadata = %(metadata)s,
    variables = %(variables)s, timeout = %(timeout)s, output = %(output)s,
    on_failure = %(onFailure)s, rollback = %(rollback)s, content_hash = %(hash)s, listed = true,
    created_by = CASE WHEN listed THEN created_by ELSE %(created_by)s END, updated_at = now()
WHERE id = %(id)s
"""
#: An unlisted version with this content becomes the listed one.
_INSERT_VERSION = """
INSERT INTO workflow_definition_versions AS v (
    id, definition_id, org_id, workflow_id, version, content_hash, document, listed, created_by
) VALUES (
    %(version_id)s, %(id)s, %(org)s, %(workflow)s, %(version)s, %(hash)s, %(document)s, %(listed)s,
    %(created_by)s
)
ON CONFLICT (id) DO UPDATE SET
    listed = true, created_by = excluded.created_by, created_at = excluded.created_at
WHERE excluded.listed AND NOT v.listed
"""

_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_USER = re.compile(r"[^\s\x00-\x1f\x7f](?:[^\x00-\x1f\x7f]{0,254})")
#: The members of a document that have a JSONB column of their own.
_JSON_FIELDS = (
    "inputSchema",
    "triggers",
    "steps",
    "uiComponents",
    "executionLog",
    "metadata",
    "variables",
    "output",
    "onFailure",
    "rollback",
)


class PostgresDefinitionStore:
    """The definitions of all orgs; every method but the orgs' own sees one org alone."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create_org(
        self, slug: str, name: str | None = None, *, created_by: str | None = None
    ) -> Organization:
        """Makes an org.

        Raises:
            InvalidInputError: The slug is not one.
            ConflictError: There is one with this slug.
        """
        if _SLUG.fullmatch(slug) is None:
            raise InvalidInputError(
                f"{slug!r} cannot name an org: letters, digits and hyphens, 63 at most",
                hint="choose a short name such as acme or acme-europe",
            )
        async with self._database.transaction(org_id(slug)) as connection:
            cursor = await connection.execute(
                "INSERT INTO organizations (id, slug, name, created_by) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING id, slug, name, created_at",
                (org_id(slug), slug, name or slug, created_by),
            )
            row = await cursor.fetchone()
        if row is None:
            raise ConflictError(f"there is an org {slug!r} already")
        return Organization.model_validate(row)

    async def list_orgs(self) -> Sequence[Organization]:
        """All orgs, by slug."""
        async with self._database.transaction(None) as connection:
            cursor = await connection.execute("SELECT * FROM list_organizations()")
            return [Organization.model_validate(row) for row in await cursor.fetchall()]

    async def find_org(self, org: str) -> Organization:
        """The org with this slug or id.

        Raises:
            NotFoundError: There is none.
        """
        # Every org's id is made of its slug, so that either way one id is looked for.
        for identity in (org_id(org), *_uuid(org)):
            async with self._database.transaction(identity) as connection:
                cursor = await connection.execute(
                    "SELECT id, slug, name, created_at FROM organizations WHERE id = %s",
                    (identity,),
                )
                row = await cursor.fetchone()
            if row is not None:
                return Organization.model_validate(row)
        raise NotFoundError("org", org, hint="`steploom orgs list` shows all")

    async def create_user(self, org: UUID, name: str, *, created_by: str | None = None) -> UserView:
        """Makes a user of an org.

        Raises:
            InvalidInputError: The name is empty, or has characters that are no text.
            ConflictError: The org has one of this name.
        """
        if _USER.fullmatch(name) is None:
            raise InvalidInputError(
                f"{name!r} cannot name a user: 1 to 255 characters of text",
                hint="an address such as manager@example.com does well",
            )
        async with self._database.transaction(org) as connection:
            cursor = await connection.execute(
                "INSERT INTO users (id, org_id, name, created_by) VALUES (%s, %s, %s, %s)"
                " ON CONFLICT DO NOTHING RETURNING id, org_id, name, created_at",
                (user_id(org, name), org, name, created_by),
            )
            row = await cursor.fetchone()
        if row is None:
            raise ConflictError(f"there is a user {name!r} already")
        return UserView.model_validate(row)

    async def list_users(self, org: UUID) -> Sequence[UserView]:
        """All users of an org, by name."""
        async with self._database.transaction(org) as connection:
            cursor = await connection.execute(
                "SELECT id, org_id, name, created_at FROM users WHERE org_id = %s ORDER BY name",
                (org,),
            )
            return [UserView.model_validate(row) for row in await cursor.fetchall()]

    async def register(
        self,
        org_id: UUID,
        definition: Definition,
        document: dict[str, Any],
        *,
        listed: bool = True,
        created_by: str | None = None,
    ) -> StoredVersion:
        """Stores a validated version; the same content again is a no-op.

        An unlisted one (``listed=False``: given inline with a start) never touches what is listed;
        where the same content is listed, that is what is returned.

        Raises:
            ConflictError: This version is listed with other content.
            NotFoundError: There is no such org.
        """
        digest = content_hash(document)
        workflow, version = definition.workflow_id, definition.version
        values: dict[str, Any] = {
            "id": definition_id(org_id, workflow),
            "version_id": version_id(org_id, workflow, version, digest),
            "org": org_id,
            "workflow": workflow,
            "name": definition.name,
            "description": definition.description,
            "version": version,
            "timeout": definition.timeout,
            "hash": digest,
            "document": Jsonb(document, dump_json),
            "listed": listed,
            "created_by": created_by,
        } | {field: _jsonb(document.get(field)) for field in _JSON_FIELDS}
        async with self._database.transaction(org_id) as connection:
            there = await _same(connection, values)
            if there is not None:
                return there
            await _check_org(connection, org_id)
            await connection.execute(_INSERT_DEFINITION, values)
            await connection.execute(_LOCK_DEFINITION, values)
            # Somebody else may have come first while this waited for the lock.
            there = await _same(connection, values)
            if there is not None:
                return there
            await connection.execute(_INSERT_VERSION, values)
            await write_nodes(connection, org_id, values["version_id"], document)
            if listed:
                await _show_highest(connection, values)
            stored = await _by_id(connection, values)
        if stored is None:
            raise NotFoundError("version", version)
        return stored.model_copy(update={"created": True})

    async def get(self, org_id: UUID, workflow_id: str, version: str | None) -> StoredVersion:
        """A listed version, or with ``None`` the highest one (pre-releases last).

        Raises:
            NotFoundError: No such definition or version.
        """
        values = {"org": org_id, "workflow": workflow_id, "version": version}
        query = _HIGHEST if version is None else _LISTED_VERSION
        async with self._database.transaction(org_id) as connection:
            stored = await _fetch(connection, query, values)
            if stored is not None:
                return stored
            cursor = await connection.execute(_LISTED_VERSIONS, values)
            others = [row["version"] for row in await cursor.fetchall()]
        if not others:
            raise NotFoundError(
                "definition", workflow_id, hint="`steploom definitions list` shows all"
            )
        raise NotFoundError(
            f"version {version} of definition",
            workflow_id,
            hint=f"registered: {', '.join(sorted(others, key=sort_key, reverse=True))}",
        )

    async def get_version(self, org_id: UUID, version_id: UUID) -> StoredVersion:
        """A version by its id, whether it is listed or a run brought it along.

        Raises:
            NotFoundError: This org has none of this id.
        """
        async with self._database.transaction(org_id) as connection:
            stored = await _by_id(connection, {"org": org_id, "version_id": version_id})
        if stored is None:
            raise NotFoundError("version", str(version_id))
        return stored

    async def describe_tasks(self, version: StoredVersion, tasks: Mapping[str, TaskSpec]) -> None:
        """Keeps what the tasks of a version's steps take and give, by their schemas."""
        async with self._database.transaction(version.org_id) as connection:
            await write_requirements(connection, version.org_id, version.version_id, tasks)

    async def versions(self, org_id: UUID, workflow_id: str) -> Sequence[StoredVersion]:
        """All listed versions, the highest first; empty where there is none."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(
                _LISTED_VERSIONS, {"org": org_id, "workflow": workflow_id}
            )
            found = [StoredVersion.model_validate(row) for row in await cursor.fetchall()]
        return sorted(found, key=lambda stored: sort_key(stored.version), reverse=True)

    async def list_definitions(self, org_id: UUID) -> Sequence[DefinitionView]:
        """Every listed definition at its highest version, with its runs counted by status."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_LIST, {"org": org_id})
            return [DefinitionView.model_validate(row) for row in await cursor.fetchall()]


_LIST = """
SELECT d.id, d.workflow_id, d.name, d.description, d.version, d.content_hash, d.created_by,
       d.created_at, d.updated_at,
       (SELECT count(*) FROM workflow_definition_versions AS v
        WHERE v.definition_id = d.id AND v.listed) AS versions,
       (SELECT coalesce(jsonb_object_agg(c.status, c.runs), '{}')
        FROM (SELECT i.status, count(*) AS runs FROM workflow_instances AS i
              WHERE i.workflow_definition_id = d.id GROUP BY i.status) AS c) AS instances
FROM workflow_definitions AS d
WHERE d.org_id = %(org)s AND d.listed
ORDER BY d.workflow_id
"""


async def _same(connection: Connection, values: dict[str, Any]) -> StoredVersion | None:
    """The stored version that makes this registration a no-op.

    Raises:
        ConflictError: The listed version has other content, and this one is to be listed too.
    """
    if values["listed"]:
        stored = await _fetch(connection, _LISTED_VERSION, values)
        if stored is not None and stored.content_hash != values["hash"]:
            raise ConflictError(
                f"version {stored.version} of {stored.workflow_id!r} is registered with other"
                " content",
                hint="a version never changes: raise `version` in the document",
            )
        return stored
    return await _by_id(connection, values)


async def _by_id(connection: Connection, values: dict[str, Any]) -> StoredVersion | None:
    return await _fetch(connection, _VERSION_BY_ID, values)


async def _show_highest(connection: Connection, values: dict[str, Any]) -> None:
    cursor = await connection.execute(_LISTED_VERSIONS, values)
    versions = [row["version"] for row in await cursor.fetchall()]
    if highest(versions) == values["version"]:
        await connection.execute(_SHOW_VERSION, values)


async def _check_org(connection: Connection, org: UUID) -> None:
    cursor = await connection.execute("SELECT FROM organizations WHERE id = %s", (org,))
    if await cursor.fetchone() is None:
        raise NotFoundError("org", str(org), hint="`steploom orgs list` shows all")


async def _fetch(
    connection: Connection, query: str, values: dict[str, Any]
) -> StoredVersion | None:
    cursor = await connection.execute(query, values)
    row = await cursor.fetchone()
    return StoredVersion.model_validate(row) if row is not None else None


def _jsonb(value: Any) -> Jsonb | None:
    return Jsonb(value, dump_json) if value is not None else None


def _uuid(text: str) -> list[UUID]:
    try:
        return [UUID(text)]
    except ValueError:
        return []
