"""Import of people from a CSV file: checked first, then written at once, or not at all.

The columns are user_id, name, email, and one for each step, named by its step_id. An empty cell says nothing: somebody
new has not started that step, and somebody who is there already keeps what they have (`todo` in a cell puts it back).
A status that differs from the person's present one is a write like any other, on top of the newest row_version.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, BinaryIO

from sqlalchemy import ARRAY, Text, bindparam, text
from sqlalchemy.orm import Session

from dashboard.onboarding import bulk_write
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, Refused
from dashboard.onboarding.history import record
from dashboard.onboarding.limits import text_problem
from dashboard.onboarding.loading import (
    IS_KNOWN,
    KNOWN,
    LISTED,
    BadRows,
    Imported,
    Problem,
    Progress,
    add_people,
    add_statistics,
    copying,
    loading,
    prepare,
    quiet,
    stage,
)
from dashboard.onboarding.people import INDEX, LONGEST, id_problem, index
from dashboard.onboarding.progress import INSERT_STATUS, STATUS_NAMES
from dashboard.onboarding.scoring import PERCENT, REMEMBERED_FROM
from dashboard.onboarding.sql import run
from dashboard.words import plural

LONGEST_LINE = 1_000_000
CODES = {"": ".", "todo": "t", "done": "d", "skipped": "s", "in_progress": "i"}
OLD_LINE_ENDS = "has old Mac line endings (CR): save the file with Windows or Unix ones"
NOT_UTF_8 = "has NUL characters, like UTF-16 (“Unicode text”): save the file as UTF-8"
NOT_CSV = {
    "new-line character": OLD_LINE_ENDS,
    "field larger": f"has a cell of more than {csv.field_size_limit():,} characters, or an unclosed quote",
    "unexpected end": "has an unclosed quote",
}
"""What csv says, as it begins, and what we say."""
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
TOLD_EVERY = 5_000
AT_ONCE = 10_000
"""People who are there already, written in one statement at most."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a line each member is; `steps` maps a step_id to its place."""

    count: int
    user_id: int
    name: int | None
    email: int | None
    steps: dict[str, int]


@dataclass(slots=True)
class Problems:
    """The first problems of a file, and how many there are."""

    listed: list[Problem] = field(default_factory=list)
    total: int = 0

    def add(self, line: int, reason: str) -> None:
        """Note the problem of a line, counted from 1; those after the first LISTED are only counted."""
        self.total += 1
        if len(self.listed) < LISTED:
            self.listed.append(Problem(f"line {line}", reason))


def import_csv(
    session: Session, actor: Actor, file: BinaryIO, *, total: int | None = None, progress: Progress = quiet
) -> Imported:
    """Create and update people from a CSV file of `total` lines (None: not known).

    Raises Invalid (the header), BadRows naming each bad line, Refused (a race with someone). All or nothing.
    """
    prepare(session, progress)
    lines = Lines(file)
    reader = csv.reader(lines, strict=True)
    columns = _columns(session, _header(reader, lines))
    problems = Problems()
    _stage(session, columns, reader, lines, problems, lambda done: progress("Reading", done, total))
    _find_repeated(session, problems)
    if problems.total:
        raise BadRows(problems.listed, problems.total)
    return _write(session, actor, list(columns.steps), progress)


# Reading -------------------------------------------------------------------------------------------------------------


class Lines:
    """The file's lines as text; `broken` says why one of those read since it was last cleared can't be used."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.read = 0
        self.broken = ""

    def __iter__(self) -> Iterator[str]:
        while raw := self.file.readline(LONGEST_LINE):
            self.read += 1
            if self.read == 1:
                raw = raw.removeprefix(b"\xef\xbb\xbf")
            yield self._decoded(raw)

    def _decoded(self, raw: bytes) -> str:
        if len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
            self.broken = OLD_LINE_ENDS if b"\r" in raw else f"is longer than {LONGEST_LINE:,} bytes"
            while (rest := self.file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            return "\n"
        if b"\0" in raw:
            # every second byte of UTF-16 is one, from the header on
            self.broken = "has a NUL character" if self.read > 1 else NOT_UTF_8
            return "\n"
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            self.broken = f"is not UTF-8 (byte {error.start + 1})"
            return "\n"


def _header(reader: Iterator[list[str]], lines: Lines) -> list[str]:
    try:
        names = next(reader, [])
    except csv.Error as error:
        raise Invalid({"header": _why_not_csv(error)}) from error
    if lines.broken:
        raise Invalid({"header": lines.broken})
    if not names:
        raise Invalid({"header": "is missing: the first line must name the columns, in UTF-8"})
    if len(names) == 1 and (found := [told for mark, told in SEPARATORS.items() if mark in names[0]]):
        raise Invalid({"header": f"has {found[0]} between its columns: use commas, on every line"})
    return [name.strip() for name in names]


def _why_not_csv(error: csv.Error) -> str:
    return next((ours for theirs, ours in NOT_CSV.items() if str(error).startswith(theirs)), f"is not CSV: {error}")


STEPS_NOW = text("""
SELECT s.step_id, c.id AS release_id, c.number, c.version
  FROM steps s LEFT JOIN step_releases c ON c.id = s.current_release_id
""")


def _columns(session: Session, names: list[str]) -> Columns:
    """Checks the header against the checklist, and notes its steps' releases for the statements. Raises Invalid."""
    known = {row.step_id: row for row in session.execute(STEPS_NOW)}
    live = {step_id for step_id, row in known.items() if row.version is not None}
    problems = {name: "appears more than once" for name, times in Counter(names).items() if times > 1}
    problems |= {
        name: "is not live" if name in known else "is not user_id, name, email or a step"
        for name in names
        if name not in LONGEST and name not in live
    }
    # an adopted step may be called so; the user_id has to be there, and is the person's
    problems |= {
        name: "is both a step and what is known of a person: leave the column out"
        for name in names
        if name in live and name in LONGEST and name != "user_id"
    }
    if "user_id" not in names:
        problems["user_id"] = "is missing"
    if problems:
        raise Invalid({f"column {name!r}": reason for name, reason in problems.items()})
    place = {name: index for index, name in enumerate(names)}
    steps = {name: index for name, index in place.items() if name not in LONGEST}
    _note_steps(session, [known[step_id] for step_id in steps])
    return Columns(len(names), place["user_id"], place.get("name"), place.get("email"), steps)


def _note_steps(session: Session, steps: Sequence[Any]) -> None:
    stage(session, "import_steps", "(place int, step_id text, release_id int, number int) ON COMMIT DROP")
    for place, step in enumerate(steps, 1):
        run(
            session,
            "INSERT INTO import_steps VALUES (:place, :step_id, :release_id, :number)",
            {"place": place, "step_id": step.step_id, "release_id": step.release_id, "number": step.number},
        )


def _stage(
    session: Session,
    columns: Columns,
    reader: Iterator[list[str]],
    lines: Lines,
    problems: Problems,
    tell: Callable[[int], None],
) -> None:
    """Copies the lines into a table of this transaction, statuses as one letter a step, and lists the bad ones."""
    table = "line bigint, user_id text, name text, email text, codes text"
    stage(session, "import_people", f"({table}) ON COMMIT DROP")
    told = 0
    with copying(session, "import_people") as copy:
        for line, fields in _records(reader, lines, problems):
            row, reason = _checked(fields, columns)
            if reason:
                problems.add(line, reason)
            if row:
                copy.write_row((line, *row))
            if line >= told + TOLD_EVERY:
                told = line
                tell(line)
    tell(lines.read)


def _records(reader: Iterator[list[str]], lines: Lines, problems: Problems) -> Iterator[tuple[int, list[str]]]:
    """Each record with the number of its first line; blank lines are passed over, unreadable ones listed."""
    while True:
        line = lines.read + 1
        lines.broken = ""
        try:
            fields = next(reader, None)
        except csv.Error as error:
            problems.add(line, _why_not_csv(error))
            continue
        if lines.broken:
            problems.add(line, lines.broken)
        elif fields:
            yield line, fields
        if fields is None:
            return


def _checked(fields: list[str], columns: Columns) -> tuple[tuple[str, str, str, str] | None, str]:
    """The line as it is staged, and why it can't be imported (empty: it can).

    A bad one is staged with its user_id alone, for a later line may have it too; None: it has none.
    """
    if len(fields) != columns.count:
        return None, f"has {plural(len(fields), 'field')}, not {columns.count}"
    user_id = fields[columns.user_id]
    if reason := id_problem(user_id):
        return None, f"user_id {reason}"
    # names and statuses are trimmed
    name = fields[columns.name].strip() if columns.name is not None else ""
    email = fields[columns.email].strip() if columns.email is not None else ""
    try:
        codes = "".join([CODES[fields[place].strip()] for place in columns.steps.values()])
    except KeyError as unknown:
        step_id = next(step for step, place in columns.steps.items() if fields[place].strip() == unknown.args[0])
        reason = f"{step_id}: {unknown.args[0][:40]!r} is not a status; use {STATUS_NAMES} or nothing"
        return (user_id, "", "", ""), reason
    for member, value in (("name", name), ("email", email)):
        if reason := text_problem(value, LONGEST[member]):
            return (user_id, "", "", ""), f"{member} {reason}"
    return (user_id, name, email, codes), ""


REPEATED_LINES = text("""
SELECT line, user_id, first, count(*) OVER () AS total
  FROM (SELECT line, user_id, min(line) OVER (PARTITION BY user_id) AS first FROM import_people) lines
 WHERE line > first ORDER BY line LIMIT :listed
""")


def _find_repeated(session: Session, problems: Problems) -> None:
    """Lists each line whose user_id is on an earlier line too; sorted by the database, so memory stays flat."""
    rows = session.execute(REPEATED_LINES, {"listed": LISTED}).all()
    if rows:
        problems.total += rows[0].total
    problems.listed += [
        Problem(f"line {row.line}", f"user_id {row.user_id!r} is on line {row.first} already") for row in rows
    ]
    problems.listed.sort(key=lambda problem: int(problem.where.removeprefix("line ")))
    del problems.listed[LISTED:]


# Writing -------------------------------------------------------------------------------------------------------------


# What a line of statuses means is worked out once for each that occurs, not once for each person.
NEW_PEOPLE = f"""
WITH meant AS MATERIALIZED (
    SELECT codes,
           ARRAY(SELECT release_id FROM import_steps WHERE substr(codes, place, 1) = 'd' ORDER BY 1) AS done_releases,
           ARRAY(SELECT release_id FROM import_steps WHERE substr(codes, place, 1) = 's' ORDER BY 1) AS skipped_releases,
           ARRAY(SELECT release_id FROM import_steps WHERE substr(codes, place, 1) = 'i' ORDER BY 1) AS in_progress_releases,
           codes ~ '[dsi]' AS started
      FROM (SELECT DISTINCT codes FROM import_people) occurring
), counted AS MATERIALIZED (
    SELECT u.*, {PERCENT} AS progress FROM meant u
)
INSERT INTO onboarding_users
       (user_id, name, email, done_releases, skipped_releases, in_progress_releases, finished_at, last_activity_at)
SELECT p.user_id, p.name, p.email, c.done_releases, c.skipped_releases, c.in_progress_releases,
       CASE WHEN c.progress = 100 THEN {REMEMBERED_FROM.format(moment="now()")} END, CASE WHEN c.started THEN now() END
  FROM import_people p JOIN counted c USING (codes)
 WHERE NOT {IS_KNOWN}
 ORDER BY p.user_id
    ON CONFLICT DO NOTHING
"""

# Somebody new was To do under release 1 with row_version 1 (docs/model.md, rule 3): this write makes the next one. The
# rows of a person come together, for they are read together.
FIRST_STATUSES = f"""
WITH meant AS MATERIALIZED (
    SELECT codes, s.step_id, s.release_id, s.number + 1 AS row_version,
           CASE substr(codes, s.place, 1) WHEN 'd' THEN 'done' WHEN 's' THEN 'skipped' ELSE 'in_progress' END AS status
      FROM (SELECT DISTINCT codes FROM import_people) occurring
      JOIN import_steps s ON substr(codes, s.place, 1) IN ('d', 's', 'i')
)
SELECT p.user_id, m.step_id, m.status, m.release_id, m.row_version
  FROM (SELECT user_id, codes FROM import_people p
         WHERE NOT {IS_KNOWN} ORDER BY user_id) p
  JOIN meant m USING (codes)
"""
NEW_STEPS = f"""
{INSERT_STATUS}
SELECT user_id, step_id, status, release_id, row_version, now(), :actor FROM ({FIRST_STATUSES}) written
"""
NEW_EVENTS = f"""
INSERT INTO user_step_events (user_id, step_id, at, actor, source, from_status, to_status, row_version, release_id)
SELECT user_id, step_id, now(), :actor, 'import', 'todo', status, row_version, release_id FROM ({FIRST_STATUSES}) written
"""

INDEX_NEW = index("import_people p", f"WHERE NOT {IS_KNOWN} ORDER BY user_id")

# In the order in which many are locked, see bulk_write.groups.
KNOWN_LINES = text("""
SELECT shard_of(p.user_id) AS shard, p.user_id, p.name, p.email, p.codes
  FROM import_people p JOIN import_known k USING (user_id) ORDER BY 1, 2
""")
RENAMED = text(f"""
UPDATE onboarding_users u
   SET name = coalesce(nullif(p.name, ''), u.name), email = coalesce(nullif(p.email, ''), u.email)
  FROM unnest(:people, :names, :emails) AS p (user_id, name, email)
 WHERE u.user_id = p.user_id AND {bulk_write.here("u")}
   AND (p.name NOT IN ('', u.name) OR p.email NOT IN ('', u.email))
RETURNING u.user_id
""").bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("people", "names", "emails")))
WRITE_KNOWN = bulk_write.write("""(
    SELECT p.user_id, s.step_id, NULL::int AS row_version,
           CASE substr(p.codes, s.place::int, 1)
                WHEN 'd' THEN 'done' WHEN 's' THEN 'skipped' WHEN 'i' THEN 'in_progress' ELSE 'todo' END AS status
      FROM unnest(:people, :codes) AS p (user_id, codes)
     CROSS JOIN unnest(:steps) WITH ORDINALITY AS s (step_id, place)
     WHERE substr(p.codes, s.place::int, 1) <> '.')""").bindparams(
    *(bindparam(name, type_=ARRAY(Text)) for name in ("codes", "steps"))
)


WITHDRAWN = text("""
SELECT string_agg(DISTINCT step_id, ', ' ORDER BY step_id)
  FROM import_steps s JOIN step_releases r USING (step_id) WHERE r.number > s.number AND r.kind = 'withdraw'
""")


def _write(session: Session, actor: Actor, steps: Sequence[str], progress: Progress) -> Imported:
    values = {"actor": actor.key, "source": "import", "comment": ""}
    people = session.execute(text("SELECT count(*) FROM import_people")).scalar_one()
    known = stage(session, "import_known", KNOWN)
    run(session, "ANALYZE import_people, import_known")
    with loading(session, (people - known) * len(steps)):
        progress("Adding people", 0, people)
        known = add_people(session, NEW_PEOPLE, people)
        new = people - known
        run(session, INDEX_NEW)
        progress("Adding their steps", new, people)
        statuses = run(session, NEW_STEPS, values)
        run(session, NEW_EVENTS, values)
    progress("Updating people", new, people)
    known, renamed, changed, wanted = _update_known(session, values | {"steps": steps}) if known else (0, 0, 0, 0)
    if withdrawn := session.scalar(WITHDRAWN):
        raise Refused(f"Withdrawn since this import began: {withdrawn}. Run the import again.")
    if new > people // 2:
        add_statistics(session, "onboarding_users", "user_steps", "user_step_events")
    done = Imported(new, renamed, statuses + changed, wanted - changed)
    counts = {"new": [None, new], "known": [None, known], "statuses": [None, done.statuses]}
    subject = f"{new + known:,} people"
    record(session, actor, "people.import", subject=subject, changes=counts)
    progress("Done", people, people)
    return done


def _update_known(session: Session, values: dict[str, Any]) -> tuple[int, int, int, int]:
    """Renames and writes on top of what people already had: people, people renamed, statuses written, and asked for.

    Whoever was erased since they were found to be known is none of them.
    """
    known = renamed = changed = wanted = 0
    lines = session.execute(KNOWN_LINES, execution_options={"yield_per": AT_ONCE})
    for part in lines.partitions():
        for _, of_shard in groupby(part, key=lambda line: line.shard):
            of_group = list(of_shard)
            there = set(bulk_write.lock(session, [line.user_id for line in of_group]))
            if not there:
                continue
            found = [line for line in of_group if line.user_id in there]
            _, people, names, emails, codes = (list(column) for column in zip(*found, strict=True))
            if changed_names := session.scalars(RENAMED, {"people": people, "names": names, "emails": emails}).all():
                session.execute(INDEX, {"people": changed_names})
            known += len(people)
            renamed += len(changed_names)
            changed += len(bulk_write.save(session, WRITE_KNOWN, people, values | {"codes": codes}))
            wanted += sum(len(code) - code.count(".") for code in codes)
    return known, renamed, changed, wanted
