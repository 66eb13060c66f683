"""What accounts and tokens can be called."""

from __future__ import annotations

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from dashboard.models import ApiToken
from dashboard.onboarding import steps
from dashboard.onboarding.errors import Invalid
from dashboard.staff import accounts, links, names, roster, tokens
from dashboard.staff.permissions import Role, Scope
from tests.staff.signed_in import BOSS, make_account

# with joiners inside: a family, a Persian name, a flag of Scotland
WHOLE = [
    "Noor",
    "Inés",
    "名",
    "👩‍👩‍👧",
    "علی‌رضا",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "e\u0301",
    "a\u00adb",
    "7",
]


@pytest.mark.parametrize("name", WHOLE)
def test_what_can_be_seen_can_be_a_name(name: str) -> None:
    assert names.problem(name, 100) is None
    assert names.steadied(name, 100) == name


@pytest.mark.parametrize(
    "name",
    ["\u200b", "\u3164", "\u2800", "\u0301", "a\x85b", "a\x9bb", "a\u2028b", "\u202enimda", "a\u200eb", "a\u2066b"],
)
def test_no_account_and_no_token_is_called_what_cannot_be_seen_or_turns_text_round(session: Session, name: str) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    for make in (
        lambda: accounts.rename(session, BOSS, "ada@example.com", name),
        lambda: links.invite(session, BOSS, email="noor@example.com", name=name, role=Role.VIEWER),
        lambda: tokens.create(session, BOSS, name=name, scopes=[Scope.STEPS_READ]),
    ):
        with pytest.raises(Invalid) as caught:
            make()
        assert list(caught.value.problems) == ["name"]
        # what is told of a step's title too
        with pytest.raises(Invalid) as of_title:
            steps.check({"title": name})
        assert caught.value.problems == {"name": f"The name {of_title.value.problems['title']}."}


@pytest.mark.parametrize(
    "email",
    ["zw\u202e@b", "zw@\u2066b.example", "a\x85b@b.example", "\u200b@b.example", "a@\u200b", "a\u200f@b.example"],
)
def test_no_address_is_one_that_cannot_be_read(email: str) -> None:
    assert accounts.email_problem(email) is not None


def test_what_a_provider_calls_somebody_is_made_a_name() -> None:
    assert names.steadied("\u202e Noor\x85\0 Ali\n", 100) == "Noor Ali"
    assert names.steadied("\u200b\u202e", 100) == ""
    assert names.steadied("\u200b" * 3 + "Noor", 3) == ""


def test_what_got_such_a_name_before_can_still_be_taken_away(session: Session) -> None:
    make_account(session, Role.ADMIN, "ada@example.com")
    make_account(session, Role.VIEWER, "zw\u202e@b")
    tokens.create(session, BOSS, name="shop", scopes=[Scope.STEPS_READ])
    session.execute(update(ApiToken).values(name="\u202epohs"))
    tokens.revoke(session, BOSS, "\u202epohs")
    accounts.disable(session, BOSS, "zw\u202e@b")
    assert [token.state for token in tokens.everything(session)] == ["revoked"]
    assert [one.account.state for one in roster.everyone(session)] == ["active", "disabled"]
