"""The demo: believable, the same each time, true to the model, and never put over anybody's own data."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard import demo
from dashboard.database import Database
from dashboard.models import AuditEntry, Installation, StaffAccount, User
from dashboard.onboarding import everybody, history, invariants, people, progress, releases, steps, user_steps
from dashboard.onboarding.errors import Conflict, Refused
from dashboard.onboarding.traffic import traffic
from dashboard.staff.passwords import matches
from tests.factories import MAYA, a_save, a_step, snapshot

AMARA = "usr_7f3k2q"


pytestmark = pytest.mark.one_server("the demo is for a single server")


@pytest.fixture
def session(committing_session: Session) -> Session:
    return committing_session


@pytest.mark.on_the_demo
def test_every_promise_of_the_model_holds(session: Session) -> None:
    assert [check for check in invariants.check(session) if not check.holds] == []


@pytest.mark.on_the_demo
def test_the_checklist_is_the_one_of_the_design(session: Session) -> None:
    checklist = steps.checklist(session)
    assert [step.live.fields.title for step in checklist if step.live] == [
        "Verify your email",
        "Complete your profile",
        "Invite your team",
        "Connect a data source",
        "Set up payments",
        "Install the mobile app",
        "Create your first report",
        "Book a kick-off call",
    ]
    assert [step.live.fields.weight for step in checklist if step.live] == [10, 10, 15, 15, 20, 10, 15, 5]
    drafts = [step for step in checklist if step.draft]
    assert [(step.step_id, step.draft.fields.weight) for step in drafts if step.draft] == [("setup-payments", 30)]


@pytest.mark.on_the_demo
def test_releases_tell_the_story_with_the_counts_of_their_time(session: Session) -> None:
    made = history.releases_of(session)["setup-payments"]
    assert [(one.kind, one.version) for one in made] == [
        ("publish", 1),
        ("migrate", 2),
        ("rollback", 1),
        ("migrate", 3),
    ]
    ages = [(datetime.now(UTC) - one.released_at).days for one in made]
    assert ages == [71, 21, 19, 12]
    receipts = session.execute(
        text("SELECT receipt -> 'impact' FROM step_releases WHERE step_id = 'setup-payments' ORDER BY number")
    )
    publish, second, back, third = [row[0] for row in receipts]
    assert publish["everybody"] > 1_000
    assert second["reset"] > 100
    assert second["everybody"] < third["everybody"] < demo.PEOPLE
    assert back["restored"] + back["keptLater"] > 100
    assert third["reset"] > 100


@pytest.mark.on_the_demo
def test_progress_follows_a_funnel(session: Session) -> None:
    overview = everybody.overview(session)
    assert overview.everybody == demo.PEOPLE == 2_000
    through = [counts["done"] + counts["skipped"] for counts in overview.funnel.values()]
    assert max(through) > 1_700
    assert min(through) > 500
    assert 200 < overview.spread.finished < 700
    assert all(counts["in_progress"] for counts in overview.funnel.values())


@pytest.mark.on_the_demo
def test_people_are_of_the_example_domains_and_all_different(session: Session) -> None:
    rows = session.execute(select(User.user_id, User.name, User.email)).all()
    assert all(re.fullmatch(r"[a-z.]+@[a-z-]+\.example", row.email) for row in rows), rows
    assert len({row.email for row in rows}) == len({row.user_id for row in rows}) == demo.PEOPLE
    assert len({row.name for row in rows}) > 1_800


@pytest.mark.on_the_demo
def test_amara_has_the_history_of_the_design(session: Session) -> None:
    amara = people.find(session, AMARA)
    assert (amara.name, amara.email, amara.progress) == ("Amara Okafor", "amara.okafor@tidewater.example", 45)
    source = user_steps.step_of(session, AMARA, "connect-data-source")
    assert (source.status, source.row_version) == ("in_progress", 6)
    told = history.timeline(session, AMARA, amara.created_at, 0, 100).changes
    assert [change.kind for change in told[:3]] == ["event", "event", "release"]
    assert told[2].comment.startswith("The old connector stops")


@pytest.mark.on_the_demo
def test_nothing_happens_in_the_future_or_before_someone_joined(session: Session) -> None:
    late = text("SELECT count(*) FROM user_step_events WHERE at > now()")
    early = text(
        "SELECT count(*) FROM user_step_events e JOIN onboarding_users u USING (user_id) WHERE e.at < u.created_at"
    )
    assert session.scalar(late) == session.scalar(early) == 0
    recent = text("SELECT count(*) FROM user_step_events WHERE at > now() - interval '30 days'")
    assert (session.scalar(recent) or 0) > 2_000


@pytest.mark.on_the_demo
def test_the_newest_release_met_open_pages(session: Session) -> None:
    today, week = traffic(session, "24h"), traffic(session, "7d")
    # the present hour is part of the 24, so the first of them is cut short
    assert 30 <= today.refused <= 37
    assert 350 < today.writes < week.writes / 4
    assert today.cause
    assert (today.cause.release.step_id, today.cause.release.version) == ("connect-data-source", 2)
    assert today.cause.conflicts == 25
    assert week.refused > 1.5 * today.refused
    for period in (today, week):
        assert 0.75 < period.first_retries_kept / period.first_retries < 1
        assert period.retries > period.first_retries


@pytest.mark.on_the_demo
def test_each_refused_save_is_one_that_would_have_been(session: Session) -> None:
    """Somebody's save over the version before the newest of that moment, after a release where it names one."""
    strange = text("""
    SELECT c.* FROM write_conflicts c JOIN onboarding_users u USING (user_id) LEFT JOIN step_releases r ON r.id = c.release_id
     WHERE c.at NOT BETWEEN u.created_at AND now() OR c.current_row_version != c.row_version + 1 OR c.row_version < 1
        OR c.actor != 'user:' || c.user_id OR r.step_id != c.step_id OR r.released_at > c.at
        OR c.current_row_version != coalesce(
           (SELECT max(e.row_version) FROM user_step_events e
             WHERE e.user_id = c.user_id AND e.step_id = c.step_id AND e.at < c.at), 1)
           + (SELECT count(*) FROM step_releases r
               WHERE r.step_id = c.step_id AND r.released_at < c.at AND r.released_at >
                     coalesce((SELECT max(e.at) FROM user_step_events e
                                WHERE e.user_id = c.user_id AND e.step_id = c.step_id AND e.at < c.at), '-infinity'))
    """)
    assert session.execute(strange).all() == []


@pytest.mark.on_the_demo
def test_each_retry_was_refused_as_often_as_it_says(session: Session) -> None:
    retries = session.execute(text("SELECT * FROM user_step_events WHERE attempt > 0")).all()
    assert retries
    refused = text("""
    SELECT attempt FROM write_conflicts
     WHERE user_id = :user_id AND step_id = :step_id AND current_row_version = :row_version AND at < :at ORDER BY attempt
    """)
    for retry in retries:
        of_it = {
            "user_id": retry.user_id,
            "step_id": retry.step_id,
            "row_version": retry.row_version - 1,
            "at": retry.at,
        }
        assert list(session.scalars(refused, of_it)) == list(range(retry.attempt))


@pytest.mark.on_the_demo
def test_somebody_is_stuck_at_most_steps(session: Session) -> None:
    found = everybody.overview(session).stuck
    assert sum(stuck.idle > 10 for stuck in found.values()) > 4
    assert all(len(stuck.longest) == 3 for stuck in found.values())


@pytest.mark.on_the_demo
def test_the_log_is_dated_as_the_releases_are(session: Session) -> None:
    entries = session.execute(
        select(AuditEntry.at, AuditEntry.action, AuditEntry.step_id).order_by(AuditEntry.id)
    ).all()
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    rollback = next(entry for entry in entries if entry.action == "release.rollback")
    assert (datetime.now(UTC) - rollback.at).days == 19


@pytest.mark.on_the_demo
def test_there_is_an_account_for_each_role_with_its_password(session: Session) -> None:
    hashes = {row.email: row for row in session.scalars(select(StaffAccount))}
    assert {account.role.value for account in demo.ACCOUNTS} == {"viewer", "support", "manager", "admin"}
    for account in demo.ACCOUNTS:
        assert matches(hashes[account.email].password_hash, account.password)


@pytest.mark.on_the_demo
def test_whoever_acts_for_people_is_one_of_the_accounts(session: Session) -> None:
    actors = session.scalars(text("SELECT DISTINCT actor FROM user_step_events WHERE actor LIKE 'staff:%'"))
    accounts = {f"staff:{account.email}" for account in demo.ACCOUNTS}
    assert set(actors) <= accounts
    assert set(session.scalars(text("SELECT DISTINCT released_by FROM step_releases"))) <= accounts


# Filling and resetting -----------------------------------------------------------------------------------------------


@pytest.mark.on_the_demo
def test_it_is_filled_once(session: Session) -> None:
    before = snapshot(session)
    assert demo.fill(session) is False
    assert snapshot(session) == before


def test_a_database_with_a_step_is_not_filled(session: Session) -> None:
    a_step(session)
    before = snapshot(session)
    assert demo.fill(session) is False
    assert snapshot(session) == before
    assert not demo.is_demo(session)


def test_a_database_that_is_not_a_demo_is_not_reset(session: Session) -> None:
    a_step(session)
    session.commit()
    before = snapshot(session)
    with pytest.raises(Refused, match="does not hold the demo"):
        demo.reset(session)
    session.rollback()
    assert snapshot(session) == before


STATE = {
    "people": "SELECT user_id, name, email, done_releases, skipped_releases, in_progress_releases FROM onboarding_users",
    "steps": "SELECT user_id, step_id, status, release_id, row_version, updated_by FROM user_steps",
    "events": "SELECT user_id, step_id, row_version, actor, from_status, to_status, comment, attempt FROM user_step_events",
    "conflicts": "SELECT id, user_id, step_id, attempt, to_status, row_version, release_id FROM write_conflicts",
    "releases": "SELECT id, step_id, number, version, kind, undone_by, receipt -> 'impact' ->> 'reset' FROM step_releases",
    "accounts": "SELECT id, email, role, password_hash FROM staff_accounts",
    "log": "SELECT id, actor, action, step_id, subject, changes::text, note FROM audit_log",
}


def state(session: Session) -> dict[str, set[str]]:
    return {name: {str(tuple(row)) for row in session.execute(text(query))} for name, query in STATE.items()}


@pytest.mark.on_the_demo
def test_a_reset_brings_back_the_same_state_ids_included(session: Session) -> None:
    before = state(session)
    a_save(session, "done", AMARA, "book-kickoff-call")
    releases.release(session, MAYA, "setup-payments")
    with pytest.raises(Conflict):
        progress.save(session, MAYA, AMARA, "setup-payments", "done", 1)
    a_step(session, "something-new")
    session.execute(text("UPDATE staff_accounts SET password_hash = 'changed', role = 'viewer'"))
    session.commit()
    demo.reset(session)
    session.commit()
    after = state(session)
    assert {name: after[name] ^ before[name] for name in STATE} == {name: set() for name in STATE}
    assert [check for check in invariants.check(session) if not check.holds] == []


@pytest.mark.on_the_demo
def test_a_reset_that_fails_changes_nothing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    before = snapshot(session)
    session.commit()
    monkeypatch.setattr(releases, "roll_back", lambda *_args, **_more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo.reset(session)
    session.rollback()
    assert snapshot(session) == before


@pytest.mark.on_the_demo
def test_a_reset_goes_through_beside_open_connections(session: Session, database: Database) -> None:
    with database.transaction() as other:
        assert other.scalar(text("SELECT count(*) FROM onboarding_users")) == demo.PEOPLE
    demo.reset(session)
    session.commit()
    with database.transaction() as other:
        assert other.get(Installation, "demo") is not None
