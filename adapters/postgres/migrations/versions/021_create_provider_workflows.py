"""The workflows that were created through a provider, so that they outlive its process."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "021_create_provider_workflows"
down_revision = "019_create_payloads"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table, which each org sees its own rows of."""
    op.create_table(
        "provider_workflows",
        sa.Column("org_id", sa.Uuid(), nullable=False),
        sa.Column("provider_type", sa.String(length=255), nullable=False),
        sa.Column("workflow_id", sa.String(length=128), nullable=False),
        sa.Column("spec", postgresql.JSONB(), nullable=False),
        sa.Column("resource_ids", postgresql.JSONB(), nullable=False),
        sa.Column("created_by", sa.String(length=255)),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.ForeignKeyConstraint(["org_id"], ["organizations.id"]),
        sa.PrimaryKeyConstraint(
            "org_id", "provider_type", "workflow_id", name="provider_workflows_pkey"
        ),
    )
    op.execute("ALTER TABLE provider_workflows ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE provider_workflows FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY tenant ON provider_workflows USING"
        " (org_id = nullif(current_setting('app.current_org_id', true), '')::uuid)"
    )


def downgrade() -> None:
    """Drops it."""
    op.drop_table("provider_workflows")
