"""Audit events are sealed: a hash chain for each org, in a table of its own."""

from __future__ import annotations

from alembic import op

from adapters.postgres.migrations.sqlfile import run_file

revision = "018_seal_audit_events"
down_revision = "017_keep_requirements"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the chain and the queue before it, in which all events of today stand."""
    run_file("seal_audit_events.sql")


def downgrade() -> None:
    """Drops both: what is sealed today can never be shown to be unchanged again."""
    op.execute("DROP TRIGGER audit_events_unsealed ON audit_events")
    op.drop_index("audit_events_page_idx", "audit_events")
    for table in ("audit_unsealed", "audit_seals"):
        op.drop_table(table)
    for function in ("steploom_queue_audit", "steploom_guard_seals"):
        op.execute(f"DROP FUNCTION {function}()")
