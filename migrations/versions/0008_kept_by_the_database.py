"""No log is emptied by accident, no released version is rewritten, no two steps have one place; people's logs are indexed.

Revision ID: 0008
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

LOGS = ("audit_log", "user_step_events", "write_conflicts")
BY_PERSON = ("write_conflicts", "bulk_change_people")

# Whoever means to empty a database says so for the transaction, as an erasure names its person.
REFUSE_TRUNCATE_UNLESS_EMPTYING = """
CREATE FUNCTION refuse_truncate_unless_emptying() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF current_setting('onboarding.emptying', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
  END IF;
  RETURN NULL;
END $$
"""

# What a released version says, and that it is one. Whether it is live now goes to and fro.
SAYS = ("step_id", "version", "title", "description", "weight", "action_url", "state")
REFUSE_REWRITE = """
CREATE FUNCTION refuse_rewrite() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'version % of % was released: it is kept as it is', OLD.version, OLD.step_id
        USING ERRCODE = 'restrict_violation';
END $$
"""
NOT_REWRITTEN = f"""
CREATE TRIGGER not_rewritten BEFORE UPDATE ON onboarding_step_definitions FOR EACH ROW
WHEN (OLD.state = 'released' AND ({", ".join(f"OLD.{name}" for name in SAYS)})
                IS DISTINCT FROM ({", ".join(f"NEW.{name}" for name in SAYS)}))
EXECUTE FUNCTION refuse_rewrite()
"""
NOT_DELETED = """
CREATE TRIGGER not_deleted BEFORE DELETE ON onboarding_step_definitions FOR EACH ROW
WHEN (OLD.state = 'released') EXECUTE FUNCTION refuse_rewrite()
"""

# Two that were made at one moment may have the same place; they keep the order in which they are shown.
PLACES = """
UPDATE steps s SET position = o.place
  FROM (SELECT step_id, row_number() OVER (ORDER BY position, step_id) AS place FROM steps) o
 WHERE o.step_id = s.step_id AND o.place <> s.position
"""


def upgrade() -> None:
    # where the people are distributed already; elsewhere it says nothing to anybody
    op.execute("SET LOCAL citus.enable_unsafe_triggers = on")
    op.execute(REFUSE_TRUNCATE_UNLESS_EMPTYING)
    for table in LOGS:
        op.execute(
            f"CREATE TRIGGER not_emptied BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate_unless_emptying()"
        )
    for statement in (REFUSE_REWRITE, NOT_REWRITTEN, NOT_DELETED):
        op.execute(statement)
    for table in BY_PERSON:
        op.create_index(f"ix_{table}_user_id", table, ["user_id"])
    op.execute(PLACES)
    op.create_unique_constraint("uq_steps_position", "steps", ["position"], deferrable=True, initially="IMMEDIATE")


def downgrade() -> None:
    op.drop_constraint("uq_steps_position", "steps")
    for table in BY_PERSON:
        op.drop_index(f"ix_{table}_user_id", table_name=table)
    for name in ("not_rewritten", "not_deleted"):
        op.execute(f"DROP TRIGGER {name} ON onboarding_step_definitions")
    op.execute("DROP FUNCTION refuse_rewrite()")
    for table in LOGS:
        op.execute(f"DROP TRIGGER not_emptied ON {table}")
    op.execute("DROP FUNCTION refuse_truncate_unless_emptying()")
