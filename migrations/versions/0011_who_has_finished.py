"""Whoever has finished, and whoever has not, is found without a look at all others.

Revision ID: 0011
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

FINISHED = "ix_onboarding_users_finished"
UNFINISHED = "ix_onboarding_users_unfinished"


def upgrade() -> None:
    op.create_index(FINISHED, "onboarding_users", ["finished_at"], postgresql_where=sa.text("finished_at IS NOT NULL"))
    op.create_index(
        UNFINISHED, "onboarding_users", ["standing", "user_id"], postgresql_where=sa.text("finished_at IS NULL")
    )


def downgrade() -> None:
    op.drop_index(UNFINISHED, table_name="onboarding_users")
    op.drop_index(FINISHED, table_name="onboarding_users")
