"""People are found by how many steps they have passed, which bounds how far they can be.

Revision ID: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

PASSED = "(cardinality(done_releases) + cardinality(skipped_releases))"


def upgrade() -> None:
    op.create_index("ix_onboarding_users_passed", "onboarding_users", [sa.literal_column(PASSED)])


def downgrade() -> None:
    op.drop_index("ix_onboarding_users_passed", table_name="onboarding_users")
