"""The sign-in provider as configured, and the identity it reports. Needs no Authlib."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from dashboard.staff.permissions import Role

REQUIRED_SCOPE = "openid"


class BadProvider(ValueError):
    """A provider setting is unusable: `member` names it, the message is what to say after its name."""

    def __init__(self, member: str, reason: str) -> None:
        self.member = member
        super().__init__(reason)


class Unreachable(Exception):
    """The provider does not answer in time, or its answer is not OpenID Connect; the message is for the log."""


class NotProven(Exception):
    """The provider's answer does not prove who somebody is; the message, for the log, says why."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What a browser has to bring back: `state` in the address, the rest in its cookie. All random, and valid once."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity at the provider, always the same by `issuer` and `subject`. `email` is empty unless verified."""

    issuer: str
    subject: str
    email: str
    name: str
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Provider:
    """Where staff sign in, and which of their groups there has which role here. No `client_secret`: a public client.

    `roles` are in order of precedence. Raises BadProvider.
    """

    issuer: str
    client_id: str
    client_secret: str
    scopes: tuple[str, ...]
    groups_claim: str
    roles: tuple[tuple[str, Role], ...]
    label: str

    def __post_init__(self) -> None:
        """Requires https for what is sent to the provider and trusted from it, except on the machine itself."""
        parts = _parts(self.issuer)
        if parts is None or not is_safe(self.issuer) or parts.query or parts.fragment:
            raise BadProvider("issuer", "must be an https address such as https://id.example.com, without a query")
        if not self.client_id:
            raise BadProvider("client_id", "must be set when OIDC_ISSUER is")
        if REQUIRED_SCOPE not in self.scopes:
            raise BadProvider("scopes", f"must include {REQUIRED_SCOPE}")
        if not self.roles:
            raise BadProvider("roles", "must say which group has which role, such as onboarding-admins=admin")

    @property
    def called(self) -> str:
        """The provider's name on pages."""
        return self.label or urlsplit(self.issuer).hostname or self.issuer

    def role_of(self, groups: Collection[str]) -> Role | None:
        """The role for these groups: the first in `roles` that matches; None if none does."""
        return next((role for group, role in self.roles if group in groups), None)


def roles_from(text: str) -> tuple[tuple[str, Role], ...]:
    """Groups and their roles, written `group=role`, separated by commas, or by semicolons if a group contains commas.

    Raises BadProvider.
    """
    pairs = [pair.strip() for pair in text.split(";" if ";" in text else ",") if pair.strip()]
    return tuple(_pair(pair) for pair in pairs)


def is_safe(address: str) -> bool:
    """Whether nobody else can read what is sent there: https, or the machine itself."""
    parts = _parts(address)
    if parts is None or not parts.hostname or parts.username is not None:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname))


def _pair(text: str) -> tuple[str, Role]:
    # a group may be a distinguished name, which contains equals signs
    group, _, role = (part.strip() for part in text.rpartition("="))
    try:
        if not group:
            raise ValueError
        return group, Role(role)
    except ValueError:
        known = ", ".join(role.value for role in Role)
        raise BadProvider(
            "roles", f"must be pairs such as support=support, with a role of {known}, not {text!r}"
        ) from None


def _parts(address: str) -> SplitResult | None:
    try:
        parts = urlsplit(address)
        return parts if parts.port != 0 else None
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
