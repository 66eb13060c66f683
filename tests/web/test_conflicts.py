"""A stale save of a person's step, in each flavour: what the panel says, in which order, and each way out of it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from dashboard.models import WriteConflict
from dashboard.onboarding import erasure, releases
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy
from dashboard.onboarding.history import changes_since, still_holds
from dashboard.staff.permissions import Role
from tests.conftest import Build
from tests.factories import (
    ANNA,
    MAYA,
    SAM,
    STEP,
    a_person,
    a_release,
    a_save,
    a_step,
    row_version_of,
    snapshot,
    status_of,
)
from tests.staff.signed_in import make_account
from tests.web.desk import HOSTILE, asked_of, part, words
from tests.web.person import Send, chosen, hidden, panel, row, save, save_live

KEEPS = Policy(in_progress=True)


def anna_in_progress(session: Session) -> None:
    make_account(session, Role.MANAGER, "maya@example.com")
    make_account(session, Role.SUPPORT, "sam@example.com")
    a_step(session, title="Set up payments")
    a_person(session)
    a_save(session, "in_progress")


@pytest.fixture(autouse=True)
def anna(build: Build, session: Session) -> Session:
    """Anna's step is in progress, at row_version 2."""
    build(anna_in_progress)
    return session


def told(html: str) -> str:
    """The changes that the panel lists."""
    return words(part(html, "conflict-changes").partition("</ol>")[0])


def is_primary(html: str, testid: str) -> bool:
    before, found, _ = html.partition(f'data-testid="{testid}"')
    assert found, f"there is no {testid}"
    return "btn-primary" in before.rpartition("<button")[2]


# What happened


def test_another_agent_saved_meanwhile(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "skipped", actor=SAM, comment="She asked for it.")
    anna.commit()
    response = save_live(agent, 2, "done", comment="Ticket 4821")
    assert response.status_code == 409
    shown = panel(response)
    order = [
        "Set up payments changed while you had it open",
        "One change came in before you saved. Nothing was overwritten, and what you chose is still here.",
        "Since you opened it",
        "The support, Support agent",
        "In progress to Skipped",
        "She asked for it.",
        "Current row version 3 Skipped She asked for it. The support, just now",
        "Keep the current",
        "Yours not saved Done Ticket 4821 You, just now",
        "Save mine over it",
        "Edit",
    ]
    read = words(shown)
    places = [read.find(one) for one in order]
    assert -1 not in places, read
    assert places == sorted(places)
    assert not is_primary(shown, "conflict-mine")
    assert not is_primary(shown, "conflict-keep")
    assert (status_of(anna), row_version_of(anna)) == ("skipped", 3)


def test_the_user_changed_it_through_the_api(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=Actor(f"user:{ANNA}", "api"))
    anna.commit()
    assert "Anna, API just now In progress to Done" in told(panel(save_live(agent, 2, "skipped")))


def test_a_release_reset_it(agent: FlaskClient, anna: Session) -> None:
    a_release(anna, title="In new words")
    anna.commit()
    shown = panel(save_live(agent, 2, "in_progress"))
    assert "Reset by the release of version 2 just now, by The manager In progress to To do" in told(shown)
    assert 'class="face' not in shown
    assert not is_primary(shown, "conflict-mine"), "this release resets what was chosen"


def test_a_release_that_keeps_the_choice_preselects_mine_and_says_why(agent: FlaskClient, anna: Session) -> None:
    a_release(anna, title="In new words")
    anna.commit()
    shown = panel(save_live(agent, 2, "done"))
    assert is_primary(shown, "conflict-mine")
    yours = words(part(shown, "conflict-yours"))
    assert (
        "The only change since is the release of version 2, which keeps Done. Your choice still makes sense." in yours
    )


def test_a_release_that_kept_it(agent: FlaskClient, anna: Session) -> None:
    a_release(anna, policy=KEEPS)
    anna.commit()
    shown = panel(save_live(agent, 2, "done"))
    assert "Kept by the release of version 2" in told(shown)
    assert is_primary(shown, "conflict-mine")


def test_a_release_and_its_rollback(agent: FlaskClient, anna: Session) -> None:
    a_release(anna)
    releases.roll_back(anna, MAYA, STEP, note="It was down.")
    anna.commit()
    shown = panel(save_live(agent, 2, "todo"))
    assert "Two changes came in" in words(shown)
    assert "Given back by the rollback to version 1 just now, by The manager To do to In progress It was down." in told(
        shown
    )
    assert is_primary(shown, "conflict-mine")
    assert "The only changes since are releases. Your choice still makes sense." in words(shown)


def test_a_release_and_then_a_colleague(agent: FlaskClient, anna: Session) -> None:
    a_release(anna)
    a_save(anna, "in_progress", actor=SAM)
    anna.commit()
    shown = panel(save_live(agent, 2, "done"))
    assert told(shown).index("Reset by the release") < told(shown).index("The support, Support agent")
    assert not is_primary(shown, "conflict-mine")


def test_the_same_value_is_set_already(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = save_live(agent, 2, "done")
    assert response.status_code == 409
    shown = panel(response)
    assert "Already Done - nothing to do" in shown
    assert "conflict-mine" not in shown
    assert "conflict-keep" in shown
    assert row_version_of(anna) == 3


def test_the_same_value_with_a_comment_keeps_the_comment(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=SAM)
    anna.commit()
    shown = panel(save_live(agent, 2, "done", comment="Ticket 4821"))
    assert "Only your comment was not saved; it is still here." in words(shown)
    assert "Ticket 4821" in part(shown, "conflict-yours")
    assert "conflict-mine" in shown


@pytest.mark.parametrize("by", [save, save_live])
def test_the_step_was_withdrawn(agent: FlaskClient, anna: Session, by: Send) -> None:
    releases.withdraw(anna, MAYA, STEP, note="Not needed any more.")
    anna.commit()
    response = by(agent, 2, "done", comment="Typed.")
    assert response.status_code == 410
    shown = panel(response)
    assert "Set up payments was withdrawn" in shown
    assert "there is nothing to save" in shown
    assert "The step was withdrawn just now, by The manager" in told(shown)
    assert "Not needed any more." in told(shown)
    assert "Typed." in part(shown, "conflict-yours")
    for way_out in ("conflict-keep", "conflict-mine", "conflict-edit"):
        assert way_out not in shown
    assert row_version_of(anna) == 3


def test_a_withdrawn_step_refuses_broken_input_just_as_well(agent: FlaskClient, anna: Session) -> None:
    releases.withdraw(anna, MAYA, STEP)
    anna.commit()
    assert save(agent, "", "nonsense").status_code == 410
    assert save(agent, 2, "done", resolve="edit").status_code == 410


def test_withdrawn_and_restored_in_between(agent: FlaskClient, anna: Session) -> None:
    releases.withdraw(anna, MAYA, STEP)
    releases.restore(anna, MAYA, STEP)
    anna.commit()
    shown = panel(save_live(agent, 2, "done"))
    assert "The step was restored, as version 1" in told(shown)
    assert is_primary(shown, "conflict-mine")


def test_a_stale_undo_is_a_conflict_too(agent: FlaskClient, anna: Session) -> None:
    save_live(agent, 2, "done")
    a_save(anna, "skipped", actor=SAM)
    anna.commit()
    shown = panel(save_live(agent, 3, "in_progress", undoes="1"))
    assert "In progress" in words(part(shown, "conflict-yours"))
    assert status_of(anna) == "skipped"


def test_words_of_others_are_text(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "skipped", actor=SAM, comment=HOSTILE)
    anna.commit()
    shown = panel(save_live(agent, 2, "done", comment=HOSTILE))
    assert "<script>alert" not in shown
    assert shown.count("&lt;script&gt;alert(1)") >= 3
    assert hidden(shown, "comment") == HOSTILE


def test_it_says_when_the_page_was_opened(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "skipped")
    anna.commit()
    now = datetime.now(UTC)
    assert f"You opened it at {now:%H:%M} UTC." in words(panel(save_live(agent, 2, opened=now.isoformat())))
    before = panel(save_live(agent, 2, opened="2020-01-02T03:04:05+00:00"))
    assert "You opened it on 2 Jan 2020, 03:04 UTC." in words(before)
    for broken in ("", "yesterday", "2020-01-02T03:04:05", "9999-01-01T00:00:00+00:00", HOSTILE):
        assert "You opened it" not in words(panel(save_live(agent, 2, opened=broken)))


# How it arrives


def test_htmx_gets_the_panel_in_the_rows_place_and_the_page_around_it_renewed(
    agent: FlaskClient, anna: Session
) -> None:
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = save_live(agent, 2, "skipped")
    assert "<html" not in response.text
    assert response.text.lstrip().startswith(f'<li id="step-row-{STEP}"')
    opening = response.text.partition('data-testid="conflict-panel"')[2].partition(">")[0]
    assert 'tabindex="-1"' in opening
    assert "data-focus" in opening
    for kind in ("labelledby", "describedby"):
        target = opening.partition(f'aria-{kind}="')[2].partition('"')[0]
        assert f'id="{target}"' in response.text
    assert '<hx-partial hx-target="#history"' in response.text


def test_without_htmx_the_whole_page_has_the_panel_in_the_rows_place(agent: FlaskClient, anna: Session) -> None:
    a_step(anna, "another", title="Another")
    a_save(anna, "done", actor=SAM)
    anna.commit()
    response = save(agent, 2, "skipped")
    assert response.status_code == 409
    assert response.text.startswith("<!doctype html>")
    assert 'data-testid="conflict-panel"' in row(response)
    assert 'data-testid="save-another"' in row(response, "another")
    assert f"save-{STEP}" not in response.text


@pytest.mark.parametrize("by", [save, save_live])
def test_it_is_kept_to_be_counted_and_nothing_else_is(agent: FlaskClient, anna: Session, by: Send) -> None:
    release = a_release(anna, STEP, KEEPS).release
    anna.commit()
    before = snapshot(anna)
    anna.rollback()
    assert by(agent, 2, "skipped", comment="Ticket 4821").status_code == 409
    (kept,) = anna.scalars(select(WriteConflict))
    assert (kept.source, kept.to_status, kept.row_version, kept.current_row_version) == ("web", "skipped", 2, 3)
    assert kept.release_id == release.id
    after = snapshot(anna)
    assert {name for name in after if after[name] != before[name]} - {"staff_sessions"} == {"write_conflicts"}


def test_a_conflict_takes_few_queries(agent: FlaskClient, anna: Session) -> None:
    a_save(anna, "done", actor=SAM)
    anna.commit()
    with asked_of(agent) as seen:
        assert save_live(agent, 2, "skipped").status_code == 409
    of_the_token = 4
    assert len(seen) <= 15 + of_the_token


# The ways out


@pytest.fixture
def stuck(agent: FlaskClient, anna: Session) -> dict[str, str]:
    """The fields of a conflict panel: Sam made it Skipped, mine is Done with a comment."""
    a_save(anna, "skipped", actor=SAM)
    anna.commit()
    shown = panel(save_live(agent, 2, "done", comment="Ticket 4821"))
    return {name: hidden(shown, name) for name in ("row_version", "status", "comment")}


def test_keep_the_current(agent: FlaskClient, anna: Session, stuck: dict[str, str]) -> None:
    live = save_live(agent, **stuck, resolve="keep")
    assert live.status_code == 200
    assert chosen(row(live)) == "skipped"
    assert "Ticket 4821" not in row(live)
    assert "data-focus" in row(live).partition(">")[0]
    response = save(agent, **stuck, resolve="keep")
    assert (response.status_code, response.location) == (303, f"/people/anna#step-row-{STEP}")
    assert (status_of(anna), row_version_of(anna)) == ("skipped", 3)


def test_looking_again_with_a_status_that_is_none_shows_the_row(
    agent: FlaskClient, anna: Session, stuck: dict[str, str]
) -> None:
    for send in (save, save_live):
        answer = send(agent, **stuck | {"status": "x"}, seen="todo", resolve="show")
        assert answer.status_code == 200
        assert chosen(row(answer)) == "skipped"


def test_save_mine_over_it(agent: FlaskClient, anna: Session, stuck: dict[str, str]) -> None:
    response = save_live(agent, **stuck, resolve="mine")
    assert response.status_code == 200
    assert "Saved" in words(row(response))
    assert (status_of(anna), row_version_of(anna)) == ("done", 4)
    assert "Ticket 4821" in part(response.text, f"history-{STEP}-4").partition("</tr>")[0]


def test_save_mine_without_htmx(agent: FlaskClient, anna: Session, stuck: dict[str, str]) -> None:
    assert save(agent, **stuck, resolve="mine").status_code == 303
    assert status_of(anna) == "done"


@pytest.mark.parametrize("by", [save, save_live])
def test_edit_fills_in_mine_over_the_newest_version(
    agent: FlaskClient, anna: Session, stuck: dict[str, str], by: Send
) -> None:
    response = by(agent, **stuck, resolve="edit")
    assert response.status_code == 200
    assert chosen(row(response)) == "done"
    assert 'value="Ticket 4821"' in row(response)
    assert hidden(row(response), f"row_version.{STEP}") == "3"
    assert 'class="pill pill-skipped"' in row(response)
    assert status_of(anna) == "skipped"


def test_it_can_conflict_again_and_nothing_typed_is_lost(
    agent: FlaskClient, anna: Session, stuck: dict[str, str]
) -> None:
    a_save(anna, "todo", actor=MAYA, comment="Once more.")
    anna.commit()
    response = save_live(agent, **stuck, resolve="mine")
    assert response.status_code == 409
    shown = panel(response)
    assert "One change came in" in words(shown)
    assert "Once more." in told(shown)
    assert "Done Ticket 4821" in words(part(shown, "conflict-yours"))
    fields = {name: hidden(shown, name) for name in ("row_version", "status", "comment")}
    assert fields == {**stuck, "row_version": "4"}
    assert save_live(agent, **fields, resolve="mine").status_code == 200
    assert (status_of(anna), row_version_of(anna)) == ("done", 5)


def attempts(session: Session) -> list[int]:
    """What each event was counted as, the newest first."""
    return list(session.scalars(text("SELECT attempt FROM user_step_events ORDER BY row_version DESC")))


def test_every_try_after_a_conflict_is_counted(agent: FlaskClient, anna: Session) -> None:
    assert hidden(row(agent.get("/people/anna")), f"attempt.{STEP}") == "0"
    row_version = 2
    for conflicts in (1, 2, 3):
        a_save(anna, "todo" if conflicts % 2 else "skipped", actor=SAM)
        anna.commit()
        shown = panel(save_live(agent, row_version, "done", resolve="mine", attempt=str(conflicts - 1)))
        assert hidden(shown, "attempt") == str(conflicts)
        row_version = int(hidden(shown, "row_version"))
    saved = save_live(agent, row_version, "done", resolve="mine", attempt="3")
    assert attempts(anna)[0] == 3
    assert hidden(row(saved), f"attempt.{STEP}") == "0"


def test_what_is_edited_after_a_conflict_still_is_a_second_try(
    agent: FlaskClient, anna: Session, stuck: dict[str, str]
) -> None:
    edited = save_live(agent, **stuck, resolve="edit", attempt="1")
    assert hidden(row(edited), f"attempt.{STEP}") == "1"
    refused = save_live(agent, 3, "nonsense", attempt="1")
    assert hidden(row(refused), f"attempt.{STEP}") == "1", "no conflict came of it"
    kept = save_live(agent, **stuck, resolve="keep", attempt="1")
    assert hidden(row(kept), f"attempt.{STEP}") == "0"


@pytest.mark.parametrize("attempt", ["", "x", "-1", "9" * 20, HOSTILE])
def test_a_count_that_cannot_be_is_no_reason_to_refuse(agent: FlaskClient, anna: Session, attempt: str) -> None:
    assert save_live(agent, 2, "done", attempt=attempt).status_code == 200
    assert attempts(anna)[0] == 0


# The person is no longer here


@pytest.mark.parametrize("by", [save, save_live])
@pytest.mark.parametrize("resolve", ["", "mine", "edit", "show"])
def test_the_person_was_erased_meanwhile(agent: FlaskClient, anna: Session, by: Send, resolve: str) -> None:
    erasure.erase(anna, SAM, ANNA, ANNA)
    anna.commit()
    response = by(agent, 2, "done", comment="Typed.", resolve=resolve)
    assert response.status_code == 404
    assert response.headers.get("HX-Retarget") == ("#person" if by is save_live else None)
    assert ("<html" in response.text) is (by is save)
    read = words(part(response.text, "gone-panel"))
    assert "This person is no longer here" in read
    assert "Nothing was saved, and what you chose is still here." in read
    assert "Set up payments Done Typed." in read


def test_of_a_person_who_was_erased_the_page_is_gone(agent: FlaskClient, anna: Session) -> None:
    erasure.erase(anna, SAM, ANNA, ANNA)
    anna.commit()
    assert agent.get("/people/anna").status_code == 404
    assert save(agent, 2, "done", resolve="keep").status_code == 303


# The rule that preselects mine


@pytest.mark.parametrize(
    ("policies", "status", "holds"),
    [
        ([Policy()], "done", True),
        ([Policy()], "skipped", True),
        ([Policy()], "todo", True),
        ([Policy()], "in_progress", False),
        ([KEEPS], "in_progress", True),
        ([Policy(done=False)], "done", False),
        ([KEEPS, Policy(done=False)], "done", False),
        ([KEEPS, KEEPS], "done", True),
    ],
)
def test_a_choice_holds_when_no_release_would_have_reset_it(
    anna: Session, policies: list[Policy], status: str, holds: bool
) -> None:
    for policy in policies:
        a_release(anna, policy=policy)
    assert still_holds(status, changes_since(anna, ANNA, STEP, 2)) is holds


def test_a_choice_holds_again_when_the_release_that_reset_it_was_undone(anna: Session) -> None:
    a_release(anna, policy=Policy(done=False))
    assert still_holds("done", changes_since(anna, ANNA, STEP, 2)) is False
    releases.roll_back(anna, MAYA, STEP)
    assert still_holds("done", changes_since(anna, ANNA, STEP, 2)) is True


def test_a_choice_is_weighed_by_what_had_come_when_the_person_was_read(anna: Session) -> None:
    a_release(anna, policy=Policy(done=False))
    releases.roll_back(anna, MAYA, STEP)
    reset, undone = changes_since(anna, ANNA, STEP, 2)
    assert still_holds("done", [reset]) is False
    assert still_holds("done", [reset, undone]) is True


def test_a_choice_does_not_hold_once_somebody_wrote_or_when_nothing_came(anna: Session) -> None:
    assert still_holds("done", []) is False
    a_release(anna, policy=KEEPS)
    a_save(anna, "in_progress", actor=SAM)
    assert still_holds("done", changes_since(anna, ANNA, STEP, 2)) is False
