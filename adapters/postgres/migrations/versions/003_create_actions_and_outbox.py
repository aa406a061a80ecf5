"""Actions from outside, the outbox, and where a run came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "003_create_actions_and_outbox"
down_revision = "002_create_records"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables and the columns."""
    op.add_column("step_records", sa.Column("wrapped", sa.Boolean()))
    op.add_column("workflow_instances", sa.Column("origin_kind", sa.String(length=50)))
    op.add_column("workflow_instances", sa.Column("origin_instance_id", sa.Uuid()))
    op.add_column("workflow_instances", sa.Column("origin_execution_id", sa.Text()))
    op.add_column("workflow_instances", sa.Column("origin_path", sa.Text()))
    op.add_column("workflow_instances", sa.Column("origin_iteration", sa.Integer()))
    op.create_index(
        "workflow_instances_origin_idx",
        "workflow_instances",
        ["org_id", "origin_instance_id"],
        postgresql_where=sa.text("origin_instance_id IS NOT NULL"),
    )
    op.create_table(
        "run_actions",
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("actor", sa.String(length=255)),
        sa.Column("reason", sa.Text()),
        sa.Column("path", sa.Text()),
        sa.Column("iteration", sa.Integer()),
        sa.Column(
            "data", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False
        ),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["instance_id"], ["workflow_instances.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("org_id", "event_id", name="run_actions_pkey"),
    )
    op.create_index("run_actions_instance_idx", "run_actions", ["instance_id", "seq"])
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.Uuid(), nullable=False),
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("instance_id", sa.Uuid(), nullable=False),
        sa.Column("execution_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("event_type", sa.String(length=255), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("envelope", postgresql.JSONB(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "recorded_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("org_id", "event_id", name="outbox_events_event_key"),
    )
    op.create_index("outbox_events_instance_idx", "outbox_events", ["instance_id", "seq"])
    op.create_index(
        "outbox_events_unpublished_idx",
        "outbox_events",
        ["org_id", "instance_id", "seq"],
        postgresql_where=sa.text("published_at IS NULL"),
    )


def downgrade() -> None:
    """Drops all of it."""
    op.drop_table("outbox_events")
    op.drop_table("run_actions")
    op.drop_index("workflow_instances_origin_idx")
    for column in ("kind", "instance_id", "execution_id", "path", "iteration"):
        op.drop_column("workflow_instances", f"origin_{column}")
    op.drop_column("step_records", "wrapped")
