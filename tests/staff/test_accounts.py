"""Accounts: what can be made and changed, what is refused, and that each change is in the audit log."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from threading import Thread
from typing import Literal

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.demo import add_accounts
from dashboard.models import AuditEntry, StaffAccount
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound, Refused
from dashboard.staff import accounts, demo_accounts, links, passwords, roster, sessions, sign_in, tokens
from dashboard.staff.permissions import PERMISSIONS, Permission, Role, Scope
from tests.databases import wait_until_blocked
from tests.staff.signed_in import BOSS, PASSWORD, log

OPERATOR = Actor("system:command-line", "cli")


def make(session: Session, email: str, role: Role = Role.VIEWER) -> accounts.Account:
    return accounts.create(session, BOSS, email=email, name="Some One", role=role, password=PASSWORD)


def test_a_new_account_is_found_in_any_spelling_and_is_in_the_audit_log(session: Session) -> None:
    made = make(session, "  Maya@Example.COM ", Role.MANAGER)
    assert made.email == "maya@example.com"
    assert accounts.find(session, "MAYA@example.com") == made
    assert [one.account for one in roster.everyone(session)] == [made]
    assert log(session) == [("staff:ada@example.com", "staff.created", "maya@example.com")]


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("email", ""),
        ("email", "no-at-sign"),
        ("email", "a b@example.com"),
        ("email", "a@example.com\0"),
        ("email", "a\ud800@example.com"),
        ("email", "a" * 250 + "@example.com"),
        ("name", " "),
        ("name", "a" * 201),
        ("name", "a\0b"),
        ("password", "short"),
        ("password", "x" * 201),
        ("password", "with a NUL \0 inside"),
        ("password", "password123"),
        ("password", "PASSWORD123"),
        ("password", "maya@example.com"),
    ],
)
def test_bad_input_is_named_and_nothing_is_made(session: Session, member: str, value: str) -> None:
    given = {"email": "maya@example.com", "name": "Maya", "password": PASSWORD} | {member: value}
    with pytest.raises(Invalid) as caught:
        accounts.create(session, BOSS, role=Role.VIEWER, **given)
    assert list(caught.value.problems) == [member]
    assert roster.everyone(session) == []


MAYA = ("maya.lindqvist@example.com", "Maya Lindqvist")


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("1234567890", "too common"),
        ("Password123", "too common"),
        ("Maya.Lindqvist@example.com", "email or name"),
        ("maya.lindqvist", "email or name"),
        ("Maya Lindqvist", "email or name"),
        ("MayaLindqvist-1999!", "email or name"),
        ("the one until now", "current password"),
        ("Maya likes 7 horses", None),
        ("a password of her own", None),
    ],
)
def test_what_others_would_try_first_is_no_password(password: str, why: str | None) -> None:
    reason = passwords.problem(password, *MAYA, before="the one until now")
    assert reason is None if why is None else reason and why in reason


def test_an_owner_called_by_nothing_but_digits_forbids_just_these() -> None:
    assert passwords.problem("0049301234567", "0049301234567@example.com", "Noor") is not None
    assert passwords.problem("4930123456 horses", "0049301234567@example.com", "Noor") is None
    assert passwords.problem("!-!-!-!-!-!", "noor@example.com", "☺") is None


def test_of_the_common_passwords_none_is_too_short_to_matter_or_one_of_the_demo() -> None:
    common = passwords._common()
    assert len(common) > 1_000
    assert all(len(one) >= passwords.MIN_PASSWORD and one == one.casefold() for one in common)
    assert not common & {demo.password for demo in demo_accounts.DEMO_ACCOUNTS}


def test_a_password_is_not_replaced_by_itself(session: Session) -> None:
    make(session, "maya@example.com")
    with pytest.raises(Invalid, match="current password"):
        accounts.set_password(session, BOSS, "maya@example.com", PASSWORD)
    assert [action for _, action, _ in log(session)] == ["staff.created"]


def test_a_taken_address_is_refused_and_the_transaction_goes_on(session: Session) -> None:
    make(session, "maya@example.com")
    with pytest.raises(Invalid, match="already exists"):
        make(session, "MAYA@example.com")
    make(session, "other@example.com")
    assert len(roster.everyone(session)) == 2


def test_a_password_is_kept_as_argon2id_and_nowhere_in_the_audit_log(session: Session) -> None:
    make(session, "maya@example.com")
    row = session.scalars(select(StaffAccount)).one()
    assert extract_parameters(row.password_hash).type is Type.ID
    assert passwords.matches(row.password_hash, PASSWORD)
    assert not passwords.matches(row.password_hash, PASSWORD + " ")
    assert not passwords.matches(row.password_hash, "\ud800")
    assert PASSWORD not in str([(entry.changes, entry.note) for entry in session.scalars(select(AuditEntry))])


def test_no_password_matches_an_unknown_account(session: Session) -> None:
    assert not passwords.matches(None, "\0")
    assert not passwords.matches(None, "")


def test_an_unknown_account_is_verified_against_a_hash_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    verified: list[str] = []

    class Counting(PasswordHasher):
        def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002
            verified.append(str(hash))
            return super().verify(hash, password)

    monkeypatch.setattr(passwords, "HASHER", Counting(time_cost=1, memory_cost=8, parallelism=1))
    assert not passwords.matches(None, PASSWORD)
    assert verified == [passwords.dummy_hash()]


def test_a_role_counts_in_the_audit_log_with_before_and_after(session: Session) -> None:
    make(session, "maya@example.com", Role.VIEWER)
    changed, _ = accounts.change_role(session, BOSS, "Maya@example.com", Role.MANAGER)
    assert changed.role is Role.MANAGER
    assert changed.permissions == PERMISSIONS[Role.MANAGER]
    entry = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
    assert entry is not None
    assert (entry.action, entry.changes) == ("staff.role_changed", {"role": ["viewer", "manager"]})


def test_the_same_role_again_changes_nothing(session: Session) -> None:
    make(session, "ada@example.com", Role.ADMIN)
    accounts.change_role(session, OPERATOR, "ada@example.com", Role.ADMIN)
    assert len(log(session)) == 1


def test_a_disabled_account_comes_back_when_enabled(session: Session) -> None:
    make(session, "maya@example.com")
    accounts.disable(session, BOSS, "maya@example.com")
    assert accounts.disable(session, BOSS, "maya@example.com") == []
    found = accounts.find(session, "maya@example.com")
    assert found is not None
    assert found.disabled_at is not None
    assert accounts.enable(session, BOSS, "maya@example.com").disabled_at is None
    assert [action for _, action, _ in log(session)] == ["staff.created", "staff.disabled", "staff.enabled"]


Change = Callable[[Session, str], object]
REMOVALS: dict[str, Change] = {
    "disable": lambda session, email: accounts.disable(session, OPERATOR, email),
    "change_role": lambda session, email: accounts.change_role(session, OPERATOR, email, Role.MANAGER),
}


@pytest.mark.parametrize("removal", REMOVALS)
def test_the_last_admin_stays(session: Session, removal: str) -> None:
    make(session, "ada@example.com", Role.ADMIN)
    make(session, "gone@example.com", Role.ADMIN)
    accounts.disable(session, BOSS, "gone@example.com")
    with pytest.raises(Refused, match="last administrator"):
        REMOVALS[removal](session, "ada@example.com")
    make(session, "second@example.com", Role.ADMIN)
    REMOVALS[removal](session, "ada@example.com")


@pytest.mark.parametrize("removal", REMOVALS)
def test_who_was_only_invited_does_not_count_as_an_admin(session: Session, removal: str) -> None:
    make(session, "ada@example.com", Role.ADMIN)
    links.invite(session, BOSS, email="new@example.com", name="New", role=Role.ADMIN)
    with pytest.raises(Refused, match="last administrator"):
        REMOVALS[removal](session, "ada@example.com")
    REMOVALS[removal](session, "new@example.com")


@pytest.mark.parametrize("removal", REMOVALS)
def test_an_account_of_the_demo_is_an_admin_in_a_demo_only(session: Session, removal: str) -> None:
    """A database that was a demo once may hold one, which can only sign in to a demo."""
    make(session, "ada@example.com", Role.ADMIN)
    add_accounts(session)
    session.commit()
    with pytest.raises(Refused, match="last administrator"):
        REMOVALS[removal](session, "ada@example.com")
    session.rollback()
    in_a_demo = {"disable": accounts.disable, "change_role": partial(accounts.change_role, role=Role.MANAGER)}[removal]
    in_a_demo(session, OPERATOR, email="ada@example.com", demo=True)
    with pytest.raises(Refused, match="last administrator"):
        in_a_demo(session, OPERATOR, email="ada@demo.example", demo=True)
    # outside of a demo it never was one
    REMOVALS[removal](session, "ada@demo.example")


@pytest.mark.parametrize(
    "change",
    [
        lambda session: accounts.disable(session, BOSS, "ada@example.com"),
        lambda session: accounts.change_role(session, BOSS, "ADA@example.com", Role.VIEWER),
        lambda session: accounts.change_role(session, BOSS, "ada@example.com", Role.ADMIN),
    ],
)
def test_nobody_changes_their_own_role_or_disables_themself(
    session: Session, change: Callable[[Session], object]
) -> None:
    make(session, "ada@example.com", Role.ADMIN)
    make(session, "ben@example.com", Role.ADMIN)
    with pytest.raises(Refused, match="Ask another administrator"):
        change(session)
    assert len(log(session)) == 2


# Two administrators at once ------------------------------------------------------------------------------------------


def test_each_change_moves_the_row_version_on_by_one(session: Session) -> None:
    made = make(session, "maya@example.com")
    seen = [made.row_version]
    seen.append(accounts.change_role(session, BOSS, made.email, Role.SUPPORT, seen[-1])[0].row_version)
    accounts.disable(session, BOSS, made.email, seen=seen[-1])
    seen.append(accounts.enable(session, BOSS, made.email, seen[-1] + 1).row_version)
    accounts.rename(session, BOSS, made.email, "Maya L.")
    found = accounts.find(session, made.email)
    assert found is not None
    assert [*seen, found.row_version] == [1, 2, 4, 4]


def test_a_stale_change_changes_nothing_and_tells_what_others_did(session: Session) -> None:
    make(session, "maya@example.com")
    make(session, "other@example.com")
    accounts.change_role(session, BOSS, "maya@example.com", Role.SUPPORT, 1)
    accounts.disable(session, OPERATOR, "maya@example.com", seen=2)
    accounts.change_role(session, BOSS, "other@example.com", Role.SUPPORT, 1)
    for change in (
        lambda: accounts.change_role(session, BOSS, "maya@example.com", Role.MANAGER, 1),
        lambda: accounts.enable(session, BOSS, "maya@example.com", 1),
    ):
        with pytest.raises(accounts.StaleAccount) as caught:
            change()
        told = [(one.by, one.action, one.role) for one in caught.value.changes]
        assert told == [
            ("staff:ada@example.com", "staff.role_changed", (Role.VIEWER, Role.SUPPORT)),
            ("system:command-line", "staff.disabled", None),
        ]
    found = accounts.find(session, "maya@example.com")
    assert found is not None
    assert (found.role, found.state) == (Role.SUPPORT, "disabled")


def test_what_is_so_already_is_not_stale(session: Session) -> None:
    make(session, "maya@example.com")
    accounts.change_role(session, BOSS, "maya@example.com", Role.SUPPORT, 1)
    assert accounts.change_role(session, OPERATOR, "maya@example.com", Role.SUPPORT, 1)[0].row_version == 2
    assert accounts.disable(session, BOSS, "maya@example.com", seen=2) == []
    assert accounts.disable(session, OPERATOR, "maya@example.com", seen=2) == []


def test_a_row_version_of_the_future_is_stale_too(session: Session) -> None:
    make(session, "maya@example.com")
    with pytest.raises(accounts.StaleAccount) as caught:
        accounts.change_role(session, BOSS, "maya@example.com", Role.SUPPORT, 7)
    assert caught.value.changes == ()


# Names ---------------------------------------------------------------------------------------------------------------


def test_a_name_changes_with_an_entry_of_before_and_after(session: Session) -> None:
    make(session, "maya@example.com")
    assert accounts.rename(session, BOSS, "maya@example.com", " Maya Lindqvist ").name == "Maya Lindqvist"
    accounts.rename(session, BOSS, "maya@example.com", "Maya Lindqvist")
    entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "staff.renamed")).all()
    assert [entry.changes for entry in entries] == [{"name": ["Some One", "Maya Lindqvist"]}]


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\0b", "a\nb"])
def test_a_bad_name_is_refused(session: Session, name: str) -> None:
    make(session, "maya@example.com")
    with pytest.raises(Invalid) as caught:
        accounts.rename(session, BOSS, "maya@example.com", name)
    assert list(caught.value.problems) == ["name"]


@pytest.mark.parametrize("removal", REMOVALS)
def test_two_admins_cannot_remove_each_other_at_once(database: Database, removal: str) -> None:
    with database.transaction() as session:
        make(session, "ada@example.com", Role.ADMIN)
        make(session, "ben@example.com", Role.ADMIN)
    refused: list[Refused] = []

    def second() -> None:
        try:
            with database.transaction() as session:
                REMOVALS[removal](session, "ada@example.com")
        except Refused as error:
            refused.append(error)

    with database.transaction() as session:
        REMOVALS[removal](session, "ben@example.com")
        thread = Thread(target=second)
        thread.start()
        wait_until_blocked(session)
    thread.join(60)
    assert len(refused) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda session: accounts.disable(session, BOSS, "no@example.com"),
        lambda session: accounts.enable(session, BOSS, "no@example.com"),
        lambda session: accounts.change_role(session, BOSS, "no@example.com", Role.ADMIN),
        lambda session: accounts.set_password(session, BOSS, "a\0b", PASSWORD),
    ],
)
def test_an_unknown_account_is_not_found(session: Session, change: Callable[[Session], object]) -> None:
    make(session, "ada@example.com", Role.ADMIN)
    with pytest.raises(NotFound):
        change(session)


def test_a_new_password_ends_the_sessions(session: Session) -> None:
    make(session, "maya@example.com")
    attempt = sign_in.admit(session, "maya@example.com", "192.0.2.1")
    signed_in = sign_in.complete(session, attempt, PASSWORD)
    assert signed_in is not None
    accounts.set_password(session, BOSS, "maya@example.com", "another password")
    session.commit()
    assert sessions.load(session, signed_in.secret) is None


def test_disabling_revokes_the_tokens_that_the_account_made(session: Session) -> None:
    for email in ("maya@example.com", "ada@example.com"):
        make(session, email, Role.ADMIN)
    maya = Actor("staff:maya@example.com", "web")
    hers = tokens.create(session, maya, name="hers", scopes=[Scope.STEPS_READ])
    other = tokens.create(session, BOSS, name="other", scopes=[Scope.STEPS_READ])
    assert accounts.disable(session, BOSS, "maya@example.com") == ["hers"]
    assert tokens.authenticate(session, hers.secret) is None
    assert tokens.authenticate(session, other.secret) is not None
    assert ("staff:ada@example.com", "token.revoked", "hers") in log(session)


def test_of_the_tokens_that_the_account_made_those_that_still_work_are_revoked(session: Session) -> None:
    for email in ("maya@example.com", "ada@example.com"):
        make(session, email, Role.ADMIN)
    maya = Actor("staff:maya@example.com", "web")
    for name in ("hers", "old"):
        tokens.create(session, maya, name=name, scopes=[Scope.STEPS_READ])
    session.execute(text("UPDATE api_tokens SET expires_at = now() - interval '1 day' WHERE name = 'old'"))
    warned = tokens.working_of(session, maya.key)
    assert accounts.disable(session, BOSS, "maya@example.com") == warned == ["hers"]
    assert [action for _, action, name in log(session) if name == "old"] == ["token.created"]


def test_tokens_can_be_kept_when_disabling(session: Session) -> None:
    for email in ("maya@example.com", "ada@example.com"):
        make(session, email, Role.ADMIN)
    hers = tokens.create(session, Actor("staff:maya@example.com"), name="hers", scopes=[Scope.STEPS_READ])
    assert accounts.disable(session, BOSS, "maya@example.com", keep_tokens=True) == []
    assert tokens.authenticate(session, hers.secret) is not None


@pytest.mark.parametrize("keep", [False, True])
def test_another_role_revokes_what_an_administrator_made_as_disabling_does(session: Session, keep: bool) -> None:
    for email in ("maya@example.com", "ada@example.com"):
        make(session, email, Role.ADMIN)
    hers = tokens.create(session, Actor("staff:maya@example.com"), name="hers", scopes=[Scope.STEPS_READ])
    other = tokens.create(session, BOSS, name="other", scopes=[Scope.STEPS_READ])
    _, revoked = accounts.change_role(session, BOSS, "maya@example.com", Role.VIEWER, keep_tokens=keep)
    assert revoked == ([] if keep else ["hers"])
    assert (tokens.authenticate(session, hers.secret) is None) is not keep
    assert tokens.authenticate(session, other.secret) is not None
    assert (("staff:ada@example.com", "token.revoked", "hers") in log(session)) is not keep


def test_a_role_that_takes_no_tokens_away_revokes_none(session: Session) -> None:
    for email in ("maya@example.com", "ada@example.com"):
        make(session, email, Role.ADMIN)
    tokens.create(session, Actor("staff:maya@example.com"), name="hers", scopes=[Scope.STEPS_READ])
    accounts.change_role(session, BOSS, "maya@example.com", Role.MANAGER, keep_tokens=True)
    for role in (Role.VIEWER, Role.ADMIN, Role.ADMIN):
        assert accounts.change_role(session, BOSS, "maya@example.com", role)[1] == []


def test_each_role_has_all_of_viewer_and_admin_has_all() -> None:
    assert all(PERMISSIONS[Role.VIEWER] <= PERMISSIONS[role] for role in Role)
    assert PERMISSIONS[Role.ADMIN] == frozenset(Permission)
    assert Permission.EDIT_PEOPLE not in PERMISSIONS[Role.MANAGER]
    assert Permission.RELEASE not in PERMISSIONS[Role.SUPPORT]
