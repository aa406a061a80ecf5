"""The schema, described once: what the migrations build and what the tests compare them with.

Columns carry the specification's names and lengths; times are ``timestamptz``. Business keys are
unique within an org, never across orgs. The triggers that refuse changes are the migrations' own.

The record is written in any order and from several workers, so each column that a first, partial
fact may not know is nullable. Audit events refer to nothing: they outlive what they tell of. What
an execution leaves behind is in ``execution_tables``.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from adapters.postgres.execution_tables import describe_execution_tables

metadata = MetaData()

_NOW = text("now()")
_EMPTY = text("'{}'::jsonb")


def _timestamp(name: str, *, nullable: bool = False, default: bool = False) -> Column[object]:
    return Column(
        name, DateTime(timezone=True), nullable=nullable, server_default=_NOW if default else None
    )


def _org() -> Column[object]:
    return Column("org_id", Uuid, ForeignKey("organizations.id"), nullable=False)


organizations = Table(
    "organizations",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("slug", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("created_by", String(255)),
    _timestamp("created_at", default=True),
    UniqueConstraint("slug", name="organizations_slug_key"),
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    _org(),
    Column("name", String(255), nullable=False),
    Column("created_by", String(255)),
    _timestamp("created_at", default=True),
    UniqueConstraint("org_id", "name", name="users_org_id_name_key"),
)

#: One row for each business id, with the top-level fields of its highest listed version. ``listed``
#: is false while only inline documents, which runs brought along, have used the id.
workflow_definitions = Table(
    "workflow_definitions",
    metadata,
    Column("id", Uuid, primary_key=True),
    _org(),
    Column("workflow_id", String(255), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", Text),
    Column("version", String(50), nullable=False),
    Column("input_schema", JSONB),
    Column("triggers", JSONB),
    Column("steps", JSONB, nullable=False),
    Column("ui_components", JSONB),
    Column("execution_log", JSONB),
    Column("metadata", JSONB),
    Column("variables", JSONB),
    Column("timeout", String(50)),
    Column("output", JSONB),
    Column("on_failure", JSONB),
    Column("rollback", JSONB),
    Column("content_hash", String(64), nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("created_by", String(255)),
    _timestamp("created_at", default=True),
    _timestamp("updated_at", default=True),
    Index("workflow_definitions_workflow_id_idx", "org_id", "workflow_id", unique=True),
    Index("workflow_definitions_triggers_idx", "triggers", postgresql_using="gin"),
)

#: Every version with its whole document. A trigger refuses every change but one: an unlisted
#: version may become listed, when somebody registers what a run had brought along.
workflow_definition_versions = Table(
    "workflow_definition_versions",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("definition_id", Uuid, ForeignKey("workflow_definitions.id"), nullable=False),
    _org(),
    Column("workflow_id", String(255), nullable=False),
    Column("version", String(50), nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("document", JSONB, nullable=False),
    Column("listed", Boolean, nullable=False),
    Column("created_by", String(255)),
    _timestamp("created_at", default=True),
    UniqueConstraint(
        "org_id",
        "workflow_id",
        "version",
        "content_hash",
        name="workflow_definition_versions_content_key",
    ),
    Index(
        "workflow_definition_versions_listed_idx",
        "org_id",
        "workflow_id",
        "version",
        unique=True,
        postgresql_where=text("listed"),
    ),
    Index("workflow_definition_versions_definition_idx", "definition_id"),
)

#: One row for each run. A row without ``interpreter_version`` was made by a fact that came before
#: the run's first record, which then fills it in. ``seq`` is that of the last flush, -1 before it.
workflow_instances = Table(
    "workflow_instances",
    metadata,
    Column("id", Uuid, primary_key=True),
    _org(),
    Column("workflow_definition_id", Uuid, ForeignKey("workflow_definitions.id")),
    Column("definition_version_id", Uuid, ForeignKey("workflow_definition_versions.id")),
    Column("workflow_id", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("content_hash", String(64)),
    Column("execution_id", Text, nullable=False),
    Column("first_run_id", Text, nullable=False),
    Column("status", String(50), nullable=False),
    Column("current_step_id", String(255)),
    Column("input", JSONB),
    Column("state", JSONB),
    Column("output", JSONB),
    Column("error", JSONB),
    Column("trigger_event_id", Uuid),
    Column("correlation_id", String(255)),
    Column("channel", String(255)),
    Column("external_id", String(255)),
    Column("user_id", String(255)),
    Column("idempotency_key", String(255)),
    Column("request_hash", String(64)),
    Column("metadata", JSONB, nullable=False, server_default=_EMPTY),
    Column("tags", JSONB, nullable=False, server_default=_EMPTY),
    Column("origin_kind", String(50)),
    Column("origin_instance_id", Uuid),
    Column("origin_execution_id", Text),
    Column("origin_path", Text),
    Column("origin_iteration", Integer),
    Column("interpreter_version", Integer),
    Column("seq", BigInteger, nullable=False, server_default=text("-1")),
    _timestamp("started_at"),
    _timestamp("updated_at"),
    _timestamp("completed_at", nullable=True),
    Column("trace_id", BigInteger, nullable=False),
    _timestamp("trace_created_at"),
    Index("workflow_instances_trace_idx", "trace_id", "trace_created_at", "org_id", unique=True),
    Index("workflow_instances_status_idx", "status"),
    Index("workflow_instances_correlation_idx", "correlation_id"),
    Index("workflow_instances_definition_idx", "workflow_definition_id"),
    Index("workflow_instances_version_idx", "definition_version_id"),
    Index("workflow_instances_page_idx", "org_id", text("started_at DESC"), text("id DESC")),
    Index(
        "workflow_instances_workflow_page_idx",
        "org_id",
        "workflow_id",
        text("started_at DESC"),
        text("id DESC"),
    ),
    Index("workflow_instances_execution_idx", "org_id", "execution_id"),
    Index(
        "workflow_instances_idempotency_idx",
        "org_id",
        "idempotency_key",
        postgresql_where=text("idempotency_key IS NOT NULL"),
    ),
    Index(
        "workflow_instances_origin_idx",
        "org_id",
        "origin_instance_id",
        postgresql_where=text("origin_instance_id IS NOT NULL"),
    ),
)

#: Events on their way to a broker, in one lane for each run. They refer to nothing: what is not
#: published yet must outlive its run. ``id`` says nothing about the order of commits.
outbox_events = Table(
    "outbox_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("event_id", Uuid, nullable=False),
    Column("org_id", Uuid, nullable=False),
    Column("instance_id", Uuid, nullable=False),
    Column("execution_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("event_type", String(255), nullable=False),
    Column("path", Text, nullable=False),
    Column("iteration", Integer, nullable=False),
    Column("envelope", JSONB, nullable=False),
    _timestamp("occurred_at"),
    _timestamp("recorded_at", default=True),
    _timestamp("published_at", nullable=True),
    Column("after_seq", BigInteger),
    _timestamp("dead_at", nullable=True),
    Column("error", Text),
    UniqueConstraint("org_id", "event_id", name="outbox_events_event_key"),
    Index("outbox_events_instance_idx", "instance_id", postgresql_using="hash"),
    Index("outbox_events_recorded_idx", "org_id", "recorded_at"),
    Index(
        "outbox_events_dead_idx",
        "org_id",
        "dead_at",
        postgresql_where=text("dead_at IS NOT NULL"),
    ),
    Index(
        "outbox_events_unpublished_idx",
        "org_id",
        "instance_id",
        "seq",
        postgresql_where=text("published_at IS NULL AND dead_at IS NULL"),
    ),
)

#: Which runs may read which values of the payload store, each by the hash of its JSON text.
payloads = Table(
    "payloads",
    metadata,
    _org(),
    Column(
        "instance_id",
        Uuid,
        ForeignKey("workflow_instances.id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("sha256", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    _timestamp("created_at", default=True),
    PrimaryKeyConstraint("org_id", "sha256", "instance_id", name="payloads_pkey"),
    Index("payloads_instance_idx", "instance_id"),
)

#: Events from outside that could not start what they should have. One for whose org nobody could be
#: found has none. ``message`` is what came, byte for byte.
event_dead_letters = Table(
    "event_dead_letters",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("org_id", Uuid, ForeignKey("organizations.id")),
    Column("event_id", Uuid),
    Column("event_type", Text),
    Column("source", Text),
    Column("workflow_id", Text),
    Column("code", String(50), nullable=False),
    Column("reason", Text, nullable=False),
    Column("message", LargeBinary, nullable=False),
    Column("headers", JSONB, nullable=False, server_default=_EMPTY),
    Column("topic", Text),
    Column("topic_partition", Integer),
    Column("topic_offset", BigInteger),
    Column("attempts", Integer, nullable=False, server_default=text("1")),
    _timestamp("first_failed_at", default=True),
    _timestamp("last_failed_at", default=True),
    _timestamp("resolved_at", nullable=True),
    Index(
        "event_dead_letters_open_idx",
        "org_id",
        "first_failed_at",
        postgresql_where=text("resolved_at IS NULL"),
    ),
)

#: Append-only: triggers refuse UPDATE, DELETE and TRUNCATE.
audit_events = Table(
    "audit_events",
    metadata,
    Column("event_id", Uuid, nullable=False),
    Column("event_timestamp", DateTime(timezone=True), nullable=False),
    Column("event_type", String(255), nullable=False),
    Column("event_data", JSONB, nullable=False),
    Column("org_id", Uuid, nullable=False),
    Column("instance_id", Uuid),
    Column("seq", BigInteger, nullable=False),
    _timestamp("recorded_at", default=True),
    PrimaryKeyConstraint("org_id", "event_id", name="audit_events_pkey"),
    Index("audit_events_instance_idx", "instance_id", "seq"),
    Index("audit_events_type_idx", "org_id", "event_type", "event_timestamp"),
    Index("audit_events_page_idx", "org_id", text("event_timestamp DESC"), text("event_id DESC")),
)

#: The hash chain of each org over its audit events. Append-only, as they are.
audit_seals = Table(
    "audit_seals",
    metadata,
    Column("org_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("event_id", Uuid, nullable=False),
    Column("event_hash", String(64), nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    _timestamp("sealed_at", default=True),
    PrimaryKeyConstraint("org_id", "position", name="audit_seals_pkey"),
    UniqueConstraint("org_id", "event_id", name="audit_seals_event_key"),
)

#: The audit events that have no seal yet; a trigger puts each new one here.
audit_unsealed = Table(
    "audit_unsealed",
    metadata,
    Column("org_id", Uuid, nullable=False),
    Column("event_id", Uuid, nullable=False),
    _timestamp("recorded_at"),
    PrimaryKeyConstraint("org_id", "event_id", name="audit_unsealed_pkey"),
    Index("audit_unsealed_order_idx", "org_id", "recorded_at", "event_id"),
)

#: Where the chain of an org begins, once its oldest events were pruned: behind its last row here.
audit_anchors = Table(
    "audit_anchors",
    metadata,
    Column("org_id", Uuid, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("removed", BigInteger, nullable=False),
    _timestamp("older_than"),
    _timestamp("pruned_at", default=True),
    Column("pruned_by", String(255), nullable=False),
    Column("event_id", Uuid, nullable=False),
    PrimaryKeyConstraint("org_id", "position", name="audit_anchors_pkey"),
)

#: What was created through a provider that keeps its workflows here.
provider_workflows = Table(
    "provider_workflows",
    metadata,
    _org(),
    Column("provider_type", String(255), nullable=False),
    Column("workflow_id", String(128), nullable=False),
    Column("spec", JSONB, nullable=False),
    Column("resource_ids", JSONB, nullable=False),
    Column("created_by", String(255)),
    _timestamp("created_at", default=True),
    PrimaryKeyConstraint("org_id", "provider_type", "workflow_id", name="provider_workflows_pkey"),
)

describe_execution_tables(metadata)
