"""Whether the stored data keeps the promises of docs/model.md: read-only, and by other means than the code that writes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.carryover import UNDOES, WORKED, Release, Status, reset_by, status_at
from dashboard.onboarding.history import releases_of
from dashboard.onboarding.people import WORDS

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Check:
    """One promise: how many times it is broken, with the first few by name."""

    promise: str
    broken: int
    examples: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        """Whether it is broken nowhere."""
        return not self.broken


def check(session: Session) -> list[Check]:
    """Every promise about steps, releases, people and history, checked over the whole database, kept or not."""
    releases = releases_of(session)
    return [
        *_release_checks(session, releases),
        *(_rows(session, promise, query) for promise, query in PROMISES.items()),
        _from_statuses(session, releases),
    ]


# Steps and releases: few rows, compared in Python with the rule that carryover.py states on its own ------------------


STORED_STEPS = text("""
SELECT s.step_id, s.current_release_id, s.weight,
       (SELECT count(*) FROM onboarding_step_definitions d WHERE d.step_id = s.step_id AND d.is_active) AS active,
       (SELECT d.version FROM onboarding_step_definitions d WHERE d.step_id = s.step_id AND d.is_active LIMIT 1) AS live,
       (SELECT d.weight FROM onboarding_step_definitions d WHERE d.step_id = s.step_id AND d.is_active LIMIT 1) AS points
  FROM steps s ORDER BY s.step_id
""")
DERIVED = text("""
SELECT r.id, r.step_id, r.done_reset_by AS done, r.skipped_reset_by AS skipped, r.in_progress_reset_by AS in_progress,
       r.done_points, r.skipped_points, s.weight
  FROM step_releases r JOIN steps s ON s.step_id = r.step_id ORDER BY r.step_id, r.number
""")


def _release_checks(session: Session, releases: dict[str, list[Release]]) -> list[Check]:
    steps, derived = session.execute(STORED_STEPS).all(), session.execute(DERIVED).all()
    return [
        _found("A step's current release is its newest", _not_newest(steps, releases)),
        _found(
            "A live step has exactly one active version, the released one; any other step has none",
            _not_live(steps, releases),
        ),
        _found(
            "A step's weight is that of its live version",
            (row.step_id for row in steps if row.weight != (row.points or 0)),
        ),
        _found("Releases of a step are numbered 1, 2, 3 ... in the order of their ids", _misnumbered(releases)),
        _found("A rollback or a restore undoes exactly one release before it", _not_undoing(releases)),
        _found("What each release keeps is what the policies after it say", _wrongly_derived(derived, releases)),
    ]


def _not_newest(steps: Sequence[Any], releases: dict[str, list[Release]]) -> Iterator[str]:
    for row in steps:
        of_step = releases.get(row.step_id, [])
        if row.current_release_id != (of_step[-1].id if of_step else None):
            yield row.step_id


def _not_live(steps: Sequence[Any], releases: dict[str, list[Release]]) -> Iterator[str]:
    for row in steps:
        of_step = releases.get(row.step_id, [])
        version = of_step[-1].version if of_step else None
        if row.active != (version is not None) or row.live != version:
            yield row.step_id


def _misnumbered(releases: dict[str, list[Release]]) -> Iterator[str]:
    for step_id, of_step in releases.items():
        ids = [release.id for release in of_step]
        if [release.number for release in of_step] != list(range(1, len(of_step) + 1)) or ids != sorted(ids):
            yield step_id


def _not_undoing(releases: dict[str, list[Release]]) -> Iterator[str]:
    for step_id, of_step in releases.items():
        for release in of_step:
            undone = [one for one in of_step if one.undone_by == release.id]
            if len(undone) != (release.kind in UNDOES) or any(one.number >= release.number for one in undone):
                yield f"{step_id} release {release.number}"


def _wrongly_derived(derived: Sequence[Any], releases: dict[str, list[Release]]) -> Iterator[str]:
    for row in derived:
        of_step = releases[row.step_id]
        number = next(release.number for release in of_step if release.id == row.id)
        by = {status: reset_by(status, number, of_step[-1].number, of_step) for status in WORKED}
        resets = {status: release.id if release else None for status, release in by.items()}
        points = [0 if by["done"] else row.weight, 0 if by["skipped"] else row.weight]
        stored = {"done": row.done, "skipped": row.skipped, "in_progress": row.in_progress}
        if stored != resets or [row.done_points, row.skipped_points] != points:
            yield f"{row.step_id} release {number}"


def _found(promise: str, broken: Iterator[str]) -> Check:
    names = list(broken)
    return Check(promise, len(names), tuple(names[:EXAMPLES]))


# People and their history: many rows, compared in the database -------------------------------------------------------


def _recorded(status: Status) -> str:
    return f"coalesce(array_agg(us.release_id ORDER BY us.release_id) FILTER (WHERE us.status = '{status}'), '{{}}')"


PROMISES = {
    "A person's lists of releases are what their rows say": f"""
        SELECT u.user_id AS broken
          FROM onboarding_users u
          LEFT JOIN (SELECT us.user_id, {_recorded("done")} AS done, {_recorded("skipped")} AS skipped,
                            {_recorded("in_progress")} AS in_progress
                       FROM user_steps us GROUP BY us.user_id) r USING (user_id)
         WHERE (u.done_releases, u.skipped_releases, u.in_progress_releases) IS DISTINCT FROM
               (coalesce(r.done, '{{}}'), coalesce(r.skipped, '{{}}'), coalesce(r.in_progress, '{{}}'))""",
    "Everyone is in the search index under their current name": f"""
        SELECT user_id AS broken
          FROM onboarding_users LEFT JOIN user_search USING (user_id)
         WHERE words IS DISTINCT FROM {WORDS}""",
    "A status is recorded under a release of its own step": """
        SELECT us.user_id || ' / ' || us.step_id AS broken
          FROM user_steps us JOIN step_releases r ON r.id = us.release_id WHERE r.step_id <> us.step_id""",
    "A row_version that counts is at least 1": """
        SELECT us.user_id || ' / ' || us.step_id AS broken
          FROM user_steps us
          JOIN step_releases r ON r.id = us.release_id
          JOIN steps s ON s.step_id = us.step_id
          JOIN step_releases c ON c.id = s.current_release_id
         WHERE us.row_version + c.number - r.number < 1""",
    # An imported row may begin at any row_version; any other begins right after those of the releases before it.
    "Row versions of a step have no gap and no repeat: each is one event or one release": """
        SELECT user_id || ' / ' || step_id || ' at ' || row_version AS broken
          FROM (SELECT e.user_id, e.step_id, e.row_version, e.source, r.number, r.step_id AS of_step,
                       lag(e.row_version) OVER w AS before, lag(r.number) OVER w AS number_before
                  FROM user_step_events e LEFT JOIN step_releases r ON r.id = e.release_id
                WINDOW w AS (PARTITION BY e.user_id, e.step_id ORDER BY e.row_version)) told
         WHERE step_id IS DISTINCT FROM of_step
            OR CASE WHEN before IS NULL THEN source <> 'import' AND row_version <> number + 1
                    ELSE number < number_before OR row_version <> before + number - number_before + 1 END""",
    "What a row says is what its newest event says, and every row has one": """
        SELECT coalesce(us.user_id, e.user_id) || ' / ' || coalesce(us.step_id, e.step_id) AS broken
          FROM user_steps us
          FULL JOIN (SELECT DISTINCT ON (user_id, step_id) user_id, step_id, to_status, release_id, row_version, at, actor
                       FROM user_step_events ORDER BY user_id, step_id, row_version DESC) e USING (user_id, step_id)
         WHERE (us.status, us.release_id, us.row_version, us.updated_at, us.updated_by)
               IS DISTINCT FROM (e.to_status, e.release_id, e.row_version, e.at, e.actor)
           AND (us.user_id IS NOT NULL OR EXISTS (SELECT FROM onboarding_users u WHERE u.user_id = e.user_id))""",
}


def _rows(session: Session, promise: str, query: str) -> Check:
    found = session.execute(
        text(f"SELECT broken, count(*) OVER () AS total FROM ({query}) found ORDER BY 1 LIMIT {EXAMPLES}")
    ).all()
    return Check(promise, found[0].total if found else 0, tuple(row.broken for row in found))


# Few distinct rows: what people had, under which release, and what was then said to have been there.
COUNTED_FROM = text("""
SELECT step_id, status_before, release_before, release_id, from_status, count(*) AS events, min(user_id) AS example
  FROM (SELECT user_id, step_id, release_id, from_status,
               coalesce(lag(to_status) OVER w, 'todo') AS status_before, lag(release_id) OVER w AS release_before
          FROM user_step_events
        WINDOW w AS (PARTITION BY user_id, step_id ORDER BY row_version)) told
 GROUP BY 1, 2, 3, 4, 5
""")


def _from_statuses(session: Session, releases: dict[str, list[Release]]) -> Check:
    broken, examples = 0, []
    for row in session.execute(COUNTED_FROM):
        of_step = releases.get(row.step_id, [])
        numbers = {release.id: release.number for release in of_step}
        counted = status_at(
            row.status_before, numbers.get(row.release_before, 1), numbers.get(row.release_id, 1), of_step
        )
        if counted != row.from_status:
            broken += row.events
            examples.append(f"{row.example} / {row.step_id}")
    return Check("An event starts from the status that counted just before it", broken, tuple(examples[:EXAMPLES]))
