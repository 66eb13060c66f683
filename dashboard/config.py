"""The settings, read once from the environment. There is no default secret."""

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib.util import find_spec
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

if TYPE_CHECKING:
    from dashboard.staff.provider import Provider
    from dashboard.staff.user_tokens import UserTokens

TRUE_WORDS = frozenset({"1", "true", "yes", "on"})
FALSE_WORDS = frozenset({"0", "false", "no", "off"})
MIN_SECRET_LENGTH = 16
MAX_DIGITS = 12
LONGEST_TIMEOUT_MS = 3_600_000
LARGEST_PORT = 65_535
LARGEST_API_BODY = 256 * 1024
"""In bytes; that of a batch of saves."""
LONGEST_HSTS_S = 63_072_000
ORIGIN = re.compile(r"(https?)://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::([1-9][0-9]{0,4}))?")
SEVERAL_HOSTS = re.compile(
    r"(?P<before>[a-z+]+://(?:[^/?]*@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<path>/[^?]*)?(?:\?(?P<query>.*))?"
)
HOST = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?")
DEFAULT_PORTS = {"http": "80", "https": "443"}


class SettingsError(Exception):
    """An environment variable is missing or unusable; the message names it."""


def whole(default: int, low: int, high: int) -> int:
    """An integer setting from `low` to `high`."""
    return field(default=default, metadata={"low": low, "high": high})


def number(default: float, low: float, high: float) -> float:
    """A numeric setting from `low` to `high`."""
    return field(default=default, metadata={"low": low, "high": high})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that the environment decides: a setting's variable is its name in capitals.

    If unset or blank, it has its default; the four without one are derived from other settings. `database_url` is empty
    until the embedded server has started. Names that end in _s or _ms are in seconds or milliseconds.
    """

    database_url: str
    secret_key: str
    demo: bool
    data_dir: Path
    host: str = "127.0.0.1"
    port: int = whole(8000, 1, LARGEST_PORT)
    secure_cookies: bool = False
    hsts_seconds: int = whole(31_536_000, 0, LONGEST_HSTS_S)
    base_url: str = ""
    max_body_bytes: int = whole(1024 * 1024, LARGEST_API_BODY, 2**30)
    statement_timeout_ms: int = whole(15_000, 1, LONGEST_TIMEOUT_MS)
    lock_timeout_ms: int = whole(5_000, 1, LONGEST_TIMEOUT_MS)
    idle_transaction_timeout_ms: int = whole(30_000, 1, LONGEST_TIMEOUT_MS)
    pool_size: int = whole(8, 1, 1_000)
    pool_timeout_s: float = number(5.0, 0.1, 300)
    prepared_statements: bool = True
    workers: int = whole(2, 1, 256)
    threads: int = whole(4, 1, 1_024)
    drift_percent: float = number(1.0, 0, 100)
    drift_people: int = whole(10, 0, 2**31 - 1)
    reason_required: bool = False
    trusted_proxies: int = whole(0, 0, 10)
    old_secret_keys: tuple[str, ...] = ()
    embedded_database: bool = False
    rate_limit: int = whole(6_000, 0, 10**9)
    user_rate_limit: int = whole(120, 0, 10**9)
    user_token_key: str = ""
    old_user_token_key: str = ""
    user_token_algorithms: str = ""
    user_token_audience: str = ""
    user_token_issuer: str = ""
    cors_origins: frozenset[str] = frozenset()
    metrics_token: str = ""
    metrics_networks: str = "127.0.0.0/8, ::1"
    oidc_issuer: str = ""
    oidc_client_id: str = ""
    oidc_client_secret: str = ""
    oidc_scopes: str = "openid email profile"
    oidc_groups_claim: str = "groups"
    oidc_roles: str = ""
    oidc_label: str = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ, *, secret_required: bool = True) -> "Settings":
        """The settings of this environment. Raises SettingsError naming the invalid variable.

        Commands that sign nothing pass `secret_required=False`: `secret_key` is then empty.
        """
        database_url, data_dir = database_url_from(environ), data_dir_from(environ)
        secret_key = _secret_key(environ, data_dir, embedded=not database_url) if secret_required else ""
        given = {setting.name: environ.get(setting.name.upper(), "").strip() for setting in fields(cls)}
        demo = _truth("DEMO", given["demo"]) if given["demo"] else not database_url
        read = {one.name: _read(one, given[one.name]) for one in fields(cls) if one.default is not MISSING}
        return cls(database_url, secret_key, demo, data_dir, **read)._checked()

    def _checked(self) -> "Settings":
        self.user_tokens()
        self.sign_in_provider()
        self.scrapers()
        try:
            ip_address(self.host)
        except ValueError as error:
            # a name may have several addresses, and the web server listens on one
            raise SettingsError(
                f"HOST must be an address such as 127.0.0.1 or ::1, or 0.0.0.0 for all, not {self.host!r}"
            ) from error
        if self.metrics_token and len(self.metrics_token) < MIN_SECRET_LENGTH:
            raise SettingsError(f"METRICS_TOKEN must have at least {MIN_SECRET_LENGTH} characters")
        if self.secure_cookies and self.base_url and not self.is_https:
            # over http browsers would not send back the cookies, so no form would be accepted
            raise SettingsError(
                "BASE_URL must begin with https:// when SECURE_COOKIES is set: such cookies are sent over https only"
            )
        return self

    @property
    def is_https(self) -> bool:
        """Whether people use an https address, regardless of the request."""
        return urlsplit(self.base_url).scheme == "https"

    def refuse_unsafe(self, environ: Mapping[str, str] = os.environ) -> None:
        """Raises SettingsError if the settings are unsafe for anything but a demo."""
        if self.demo:
            return
        if not self.database_url and not self.embedded_database:
            raise SettingsError(
                "DATABASE_URL must be set because this is not a demo; EMBEDDED_DATABASE=1 uses the database in DATA_DIR"
            )
        if environ.get("FLASK_DEBUG", "").strip().lower() not in FALSE_WORDS | {""}:
            raise SettingsError("FLASK_DEBUG must not be set because this is not a demo: it would expose internals")

    def scrapers(self) -> "tuple[IPv4Network | IPv6Network, ...]":
        """The networks that may read /metrics without a token. Raises SettingsError if one is invalid."""
        given = self.metrics_networks.replace(",", " ").split()
        try:
            return () if given == ["none"] else tuple(ip_network(one) for one in given)
        except ValueError as error:
            raise SettingsError(f"METRICS_NETWORKS must be networks such as 10.0.0.0/8, or none: {error}") from error

    def user_tokens(self) -> "UserTokens | None":
        """How user tokens are read; None: not at all. Raises SettingsError if key and algorithms don't match."""
        from dashboard.staff.user_tokens import BadKey, UserTokens, pem

        if not self.user_token_key:
            for name in ("user_token_algorithms", "old_user_token_key"):
                if getattr(self, name):
                    raise SettingsError(
                        f"{name.upper()} is set, but USER_TOKEN_KEY is not: without it there are no user tokens"
                    )
            return None
        algorithms = tuple(self.user_token_algorithms.replace(",", " ").split())
        if not algorithms:
            raise SettingsError(
                "USER_TOKEN_ALGORITHMS must be set when USER_TOKEN_KEY is: the algorithms of user tokens, such as HS256"
            )
        try:
            return UserTokens(
                pem(self.user_token_key),
                algorithms,
                self.user_token_audience,
                self.user_token_issuer,
                pem(self.old_user_token_key),
            )
        except BadKey as error:
            raise SettingsError(f"{error.setting} and USER_TOKEN_ALGORITHMS: {error}") from error

    def sign_in_provider(self) -> "Provider | None":
        """Where staff may sign in instead of using a password; None: nowhere. Raises SettingsError."""
        from dashboard.staff.provider import BadProvider, Provider, roles_from

        if not self.oidc_issuer:
            for name in ("oidc_client_id", "oidc_client_secret", "oidc_roles"):
                if getattr(self, name):
                    raise SettingsError(
                        f"{name.upper()} is set, but OIDC_ISSUER is not: it says which provider is meant"
                    )
            return None
        if not all(find_spec(name) for name in ("authlib", "joserfc")):
            raise SettingsError(
                "OIDC_ISSUER needs Authlib: run `pip install --editable '.[oidc]'` in the source folder"
            )
        if not self.base_url:
            raise SettingsError("BASE_URL must be set when OIDC_ISSUER is: the provider sends people back there")
        try:
            return Provider(
                self.oidc_issuer,
                self.oidc_client_id,
                self.oidc_client_secret,
                tuple(self.oidc_scopes.split()),
                self.oidc_groups_claim,
                roles_from(self.oidc_roles),
                self.oidc_label,
            )
        except BadProvider as error:
            raise SettingsError(f"OIDC_{error.member.upper()} {error}") from error


def base_url_from(given: str, name: str = "BASE_URL") -> str:
    """The address at which people reach the dashboard, without a trailing slash. Raises SettingsError naming `name`."""
    try:
        parts = urlsplit(given)
        is_site = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        usable = is_site and not (parts.path.strip("/") or parts.query or parts.fragment)
    except ValueError:
        usable = False
    if given and not usable:
        raise SettingsError(f"{name} must be an address such as https://onboarding.example.com, without a path")
    return given.rstrip("/")


def database_url_from(environ: Mapping[str, str]) -> str:
    """DATABASE_URL for SQLAlchemy with psycopg; empty if the embedded server is to be used."""
    given = environ.get("DATABASE_URL", "").strip()
    return sqlalchemy_url(given) if given else ""


def sqlalchemy_url(given: str) -> str:
    """A postgresql:// or postgres:// address in the form for SQLAlchemy with psycopg. Raises SettingsError."""
    try:
        url = make_url(_with_hosts_apart(given))
        if url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"}:
            raise SettingsError("DATABASE_URL must begin with postgresql:// or postgres://")
        return url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False)
    except (ArgumentError, ValueError) as error:
        # not repeated, because the address itself may hold a password
        raise SettingsError("DATABASE_URL is not an address such as postgresql://user:password@host/name") from error


def _with_hosts_apart(given: str) -> str:
    """Moves several hosts (h1:5432,h2:5432), as libpq takes them, into options of the address, as SQLAlchemy does."""
    if (several := SEVERAL_HOSTS.fullmatch(given)) is None:
        return given
    hosts = [HOST.fullmatch(host) for host in several["hosts"].split(",")]
    named = [(host[1].strip("[]"), host[2] or "") for host in hosts if host]
    if len(named) < len(hosts):
        raise SettingsError("DATABASE_URL has several hosts, and one of them is not valid: use host:port,host:port")
    options = [
        f"{name}={','.join(each)}" for name, each in zip(("host", "port"), zip(*named, strict=True), strict=True)
    ]
    query = "&".join([*options, *filter(None, [several["query"]])])
    return f"{several['before']}{several['path'] or '/'}?{query}"


def libpq_url(url: str) -> str:
    """The same address for psql and other libpq programs, password included."""
    address, mark, query = (
        make_url(url).set(drivername="postgresql").render_as_string(hide_password=False).partition("?")
    )
    # SQLAlchemy keeps spaces or turns them into a plus, which libpq takes literally
    return address.replace(" ", "%20") + mark + query.replace("+", "%20")


def data_dir_from(environ: Mapping[str, str]) -> Path:
    """The folder of the embedded database and the generated secret: DATA_DIR, or `var` in the working directory."""
    return Path(environ.get("DATA_DIR", "").strip() or "var").expanduser().absolute()


def _secret_key(environ: Mapping[str, str], data_dir: Path, *, embedded: bool) -> str:
    given = environ.get("SECRET_KEY", "").strip()
    if given:
        if len(given) < MIN_SECRET_LENGTH:
            raise SettingsError(f"SECRET_KEY must have at least {MIN_SECRET_LENGTH} characters")
        if "," in given:
            raise SettingsError("SECRET_KEY must not have a comma: in OLD_SECRET_KEYS, commas are between the keys")
        return given
    if not embedded:
        raise SettingsError(
            "SECRET_KEY must be set when DATABASE_URL is: a long random text, the same for every worker"
        )
    return _generated_secret(data_dir)


def _generated_secret(data_dir: Path) -> str:
    """The secret kept in DATA_DIR, generated once; readable by its owner only."""
    path = data_dir / "secret_key"
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create_private(path, secrets.token_urlsafe(48))
        secret = path.read_text().strip()
    except OSError as error:
        raise SettingsError(f"DATA_DIR {data_dir} cannot be used: {error.strerror}") from error
    if len(secret) < MIN_SECRET_LENGTH:
        raise SettingsError(f"{path} holds no usable secret: remove it, and a new one will be created")
    return secret


def _create_private(path: Path, text: str) -> None:
    """Writes a 0600 file in one step; if two processes race, the first one's text stays."""
    with NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}.") as draft:
        draft.write(text)
        draft.flush()
        with suppress(FileExistsError):
            os.link(draft.name, path)


def _read(setting: Field[Any], given: str) -> Any:
    """The value of a setting, of the same type as its default. Raises SettingsError."""
    name, default = setting.name.upper(), setting.default
    match default:
        case _ if not given:
            return default
        case bool():
            return _truth(name, given)
        case int():
            return _whole(name, given, **setting.metadata)
        case float():
            return _number(name, given, **setting.metadata)
        case tuple():
            return _secrets(name, given)
        case frozenset():
            return _origins(name, given)
    return base_url_from(given) if name == "BASE_URL" else given


def _truth(name: str, given: str) -> bool:
    if given.lower() in TRUE_WORDS | FALSE_WORDS:
        return given.lower() in TRUE_WORDS
    raise SettingsError(f"{name} must be 1 or 0, not {given.lower()!r}")


def _whole(name: str, given: str, low: int, high: int) -> int:
    if not (given.isascii() and given.isdigit()) or len(given) > MAX_DIGITS or not low <= int(given) <= high:
        raise SettingsError(f"{name} must be a whole number from {low} to {high}, not {given!r}")
    return int(given)


def _number(name: str, given: str, low: float, high: float) -> float:
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise SettingsError(f"{name} must be a number from {low:g} to {high:g}, not {given!r}")
    return value


def _secrets(name: str, given: str) -> tuple[str, ...]:
    """Former keys: what they signed is still accepted, but nothing new is signed with them."""
    keys = tuple(key for part in given.split(",") if (key := part.strip()))
    if any(len(key) < MIN_SECRET_LENGTH for key in keys):
        raise SettingsError(f"{name} must have at least {MIN_SECRET_LENGTH} characters each")
    return keys


def _origins(name: str, given: str) -> frozenset[str]:
    """Origins as browsers send them: lower case, without the default port."""
    origins = given.replace(",", " ").split()
    if wrong := [text for text in origins if not _is_origin(text)]:
        raise SettingsError(
            f"{name} must be exact origins such as https://app.example, in lower case, with no path and no "
            f"default port, not {wrong[0]!r}"
        )
    return frozenset(origins)


def _is_origin(text: str) -> bool:
    found = ORIGIN.fullmatch(text)
    return found is not None and found[2] != DEFAULT_PORTS[found[1]] and int(found[2] or 0) <= LARGEST_PORT
