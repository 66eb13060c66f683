"""Which JSON Web Tokens say that their bearer is a user: signed with the key, by an algorithm that was chosen, not expired."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from structlog.testing import capture_logs

from dashboard.staff.user_tokens import BadKey, UserTokens, pem

SECRET = "a secret that host and dashboard share"
SHARED = UserTokens(SECRET, ("HS256",))
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OLD_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def private(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def public(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


def claims(**more: Any) -> dict[str, Any]:
    found = {"sub": "usr_7f3k2q", "exp": int(time.time()) + 300} | more
    return {name: value for name, value in found.items() if value is not None}


def signed(algorithm: str = "HS256", key: str = SECRET, headers: dict[str, Any] | None = None, **more: Any) -> str:
    return jwt.encode(claims(**more), key, algorithm, headers=headers)


def by_hand(header: dict[str, Any], payload: object, key: bytes) -> str:
    """A token that no library would make, with a right HMAC."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, payload)]
    signature = hmac.new(key, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize(
    ("tokens", "algorithm", "key"),
    [
        (SHARED, "HS256", SECRET),
        (UserTokens(public(RSA_KEY), ("RS256", "PS256")), "RS256", private(RSA_KEY)),
        (UserTokens(public(RSA_KEY), ("RS256", "PS256")), "PS256", private(RSA_KEY)),
        (UserTokens(public(EC_KEY), ("ES256",)), "ES256", private(EC_KEY)),
    ],
    ids=["HS256", "RS256", "PS256", "ES256"],
)
def test_a_token_says_who_its_user_is(tokens: UserTokens, algorithm: str, key: str) -> None:
    assert tokens.user_of(signed(algorithm, key)) == "usr_7f3k2q"


@pytest.mark.parametrize(
    "more",
    [
        {"exp": None},
        {"exp": int(time.time()) - 60},
        {"exp": "never"},
        {"nbf": int(time.time()) + 86_400},
        {"sub": None},
        {"sub": ""},
        {"sub": "  "},
        {"sub": "a\0b"},
        {"sub": "x" * 201},
    ],
    ids=[
        *(
            "never expires",
            "expired",
            "expires as text",
            "not yet",
            "nobody",
            "empty",
            "blank",
            "not text that can be kept",
        ),
        "too long",
    ],
)
def test_claims_that_do_not_hold(more: dict[str, Any]) -> None:
    assert SHARED.user_of(signed(**more)) is None


@pytest.mark.parametrize("more", [{"exp": -5}, {"nbf": 5}, {"iat": 5}, {"iat": 15}, {"iat": 86_400}], ids=str)
def test_clocks_may_differ_a_little_and_when_it_was_issued_does_not_count(more: dict[str, int]) -> None:
    now = int(time.time())
    assert SHARED.user_of(signed(**{name: now + seconds for name, seconds in more.items()})) == "usr_7f3k2q"


@pytest.mark.parametrize("sub", [1, True, ["usr_7f3k2q"], {"id": 1}])
def test_a_subject_is_text(sub: object) -> None:
    token = by_hand({"alg": "HS256", "typ": "JWT"}, claims(sub=sub), SECRET.encode())
    assert SHARED.user_of(token) is None


def test_the_hand_made_token_is_right_but_for_what_each_test_says() -> None:
    assert SHARED.user_of(by_hand({"alg": "HS256"}, claims(), SECRET.encode())) == "usr_7f3k2q"


def test_no_signature_is_no_token() -> None:
    nothing = jwt.encode(claims(), None, "none")
    head, payload, _ = signed().split(".")
    for token in (nothing, f"{head}.{payload}.", f"{head}.{payload}", f"{nothing.split('.')[0]}.{payload}."):
        assert SHARED.user_of(token) is None


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "", "HS512", "RS256", None, 1, ["HS256"]])
def test_an_algorithm_that_was_not_chosen(alg: object) -> None:
    assert SHARED.user_of(by_hand({"alg": alg, "typ": "JWT"}, claims(), SECRET.encode())) is None


def test_a_public_key_is_no_shared_secret() -> None:
    """Algorithm confusion: an HMAC made with the public key, which everybody knows."""
    key = public(RSA_KEY)
    assert UserTokens(key, ("RS256",)).user_of(by_hand({"alg": "HS256"}, claims(), key.encode())) is None


def test_another_key_did_not_sign_it() -> None:
    assert SHARED.user_of(signed(key="another secret of the same length....")) is None
    other = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert UserTokens(public(RSA_KEY), ("RS256",)).user_of(signed("RS256", private(other))) is None


def test_a_key_that_the_token_brings_along_is_not_used() -> None:
    theirs = "a key of whoever made this token up!!"
    head = {"jwk": {"kty": "oct", "k": base64.urlsafe_b64encode(theirs.encode()).decode()}, "kid": "../../dev/null"}
    assert SHARED.user_of(signed(key=theirs, headers=head)) is None


def test_a_changed_token_is_worthless() -> None:
    head, payload, signature = signed().split(".")
    other = base64.urlsafe_b64encode(json.dumps(claims(sub="usr_other")).encode()).decode().rstrip("=")
    for token in (
        f"{head}.{other}.{signature}",
        f"{head}.{payload}.{signature[:-4]}AAAA",
        "a.b.c",
        "..",
        "",
        "x" * 9000,
    ):
        assert SHARED.user_of(token) is None


@pytest.mark.parametrize("payload", ["text", ["a"], 1, None])
def test_claims_are_an_object(payload: object) -> None:
    assert SHARED.user_of(by_hand({"alg": "HS256"}, payload, SECRET.encode())) is None


def test_audience_and_issuer_count_where_they_are_set() -> None:
    strict = UserTokens(SECRET, ("HS256",), "onboarding", "https://shop.example")
    right = {"aud": "onboarding", "iss": "https://shop.example"}
    assert strict.user_of(signed(**right)) == "usr_7f3k2q"
    assert strict.user_of(signed(**right | {"aud": ["onboarding", "billing"]})) == "usr_7f3k2q"
    for wrong in ({"aud": "billing"}, {"aud": None}, {"iss": "https://evil.example"}, {"iss": None}):
        assert strict.user_of(signed(**right | wrong)) is None, wrong
    # where none is expected, one does no harm
    assert SHARED.user_of(signed(**right)) == "usr_7f3k2q"


OLD_SECRET = "the secret that they shared until lately"


@pytest.mark.parametrize(
    ("tokens", "algorithm", "keys", "other"),
    [
        (UserTokens(SECRET, ("HS256",), old_key=OLD_SECRET), "HS256", (SECRET, OLD_SECRET), "a secret of neither" * 2),
        (
            UserTokens(public(RSA_KEY), ("RS256",), old_key=public(OLD_RSA_KEY)),
            "RS256",
            (private(RSA_KEY), private(OLD_RSA_KEY)),
            private(rsa.generate_private_key(public_exponent=65537, key_size=2048)),
        ),
    ],
    ids=["HS256", "RS256"],
)
def test_the_key_of_before_is_as_good_as_the_new_one(
    tokens: UserTokens, algorithm: str, keys: tuple[str, str], other: str
) -> None:
    assert [tokens.user_of(signed(algorithm, key)) for key in keys] == ["usr_7f3k2q"] * 2
    # and a token that it has signed is looked at as closely
    assert [tokens.user_of(signed(algorithm, key, exp=int(time.time()) - 60)) for key in keys] == [None] * 2
    with capture_logs() as lines:
        assert tokens.user_of(signed(algorithm, other)) is None
    assert [line["reason"] for line in lines] == ["the signature is not one by USER_TOKEN_KEY"]


STRICT = UserTokens(SECRET, ("HS256",), "onboarding", "https://shop.example")
FITS = {"aud": "onboarding", "iss": "https://shop.example"}


# made when it is asked, for they are good for five minutes only
@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: signed(**FITS, exp=int(time.time()) - 60), "expired: exp is in the past"),
        (lambda: signed(**FITS, exp=None), "exp is missing"),
        (lambda: signed(**FITS, exp="soon\nlevel=info"), "no JSON Web Token, or a claim of the wrong kind"),
        (lambda: signed(**FITS, nbf=int(time.time()) + 86_400), "not valid yet: nbf is in the future"),
        (lambda: signed(**FITS, sub=None), "sub is missing"),
        (lambda: signed(**FITS, sub=" "), "sub is not the id of a user"),
        (lambda: signed(**FITS | {"aud": "billing"}), "aud is not USER_TOKEN_AUDIENCE"),
        (lambda: signed(**FITS | {"aud": None}), "aud is missing"),
        (lambda: signed(**FITS | {"iss": "https://evil.example"}), "iss is not USER_TOKEN_ISSUER"),
        (lambda: signed("HS512", **FITS), "alg is not one of USER_TOKEN_ALGORITHMS"),
        (
            lambda: signed(**FITS, key="another secret of the same length...."),
            "the signature is not one by USER_TOKEN_KEY",
        ),
        (lambda: "made\nup", "no JSON Web Token, or a claim of the wrong kind"),
        (lambda: "x" * 9000, "longer than 8,192 characters"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_why_it_is_refused_is_in_the_log_and_nothing_of_the_token(make: Callable[[], str], reason: str) -> None:
    token = make()
    with capture_logs() as lines:
        assert STRICT.user_of(token) is None
        assert STRICT.user_of(signed(**FITS)) == "usr_7f3k2q"
    assert lines == [{"event": "user token refused", "reason": reason, "log_level": "warning"}]


@pytest.mark.parametrize(
    ("key", "algorithms", "reason"),
    [
        (SECRET, (), "either algorithms with a shared secret"),
        (SECRET, ("none",), "there is no algorithm none"),
        (SECRET, ("HS256", "RS256"), "not both"),
        ("too short", ("HS256",), "the key does not fit HS256"),
        (public(RSA_KEY), ("HS256",), "the key does not fit HS256"),
        (public(RSA_KEY), ("ES256",), "the key does not fit ES256"),
        (public(EC_KEY), ("RS256",), "the key does not fit RS256"),
        (public(EC_KEY), ("ES256", "ES384"), "the key does not fit ES384"),
        (SECRET, ("RS256",), "the key does not fit RS256"),
        (private(RSA_KEY), ("RS256",), "give the public key"),
        (
            "/etc/keys/users.pem",
            ("RS256",),
            r"in PEM, with its line breaks or \\n in their place, not the name of a file",
        ),
    ],
)
def test_a_key_and_algorithms_that_do_not_fit_are_refused_at_the_start(
    key: str, algorithms: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(BadKey, match=reason):
        UserTokens(key, algorithms)


def test_an_old_key_that_does_not_fit_is_refused_by_its_own_name() -> None:
    with pytest.raises(BadKey, match="the key does not fit HS256") as refused:
        UserTokens(SECRET, ("HS256",), old_key="too short")
    assert refused.value.setting == "OLD_USER_TOKEN_KEY"


def test_a_pem_may_come_in_one_line_and_a_shared_secret_stays_as_it_is() -> None:
    folded = public(RSA_KEY).strip().replace("\n", "\\n")
    assert pem(folded) == public(RSA_KEY).strip() == pem(public(RSA_KEY).strip())
    assert UserTokens(pem(folded), ("RS256",)).user_of(signed("RS256", private(RSA_KEY))) == "usr_7f3k2q"
    secret = "a secret with \\n in the middle of it, by chance"
    assert pem(secret) == secret
