"""The execution tables: configurations, nodes, traces, steps, context and events.

Two files of SQL that ``psql`` can apply as well; there is nothing in this migration but them.
"""

from __future__ import annotations

from adapters.postgres.migrations.sqlfile import run_file

revision = "014_add_workflow_execution_tables"
down_revision = "003_create_actions_and_outbox"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables, views and functions."""
    run_file("add_workflow_execution_tables.sql")
    run_file("workflow_execution_views.sql")


def downgrade() -> None:
    """Drops all of it, with what it holds."""
    run_file("drop_workflow_execution_tables.sql")
