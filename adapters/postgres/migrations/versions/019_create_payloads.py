"""Which runs may read which values of the payload store."""

from __future__ import annotations

from alembic import op

from adapters.postgres.migrations.sqlfile import run_file

revision = "019_create_payloads"
down_revision = "018_seal_audit_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the table."""
    run_file("payloads.sql")


def downgrade() -> None:
    """Drops it. The values stay in the store, where nobody refers to them any more."""
    op.execute("DROP TABLE payloads")
