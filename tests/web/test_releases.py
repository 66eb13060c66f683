"""Preview and confirm a release, a rollback, a withdrawal, a restore; what moved meanwhile; the receipts."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable
from itertools import product

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import cached_figures, cutover, drafts, releases, steps
from dashboard.onboarding.actor import Actor
from dashboard.onboarding.carryover import Policy, Release
from dashboard.onboarding.plans import PREDICTED
from dashboard.staff import tokens
from dashboard.staff.permissions import Role, Scope
from tests.conftest import Build, csrf_token
from tests.factories import (
    MAYA,
    OTHER,
    STEP,
    a_draft,
    a_release,
    a_save,
    a_step,
    people,
    snapshot,
    status_of,
)
from tests.staff.signed_in import sign_in_as
from tests.web import desk
from tests.web.desk import HTMX, Data, form_of, queries, same_however_much_there_is, send

URL = f"/steps/{STEP}"
KEPT = {"previewed_done": "keep", "previewed_skipped": "keep", "previewed_in_progress": "reset"}


def twenty_people(session: Session) -> list[str]:
    a_step(session, title="Connect your bank", weight=20)
    a_step(session, OTHER, weight=80)
    ids = people(session, 20)
    for user_id, status in zip(ids, ["done"] * 10 + ["skipped"] * 5 + ["in_progress"] * 3, strict=False):
        a_save(session, status, user_id)
    a_draft(session, title="Connect a bank", weight=30)
    return ids


@pytest.fixture
def drafted(build: Build) -> list[str]:
    """Twenty people, 10 done, 5 skipped, 3 in progress, 2 to do; a draft of version 2 with another weight."""
    return build(twenty_people)


def newest(database: Database) -> Release:
    with database.transaction() as session:
        return releases.of_step(session, STEP, limit=1)[0]


def confirm(client: FlaskClient, path: str = "/release", query: str = "") -> Data:
    """The confirmation form of a preview."""
    return form_of(client.get(URL + path + query), "confirm-release")


# The preview


def test_the_report_counts_what_the_release_would_do(manager: FlaskClient, drafted: list[str]) -> None:
    page = manager.get(f"{URL}/release").text
    for words in (
        "Preview of version 2",
        "Nothing has changed yet",
        "15 + 3 + 2 = 20",
        "Done and Skipped stay",
        "Connect <del>your</del> bank",
        "<del>20</del> of 100",
        "<ins>30</ins> of 110",
        "Preset because the weight changed",
        "3 people move, 17 stay",
        "Release version 2, reset 3 people",
        "If more than 10 people change before you confirm",
        "2 of 4 fields",
    ):
        assert words in page
    for testid in ("impact-report", "status-matrix", "histogram", "confirm-release", "policy-form"):
        assert f'data-testid="{testid}"' in page


def test_new_words_alone_keep_work_in_progress(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_draft(session, title="Other words")
    session.commit()
    page = manager.get(f"{URL}/release")
    assert "only the wording changed" in page.text
    assert 'name="in_progress" value="keep" checked' in page.text
    assert "Release version 2, reset no one" in page.text


def test_a_choice_of_policy_shows_what_it_does(manager: FlaskClient, drafted: list[str]) -> None:
    page = manager.get(f"{URL}/release?done=reset&skipped=reset&in_progress=keep&reopen=1")
    assert "Release version 2, reset 15 people" in page.text
    assert "Done and Skipped and In progress set by you" in page.text.replace(", ", " and ")
    fields = form_of(page, "confirm-release")
    assert {name: value for name, value in fields.items() if name.startswith("previewed_") or name == "reset"} == {
        "previewed_done": "reset",
        "previewed_skipped": "reset",
        "previewed_in_progress": "keep",
        "previewed_reopen": "1",
        "reset": "15",
    }


def test_to_htmx_the_report_alone_is_given(manager: FlaskClient, drafted: list[str]) -> None:
    part = manager.get(f"{URL}/release?skipped=reset", headers=HTMX).text
    assert part.lstrip().startswith('<div class="stack" id="impact-report"')
    assert "<html" not in part
    assert "Release version 2, reset 8 people" in part
    # in words beside it, for a region that was on the page before
    said = re.findall(r'<hx-partial hx-target="#said" hx-swap="innerHTML">(.*?)</hx-partial>', part)
    assert said == [
        "Report updated. 18 people affected, 10 copied, 8 reset. Up: 10, down: 5, below 100\u202f%: 0, finished: 0."
    ]
    assert '<p class="sr" id="said" role="status"></p>' in manager.get(f"{URL}/release?skipped=reset").text


@pytest.mark.parametrize("role", [Role.MANAGER, Role.VIEWER])
def test_a_choice_in_a_report_that_was_overtaken_says_so(
    client: FlaskClient, database: Database, drafted: list[str], role: Role
) -> None:
    sign_in_as(client, database, role)
    page = client.get(f"{URL}/release")
    held = re.search(r"hx-headers='(.*?)'", page.text)
    assert held
    asked = HTMX | json.loads(held[1])
    fresh = client.get(f"{URL}/release?skipped=reset", headers=asked)
    assert fresh.status_code == 200
    assert "stale-plan-panel" not in fresh.text
    with database.transaction() as session:
        found = steps.get(session, STEP).draft
        assert found
        drafts.save(session, MAYA, STEP, {"title": "Once more", "weight": 35}, found.row_version)
    answer = client.get(f"{URL}/release?skipped=reset", headers=asked)
    assert answer.status_code == 409
    assert "The draft was saved again since you previewed it" in desk.part(answer.text, "stale-plan-panel")
    assert "<ins>35</ins>" in answer.text
    assert "Skipped set by you" in answer.text
    now = re.search(r"hx-headers='(.*?)'", answer.text)
    assert now
    again = client.get(f"{URL}/release?skipped=reset", headers=HTMX | json.loads(now[1]))
    assert again.status_code == 200
    assert "stale-plan-panel" not in again.text


def test_a_choice_in_a_report_that_was_released_brings_its_heading_along(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    held = re.search(r"hx-headers='(.*?)'", manager.get(f"{URL}/release").text)
    assert held
    asked = HTMX | json.loads(held[1])
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        drafts.start(session, MAYA, STEP)
    answer = manager.get(f"{URL}/release?skipped=reset", headers=asked)
    assert answer.status_code == 409
    assert "Release 2 went live since you previewed this" in desk.part(answer.text, "stale-plan-panel")
    assert "<title>Preview of version 3, Connect a bank - Onboarding</title>" in answer.text
    head = answer.text.partition('hx-target="#preview-head"')[2]
    assert "<h1>Preview of version 3</h1>" in head
    assert "version 2 to version 3" in head
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    gone = manager.get(f"{URL}/release?skipped=reset", headers=asked)
    assert gone.status_code == 409
    assert "The step has no draft to release." in desk.words(gone.text)


def test_the_preview_changes_nothing(manager: FlaskClient, drafted: list[str], session: Session) -> None:
    before = snapshot(session)
    session.rollback()
    for path in ("/release", "/release?done=reset&reopen=1", "/withdraw"):
        assert manager.get(URL + path).status_code == 200
    assert snapshot(session) == before


def test_who_falls_from_100_is_said(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    for user_id in people(session, 4):
        a_save(session, "done", user_id)
    a_draft(session, weight=40)
    session.commit()
    page = manager.get(f"{URL}/release?done=reset").text
    assert "4 people fall below 100\u202f%." in page
    assert "because reopening is off" in page
    assert "100 points" in page
    assert "because reopening is on" in manager.get(f"{URL}/release?done=reset&reopen=1").text


NUMBER = re.compile(r'data-testid="(moves-up|moves-down|moves-same|largest-drop|median|finished)">([^<]+)<')


def test_a_new_weight_alone_resets_nobody_and_moves_everybody_between_0_and_100(
    manager: FlaskClient, session: Session
) -> None:
    a_step(session, weight=10)
    a_step(session, OTHER, weight=30)
    ids = people(session, 10)
    for user_id in ids[:4]:
        a_save(session, "done", user_id)
    for user_id in ids[3:6]:
        a_save(session, "done", user_id, OTHER)
    a_draft(session, weight=70)
    session.commit()
    keep = "done=keep&skipped=keep&in_progress=keep"
    page = manager.get(f"{URL}/release?{keep}").text
    assert "Release version 2, reset no one" in page
    assert "0 people move, 10 stay" in page
    # at 25, 75, 100 and 0 before; at 70, 30, 100 and 0 after
    assert dict(NUMBER.findall(page)) == {
        "moves-up": "3",
        "moves-down": "2",
        "moves-same": "5",
        "largest-drop": "45 points",
        "median": "25\u202f% → 30\u202f%",
        "finished": "1",
    }
    assert "fall-from-100" not in page
    reset = manager.get(f"{URL}/release?{keep.replace('keep', 'reset', 1)}&reopen=1").text
    numbers = dict(NUMBER.findall(reset))
    assert (numbers["moves-down"], numbers["largest-drop"], numbers["finished"]) == ("6", "70 points", "1 → 0")
    assert "1 person falls below 100\u202f%." in reset


POLICY = {"asked": "1", "done": "keep", "skipped": "keep", "in_progress": "reset"}
UPDATE = {"update": "1", "done": "reset", "skipped": "keep", "in_progress": "keep", "who": "reset"}


def test_without_a_script_another_choice_leaves_the_reason_typed(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    page = manager.get(f"{URL}/release")
    owned = re.findall(r'<(?:input|button)[^>]* name="(\w+)"[^>]* form="release-form"', page.text)
    assert set(owned) == {"done", "skipped", "in_progress", "reopen", "asked", "who"}
    assert 'form="release-form" name="update"' in page.text
    typed = form_of(page, "confirm-release") | {"note": "Half of a <b>sentence"}
    again = manager.post(f"{URL}/release", data=typed | UPDATE)
    assert again.status_code == 200
    assert "Release version 2, reset 10 people" in again.text
    assert "stale-plan-panel" not in again.text
    assert re.search(r'aria-current="true"[^>]*>Reset', again.text)
    fields = form_of(again, "confirm-release")
    assert (fields["note"], fields["previewed_done"]) == ("Half of a <b>sentence", "reset")
    assert newest(database).number == 1
    assert (
        manager.post(f"{URL}/release", data=fields | POLICY | {"done": "reset", "in_progress": "keep"}).status_code
        == 303
    )
    assert (newest(database).policy.done, newest(database).note) == (False, "Half of a <b>sentence")


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [({"in_progress": "keep"}, ("keep", "")), ({"reopen": "1"}, ("reset", "1"))],
    ids=["policy", "reopening"],
)
def test_another_choice_than_the_report_showed_is_shown_first(
    manager: FlaskClient, drafted: list[str], database: Database, chosen: Data, shown: tuple[str, str]
) -> None:
    typed = form_of(manager.get(f"{URL}/release"), "confirm-release") | {"note": "My <b>reason</b>"}
    answer = manager.post(f"{URL}/release", data=typed | POLICY | chosen)
    assert answer.status_code == 409
    assert "You changed the choices after the last report." in answer.text
    assert "Your choices differ from the last report" in answer.text
    assert "This changed since you previewed it" not in answer.text
    assert "and your reason is still there." in answer.text
    for note in ("", "  "):
        without = manager.post(f"{URL}/release", data=typed | POLICY | chosen | {"note": note})
        assert "The updated report is below." in without.text
        assert "your reason" not in without.text
    assert 'data-testid="stale-plan-panel"' in answer.text
    assert newest(database).number == 1
    again = form_of(answer, "confirm-release")
    assert again["note"] == "My <b>reason</b>"
    assert (again["previewed_in_progress"], again["previewed_reopen"]) == shown
    assert manager.post(f"{URL}/release", data=again | POLICY | chosen).status_code == 303
    assert newest(database).number == 2


def test_a_box_that_is_no_longer_ticked_is_another_choice(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    typed = confirm(manager, query="?reopen=1")
    assert manager.post(f"{URL}/release", data=typed | POLICY).status_code == 409
    assert newest(database).number == 1
    # where there was none to tick, nothing was chosen
    assert manager.post(f"{URL}/release", data=typed).status_code == 303
    assert newest(database).reopens_finished


def test_another_choice_of_a_draft_that_is_gone_leaves_the_reason_typed_too(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    typed = confirm(manager) | {"note": "Typed for long"}
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    answer = manager.post(f"{URL}/release", data=typed | UPDATE)
    assert answer.status_code == 409
    assert "has no draft to release" in answer.text
    assert "Typed for long" in answer.text


def test_a_viewer_chooses_by_an_address(client: FlaskClient, database: Database, drafted: list[str]) -> None:
    sign_in_as(client, database, Role.VIEWER)
    page = client.get(f"{URL}/release").text
    assert f'<form id="release-form" method="get" action="{URL}/release"></form>' in page
    assert 'name="update"' not in page


@pytest.fixture
def finished(session: Session) -> Session:
    """Three people have done all there is; STEP would be new to them."""
    a_step(session, OTHER)
    for user_id in people(session, 3):
        a_save(session, "done", user_id, OTHER)
    a_step(session, released=False)
    session.commit()
    return session


def test_the_first_release_asks_only_whether_it_reopens(manager: FlaskClient, finished: Session) -> None:
    page = manager.get(f"{URL}/release").text
    assert "Publish version 1 for 3 people" in page
    assert "3 people fall below 100" in page
    assert 'name="reopen"' in page
    assert 'name="done"' not in page
    fields = confirm(manager, query="?reopen=1")
    assert manager.post(f"{URL}/release", data=fields | {"note": "New"}).status_code == 303
    finished.expire_all()
    assert cached_figures.overview(finished).spread.finished == 0


def test_where_nobody_has_finished_it_asks_nothing(manager: FlaskClient, session: Session) -> None:
    a_step(session, released=False)
    session.commit()
    assert 'data-testid="policy-form"' not in manager.get(f"{URL}/release").text


@pytest.mark.parametrize("query", ["done=maybe", "skipped=redo", "in_progress=", "reopen=yes"])
def test_an_unknown_policy_is_refused(manager: FlaskClient, drafted: list[str], query: str) -> None:
    assert manager.get(f"{URL}/release?{query}").status_code == 422
    notice = manager.get(f"{URL}/release?{query}", headers=HTMX)
    assert (notice.status_code, notice.headers["HX-Retarget"]) == (422, "#notices")


def test_without_a_draft_there_is_nothing_to_preview(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    answer = manager.get(f"{URL}/release")
    assert answer.status_code == 409
    assert "The step has no draft to release." in answer.text
    assert manager.get(f"{URL}/release", headers=HTMX).headers["HX-Retarget"] == "#notices"


def test_a_withdrawn_step_is_restored_first(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    with database.transaction() as session:
        releases.withdraw(session, MAYA, STEP)
    answer = manager.get(f"{URL}/release")
    assert answer.status_code == 409
    assert "was withdrawn. Restore it first." in answer.text
    assert f'href="{URL}/restore"' in answer.text


@pytest.mark.parametrize("path", ["release", "rollback", "withdraw", "restore"])
def test_an_unknown_step_is_a_404_page(manager: FlaskClient, path: str) -> None:
    assert manager.get(f"/steps/nowhere/{path}").status_code == 404
    plan = KEPT | {"release_id": "1", "draft_row_version": "1", "everybody": "0"} | dict.fromkeys(PREDICTED, "0")
    assert send(manager, f"/steps/nowhere/{path}", plan).status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
def test_others_may_look_but_not_confirm(
    app: Flask, database: Database, manager: FlaskClient, drafted: list[str], role: Role
) -> None:
    fields = confirm(manager)
    client = app.test_client()
    sign_in_as(client, database, role)
    page = client.get(f"{URL}/release")
    assert page.status_code == 200
    assert 'data-testid="confirm-release"' not in page.text
    for path in ("release", "rollback", "withdraw", "restore"):
        data = {name: value for name, value in fields.items() if name != "csrf_token"}
        assert send(client, f"{URL}/{path}", data).status_code == 403
    assert newest(database).number == 1


def test_signed_out_it_is_closed(app: Flask, drafted: list[str], database: Database) -> None:
    client = app.test_client()
    for path in ("release", "rollback", "withdraw", "restore", "releases/1", "releases/1/receipt.json"):
        assert client.get(f"{URL}/{path}").location == f"/sign-in?next={URL}/{path}"
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post(f"{URL}/release", data={"note": "Typed for long", "csrf_token": token})
    assert answer.status_code == 401
    assert "Typed for long" in answer.text
    assert newest(database).number == 1


def test_the_preview_takes_as_many_queries_with_more_people(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    def more() -> None:
        with database.transaction() as session:
            for number in range(3):
                a_step(session, f"step-{number}")
            for user_id in people(session, 30, "more"):
                a_save(session, "done", user_id)

    assert same_however_much_there_is(manager, f"{URL}/release", more) <= 29


# Confirming


def test_confirming_releases_what_was_previewed(
    manager: FlaskClient, drafted: list[str], database: Database, session: Session
) -> None:
    answer = manager.post(f"{URL}/release", data=confirm(manager) | {"note": "Clearer words."})
    assert (answer.status_code, answer.location) == (303, f"{URL}/releases/2")
    made = newest(database)
    assert (made.kind, made.version, made.policy, made.note) == ("migrate", 2, Policy(), "Clearer words.")
    assert made.released_by == "staff:manager@staff.example"
    assert [status_of(session, drafted[i]) for i in (0, 10, 15, 19)] == ["done", "skipped", "todo", "todo"]


def test_the_chosen_policy_is_the_one_that_is_released(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    fields = confirm(manager, query="?done=reset&in_progress=keep&reopen=1")
    assert manager.post(f"{URL}/release", data=fields).status_code == 303
    made = newest(database)
    assert (made.policy, made.reopens_finished) == (Policy(False, True, True), True)


def test_a_first_release_is_published(manager: FlaskClient, session: Session, database: Database) -> None:
    a_step(session, released=False)
    session.commit()
    assert manager.post(f"{URL}/release", data=confirm(manager)).location == f"{URL}/releases/1"
    assert newest(database).kind == "publish"


def test_what_was_predicted_is_what_happened(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    with database.transaction() as session, releases.dry_run(session):
        predicted = releases.release(session, MAYA, STEP).impact.as_json()
    manager.post(f"{URL}/release", data=confirm(manager))
    receipt = newest(database).receipt
    assert receipt
    assert receipt["impact"] == predicted
    moves = predicted["moves"]
    expected = {one: predicted[one] for one in ("affected", "copied", "reset", "restored", "keptLater", "untouched")}
    expected |= {one: moves[one] for one in ("up", "down", "same")} | {"fallFrom100": moves["fall_from_100"]}
    assert receipt["predicted"] == receipt["actual"] == expected
    assert receipt["drift"] == dict.fromkeys(PREDICTED.values(), 0)


def test_a_second_press_does_nothing_twice(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    fields = confirm(manager)
    first, second = (manager.post(f"{URL}/release", data=fields) for _ in range(2))
    assert first.location == second.location == f"{URL}/releases/2"
    assert second.status_code == 303
    assert newest(database).number == 2


@pytest.mark.parametrize("path", ["/release", "/rollback", "/withdraw", "/restore"])
def test_another_reason_for_what_was_done_already_is_told_and_not_lost(
    manager: FlaskClient, drafted: list[str], database: Database, path: str
) -> None:
    with database.transaction() as session:
        if path == "/rollback":
            releases.release(session, MAYA, STEP)
        if path == "/restore":
            releases.withdraw(session, MAYA, STEP)
    fields = confirm(manager, path)
    made = manager.post(URL + path, data=fields | {"note": "One"}).location
    number = newest(database).number
    answer = manager.post(URL + path, data=fields | {"note": "Two, <b>different</b>"})
    assert answer.status_code == 409
    told = desk.words(desk.part(answer.text, "already-released-panel").partition("</section>")[0])
    assert f"Release {number} was already made You confirmed it" in told
    assert "your second reason was not recorded" in told
    assert "Two, <b>different</b>" in told
    assert "<dt>Reason</dt><dd>One</dd>" in answer.text
    for note in ("", " One "):
        assert manager.post(URL + path, data=fields | {"note": note}).location == made
    assert "already-released-panel" not in manager.get(made).text
    assert (newest(database).number, newest(database).note) == (number, "One")


def test_another_draft_save_asks_again(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        found = steps.get(session, STEP).draft
        assert found
        drafts.save(session, MAYA, STEP, {"title": "Once more", "weight": 35}, found.row_version)
    answer = manager.post(f"{URL}/release", data=fields | {"note": "My <b>reason</b>"})
    assert answer.status_code == 409
    assert "The draft was saved again since you previewed it" in answer.text
    assert 'data-testid="stale-plan-panel"' in answer.text
    assert "autofocus" in answer.text
    assert answer.text.index("stale-plan-panel") < answer.text.index('id="impact-report"')
    again = form_of(answer, "confirm-release")
    assert again["note"] == "My <b>reason</b>"
    assert "<b>reason" not in answer.text
    assert newest(database).number == 1
    assert manager.post(f"{URL}/release", data=again).status_code == 303
    assert newest(database).note == "My <b>reason</b>"


def test_another_release_asks_again(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        a_draft(session, weight=40)
    answer = manager.post(f"{URL}/release", data=fields)
    assert answer.status_code == 409
    assert "Release 2 went live since you previewed this" in answer.text
    assert "Preview of version 3" in answer.text
    assert newest(database).number == 2


def test_when_the_draft_was_released_meanwhile_there_is_nothing_left(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    answer = manager.post(f"{URL}/release", data=fields | {"note": "Typed for long"})
    assert answer.status_code == 409
    for words in ("Release 2 went live since you previewed this", "has no draft to release", "Typed for long"):
        assert words in answer.text
    assert newest(database).number == 2


def test_the_way_back_from_a_receipt_names_what_was_released(manager: FlaskClient, drafted: list[str]) -> None:
    receipt = manager.post(f"{URL}/release", data=confirm(manager)).location
    back = manager.get(f"{URL}/release")
    assert back.status_code == 409
    assert "There is nothing to release" in back.text
    assert "Nothing was" not in back.text, "nothing was asked for"
    assert "not possible" not in back.text
    assert re.search(rf'<a href="{receipt}"[^>]*>The newest release is 2</a>, by The manager, <time', back.text)
    assert "just now</time>: version 2 released." in back.text


def test_what_is_refused_is_said_in_the_words_of_what_was_confirmed(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    fields = confirm(manager, "/rollback")
    with database.transaction() as session:
        releases.roll_back(session, MAYA, STEP)
    refused = manager.post(f"{URL}/rollback", data=fields)
    assert refused.status_code == 409
    assert "This is not possible now" in refused.text
    assert "Nothing was rolled back." in refused.text
    assert "Nothing was released" not in refused.text
    assert "The newest release is 3" in refused.text
    looked = manager.get(f"{URL}/rollback").text
    assert "There is nothing to roll back" in looked
    assert "Nothing was" not in looked


def test_when_the_draft_was_discarded_meanwhile_it_says_so(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        found = steps.get(session, STEP).draft
        assert found
        drafts.discard(session, MAYA, STEP, found.row_version)
    answer = manager.post(f"{URL}/release", data=fields)
    assert answer.status_code == 409
    assert answer.text.count("has no draft to release") == 1
    assert newest(database).number == 1


def test_a_step_withdrawn_meanwhile_says_so(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        releases.withdraw(session, MAYA, STEP)
    answer = manager.post(f"{URL}/release", data=fields)
    assert answer.status_code == 409
    assert "was withdrawn. Restore it first." in answer.text
    assert newest(database).kind == "withdraw"


def test_people_who_move_within_the_tolerance_hold_nothing_up(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    fields = confirm(manager)
    with database.transaction() as session:
        for user_id in drafted[15:18]:
            a_save(session, "done", user_id)
    assert manager.post(f"{URL}/release", data=fields).status_code == 303
    page = manager.get(f"{URL}/releases/2").text
    assert "−3" in page, "three fewer were reset than predicted"
    told = newest(database).receipt
    assert told
    of_status = {"affected": 0, "copied": 3, "reset": -3, "restored": 0, "keptLater": 0, "untouched": 0}
    assert told["drift"] == of_status | {"up": 3, "down": 0, "same": -3, "fallFrom100": 0}
    assert (told["predicted"]["reset"], told["actual"]["reset"]) == (3, told["impact"]["reset"]) == (3, 0)


def test_people_who_move_beyond_the_tolerance_ask_again(
    manager: FlaskClient, app: Flask, drafted: list[str], database: Database
) -> None:
    app.extensions["settings"] = dataclasses.replace(app.extensions["settings"], drift_percent=0, drift_people=2)
    fields = confirm(manager)
    with database.transaction() as session:
        for user_id in drafted[15:18]:
            a_save(session, "done", user_id)
    answer = manager.post(f"{URL}/release", data=fields)
    assert answer.status_code == 409
    assert "Reset: 3 people expected, 0 now." in answer.text
    drift = answer.text.partition('data-testid="drift"')[2].partition("</table>")[0]
    assert drift.count("3 people changed in the meantime") == 2
    assert [word in drift for word in ("Copied", "Reset", "Untouched")] == [True, True, False]
    assert newest(database).number == 1
    assert manager.post(f"{URL}/release", data=form_of(answer, "confirm-release")).status_code == 303


def test_another_release_meanwhile_is_not_called_people_who_moved(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    fields = confirm(manager, "/withdraw")
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    answer = manager.post(f"{URL}/withdraw", data=fields)
    assert answer.status_code == 409
    assert 'data-testid="drift"' not in answer.text


def test_a_reason_is_asked_for_where_one_is_required(
    manager: FlaskClient, app: Flask, drafted: list[str], database: Database
) -> None:
    app.extensions["settings"] = dataclasses.replace(app.extensions["settings"], reason_required=True)
    answer = manager.post(f"{URL}/release", data=confirm(manager) | {"note": "  "})
    assert answer.status_code == 422
    assert 'data-testid="note-error"' in answer.text
    assert "Reason is required." in answer.text
    assert newest(database).number == 1
    assert manager.post(f"{URL}/release", data=confirm(manager) | {"note": "Because."}).status_code == 303
    for path in ("/rollback", "/withdraw", "/restore"):
        number = newest(database).number
        refused = manager.post(URL + path, data=confirm(manager, path))
        assert refused.status_code == 422
        assert "Reason is required." in refused.text
        assert re.search('<textarea[^>]* autofocus[^>]* name="note"', refused.text)
        assert newest(database).number == number
        assert manager.post(URL + path, data=confirm(manager, path) | {"note": "Because."}).status_code == 303


def test_a_reason_that_is_too_long_stays_typed(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    answer = manager.post(f"{URL}/release", data=confirm(manager) | {"note": "x" * 2_001})
    assert answer.status_code == 422
    assert "Reason must be at most 2,000 characters, not 2,001." in answer.text
    assert form_of(answer, "confirm-release")["note"] == "x" * 2_001
    assert newest(database).number == 1


def refused_with(manager: FlaskClient, names: Iterable[str], values: Iterable[str | None], said: str) -> None:
    """Sends the form of the preview with each value in the place of each field, None: without it, and hears that."""
    fields = confirm(manager)
    for name, value in product(names, values):
        tampered = {one: given for one, given in (fields | {name: value}).items() if given is not None}
        answer = manager.post(f"{URL}/release", data=tampered)
        assert (answer.status_code, said in answer.text) == (422, True), (name, value)


def test_a_plan_that_no_preview_gave_out_releases_nothing(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    names = ["release_id", "draft_row_version", "everybody", *PREDICTED]
    refused_with(manager, names, [None, "", "one", "-1", "1.5", "9" * 40], "This form is not valid")
    assert newest(database).number == 1


def test_a_policy_that_was_tampered_with_releases_nothing(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    names = [f"previewed_{status}" for status in ("done", "skipped", "in_progress")]
    refused_with(manager, names, [None, "", "maybe", "redo", "Keep"], "must be keep or reset")
    assert newest(database).number == 1


def test_a_confirmation_needs_a_token(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    assert manager.post(f"{URL}/release", data=confirm(manager) | {"csrf_token": "x"}).status_code == 400
    assert newest(database).number == 1


# Roll back, withdraw, restore


def test_a_rollback_shows_who_gets_what_back_and_gives_it(
    manager: FlaskClient, drafted: list[str], database: Database, session: Session
) -> None:
    manager.post(f"{URL}/release", data=confirm(manager))
    with database.transaction() as other:
        a_save(other, "done", drafted[15])
    page = manager.get(f"{URL}/rollback")
    for words in (
        "Roll back to version 1",
        "Go back to In progress",
        'data-testid="stay"><dt>Stay as they are</dt><dd class="value">16</dd>',
        "1 keeps later work",
        "Roll back to version 1, give 2 people their progress back",
        "Version 1, again",
    ):
        assert words in page.text
    fields = form_of(page, "confirm-release")
    assert manager.post(f"{URL}/rollback", data=fields | {"note": "Wrong."}).location == f"{URL}/releases/3"
    assert manager.post(f"{URL}/rollback", data=fields).location == f"{URL}/releases/3"
    assert newest(database).kind == "rollback"
    assert [status_of(session, drafted[i]) for i in (15, 16, 17)] == ["done", "in_progress", "in_progress"]


def test_the_first_version_has_nothing_to_go_back_to(manager: FlaskClient, drafted: list[str]) -> None:
    answer = manager.get(f"{URL}/rollback")
    assert answer.status_code == 409
    assert "there is nothing to roll back to" in answer.text


def test_a_rollback_that_somebody_else_did_meanwhile_asks_again(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        a_release(session)
    fields = confirm(manager, "/rollback")
    with database.transaction() as session:
        releases.roll_back(session, MAYA, STEP)
    answer = manager.post(f"{URL}/rollback", data=fields)
    assert answer.status_code == 409
    assert "Release 4 went live since you previewed this" in answer.text
    assert "Nothing was rolled back. The updated report is below." in answer.text
    assert "Roll back to version 1" in answer.text
    assert newest(database).number == 4


def test_a_step_is_withdrawn_and_restored_as_it_was(
    manager: FlaskClient, drafted: list[str], database: Database, session: Session
) -> None:
    page = manager.get(f"{URL}/withdraw").text
    assert "Withdraw from 20 people" in page
    assert "Comes back if restored" in page
    assert manager.post(f"{URL}/withdraw", data=confirm(manager, "/withdraw")).status_code == 303
    assert newest(database).kind == "withdraw"
    again = manager.get(f"{URL}/withdraw")
    assert again.status_code == 409
    assert "There is nothing to withdraw" in again.text
    assert "The step is already withdrawn." in again.text
    assert "Restore it first" not in again.text
    assert "Restore version 1 for 20 people" in manager.get(f"{URL}/restore").text
    assert manager.post(f"{URL}/restore", data=confirm(manager, "/restore")).location == f"{URL}/releases/3"
    assert newest(database).kind == "restore"
    assert status_of(session, drafted[15]) == "in_progress"


@pytest.mark.parametrize("path", ["/rollback", "/withdraw", "/restore"])
def test_a_step_that_was_never_released_has_nothing_to_take_back(
    manager: FlaskClient, session: Session, path: str
) -> None:
    a_step(session, released=False, title="Set up payments")
    session.commit()
    answer = manager.get(URL + path)
    assert answer.status_code == 409
    assert 'data-testid="stale-plan-panel"' in answer.text
    assert f"There is nothing to {path.strip('/').replace('rollback', 'roll back')}" in answer.text
    assert "It was never released." in answer.text
    assert "View the step" in answer.text
    assert f"“{STEP}”" not in answer.text, "people know it by its title"


def test_only_a_withdrawn_step_is_restored(manager: FlaskClient, drafted: list[str]) -> None:
    answer = manager.get(f"{URL}/restore")
    assert answer.status_code == 409
    assert "is not withdrawn" in answer.text


@pytest.mark.parametrize("path", ["/withdraw", "/rollback"])
def test_their_plans_are_checked_too(manager: FlaskClient, drafted: list[str], database: Database, path: str) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    fields = confirm(manager, path)
    for name in ("release_id", "everybody", *PREDICTED):
        assert manager.post(URL + path, data=fields | {name: "x"}).status_code == 422
    assert newest(database).number == 2


# a rollback also reads which release it undoes, and marks it as undone
@pytest.mark.parametrize(("path", "few"), [("/withdraw", 29), ("/rollback", 30)])
def test_their_previews_take_few_queries(
    manager: FlaskClient, drafted: list[str], database: Database, path: str, few: int
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
    assert queries(manager, URL + path) <= few


# Receipts


def test_the_receipt_tells_what_was_predicted_and_what_happened(manager: FlaskClient, drafted: list[str]) -> None:
    manager.post(f"{URL}/release", data=confirm(manager) | {"note": "Clearer <words>."})
    page = manager.get(f"{URL}/releases/2").text
    for words in (
        'data-testid="receipt"',
        "Version 2 released",
        "The manager",
        "Clearer &lt;words&gt;.",
        "Done kept, Skipped kept, In progress reset",
        "Every status counts as the policies of the releases since then say",
        "Connect <ins>a</ins> bank",
        "15 + 3 + 2 = 20",
        "What the preview predicted, and what the release did",
    ):
        assert words in page


def test_a_receipt_says_a_weight_as_its_preview_did_unless_it_is_from_before_that_was_kept(
    manager: FlaskClient, drafted: list[str], session: Session
) -> None:
    def weight(page: str) -> list[str]:
        row = page.partition('data-testid="what-changes"')[2].partition("Weight</th>")[2].partition("</tr>")[0]
        return re.findall(r"<td[^>]*>(.*?)</td>", row)

    previewed = weight(manager.get(f"{URL}/release").text)
    assert previewed == ["<del>20</del> of 100", "<ins>30</ins> of 110"]
    manager.post(f"{URL}/release", data=confirm(manager))
    # the total of today is another one
    a_step(session, "later", weight=500)
    session.commit()
    assert weight(receipt_of(manager, 2)) == previewed
    session.execute(text("UPDATE step_releases SET receipt = receipt #- '{impact,totalWeight}'"))
    session.commit()
    assert weight(receipt_of(manager, 2)) == ["<del>20</del>", "<ins>30</ins>"]


def test_a_receipt_has_no_row_that_its_kind_can_never_fill(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        releases.roll_back(session, MAYA, STEP)
    assert list(rows(receipt_of(manager, 2))) == ["Affected", "Copied", "Reset", "Untouched"]
    assert {"Given back", "Kept later work"} < set(rows(receipt_of(manager, 3)))


def test_each_kind_of_release_has_a_receipt(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        releases.roll_back(session, MAYA, STEP)
        releases.withdraw(session, MAYA, STEP)
        releases.restore(session, MAYA, STEP)
    titles = [
        "Version 1 published",
        "Version 2 released",
        "Rolled back to version 1",
        "Withdrawn",
        "Restored as version 1",
    ]
    for number, title in enumerate(titles, start=1):
        assert title in manager.get(f"{URL}/releases/{number}").text
    assert all(title in manager.get(URL).text for title in titles)


def test_a_release_without_a_receipt_says_so(manager: FlaskClient, drafted: list[str], session: Session) -> None:
    session.execute(text("UPDATE step_releases SET receipt = NULL"))
    session.commit()
    assert "There is no receipt for this release" in manager.get(f"{URL}/releases/1").text
    assert manager.get(URL).status_code == 200
    assert manager.get(f"{URL}/releases/1/receipt.json").status_code == 200


def test_the_receipt_is_downloaded_as_json(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    manager.post(f"{URL}/release", data=confirm(manager) | {"note": "Why."})
    answer = manager.get(f"{URL}/releases/2/receipt.json")
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{STEP}-release-2.json"'
    told = json.loads(answer.text)
    assert (told["stepId"], told["number"], told["note"], told["kind"]) == (STEP, 2, "Why.", "migrate")
    assert told["receipt"] == newest(database).receipt


def test_the_file_of_a_release_is_what_the_api_returns(
    app: Flask, manager: FlaskClient, drafted: list[str], session: Session
) -> None:
    releases.release(session, MAYA, STEP, Policy(done=False))
    made = tokens.create(session, Actor("system:command-line", "cli"), name="ci", scopes=[Scope.STEPS_READ])
    releases.roll_back(session, MAYA, STEP, note="Wrong.")
    session.commit()
    told = app.test_client().get(
        f"/api/admin/onboarding/steps/{STEP}/releases", headers={"Authorization": f"Bearer {made.secret}"}
    )
    assert len(told.json["releases"]) == 3
    for release in told.json["releases"]:
        file = manager.get(f"{URL}/releases/{release['number']}/receipt.json")
        assert json.loads(file.text) == {"stepId": STEP, **release}


@pytest.mark.parametrize("number", ["0", "9", "-1", "x", "9" * 40])
def test_a_release_that_is_not_there_is_a_404_page(manager: FlaskClient, drafted: list[str], number: str) -> None:
    assert manager.get(f"{URL}/releases/{number}").status_code == 404
    assert manager.get(f"{URL}/releases/{number}/receipt.json").status_code == 404


def receipt_of(client: FlaskClient, number: int) -> str:
    """The page of a receipt."""
    return client.get(f"{URL}/releases/{number}").text


def rows(page: str) -> dict[str, list[str]]:
    """What was predicted and what happened, by the label of the row."""
    table = page.partition('data-testid="receipt-predicted"')[2].partition("</table>")[0]
    found = re.findall(r'<tr data-testid="[^"]+"><th scope="row">([^<]+)</th>(.*?)</tr>', table)
    return {label: re.findall(r">([^<>]+)</td>", cells)[:2] for label, cells in found}


def half_finished_people(session: Session) -> None:
    a_step(session, OTHER, weight=60)
    for user_id in people(session, 4)[:2]:
        a_save(session, "done", user_id, OTHER)
    a_step(session, weight=40, released=False)


@pytest.fixture
def half_finished(build: Build) -> None:
    """Four people, two of whom finished the one step that is live; the other one is a draft."""
    build(half_finished_people)


def test_receipts_of_other_kinds_tell_of_percents_alone(
    manager: FlaskClient, half_finished: None, database: Database
) -> None:
    assert manager.post(f"{URL}/release", data=confirm(manager)).status_code == 303
    page = receipt_of(manager, 1)
    told = {"Went up": ["0", "0"], "Went down": ["2", "2"], "Stayed the same": ["2", "2"]}
    assert rows(page) == told | {"Fell below 100\u202f%": ["2", "2"]}
    assert "status-matrix" not in page
    with database.transaction() as session:
        a_save(session, "done", "user-0000")
        a_save(session, "in_progress", "user-0003")
    for path, up, down, label in (("/withdraw", "1", "0", "Work kept"), ("/restore", "0", "1", "Work given back")):
        number = newest(database).number + 1
        assert manager.post(URL + path, data=confirm(manager, path)).status_code == 303
        page = receipt_of(manager, number)
        told = rows(page)
        assert (told["Went up"], told["Went down"], told[label]) == ([up] * 2, [down] * 2, ["2", "2"])
        assert "status-matrix" not in page
        assert "Copied" not in page


def test_a_receipt_from_before_percents_were_predicted_is_shown_too(
    manager: FlaskClient, half_finished: None, session: Session
) -> None:
    manager.post(f"{URL}/release", data=confirm(manager))
    manager.post(f"{URL}/withdraw", data=confirm(manager, "/withdraw"))
    old = """
    UPDATE step_releases
       SET receipt = jsonb_set(receipt #- '{predicted,up}' #- '{actual,up}', '{invariants}', CAST(:said AS jsonb))"""
    said = [
        "affected = copied + reset + restored",
        "every status ends as itself or as To do",
        "exactly the released version is live",
    ]
    session.execute(text(old), {"said": json.dumps(said)})
    session.commit()
    page = receipt_of(manager, 2)
    assert rows(page)["Went up"] == ["–", "2"]
    checked = page.partition('data-testid="receipt-invariants"')[2].partition("</ul>")[0]
    assert re.findall(r"<span>([^<]+)</span>", checked) == [
        "Affected = copied + reset + given back",
        "Done, Skipped and In progress end as themselves or as To do",
        "No version is live",
    ]
    assert "Exactly the released version is live" in receipt_of(manager, 1)


def test_a_withdrawal_is_checked_to_leave_no_version_live(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    manager.post(f"{URL}/withdraw", data=confirm(manager, "/withdraw"))
    receipt = newest(database).receipt
    assert receipt
    assert receipt["invariants"][-1] == "no version is live"
    assert "Only a rollback or a restore gives anything back" in receipt_of(manager, 2)


PRESENT = re.compile(
    r"Go |\bStay |[Kk]eeps? later|No one (?:keeps|loses)|people move,|falls? below|There is nothing"
    r"|is off|are asked|stays "
)


def test_a_receipt_is_in_the_past(manager: FlaskClient, drafted: list[str], database: Database) -> None:
    manager.post(f"{URL}/release", data=confirm(manager))
    with database.transaction() as session:
        a_save(session, "done", drafted[15])
    for path in ("/rollback", "/withdraw", "/restore"):
        assert manager.post(URL + path, data=confirm(manager, path)).status_code == 303
    pages = [receipt_of(manager, number).partition('id="receipt"')[2] for number in range(1, 6)]
    for words, page in (
        (("Done and Skipped stayed", "Went back to To do", "3 people moved, 17 stayed"), pages[1]),
        (("Stayed as they were", "Went back to In progress", "1 kept later work"), pages[2]),
        (("Went up", "Went down", "Stayed the same"), pages[3]),
    ):
        assert [word in page for word in words] == [True] * 3
    assert [PRESENT.findall(re.sub(r"<[^>]+>", " ", page)) for page in pages] == [[]] * 5


def test_the_timeline_names_the_zone_of_its_times(manager: FlaskClient, drafted: list[str]) -> None:
    timeline = manager.get(URL).text.partition('data-testid="release-1"')[2].partition("</li>")[0]
    assert re.search(r", \d\d:\d\d</time> UTC", timeline)


def test_a_draft_that_changes_nothing_is_said_to(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_draft(session)
    session.commit()
    page = manager.get(f"{URL}/release").text
    assert "Identical to version 1." in page.partition('data-testid="nothing-differs"')[2].partition("</div>")[0]
    policy = page.partition('id="policy"')[2].partition("policy-form")[0]
    assert "Identical to version 1" in policy
    assert "only the wording changed" not in page
    again = manager.get(f"{URL}/release?done=reset&skipped=keep&in_progress=keep").text
    assert "Identical to version 1; Done set by you" in again


def test_where_a_weight_moves_untouched_people_it_is_said(
    manager: FlaskClient, drafted: list[str], database: Database
) -> None:
    assert "and-percents" in manager.get(f"{URL}/release").text
    manager.post(f"{URL}/release", data=confirm(manager))
    assert "The weight changed too, and could change anyone’s percentage" in manager.get(f"{URL}/releases/2").text
    with database.transaction() as session:
        a_draft(session, title="Other words alone")
    for path in ("/release", "/withdraw", "/releases/1"):
        assert "and-percents" not in manager.get(URL + path).text
    manager.post(f"{URL}/release", data=confirm(manager))
    assert "and-percents" not in manager.get(f"{URL}/releases/3").text


def test_a_restore_has_nothing_to_do_with_reopening(
    manager: FlaskClient, half_finished: None, database: Database
) -> None:
    with database.transaction() as session:
        releases.release(session, MAYA, STEP)
        releases.withdraw(session, MAYA, STEP)
    page = manager.get(f"{URL}/restore").text
    assert "2 people fall below 100" in page
    assert "People who have finished stay finished." in page
    assert "reopening" not in page


# What must always hold


@pytest.fixture
def miscounted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A release that keeps In progress, whatever its policy says."""
    derived = str(cutover.DERIVE).replace("NOT m.carry_in_progress", "false")
    monkeypatch.setattr(cutover, "DERIVE", text(derived))


SENTENCE = (
    "It would have broken a rule that must always hold: every status counts as the policies of the releases since then say. "
    "Nothing was changed."
)


def test_a_broken_invariant_is_told_and_changes_nothing(
    manager: FlaskClient, drafted: list[str], session: Session, request: pytest.FixtureRequest
) -> None:
    fields = confirm(manager)
    before = snapshot(session)
    session.rollback()
    request.getfixturevalue("miscounted")
    answer = manager.post(f"{URL}/release", data=fields)
    assert answer.status_code == 500
    assert "The release was undone" in answer.text
    assert SENTENCE in answer.text
    assert answer.headers["X-Request-ID"] in answer.text
    assert snapshot(session) == before


def test_to_htmx_a_broken_invariant_is_a_notice(manager: FlaskClient, drafted: list[str], miscounted: None) -> None:
    notice = manager.get(f"{URL}/release", headers=HTMX)
    assert (notice.status_code, notice.headers["HX-Retarget"]) == (500, "#notices")
    assert SENTENCE in notice.text
    assert notice.headers["X-Request-ID"] in notice.text


def test_a_file_of_a_broken_release_is_a_page(manager: FlaskClient, drafted: list[str], miscounted: None) -> None:
    assert SENTENCE in manager.get(f"{URL}/release/people.csv").text
