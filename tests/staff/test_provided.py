"""Whose account it is that somebody from the sign-in provider gets into, and what it may do from then on."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import AuditEntry, StaffAccount, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Refused
from dashboard.staff import accounts, links, provided, sessions, sign_in, tokens
from dashboard.staff.permissions import Role, Scope
from dashboard.staff.provided import Refusal
from dashboard.staff.provider import Identity
from dashboard.staff.sessions import SignedIn
from dashboard.staff.sign_in import Throttled
from tests.databases import wait_until_blocked
from tests.staff.signed_in import BOSS, NOOR, PASSWORD, a_colleague, log
from tests.staff.signing_in import ELSEWHERE, HOME, USED_UP_S, attempt, fail, use_up

ISSUER, OTHER_ISSUER = "https://id.example.com", "https://id.example.org"
IDENTITY = Identity(ISSUER, "subject-1", NOOR, "Noor Haddad")


def come(
    session: Session, identity: Identity = IDENTITY, role: Role | None = Role.SUPPORT, replaces: str = ""
) -> SignedIn | Refusal:
    """Somebody comes from the provider, with the role of their groups; committed."""
    outcome = provided.sign_in(session, identity, role, address=HOME, user_agent="A browser", replaces=replaces)
    session.commit()
    return outcome


def get_in(session: Session, identity: Identity = IDENTITY, role: Role = Role.SUPPORT) -> SignedIn:
    outcome = come(session, identity, role)
    assert isinstance(outcome, SignedIn)
    return outcome


def connect(session: Session, password: str = PASSWORD, role: Role = Role.SUPPORT) -> SignedIn | Refusal | None:
    """The password of the account with the address, as the door takes it: two transactions."""
    admitted = sign_in.admit(session, NOOR, HOME)
    session.commit()
    outcome = provided.connect(session, admitted, password, IDENTITY, role)
    session.commit()
    return outcome


def fresh(session: Session, email: str = NOOR) -> StaffAccount:
    session.rollback()
    return session.scalars(select(StaffAccount).where(StaffAccount.email == email)).one()


def reason(session: Session) -> str:
    """Why the newest refusal was one."""
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    return str(entry.changes["reason"][1]) if "reason" in entry.changes else ""


def people(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(StaffAccount)).one()


# The first time, and again -------------------------------------------------------------------------------------------


def test_who_comes_for_the_first_time_gets_an_account_with_the_role_of_their_groups(session: Session) -> None:
    account = get_in(session).account
    assert (account.email, account.name, account.role, account.issuer) == (NOOR, "Noor Haddad", Role.SUPPORT, ISSUER)
    assert (account.state, fresh(session).password_hash) == ("active", None)
    assert log(session) == [("system:provider", "staff.created", NOOR), (f"staff:{NOOR}", "sign_in.accepted", NOOR)]


def test_the_same_person_is_known_again_under_another_address_and_name(session: Session) -> None:
    first = get_in(session)
    moved = replace(IDENTITY, email="noor.haddad@example.com", name="N. Haddad")
    again = get_in(session, moved)
    assert again.account.id == first.account.id
    assert (again.account.email, again.account.name, people(session)) == (NOOR, "Noor Haddad", 1)
    # nor is the address asked for twice
    assert get_in(session, replace(IDENTITY, email="")).account.id == first.account.id


@pytest.mark.parametrize(
    "other", [replace(IDENTITY, subject="subject-2"), replace(IDENTITY, issuer=OTHER_ISSUER)], ids=["subject", "issuer"]
)
def test_nobody_else_gets_in_by_the_address(session: Session, other: Identity) -> None:
    get_in(session)
    assert come(session, other, Role.ADMIN) is Refusal.TAKEN
    assert fresh(session).role == "support"
    assert reason(session) == Refusal.TAKEN.value


def test_the_session_that_the_browser_had_ends(session: Session) -> None:
    first = get_in(session)
    second = come(session, replaces=first.secret)
    assert isinstance(second, SignedIn)
    assert sessions.load(session, first.secret) is None
    assert sessions.load(session, second.secret) is not None


def test_two_first_sign_ins_at_once_make_one_account(database: Database, session: Session) -> None:
    def first(_: int) -> SignedIn | Refusal:
        with database.transaction() as own:
            return provided.sign_in(own, IDENTITY, Role.SUPPORT, address=HOME)

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(first, range(4)))
    assert all(isinstance(outcome, SignedIn) for outcome in outcomes)
    assert people(session) == 1


def test_one_account_has_one_way_in(session: Session) -> None:
    get_in(session)
    row = fresh(session)
    row.password_hash = "a hash"
    with pytest.raises(IntegrityError, match="one_way_in"):
        session.flush()


# The role follows the groups -----------------------------------------------------------------------------------------


def test_another_role_counts_from_the_next_sign_in_on_and_sessions_get_new_secrets(session: Session) -> None:
    before = get_in(session)
    after = get_in(session, role=Role.MANAGER)
    assert after.account.role is Role.MANAGER
    assert after.account.row_version == before.account.row_version + 1
    renewed = sessions.load(session, before.secret)
    session.commit()
    assert renewed is not None
    assert renewed.secret != before.secret
    assert ("system:provider", "staff.role_changed", NOOR) in log(session)


def test_nobody_gives_them_another_role_by_hand(session: Session) -> None:
    get_in(session)
    with pytest.raises(Refused, match="set from their groups"):
        accounts.change_role(session, BOSS, NOOR, Role.ADMIN)
    assert fresh(session).role == "support"


def test_without_a_role_nobody_gets_an_account(session: Session) -> None:
    assert come(session, role=None) is Refusal.NO_ROLE
    assert people(session) == 0
    assert log(session) == [("system:sign-in", "sign_in.refused", NOOR)]
    assert reason(session) == Refusal.NO_ROLE.value


def test_whose_groups_give_no_role_any_more_is_signed_out_everywhere(session: Session) -> None:
    elsewhere = get_in(session)
    assert come(session, role=None) is Refusal.NO_ROLE
    assert sessions.load(session, elsewhere.secret) is None
    assert log(session)[2:] == [
        (f"staff:{NOOR}", "sign_in.refused", NOOR),
        ("system:provider", "staff.sessions_ended", NOOR),
    ]


@pytest.mark.parametrize("role", [Role.VIEWER, None])
def test_whose_groups_make_them_no_administrator_any_more_loses_what_they_made(
    session: Session, role: Role | None
) -> None:
    a_colleague(session, Role.ADMIN, "ada@example.com")
    get_in(session, role=Role.ADMIN)
    tokens.create(session, Actor(f"staff:{NOOR}"), name="hers", scopes=[Scope.STEPS_READ])
    tokens.create(session, Actor("staff:ada@example.com"), name="adas", scopes=[Scope.STEPS_READ])
    link = links.make(session, Actor(f"staff:{NOOR}"), "ada@example.com")
    session.commit()
    get_in(session, role=Role.ADMIN)
    assert tokens.working_of(session, f"staff:{NOOR}") == ["hers"]
    assert links.opened(session, link.secret) is not None
    come(session, role=role)
    assert links.opened(session, link.secret) is None
    assert tokens.working_of(session, f"staff:{NOOR}") == []
    assert tokens.working_of(session, "staff:ada@example.com") == ["adas"]
    assert ("system:provider", "token.revoked", "hers") in log(session)


def test_the_last_administrator_keeps_the_role_and_is_kept_out(session: Session) -> None:
    elsewhere = get_in(session, role=Role.ADMIN)
    assert come(session, role=Role.VIEWER) is Refusal.LAST_ADMIN
    assert fresh(session).role == "admin"
    assert sessions.load(session, elsewhere.secret) is None
    a_colleague(session, Role.ADMIN, "ada@example.com")
    assert get_in(session, role=Role.VIEWER).account.role is Role.VIEWER


def test_an_administrator_from_the_provider_counts_as_one(session: Session) -> None:
    a_colleague(session, Role.ADMIN, "ada@example.com")
    with pytest.raises(Refused, match="last administrator"):
        accounts.disable(session, Actor("system:command-line", "cli"), "ada@example.com")
    get_in(session, role=Role.ADMIN)
    accounts.disable(session, Actor("system:command-line", "cli"), "ada@example.com")


def test_a_disabled_account_stays_outside(session: Session) -> None:
    elsewhere = get_in(session)
    accounts.disable(session, BOSS, NOOR)
    assert come(session) is Refusal.DISABLED
    assert sessions.load(session, elsewhere.secret) is None
    assert reason(session) == Refusal.DISABLED.value


# An address that is known here already -------------------------------------------------------------------------------


@pytest.mark.parametrize("email", ["", "maya@demo.example"])
def test_an_address_that_is_not_verified_or_a_demo_accounts_gets_none(session: Session, email: str) -> None:
    why = Refusal.TAKEN if email else Refusal.UNVERIFIED
    assert come(session, replace(IDENTITY, email=email), Role.ADMIN) is why
    assert people(session) == 0


def test_an_invitation_is_accepted_by_coming(session: Session) -> None:
    link = links.invite(session, BOSS, email=NOOR, name="Noor", role=Role.VIEWER)
    session.commit()
    account = get_in(session).account
    assert (account.id, account.role, account.state) == (link.account.id, Role.SUPPORT, "active")
    assert links.opened(session, link.secret) is None
    assert (f"staff:{NOOR}", "staff.joined", NOOR) in log(session)
    with pytest.raises(Refused, match="accepted the invitation"):
        links.withdraw(session, BOSS, NOOR)


def test_an_invitation_is_nothing_without_a_role(session: Session) -> None:
    link = links.invite(session, BOSS, email=NOOR, name="Noor", role=Role.ADMIN)
    session.commit()
    assert come(session, role=None) is Refusal.NO_ROLE
    assert links.opened(session, link.secret) is not None


@pytest.mark.parametrize("role", [Role.SUPPORT, Role.ADMIN])
def test_an_account_with_a_password_is_not_taken_over(session: Session, role: Role) -> None:
    a_colleague(session, role)
    assert come(session, role=Role.ADMIN) is Refusal.PASSWORD
    row = fresh(session)
    assert (row.oidc_subject, row.role) == (None, role.value)
    assert attempt(session, PASSWORD, email=NOOR) is not None


def test_whoever_knows_its_password_puts_it_into_the_providers_hands(session: Session) -> None:
    account = a_colleague(session, Role.MANAGER)
    elsewhere = attempt(session, PASSWORD, email=NOOR)
    assert elsewhere is not None
    outcome = connect(session)
    assert isinstance(outcome, SignedIn)
    assert (outcome.account.id, outcome.account.issuer, outcome.account.role) == (account.id, ISSUER, Role.SUPPORT)
    assert sessions.load(session, elsewhere.secret) is None
    assert sessions.load(session, outcome.secret) is not None
    assert attempt(session, PASSWORD, email=NOOR) is None
    assert get_in(session).account.id == account.id
    done = [action for _, action, _ in log(session)]
    assert done[1:4] == ["staff.role_changed", "staff.connected", "sign_in.accepted"]


def test_a_wrong_password_connects_nothing_is_recorded_and_slows_the_next_one_down(session: Session) -> None:
    a_colleague(session)
    assert connect(session, "a wrong password") is None
    assert log(session) == [(f"staff:{NOOR}", "sign_in.refused", NOOR)]
    fail(session, 5, email=NOOR)
    with pytest.raises(Throttled):
        connect(session)
    session.rollback()
    assert fresh(session).oidc_subject is None


def test_connecting_takes_no_role_from_the_last_administrator(session: Session) -> None:
    a_colleague(session, Role.ADMIN)
    assert connect(session, role=Role.VIEWER) is Refusal.LAST_ADMIN
    row = fresh(session)
    assert (row.role, row.oidc_subject) == ("admin", None)
    assert attempt(session, PASSWORD, email=NOOR) is not None


def test_a_disabled_account_is_not_connected(session: Session) -> None:
    a_colleague(session)
    accounts.disable(session, BOSS, NOOR)
    session.commit()
    assert connect(session) is Refusal.DISABLED


def test_one_identity_has_one_account(session: Session) -> None:
    get_in(session, replace(IDENTITY, email="another@example.com"))
    a_colleague(session)
    assert connect(session) is Refusal.TAKEN
    assert fresh(session).password_hash is not None


def test_of_two_that_come_at_once_with_one_address_the_second_is_refused_in_words(
    session: Session, database: Database
) -> None:
    first = provided.sign_in(session, IDENTITY, Role.SUPPORT, address=HOME)
    assert isinstance(first, SignedIn)

    def second() -> SignedIn | Refusal:
        with database.transaction() as other:
            return provided.sign_in(other, replace(IDENTITY, subject="subject-2"), Role.SUPPORT, address=HOME)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(second)
        # it has seen no account, and waits for the first one's
        wait_until_blocked(session)
        assert not coming.done()
        session.commit()
        assert coming.result(20) is Refusal.TAKEN
    assert (reason(session), people(session)) == (Refusal.TAKEN.value, 1)


# Back to a password --------------------------------------------------------------------------------------------------


def test_there_is_no_password_until_an_administrator_makes_a_link(session: Session) -> None:
    elsewhere = get_in(session)
    for password in ("", "None", PASSWORD):
        assert attempt(session, password, email=NOOR) is None
    fresh(session)
    link = links.make(session, BOSS, NOOR)
    session.commit()
    assert get_in(session).account.issuer == ISSUER
    assert links.use(session, link.secret, PASSWORD) is not None
    session.commit()
    assert sessions.load(session, elsewhere.secret) is None
    assert attempt(session, PASSWORD, email=NOOR, address=ELSEWHERE) is not None
    assert (f"staff:{NOOR}", "staff.disconnected", NOOR) in log(session)
    assert come(session) is Refusal.PASSWORD
    assert accounts.change_role(session, BOSS, NOOR, Role.VIEWER)[0].role is Role.VIEWER


def test_a_password_by_command_takes_the_providers_place(session: Session) -> None:
    before = get_in(session).account
    after = accounts.set_password(session, Actor("system:command-line", "cli"), NOOR, PASSWORD)
    session.commit()
    assert (after.issuer, after.row_version) == ("", before.row_version + 1)
    assert attempt(session, PASSWORD, email=NOOR) is not None


def test_what_was_opened_before_is_stale_afterwards(session: Session) -> None:
    seen = a_colleague(session).row_version
    connect(session)
    with pytest.raises(accounts.StaleAccount) as caught:
        links.make(session, BOSS, NOOR, seen=seen)
    assert [change.action for change in caught.value.changes] == ["staff.connected"]


# Slowed down, and tidied up ------------------------------------------------------------------------------------------


def test_one_address_comes_only_so_often_in_a_minute(session: Session) -> None:
    for _ in range(provided.TRIES_A_MINUTE):
        provided.admit(session, HOME)
    use_up(session, f"provider {HOME}")
    with pytest.raises(Throttled) as caught:
        provided.admit(session, HOME)
    assert USED_UP_S / 2 < caught.value.retry_after <= USED_UP_S + 3
    provided.admit(session, ELSEWHERE)


def test_old_sessions_are_dropped_where_nobody_uses_a_password(session: Session) -> None:
    get_in(session)
    old = session.scalars(select(StaffSession)).one()
    old.expires_at = session.scalars(select(func.now() - sessions.REMEMBERED * 2)).one()
    session.commit()
    get_in(session)
    assert session.scalars(select(func.count()).select_from(StaffSession)).one() == 1
