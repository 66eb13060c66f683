"""The demo: a believable product with its people, a month of their work, and the releases in between.

All of it is computed from one seed, relative to now, so that each fill is the same. Releases are made by the engine;
what people did between two of them is simulated and loaded at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from itertools import count

from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from dashboard import locks, models
from dashboard.demo.story import PEOPLE, Story
from dashboard.demo.telling import tell
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Refused
from dashboard.onboarding.loading import empty
from dashboard.onboarding.straight import OnlyReads
from dashboard.staff import accounts
from dashboard.staff.demo_accounts import DEMO_ACCOUNTS as ACCOUNTS

__all__ = ["ACCOUNTS", "PEOPLE", "add_accounts", "fill", "is_demo", "reset"]

MARK = "demo"


def fill(session: Session) -> bool:
    """Fills a database that has no steps and no people with the demo; False: it has some, and nothing was done."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": locks.DEMO})
    if session.scalar(text("SELECT EXISTS (SELECT 1 FROM steps) OR EXISTS (SELECT 1 FROM onboarding_users)")):
        return False
    _fill(session, _story(session))
    return True


def _story(session: Session) -> Story:
    return Story(session.execute(text("SELECT now()")).scalar_one())


def _fill(session: Session, story: Story, hashes: Mapping[str, str] | None = None) -> None:
    add_accounts(session, hashes)
    tell(session, story)
    session.add(models.Installation(key=MARK, value={"hashes": _hashes(session)}))
    session.flush()


def _hashes(session: Session) -> dict[str, str]:
    """The hash of each demo password, from the mark or else the accounts: hashing would take a fifth of a reset."""
    mark = session.get(models.Installation, MARK)
    if mark and mark.value.get("hashes"):
        return {str(password): str(kept) for password, kept in mark.value["hashes"].items()}
    a = models.StaffAccount
    found = {row.email: row.password_hash for row in session.execute(select(a.email, a.password_hash))}
    return {account.password: found[account.email] for account in ACCOUNTS}


def add_accounts(session: Session, hashes: Mapping[str, str] | None = None) -> None:
    """Creates the accounts that are missing. `hashes`: those of passwords that were hashed before."""
    actor, known = Actor("system:demo", "cli"), hashes or {}
    for one in ACCOUNTS:
        if accounts.find(session, one.email) is None:
            accounts.create(session, actor, **asdict(one), password_hash=known.get(one.password))


def is_demo(session: Session) -> bool:
    """Whether this database was filled by `fill`."""
    return session.get(models.Installation, MARK) is not None


def reset(session: Session) -> None:
    """Restores a demo database to its initial state, ids included; everyone is signed out. Raises Refused.

    Concurrent reads and writes wait until it is done.
    """
    if not is_demo(session):
        raise Refused("This database does not hold the demo, so nothing was changed.")
    session.expunge_all()
    story, hashes = _story(session), _hashes(session)
    _empty(session)
    _fill(session, story, hashes)


def _empty(session: Session, attempts: int = 3) -> None:
    """Truncates every table. Retries if a request holds one of them and waits for another."""
    tables = [table.name for table in models.Base.metadata.sorted_tables]
    for attempt in count(1):
        try:
            with session.begin_nested():
                empty(session, tables)
            return
        except OperationalError as error:
            if attempt == attempts or isinstance(error, OnlyReads):
                raise
