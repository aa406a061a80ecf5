"""What is known of a version's steps without running it: its nodes, their bindings and fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from adapters.postgres.database import dump_json
from definitions.bindings import data_bindings, task_requirements
from definitions.jsonvalues import storable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

    from adapters.postgres.database import Connection
    from definitions.tasks import TaskSpec

_SAID_REQUIRED = """(i.described @> '{"required": true}')"""
_SAID_DEFAULT = "nullif(i.described -> 'default', 'null')"
_SAID_RULES = "nullif(i.described -> 'rules', 'null')"
#: Whether somebody has said of the field ``i`` what its task's schemas do not say.
CHANGED = f"""(
    i.described IS NULL
    OR (i.data_type, i.is_required, i.default_value, i.validation_rules) IS DISTINCT FROM (
        i.described ->> 'type', {_SAID_REQUIRED}, {_SAID_DEFAULT}, {_SAID_RULES}
    )
)"""
_NODES = "SELECT register_workflow_nodes(%s)"
_BINDINGS = """
INSERT INTO workflow_data_bindings (
    org_id, definition_version_id, source_node_id, target_node_id, binding_type, source_path,
    target_path, binding_config
)
SELECT
    %(org)s, %(version)s, s.id, t.id, r.type, r.source_path, r.target_path,
    jsonb_build_object('expression', r.expression)
FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(
    type text, source text, source_path text, target text, target_path text, expression text
)
LEFT JOIN workflow_nodes AS s
    ON s.definition_version_id = %(version)s AND s.step_id = r.source
LEFT JOIN workflow_nodes AS t
    ON t.definition_version_id = %(version)s AND t.step_id = r.target
ON CONFLICT (definition_version_id, target_path, source_path) DO NOTHING
"""
#: A task can be served with other schemas than before: the latest are shown. What somebody has
#: changed, so that it is not what the schemas have said, is theirs and stays.
_REQUIREMENTS = f"""
WITH r AS (
    SELECT n.id AS node_id, x.*, jsonb_build_object(
        'type', x.type, 'required', x.required, 'default', x."default", 'rules', x.rules,
        'description', x.description
    ) AS described
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS x(
        task text, io text, name text, type text, required boolean, "default" jsonb, rules jsonb,
        description text
    )
    JOIN workflow_nodes AS n
        ON n.definition_version_id = %(version)s AND n.task_id = x.task
), gone AS (
    DELETE FROM node_io_requirements AS i
    USING workflow_nodes AS n
    WHERE i.node_id = n.id AND n.definition_version_id = %(version)s
      AND n.task_id = ANY(%(tasks)s) AND NOT {CHANGED}
      AND NOT EXISTS (
          SELECT FROM r
          WHERE r.node_id = i.node_id AND r.io = i.io_type AND r.name = i.field_name
      )
)
INSERT INTO node_io_requirements AS i (
    org_id, node_id, io_type, field_name, data_type, is_required, default_value, validation_rules,
    description, described
)
SELECT
    %(org)s, r.node_id, r.io, r.name, r.type, r.required, r."default", r.rules, r.description,
    r.described
FROM r
ORDER BY r.node_id, r.io, r.name
ON CONFLICT (node_id, io_type, field_name) DO UPDATE SET
    data_type = CASE WHEN i.data_type IS NOT DISTINCT FROM i.described ->> 'type'
        THEN excluded.data_type ELSE i.data_type END,
    is_required = CASE WHEN i.is_required IS NOT DISTINCT FROM {_SAID_REQUIRED}
        THEN excluded.is_required ELSE i.is_required END,
    default_value = CASE WHEN i.default_value IS NOT DISTINCT FROM {_SAID_DEFAULT}
        THEN excluded.default_value ELSE i.default_value END,
    validation_rules = CASE WHEN i.validation_rules IS NOT DISTINCT FROM {_SAID_RULES}
        THEN excluded.validation_rules ELSE i.validation_rules END,
    description = CASE WHEN i.description IS NOT DISTINCT FROM i.described ->> 'description'
        THEN excluded.description ELSE i.description END,
    described = excluded.described
WHERE i.described IS DISTINCT FROM excluded.described
"""  # noqa: S608 (made of constants)
#: ``node_io_requirements.field_name`` and ``data_type`` hold as much.
_LONGEST_NAME = 255
_LONGEST_TYPE = 50


async def write_nodes(
    connection: Connection, org_id: UUID, version_id: UUID, document: dict[str, Any]
) -> None:
    """Gives a version's steps their numbers, and writes what they read."""
    await connection.execute(_NODES, (version_id,))
    rows = [one._asdict() for one in data_bindings(document)]
    if rows:
        values = {"org": org_id, "version": version_id, "rows": _json(rows)}
        await connection.execute(_BINDINGS, values)


async def write_requirements(
    connection: Connection, org_id: UUID, version_id: UUID, tasks: Mapping[str, TaskSpec]
) -> None:
    """Writes what the tasks of a version's steps take and give. Again: nothing changes."""
    rows = []
    for name, task in tasks.items():
        for one in task_requirements(task):
            if len(one.name) > _LONGEST_NAME:
                continue
            rows.append(
                {
                    "task": name,
                    "io": one.io,
                    "name": one.name,
                    "type": one.type[:_LONGEST_TYPE] if one.type else None,
                    "required": one.required,
                    **({"default": one.default} if one.has_default else {}),
                    "rules": one.rules,
                    "description": one.description,
                }
            )
    values = {"org": org_id, "version": version_id, "tasks": list(tasks), "rows": _json(rows)}
    await connection.execute(_REQUIREMENTS, values)


def _json(rows: list[dict[str, Any]]) -> str:
    kept, _ = storable(rows)
    return dump_json(kept)
