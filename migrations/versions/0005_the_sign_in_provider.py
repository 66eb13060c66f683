"""Accounts that sign in with a sign-in provider instead of a password.

Revision ID: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("staff_accounts", sa.Column("oidc_issuer", sa.Text(), nullable=True))
    op.add_column("staff_accounts", sa.Column("oidc_subject", sa.Text(), nullable=True))
    op.create_check_constraint("identity", "staff_accounts", "(oidc_issuer IS NULL) = (oidc_subject IS NULL)")
    op.create_check_constraint("one_way_in", "staff_accounts", "password_hash IS NULL OR oidc_subject IS NULL")
    op.create_unique_constraint(
        op.f("uq_staff_accounts_oidc_issuer_oidc_subject"), "staff_accounts", ["oidc_issuer", "oidc_subject"]
    )


def downgrade() -> None:
    # the accounts stay, as if invited: with a new link their owners choose a password
    op.drop_constraint(op.f("uq_staff_accounts_oidc_issuer_oidc_subject"), "staff_accounts")
    op.drop_constraint(op.f("ck_staff_accounts_one_way_in"), "staff_accounts")
    op.drop_constraint(op.f("ck_staff_accounts_identity"), "staff_accounts")
    op.drop_column("staff_accounts", "oidc_subject")
    op.drop_column("staff_accounts", "oidc_issuer")
