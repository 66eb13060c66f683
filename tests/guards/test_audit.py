"""Whatever is done or refused on a page is written down: every route that takes a form is used once, and refused once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from werkzeug.test import TestResponse

from dashboard.database import Database
from dashboard.models import AuditEntry, StaffAccount
from dashboard.onboarding import bulk_changes
from dashboard.onboarding.actor import Actor
from dashboard.staff import links, sessions, standing
from dashboard.staff.permissions import PERMISSIONS, Permission, Role
from dashboard.web.activity_wording import SENTENCES
from tests import factories
from tests.conftest import csrf_token
from tests.factories import ANNA, BEN, OTHER, STEP
from tests.security.world import GONE, INVITED, Form, World, forms_of, furnish
from tests.staff.signed_in import PASSWORD, email_of, sign_in_as

ADMIN = f"staff:{email_of(Role.ADMIN)}"
SUPPORT = email_of(Role.SUPPORT)
NEW_PASSWORD = "another password"

NOT_WRITTEN_DOWN = {
    "theme.choose": "changes a cookie of one's own browser",
    "presence.heard": "says that a form is still open, every few seconds",
    "presence.left": "says that a form was closed",
    "bulk.create": "prepares a bulk change: nobody's step is touched before it is carried out",
    "bulk.again": "prepares one for those who had moved",
    "bulk.instead": "prepares one that sets something else",
}
"""The routes whose use leaves no entry, and why."""

ELSEWHERE = {"provider.connect_post": ("tests/staff/test_provided.py", "staff.connected")}
"""What takes more than a form: the test that uses it, and the entry that it looks for there."""


@dataclass(frozen=True, slots=True)
class Use:
    """A use of a route that succeeds: the form of a page, filled in. `by` is who the entry says it was."""

    endpoint: str
    page: str
    filled: Mapping[str, str] = field(default_factory=dict)
    by: str = ADMIN
    action: str = ""


# in an order in which each finds what it needs; {support}, {invited}, {bulk} ... are numbers of the world
USES = (
    Use("steps.create", "/steps/new", {"step_id": "third", "title": "A third step"}),
    Use("steps.reorder", "/steps", {"up": OTHER}),
    Use("drafts.save", f"/steps/{STEP}/draft", {"title": "In yet other words"}),
    Use("releases.confirm", f"/steps/{STEP}/release", {"note": "It reads better."}, action=f"/steps/{STEP}/release"),
    Use("releases.confirm", f"/steps/{STEP}/rollback", action=f"/steps/{STEP}/rollback"),
    Use("drafts.start", f"/steps/{OTHER}"),
    Use("drafts.discard", f"/steps/{OTHER}/draft"),
    Use("releases.confirm", f"/steps/{OTHER}/withdraw", action=f"/steps/{OTHER}/withdraw"),
    Use("releases.confirm", f"/steps/{GONE}/restore", action=f"/steps/{GONE}/restore"),
    Use("people.save", f"/people/{ANNA}", {f"status.{STEP}": "done"}, action=f"/people/{ANNA}/steps/{STEP}"),
    Use("people.save_all", f"/people/{ANNA}", {f"status.{STEP}": "skipped"}),
    Use("bulk.carry_on", "/bulk-changes/{bulk}"),
    Use("erasure.erase", f"/people/{BEN}/erase", {"typed": BEN}),
    Use("settings.rename", "/settings/account", {"name": "Ada Whitfield"}),
    Use("settings.end_session", "/settings/account"),
    Use("settings.end_other_sessions", "/settings/account"),
    Use(
        "settings.change_password",
        "/settings/account",
        {"old_password": PASSWORD, "password": NEW_PASSWORD, "password_again": NEW_PASSWORD},
    ),
    Use("staff.invite_post", "/settings/staff/invite", {"name": "Iris", "email": "iris@x.org", "role": "viewer"}),
    Use("staff.end_session", "/settings/staff/{support}"),
    Use("staff.end_sessions", "/settings/staff/{support}"),
    Use("staff.change_role", "/settings/staff/{support}", {"role": "manager"}),
    Use("staff.make_link", "/settings/staff/{support}"),
    Use("staff.disable", "/settings/staff/{support}"),
    Use("staff.enable", "/settings/staff/{support}"),
    Use("staff.withdraw", "/settings/staff/{invited}"),
    Use("tokens.create", "/settings/tokens/new", {"name": "warehouse", "scopes": "steps:read", "expires": "never"}),
    Use("tokens.revoke", "/settings/tokens/{token}/revoke"),
    Use("session.sign_out", "/settings/account"),
    Use(
        "password_links.choose",
        "/set-password?link={link}",
        {"password": NEW_PASSWORD, "password_again": NEW_PASSWORD},
        by=f"staff:{SUPPORT}",
    ),
    Use("session.sign_in_post", "/sign-in", {"email": email_of(Role.ADMIN), "password": NEW_PASSWORD}),
)


@pytest.fixture
def app(app: Flask) -> Flask:
    """The app as in production: what fails is a page."""
    app.testing = False
    return app


@pytest.fixture
def world(session: Session) -> World:
    """One more of what the uses need: a step that can be withdrawn, sessions that can be ended."""
    made = furnish(session)
    factories.a_step(session, "fourth-step")
    for account in session.scalars(select(StaffAccount).where(StaffAccount.role.in_(("admin", "support")))):
        for _ in range(3):
            sessions.start(session, account, "192.0.2.7", "A browser")
    session.commit()
    return made


def numbers(session: Session) -> dict[str, object]:
    """What the addresses of the uses are completed with."""
    by_email = {account.email: account.id for account in session.scalars(select(StaffAccount))}
    made = bulk_changes.create(session, Actor(ADMIN), [ANNA], STEP, "todo", "All of them.")
    found = {"support": by_email[SUPPORT], "invited": by_email[INVITED], "bulk": made, "token": 1}
    session.commit()
    return found


def form_for(client: FlaskClient, use: Use, page: str, action: str) -> Form:
    """The form of the page that is sent to the route."""
    found = forms_of(client.get(page).text, page)
    fitting = [form for form in found if form.action == action and set(use.filled) <= set(form.names)]
    assert fitting, f"{use.endpoint}: {page} has no form for {action}, but {[form.action for form in found]}"
    return fitting[0]


def entries(session: Session) -> Counter[tuple[str, str]]:
    """Who did what, of both logs, and how often."""
    session.rollback()
    written = text("SELECT actor, 'status.change' FROM user_step_events UNION ALL SELECT actor, action FROM audit_log")
    return Counter((actor, action) for actor, action in session.execute(written))


def test_every_route_that_takes_a_form_is_told_of_here(app: Flask, world: World) -> None:
    # counted, because one view can serve several addresses
    there = Counter(route.endpoint for route, _ in world.posts(app))
    told = Counter([*(use.endpoint for use in USES), *NOT_WRITTEN_DOWN, *ELSEWHERE])
    assert there <= told, (
        f"Nobody knows whether these are written down: {sorted(there - told)}. Add a Use of each, or the reason why it is "
        "not written down."
    )
    assert told <= there, f"these are no routes any more: {sorted(told - there)}"
    assert not {use.endpoint for use in USES} & set(NOT_WRITTEN_DOWN)


def test_whatever_is_done_is_written_down(
    app: Flask, client: FlaskClient, database: Database, world: World, session: Session
) -> None:
    sign_in_as(client, database, Role.ADMIN)
    given, wrong = numbers(session), []
    for use in USES:
        if use.endpoint == "password_links.choose":
            given["link"] = links.make(session, Actor("system:test"), SUPPORT).secret
            session.commit()
        before = entries(session)
        page = use.page.format(**given)
        answer = send(app, client, use, page)
        added = entries(session) - before
        if answer.status_code not in (200, 303) or not any(actor == use.by for actor, _ in added):
            wrong.append(f"{use.endpoint} answered {answer.status_code} and left {dict(added)}")
        if unknown := {action for _, action in added} - set(SENTENCES) - {"status.change"}:
            wrong.append(f"{use.endpoint} left what the page of activity has no words for: {unknown}")
    assert not wrong, "\n".join(wrong)


def send(app: Flask, client: FlaskClient, use: Use, page: str) -> TestResponse:
    """The use, as a browser would do it."""
    rule = next(rule for rule in app.url_map.iter_rules(use.endpoint) if "POST" in (rule.methods or ()))
    _, names = app.url_map.bind("localhost").match(page.partition("?")[0])
    action = use.action or (rule.build({name: names[name] for name in rule.arguments}) or ("", ""))[1]
    form = form_for(client, use, page, action)
    return client.post(action, data=MultiDict(form.sent(**use.filled)), headers={"Referer": "http://localhost/"})


@pytest.mark.parametrize("endpoint", NOT_WRITTEN_DOWN)
def test_each_exception_says_why(endpoint: str) -> None:
    assert len(NOT_WRITTEN_DOWN[endpoint].split()) > 4


@pytest.mark.parametrize("endpoint", ELSEWHERE)
def test_what_is_used_elsewhere_is_looked_for_there(endpoint: str) -> None:
    name, action = ELSEWHERE[endpoint]
    assert f'"{action}"' in (Path(__file__).parents[2] / name).read_text()


# Refusals ------------------------------------------------------------------------------------------------------------


def test_whatever_is_refused_to_a_role_is_written_down(
    app: Flask, database: Database, world: World, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standing, "NOTED_A_MINUTE", 10_000)
    app.config["WTF_CSRF_ENABLED"] = False
    wrong = []
    for role in Role:
        client = app.test_client()
        sign_in_as(client, database, role)
        for method in ("GET", "POST"):
            for route, path in world.addresses(app, method):
                if not isinstance(route.need, Permission) or route.need in PERMISSIONS[role]:
                    continue
                answer = client.open(path, method=method)
                session.rollback()
                newest = session.scalars(select(AuditEntry).order_by(AuditEntry.id.desc())).first()
                expected = (f"staff:{email_of(role)}", "access.refused", {"request": [None, f"{method} {route.rule}"]})
                told = newest and (newest.actor, newest.action, newest.changes)
                if answer.status_code != 403 or told != expected:
                    wrong.append(f"{role.value}: {method} {path} answered {answer.status_code} and left {told}")
    assert not wrong, "\n".join(wrong)


REFUSED = {
    "sign_in.refused": ("/sign-in", {"email": SUPPORT, "password": "not the password"}),
    "staff.link_refused": ("/set-password", {"link": "x", "password": NEW_PASSWORD, "password_again": NEW_PASSWORD}),
    "staff.password_refused": (
        "/settings/account/password",
        {"old_password": "not the password", "password": NEW_PASSWORD, "password_again": NEW_PASSWORD},
    ),
}


@pytest.mark.parametrize("action", REFUSED)
def test_whoever_gives_a_wrong_password_or_link_is_written_down(
    client: FlaskClient, database: Database, world: World, session: Session, action: str
) -> None:
    page, filled = REFUSED[action]
    if action == "staff.password_refused":
        sign_in_as(client, database, Role.ADMIN)
    token = csrf_token(client.get("/settings/account" if action == "staff.password_refused" else "/sign-in").text)
    before = entries(session)
    assert client.post(page, data={"csrf_token": token, **filled}).status_code in (404, 422)
    ((_, told),) = entries(session) - before
    assert told == action


# The log itself ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["audit_log", "user_step_events", "write_conflicts"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET actor = 'nobody'", "DELETE FROM {}", "UPDATE {} SET at = now()", "TRUNCATE {}"]
)
def test_no_log_is_rewritten(session: Session, world: World, table: str, change: str) -> None:
    assert session.scalar(text(f"SELECT count(*) FROM {table}"))
    with pytest.raises(DBAPIError, match="is append-only"):
        session.execute(text(change.format(table)))
