"""The staff's pages: the list, an invitation, an account, and two administrators who change one at once."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html import unescape

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.demo import add_accounts
from dashboard.models import StaffAccount, StaffLink, StaffSession
from dashboard.onboarding.actor import Actor
from dashboard.staff import accounts, links, passwords, roster, sessions, tokens
from dashboard.staff.permissions import Role
from dashboard.staff.sessions import UNDER_WAY
from tests.staff.signed_in import NOOR, a_colleague, sign_in_as
from tests.staff.signing_in import pass_time
from tests.web.desk import HOSTILE, HTMX, form_of, part, queries, same_however_much_there_is, words
from tests.web.settings import actions, fresh, post, tokens_of, value_of

ADA = Actor("staff:admin@staff.example")
OTHER = Actor("staff:ben@example.com")
both = pytest.mark.parametrize("live", [False, True], ids=["plain", "htmx"])


@pytest.fixture
def noor(ada: FlaskClient, session: Session) -> StaffAccount:
    """A support agent; committed."""
    return a_colleague(session)


def at(account: StaffAccount, deed: str = "") -> str:
    return f"/settings/staff/{account.id}" + (f"/{deed}" if deed else "")


def is_done(ada: FlaskClient, answer: TestResponse, account: StaffAccount, *, live: bool, says: str) -> str:
    """Asserts that a deed came back as it should, and gives the account's page then."""
    if live:
        assert answer.status_code == 200
        page = answer.text
        assert page.lstrip().startswith('<div id="staff-account"')
    else:
        assert (answer.status_code, answer.location) == (303, at(account))
        page = ada.get(at(account)).text
    assert says in words(part(page, "flash"))
    return page


# The list ------------------------------------------------------------------------------------------------------------


def test_the_settings_lead_to_what_one_may_change(ada: FlaskClient, database: Database) -> None:
    assert ada.get("/settings").location == "/settings/staff"
    sign_in_as(ada, database, Role.VIEWER)
    assert ada.get("/settings").location == "/settings/account"


def test_everybody_is_listed_with_what_there_is_to_know(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    sessions.start(session, noor, "192.0.2.1", "A browser")
    links.invite(session, ADA, email="iris@example.com", name="Iris", role=Role.VIEWER)
    links.invite(session, ADA, email="old@example.com", name="Oldest", role=Role.VIEWER)
    session.execute(
        update(StaffLink)
        .where(StaffLink.account_id.in_(select(StaffAccount.id).where(StaffAccount.email == "old@example.com")))
        .values(expires_at=func.now())
    )
    session.commit()
    page = ada.get("/settings/staff").text
    row = words(part(page, f"staff-row-{NOOR}").partition("</tr>")[0])
    assert "The support noor@example.com Support agent Active Never 1 open session" in row
    assert "Invited Never 0 open sessions" in words(part(page, "staff-row-iris@example.com").partition("</tr>")[0])
    assert "Invited No valid link" in words(part(page, "staff-row-old@example.com").partition("</tr>")[0])
    assert "2 accounts, 2 invited" in words(page)


def test_the_list_takes_as_many_queries_however_many_there_are(ada: FlaskClient, session: Session) -> None:
    def more() -> None:
        for number in range(20):
            row = a_colleague(session, email=f"someone{number}@example.com")
            sessions.start(session, row, "192.0.2.1", "A browser")
            links.make(session, ADA, row.email)
        session.commit()

    # who is signed in, the drafts in the menu, and the list
    assert same_however_much_there_is(ada, "/settings/staff", more) <= 5


def test_hostile_names_are_text_everywhere(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    accounts.rename(session, Actor(f"staff:{NOOR}"), NOOR, HOSTILE)
    tokens_of(session, noor, HOSTILE)
    sessions.start(session, noor, HOSTILE, HOSTILE)
    session.commit()
    for page in (ada.get("/settings/staff").text, ada.get(at(noor)).text):
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page
    for deed in ("link", "role"):
        answer = post(ada, at(noor, deed), row_version=1, role="viewer")
        assert "<script>alert" not in answer.text + ada.get(at(noor)).text


def test_a_demo_account_outside_a_demo_says_that_it_cannot_sign_in(ada: FlaskClient, session: Session) -> None:
    add_accounts(session)
    session.commit()
    page = ada.get("/settings/staff").text
    assert page.count("Demo, cannot sign in") == 4
    assert "demo-staff" not in page
    maya = session.scalars(select(StaffAccount).where(StaffAccount.email == "maya@demo.example")).one()
    assert "it can only sign in to a demo" in words(ada.get(at(maya)).text)
    assert "can only sign in to a demo" in words(post(ada, at(maya, "link"), row_version=1).text)


@pytest.mark.parametrize("deed", ["role", "disable"])
def test_in_a_demo_its_admin_is_one(client: FlaskClient, session: Session, deed: str) -> None:
    """So that a colleague may be removed: somebody is left who can sign in."""
    add_accounts(session)
    other = a_colleague(session, Role.ADMIN)
    owner = session.scalars(select(StaffAccount).where(StaffAccount.email == "ada@demo.example")).one()
    client.set_cookie("staff_session", sessions.start(session, owner, "192.0.2.1", "A browser"))
    session.commit()
    client.application.extensions["settings"] = replace(client.application.extensions["settings"], demo=True)
    assert post(client, at(other, deed), row_version=1, role="viewer").status_code == 303


def test_in_a_demo_it_says_how_to_get_everything_back(ada: FlaskClient, session: Session) -> None:
    add_accounts(session)
    session.commit()
    ada.application.config["DEMO"] = True
    assert "dashboard demo reset" in part(ada.get("/settings/staff").text, "demo-staff")


def test_a_demo_account_with_a_password_of_its_own_is_shown_as_one(ada: FlaskClient, session: Session) -> None:
    add_accounts(session)
    maya = session.scalars(select(StaffAccount).where(StaffAccount.email == "maya@demo.example")).one()
    session.commit()
    ada.application.config["DEMO"] = True
    ada.application.extensions["settings"] = replace(ada.application.extensions["settings"], demo=True)
    page = ada.application.test_client().get("/sign-in").text
    assert page.count('data-testid="sign-in-as-') == 4
    assert "anyone can use it" in words(ada.get(at(maya)).text)

    maya.password_hash = passwords.hashed("a password of her own")
    session.commit()
    page = ada.application.test_client().get("/sign-in").text
    assert page.count('data-testid="sign-in-as-') == 3
    assert "maya@demo.example" not in page
    assert "has its own password" in words(ada.get(at(maya)).text)
    assert "anyone can use it" not in words(ada.get(at(maya)).text)


# Inviting ------------------------------------------------------------------------------------------------------------


def test_an_invitation_shows_its_link_once(ada: FlaskClient, session: Session) -> None:
    answer = post(ada, "/settings/staff/invite", name=" Iris ", email="Iris@Example.com", role="manager")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"
    link = value_of(answer.text, "shown-link-value")
    assert link.startswith("http://localhost/set-password?link=")
    opened = links.opened(session, link.partition("=")[2])
    assert opened is not None
    assert (opened.name, opened.email, opened.role) == ("Iris", "iris@example.com", Role.MANAGER)
    assert link.partition("=")[2] not in ada.get(f"/settings/staff/{opened.id}").text


def test_sending_the_form_again_invites_nobody_twice(ada: FlaskClient, session: Session) -> None:
    given = {"name": "Iris", "email": "iris@example.com", "role": "viewer"}
    first = value_of(post(ada, "/settings/staff/invite", **given).text, "shown-link-value")
    again = post(ada, "/settings/staff/invite", **given)
    assert again.status_code == 422
    assert "An account for iris@example.com already exists." in words(part(again.text, "email-error"))
    assert links.opened(session, first.partition("=")[2]) is not None
    made = accounts.find(session, "iris@example.com")
    assert made is not None
    assert f'href="/settings/staff/{made.id}" data-testid="known-account"' in again.text
    assert 'data-testid="make-link"' in ada.get(f"/settings/staff/{made.id}").text
    other = post(ada, "/settings/staff/invite", **(given | {"name": "", "email": "new@example.com"}))
    assert 'data-testid="known-account"' not in other.text


def test_all_that_is_wrong_is_said_at_once_and_what_was_typed_stays(ada: FlaskClient, session: Session) -> None:
    answer = post(ada, "/settings/staff/invite", name=" ", email=HOSTILE, role="boss")
    assert answer.status_code == 422
    for field in ("name", "email", "role"):
        assert f'data-testid="{field}-error"' in answer.text
    assert unescape(form_of(answer, "invite-form")["email"]) == HOSTILE
    assert "<script>alert" not in answer.text
    assert len(roster.everyone(session)) == 1


@pytest.mark.parametrize(
    ("wrong", "first"),
    [
        (("name", "role"), 'name="name"'),
        (("email", "role"), 'name="email"'),
        (("role",), 'name="role"[^>]* value="viewer"'),
    ],
)
def test_the_first_field_that_is_wrong_has_the_focus(ada: FlaskClient, wrong: tuple[str, ...], first: str) -> None:
    given = {"name": "Iris", "email": "iris@example.com", "role": "viewer"} | dict.fromkeys(wrong, "")
    answer = post(ada, "/settings/staff/invite", **given)
    focused = [tag for tag in re.findall(r"<[^>]+>", answer.text) if " autofocus" in tag]
    assert len(focused) == 1
    assert re.search(first, focused[0])
    assert 'aria-invalid="true"' in focused[0] or 'aria-describedby="role-error"' in focused[0]


def test_the_role_that_was_chosen_stays(ada: FlaskClient) -> None:
    answer = post(ada, "/settings/staff/invite", name="", email="iris@example.com", role="manager")
    assert form_of(answer, "invite-form")["role"] == "manager"


def test_the_address_of_the_link_is_the_one_that_the_settings_tell(ada: FlaskClient, noor: StaffAccount) -> None:
    told = replace(ada.application.extensions["settings"], base_url="https://onboarding.example.com")
    ada.application.extensions["settings"] = told
    answer = post(ada, at(noor, "link"), row_version=1)
    assert value_of(answer.text, "shown-link-value").startswith("https://onboarding.example.com/set-password?link=")


@pytest.mark.parametrize("address", ["/settings/staff/invite", "/settings/staff/1/role", "/settings/account/password"])
def test_nothing_is_done_without_the_token_of_the_form(ada: FlaskClient, session: Session, address: str) -> None:
    before = actions(session)
    assert ada.post(address, data={"row_version": "1", "role": "viewer"}).status_code == 400
    assert actions(session) == before


# An account ----------------------------------------------------------------------------------------------------------


@both
def test_a_role_is_changed(ada: FlaskClient, session: Session, noor: StaffAccount, live: bool) -> None:
    answer = post(ada, at(noor, "role"), live=live, row_version=1, role="manager")
    page = is_done(ada, answer, noor, live=live, says="The support's role is now Onboarding manager")
    assert "Onboarding manager" in part(page, "figure-role").partition("</div>")[0]
    assert fresh(session, noor).role == "manager"


def test_it_counts_in_the_next_request_and_gives_their_browser_another_secret(
    ada: FlaskClient, session: Session, database: Database, noor: StaffAccount
) -> None:
    theirs = ada.application.test_client()
    secret = sessions.start(session, noor, "127.0.0.1", "A browser")
    session.commit()
    theirs.set_cookie("staff_session", secret)
    assert theirs.get("/steps/new").status_code == 403
    post(ada, at(noor, "role"), row_version=1, role="manager")
    answer = theirs.get("/steps/new")
    assert answer.status_code == 200
    (cookie,) = [line for line in answer.headers.getlist("Set-Cookie") if line.startswith("staff_session=")]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    new = theirs.get_cookie("staff_session")
    assert new is not None
    assert new.value != secret
    assert not [line for line in theirs.get("/").headers.getlist("Set-Cookie") if line.startswith("staff_session=")]
    pass_time(session, UNDER_WAY + timedelta(seconds=1))
    thief = ada.application.test_client()
    thief.set_cookie("staff_session", secret)
    assert thief.get("/").status_code == 303
    assert theirs.get("/").status_code == 200


@pytest.mark.parametrize("address", ["/sign-in", "/sign-out"])
def test_signing_in_or_out_with_a_session_that_is_due_for_another_secret(
    ada: FlaskClient, session: Session, noor: StaffAccount, address: str
) -> None:
    theirs = ada.application.test_client()
    token = form_of(theirs.get("/sign-in"), "sign-in-form")["csrf_token"]
    theirs.set_cookie("staff_session", sessions.start(session, noor, "127.0.0.1", "A browser"))
    accounts.change_role(session, ADA, NOOR, Role.MANAGER)
    session.commit()
    given = {"csrf_token": token, "email": NOOR, "password": "correct horse battery"}
    assert theirs.post(address, data=given).status_code == 303
    assert theirs.get("/steps").status_code == (200 if address == "/sign-in" else 303)
    session.rollback()
    assert len(sessions.sessions_of(session, NOOR)) == (1 if address == "/sign-in" else 0)


@both
def test_an_account_is_disabled_and_enabled(ada: FlaskClient, session: Session, noor: StaffAccount, live: bool) -> None:
    tokens_of(session, noor, "hers")
    session.commit()
    assert "The API token they created, hers, is revoked too" in words(part(ada.get(at(noor)).text, "access-card"))
    answer = post(ada, at(noor, "disable"), live=live, row_version=1)
    page = is_done(ada, answer, noor, live=live, says="can no longer sign in. Revoked: hers.")
    assert "Disabled since just now" in words(part(page, "figure-state").partition("</div>")[0])
    assert 'data-testid="make-link"' not in page
    answer = post(ada, at(noor, "enable"), live=live, row_version=2)
    is_done(ada, answer, noor, live=live, says="noor@example.com can sign in again.")
    assert fresh(session, noor).disabled_at is None
    assert tokens.working_of(session, f"staff:{NOOR}") == []


@both
def test_another_role_asks_about_the_tokens_of_an_administrator_as_disabling_does(
    ada: FlaskClient, session: Session, live: bool
) -> None:
    ben = a_colleague(session, Role.ADMIN, "ben@example.com")
    assert "revoked too" not in words(part(ada.get(at(ben)).text, "role-form").partition("</form>")[0])
    tokens_of(session, ben, "his")
    session.commit()
    page = ada.get(at(ben)).text
    asked = [words(part(page, form).partition("</form>")[0]) for form in ("role-form", "access-card")]
    for said in (
        "The API token they created, his, is revoked too.",
        "may still know its secret",
        "One-time links they created stop working",
    ):
        assert all(said in one for one in asked)
    answer = post(ada, at(ben, "role"), live=live, row_version=1, role="viewer")
    page = is_done(
        ada, answer, ben, live=live, says="The admin's role is now Viewer, from their next click. Revoked: his."
    )
    assert "revoked too" not in words(part(page, "role-form").partition("</form>")[0])
    assert tokens.working_of(session, "staff:ben@example.com") == []


@pytest.mark.parametrize(("deed", "role"), [("disable", Role.SUPPORT), ("disable", Role.ADMIN), ("role", Role.ADMIN)])
def test_tokens_may_be_left_working(ada: FlaskClient, session: Session, deed: str, role: Role) -> None:
    noor = a_colleague(session, role)
    tokens_of(session, noor, "hers")
    session.commit()
    post(ada, at(noor, deed), row_version=1, keep_tokens="1", role="viewer")
    session.rollback()
    assert tokens.working_of(session, f"staff:{NOOR}") == ["hers"]


@both
def test_a_link_is_shown_once(ada: FlaskClient, session: Session, noor: StaffAccount, live: bool) -> None:
    answer = post(ada, at(noor, "link"), live=live, row_version=1)
    assert answer.status_code == 200
    secret = value_of(answer.text, "shown-link-value").partition("=")[2]
    session.rollback()
    assert links.opened(session, secret) is not None
    page = ada.get(at(noor)).text
    assert secret not in page
    assert "Link created by The admin just now." in words(part(page, "link-card"))


def test_an_invitation_is_renewed_or_withdrawn(ada: FlaskClient, session: Session) -> None:
    made = links.invite(session, ADA, email="iris@example.com", name="Iris", role=Role.VIEWER)
    session.commit()
    here = f"/settings/staff/{made.account.id}"
    page = ada.get(here).text
    assert "Invited by The admin just now." in words(part(page, "link-card"))
    assert 'data-testid="access-card"' not in page
    assert value_of(post(ada, f"{here}/link", row_version=1).text, "shown-link-value")
    session.rollback()
    assert links.opened(session, made.secret) is None
    answer = post(ada, f"{here}/withdraw")
    assert (answer.status_code, answer.location) == (303, "/settings/staff")
    assert "The invitation for iris@example.com was withdrawn." in words(ada.get("/settings/staff").text)
    assert ada.get(here).status_code == 404


def test_an_invitation_that_was_accepted_meanwhile_is_not_withdrawn(ada: FlaskClient, session: Session) -> None:
    made = links.invite(session, ADA, email="iris@example.com", name="Iris", role=Role.VIEWER)
    links.use(session, made.secret, "correct horse battery")
    session.commit()
    answer = post(ada, f"/settings/staff/{made.account.id}/withdraw")
    assert answer.status_code == 409
    assert "has accepted the invitation in the meantime" in words(part(answer.text, "form-problem"))


@both
def test_sessions_are_ended_one_by_one_or_all(
    ada: FlaskClient, session: Session, noor: StaffAccount, live: bool
) -> None:
    for number in range(3):
        sessions.start(session, noor, f"192.0.2.{number}", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0")
    session.commit()
    page = ada.get(at(noor)).text
    assert words(page).count("Firefox on Linux") == 6  # each once more in the name of its button
    one = re.findall(r'name="session" value="([0-9a-f]{64})"', page)[0]
    answer = post(ada, at(noor, "sessions/end"), live=live, session=one)
    is_done(ada, answer, noor, live=live, says="Session ended.")
    answer = post(ada, at(noor, "sessions/end"), live=live, session=one)
    is_done(ada, answer, noor, live=live, says="already ended")
    answer = post(ada, at(noor, "sessions/end-all"), live=live)
    page = is_done(ada, answer, noor, live=live, says="2 sessions ended.")
    assert "No open sessions" in page
    assert actions(session)[-2:] == ["staff.sessions_ended"] * 2


def test_a_session_of_somebody_else_is_not_ended_from_here(
    ada: FlaskClient, session: Session, noor: StaffAccount
) -> None:
    own = session.scalars(select(StaffSession.id)).one()
    post(ada, at(noor, "sessions/end"), session=own)
    assert ada.get(at(noor)).status_code == 200


def test_the_page_takes_as_many_queries_however_much_there_is(
    ada: FlaskClient, session: Session, noor: StaffAccount
) -> None:
    def more() -> None:
        for number in range(10):
            sessions.start(session, noor, "192.0.2.1", "A browser")
            tokens_of(session, noor, f"token {number}")
        session.commit()

    assert same_however_much_there_is(ada, at(noor), more) <= 8


# One's own -----------------------------------------------------------------------------------------------------------


def own(session: Session) -> StaffAccount:
    return session.scalars(select(StaffAccount).where(StaffAccount.email == "admin@staff.example")).one()


def test_ones_own_page_has_nothing_to_lock_oneself_out_with(ada: FlaskClient, session: Session) -> None:
    a_colleague(session, Role.ADMIN)
    page = ada.get(at(own(session))).text
    assert "Ask another administrator" in words(part(page, "own-account"))
    for testid in ("role-form", "access-card", "link-card", "end-session"):
        assert f'data-testid="{testid}"' not in page
    assert "This browser" in page


def test_whoever_is_the_only_administrator_is_sent_to_no_other(ada: FlaskClient, session: Session) -> None:
    """One of a demo that was is none, nor is one who has not come yet."""
    add_accounts(session)
    links.invite(session, ADA, email="iris@example.com", name="Iris", role=Role.ADMIN)
    session.commit()
    told = words(part(ada.get(at(own(session))).text, "own-account"))
    assert "another administrator" not in told
    assert "dashboard user role admin@staff.example" in told


@pytest.mark.parametrize("deed", ["role", "disable", "link"])
def test_a_form_for_oneself_that_was_put_together_by_hand_is_refused(
    ada: FlaskClient, session: Session, deed: str
) -> None:
    a_colleague(session, Role.ADMIN)
    answer = post(ada, at(own(session), deed), row_version=1, role="viewer")
    assert answer.status_code == 409
    assert 'data-testid="form-problem"' in answer.text
    assert (fresh(session, own(session)).role, own(session).disabled_at) == ("admin", None)
    assert actions(session) == []


def test_ending_all_of_ones_own_leaves_this_one(ada: FlaskClient, session: Session) -> None:
    sessions.start(session, own(session), "192.0.2.1", "A browser")
    session.commit()
    answer = post(ada, at(own(session), "sessions/end-all"))
    assert answer.status_code == 303
    assert "1 session ended." in words(ada.get(at(own(session))).text)


# Two administrators at once ------------------------------------------------------------------------------------------


@both
def test_who_comes_second_sees_what_the_other_did(
    ada: FlaskClient, session: Session, noor: StaffAccount, live: bool
) -> None:
    a_colleague(session, Role.ADMIN, "ben@example.com")
    opened = form_of(ada.get(at(noor)), "role-form")
    accounts.change_role(session, OTHER, NOOR, Role.VIEWER)
    session.commit()
    answer = post(ada, at(noor, "role"), live=live, **(opened | {"role": "manager"}))
    assert answer.status_code == 409
    panel = words(part(answer.text, "stale-account-panel").partition("</form>")[0])
    assert "This account changed while you had it open" in panel
    assert "Role changed The admin, just now Support agent to Viewer" in panel
    assert fresh(session, noor).role == "viewer"

    again = form_of(answer, "stale-account-form")
    assert again["role"] == "manager"
    answer = post(ada, at(noor, "role"), live=live, **again)
    is_done(ada, answer, noor, live=live, says="The support's role is now Onboarding manager")
    assert fresh(session, noor).role == "manager"


@pytest.mark.parametrize(
    ("deed", "wanted"),
    [
        ("disable", "Disable the account"),
        ("link", "Create a new link"),
        ("role", "Change the role to Onboarding manager"),
    ],
)
def test_it_can_be_done_all_the_same_or_left(
    ada: FlaskClient, session: Session, noor: StaffAccount, deed: str, wanted: str
) -> None:
    accounts.change_role(session, OTHER, NOOR, Role.VIEWER)
    session.commit()
    page = post(ada, at(noor, deed), row_version=1, role="manager").text
    assert words(part(page, "do-mine").partition("</button>")[0]).endswith(f"{wanted} anyway")
    assert f'href="{at(noor)}" data-testid="leave-as-is"' in page


def test_what_was_wanted_can_become_stale_again(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    accounts.change_role(session, OTHER, NOOR, Role.VIEWER)
    session.commit()
    again = form_of(post(ada, at(noor, "disable"), row_version=1, keep_tokens="1"), "stale-account-form")
    assert again["keep_tokens"] == "1"
    accounts.disable(session, OTHER, NOOR)
    accounts.enable(session, OTHER, NOOR)
    session.commit()
    answer = post(ada, at(noor, "disable"), **again)
    assert answer.status_code == 409
    told = words(part(answer.text, "stale-account-changes").partition("</ol>")[0])
    assert told.index("Disabled") < told.index("Enabled again")
    assert fresh(session, noor).disabled_at is None


def test_what_is_so_already_is_simply_done(ada: FlaskClient, session: Session, noor: StaffAccount) -> None:
    accounts.change_role(session, OTHER, NOOR, Role.VIEWER)
    session.commit()
    assert post(ada, at(noor, "role"), row_version=1, role="viewer").status_code == 303


@pytest.mark.parametrize("row_version", ["", "x", "0", "-1", "1.0", "9" * 30])
def test_a_form_that_no_page_gave_out_is_refused(
    ada: FlaskClient, session: Session, noor: StaffAccount, row_version: str
) -> None:
    answer = post(ada, at(noor, "role"), row_version=row_version, role="viewer")
    assert answer.status_code == 422
    assert "Open the page again." in words(answer.text)
    assert fresh(session, noor).role == "support"


@pytest.mark.parametrize("live", [False, True])
def test_a_role_that_there_is_not_is_refused(
    ada: FlaskClient, session: Session, noor: StaffAccount, live: bool
) -> None:
    answer = post(ada, at(noor, "role"), live=live, row_version=1, role="boss")
    assert answer.status_code == 422
    assert "Choose a role." in words(answer.text)


@pytest.mark.parametrize("deed", ["role", "disable", "enable", "link", "withdraw", "sessions/end", "sessions/end-all"])
def test_an_account_that_is_gone_is_not_found(ada: FlaskClient, deed: str) -> None:
    for account_id in ("999", str(2**31), str(2**80)):
        answer = post(ada, f"/settings/staff/{account_id}/{deed}", row_version=1, role="viewer")
        assert answer.status_code == 404
    assert ada.get("/settings/staff/999", headers=HTMX).status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT, Role.MANAGER])
def test_nobody_else_sees_or_does_any_of_it(
    client: FlaskClient, session: Session, database: Database, role: Role
) -> None:
    noor = a_colleague(session)
    sign_in_as(client, database, role)
    assert "/settings/staff" not in client.get("/settings/account").text
    for address in ("/settings/staff", "/settings/staff/invite", at(noor), "/settings/tokens"):
        assert client.get(address).status_code == 403
    for deed in ("role", "disable", "enable", "link", "withdraw", "sessions/end-all"):
        assert post(client, at(noor, deed), row_version=1, role="admin").status_code == 403
    assert queries(client, "/settings/account") <= 5
    assert set(actions(session)) == {"access.refused"}
