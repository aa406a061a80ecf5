"""The execution tables, described once: what the SQL of the migrations builds.

``workflow_trace`` and ``workflow_events`` are partitioned by month. What belongs to a trace carries
its partition key as well, and its org, so that nothing can be hung onto another org's trace.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import ENUM, JSONB

CHANNEL = ENUM("web", "voice", "efax", name="workflow_channel", create_type=False)
TRACE_STATUS = ENUM(
    "pending",
    "active",
    "completed",
    "failed",
    "cancelled",
    "timeout",
    name="trace_status",
    create_type=False,
)
STEP_STATUS = ENUM(
    "pending",
    "active",
    "waiting",
    "completed",
    "failed",
    "skipped",
    "cancelled",
    "timeout",
    name="step_status",
    create_type=False,
)

_NOW = text("now()")
_EMPTY = text("'{}'::jsonb")
_TRUE, _FALSE = text("true"), text("false")


def _id(kind: type[Integer] = BigInteger) -> Column[int]:
    return Column("id", kind, Identity(), primary_key=True)


def _org() -> Column[object]:
    return Column("org_id", Uuid, ForeignKey("organizations.id"), nullable=False)


def _refers(
    name: str, target: str, *, cascade: bool = False, nullable: bool = True
) -> Column[object]:
    key = ForeignKey(target, ondelete="CASCADE" if cascade else None)
    return Column(name, key, nullable=nullable)


def _moment(name: str, *, nullable: bool = False, default: bool = False) -> Column[object]:
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=_NOW if default else None
    )


def _made() -> tuple[Column[object], ...]:
    return (
        _refers("created_by", "users.id"),
        _moment("created_at", default=True),
        _moment("updated_at", default=True),
    )


def _of_trace(created_at: str = "trace_created_at") -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["trace_id", created_at, "org_id"],
        [f"workflow_instances.{name}" for name in ("trace_id", "trace_created_at", "org_id")],
        ondelete="CASCADE",
    )


def describe_execution_tables(metadata: MetaData) -> None:
    """Adds the execution tables to what is described."""
    _describe_configurations(metadata)
    _describe_nodes(metadata)
    _describe_executions(metadata)


def _describe_configurations(metadata: MetaData) -> None:
    Table(
        "workflow_configs",
        metadata,
        _id(),
        _org(),
        Column("config_type", String(50), nullable=False),
        _refers("workflow_id", "workflow_definitions.id", cascade=True),
        Column("channel", CHANNEL),
        Column("version", Integer, nullable=False),
        Column("config_name", String(255)),
        Column("config_data", JSONB, nullable=False),
        Column("is_active", Boolean, nullable=False, server_default=_FALSE),
        *_made(),
        UniqueConstraint(
            "org_id",
            "config_type",
            "workflow_id",
            "channel",
            "version",
            name="workflow_configs_version_key",
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "workflow_configs_active_idx",
            "org_id",
            "config_type",
            "workflow_id",
            "channel",
            unique=True,
            postgresql_nulls_not_distinct=True,
            postgresql_where=text("is_active"),
        ),
        Index("workflow_configs_workflow_idx", "workflow_id"),
        Index("workflow_configs_created_by_idx", "created_by"),
    )
    Table(
        "channel_configs",
        metadata,
        _id(),
        _org(),
        Column("channel", CHANNEL, nullable=False),
        Column("config_data", JSONB, nullable=False, server_default=_EMPTY),
        Column("is_active", Boolean, nullable=False, server_default=_TRUE),
        *_made(),
        UniqueConstraint("org_id", "channel", name="channel_configs_channel_key"),
        Index("channel_configs_created_by_idx", "created_by"),
    )
    Table(
        "workflow_channel_configs",
        metadata,
        _id(),
        _org(),
        _refers("workflow_id", "workflow_definitions.id", cascade=True, nullable=False),
        Column("channel", CHANNEL, nullable=False),
        Column("is_enabled", Boolean, nullable=False, server_default=_TRUE),
        Column("priority", Integer, nullable=False, server_default=text("0")),
        Column("webhook_url", Text),
        Column("config_data", JSONB, nullable=False, server_default=_EMPTY),
        *_made(),
        UniqueConstraint(
            "org_id", "workflow_id", "channel", name="workflow_channel_configs_channel_key"
        ),
        Index("workflow_channel_configs_workflow_idx", "workflow_id"),
        Index(
            "workflow_channel_configs_priority_idx",
            "org_id",
            "workflow_id",
            text("priority DESC"),
            postgresql_where=text("is_enabled"),
        ),
        Index("workflow_channel_configs_created_by_idx", "created_by"),
    )
    Table(
        "config_status",
        metadata,
        _id(),
        _org(),
        Column("entity_type", String(50), nullable=False),
        Column("entity_id", String(255), nullable=False),
        _refers("config_id", "workflow_configs.id", cascade=True, nullable=False),
        Column("is_active", Boolean, nullable=False, server_default=_TRUE),
        _refers("activated_by", "users.id"),
        _moment("activated_at", default=True),
        _moment("deactivated_at", nullable=True),
        Index(
            "config_status_active_idx",
            "org_id",
            "entity_type",
            "entity_id",
            unique=True,
            postgresql_where=text("is_active"),
        ),
        Index("config_status_config_idx", "config_id"),
        Index("config_status_activated_by_idx", "activated_by"),
    )


def _describe_nodes(metadata: MetaData) -> None:
    Table(
        "workflow_nodes",
        metadata,
        _id(Integer),
        _org(),
        _refers("workflow_id", "workflow_definitions.id", cascade=True, nullable=False),
        _refers(
            "definition_version_id",
            "workflow_definition_versions.id",
            cascade=True,
            nullable=False,
        ),
        Column("step_id", String(255), nullable=False),
        Column("task_id", String(255), nullable=False),
        Column("name", String(255)),
        Column("position", Integer, nullable=False),
        UniqueConstraint("definition_version_id", "step_id", name="workflow_nodes_step_key"),
        Index("workflow_nodes_workflow_idx", "workflow_id"),
    )
    Table(
        "node_io_requirements",
        metadata,
        _id(),
        _org(),
        _refers("node_id", "workflow_nodes.id", cascade=True, nullable=False),
        Column("io_type", String(10), nullable=False),
        Column("field_name", String(255), nullable=False),
        Column("data_type", String(50)),
        Column("is_required", Boolean, nullable=False, server_default=_FALSE),
        Column("default_value", JSONB),
        Column("validation_rules", JSONB),
        Column("description", Text),
        _moment("created_at", default=True),
        Column("described", JSONB),
        _moment("updated_at", default=True),
        UniqueConstraint("node_id", "io_type", "field_name", name="node_io_requirements_field_key"),
    )
    Table(
        "workflow_data_bindings",
        metadata,
        _id(),
        _org(),
        _refers(
            "definition_version_id",
            "workflow_definition_versions.id",
            cascade=True,
            nullable=False,
        ),
        _refers("source_node_id", "workflow_nodes.id", cascade=True),
        _refers("target_node_id", "workflow_nodes.id", cascade=True),
        Column("binding_type", String(50), nullable=False),
        Column("source_path", Text, nullable=False),
        Column("target_path", Text, nullable=False),
        Column("binding_config", JSONB, nullable=False, server_default=_EMPTY),
        _moment("created_at", default=True),
        UniqueConstraint(
            "definition_version_id",
            "target_path",
            "source_path",
            name="workflow_data_bindings_path_key",
        ),
        Index("workflow_data_bindings_source_idx", "source_node_id"),
        Index("workflow_data_bindings_target_idx", "target_node_id"),
    )


def _describe_executions(metadata: MetaData) -> None:
    Table(
        "workflow_trace",
        metadata,
        Column("id", BigInteger, autoincrement=True, nullable=False),
        _moment("created_at"),
        _org(),
        _refers("instance_id", "workflow_instances.id", cascade=True, nullable=False),
        _refers("workflow_id", "workflow_definitions.id"),
        _refers("definition_version_id", "workflow_definition_versions.id"),
        Column("channel", CHANNEL, nullable=False, server_default="web"),
        Column("external_id", String(255)),
        Column("status", TRACE_STATUS, nullable=False, server_default="active"),
        Column("config_snapshot", JSONB, nullable=False, server_default=_EMPTY),
        _moment("start_time"),
        _moment("end_time", nullable=True),
        Column("duration_ms", BigInteger),
        Column("error_message", Text),
        _refers("created_by", "users.id"),
        _moment("updated_at"),
        PrimaryKeyConstraint("id", "created_at", name="workflow_trace_pkey"),
        UniqueConstraint("instance_id", "created_at", name="workflow_trace_instance_key"),
        Index("workflow_trace_workflow_idx", "workflow_id", text("start_time DESC")),
        Index("workflow_trace_version_idx", "definition_version_id"),
        Index("workflow_trace_status_idx", "org_id", "status", text("start_time DESC")),
        Index("workflow_trace_channel_idx", "org_id", "channel", text("start_time DESC")),
        Index(
            "workflow_trace_external_idx",
            "org_id",
            "external_id",
            postgresql_where=text("external_id IS NOT NULL"),
        ),
        Index(
            "workflow_trace_created_by_idx",
            "created_by",
            postgresql_where=text("created_by IS NOT NULL"),
        ),
    )
    Table(
        "workflow_steps",
        metadata,
        _id(),
        Column("step_uuid", Uuid, nullable=False),
        Column("org_id", Uuid, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        _moment("trace_created_at"),
        _refers("node_id", "workflow_nodes.id"),
        Column("step_number", Integer),
        Column("path", Text, nullable=False),
        Column("iteration", Integer, nullable=False),
        Column("seq", BigInteger, nullable=False),
        Column("first_seq", BigInteger, nullable=False),
        Column("step_id", Text, nullable=False),
        Column("task_id", Text),
        Column("name", Text),
        Column("status", STEP_STATUS, nullable=False),
        Column("input_data", JSONB),
        Column("output_data", JSONB),
        Column("error", JSONB),
        Column("error_message", Text),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("retry_count", Integer, nullable=False, server_default=text("0")),
        Column("decision", JSONB),
        Column("decision_seq", BigInteger),
        Column("votes", JSONB),
        Column("waiting_for", JSONB),
        Column("compensated", Boolean),
        Column("wrapped", Boolean),
        _moment("start_time", nullable=True),
        _moment("end_time", nullable=True),
        Column("duration_ms", BigInteger),
        UniqueConstraint("trace_id", "path", "iteration", "org_id", name="workflow_steps_path_key"),
        _of_trace(),
        Index("workflow_steps_node_idx", "node_id"),
        Index(
            "workflow_steps_status_idx",
            "org_id",
            "status",
            "start_time",
            postgresql_where=text("status <> 'completed'::step_status"),
        ),
    )
    Table(
        "workflow_step_attempts",
        metadata,
        Column("org_id", Uuid, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        _moment("trace_created_at"),
        Column("path", Text, nullable=False),
        Column("iteration", Integer, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("status", STEP_STATUS, nullable=False),
        Column("input_data", JSONB),
        Column("output_data", JSONB),
        Column("error", JSONB),
        Column("worker", Text),
        _moment("start_time", nullable=True),
        _moment("end_time", nullable=True),
        PrimaryKeyConstraint(
            "trace_id", "path", "iteration", "attempt", "org_id", name="workflow_step_attempts_pkey"
        ),
        _of_trace(),
    )
    Table(
        "workflow_trace_context",
        metadata,
        _id(),
        Column("org_id", Uuid, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        _moment("trace_created_at"),
        Column("context_key", String(255), nullable=False),
        Column("context_value", JSONB, nullable=False),
        _moment("created_at", default=True),
        _moment("updated_at", default=True),
        UniqueConstraint("trace_id", "context_key", "org_id", name="workflow_trace_context_key"),
        _of_trace(),
    )
    Table(
        "workflow_events",
        metadata,
        Column("id", BigInteger, autoincrement=True, nullable=False),
        _moment("created_at"),
        Column("org_id", Uuid, nullable=False),
        Column("event_id", Uuid, nullable=False),
        Column("trace_id", BigInteger, nullable=False),
        Column("step_id", BigInteger),
        Column("seq", BigInteger, nullable=False),
        Column("event_type", String(255), nullable=False),
        Column("path", Text),
        Column("iteration", Integer),
        Column("attempt", Integer),
        Column("actor", String(255)),
        Column("event_data", JSONB, nullable=False, server_default=_EMPTY),
        _moment("occurred_at"),
        PrimaryKeyConstraint("id", "created_at", name="workflow_events_pkey"),
        UniqueConstraint(
            "trace_id", "event_id", "org_id", "created_at", name="workflow_events_event_key"
        ),
        _of_trace("created_at"),
        Index("workflow_events_type_idx", "org_id", "event_type", text("occurred_at DESC")),
    )
