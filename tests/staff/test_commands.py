"""`dashboard user` and `dashboard token`, run as programs."""

from __future__ import annotations

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from dashboard.demo import add_accounts
from dashboard.models import AuditEntry, StaffAccount, StaffLink
from dashboard.onboarding.actor import Actor
from dashboard.staff import links, passwords, roster, tokens
from dashboard.staff.permissions import Role, Scope
from tests.program import Program
from tests.staff.signed_in import PASSWORD, make_account


@pytest.fixture
def dashboard(database_url: str) -> Program:
    """The `dashboard` command on this test's database."""
    return Program({"DATABASE_URL": database_url})


def password_of(session: Session, email: str) -> str:
    return session.scalars(select(StaffAccount.password_hash).where(StaffAccount.email == email)).one()


def test_an_account_is_made_with_a_password_that_is_printed(dashboard: Program, session: Session) -> None:
    done = dashboard("user", "add", "Ada@example.com", "--name", "Ada", "--role", "admin")
    assert done.code == 0
    first, second = done.out.splitlines()
    assert first == "ada@example.com can sign in as Administrator."
    assert passwords.matches(password_of(session, "ada@example.com"), second.removeprefix("Password: "))
    assert session.scalars(select(AuditEntry.actor)).one() == "system:command-line"


def test_a_password_of_ones_own_is_read_and_not_printed(dashboard: Program, session: Session) -> None:
    add = ("user", "add", "ada@example.com", "--name", "Ada", "--role", "admin", "--password-stdin", "--json")
    done = dashboard(*add, given=PASSWORD + "\n")
    assert done.json["role"] == "admin"
    assert PASSWORD not in done.out
    assert passwords.matches(password_of(session, "ada@example.com"), PASSWORD)


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (("not-an-address", "--name", "A", "--role", "admin"), "", "Enter an email address"),
        (("a@example.com", "--name", "A", "--role", "boss"), "", "is not one of"),
        (("a@example.com", "--name", "A", "--role", "admin", "--password-stdin"), "short\n", "at least 10"),
        (("a@example.com", "--name", "A", "--role", "admin", "--password-stdin"), "password123\n", "too common"),
        (("a@example.com", "--name", "A", "--role", "admin", "--password-stdin"), "a@example.com\n", "the account"),
        (("a@example.com", "--name", "A", "--role", "admin", "--password-stdin"), "", "No password was given"),
    ],
)
def test_bad_input_ends_with_2_and_one_line(
    dashboard: Program, session: Session, arguments: tuple[str, ...], given: str, says: str
) -> None:
    done = dashboard("user", "add", *arguments, given=given)
    assert done.code == 2
    assert says in done.err
    assert roster.everyone(session) == []


def test_accounts_are_listed_changed_and_disabled(dashboard: Program, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    make_account(session, Role.ADMIN, "vic@example.com")
    make_account(session, Role.VIEWER, "zoe@example.com")
    tokens.create(session, Actor("staff:vic@example.com"), name="vics", scopes=[Scope.STEPS_READ])
    session.commit()
    demoted = dashboard("user", "role", "vic@example.com", "manager", "--keep-tokens")
    assert demoted.out == "vic@example.com is Onboarding manager now."
    assert dashboard("user", "disable", "vic@example.com").out.endswith("Revoked tokens: vics")
    assert [(row["email"], row["role"]) for row in dashboard("user", "list", "--json").json] == [
        ("ada@example.com", "admin"),
        ("zoe@example.com", "viewer"),
        ("vic@example.com", "manager"),
    ]
    assert "vic@example.com  manager  disabled" in dashboard("user", "list").out
    assert dashboard("user", "enable", "vic@example.com").code == 0
    assert dashboard("user", "password", "vic@example.com").out.splitlines()[1].startswith("Password: ")


def test_who_becomes_no_administrator_any_more_loses_the_tokens_they_made(dashboard: Program, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    make_account(session, Role.ADMIN, "vic@example.com")
    tokens.create(session, Actor("staff:vic@example.com"), name="vics", scopes=[Scope.STEPS_READ])
    session.commit()
    done = dashboard("user", "role", "vic@example.com", "viewer")
    assert done.out == "vic@example.com is Viewer now.\nRevoked tokens: vics"
    assert tokens.working_of(session, "staff:vic@example.com") == []
    assert dashboard("user", "role", "vic@example.com", "support", "--json").json["revoked_tokens"] == []


def test_another_password_is_another_one_and_no_common_one(dashboard: Program, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    for password, says in (
        ("password123", "too common"),
        ("ada@example.com", "the account"),
        (PASSWORD, "current password"),
    ):
        done = dashboard("user", "password", "ada@example.com", "--password-stdin", given=password + "\n")
        assert (done.code, done.out) == (2, "")
        assert says in done.err


def test_a_password_that_takes_the_providers_place_says_so(dashboard: Program, session: Session) -> None:
    account = make_account(session, Role.ADMIN, "ada@example.com")
    make_account(session, Role.ADMIN, "vic@example.com")
    account.password_hash, account.oidc_issuer, account.oidc_subject = None, "https://id.example.com", "subject-1"
    session.commit()
    first, second = dashboard("user", "list").out.splitlines()
    assert first.endswith("(signs in with https://id.example.com)")
    assert "signs in with" not in second
    done = dashboard("user", "password", "Ada@example.com")
    assert done.out.splitlines()[0] == (
        "ada@example.com now signs in with this password, and no longer with the provider https://id.example.com; "
        "the role stays as it is, whatever the groups there."
    )
    assert "signs in with" not in dashboard("user", "list").out
    assert dashboard("user", "password", "ada@example.com").out.startswith(
        "The password of ada@example.com was replaced."
    )


BASE = "https://onboarding.example.com"


def secret_in(link: str) -> str:
    assert link.startswith(f"{BASE}/set-password?link=")
    return link.partition("?link=")[2]


def test_an_invitation_is_a_link_with_which_they_choose_a_password(dashboard: Program, session: Session) -> None:
    invite = ("user", "invite", "Noor@example.com", "--name", "Noor", "--role", "support")
    text, link = dashboard(*invite, "--base-url", f"{BASE}/").out.splitlines()
    assert text.startswith("One-time link for noor@example.com to set a password, valid until ")
    assert links.use(session, secret_in(link), PASSWORD) is not None
    session.commit()
    assert "noor@example.com  support  active" in dashboard("user", "list").out


def test_a_link_for_whoever_forgot_their_password(dashboard: Program, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    first = dashboard("user", "reset-link", "ada@example.com", "--base-url", BASE, "--json").json
    second = dashboard("user", "reset-link", "ada@example.com", "--base-url", BASE, "--json").json
    assert links.opened(session, secret_in(first["link"])) is None
    opened = links.opened(session, secret_in(second["link"]))
    assert opened is not None
    assert opened.email == second["email"] == "ada@example.com"
    assert second["link_expires_at"] > first["link_expires_at"]


def test_the_address_is_told_by_the_environment_too(database_url: str, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    dashboard = Program({"DATABASE_URL": database_url, "BASE_URL": BASE})
    assert secret_in(dashboard("user", "reset-link", "ada@example.com").out.splitlines()[1])


@pytest.mark.parametrize(
    "base", ["onboarding.example.com", "ftp://x.example", f"{BASE}/path", "http://[", "javascript:x"]
)
def test_without_an_address_there_is_no_link(dashboard: Program, session: Session, base: str) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    missing = dashboard("user", "reset-link", "ada@example.com")
    assert (missing.code, missing.out) == (2, "")
    assert "--base-url" in missing.err
    wrong = dashboard("user", "reset-link", "ada@example.com", "--base-url", base)
    assert (wrong.code, wrong.out) == (2, "")
    assert "--base-url must be an address such as" in wrong.err
    assert session.scalars(select(StaffLink)).all() == []


def test_an_admin_of_the_demo_is_none_outside_of_one(dashboard: Program, session: Session) -> None:
    add_accounts(session)
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    for command in (("disable", "ada@example.com"), ("role", "ada@example.com", "viewer")):
        done = dashboard("user", *command)
        assert done.code == 1
        assert "is the last administrator" in done.err
    assert dashboard("user", "disable", "ada@demo.example").code == 0


def test_refusals_end_with_1_and_unknown_names_with_2(dashboard: Program, session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    session.commit()
    last = dashboard("user", "disable", "ada@example.com")
    assert (last.code, last.out) == (1, "")
    assert "last administrator" in last.err
    assert dashboard("user", "role", "nobody@example.com", "admin").code == 2
    assert dashboard("token", "revoke", "nothing").code == 2


def test_a_token_is_printed_alone_and_works_until_revoked(dashboard: Program, session: Session) -> None:
    secret = dashboard("token", "create", "--name", "shop", "--scopes", "progress:read,steps:release").out
    found = tokens.authenticate(session, secret)
    assert found is not None
    assert found.scopes == {Scope.PROGRESS_READ, Scope.STEPS_RELEASE}
    session.commit()
    assert dashboard("token", "revoke", "shop").out == "The token shop was revoked."
    assert tokens.authenticate(session, secret) is None
    assert "shop  revoked" in dashboard("token", "list").out


def test_a_token_as_json_says_more_and_lists_say_no_secret(dashboard: Program) -> None:
    made = dashboard("token", "create", "--name", "shop", "--scopes", "steps:read", "--days", "90", "--json").json
    assert made["token"].startswith("obd_")
    assert made["expires_at"] is not None
    listed = dashboard("token", "list", "--json")
    assert listed.json[0]["state"] == "active"
    assert made["token"] not in listed.out


def test_a_list_says_when_each_token_expires(dashboard: Program) -> None:
    made = dashboard("token", "create", "--name", "docs", "--scopes", "steps:read", "--days", "90", "--json").json
    dashboard("token", "create", "--name", "shop", "--scopes", "steps:read")
    listed = dict(line.split("  ", 1) for line in dashboard("token", "list").out.splitlines())
    assert f"expires {made['expires_at'][:10]}  steps:read" in listed["docs"]
    assert "expires never       steps:read" in listed["shop"]


def test_an_unknown_scope_names_those_that_exist(dashboard: Program) -> None:
    done = dashboard("token", "create", "--name", "shop", "--scopes", "steps:write")
    assert done.code == 2
    assert "Unknown scope: steps:write. Available scopes: progress:read" in done.err


@pytest.mark.parametrize("group", ["user", "token"])
def test_help_has_an_example(dashboard: Program, group: str) -> None:
    commands = dashboard(group, "--help").out.partition("Commands:")[2].strip().splitlines()
    assert len(commands) > 2
    for line in commands:
        assert f"dashboard {group} {line.split()[0]}" in dashboard(group, line.split()[0], "--help").out
