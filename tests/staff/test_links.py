"""One-time links: an invitation or a new password. Good once, for three days, for one account, and only the newest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.demo import add_accounts
from dashboard.models import AuditEntry, StaffAccount, StaffLink
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.staff import accounts, demo_accounts, links, passwords, roster, sessions, sign_in
from dashboard.staff.accounts import StaleAccount
from dashboard.staff.permissions import Role
from tests.staff.signed_in import BOSS, NOOR, PASSWORD, log, make_account
from tests.staff.signing_in import ELSEWHERE, HOME, MAYA, USED_UP_S, attempt, get_in, pass_time, use_up


@pytest.fixture
def invited(session: Session) -> links.Link:
    """Noor, who was invited as a support agent; committed."""
    link = links.invite(session, BOSS, email=" Noor@Example.com ", name="Noor", role=Role.SUPPORT)
    session.commit()
    return link


def of_noor(session: Session) -> roster.Member:
    found = accounts.find(session, NOOR)
    assert found is not None
    return roster.one(session, found.id)


# Invitations ---------------------------------------------------------------------------------------------------------


def test_whoever_is_invited_chooses_a_password_and_signs_in(session: Session, invited: links.Link) -> None:
    assert invited.account.state == "invited"
    assert links.opened(session, invited.secret) == invited.account
    joined = links.use(session, invited.secret, PASSWORD, address=HOME)
    session.commit()
    assert joined is not None
    assert (joined.state, joined.role) == ("active", Role.SUPPORT)
    assert attempt(session, PASSWORD, email=NOOR) is not None
    assert log(session)[:2] == [
        ("staff:ada@example.com", "staff.invited", NOOR),
        (f"staff:{NOOR}", "staff.joined", NOOR),
    ]


def test_nobody_signs_in_to_an_account_without_a_password(session: Session, invited: links.Link) -> None:
    for password in ("", "None", "\0", PASSWORD):
        assert attempt(session, password, email=NOOR) is None


def test_only_the_digest_is_stored_and_nothing_of_it_is_in_the_log(session: Session, invited: links.Link) -> None:
    row = session.scalars(select(StaffLink)).one()
    assert len(invited.secret) >= 43
    assert invited.secret not in row.secret_hash
    assert row.created_by == "staff:ada@example.com"
    assert links.opened(session, row.secret_hash) is None
    assert invited.secret not in str([(entry.changes, entry.note) for entry in session.scalars(select(AuditEntry))])


@pytest.mark.parametrize(
    ("member", "value"), [("email", "no address"), ("name", " "), ("name", "a\0b"), ("email", f"{'a' * 250}@b.example")]
)
def test_bad_input_is_named_and_nobody_is_invited(session: Session, member: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        links.invite(session, BOSS, **({"email": NOOR, "name": "Noor", "role": Role.VIEWER} | {member: value}))  # type: ignore[arg-type]
    assert list(caught.value.problems) == [member]
    assert roster.everyone(session) == []


def test_nobody_is_invited_twice(session: Session, invited: links.Link) -> None:
    with pytest.raises(Invalid, match="already exists"):
        links.invite(session, BOSS, email=NOOR.upper(), name="Noor", role=Role.ADMIN)
    assert links.opened(session, invited.secret) is not None


def test_a_withdrawn_invitation_leaves_nothing_but_its_record(session: Session, invited: links.Link) -> None:
    links.withdraw(session, BOSS, NOOR)
    session.commit()
    assert accounts.find(session, NOOR) is None
    assert links.use(session, invited.secret, PASSWORD) is None
    assert ("staff:ada@example.com", "staff.invitation_withdrawn", NOOR) in log(session)
    links.invite(session, BOSS, email=NOOR, name="Noor", role=Role.VIEWER)


def test_an_accepted_invitation_cannot_be_withdrawn(session: Session, invited: links.Link) -> None:
    links.use(session, invited.secret, PASSWORD)
    with pytest.raises(Refused, match="accepted the invitation"):
        links.withdraw(session, BOSS, NOOR)


def test_a_new_link_takes_the_place_of_the_old_one(session: Session, invited: links.Link) -> None:
    pass_time(session, timedelta(hours=73))
    assert of_noor(session).link_until is None
    again = links.make(session, BOSS, NOOR)
    session.commit()
    assert links.opened(session, invited.secret) is None
    assert links.opened(session, again.secret) is not None
    assert of_noor(session).link_by == "staff:ada@example.com"
    assert log(session)[-1] == ("staff:ada@example.com", "staff.invitation_renewed", NOOR)


# What a link is good for ---------------------------------------------------------------------------------------------


def test_a_link_works_once(session: Session, invited: links.Link) -> None:
    assert links.use(session, invited.secret, PASSWORD) is not None
    session.commit()
    assert links.opened(session, invited.secret) is None
    assert links.use(session, invited.secret, "another password", address=ELSEWHERE) is None
    session.commit()
    assert attempt(session, PASSWORD, email=NOOR) is not None
    refused = session.scalars(select(AuditEntry).where(AuditEntry.action == "staff.link_refused")).one()
    assert (refused.actor, refused.changes) == ("system:sign-in", {"address": [None, ELSEWHERE]})


def test_a_link_works_for_three_days(session: Session, invited: links.Link) -> None:
    pass_time(session, timedelta(hours=71, minutes=59))
    assert links.opened(session, invited.secret) is not None
    pass_time(session, timedelta(minutes=1))
    assert links.opened(session, invited.secret) is None
    assert links.use(session, invited.secret, PASSWORD) is None


@pytest.mark.parametrize("secret", ["", "x", "\0", "\ud800", "x" * 10_000])
def test_any_other_text_opens_nothing(session: Session, invited: links.Link, secret: str) -> None:
    assert links.opened(session, secret) is None
    assert links.opened(session, invited.secret[:-1]) is None
    assert links.use(session, secret, PASSWORD) is None


@pytest.mark.parametrize("password", ["short", "x" * 201, "with a NUL \0 inside"])
def test_a_bad_password_leaves_the_link_good(session: Session, invited: links.Link, password: str) -> None:
    with pytest.raises(Invalid) as caught:
        links.use(session, invited.secret, password)
    assert list(caught.value.problems) == ["password"]
    assert links.opened(session, invited.secret) is not None


def test_of_several_at_once_one_gets_through(database: Database, session: Session, invited: links.Link) -> None:
    def one(number: int) -> bool:
        with database.transaction() as other:
            return links.use(other, invited.secret, f"{PASSWORD} {number}") is not None

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(one, range(8)))
    assert sum(outcomes) == 1
    row = session.scalars(select(StaffAccount)).one()
    assert passwords.matches(row.password_hash, f"{PASSWORD} {outcomes.index(True)}")
    assert row.row_version == 2


def test_it_is_good_for_nothing_once_the_account_is_disabled(session: Session, invited: links.Link) -> None:
    accounts.disable(session, BOSS, NOOR)
    assert links.use(session, invited.secret, PASSWORD) is None
    with pytest.raises(Refused, match="is disabled"):
        links.make(session, BOSS, NOOR)
    accounts.enable(session, BOSS, NOOR)
    assert links.opened(session, invited.secret) is None


# A new password for whoever forgot theirs ----------------------------------------------------------------------------


def test_the_old_password_goes_on_until_the_link_is_used(session: Session, maya: StaffAccount) -> None:
    here = get_in(session)
    link = links.make(session, BOSS, MAYA)
    session.commit()
    assert sessions.load(session, here) is not None
    assert attempt(session, PASSWORD) is not None
    assert links.use(session, link.secret, "another password") is not None
    session.commit()
    assert sessions.load(session, here) is None
    assert attempt(session, PASSWORD) is None
    assert attempt(session, "another password") is not None
    assert (f"staff:{MAYA}", "staff.password_by_link", MAYA) in log(session)


def test_any_other_way_to_set_the_password_ends_the_link(session: Session, maya: StaffAccount) -> None:
    link = links.make(session, BOSS, MAYA)
    accounts.set_password(session, BOSS, MAYA, "another password")
    assert links.opened(session, link.secret) is None
    link = links.make(session, BOSS, MAYA)
    session.commit()
    admitted = sign_in.admit(session, MAYA, HOME)
    assert sign_in.change_password(session, admitted, "another password", PASSWORD, secret="") is not None
    assert links.opened(session, link.secret) is None


def test_nobody_makes_a_link_for_themself(session: Session, maya: StaffAccount) -> None:
    maya.role = Role.ADMIN.value
    with pytest.raises(Refused, match="Change your own password"):
        links.make(session, Actor(f"staff:{MAYA}"), MAYA)
    assert session.scalar(select(func.count()).select_from(StaffLink)) == 0


def test_an_unknown_account_gets_no_link(session: Session) -> None:
    with pytest.raises(NotFound):
        links.make(session, BOSS, NOOR)
    with pytest.raises(NotFound):
        links.withdraw(session, BOSS, NOOR)


def test_who_makes_a_link_second_is_told_of_the_first(session: Session, maya: StaffAccount) -> None:
    first = links.make(session, BOSS, MAYA, seen=1)
    with pytest.raises(StaleAccount) as caught:
        links.make(session, Actor("staff:ben@example.com"), MAYA, seen=1)
    assert [(change.by, change.action) for change in caught.value.changes] == [
        ("staff:ada@example.com", "staff.link_made")
    ]
    assert links.opened(session, first.secret) is not None


def test_who_renews_an_invitation_is_told_that_it_was_accepted(session: Session, invited: links.Link) -> None:
    links.use(session, invited.secret, PASSWORD)
    with pytest.raises(StaleAccount) as caught:
        links.make(session, BOSS, NOOR, seen=1)
    assert [change.action for change in caught.value.changes] == ["staff.joined"]


def test_demo_accounts_have_links_in_demo_mode_only(session: Session) -> None:
    add_accounts(session)
    email = demo_accounts.DEMO_ACCOUNTS[0].email
    with pytest.raises(Refused, match="demo account"):
        links.make(session, BOSS, email)
    link = links.make(session, BOSS, email, demo=True)
    assert links.opened(session, link.secret) is None
    assert links.use(session, link.secret, PASSWORD) is None
    assert links.opened(session, link.secret, demo=True) is not None


def test_opening_links_is_slowed_down_by_address(session: Session) -> None:
    for _ in range(links.TRIES_A_MINUTE):
        links.admit(session, HOME)
    use_up(session, f"link {HOME}")
    with pytest.raises(sign_in.Throttled) as caught:
        links.admit(session, HOME)
    assert USED_UP_S / 2 < caught.value.retry_after <= USED_UP_S + 3
    links.admit(session, ELSEWHERE)


# The roster ----------------------------------------------------------------------------------------------------------


def test_the_roster_counts_open_sessions_and_has_the_disabled_last(
    session: Session, maya: StaffAccount, invited: links.Link
) -> None:
    make_account(session, Role.VIEWER, "abe@example.com").name = "abe"
    accounts.disable(session, BOSS, "abe@example.com")
    for _ in range(2):
        get_in(session)
    sessions.end(session, get_in(session))
    session.commit()
    found = roster.everyone(session)
    assert [(one.account.email, one.sessions, one.account.state) for one in found] == [
        (NOOR, 0, "invited"),
        (MAYA, 2, "active"),
        ("abe@example.com", 0, "disabled"),
    ]
    assert found[0].link_until == invited.expires_at
    assert found[1].link_until is None


@pytest.mark.parametrize("account_id", [0, 999, 2**31, 2**80])
def test_an_account_that_is_not_there_is_not_found(session: Session, account_id: int) -> None:
    with pytest.raises(NotFound):
        roster.one(session, account_id)
