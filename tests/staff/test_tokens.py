"""API tokens: shown once, kept as a digest, worthless when expired or revoked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.models import ApiToken, AuditEntry
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.staff import tokens
from dashboard.staff.permissions import Scope
from tests.staff.signed_in import BOSS

SCOPES = [Scope.STEPS_READ, Scope.PROGRESS_WRITE]


def test_a_token_is_known_by_its_secret_alone(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    assert made.secret.startswith("obd_")
    assert len(made.secret) >= 47
    row = session.scalars(select(ApiToken)).one()
    assert made.secret not in row.token_hash
    found = tokens.authenticate(session, made.secret)
    assert found is not None
    assert found == tokens.Token(made.entry.id, "shop", frozenset(SCOPES))
    assert found.actor == Actor("token:shop", "api")


@pytest.mark.parametrize("bearer", ["", "obd_", "obd_wrong", "Bearer obd_x", "obd_\0", "obd_\ud800", "x" * 10_000])
def test_anything_else_is_nobody(session: Session, bearer: str) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    digest = session.scalars(select(ApiToken.token_hash)).one()
    for presented in (bearer, made.secret[:-1], made.secret.upper(), digest):
        assert tokens.authenticate(session, presented) is None


def test_an_expired_token_is_nobody(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES, expires_at=datetime.now(UTC) + timedelta(hours=1))
    assert tokens.authenticate(session, made.secret) is not None
    assert made.entry.state == "active"
    session.execute(update(ApiToken).values(expires_at=func.now()))
    assert tokens.authenticate(session, made.secret) is None
    assert tokens.everything(session)[0].state == "expired"


def test_a_revoked_token_is_nobody_for_ever(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    assert tokens.revoke(session, BOSS, "shop").state == "revoked"
    assert tokens.authenticate(session, made.secret) is None
    tokens.revoke(session, BOSS, "shop")
    actions = session.scalars(select(AuditEntry.action).order_by(AuditEntry.id)).all()
    assert actions == ["token.created", "token.revoked"]
    with pytest.raises(Invalid, match="already been used"):
        tokens.create(session, BOSS, name="shop", scopes=SCOPES)


def test_a_token_is_found_by_its_number(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    assert tokens.one(session, made.entry.id) == made.entry
    for token_id in (0, made.entry.id + 1, 2**31, 2**80):
        with pytest.raises(NotFound):
            tokens.one(session, token_id)


def test_the_tokens_that_somebody_made_and_that_work(session: Session) -> None:
    for name in ("b", "a", "over"):
        tokens.create(session, BOSS, name=name, scopes=SCOPES, expires_at=datetime.now(UTC) + timedelta(hours=1))
    tokens.create(session, Actor("staff:ben@example.com"), name="bens", scopes=SCOPES)
    tokens.revoke(session, BOSS, "over")
    assert tokens.working_of(session, BOSS.key) == ["a", "b"]
    session.execute(update(ApiToken).values(expires_at=func.now()))
    assert tokens.working_of(session, BOSS.key) == []


@pytest.mark.parametrize("name", ["other", "a\0b", ""])
def test_an_unknown_token_cannot_be_revoked(session: Session, name: str) -> None:
    with pytest.raises(NotFound):
        tokens.revoke(session, BOSS, name)


def test_the_audit_log_says_what_was_granted_but_no_secret(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    entry = session.scalars(select(AuditEntry)).one()
    assert (entry.actor, entry.action, entry.subject) == ("staff:ada@example.com", "token.created", "shop")
    assert entry.changes == {"scopes": [None, ["progress:write", "steps:read"]], "expires_at": [None, None]}
    assert made.secret not in str(entry.changes)


@pytest.mark.parametrize(
    ("member", "given"),
    [
        ("name", {"name": ""}),
        ("name", {"name": "n" * 101}),
        ("name", {"name": "a\0b"}),
        ("scopes", {"scopes": []}),
        ("expires_at", {"expires_at": datetime(2020, 1, 1, tzinfo=UTC)}),
    ],
)
def test_bad_input_is_named(session: Session, member: str, given: dict[str, object]) -> None:
    with pytest.raises(Invalid) as caught:
        tokens.create(session, BOSS, **({"name": "shop", "scopes": SCOPES} | given))  # type: ignore[arg-type]
    assert list(caught.value.problems) == [member]


def test_use_is_noted_once_a_minute(session: Session) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    session.commit()

    def used() -> datetime | None:
        session.commit()
        return session.scalar(select(ApiToken.last_used_at))

    assert used() is None
    tokens.authenticate(session, made.secret)
    first = used()
    assert first is not None
    tokens.authenticate(session, made.secret)
    assert used() == first
    session.execute(update(ApiToken).values(last_used_at=first - timedelta(seconds=61)))
    tokens.authenticate(session, made.secret)
    again = used()
    assert again is not None
    assert again >= first


@pytest.mark.one_server("whatever writes a copied table waits for whoever else does")
def test_noting_the_use_waits_for_nobody(session: Session, database: Database) -> None:
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    session.commit()
    with database.transaction() as other:
        assert tokens.authenticate(other, made.secret) is not None
        session.execute(select(func.set_config("lock_timeout", "200ms", True)))
        assert tokens.authenticate(session, made.secret) is not None


def test_scopes_are_read_from_text() -> None:
    assert tokens.parse_scopes(" steps:read, progress:write,") == [Scope.STEPS_READ, Scope.PROGRESS_WRITE]
    with pytest.raises(Invalid, match=r"Unknown scope: steps:write.*Available scopes: progress:read"):
        tokens.parse_scopes("steps:read,steps:write")


def test_what_was_looked_up_lately_is_known_for_a_while(session: Session) -> None:
    now = [100.0]
    lately = tokens.Lately(lambda: now[0])
    made = tokens.create(session, BOSS, name="shop", scopes=SCOPES)
    token = tokens.authenticate(session, made.secret)
    assert token is not None
    assert lately.get(made.secret) is None
    lately.keep(made.secret, token)
    assert lately.get(made.secret) == token
    assert lately.get(made.secret[:-1]) is None
    now[0] += tokens.LATELY_S
    assert lately.get(made.secret) is None


def test_so_many_are_known_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "REMEMBERED", 3)
    lately = tokens.Lately()
    for number in range(10):
        lately.keep(str(number), tokens.Token(number, "shop", frozenset(SCOPES)))
        assert lately.get(str(number)) is not None
        assert sum(lately.get(str(one)) is not None for one in range(10)) <= 3
