"""API tokens: random secrets that are shown once; the database stores only their SHA-256."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from dashboard.models import ApiToken
from dashboard.onboarding import history
from dashboard.onboarding.actor import TOKEN_HOLDS, Actor
from dashboard.onboarding.errors import Invalid, NotFound
from dashboard.onboarding.limits import MAX_INTEGER
from dashboard.onboarding.straight import Straight
from dashboard.staff import names, standing
from dashboard.staff.passwords import CONTROL
from dashboard.staff.permissions import Permission, Scope

PREFIX = "obd_"
MAX_NAME = 100

KNOWN = frozenset(Scope)

LATELY_S = 30.0
"""How long a token is known without a query."""

REMEMBERED = 10_000
"""The number of tokens that a process remembers."""

NEVER: tuple[None, float] = (None, 0.0)

HOLDS = Straight(
    text(f"""
SELECT id, name, scopes, coalesce(last_used_at < now() - interval '1 minute', true) AS is_due FROM api_tokens
 WHERE token_hash = :digest AND {TOKEN_HOLDS}
""")
)
# of simultaneous requests one writes, and the others go on instead of waiting for its transaction
NOTE_USE = text("""
UPDATE api_tokens SET last_used_at = now()
 WHERE id = (SELECT id FROM api_tokens WHERE id = :id FOR UPDATE SKIP LOCKED)
""")


@dataclass(frozen=True, slots=True)
class Token:
    """A valid token that was presented."""

    id: int
    name: str
    scopes: frozenset[Scope]

    @property
    def actor(self) -> Actor:
        """The actor recorded for what is done with it."""
        return Actor(f"token:{self.name}", "api")


@dataclass(slots=True)
class Lately:
    """Recent lookups of a process: a token's properties never change, and its validity is checked elsewhere.

    Entries expire all the same, because a token's use has to be recorded.
    """

    clock: Callable[[], float] = time.monotonic
    _seen: dict[str, tuple[Token, float]] = field(default_factory=dict)

    def keep(self, secret: str, token: Token) -> None:
        """Remembers the token with this secret."""
        if len(self._seen) >= REMEMBERED:
            self._seen.clear()
        self._seen[digest(secret)] = token, self.clock() + LATELY_S

    def get(self, secret: str) -> Token | None:
        """The token with this secret; None: it has to be looked up."""
        token, until = self._seen.get(digest(secret), NEVER)
        return token if until > self.clock() else None


@dataclass(frozen=True, slots=True)
class TokenEntry:
    """A token as listed, without its secret."""

    id: int
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= datetime.now(UTC) else "active"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A new token; `secret` is available now and never again."""

    secret: str
    entry: TokenEntry


def create(
    session: Session, actor: Actor, *, name: str, scopes: Iterable[Scope], expires_at: datetime | None = None
) -> NewToken:
    """Creates a token. Raises NoLongerAllowed, and Invalid naming each wrong member, including a name ever taken."""
    standing.must_still(session, actor, Permission.MANAGE_TOKENS)
    name, wanted = name.strip(), sorted(set(scopes))
    if problems := _problems(name, wanted, expires_at):
        raise Invalid(problems)
    secret = PREFIX + secrets.token_urlsafe(32)
    row = ApiToken(
        name=name, token_hash=digest(secret), scopes=list(wanted), created_by=actor.key, expires_at=expires_at
    )
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise Invalid(
            {"name": f"The name “{name}” has already been used. Choose another: names cannot be reused."}
        ) from error
    changes = {"scopes": [None, wanted], "expires_at": [None, expires_at.isoformat() if expires_at else None]}
    history.record(session, actor, "token.created", subject=name, changes=changes)
    return NewToken(secret, _entry(row))


def authenticate(session: Session, bearer: str) -> Token | None:
    """The token with this secret; None if it is unknown, expired or revoked. Records its use once a minute."""
    if not bearer.startswith(PREFIX):
        return None
    for token_id, name, scopes, is_due in HOLDS.rows(session, {"digest": digest(bearer)}):
        if is_due:
            session.execute(NOTE_USE, {"id": token_id})
        return Token(token_id, name, frozenset(scopes) & KNOWN)
    return None


def revoke(session: Session, actor: Actor, name: str) -> TokenEntry:
    """Revokes the token at once and for good. Raises NotFound."""
    by_name = select(ApiToken).where(ApiToken.name == name).with_for_update()
    row = None if CONTROL.search(name) else session.scalar(by_name)
    if row is None:
        raise NotFound("token", name)
    if row.revoked_at is None:
        row.revoked_at = session.scalar(select(func.now()))
        session.flush()
        history.record(session, actor, "token.revoked", subject=name)
    return _entry(row)


def everything(session: Session) -> list[TokenEntry]:
    """All tokens, revoked and expired ones included, by name."""
    return [_entry(row) for row in session.scalars(select(ApiToken).order_by(ApiToken.name))]


def one(session: Session, token_id: int) -> TokenEntry:
    """One token. Raises NotFound."""
    row = session.get(ApiToken, token_id) if token_id <= MAX_INTEGER else None
    if row is None:
        raise NotFound("token", token_id)
    return _entry(row)


def working_of(session: Session, actor_key: str) -> list[str]:
    """The names of the working tokens that this actor made, in order."""
    works = ApiToken.created_by == actor_key, text(TOKEN_HOLDS)
    return list(session.scalars(select(ApiToken.name).where(*works).order_by(ApiToken.name)))


def parse_scopes(text: str) -> list[Scope]:
    """The scopes in a comma-separated list. Raises Invalid naming unknown ones."""
    words = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in words if word not in list(Scope)]
    if unknown:
        raise Invalid({"scopes": f"Unknown scope: {', '.join(unknown)}. Available scopes: {', '.join(Scope)}."})
    return [Scope(word) for word in words]


def digest(secret: str) -> str:
    """The SHA-256 of a secret: all that is stored of it."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _problems(name: str, scopes: list[Scope], expires_at: datetime | None) -> dict[str, str]:
    problems = {}
    if bad_name := names.problem(name, MAX_NAME):
        problems["name"] = bad_name
    if not scopes:
        problems["scopes"] = f"Choose at least one of: {', '.join(Scope)}."
    if expires_at is not None and expires_at <= datetime.now(UTC):
        problems["expires_at"] = "Choose a time in the future."
    return problems


def _entry(row: ApiToken) -> TokenEntry:
    return TokenEntry(
        row.id,
        row.name,
        tuple(row.scopes),
        row.created_at,
        row.created_by,
        row.expires_at,
        row.revoked_at,
        row.last_used_at,
    )
