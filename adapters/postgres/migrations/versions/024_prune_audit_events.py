"""Audit events have a retention of their own: the oldest go, and an anchor says how far."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "024_prune_audit_events"
down_revision = "023_match_triggers"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the anchors, and the function that alone removes audit events."""
    run_file("prune_audit_events.sql")


def downgrade() -> None:
    """Drops both: a chain that was pruned does not hold any more, for its beginning is missing."""
    run_file("prune_audit_events_back.sql")
