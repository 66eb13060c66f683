"""What was done by any of the people on the checklist is found by an index, as what any other actor did.

Revision ID: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

BY = sa.text("regexp_replace(actor, '^user:.*', 'people')")
INDEXES = {"user_step_events": ["at", "user_id"], "audit_log": ["at"]}


def upgrade() -> None:
    for table, more in INDEXES.items():
        op.drop_index(f"ix_{table}_actor", table_name=table)
        op.create_index(f"ix_{table}_by", table, [BY, *more])


def downgrade() -> None:
    for table, more in INDEXES.items():
        op.drop_index(f"ix_{table}_by", table_name=table)
        op.create_index(f"ix_{table}_actor", table, ["actor", *more])
