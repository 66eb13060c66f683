"""Links with which staff set a password; changes of an account that are told apart; sessions that get a new secret.

Revision ID: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# what no password has as its hash
UNUSABLE = "!"


def upgrade() -> None:
    op.alter_column("staff_accounts", "password_hash", nullable=True)
    # as a downgrade left those who had signed in without one
    op.execute(f"UPDATE staff_accounts SET password_hash = NULL WHERE password_hash = '{UNUSABLE}'")
    op.add_column("staff_accounts", sa.Column("row_version", sa.Integer(), server_default="1", nullable=False))
    op.add_column("staff_sessions", sa.Column("renewal_due", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("staff_sessions", sa.Column("previous_id", sa.Text(), nullable=True))
    op.add_column("staff_sessions", sa.Column("renewed_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index("ix_staff_sessions_previous_id", "staff_sessions", ["previous_id"])
    op.create_table(
        "staff_links",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["staff_accounts.id"], name=op.f("fk_staff_links_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_staff_links")),
        sa.UniqueConstraint("secret_hash", name=op.f("uq_staff_links_secret_hash")),
    )


def downgrade() -> None:
    op.drop_table("staff_links")
    op.drop_index("ix_staff_sessions_previous_id", table_name="staff_sessions")
    op.drop_column("staff_sessions", "renewed_at")
    op.drop_column("staff_sessions", "previous_id")
    op.drop_column("staff_sessions", "renewal_due")
    op.drop_column("staff_accounts", "row_version")
    # who was invited and never came has nothing to lose; whoever came from a sign-in provider needs a password
    op.execute("DELETE FROM staff_accounts WHERE password_hash IS NULL AND last_sign_in_at IS NULL")
    op.execute(f"UPDATE staff_accounts SET password_hash = '{UNUSABLE}' WHERE password_hash IS NULL")
    op.alter_column("staff_accounts", "password_hash", nullable=False)
