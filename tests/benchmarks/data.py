"""A funnel-shaped data set of any size, made by the database itself in a few statements."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import EACH_ALONE, Database
from dashboard.onboarding import releases, steps
from dashboard.onboarding.actor import Actor

MANAGER = Actor("system:benchmark", "cli")

# They joined over the last year, and were last active some time since; names repeat, as names do.
PEOPLE = text("""
INSERT INTO onboarding_users (user_id, name, email, created_at, last_activity_at)
SELECT 'user-' || n, first || ' ' || last, lower(first) || '.' || lower(last) || n || '@' || domain || '.example', joined,
       joined + random() * (now() - joined)
  FROM (SELECT n, now() - random() * interval '365 days' AS joined,
               (ARRAY['Amara', 'Ben', 'Chiara', 'Daniel', 'Elif', 'Farid', 'Grace', 'Hana', 'Ines', 'Jonas', 'Kofi',
                      'Łucja', 'Maya', 'Noor', 'Olga', 'Pedro', 'Quinn', 'Rosa', 'Søren', 'Tomas', 'Uma', 'Víctor',
                      'Wen', 'Xenia', 'Yusuf', 'Zoë'])[1 + floor(random() * 26)::int] AS first,
               (ARRAY['Adeyemi', 'Berg', 'Carter', 'Diaz', 'Eriksen', 'Fontaine', 'Garcia', 'Haddad', 'Ivanov', 'Jensen',
                      'Kowalczyk', 'Lindqvist', 'Mensah', 'Nakamura', 'Okafor', 'Papadopoulos', 'Quist', 'Romano', 'Sato',
                      'Tanaka', 'Usman', 'Vargas', 'Weber', 'Xu', 'Yilmaz', 'Zhang'])[1 + floor(random() * 26)::int]
                   || (ARRAY['', '', '', 'son', '-Ortiz', 'ova'])[1 + floor(random() * 6)::int] AS last,
               'company' || floor(random() * 500)::int AS domain
          FROM generate_series(1, :people) n) made
""")

# Everybody has got as far as some step: those before it are done (one in ten skipped), that one is in progress.
PROGRESS = text("""
INSERT INTO user_steps (user_id, step_id, status, release_id, row_version, updated_by)
SELECT u.user_id, s.step_id, CASE WHEN s.position - 1 = u.reached THEN 'in_progress'
                                  WHEN random() < 0.1 THEN 'skipped' ELSE 'done' END,
       s.current_release_id, 2, 'system:benchmark'
  FROM (SELECT user_id, floor(random() * (:steps + 1))::int AS reached FROM onboarding_users) u
  JOIN steps s ON s.position - 1 <= u.reached
""")

ARRAYS = text("""
UPDATE onboarding_users u
   SET done_releases = a.done, skipped_releases = a.skipped, in_progress_releases = a.in_progress
  FROM (SELECT user_id,
               coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'done'), '{}') AS done,
               coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'skipped'), '{}') AS skipped,
               coalesce(array_agg(release_id ORDER BY release_id) FILTER (WHERE status = 'in_progress'), '{}')
                   AS in_progress
          FROM user_steps GROUP BY user_id) a
 WHERE a.user_id = u.user_id
""")
FINISHED = text("""
UPDATE onboarding_users SET finished_at = last_activity_at
 WHERE cardinality(done_releases) + cardinality(skipped_releases) = :steps
""")


def build(database: Database, people: int, of_steps: int = 8) -> None:
    """Fills an empty database with `people` people and `of_steps` released steps, and analyses it."""
    with database.transaction() as session:
        for number in range(1, of_steps + 1):
            steps.create(session, MANAGER, f"step-{number}", {"title": f"Step {number}", "weight": 10 + number})
            releases.release(session, MANAGER, f"step-{number}")
        session.execute(text("SELECT setseed(0.5)"))
        session.execute(PEOPLE, {"people": people})
        session.execute(PROGRESS, {"steps": of_steps})
        session.execute(ARRAYS)
        session.execute(FINISHED, {"steps": of_steps})
    with database.engine.connect().execution_options(**EACH_ALONE) as connection:
        connection.execute(text("VACUUM (FULL, ANALYZE)"))


def some_rows(session: Session, people: int) -> list[tuple[str, str, int]]:
    """(user_id, step_id, row_version) of all recorded steps of some people, chosen evenly."""
    rows = session.execute(
        text("""
        SELECT v.user_id, v.step_id, v.row_version FROM user_onboarding v JOIN user_steps USING (user_id, step_id)
         WHERE v.user_id IN (SELECT user_id FROM onboarding_users ORDER BY md5(user_id) LIMIT :people)
        """),
        {"people": people},
    )
    return [(row.user_id, row.step_id, row.row_version) for row in rows]
