"""What operators change says when it was changed, however they do it."""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "025_track_changes"
down_revision = "024_prune_audit_events"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds the triggers, and the column where there was none."""
    run_file("track_changes.sql")


def downgrade() -> None:
    """Takes them away."""
    run_file("track_changes_back.sql")
