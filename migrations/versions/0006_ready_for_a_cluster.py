"""People's search words are written by the engine, events are erased by being written anew, shards have a name.

Triggers of tables that a cluster spreads may only refuse, and what a row is spread by can't be changed.

Revision ID: 0006
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

# Where a person's rows lie: on a single server all in one place. `dashboard distribute` puts another in its place.
SHARD_OF = """
CREATE FUNCTION shard_of(person text) RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 0
"""

# What people hold, each once: from each standing to the next by the index, as many steps as there are standings, not
# people. `dashboard distribute` puts another in its place, for a cluster lets no query go over people step by step.
STANDINGS = """
CREATE VIEW standings AS
WITH RECURSIVE standings AS (
    (SELECT standing, done_releases, skipped_releases, in_progress_releases
       FROM onboarding_users ORDER BY standing LIMIT 1)
    UNION ALL
    SELECT following.*
      FROM standings s
     CROSS JOIN LATERAL (SELECT standing, done_releases, skipped_releases, in_progress_releases
                           FROM onboarding_users o WHERE o.standing > s.standing ORDER BY o.standing LIMIT 1) following
)
SELECT * FROM standings
"""

# Who is being erased, named for this transaction: their events are written under another name, and may be deleted.
REFUSE_DELETE_UNLESS_ERASING = """
CREATE FUNCTION refuse_delete_unless_erasing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.user_id IS DISTINCT FROM current_setting('onboarding.erasing', true) THEN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN OLD;
END $$
"""

# As 0002 had them.
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


def upgrade() -> None:
    for name in ("index_new_people", "index_renamed_person"):
        op.execute(f"DROP TRIGGER {name} ON onboarding_users")
        op.execute(f"DROP FUNCTION {name}()")
    op.execute(SHARD_OF)
    op.execute(STANDINGS)
    op.execute(REFUSE_DELETE_UNLESS_ERASING)
    op.execute("DROP TRIGGER append_only ON user_step_events")
    op.execute("DROP TRIGGER append_only_but_for_erasure ON user_step_events")
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE ON user_step_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_but_for_erasure BEFORE DELETE ON user_step_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_delete_unless_erasing()"
    )


def downgrade() -> None:
    op.execute("DROP TRIGGER append_only ON user_step_events")
    op.execute("DROP TRIGGER append_only_but_for_erasure ON user_step_events")
    op.execute(
        "CREATE TRIGGER append_only BEFORE DELETE ON user_step_events "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    op.execute(
        "CREATE TRIGGER append_only_but_for_erasure BEFORE UPDATE ON user_step_events "
        "FOR EACH ROW EXECUTE FUNCTION refuse_change_unless_erasing()"
    )
    op.execute("DROP FUNCTION refuse_delete_unless_erasing()")
    op.execute("DROP VIEW standings")
    op.execute("DROP FUNCTION shard_of(text)")
    for statement in (INDEX_NEW, INDEX_RENAMED, INDEXED, INDEXED_AGAIN):
        op.execute(statement)
