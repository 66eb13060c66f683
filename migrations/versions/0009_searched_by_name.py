"""The words that people are ordered by are a column, so that a walk through its index needs no look at the people.

Revision ID: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

ORDER = "ix_user_search_order"
FIRST_WORDS = "left(words, 200)"


def upgrade() -> None:
    op.drop_index(ORDER, table_name="user_search")
    op.add_column("user_search", sa.Column("first_words", sa.Text(), sa.Computed(FIRST_WORDS, persisted=True)))
    op.create_index(ORDER, "user_search", ["first_words", "user_id"])


def downgrade() -> None:
    op.drop_index(ORDER, table_name="user_search")
    op.drop_column("user_search", "first_words")
    op.create_index(ORDER, "user_search", [sa.literal_column(FIRST_WORDS), "user_id"])
