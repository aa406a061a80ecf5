"""Configurations of workflows and channels: versions of them, which one is active, who made it so.

A run takes the active configuration at its start, by ``get_active_workflow_config()``: what the
workflow says goes before its channel, and that before what is said of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from psycopg.types.json import Jsonb

from adapters.postgres.database import dump_json
from adapters.postgres.nodes import CHANGED
from definitions.configuration import ActiveConfig
from definitions.errors import InvalidInputError, NotFoundError
from definitions.jsonvalues import storable
from definitions.views import ChannelView, ConfigView

if TYPE_CHECKING:
    from collections.abc import Sequence
    from uuid import UUID

    from adapters.postgres.database import Connection, Database

Channel: TypeAlias = Literal["web", "voice", "efax"]
CHANNELS: tuple[Channel, ...] = ("web", "voice", "efax")

_CONFIG = """
SELECT c.id, c.config_type, c.workflow_id, d.workflow_id AS workflow_name, c.channel, c.version,
       c.config_name AS name, c.config_data AS data, c.is_active AS active, m.name AS created_by,
       c.created_at, a.name AS activated_by, s.activated_at
FROM workflow_configs AS c
LEFT JOIN workflow_definitions AS d ON d.id = c.workflow_id
LEFT JOIN users AS m ON m.id = c.created_by
LEFT JOIN config_status AS s ON s.config_id = c.id AND s.is_active
LEFT JOIN users AS a ON a.id = s.activated_by
WHERE c.org_id = %(org)s
"""
_ONE_CONFIG = _CONFIG + " AND c.id = %(id)s"
_ALL_CONFIGS = _CONFIG + (
    " ORDER BY c.config_type, d.workflow_id, c.channel NULLS FIRST, c.version DESC"
)
#: Two at once are one after the other, org by org.
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended('steploom configs ' || %(org)s::text, 0))"
_INSERT_CONFIG = """
INSERT INTO workflow_configs (
    org_id, config_type, workflow_id, channel, version, config_name, config_data, created_by
)
SELECT
    %(org)s, %(type)s::text, %(workflow)s::uuid, %(channel)s::workflow_channel,
    coalesce(max(c.version), 0) + 1,
    %(name)s, %(data)s, (SELECT id FROM users WHERE org_id = %(org)s AND name = %(actor)s)
FROM workflow_configs AS c
WHERE c.org_id = %(org)s AND c.config_type = %(type)s::text
  AND c.workflow_id IS NOT DISTINCT FROM %(workflow)s::uuid
  AND c.channel IS NOT DISTINCT FROM %(channel)s::workflow_channel
RETURNING id
"""
#: The other versions of the same thing.
_DEACTIVATE = """
WITH others AS (
    UPDATE workflow_configs AS o SET is_active = false, updated_at = now()
    FROM workflow_configs AS c
    WHERE c.id = %(id)s AND c.org_id = %(org)s AND o.org_id = c.org_id AND o.id <> c.id
      AND o.is_active AND o.config_type = c.config_type
      AND o.workflow_id IS NOT DISTINCT FROM c.workflow_id
      AND o.channel IS NOT DISTINCT FROM c.channel
    RETURNING o.id
)
UPDATE config_status AS s SET is_active = false, deactivated_at = now()
FROM others WHERE s.config_id = others.id AND s.is_active
"""
_ACTIVATE = """
WITH made AS (
    UPDATE workflow_configs SET is_active = true, updated_at = now()
    WHERE id = %(id)s AND org_id = %(org)s AND NOT is_active
    RETURNING id, config_type, workflow_id, channel
)
INSERT INTO config_status (org_id, entity_type, entity_id, config_id, activated_by)
SELECT
    %(org)s, m.config_type,
    coalesce(nullif(concat_ws(':', m.workflow_id, m.channel), ''), 'global'), m.id,
    (SELECT id FROM users WHERE org_id = %(org)s AND name = %(actor)s)
FROM made AS m
"""
_SET_CHANNEL = """
INSERT INTO workflow_channel_configs AS c (
    org_id, workflow_id, channel, is_enabled, priority, webhook_url, config_data, created_by
)
SELECT %(org)s, d.id, %(channel)s::workflow_channel, %(enabled)s, %(priority)s, %(webhook)s,
       %(data)s, (SELECT id FROM users WHERE org_id = %(org)s AND name = %(actor)s)
FROM workflow_definitions AS d
WHERE d.id = %(workflow)s AND d.org_id = %(org)s
ON CONFLICT (org_id, workflow_id, channel) DO UPDATE SET
    is_enabled = excluded.is_enabled, priority = excluded.priority,
    webhook_url = excluded.webhook_url, config_data = excluded.config_data, updated_at = now()
RETURNING c.id
"""
_CHANNELS = """
SELECT c.workflow_id, d.workflow_id AS workflow_name, c.channel, c.is_enabled AS enabled,
       c.priority, c.webhook_url, c.config_data AS data, c.updated_at
FROM workflow_channel_configs AS c
JOIN workflow_definitions AS d ON d.id = c.workflow_id
WHERE c.org_id = %(org)s AND (%(workflow)s::uuid IS NULL OR c.workflow_id = %(workflow)s)
ORDER BY d.workflow_id, c.priority DESC, c.channel
"""
_SET_ORG_CHANNEL = """
INSERT INTO channel_configs AS c (org_id, channel, is_active, config_data, created_by)
SELECT %(org)s, %(channel)s::workflow_channel, %(enabled)s, %(data)s,
       (SELECT id FROM users WHERE org_id = %(org)s AND name = %(actor)s)
ON CONFLICT (org_id, channel) DO UPDATE SET
    is_active = excluded.is_active, config_data = excluded.config_data, updated_at = now()
"""
_ORG_CHANNELS = """
SELECT channel, is_active AS enabled, config_data AS data, updated_at
FROM channel_configs WHERE org_id = %(org)s ORDER BY channel
"""
#: A channel that the org does not use is disabled for all its workflows. Without any channel, the
#: trace will say ``web``, so that is whose configuration counts.
_ACTIVE_FOR = f"""
WITH offered AS (
    SELECT w.channel, w.priority, w.webhook_url,
           w.is_enabled AND coalesce(o.is_active, true) AS enabled
    FROM workflow_channel_configs AS w
    LEFT JOIN channel_configs AS o ON o.org_id = w.org_id AND o.channel = w.channel
    WHERE w.org_id = %(org)s AND w.workflow_id = %(workflow)s
), chosen AS (
    SELECT coalesce(
        %(channel)s::workflow_channel,
        (SELECT f.channel FROM offered AS f WHERE f.enabled
         ORDER BY f.priority DESC, f.channel LIMIT 1)
    ) AS channel
)
SELECT c.channel,
       coalesce(
           f.enabled,
           (SELECT o.is_active FROM channel_configs AS o
            WHERE o.org_id = %(org)s AND o.channel = coalesce(c.channel, 'web')),
           true
       ) AS enabled,
       f.webhook_url,
       get_active_workflow_config(%(workflow)s, coalesce(c.channel, 'web')) AS config,
       (SELECT t.config_snapshot
        FROM workflow_instances AS i
        JOIN workflow_trace AS t ON t.id = i.trace_id AND t.created_at = i.trace_created_at
        WHERE i.org_id = %(org)s AND i.id = %(instance)s::uuid
          AND i.interpreter_version IS NOT NULL AND i.status IN ('running', 'suspended')
       ) AS recorded,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
            'step_id', n.step_id, 'io', i.io_type, 'name', i.field_name, 'type', i.data_type,
            'required', i.is_required, 'default', i.default_value, 'rules', i.validation_rules,
            'described', i.described
        ) ORDER BY n.position, i.io_type, i.field_name), '[]')
        FROM workflow_nodes AS n
        JOIN node_io_requirements AS i ON i.node_id = n.id
        WHERE n.definition_version_id = %(version)s::uuid AND n.org_id = %(org)s
          AND {CHANGED}) AS requirements
FROM chosen AS c
LEFT JOIN offered AS f ON f.channel = coalesce(c.channel, 'web')
"""  # noqa: S608 (made of constants)
_PINNED_BY = """
SELECT t.config_snapshot
FROM workflow_instances AS i
JOIN workflow_trace AS t ON t.id = i.trace_id AND t.created_at = i.trace_created_at
WHERE i.org_id = %(org)s AND i.id = %(instance)s
"""


class PostgresConfigStore:
    """The configurations of all orgs; every method sees one org alone.

    ``actor`` is the name of one of the org's users; another name is kept as nobody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(
        self,
        org_id: UUID,
        data: dict[str, Any],
        *,
        workflow_id: UUID | None = None,
        channel: Channel | None = None,
        name: str | None = None,
        actor: str | None = None,
    ) -> ConfigView:
        """A new version of a configuration, not active yet.

        It is the workflow's (on the channel alone, where both are given), else the channel's, else
        that of all.

        Raises:
            NotFoundError: This org has no such workflow.
        """
        kind = "workflow" if workflow_id else "channel" if channel else "global"
        values = {
            "org": org_id,
            "type": kind,
            "workflow": workflow_id,
            "channel": _checked(channel),
            "name": name,
            "data": _jsonb(data),
            "actor": actor,
        }
        async with self._database.transaction(org_id) as connection:
            await _check_workflow(connection, org_id, workflow_id)
            await connection.execute(_LOCK, values)
            cursor = await connection.execute(_INSERT_CONFIG, values)
            row = await cursor.fetchone()
            return await _one(connection, org_id, row["id"] if row else 0)

    async def activate(
        self, org_id: UUID, config_id: int, *, actor: str | None = None
    ) -> ConfigView:
        """Makes a version the one that counts; the one before no longer is. Again: nothing changes.

        Raises:
            NotFoundError: This org has no such configuration.
        """
        values = {"org": org_id, "id": config_id, "actor": actor}
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_LOCK, values)
            await connection.execute(_DEACTIVATE, values)
            await connection.execute(_ACTIVATE, values)
            return await _one(connection, org_id, config_id)

    async def list_configs(self, org_id: UUID) -> Sequence[ConfigView]:
        """All versions of all configurations, the latest of each first."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_ALL_CONFIGS, {"org": org_id})
            return [ConfigView.model_validate(row) for row in await cursor.fetchall()]

    async def active(
        self, org_id: UUID, workflow_id: UUID, channel: Channel | None = None
    ) -> dict[str, Any]:
        """What a run of a workflow would take now; empty for a workflow of another org."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(
                "SELECT get_active_workflow_config(%s, %s::workflow_channel) AS config",
                (workflow_id, _checked(channel)),
            )
            row = await cursor.fetchone()
        return dict(row["config"]) if row is not None else {}

    async def active_for(
        self,
        org_id: UUID,
        workflow_id: UUID,
        channel: str | None,
        version_id: UUID | None = None,
        instance_id: UUID | None = None,
    ) -> ActiveConfig:
        """What counts now for a run of a workflow, on the channel that its start names.

        Without one, or with one that is none of ours, as ``definitions.configuration`` says.
        """
        known = channel if channel in CHANNELS or channel is None else "web"
        values = {
            "org": org_id,
            "workflow": workflow_id,
            "channel": known,
            "version": version_id,
            "instance": instance_id,
        }
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_ACTIVE_FOR, values)
            row = await cursor.fetchone()
        return ActiveConfig.model_validate(row or {})

    async def pinned_by(self, org_id: UUID, instance_id: UUID) -> Any:
        """The configuration of an earlier run, as it is on record; None where there is none."""
        values = {"org": org_id, "instance": instance_id}
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_PINNED_BY, values)
            row = await cursor.fetchone()
        return row["config_snapshot"] if row is not None else None

    async def set_channel(
        self,
        org_id: UUID,
        workflow_id: UUID,
        channel: Channel,
        *,
        enabled: bool = True,
        priority: int = 0,
        webhook_url: str | None = None,
        data: dict[str, Any] | None = None,
        actor: str | None = None,
    ) -> ChannelView:
        """Offers a workflow on a channel, or no longer does; what was said before is replaced.

        Raises:
            NotFoundError: This org has no such workflow.
        """
        values = {
            "org": org_id,
            "workflow": workflow_id,
            "channel": _checked(channel),
            "enabled": enabled,
            "priority": priority,
            "webhook": webhook_url,
            "data": _jsonb(data or {}),
            "actor": actor,
        }
        async with self._database.transaction(org_id) as connection:
            await _check_workflow(connection, org_id, workflow_id)
            await connection.execute(_SET_CHANNEL, values)
        found = await self.list_channels(org_id, workflow_id)
        return next(one for one in found if one.channel == channel)

    async def set_org_channel(
        self,
        org_id: UUID,
        channel: Channel,
        *,
        enabled: bool = True,
        data: dict[str, Any] | None = None,
        actor: str | None = None,
    ) -> ChannelView:
        """Says of a channel whether the org uses it, and what is configured on it for all."""
        values = {
            "org": org_id,
            "channel": _checked(channel),
            "enabled": enabled,
            "data": _jsonb(data or {}),
            "actor": actor,
        }
        async with self._database.transaction(org_id) as connection:
            await connection.execute(_SET_ORG_CHANNEL, values)
        found = await self.list_org_channels(org_id)
        return next(one for one in found if one.channel == channel)

    async def list_org_channels(self, org_id: UUID) -> Sequence[ChannelView]:
        """What the org says of channels, for all its workflows."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_ORG_CHANNELS, {"org": org_id})
            return [ChannelView.model_validate(row) for row in await cursor.fetchall()]

    async def list_channels(
        self, org_id: UUID, workflow_id: UUID | None = None
    ) -> Sequence[ChannelView]:
        """On which channels workflows are offered, by workflow, the highest priority first."""
        async with self._database.transaction(org_id) as connection:
            cursor = await connection.execute(_CHANNELS, {"org": org_id, "workflow": workflow_id})
            return [ChannelView.model_validate(row) for row in await cursor.fetchall()]


async def _one(connection: Connection, org_id: UUID, config_id: int) -> ConfigView:
    cursor = await connection.execute(_ONE_CONFIG, {"org": org_id, "id": config_id})
    row = await cursor.fetchone()
    if row is None:
        raise NotFoundError("configuration", str(config_id))
    return ConfigView.model_validate(row)


async def _check_workflow(connection: Connection, org_id: UUID, workflow_id: UUID | None) -> None:
    if workflow_id is None:
        return
    cursor = await connection.execute(
        "SELECT FROM workflow_definitions WHERE id = %s AND org_id = %s", (workflow_id, org_id)
    )
    if await cursor.fetchone() is None:
        raise NotFoundError("definition", str(workflow_id))


def _checked(channel: Channel | None) -> Channel | None:
    if channel is not None and channel not in CHANNELS:
        raise InvalidInputError(
            f"{channel!r} is no channel", hint=f"the channels are {', '.join(CHANNELS)}"
        )
    return channel


def _jsonb(value: dict[str, Any]) -> Jsonb:
    kept, _ = storable(value)
    return Jsonb(kept, dump_json)
