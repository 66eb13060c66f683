"""Forms filled with rubbish: each field of each form of each page, and bodies that are no form at all, on each route.

What is tried: nothing, much too much, numbers that are none or too large, moments before and after all time, line ends,
marks, what other fields take; fields missing, doubled, unknown by the thousand; NUL bytes, broken UTF-8, other content
types, cut-off and compressed bodies, lengths that are not true. Whoever sends it gets an answer with our headers, never
a fault. `FORM_TURNS=15` sends each
field each of it.
"""

from __future__ import annotations

import gzip
import os

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import steps
from dashboard.staff.permissions import Role
from tests.factories import STEP
from tests.security.conftest import signed_in, unsound
from tests.security.world import Form, World, every_form
from tests.web.desk import HTMX

TURNS = int(os.environ.get("FORM_TURNS", "1"))
RUBBISH = (
    "",
    " ",
    "\t\r\n",
    "0",
    "-1",
    "1",
    "9" * 11,
    "9" * 20,
    "9" * 5_000,
    "1e309",
    "NaN",
    "1_000",
    "２",
    "null",
    "[]",
    '{"$gt": ""}',
    "keep",
    "done",
    "theirs",
    "true",
    "%00",
    "../../etc/passwd",
    "'; DROP TABLE steps; --",
    "a\r\nSet-Cookie: x=1",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2026-W01-1T00:00+00:00",
    "\u202e\u0000".replace("\0", "\x0b"),
    "\ufeff\U0010ffff",
    "x" * 100_000,
)
FORM = "application/x-www-form-urlencoded"
PARTS = "multipart/form-data; boundary=b"
NAMED = b'Content-Disposition: form-data; name="title"'


def part(*of: bytes) -> bytes:
    """A multipart body."""
    return b"".join(b"--b\r\n" + one + b"\r\n" for one in of) + b"--b--\r\n"


BODIES: dict[str, tuple[str, bytes]] = {
    "nothing": (FORM, b""),
    "no names": (FORM, b"&&&==&=&"),
    "broken escapes": (FORM, b"title=%&title=%zz"),
    "broken UTF-8": (FORM, b"\xff=\xfe"),
    "broken UTF-8, escaped": (FORM, b"title=%ED%A0%80"),
    "a NUL byte": (FORM, b"title=%00"),
    "a name with a NUL byte": (FORM, b"%00=1"),
    "everything twice": (FORM, b"title=a&title=b&row_version=1&row_version=2&status=done&status=todo&role=a&role=b"),
    "thousands that nobody knows": (FORM, b"&".join(b"x%d=1" % number for number in range(5_000))),
    "too long": (FORM, b"title=" + b"x" * 1_100_000),
    "another charset": (f"{FORM}; charset=utf-16", "title=a".encode("utf-16")),
    "a charset that there is not": (f"{FORM}; charset=rubbish", b"title=a"),
    "no type": ("", b"title=a"),
    "JSON": ("application/json", b'{"title": "a"}'),
    "XML": ("text/xml", b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'),
    "two types": (f"{FORM}, text/plain", b"title=a"),
    "no boundary": ("multipart/form-data", b"--b\r\n"),
    "no parts": (PARTS, b""),
    "cut off": (PARTS, b"--b"),
    "headers without an end": (PARTS, b"--b\r\n" + b"A" * 20_000),
    "very many headers": (PARTS, b"--b\r\n" + b"A: b\r\n" * 5_000),
    "a part without a name": (PARTS, part(b"X: y\r\n\r\nz")),
    "a part with broken UTF-8": (PARTS, part(NAMED + b"\r\n\r\n\xff\xfe")),
    "a part with a NUL byte": (PARTS, part(NAMED + b"\r\n\r\na\0b")),
    "a part whose name has one": (PARTS, part(NAMED.replace(b"title", b"status.\0") + b"\r\n\r\ndone")),
    "a file": (PARTS, part(NAMED + b'; filename="../../x"\r\nContent-Type: text/plain\r\n\r\nx')),
    "too many parts": (PARTS, part(*[NAMED + b"\r\n\r\nx"] * 1_001)),
    "a part in UTF-7": (PARTS, part(NAMED + b"\r\nContent-Type: text/plain; charset=utf-7\r\n\r\n+ADw-")),
    "compressed": (FORM, gzip.compress(b"title=a")),
    "another multipart": ("multipart/mixed; boundary=b", part(NAMED + b"\r\n\r\nx")),
}
LENGTHS = [
    {"CONTENT_LENGTH": "", "wsgi.input_terminated": True},
    {"CONTENT_LENGTH": "-1"},
    {"CONTENT_LENGTH": "x"},
    {"CONTENT_LENGTH": "10000"},
]


def fields(forms: dict[object, Form]) -> list[tuple[Form, str]]:
    """Each field of each form, but its token."""
    return [(form, name) for form in forms.values() for name in form.names if name != "csrf_token"]


def test_no_field_takes_rubbish_for_a_fault(
    app: Flask, admin: FlaskClient, database: Database, world: World, faults: list[BaseException]
) -> None:
    forms = every_form(admin, world)
    wrong = []
    for number, (form, name) in enumerate(fields(forms)):
        for turn in range(2 * TURNS):
            rubbish = RUBBISH[(2 * number + turn) % len(RUBBISH)]
            headers = HTMX if (number + turn) % 3 == 0 else {}
            answer = admin.post(form.action, data=form.sent(**{name: rubbish}), headers=headers)
            if what := unsound(answer):
                wrong.append(f"{form.action} {name}={rubbish[:40]!r} {what} {faults[-1:]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", [*Role, None], ids=str)
def test_no_body_is_a_fault(
    app: Flask, database: Database, world: World, role: Role | None, faults: list[BaseException]
) -> None:
    app.config["WTF_CSRF_ENABLED"] = False
    wrong = []
    for number, (_, path) in enumerate(world.posts(app)):
        client = signed_in(app, database, role)
        # each gets some of them, an administrator, who gets furthest, the most
        every = 3 if role is Role.ADMIN else 10
        bodies = list(BODIES.items())[number % every :: every]
        for name, (kind, body) in bodies:
            answer = client.post(path, data=body, content_type=kind)
            if what := unsound(answer):
                wrong.append(f"{path}, {name}: {what} {faults[-1:]}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("length", LENGTHS, ids=str)
def test_a_length_that_is_not_true_is_no_fault(
    admin: FlaskClient, world: World, length: dict[str, object], faults: list[BaseException]
) -> None:
    admin.application.config["WTF_CSRF_ENABLED"] = False
    for name, (kind, body) in BODIES.items():
        answer = admin.post("/steps/new", data=body, content_type=kind, environ_overrides=length)
        assert not unsound(answer), (name, faults)


def test_a_form_in_chunks_is_taken_whole_or_not_at_all(admin: FlaskClient, world: World) -> None:
    admin.application.config["WTF_CSRF_ENABLED"] = False
    in_chunks = {"CONTENT_LENGTH": "", "wsgi.input_terminated": True}
    limit = admin.application.config["MAX_CONTENT_LENGTH"]
    for more, status in ((0, 422), (1, 413)):
        body = b"title=a&description=".ljust(limit + more, b"x")
        answer = admin.post("/steps/new", data=body, content_type=FORM, environ_overrides=in_chunks)
        assert answer.status_code == status


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-01-01", "x"])
def test_a_conflict_after_a_moment_that_cannot_be_is_still_one(admin: FlaskClient, world: World, moment: str) -> None:
    admin.application.config["WTF_CSRF_ENABLED"] = False
    data = {"row_version": "1", "status": "skipped", "opened": moment}
    answer = admin.post("/people/anna/steps/set-up-payments", data=data)
    assert answer.status_code == 409
    assert "You opened it" not in answer.text


def test_a_number_that_is_none_is_told_in_a_whole_sentence(admin: FlaskClient, session: Session) -> None:
    admin.application.config["WTF_CSRF_ENABLED"] = False
    draft = steps.get(session, STEP).draft
    assert draft is not None
    answer = admin.post(f"/steps/{STEP}/draft/discard", data={"row_version": "x", "version": str(draft.version)})
    assert answer.status_code == 422
    assert "This form is not valid. Open the page again." in answer.text
