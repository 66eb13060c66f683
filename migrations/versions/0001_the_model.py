"""The model: steps, definitions, releases; people and their steps; the log; staff.

Revision ID: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# The carry-over rule (docs/model.md, rules 1 to 3) in SQL, written once: every reader of effective truth selects from it.
EFFECTIVE_USER_STEPS = """
CREATE VIEW effective_user_steps AS
SELECT u.user_id,
       s.step_id,
       c.version AS step_version,
       CASE WHEN reset.id IS NULL THEN coalesce(us.status, 'todo') ELSE 'todo' END AS status,
       coalesce(us.row_version, 1) + c.number - coalesce(r.number, 1) AS row_version,
       coalesce(reset.released_at, us.updated_at) AS updated_at,
       coalesce(reset.released_by, us.updated_by) AS updated_by,
       c.id AS current_release_id,
       us.status AS recorded_status,
       us.row_version AS recorded_row_version,
       us.release_id AS recorded_release_id,
       reset.id AS reset_by_release_id
  FROM onboarding_users u
 CROSS JOIN steps s
  JOIN step_releases c ON c.id = s.current_release_id
  LEFT JOIN user_steps us ON us.user_id = u.user_id AND us.step_id = s.step_id
  LEFT JOIN step_releases r ON r.id = us.release_id
  LEFT JOIN step_releases reset ON reset.id = CASE us.status
         WHEN 'done' THEN r.done_reset_by
         WHEN 'skipped' THEN r.skipped_reset_by
         WHEN 'in_progress' THEN r.in_progress_reset_by END
"""

USER_ONBOARDING = """
CREATE VIEW user_onboarding AS
SELECT user_id, step_id, step_version, status, row_version, updated_at, updated_by FROM effective_user_steps
"""

# Few distinct combinations, however many people: told, the planner counts them by hashing instead of sorting.
GROUPS = """
CREATE STATISTICS onboarding_users_groups (ndistinct)
    ON done_releases, skipped_releases, in_progress_releases FROM onboarding_users
"""

REFUSE_CHANGE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$
"""


def upgrade() -> None:
    # Trusted since PostgreSQL 13: the owner of the database may create it. Search by a part of a name needs it.
    op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
        sa.UniqueConstraint("token_hash", name=op.f("uq_api_tokens_token_hash")),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("subject", sa.Text(), server_default="", nullable=False),
        sa.Column("changes", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at", "audit_log", ["at"], unique=False)
    op.create_table(
        "installation",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_installation")),
    )
    op.create_table(
        "onboarding_users",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), server_default="", nullable=False),
        sa.Column("email", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("done_releases", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("skipped_releases", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("in_progress_releases", sa.ARRAY(sa.Integer()), server_default=sa.text("'{}'"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_activity_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("char_length(user_id) BETWEEN 1 AND 200", name=op.f("ck_onboarding_users_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_onboarding_users")),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "ix_onboarding_users_name", "onboarding_users", [sa.literal_column("lower(name)"), "user_id"], unique=False
    )
    op.create_index(
        "ix_onboarding_users_search",
        "onboarding_users",
        [sa.literal_column("lower(name || ' ' || email || ' ' || user_id) gin_trgm_ops")],
        unique=False,
        postgresql_using="gin",
    )
    op.create_table(
        "sign_in_failures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_failures")),
    )
    op.create_index("ix_sign_in_failures_address", "sign_in_failures", ["address", "at"], unique=False)
    op.create_index("ix_sign_in_failures_email", "sign_in_failures", ["email", "at"], unique=False)
    op.create_table(
        "staff_accounts",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_sign_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('viewer', 'support', 'manager', 'admin')", name=op.f("ck_staff_accounts_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_accounts")),
        sa.UniqueConstraint("email", name=op.f("uq_staff_accounts_email")),
    )
    op.create_table(
        "steps",
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("current_release_id", sa.Integer(), nullable=True),
        sa.Column("weight", sa.Integer(), server_default="0", nullable=False),
        sa.Column("draft_row_version", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("step_id", name=op.f("pk_steps")),
    )
    op.create_table(
        "onboarding_step_definitions",
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("weight", sa.Integer(), nullable=False),
        sa.Column("action_url", sa.Text(), server_default="", nullable=False),
        sa.Column("is_active", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("state", sa.Text(), server_default="draft", nullable=False),
        sa.Column("based_on", sa.Integer(), nullable=True),
        sa.Column("row_version", sa.Integer(), server_default="1", nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("edited_by", sa.Text(), nullable=False),
        sa.CheckConstraint(
            "state = 'released' OR NOT is_active", name=op.f("ck_onboarding_step_definitions_active_is_released")
        ),
        sa.CheckConstraint("state IN ('draft', 'released')", name=op.f("ck_onboarding_step_definitions_state")),
        sa.CheckConstraint("char_length(title) BETWEEN 1 AND 200", name=op.f("ck_onboarding_step_definitions_title")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_onboarding_step_definitions_version")),
        sa.CheckConstraint("weight BETWEEN 1 AND 1000", name=op.f("ck_onboarding_step_definitions_weight")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_onboarding_step_definitions_step_id")),
        sa.PrimaryKeyConstraint("step_id", "version", name=op.f("pk_onboarding_step_definitions")),
    )
    op.create_index(
        "uq_onboarding_step_definitions_active",
        "onboarding_step_definitions",
        ["step_id"],
        unique=True,
        postgresql_where=sa.text("is_active"),
    )
    op.create_index(
        "uq_onboarding_step_definitions_draft",
        "onboarding_step_definitions",
        ["step_id"],
        unique=True,
        postgresql_where=sa.text("state = 'draft'"),
    )
    op.create_table(
        "draft_editors",
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.ForeignKeyConstraint(
            ["step_id"], ["steps.step_id"], name=op.f("fk_draft_editors_step_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("step_id", "actor", name=op.f("pk_draft_editors")),
    )
    op.create_table(
        "staff_sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.Text(), server_default="", nullable=False),
        sa.Column("user_agent", sa.Text(), server_default="", nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["staff_accounts.id"], name=op.f("fk_staff_sessions_account_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_sessions")),
    )
    op.create_index("ix_staff_sessions_account_id", "staff_sessions", ["account_id"], unique=False)
    op.create_table(
        "step_releases",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("carry_done", sa.Boolean(), nullable=False),
        sa.Column("carry_skipped", sa.Boolean(), nullable=False),
        sa.Column("carry_in_progress", sa.Boolean(), nullable=False),
        sa.Column("undone_by", sa.Integer(), nullable=True),
        sa.Column("done_reset_by", sa.Integer(), nullable=True),
        sa.Column("skipped_reset_by", sa.Integer(), nullable=True),
        sa.Column("in_progress_reset_by", sa.Integer(), nullable=True),
        sa.Column("done_points", sa.Integer(), server_default="0", nullable=False),
        sa.Column("skipped_points", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reopens_finished", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=False),
        sa.Column("receipt", postgresql.JSONB(), nullable=True),
        sa.CheckConstraint("(version IS NULL) = (kind = 'withdraw')", name=op.f("ck_step_releases_withdrawn")),
        sa.CheckConstraint(
            "kind IN ('publish', 'migrate', 'rollback', 'withdraw', 'restore')", name=op.f("ck_step_releases_kind")
        ),
        sa.ForeignKeyConstraint(["done_reset_by"], ["step_releases.id"], name=op.f("fk_step_releases_done_reset_by")),
        sa.ForeignKeyConstraint(
            ["in_progress_reset_by"], ["step_releases.id"], name=op.f("fk_step_releases_in_progress_reset_by")
        ),
        sa.ForeignKeyConstraint(
            ["skipped_reset_by"], ["step_releases.id"], name=op.f("fk_step_releases_skipped_reset_by")
        ),
        sa.ForeignKeyConstraint(
            ["step_id", "version"],
            ["onboarding_step_definitions.step_id", "onboarding_step_definitions.version"],
            name=op.f("fk_step_releases_step_id_version"),
        ),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_step_releases_step_id")),
        sa.ForeignKeyConstraint(["undone_by"], ["step_releases.id"], name=op.f("fk_step_releases_undone_by")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_step_releases")),
        sa.UniqueConstraint("step_id", "number", name=op.f("uq_step_releases_step_id_number")),
        postgresql_with={"toast_tuple_target": 128},
    )
    op.create_index("ix_step_releases_released_at", "step_releases", ["released_at"], unique=False)
    op.create_table(
        "user_step_events",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("from_status", sa.Text(), nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.CheckConstraint(
            "source IN ('web', 'api', 'bulk', 'import', 'cli')", name=op.f("ck_user_step_events_source")
        ),
        sa.PrimaryKeyConstraint("user_id", "step_id", "row_version", name=op.f("pk_user_step_events")),
    )
    op.create_index("ix_user_step_events_at", "user_step_events", ["at"], unique=False)
    op.create_table(
        "user_steps",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_by", sa.Text(), nullable=False),
        sa.CheckConstraint("status IN ('done', 'skipped', 'in_progress', 'todo')", name=op.f("ck_user_steps_status")),
        sa.ForeignKeyConstraint(["release_id"], ["step_releases.id"], name=op.f("fk_user_steps_release_id")),
        sa.ForeignKeyConstraint(["user_id"], ["onboarding_users.user_id"], name=op.f("fk_user_steps_user_id")),
        sa.PrimaryKeyConstraint("user_id", "step_id", name=op.f("pk_user_steps")),
        postgresql_with={"fillfactor": 85},
    )
    op.create_foreign_key("fk_steps_current_release_id", "steps", "step_releases", ["current_release_id"], ["id"])
    for statement in (EFFECTIVE_USER_STEPS, USER_ONBOARDING, REFUSE_CHANGE, GROUPS):
        op.execute(statement)
    for table in ("user_step_events", "audit_log"):
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    for view in ("user_onboarding", "effective_user_steps"):
        op.execute(f"DROP VIEW {view}")
    op.drop_constraint("fk_steps_current_release_id", "steps", type_="foreignkey")
    for table in (
        "user_steps",
        "user_step_events",
        "onboarding_users",
        "step_releases",
        "draft_editors",
        "onboarding_step_definitions",
        "steps",
        "audit_log",
        "staff_sessions",
        "staff_accounts",
        "sign_in_failures",
        "api_tokens",
        "installation",
    ):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change()")
