"""Blanks in what people are found by: however many there are, and of whatever kind, they count as one space.

Revision ID: 0010
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

AS_WRITTEN = "lower(unaccent(normalize(written, NFKC)))"
# last, for other signs may have become spaces
WITH_ONE_SPACE = rf"regexp_replace({AS_WRITTEN}, '\s+', ' ', 'g')"

# Each by itself, so that whoever has no name or email is found by what they were found by before.
WORDS = "' ' || search_words(u.name) || ' ' || search_words(u.email) || ' ' || search_words(u.user_id)"


def upgrade() -> None:
    _found_by(WITH_ONE_SPACE)
    # not an UPDATE, for in one of those a cluster calls no function that depends on settings
    op.execute(f"""
    INSERT INTO user_search (user_id, words)
    SELECT u.user_id, {WORDS} FROM onboarding_users u JOIN user_search s USING (user_id) WHERE s.words <> {WORDS}
        ON CONFLICT (user_id) DO UPDATE SET words = excluded.words
    """)


def downgrade() -> None:
    # what people are found by stays: `dashboard db migrate` of the older version writes it anew
    _found_by(AS_WRITTEN)


def _found_by(words: str) -> None:
    op.execute(f"""
    CREATE OR REPLACE FUNCTION search_words(written text) RETURNS text LANGUAGE sql STABLE PARALLEL SAFE
    RETURN {words}
    """)
