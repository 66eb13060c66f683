"""A furnished installation, the address of each of its routes, and the forms of its pages as a browser would send them.

Everything is found by walking: a route or a form that is new is covered without anybody thinking of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from html import unescape
from html.parser import HTMLParser
from itertools import product
from urllib.parse import parse_qsl, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from dashboard.models import ApiToken, BulkChange, StaffAccount, User
from dashboard.onboarding import bulk_changes, presence, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Conflict
from dashboard.onboarding.progress import save
from dashboard.staff import accounts, links, sessions, sign_in, tokens
from dashboard.staff.accounts import actor_key
from dashboard.staff.permissions import ByToken, Permission, Role, Scope
from tests import factories
from tests.factories import ANNA, BEN, OTHER, SAM, STEP
from tests.guards.permissions_table import Route, routes
from tests.staff.signed_in import email_of, make_account

GONE = "withdrawn-step"
INVITED, LEFT = "invited@staff.example", "left@staff.example"


@dataclass(frozen=True, slots=True)
class World:
    """What a furnished database holds: for each name in an address, what stands there."""

    values: Mapping[str, Sequence[object]]
    secret: str

    def addresses(self, app: Flask, method: str) -> Iterator[tuple[Route, str]]:
        """Every route that takes the method, with each of its addresses, the usual one first.

        A name that is new in an address has to be given values in `furnish`.
        """
        for route in routes(app):
            if method in route.methods:
                rule = next(rule for rule in app.url_map.iter_rules(route.endpoint) if rule.rule == route.rule)
                names = sorted(rule.arguments)
                for values in product(*(self.values[name] for name in names)):
                    built = rule.build(dict(zip(names, values, strict=True)))
                    assert built, route
                    yield route, built[1]

    def posts(self, app: Flask) -> list[tuple[Route, str]]:
        """Every page's route that takes a form, with its usual address."""
        found = [(route, path) for route, path in self.addresses(app, "POST") if not isinstance(route.need, ByToken)]
        return list({route: (route, path) for route, path in reversed(found)}.values())[::-1]


def furnish(session: Session) -> World:
    """Something of everything, so that requests get past what is not there. Commits."""
    for role in Role:
        make_account(session, role)
    for role, actor in ((Role.MANAGER, factories.MAYA), (Role.SUPPORT, SAM)):
        make_account(session, role, actor.key.removeprefix("staff:"))
    for step_id in (STEP, OTHER, GONE):
        factories.a_step(session, step_id, action_url="/settings/payments")
    for user_id in (ANNA, BEN):
        factories.a_person(session, user_id)
    factories.a_save(session, "in_progress")
    factories.a_save(session, "done", BEN, comment="By phone.")
    factories.a_release(session)
    factories.a_draft(session, title="In other words")
    releases.withdraw(session, factories.MAYA, GONE)
    session.commit()
    with suppress(Conflict):
        save(session, SAM, BEN, STEP, "skipped", 1)
    factories.a_save(session, "in_progress", BEN, OTHER)
    secret = furnish_desk(session, Actor(actor_key(email_of(Role.ADMIN))), OTHER)
    session.commit()
    return World(values_of(session, [STEP, GONE], [ANNA]), secret)


def furnish_desk(session: Session, admin: Actor, step_id: str) -> str:
    """Bulk changes, tokens, invitations, a draft that somebody else has open too. The secret of a token."""
    people = list(session.scalars(select(User.user_id).order_by(User.user_id).limit(3)))
    over = bulk_changes.create(session, admin, people, step_id, "done", "All of them.")
    factories.a_save(session, "in_progress", people[0], step_id)
    bulk_changes.carry_on(session, admin, over)
    bulk_changes.create(session, admin, people, step_id, "skipped", "All of them.")
    made = [tokens.create(session, admin, name=name, scopes=list(Scope)) for name in ("shop", "gone")]
    tokens.revoke(session, admin, "gone")
    links.invite(session, admin, email=INVITED, name="Invited", role=Role.SUPPORT)
    left = make_account(session, Role.VIEWER, LEFT)
    sessions.start(session, left, "192.0.2.1", "a browser of its own kind")
    sign_in.admit(session, LEFT, "192.0.2.1")
    accounts.disable(session, admin, LEFT)
    for step in steps.checklist(session):
        if step.draft:
            presence.beat(session, Actor(actor_key(LEFT)), step.step_id, step.draft.row_version)
    return made[0].secret


def values_of(session: Session, step_ids: Sequence[str], user_ids: Sequence[str]) -> dict[str, Sequence[object]]:
    """For each name in an address, what the database has."""
    return {
        "step_id": step_ids,
        "user_id": user_ids,
        "operation": ["release"],
        "number": [1],
        "bulk_id": list(session.scalars(select(BulkChange.id).order_by(BulkChange.id.desc()))),
        "account_id": list(
            session.scalars(select(StaffAccount.id).where(StaffAccount.role != Role.ADMIN).order_by(StaffAccount.id))
        ),
        "token_id": list(session.scalars(select(ApiToken.id).order_by(ApiToken.id))),
        "filename": ["css/app.css"],
        "version": ["0123456789abcdef"],
    }


# Forms ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Form:
    """A form as a page gave it out: where it is sent, and the fields as they came."""

    action: str
    fields: tuple[tuple[str, str], ...]
    more: tuple[str, ...] = ()
    """Fields that are sent only where they are chosen."""

    @property
    def names(self) -> list[str]:
        """The names of its fields, each once."""
        return list(dict.fromkeys([*(name for name, _ in self.fields), *self.more]))

    def sent(self, **changes: object) -> MultiDict[str, str]:
        """What would be sent, with other values in the fields that are named; one that it has not is added."""
        kept = [(name, value) for name, value in self.fields if name not in changes]
        return MultiDict([*kept, *((name, str(value)) for name, value in changes.items())])


@dataclass
class _Open:
    action: str
    posts: bool
    fields: list[tuple[str, str]] = field(default_factory=list)
    ways: list[tuple[str, str, str]] = field(default_factory=list)


class _Forms(HTMLParser):
    """Collects the forms of a page, with the fields that belong to them from elsewhere on it."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.forms: dict[str, _Open] = {}
        self.around = self.select = self.textarea = ""
        self.chosen: str | None = None
        self.elsewhere: list[tuple[str, str, str]] = []
        self.optional: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        name, value, of_form = given.get("name", ""), given.get("value", ""), given.get("form", self.around)
        match tag:
            case "form":
                self.around = given.get("id") or f"form {len(self.forms)}"
                posts = given.get("method", "get").lower() == "post"
                self.forms[self.around] = _Open(given.get("action") or self.path, posts)
            case "input" if name and given.get("type") in ("radio", "checkbox") and "checked" not in given:
                self.optional.append((of_form, name))
            case "input" if name:
                self.elsewhere.append((of_form, name, value))
            case "button" if name or "formaction" in given:
                self.elsewhere.append((of_form, f"\0{given.get('formaction', '')}\0{name}", value))
            case "textarea":
                self.textarea = name
                self.elsewhere.append((of_form, name, ""))
            case "select":
                self.select, self.chosen = name, None
                self.elsewhere.append((of_form, name, ""))
            case "option" if self.select and ("selected" in given or self.chosen is None):
                self.chosen = value
                of_form, name, _ = self.elsewhere[-1]
                self.elsewhere[-1] = (of_form, name, value)

    def handle_data(self, data: str) -> None:
        if self.textarea:
            of_form, name, value = self.elsewhere[-1]
            self.elsewhere[-1] = (of_form, name, value + data.removeprefix("\n"))

    def handle_endtag(self, tag: str) -> None:
        match tag:
            case "form":
                self.around = ""
            case "textarea":
                self.textarea = ""
            case "select":
                self.select = ""

    def posted(self) -> Iterator[Form]:
        """Each form that is posted; where buttons send it elsewhere or say something, once more for each of them."""
        fields: dict[str, list[tuple[str, str]]] = {name: [] for name in self.forms}
        buttons: dict[str, list[tuple[str, str, str]]] = {name: [] for name in self.forms}
        for of_form, name, value in self.elsewhere:
            if of_form in fields and name.startswith("\0"):
                _, action, name = name.split("\0")
                buttons[of_form].append((action, name, value))
            elif of_form in fields:
                fields[of_form].append((name, value))
        for key, form in self.forms.items():
            if form.posts:
                optional = dict.fromkeys(name for of_form, name in self.optional if of_form == key)
                plain = Form(urlsplit(form.action).path, tuple(fields[key]), tuple(optional))
                yield plain
                for action, name, value in buttons[key]:
                    more = ((name, value),) if name else ()
                    yield replace(plain, action=urlsplit(action).path or plain.action, fields=(*plain.fields, *more))


def forms_of(page: str, path: str) -> list[Form]:
    """The forms of a page that are posted."""
    parser = _Forms(path)
    parser.feed(page)
    return list(parser.posted())


def pages(client: FlaskClient, world: World) -> Iterator[tuple[str, str]]:
    """Every page that whoever is signed in can open: address and HTML."""
    app = client.application
    for route, path in world.addresses(app, "GET"):
        if isinstance(route.need, Permission):
            answer = client.get(path)
            if answer.mimetype == "text/html":
                yield path, answer.text


def every_form(client: FlaskClient, world: World) -> dict[tuple[str, tuple[str, ...]], Form]:
    """Every form of every page, by where it is sent and what it is made of."""
    found: dict[tuple[str, tuple[str, ...]], Form] = {}
    for path, page in pages(client, world):
        for form in forms_of(page, path):
            found.setdefault((form.action, tuple(form.names)), form)
    return found


def queries_of_pages(client: FlaskClient, world: World) -> dict[str, set[str]]:
    """What may be asked of each address, from the links and the searches of every page: the names, by path."""
    found: dict[str, set[str]] = {}
    for path, page in pages(client, world):
        for link in re.findall(r'(?:href|hx-get)="([^"]*\?[^"]*)"', page):
            address = urlsplit(unescape(link))
            found.setdefault(address.path or path, set()).update(dict(parse_qsl(address.query, keep_blank_values=True)))
        for form in re.findall(r"<form\b.*?</form>", page, re.DOTALL):
            if 'method="post"' not in form:
                action = re.search(r'action="([^"]*)"', form)
                found.setdefault(action[1] if action else path, set()).update(re.findall(r'name="([^"]+)"', form))
    return found
