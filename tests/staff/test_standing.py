"""Changes of a role beside what its account is just doing, on real connections: power is gone with the role, work is not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from threading import Barrier, Event
from time import monotonic, sleep

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from dashboard.config import Settings
from dashboard.database import Database
from dashboard.models import StaffAccount
from dashboard.onboarding import bulk_changes, history
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.bulk_changes import BulkChange
from dashboard.onboarding.errors import OnboardingError
from dashboard.staff import accounts, links, roster, standing, tokens
from dashboard.staff.accounts import actor_key
from dashboard.staff.permissions import Permission, Role, Scope
from dashboard.staff.rate_limits import WINDOW_S
from dashboard.staff.standing import NoLongerAllowed
from tests import factories
from tests.conftest import csrf_token
from tests.databases import wait_until_blocked
from tests.factories import ANNA, STEP
from tests.staff.signed_in import email_of, make_account, sign_in_as
from tests.web.desk import HTMX

OPERATOR = Actor("system:command-line", "cli")
ADA, BEN, CARA = "ada@example.com", "ben@example.com", "cara@example.com"
ROUNDS = 8


def by(email: str) -> Actor:
    return Actor(actor_key(email))


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """More connections, for those who wait."""
    return replace(settings, pool_size=8)


@pytest.fixture
def admins(session: Session) -> Session:
    """Ada, Ben and Cara are administrators."""
    for email in (ADA, BEN, CARA):
        make_account(session, Role.ADMIN, email)
    session.commit()
    return session


def outcome(database: Database, work: Callable[[Session], object]) -> object:
    """What the work comes to, in a transaction of its own."""
    try:
        with database.transaction() as session:
            return work(session)
    except OnboardingError as refused:
        return refused


def beside(database: Database, first: Callable[[Session], object], second: Callable[[Session], object]) -> object:
    """What the second comes to, which is begun before the transaction of the first has ended."""
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            first(session)
            pending = pool.submit(outcome, database, second)
            wait_until_blocked(session)
        return pending.result(60)


# Two at once ---------------------------------------------------------------------------------------------------------


def lower(by_: str, email: str) -> Callable[[Session], object]:
    return lambda session: accounts.change_role(session, by(by_), email, Role.VIEWER)


def shut_out(by_: str, email: str) -> Callable[[Session], object]:
    return lambda session: accounts.disable(session, by(by_), email)


@pytest.mark.parametrize("removal", [lower, shut_out])
@pytest.mark.parametrize("there", [(ADA, BEN), (ADA, BEN, CARA)], ids=["two", "three"])
def test_of_two_admins_who_remove_each_other_at_the_same_moment_one_stays(
    database: Database, admins: Session, there: tuple[str, ...], removal: Callable[..., Callable[[Session], object]]
) -> None:
    """However many there are besides: whoever is no administrator any more removes nobody."""
    for _ in range(ROUNDS):
        everybody = update(StaffAccount).values(role="viewer", disabled_at=None)
        admins.execute(everybody)
        admins.execute(update(StaffAccount).where(StaffAccount.email.in_(there)).values(role="admin"))
        admins.commit()
        start = Barrier(2)

        def one(work: Callable[[Session], object], start: Barrier = start) -> object:
            def at_once(session: Session) -> object:
                session.execute(text("SELECT 1"))
                start.wait(60)
                return work(session)

            return outcome(database, at_once)

        with ThreadPoolExecutor(2) as pool:
            came = list(pool.map(one, (removal(ADA, BEN), removal(BEN, ADA))))
        assert [type(one) for one in came].count(NoLongerAllowed) == 1
        everyone = [one.account for one in roster.everyone(admins)]
        left = [one for one in everyone if one.role is Role.ADMIN and one.disabled_at is None]
        assert len(left) == len(there) - 1
        admins.rollback()


POWERS: dict[str, Callable[[Session], object]] = {
    "change_role": lambda session: accounts.change_role(session, by(BEN), CARA, Role.VIEWER),
    "disable": lambda session: accounts.disable(session, by(BEN), CARA),
    "enable": lambda session: accounts.enable(session, by(BEN), CARA),
    "invite": lambda session: links.invite(session, by(BEN), email="d@x.org", name="D", role=Role.ADMIN),
    "make a link": lambda session: links.make(session, by(BEN), CARA),
    "withdraw": lambda session: links.withdraw(session, by(BEN), CARA),
    "create a token": lambda session: tokens.create(session, by(BEN), name="bens", scopes=[Scope.STEPS_RELEASE]),
}


@pytest.mark.parametrize("power", POWERS)
@pytest.mark.parametrize("removal", [lower, shut_out])
def test_power_that_was_asked_for_before_it_was_taken_away_is_not_given_after(
    database: Database, admins: Session, power: str, removal: Callable[..., Callable[[Session], object]]
) -> None:
    refused = beside(database, removal(ADA, BEN), POWERS[power])
    assert isinstance(refused, NoLongerAllowed)
    assert refused.role is (Role.VIEWER if removal is lower else None)


@pytest.mark.parametrize("removal", [lower, shut_out])
def test_a_token_that_was_made_just_before_its_maker_was_removed_is_revoked_with_the_others(
    database: Database, admins: Session, removal: Callable[..., Callable[[Session], object]]
) -> None:
    came = beside(database, POWERS["create a token"], removal(ADA, BEN))
    assert (came[1] if isinstance(came, tuple) else came) == ["bens"]
    assert tokens.working_of(admins, by(BEN).key) == []


@pytest.mark.parametrize("removal", [lower, shut_out])
@pytest.mark.parametrize("power", ["invite", "make a link"])
def test_a_link_that_was_made_just_before_its_maker_was_removed_opens_nothing(
    database: Database, admins: Session, power: str, removal: Callable[..., Callable[[Session], object]]
) -> None:
    """Whoever made it knows it, and could take the account over with it."""
    kept = links.make(admins, by(CARA), ADA).secret
    admins.commit()
    made = list[links.Link]()
    beside(database, lambda session: made.append(POWERS[power](session)), removal(ADA, BEN))  # type: ignore[arg-type]
    assert links.opened(admins, made[0].secret) is None
    assert links.opened(admins, kept) is not None


def test_whoever_is_a_program_or_may_go_on_does(admins: Session) -> None:
    for actor in (OPERATOR, Actor("token:host", "api"), by(ADA)):
        standing.must_still(admins, actor, Permission.MANAGE_TOKENS)
    accounts.change_role(admins, OPERATOR, ADA, Role.MANAGER)
    with pytest.raises(NoLongerAllowed):
        standing.must_still(admins, by(ADA), Permission.MANAGE_TOKENS)


# Through the pages ---------------------------------------------------------------------------------------------------


@pytest.fixture
def sam(client: FlaskClient, database: Database, session: Session) -> FlaskClient:
    """A support agent's browser; Anna has a step."""
    factories.a_step(session)
    factories.a_person(session)
    make_account(session, Role.ADMIN, ADA)
    session.commit()
    sign_in_as(client, database, Role.SUPPORT)
    return client


SAM = email_of(Role.SUPPORT)


def save(browser: FlaskClient, row_version: int, status: str) -> TestResponse:
    token = csrf_token(browser.get("/settings/account").text)
    data = {"csrf_token": token, "status": status, "row_version": str(row_version)}
    return browser.post(f"/people/{ANNA}/steps/{STEP}", data=data, headers=HTMX)


def test_a_save_that_is_under_way_is_finished_and_the_next_one_is_refused(
    sam: FlaskClient, database: Database, session: Session
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as holding:
            holding.execute(text("SELECT 1 FROM onboarding_users FOR UPDATE"))
            pending = pool.submit(save, sam, 1, "done")
            wait_until_blocked(holding)
            with database.transaction() as other:
                accounts.change_role(other, by(ADA), SAM, Role.VIEWER)
        assert pending.result(60).status_code == 200
    assert save(sam, 2, "skipped").status_code == 403
    told = history.timeline(session, ANNA, session.scalars(text("SELECT now()")).one(), 0, 10).changes
    assert [(change.by, change.to_status) for change in told if change.kind == "event"] == [(f"staff:{SAM}", "done")]


@pytest.mark.parametrize("turn", range(4))
def test_saves_and_a_change_of_role_at_once(sam: FlaskClient, database: Database, session: Session, turn: int) -> None:
    """What was acknowledged is there; what was sent after the change was answered is refused, and so is all after it."""
    lowered, began = Event(), Event()

    def saves() -> list[tuple[bool, int]]:
        answers = []
        until = monotonic() + 60
        for number in count(1):
            assert monotonic() < until
            was_lowered = lowered.is_set()
            answers.append((was_lowered, save(sam, number, "done" if number % 2 else "todo").status_code))
            began.set()
            if was_lowered and len(answers) > 4:
                break
        return answers

    with ThreadPoolExecutor(1) as pool:
        pending: Future[list[tuple[bool, int]]] = pool.submit(saves)
        assert began.wait(60)
        sleep(0.02 * turn)
        with database.transaction() as other:
            accounts.change_role(other, by(ADA), SAM, Role.VIEWER)
        lowered.set()
        answers = pending.result(90)
    statuses = [status for _, status in answers]
    assert statuses == sorted(statuses), "a save was let in after one was refused"
    assert {status for was_lowered, status in answers if was_lowered} == {403}
    saved = session.scalar(
        text("SELECT count(*) FROM user_step_events WHERE actor = :actor"), {"actor": f"staff:{SAM}"}
    )
    assert statuses.count(200) == saved


@pytest.mark.parametrize("live", [True, False], ids=["htmx", "plain"])
def test_an_admin_who_is_none_any_more_when_their_turn_comes_is_told_so(
    app: Flask, client: FlaskClient, database: Database, admins: Session, live: bool
) -> None:
    sign_in_as(client, database, Role.ADMIN)
    cara = accounts.find(admins, CARA)
    assert cara is not None
    token = csrf_token(client.get("/settings/account").text)

    def post() -> TestResponse:
        data = {"csrf_token": token, "role": "viewer", "row_version": "1"}
        return client.post(f"/settings/staff/{cara.id}/role", data=data, headers=HTMX if live else {})

    with ThreadPoolExecutor(1) as pool:
        with database.transaction() as session:
            accounts.change_role(session, by(ADA), email_of(Role.ADMIN), Role.SUPPORT)
            pending = pool.submit(post)
            wait_until_blocked(session)
        answer = pending.result(60)
    assert answer.status_code == 403
    assert "You are signed in as Support agent. Nothing was saved." in answer.text
    admins.rollback()
    newest = admins.execute(text("SELECT actor, action FROM audit_log ORDER BY id DESC")).first()
    assert newest == (f"staff:{email_of(Role.ADMIN)}", "access.refused")
    assert accounts.find(admins, CARA) == cara


def test_a_bulk_change_that_goes_on_by_itself_stops_with_the_role(
    sam: FlaskClient, database: Database, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a script one request carries out all batches: each of them asks."""
    made = bulk_changes.create(session, by(SAM), factories.people(session, 6), STEP, "done", "")
    session.commit()
    carry_on = bulk_changes.carry_on

    def then_lowered(running: Session, actor: Actor, bulk_id: int) -> BulkChange:
        came = carry_on(running, actor, bulk_id)
        with database.transaction() as other:
            accounts.change_role(other, by(ADA), SAM, Role.VIEWER)
        return came

    monkeypatch.setattr(bulk_changes, "BATCH", 2)
    monkeypatch.setattr(bulk_changes, "carry_on", then_lowered)
    token = csrf_token(sam.get("/settings/account").text)
    stopped = sam.post(f"/bulk-changes/{made}/run", data={"csrf_token": token})
    told = sam.get(stopped.location)
    assert told.status_code == 403
    assert "This stopped after 2 of 6 people. You cannot do this. Changes made so far stay." in told.text
    session.rollback()
    assert bulk_changes.get(session, made).waiting == 4


# What is written down ------------------------------------------------------------------------------------------------


def test_of_very_many_refusals_some_are_written_down(sam: FlaskClient, session: Session) -> None:
    began = monotonic()
    for _ in range(standing.NOTED_A_MINUTE + 10):
        assert sam.get("/steps/new").status_code == 403
    kept = session.execute(text("SELECT subject, changes FROM audit_log WHERE action = 'access.refused'")).all()
    # those that came back meanwhile, one every two seconds
    assert 0 <= len(kept) - standing.NOTED_A_MINUTE <= (monotonic() - began) * standing.NOTED_A_MINUTE / WINDOW_S
    assert set(map(str, kept)) == {str(("change steps and drafts", {"request": [None, "GET /steps/new"]}))}
    assert "Was not allowed to change steps and drafts" in sam.get("/activity?what=staff").text
