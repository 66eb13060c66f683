"""Everybody's own account: name, password, and the browsers in which they are signed in."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import SignInFailure, StaffAccount, StaffSession
from dashboard.staff import passwords, sessions, sign_in
from dashboard.staff.permissions import Role
from dashboard.staff.sign_in import FREE_PER_ACCOUNT
from dashboard.web.browsers import browser_called
from tests.conftest import csrf_token
from tests.staff.signed_in import PASSWORD, email_of, sign_in_as
from tests.web.desk import HOSTILE, part, same_however_much_there_is, words
from tests.web.settings import actions, fresh, post

INES = email_of(Role.VIEWER)
NEW = "another battery horse"
HERE = "/settings/account"
both = pytest.mark.parametrize("live", [False, True], ids=["plain", "htmx"])


@pytest.fixture
def ines(viewer: FlaskClient) -> FlaskClient:
    """Her browser: whoever signs in has an account of their own."""
    return viewer


@pytest.fixture
def account(ines: FlaskClient, session: Session) -> StaffAccount:
    """Her account."""
    return session.scalars(select(StaffAccount)).one()


def elsewhere(session: Session, account: StaffAccount, count: int = 1) -> None:
    for number in range(count):
        sessions.start(session, account, f"192.0.2.{number}", "Mozilla/5.0 (Windows NT 10.0) Firefox/140.0")
    session.commit()


def test_everybody_has_a_page_of_their_own(client: FlaskClient, database: Database) -> None:
    for role in Role:
        email = sign_in_as(client, database, role)
        page = client.get(HERE).text
        assert f"{email}, {role.title}" in words(page)
        assert f'href="{HERE}"' in part(page, "find-person")
        assert ("Staff API tokens Your account" in words(part(page, "settings-tabs"))) is (role is Role.ADMIN)


# Name ----------------------------------------------------------------------------------------------------------------


def test_a_new_name_is_shown_at_once(ines: FlaskClient) -> None:
    answer = post(ines, f"{HERE}/name", name=" Inés Varga ")
    assert (answer.status_code, answer.location) == (303, HERE)
    page = ines.get(HERE).text
    assert "Your name is now Inés Varga." in words(page)
    assert "Inés Varga" in words(part(page, "account"))


@pytest.mark.parametrize("name", ["", " ", "a" * 201, "a\tb", "\u200b", "a\x85b"])
def test_a_bad_name_stays_in_the_form(ines: FlaskClient, session: Session, account: StaffAccount, name: str) -> None:
    answer = post(ines, f"{HERE}/name", name=name)
    assert answer.status_code == 422
    assert 'data-testid="name-error"' in part(answer.text, "own-name").partition("</form>")[0]
    assert f'value="{name}"' in answer.text
    assert fresh(session, account).name == "The viewer"


def test_markup_in_a_name_is_text(ines: FlaskClient) -> None:
    post(ines, f"{HERE}/name", name=HOSTILE)
    page = ines.get(HERE).text
    assert "<script>alert" not in page
    assert page.count("&lt;script&gt;alert(1)") == 3


# Password ------------------------------------------------------------------------------------------------------------


def test_a_new_password_signs_out_everywhere_else(ines: FlaskClient, session: Session, account: StaffAccount) -> None:
    elsewhere(session, account, 2)
    before = ines.get_cookie("staff_session")
    answer = post(ines, f"{HERE}/password", old_password=PASSWORD, password=NEW, password_again=NEW)
    assert (answer.status_code, answer.location) == (303, HERE)
    after = ines.get_cookie("staff_session")
    assert before is not None
    assert after is not None
    assert after.value != before.value
    assert "Your password was changed. You are signed out everywhere else." in words(ines.get(HERE).text)
    assert passwords.matches(fresh(session, account).password_hash, NEW)
    assert [one.is_current for one in sessions.sessions_of(session, INES, after.value)] == [True]
    assert actions(session) == ["staff.password_changed", "staff.sessions_ended"]


@pytest.mark.parametrize(
    ("old", "new", "again", "field"),
    [
        ("", NEW, NEW, "old_password"),
        (PASSWORD, "short", "short", "password"),
        (PASSWORD, "x" * 201, "x" * 201, "password"),
        (PASSWORD, "password123", "password123", "password"),
        (PASSWORD, "The viewer 1", "The viewer 1", "password"),
        (PASSWORD, PASSWORD, PASSWORD, "password"),
        (PASSWORD, NEW, NEW + "x", "password_again"),
        (PASSWORD, NEW, "", "password_again"),
        ("not the password", NEW, NEW, "old_password"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_no_password_comes_back(
    ines: FlaskClient, session: Session, account: StaffAccount, old: str, new: str, again: str, field: str
) -> None:
    answer = post(ines, f"{HERE}/password", old_password=old, password=new, password_again=again)
    assert answer.status_code == 422
    card = part(answer.text, "own-password").partition("</form>")[0]
    assert f'data-testid="{field}-error"' in card
    assert card.count('-error" data-testid') == 1
    for typed in (old, new, again):
        assert not typed or typed not in answer.text
    assert passwords.matches(fresh(session, account).password_hash, PASSWORD)


def test_a_session_that_has_ended_keeps_no_password_on_the_page(ines: FlaskClient) -> None:
    token = csrf_token(ines.get(HERE).text)
    ines.delete_cookie("staff_session")
    given = {"csrf_token": token, "old_password": PASSWORD, "password": NEW, "password_again": NEW}
    answer = ines.post(f"{HERE}/password", data=given)
    assert answer.status_code == 401
    assert PASSWORD not in answer.text
    assert NEW not in answer.text


def test_only_a_wrong_password_counts_as_a_guess(ines: FlaskClient, session: Session) -> None:
    post(ines, f"{HERE}/password", old_password=PASSWORD, password="short", password_again="short")
    assert session.scalar(select(func.count()).select_from(SignInFailure)) == 0
    session.rollback()
    post(ines, f"{HERE}/password", old_password="not the password", password=NEW, password_again=NEW)
    assert session.scalar(select(func.count()).select_from(SignInFailure)) == 1
    assert actions(session) == ["staff.password_refused"]


def test_guessing_gets_429_with_the_seconds_to_wait(
    ines: FlaskClient, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "FIRST_DELAY", sign_in.LONGEST_DELAY)
    session.add_all(SignInFailure(email=INES, address="127.0.0.1") for _ in range(FREE_PER_ACCOUNT))
    session.commit()
    answer = post(ines, f"{HERE}/password", old_password=PASSWORD, password=NEW, password_again=NEW)
    assert answer.status_code == 429
    assert 1 <= int(answer.headers["Retry-After"]) <= sign_in.LONGEST_DELAY.total_seconds()
    assert "Try again in" in words(part(answer.text, "old_password-error"))
    assert actions(session) == []


# Sessions ------------------------------------------------------------------------------------------------------------


def test_ones_own_sessions_are_listed_this_browser_marked(
    ines: FlaskClient, session: Session, account: StaffAccount
) -> None:
    elsewhere(session, account)
    card = part(ines.get(HERE).text, "sessions").partition("</section>")[0]
    assert words(card).count("This browser") == 1
    assert "Firefox on Windows 192.0.2.0" in words(card)
    assert card.count('data-testid="end-session"') == 1


def test_of_very_many_some_are_listed_this_browser_among_them(
    ines: FlaskClient, session: Session, account: StaffAccount
) -> None:
    elsewhere(session, account, sessions.LISTED + 5)
    session.execute(update(StaffSession).where(StaffSession.address != "").values(last_seen_at=func.now()))
    session.commit()
    card = part(ines.get(HERE).text, "sessions").partition("</section>")[0]
    assert words(card).count("This browser") == 1
    assert card.count('data-testid="session-row-') == sessions.LISTED
    assert f"{sessions.LISTED} of {sessions.LISTED + 6} open sessions" in words(card)
    post(ines, f"{HERE}/sessions/end-others")
    assert f"{sessions.LISTED + 5} sessions ended." in words(ines.get(HERE).text)


@both
def test_one_is_ended(ines: FlaskClient, session: Session, account: StaffAccount, live: bool) -> None:
    elsewhere(session, account, 2)
    one = next(one.id for one in sessions.sessions_of(session, INES) if one.address == "192.0.2.1")
    session.rollback()
    answer = post(ines, f"{HERE}/sessions/end", live=live, session=one)
    if live:
        assert answer.status_code == 200
        assert answer.text.lstrip().startswith('<section class="card" id="sessions"')
        assert "data-focus" in answer.text
    else:
        assert (answer.status_code, answer.location) == (303, f"{HERE}#sessions")
    page = answer.text if live else ines.get(HERE).text
    assert "Session ended." in words(page)
    assert "192.0.2.1" not in page
    assert "192.0.2.0" in page
    again = post(ines, f"{HERE}/sessions/end", live=live, session=one)
    assert "already ended" in words(again.text if live else ines.get(HERE).text)


@both
def test_all_others_are_ended(ines: FlaskClient, session: Session, account: StaffAccount, live: bool) -> None:
    elsewhere(session, account, 2)
    answer = post(ines, f"{HERE}/sessions/end-others", live=live)
    page = answer.text if live else ines.get(HERE).text
    assert "2 sessions ended." in words(page)
    assert 'data-testid="end-sessions"' not in page
    session.rollback()
    assert len(sessions.sessions_of(session, INES)) == 1


@pytest.mark.parametrize("given", ["", "x", "é", "' OR 1=1 --"])
def test_only_ones_own_are_ended(
    ines: FlaskClient, session: Session, database: Database, account: StaffAccount, given: str
) -> None:
    other = ines.application.test_client()
    sign_in_as(other, database, Role.ADMIN)
    theirs = session.scalars(select(StaffSession.id).where(StaffSession.account_id != account.id)).one()
    for session_id in (theirs, given):
        assert post(ines, f"{HERE}/sessions/end", session=session_id).status_code == 303
    post(ines, f"{HERE}/sessions/end-others")
    assert other.get(HERE).status_code == 200
    assert actions(session) == []


def test_the_page_takes_as_many_queries_however_many_sessions_there_are(
    ines: FlaskClient, session: Session, account: StaffAccount
) -> None:
    assert same_however_much_there_is(ines, HERE, lambda: elsewhere(session, account, 20)) <= 5


@pytest.mark.parametrize(
    ("user_agent", "called"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/141.0 Safari/537.36 Edg/141.0", "Edge on Windows"),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on macOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) CriOS/141.0 Mobile Safari/604.1", "Chrome on iPhone"),
        ("Mozilla/5.0 (Linux; Android 15) Chrome/141.0 Mobile Safari/537.36", "Chrome on Android"),
        ("curl/8.11.0", "curl/8.11.0"),
        ("x" * 300, "x" * 40),
        ("", "Unknown browser"),
    ],
)
def test_a_browser_is_called_by_its_name(user_agent: str, called: str) -> None:
    assert browser_called(user_agent) == called
