"""The records of steps and attempts, and the audit events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "002_create_records"
down_revision = "001_create_definitions_and_instances"
branch_labels = None
depends_on = None

_GUARD = """
CREATE FUNCTION steploom_guard_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'audit events are append-only (% of audit_events)', TG_OP
        USING ERRCODE = 'restrict_violation';
END
$$
"""

_GUARD_ROWS = """
CREATE TRIGGER audit_events_append_only
BEFORE UPDATE OR DELETE ON audit_events
FOR EACH ROW EXECUTE FUNCTION steploom_guard_audit()
"""

_GUARD_TABLE = """
CREATE TRIGGER audit_events_no_truncate
BEFORE TRUNCATE ON audit_events
FOR EACH STATEMENT EXECUTE FUNCTION steploom_guard_audit()
"""


def upgrade() -> None:
    """Makes the tables, and the guard of the audit events."""
    op.create_table(
        "step_records",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Text()),
        sa.Column("name", sa.Text()),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("input", postgresql.JSONB()),
        sa.Column("output", postgresql.JSONB()),
        sa.Column("error", postgresql.JSONB()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("decision", postgresql.JSONB()),
        sa.Column("decision_seq", sa.BigInteger()),
        sa.Column("votes", postgresql.JSONB()),
        sa.Column("waiting_for", postgresql.JSONB()),
        sa.Column("compensated", sa.Boolean()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["instance_id"], ["workflow_instances.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("instance_id", "path", "iteration", name="step_records_path_key"),
    )
    op.create_index("step_records_order_idx", "step_records", ["instance_id", "first_seq"])
    op.create_table(
        "step_attempts",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=50), nullable=False),
        sa.Column("input", postgresql.JSONB()),
        sa.Column("output", postgresql.JSONB()),
        sa.Column("error", postgresql.JSONB()),
        sa.Column("worker", sa.Text()),
        sa.Column("started_at", sa.DateTime(timezone=True)),
        sa.Column("completed_at", sa.DateTime(timezone=True)),
        sa.ForeignKeyConstraint(["instance_id"], ["workflow_instances.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint(
            "instance_id", "path", "iteration", "attempt", name="step_attempts_pkey"
        ),
    )
    op.create_table(
        "audit_events",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("event_timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("event_type", sa.String(length=255), nullable=False),
        sa.Column("event_data", postgresql.JSONB(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid()),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("org_id", "event_id", name="audit_events_pkey"),
    )
    op.create_index("audit_events_instance_idx", "audit_events", ["instance_id", "seq"])
    op.create_index(
        "audit_events_type_idx", "audit_events", ["org_id", "event_type", "event_timestamp"]
    )
    op.execute(_GUARD)
    op.execute(_GUARD_ROWS)
    op.execute(_GUARD_TABLE)


def downgrade() -> None:
    """Drops all of it."""
    for table in ("audit_events", "step_attempts", "step_records"):
        op.drop_table(table)
    op.execute("DROP FUNCTION steploom_guard_audit()")
