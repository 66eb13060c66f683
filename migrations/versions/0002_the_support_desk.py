"""The support desk: finding people by their words and their standing, conflicts counted, a person erased, the activity.

Revision ID: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

STANDING = (
    "hash_array_extended(done_releases, 1) # hash_array_extended(skipped_releases, 2)"
    " # hash_array_extended(in_progress_releases, 3)"
)

# What is searched: without case and accents, and in one way of writing the same letter.
SEARCH_WORDS = """
CREATE FUNCTION search_words(written text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
RETURN lower(unaccent(normalize(written, NFKC)))
"""

# The space in front makes the beginning of a word findable by ' wo', which an index can look up however short it is.
INDEX_NEW = """
CREATE FUNCTION index_new_people() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO user_search (user_id, words)
  SELECT user_id, search_words(' ' || name || ' ' || email || ' ' || user_id) FROM new_people;
  RETURN NULL;
END $$
"""
INDEX_RENAMED = """
CREATE FUNCTION index_renamed_person() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE user_search SET words = search_words(' ' || NEW.name || ' ' || NEW.email || ' ' || NEW.user_id)
   WHERE user_id = NEW.user_id;
  RETURN NULL;
END $$
"""
INDEXED = """
CREATE TRIGGER index_new_people AFTER INSERT ON onboarding_users
REFERENCING NEW TABLE AS new_people FOR EACH STATEMENT EXECUTE FUNCTION index_new_people()
"""
INDEXED_AGAIN = """
CREATE TRIGGER index_renamed_person AFTER UPDATE OF name, email ON onboarding_users FOR EACH ROW
WHEN ((OLD.name, OLD.email) IS DISTINCT FROM (NEW.name, NEW.email)) EXECUTE FUNCTION index_renamed_person()
"""
EVERYBODY = """
INSERT INTO user_search (user_id, words)
SELECT user_id, search_words(' ' || name || ' ' || email || ' ' || user_id) FROM onboarding_users
"""

# Append-only but for one thing: who is being erased, named for this transaction, is taken out of what is kept.
REFUSE_CHANGE_UNLESS_ERASING = """
CREATE FUNCTION refuse_change_unless_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  personal constant text[] := ARRAY['user_id', 'actor', 'comment', 'note', 'subject', 'changes'];
BEGIN
  IF OLD.user_id IS NULL OR OLD.user_id IS DISTINCT FROM current_setting('onboarding.erasing', true)
     OR to_jsonb(OLD) - personal IS DISTINCT FROM to_jsonb(NEW) - personal THEN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NEW;
END $$
"""
APPEND_ONLY = ("user_step_events", "audit_log", "write_conflicts")


def upgrade() -> None:
    # Trusted like pg_trgm: the owner of the database may create it.
    op.execute("CREATE EXTENSION IF NOT EXISTS unaccent")
    op.drop_index("ix_onboarding_users_search", table_name="onboarding_users")
    op.add_column(
        "onboarding_users",
        sa.Column("standing", sa.BigInteger(), sa.Computed(STANDING, persisted=True), nullable=False),
    )
    op.create_index("ix_onboarding_users_created_at", "onboarding_users", ["created_at", "user_id"])
    op.create_index(
        "ix_onboarding_users_last_activity",
        "onboarding_users",
        [sa.literal_column("coalesce(last_activity_at, created_at)"), "user_id"],
    )
    op.create_index("ix_onboarding_users_standing", "onboarding_users", ["standing", "user_id"])
    op.create_table(
        "user_search",
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("words", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["user_id"], ["onboarding_users.user_id"], name=op.f("fk_user_search_user_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_user_search")),
    )
    op.execute(SEARCH_WORDS)
    op.execute(EVERYBODY)
    op.create_index(
        "ix_user_search_words",
        "user_search",
        ["words"],
        postgresql_using="gin",
        postgresql_ops={"words": "gin_trgm_ops"},
    )
    op.create_index("ix_user_search_order", "user_search", [sa.literal_column("left(words, 200)"), "user_id"])
    op.create_table(
        "write_conflicts",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("to_status", sa.Text(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("current_row_version", sa.Integer(), nullable=False),
        sa.Column("release_id", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_write_conflicts")),
    )
    op.create_index("ix_write_conflicts_at", "write_conflicts", ["at"])
    op.create_table(
        "bulk_changes",
        sa.Column("id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('done', 'skipped', 'in_progress', 'todo')", name=op.f("ck_bulk_changes_status")),
        sa.ForeignKeyConstraint(["step_id"], ["steps.step_id"], name=op.f("fk_bulk_changes_step_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bulk_changes")),
    )
    op.create_table(
        "bulk_change_people",
        sa.Column("bulk_id", sa.Integer(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=True),
        sa.Column("from_status", sa.Text(), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.CheckConstraint(
            "outcome IN ('changed', 'same', 'moved', 'gone')", name=op.f("ck_bulk_change_people_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["bulk_id"], ["bulk_changes.id"], name=op.f("fk_bulk_change_people_bulk_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("bulk_id", "user_id", name=op.f("pk_bulk_change_people")),
    )
    op.drop_index("ix_user_step_events_at", table_name="user_step_events")
    op.create_index("ix_user_step_events_at", "user_step_events", ["at", "user_id"])
    op.create_index("ix_user_step_events_actor", "user_step_events", ["actor", "at", "user_id"])
    op.create_index("ix_audit_log_actor", "audit_log", ["actor", "at"])
    op.create_index("ix_audit_log_action", "audit_log", ["action", "at"])
    for name in ("step", "user"):
        op.create_index(
            f"ix_audit_log_{name}",
            "audit_log",
            [f"{name}_id", "at"],
            postgresql_where=sa.text(f"{name}_id IS NOT NULL"),
        )
    for statement in (INDEX_NEW, INDEX_RENAMED, INDEXED, INDEXED_AGAIN, REFUSE_CHANGE_UNLESS_ERASING):
        op.execute(statement)
    for table in APPEND_ONLY:
        op.execute(f"DROP TRIGGER IF EXISTS append_only ON {table}")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE DELETE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER append_only_but_for_erasure BEFORE UPDATE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION refuse_change_unless_erasing()"
        )


def downgrade() -> None:
    for table in ("user_step_events", "audit_log"):
        op.execute(f"DROP TRIGGER append_only_but_for_erasure ON {table}")
        op.execute(f"DROP TRIGGER append_only ON {table}")
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    for table in ("bulk_change_people", "bulk_changes", "write_conflicts"):
        op.drop_table(table)
    op.execute("DROP FUNCTION refuse_change_unless_erasing()")
    for name in ("index_new_people", "index_renamed_person"):
        op.execute(f"DROP TRIGGER {name} ON onboarding_users")
        op.execute(f"DROP FUNCTION {name}()")
    op.drop_table("user_search")
    op.execute("DROP FUNCTION search_words(text)")
    for name in ("user", "step", "action", "actor"):
        op.drop_index(f"ix_audit_log_{name}", table_name="audit_log")
    op.drop_index("ix_user_step_events_actor", table_name="user_step_events")
    op.drop_index("ix_user_step_events_at", table_name="user_step_events")
    op.create_index("ix_user_step_events_at", "user_step_events", ["at"])
    for name in ("standing", "last_activity", "created_at"):
        op.drop_index(f"ix_onboarding_users_{name}", table_name="onboarding_users")
    op.drop_column("onboarding_users", "standing")
    op.create_index(
        "ix_onboarding_users_search",
        "onboarding_users",
        [sa.literal_column("lower(name || ' ' || email || ' ' || user_id) gin_trgm_ops")],
        postgresql_using="gin",
    )
