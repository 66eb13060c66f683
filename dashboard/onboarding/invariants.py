"""Whether the stored data keeps the promises of docs/model.md: read-only, and by other means than the code that writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.activity_filter import ERASED
from dashboard.onboarding.adoption import NOTE as ADOPTED
from dashboard.onboarding.bounds import STEPS_PASSED
from dashboard.onboarding.carryover import FORWARD, PASSED, WORKED, Release, Status, reset_by, status_at
from dashboard.onboarding.history import releases_of
from dashboard.onboarding.people import WORDS
from dashboard.onboarding.plans import counts
from dashboard.onboarding.standings import PERCENT_OF_POINTS, POINTS_OF_ARRAYS

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
    """Every promise about steps, releases, people and history, checked over the whole database, kept or not.

    Beside writers it needs a transaction in which all reads are of one moment: what it compares would else not fit.
    """
    session.execute(EVERYWHERE)
    releases = releases_of(session)
    return [
        _found("The database guards what is never rewritten", iter(session.scalars(UNGUARDED).all())),
        *_release_checks(session, releases),
        *(_rows(session, promise, query) for promise, query in PROMISES.items()),
        _from_statuses(session, releases),
    ]


# On a cluster each node sees what there was when it was first asked in a transaction: this asks them all at once.
EVERYWHERE = text("SELECT FROM onboarding_users LIMIT 1")

# Triggers that the migrations make, and that fire.
UNGUARDED = text("""
SELECT g.name || ' on ' || g.on_table
  FROM (VALUES ('audit_log', 'append_only'), ('audit_log', 'append_only_but_for_erasure'), ('audit_log', 'not_emptied'),
               ('write_conflicts', 'append_only'), ('write_conflicts', 'append_only_but_for_erasure'),
               ('write_conflicts', 'not_emptied'),
               ('user_step_events', 'append_only'), ('user_step_events', 'append_only_but_for_erasure'),
               ('user_step_events', 'not_emptied'),
               ('onboarding_step_definitions', 'not_rewritten'), ('onboarding_step_definitions', 'not_deleted')
       ) g (on_table, name)
  LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(g.on_table) AND t.tgname = g.name AND t.tgenabled IN ('O', 'A')
 WHERE t.oid IS NULL ORDER BY 1
""")


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
VERSIONS = text("""
SELECT s.step_id, s.draft_row_version, d.version, d.state, d.row_version
  FROM steps s JOIN onboarding_step_definitions d ON d.step_id = s.step_id ORDER BY s.step_id, d.version
""")
RECEIPTS = text("SELECT step_id, number, kind, version, receipt FROM step_releases ORDER BY step_id, number")


def _release_checks(session: Session, releases: dict[str, list[Release]]) -> list[Check]:
    steps, derived = session.execute(STORED_STEPS).all(), session.execute(DERIVED).all()
    versions = session.execute(VERSIONS).all()
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
        _found("Releases of a step come one after another", _not_in_time(releases)),
        _found("What each release is, undoes and goes back to follows from those before it", _not_following(releases)),
        _found("A version is released when a release names it, and only then", _not_named(versions, releases)),
        _found("A draft's row_version is not below those of drafts before it", _drafted_anew(versions)),
        _found("What each release keeps is what the policies after it say", _wrongly_derived(derived, releases)),
        _found("Each release has its receipt, which adds up", _not_adding_up(session.execute(RECEIPTS))),
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


def _not_in_time(releases: dict[str, list[Release]]) -> Iterator[str]:
    for step_id, of_step in releases.items():
        for before, release in pairwise(of_step):
            if release.released_at < before.released_at:
                yield f"{step_id} release {release.number}"


def _not_following(releases: dict[str, list[Release]]) -> Iterator[str]:
    for step_id, of_step in releases.items():
        for number in sorted(set(_out_of_line(of_step))):
            yield f"{step_id} release {number}"


def _out_of_line(of_step: Sequence[Release]) -> Iterator[int]:
    """The numbers of releases that are not what docs/model.md, rule 5, makes of those before them.

    Those that count are a stack: a rollback takes off the newest one. A withdrawal leaves it alone, and so does a restore.
    """
    stack: list[Release] = []
    withdrawal: Release | None = None
    newest = 0
    undone_by: dict[int, int] = {}
    for release in of_step:
        follows, undone = False, None
        match release.kind:
            case "publish" | "migrate":
                version = release.version or 0
                follows = withdrawal is None and version > newest and (release.kind == "publish") == (not stack)
                newest = max(newest, version)
                stack.append(release)
            case "rollback" if len(stack) > 1:
                undone = stack.pop()
                follows = withdrawal is None and release.version == stack[-1].version
            case "withdraw":
                follows = withdrawal is None and bool(stack)
                withdrawal = release
            case "restore" if stack:
                follows = withdrawal is not None and release.version == stack[-1].version
                undone, withdrawal = withdrawal, None
        if undone:
            undone_by[undone.id] = release.id
        if not follows:
            yield release.number
    yield from (one.number for one in of_step if one.undone_by != undone_by.get(one.id))


def _not_named(versions: Sequence[Any], releases: dict[str, list[Release]]) -> Iterator[str]:
    named = {(one.step_id, one.version) for of_step in releases.values() for one in of_step}
    for row in versions:
        if ((row.step_id, row.version) in named) != (row.state == "released"):
            yield f"{row.step_id} version {row.version}"


def _drafted_anew(versions: Sequence[Any]) -> Iterator[str]:
    for row in versions:
        is_draft = row.state == "draft"
        if row.row_version < row.draft_row_version if is_draft else row.row_version > row.draft_row_version:
            yield f"{row.step_id} version {row.version}"


def _not_adding_up(rows: Iterable[Any]) -> Iterator[str]:
    for row in rows:
        if not _adds_up(row):
            yield f"{row.step_id} release {row.number}"


def _adds_up(row: Any) -> bool:
    """Whether the counts of a receipt are those that its table of people by status before and after comes to."""
    try:
        receipt = row.receipt
        impact = receipt["impact"]
        people = {(before, after): n for before, told in impact["matrix"].items() for after, n in told.items()}
        everybody, untouched = sum(people.values()), people["todo", "todo"]
        reset = sum(n for (before, after), n in people.items() if before != after == "todo")
        restored = sum(n for (before, after), n in people.items() if before == "todo" != after)
        totals = {
            "everybody": everybody,
            "untouched": untouched,
            "affected": everybody - untouched,
            "reset": reset,
            "restored": restored,
            "copied": sum(n for (before, after), n in people.items() if before == after != "todo"),
        }
        return bool(
            (receipt["kind"], receipt["version"]) == (row.kind, row.version)
            and impact.items() >= totals.items()
            and counts(impact).items() >= receipt["actual"].items()
            and sum(impact["before"]["bands"]) == sum(impact["after"]["bands"]) == everybody
        )
    except (KeyError, TypeError, AttributeError):  # not what a receipt looks like
        return False


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
    # An adopted row may begin at any row_version; any other begins right after those of the releases before it.
    "Row versions of a step have no gap and no repeat: each is one event or one release": f"""
        SELECT user_id || ' / ' || step_id || ' at ' || row_version AS broken
          FROM (SELECT e.user_id, e.step_id, e.row_version, r.number, r.step_id AS of_step,
                       e.source = 'import' AND r.note = '{ADOPTED}' AS adopted,
                       lag(e.row_version) OVER w AS before, lag(r.number) OVER w AS number_before
                  FROM user_step_events e LEFT JOIN step_releases r ON r.id = e.release_id
                WINDOW w AS (PARTITION BY e.user_id, e.step_id ORDER BY e.row_version)) told
         WHERE step_id IS DISTINCT FROM of_step
            OR CASE WHEN before IS NULL THEN NOT adopted AND row_version <> number + 1
                    ELSE number < number_before OR row_version <> before + number - number_before + 1 END""",
    "What a row says is what its newest event says, and every row has one": """
        SELECT coalesce(us.user_id, e.user_id) || ' / ' || coalesce(us.step_id, e.step_id) AS broken
          FROM user_steps us
          FULL JOIN (SELECT DISTINCT ON (user_id, step_id) user_id, step_id, to_status, release_id, row_version, at, actor
                       FROM user_step_events ORDER BY user_id, step_id, row_version DESC) e USING (user_id, step_id)
         WHERE (us.status, us.release_id, us.row_version, us.updated_at, us.updated_by)
               IS DISTINCT FROM (e.to_status, e.release_id, e.row_version, e.at, e.actor)
           AND (us.user_id IS NOT NULL OR EXISTS (SELECT FROM onboarding_users u WHERE u.user_id = e.user_id))""",
    "Events tell who is there or was erased, when they were last active, and by what they finished": f"""
        SELECT coalesce(u.user_id, e.user_id) AS broken
          FROM onboarding_users u
          FULL JOIN (SELECT user_id, max(at) AS newest, min(at) FILTER (WHERE to_status IN {PASSED}) AS passed
                       FROM user_step_events GROUP BY user_id) e USING (user_id)
         WHERE CASE WHEN u.user_id IS NULL THEN NOT starts_with(e.user_id, '{ERASED}')
                    ELSE u.last_activity_at IS DISTINCT FROM e.newest
                      OR u.finished_at IS NOT NULL
                         AND (u.finished_at BETWEEN e.passed AND statement_timestamp()) IS NOT TRUE END""",
    # Else it was what took something back or away. A minute, for a release counts only once it is committed.
    "Whoever came to 100 % by a step of their own has finished": f"""
        SELECT u.user_id AS broken
          FROM onboarding_users u {POINTS_OF_ARRAYS}
         WHERE u.finished_at IS NULL
           AND u.last_activity_at > (SELECT coalesce(max(released_at) + interval '1 minute', '-infinity')
                                       FROM step_releases WHERE kind NOT IN {FORWARD})
           AND {STEPS_PASSED} >= (SELECT count(*) FROM steps WHERE weight > 0)
           AND {PERCENT_OF_POINTS} = 100""",
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
