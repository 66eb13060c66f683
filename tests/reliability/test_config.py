"""The environment becomes settings, or a message that names the variable."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from dashboard.config import Settings, SettingsError, libpq_url
from dashboard.staff.permissions import Role

SECRET = "s" * 32
OWN_DATABASE = {"DATABASE_URL": "postgresql://me@db/onboarding", "SECRET_KEY": SECRET}


def settings(tmp_path: Path, **environ: str) -> Settings:
    return Settings.from_environment({"DATA_DIR": str(tmp_path), **environ})


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_usual_scheme_becomes_psycopgs(tmp_path: Path, scheme: str) -> None:
    found = settings(tmp_path, DATABASE_URL=f"{scheme}://me:p%40ss@db:5433/name?sslmode=require", SECRET_KEY=SECRET)
    assert found.database_url == "postgresql+psycopg://me:p%40ss@db:5433/name?sslmode=require"
    assert libpq_url(found.database_url) == "postgresql://me:p%40ss@db:5433/name?sslmode=require"


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://me:a%20b+c%25@db/a%20name",
        "postgresql://me@db/name?options=-c%20search_path%3Dmine%20-c%20a%3Db",
    ],
)
def test_an_address_for_psql_has_no_blanks_and_means_the_same(tmp_path: Path, given: str) -> None:
    made = libpq_url(settings(tmp_path, DATABASE_URL=given, SECRET_KEY=SECRET).database_url)
    assert " " not in made
    assert conninfo_to_dict(made) == conninfo_to_dict(given)


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://me:p%40s,s@h1:5432,h2:5433/db?target_session_attrs=read-write",
        "postgres://h1,h2:5433/db",
        "postgresql://me@[::1]:5432,db.example/db",
    ],
)
def test_an_address_may_name_several_hosts_as_libpq_takes_them(tmp_path: Path, given: str) -> None:
    url = settings(tmp_path, DATABASE_URL=given, SECRET_KEY=SECRET).database_url
    _, asked = make_url(url).get_dialect()().create_connect_args(make_url(url))
    meant = conninfo_to_dict(given)
    assert {name: asked.get(name) for name in meant} == meant
    assert conninfo_to_dict(libpq_url(url)) == meant


def test_without_a_database_address_it_is_a_demo_with_the_embedded_one(tmp_path: Path) -> None:
    found = settings(tmp_path)
    assert (found.database_url, found.demo) == ("", True)
    assert settings(tmp_path, DEMO="0").demo is False


def test_with_a_database_address_it_is_no_demo_unless_asked(tmp_path: Path) -> None:
    assert settings(tmp_path, **OWN_DATABASE).demo is False
    assert settings(tmp_path, **OWN_DATABASE, DEMO="1").demo is True


def test_the_secret_is_made_once_and_readable_by_its_owner_only(tmp_path: Path) -> None:
    first, second = settings(tmp_path), settings(tmp_path)
    assert first.secret_key == second.secret_key
    assert len(first.secret_key) >= 32
    assert (tmp_path / "secret_key").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


def test_what_a_start_that_was_cut_short_left_behind_is_in_no_later_ones_way(tmp_path: Path) -> None:
    # in a container every start has the same number
    (tmp_path / f"secret_key.{os.getpid()}").write_text("")
    assert len(settings(tmp_path).secret_key) >= 32


def test_two_data_folders_have_two_secrets(tmp_path: Path) -> None:
    assert settings(tmp_path / "a").secret_key != settings(tmp_path / "b").secret_key


def test_blank_is_as_good_as_unset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = Settings.from_environment(dict.fromkeys(("DATA_DIR", "SECRET_KEY", "HOST", "DATABASE_URL", "PORT"), " "))
    assert (found.data_dir, found.host) == (tmp_path / "var", "127.0.0.1")
    assert len(found.secret_key) >= 32


def test_commands_that_sign_nothing_need_no_secret(tmp_path: Path) -> None:
    environ = {"DATA_DIR": str(tmp_path), "DATABASE_URL": OWN_DATABASE["DATABASE_URL"]}
    assert Settings.from_environment(environ, secret_required=False).secret_key == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "-1"),
        ("PORT", "9" * 5000),
        ("PORT", "٨٠٠٠"),
        ("HOST", "localhost"),
        ("HOST", "[::1]"),
        ("DEMO", "maybe"),
        ("SECURE_COOKIES", "2"),
        ("MAX_BODY_BYTES", "1.5"),
        ("MAX_BODY_BYTES", "262143"),
        ("STATEMENT_TIMEOUT_MS", "0"),
        ("DRIFT_PERCENT", "nan"),
        ("DRIFT_PERCENT", "101"),
        ("DRIFT_PEOPLE", "ten"),
        ("CORS_ORIGINS", "*"),
        ("CORS_ORIGINS", "https://*.example"),
        ("CORS_ORIGINS", "app.example"),
        ("CORS_ORIGINS", "https://app.example/"),
        ("CORS_ORIGINS", "https://app.example/page"),
        ("CORS_ORIGINS", "https://App.example"),
        ("CORS_ORIGINS", "https://äpp.example"),
        ("CORS_ORIGINS", "https://me@app.example"),
        ("CORS_ORIGINS", "https://app.example:443"),
        ("CORS_ORIGINS", "http://localhost:80"),
        ("CORS_ORIGINS", "http://localhost:65536"),
        ("CORS_ORIGINS", "http://localhost:05173"),
        ("CORS_ORIGINS", "https://app.example; https://shop.example"),
        ("CORS_ORIGINS", "https://app.example, null"),
        ("SECRET_KEY", "short"),
        ("SECRET_KEY", "long enough, but with a comma"),
        ("METRICS_TOKEN", "short"),
        ("METRICS_NETWORKS", "10.0.0.0/8 nowhere"),
        ("METRICS_NETWORKS", "10.0.0.1/8"),
        ("BASE_URL", "onboarding.example.com"),
        ("BASE_URL", "ftp://onboarding.example.com"),
        ("BASE_URL", "https://onboarding.example.com/path"),
        ("BASE_URL", "https://onboarding.example.com:port"),
        ("BASE_URL", "https://onboarding.example.com#top"),
        ("BASE_URL", "http://["),
        ("DATABASE_URL", "mysql://me@db/name"),
        ("DATABASE_URL", "not an address"),
        ("DATABASE_URL", "postgresql://me@db:port/name"),
        ("DATABASE_URL", "postgresql://me@h1:5432,/name"),
        ("DATABASE_URL", "postgresql://me@h1:5432,h2:port/name"),
    ],
)
def test_a_bad_value_is_refused_by_the_variables_name(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        settings(tmp_path, **{"SECRET_KEY": SECRET, name: value})


def test_origins_come_with_commas_or_blanks_between_them(tmp_path: Path) -> None:
    given = "https://app.example,https://shop.example:8443, http://localhost:5173\nhttp://[::1]:8080,"
    assert settings(tmp_path, CORS_ORIGINS=given).cors_origins == {
        "https://app.example",
        "https://shop.example:8443",
        "http://localhost:5173",
        "http://[::1]:8080",
    }


def test_without_any_origin_nobody_is_let_in(tmp_path: Path) -> None:
    assert settings(tmp_path).cors_origins == settings(tmp_path, CORS_ORIGINS=" , ").cors_origins == frozenset()


def test_the_address_that_people_use_has_no_slash_at_its_end(tmp_path: Path) -> None:
    assert settings(tmp_path).base_url == ""
    assert settings(tmp_path, BASE_URL="https://onboarding.example.com:8443/").base_url == (
        "https://onboarding.example.com:8443"
    )


def test_cookies_for_https_alone_fit_no_address_without_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="BASE_URL must begin with https:// when SECURE_COOKIES is set"):
        settings(tmp_path, BASE_URL="http://onboarding.example.com", SECURE_COOKIES="1")
    assert settings(tmp_path, BASE_URL="https://onboarding.example.com", SECURE_COOKIES="1").secure_cookies
    assert settings(tmp_path, SECURE_COOKIES="1").secure_cookies


def test_an_own_database_needs_a_secret(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="SECRET_KEY"):
        settings(tmp_path, DATABASE_URL=OWN_DATABASE["DATABASE_URL"])


def test_a_bad_address_is_not_repeated_with_its_password(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(tmp_path, DATABASE_URL="mysql://me:hunter2@db/name", SECRET_KEY=SECRET)
    assert "hunter2" not in str(caught.value)


def test_a_data_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match="DATA_DIR"):
        settings(tmp_path / "file" / "folder")


def test_an_emptied_secret_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "secret_key").write_text("")
    with pytest.raises(SettingsError, match="secret_key"):
        settings(tmp_path)


def test_a_server_that_is_no_demo_needs_a_database_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL must be set"):
        settings(tmp_path, DEMO="0").refuse_unsafe({})
    settings(tmp_path, DEMO="0", EMBEDDED_DATABASE="1").refuse_unsafe({})
    settings(tmp_path, **OWN_DATABASE).refuse_unsafe({})
    settings(tmp_path).refuse_unsafe({})


@pytest.mark.parametrize("flag", ["1", "true", "Yes"])
def test_a_server_that_is_no_demo_does_not_debug(tmp_path: Path, flag: str) -> None:
    with pytest.raises(SettingsError, match="FLASK_DEBUG must not be set"):
        settings(tmp_path, **OWN_DATABASE).refuse_unsafe({"FLASK_DEBUG": flag})
    settings(tmp_path, **OWN_DATABASE).refuse_unsafe({"FLASK_DEBUG": "0"})


def test_every_key_can_become_an_old_one(tmp_path: Path) -> None:
    key = settings(tmp_path, SECRET_KEY="a key with blanks between its words").secret_key
    found = settings(tmp_path, OLD_SECRET_KEYS=f"{key},{SECRET},")
    assert found.old_secret_keys == (key, SECRET)


def test_old_keys_are_as_long_as_new_ones(tmp_path: Path) -> None:
    found = settings(tmp_path, OLD_SECRET_KEYS=f"{'a' * 16}, {'b' * 20}")
    assert found.old_secret_keys == ("a" * 16, "b" * 20)
    assert settings(tmp_path).old_secret_keys == ()
    with pytest.raises(SettingsError, match="OLD_SECRET_KEYS"):
        settings(tmp_path, OLD_SECRET_KEYS=f"{'a' * 16},short")


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"USER_TOKEN_KEY": "k" * 32, "USER_TOKEN_ALGORITHMS": "none"}, "no algorithm none"),
        ({"USER_TOKEN_KEY": "short", "USER_TOKEN_ALGORITHMS": "HS256"}, "does not fit HS256"),
    ],
)
def test_a_key_of_user_tokens_that_does_not_fit_is_refused_at_the_start(
    tmp_path: Path, variables: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=f"USER_TOKEN_KEY and USER_TOKEN_ALGORITHMS: .*{reason}"):
        settings(tmp_path, **variables)


def test_a_key_of_user_tokens_without_algorithms_says_which_variable_is_missing(tmp_path: Path) -> None:
    with pytest.raises(
        SettingsError, match=r"^USER_TOKEN_ALGORITHMS must be set when USER_TOKEN_KEY is: .* such as HS256$"
    ):
        settings(tmp_path, USER_TOKEN_KEY="k" * 32)


@pytest.mark.parametrize("name", ["USER_TOKEN_ALGORITHMS", "OLD_USER_TOKEN_KEY"])
def test_what_goes_with_a_key_of_user_tokens_is_nothing_without_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} is set, but USER_TOKEN_KEY is not"):
        settings(tmp_path, **{name: "HS256"})


def test_the_old_key_of_user_tokens_has_to_fit_as_well(tmp_path: Path) -> None:
    given = {"USER_TOKEN_KEY": "k" * 32, "USER_TOKEN_ALGORITHMS": "HS256"}
    found = settings(tmp_path, **given, OLD_USER_TOKEN_KEY="o" * 32).user_tokens()
    assert found is not None
    assert found.old_key == "o" * 32
    with pytest.raises(SettingsError, match=r"^OLD_USER_TOKEN_KEY and USER_TOKEN_ALGORITHMS: .*does not fit HS256"):
        settings(tmp_path, **given, OLD_USER_TOKEN_KEY="short")


def test_a_public_key_may_come_in_one_line(tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    given = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode().replace("\n", "\\n")
    found = settings(tmp_path, USER_TOKEN_KEY=given, OLD_USER_TOKEN_KEY=given, USER_TOKEN_ALGORITHMS="RS256")
    tokens = found.user_tokens()
    assert tokens is not None
    assert "\\n" not in tokens.key + tokens.old_key


PROVIDER = {
    "BASE_URL": "https://onboarding.example.com",
    "OIDC_ISSUER": "https://id.example.com/realms/staff",
    "OIDC_CLIENT_ID": "dashboard",
    "OIDC_ROLES": "onboarding-admins=admin, support=support",
}


def test_a_sign_in_provider_needs_four_settings_and_may_have_more(tmp_path: Path) -> None:
    assert settings(tmp_path).sign_in_provider() is None
    found = settings(tmp_path, **PROVIDER).sign_in_provider()
    assert found is not None
    assert found.roles == (("onboarding-admins", Role.ADMIN), ("support", Role.SUPPORT))
    assert (found.scopes, found.groups_claim) == (("openid", "email", "profile"), "groups")
    assert (found.client_secret, found.called) == ("", "id.example.com")
    more = {
        "OIDC_CLIENT_SECRET": "s3",
        "OIDC_SCOPES": "openid groups",
        "OIDC_GROUPS_CLAIM": "roles",
        "OIDC_LABEL": "Us",
    }
    found = settings(tmp_path, **PROVIDER, **more).sign_in_provider()
    assert found is not None
    assert (found.client_secret, found.scopes, found.groups_claim, found.called) == (
        "s3",
        ("openid", "groups"),
        "roles",
        "Us",
    )


def test_a_group_may_have_equals_signs_and_between_semicolons_commas(tmp_path: Path) -> None:
    given = "cn=admins,ou=groups,dc=example=admin; Support Team = support;"
    found = settings(tmp_path, **PROVIDER | {"OIDC_ROLES": given}).sign_in_provider()
    assert found is not None
    assert found.roles == (("cn=admins,ou=groups,dc=example", Role.ADMIN), ("Support Team", Role.SUPPORT))
    assert found.role_of({"Support Team", "another"}) is Role.SUPPORT
    assert found.role_of({"support team"}) is None


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"OIDC_ISSUER": ""}, "OIDC_CLIENT_ID is set, but OIDC_ISSUER is not"),
        ({"OIDC_ISSUER": "", "OIDC_CLIENT_ID": ""}, "OIDC_ROLES is set, but OIDC_ISSUER is not"),
        ({"OIDC_ISSUER": "http://id.example.com"}, "OIDC_ISSUER must be an https address"),
        ({"OIDC_ISSUER": "id.example.com"}, "OIDC_ISSUER must be an https address"),
        ({"OIDC_ISSUER": "https://id.example.com?realm=staff"}, "OIDC_ISSUER must be .* without a query"),
        ({"BASE_URL": ""}, "BASE_URL must be set when OIDC_ISSUER is"),
        ({"OIDC_CLIENT_ID": ""}, "OIDC_CLIENT_ID must be set"),
        ({"OIDC_SCOPES": "email profile"}, "OIDC_SCOPES must include openid"),
        ({"OIDC_ROLES": ""}, "OIDC_ROLES must say which group has which role"),
        ({"OIDC_ROLES": "support=agent"}, "OIDC_ROLES must be pairs .* not 'support=agent'"),
        ({"OIDC_ROLES": "admin"}, "OIDC_ROLES must be pairs"),
        ({"OIDC_ROLES": "=admin"}, "OIDC_ROLES must be pairs"),
    ],
)
def test_a_sign_in_provider_that_cannot_be_used_is_refused_at_the_start(
    tmp_path: Path, changed: dict[str, str], reason: str
) -> None:
    with pytest.raises(SettingsError, match=reason):
        settings(tmp_path, **PROVIDER | changed)


@pytest.mark.parametrize("package", ["authlib", "joserfc"])
def test_without_the_extra_one_is_told_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    settings(tmp_path)
    with pytest.raises(SettingsError, match=r"pip install --editable '\.\[oidc\]'"):
        settings(tmp_path, **PROVIDER)


def test_nothing_of_the_extra_is_loaded_where_no_provider_is_set_up(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules.update(authlib=None, joserfc=None)\n"
        "from tests.guards.permissions_table import bare_app\n"
        "print(bare_app().test_client().get('/sign-in').status_code)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert answer.stdout.strip() == "200", answer.stderr
