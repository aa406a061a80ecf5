"""One tenant never sees another: row level security of all the tables that came before it did."""

from __future__ import annotations

from alembic import op

from adapters.postgres.migrations.sqlfile import run_file

revision = "015_secure_tenants"
down_revision = "014_add_workflow_execution_tables"
branch_labels = None
depends_on = None

_TABLES = (
    "organizations",
    "users",
    "workflow_definitions",
    "workflow_definition_versions",
    "workflow_instances",
    "audit_events",
    "outbox_events",
)


def upgrade() -> None:
    """Adds the policies, and the list of orgs for who serves all of them."""
    run_file("secure_tenants.sql")


def downgrade() -> None:
    """Takes them away: every role with a grant sees every org again."""
    op.execute("DROP FUNCTION list_organizations")
    op.execute("DROP POLICY directory ON organizations")
    for table in _TABLES:
        op.execute(f"DROP POLICY tenant ON {table}")
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
