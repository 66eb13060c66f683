"""The staff as the pages list them: each account with its open sessions and its unused link."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from dashboard.models import StaffAccount, StaffLink, StaffSession
from dashboard.onboarding.errors import NotFound
from dashboard.onboarding.limits import MAX_INTEGER
from dashboard.staff.accounts import Account, account_from
from dashboard.staff.sessions import is_open


@dataclass(frozen=True, slots=True)
class Member:
    """An account, the number of its open sessions, and its link: who made it, when, and until when it is valid."""

    account: Account
    sessions: int
    link_by: str
    link_made_at: datetime | None
    link_until: datetime | None


def everyone(session: Session) -> list[Member]:
    """All staff by name, disabled accounts last. One query."""
    order = (StaffAccount.disabled_at.is_not(None), func.lower(StaffAccount.name), StaffAccount.email)
    return [_member(row) for row in session.execute(_members().order_by(*order))]


def one(session: Session, account_id: int) -> Member:
    row = None
    if account_id <= MAX_INTEGER:
        row = session.execute(_members().where(StaffAccount.id == account_id)).one_or_none()
    if row is None:
        raise NotFound("staff account", account_id)
    return _member(row)


def _members() -> Select[Any]:
    opened = (
        select(func.count())
        .select_from(StaffSession)
        .where(StaffSession.account_id == StaffAccount.id, is_open())
        .scalar_subquery()
    )
    link = (StaffLink.account_id == StaffAccount.id) & (StaffLink.expires_at > func.now())
    return select(
        StaffAccount, opened.label("sessions"), StaffLink.created_by, StaffLink.created_at, StaffLink.expires_at
    ).outerjoin(StaffLink, link)


def _member(row: Row[Any]) -> Member:
    return Member(account_from(row.StaffAccount), row.sessions, row.created_by or "", row.created_at, row.expires_at)
