"""Organizations, users, definitions with their versions, and the instances.

The org ``default`` is made here, so that a start that names no org finds one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "001_create_definitions_and_instances"
down_revision = None
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION steploom_guard_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND NOT OLD.listed AND NEW.listed THEN
        -- Somebody registers what a run had brought along: it becomes theirs, its content stays.
        IF (NEW.id, NEW.definition_id, NEW.org_id, NEW.workflow_id, NEW.version, NEW.content_hash,
            NEW.document)
           IS NOT DISTINCT FROM
           (OLD.id, OLD.definition_id, OLD.org_id, OLD.workflow_id, OLD.version, OLD.content_hash,
            OLD.document)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'a registered version never changes (% of workflow_definition_versions)',
        TG_OP USING ERRCODE = 'restrict_violation';
END
$$
"""

_GUARD_ROWS = """
CREATE TRIGGER workflow_definition_versions_immutable
BEFORE UPDATE OR DELETE ON workflow_definition_versions
FOR EACH ROW EXECUTE FUNCTION steploom_guard_version()
"""

# As definitions.identity makes it of the slug; written out, for a migration must never change.
_DEFAULT_ORG = """
INSERT INTO organizations (id, slug, name)
VALUES ('df647fd0-143e-5bb9-8f80-06662489e9f1', 'default', 'Default')
"""


def upgrade() -> None:
    """Makes the tables, the guard of the versions, and the org ``default``."""
    op.create_table(
        "organizations",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("slug", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug", name="organizations_slug_key"),
    )
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org_id", "name", name="users_org_id_name_key"),
    )
    op.create_table(
        "workflow_definitions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("input_schema", postgresql.JSONB()),
        sa.Column("triggers", postgresql.JSONB()),
        sa.Column("steps", postgresql.JSONB(), nullable=False),
        sa.Column("ui_components", postgresql.JSONB()),
        sa.Column("execution_log", postgresql.JSONB()),
        sa.Column("metadata", postgresql.JSONB()),
        sa.Column("variables", postgresql.JSONB()),
        sa.Column("timeout", sa.String(length=50)),
        sa.Column("output", postgresql.JSONB()),
        sa.Column("on_failure", postgresql.JSONB()),
        sa.Column("rollback", postgresql.JSONB()),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "workflow_definitions_triggers_idx",
        "workflow_definitions",
        ["triggers"],
        postgresql_using="gin",
    )
    op.create_index(
        "workflow_definitions_workflow_id_idx",
        "workflow_definitions",
        ["org_id", "workflow_id"],
        unique=True,
    )
    op.create_table(
        "workflow_definition_versions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("definition_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_id", sa.String(length=255), nullable=False),
        sa.Column("version", sa.String(length=50), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("document", postgresql.JSONB(), nullable=False),
        sa.Column("listed", sa.Boolean(), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["definition_id"], ["workflow_definitions.id"]),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint(
            "org_id",
            "workflow_id",
            "version",
            "content_hash",
            name="workflow_definition_versions_content_key",
        ),
    )
    op.create_index(
        "workflow_definition_versions_definition_idx",
        "workflow_definition_versions",
        ["definition_id"],
    )
    op.create_index(
        "workflow_definition_versions_listed_idx",
        "workflow_definition_versions",
        ["org_id", "workflow_id", "version"],
        unique=True,
        postgresql_where=sa.text("listed"),
    )
    op.create_table(
        "workflow_instances",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("workflow_definition_id", sa.Uuid()),
        sa.Column("definition_version_id", sa.Uuid()),
        sa.Column("workflow_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.String(length=64)),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("first_run_id", sa.Text(), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("current_step_id", sa.String(length=255)),
        sa.Column("input", postgresql.JSONB()),
        sa.Column("state", postgresql.JSONB()),
        sa.Column("output", postgresql.JSONB()),
        sa.Column("error", postgresql.JSONB()),
        sa.Column("trigger_event_id", sa.Uuid()),
        sa.Column("correlation_id", sa.String(length=255)),
        sa.Column("channel", sa.String(length=255)),
        sa.Column("external_id", sa.String(length=255)),
        sa.Column("user_id", sa.String(length=255)),
        sa.Column("idempotency_key", sa.String(length=255)),
        sa.Column("request_hash", sa.String(length=64)),
        sa.Column(
            "metadata", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column(
            "tags", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("interpreter_version", sa.Integer()),
        sa.Column("seq", sa.BigInteger(), server_default=sa.text("-1"), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["definition_version_id"], ["workflow_definition_versions.id"]),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"]),
        sa.ForeignKeyConstraint(["workflow_definition_id"], ["workflow_definitions.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("workflow_instances_correlation_idx", "workflow_instances", ["correlation_id"])
    op.create_index(
        "workflow_instances_definition_idx", "workflow_instances", ["workflow_definition_id"]
    )
    op.create_index(
        "workflow_instances_execution_idx", "workflow_instances", ["org_id", "execution_id"]
    )
    op.create_index(
        "workflow_instances_idempotency_idx",
        "workflow_instances",
        ["org_id", "idempotency_key"],
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    )
    op.create_index(
        "workflow_instances_page_idx",
        "workflow_instances",
        ["org_id", sa.text("started_at DESC"), sa.text("id DESC")],
    )
    op.create_index("workflow_instances_status_idx", "workflow_instances", ["status"])
    op.create_index(
        "workflow_instances_version_idx", "workflow_instances", ["definition_version_id"]
    )
    op.create_index(
        "workflow_instances_workflow_page_idx",
        "workflow_instances",
        ["org_id", "workflow_id", sa.text("started_at DESC"), sa.text("id DESC")],
    )
    op.execute(_GUARD)
    op.execute(_GUARD_ROWS)
    op.execute(_DEFAULT_ORG)


def downgrade() -> None:
    """Drops all of it."""
    for table in (
        "workflow_instances",
        "workflow_definition_versions",
        "workflow_definitions",
        "users",
        "organizations",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION steploom_guard_version()")
