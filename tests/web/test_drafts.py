"""A draft: started, edited, saved by two people at once, discarded; what was typed is never lost."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.orm import Session

from dashboard.database import Database
from dashboard.onboarding import drafts, releases, steps
from dashboard.onboarding.steps import Definition, Fields
from dashboard.staff.permissions import Role
from tests.conftest import Build, csrf_token
from tests.factories import MAYA, NOOR, STEP, a_draft, a_release, a_step
from tests.staff.signed_in import sign_in_as
from tests.web.desk import Data, form_of, part, same_however_much_there_is, send, words

DRAFT = f"/steps/{STEP}/draft"
MULTIPART = "multipart/form-data"
SAID = {"title": "Set up payments", "description": "Connect a bank account.", "weight": 20, "action_url": "/pay"}


def a_draft_started(session: Session) -> None:
    a_step(session, **SAID)
    drafts.start(session, MAYA, STEP)


@pytest.fixture
def opened(manager: FlaskClient, build: Build) -> Data:
    """The form of a draft of version 2 that says what version 1 says, as the manager has it open."""
    build(a_draft_started)
    return form_of(manager.get(DRAFT), "draft-form")


def draft(database: Database) -> Definition | None:
    with database.transaction() as session:
        return steps.get(session, STEP).draft


def says(database: Database) -> Fields:
    found = draft(database)
    assert found
    return found.fields


def saved_by(client: FlaskClient, **typed: str) -> None:
    """The draft as it is now, saved with something else in it."""
    fields = form_of(client.get(DRAFT), "draft-form") | typed
    assert client.post(DRAFT, data=fields, content_type=MULTIPART).status_code == 303


# Starting


def test_a_draft_starts_from_what_is_live(manager: FlaskClient, database: Database, session: Session) -> None:
    a_step(session, **SAID)
    session.commit()
    answer = send(manager, f"{DRAFT}/start")
    assert (answer.status_code, answer.location) == (303, DRAFT)
    assert says(database) == Fields(**SAID)


def test_a_draft_starts_from_any_version(manager: FlaskClient, database: Database, session: Session) -> None:
    a_step(session, **SAID)
    a_release(session, title="Other words")
    session.commit()
    send(manager, f"{DRAFT}/start", from_version="1")
    assert says(database) == Fields(**SAID)


def test_a_second_start_leads_to_the_draft_that_is_there(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    before = draft(database)
    answer = send(manager, f"{DRAFT}/start")
    assert (answer.status_code, answer.location) == (303, DRAFT)
    assert "This step already has a draft" in manager.get(DRAFT).text
    assert draft(database) == before


@pytest.mark.parametrize(("number", "status"), [("9", 404), ("0", 404), ("-1", 404), ("one", 422)])
def test_a_draft_does_not_start_from_nothing(
    manager: FlaskClient, database: Database, session: Session, number: str, status: int
) -> None:
    a_step(session)
    session.commit()
    assert send(manager, f"{DRAFT}/start", from_version=number).status_code == status
    assert draft(database) is None


# Editing


def test_the_form_holds_what_the_draft_says_and_what_it_was_opened_at(opened: Data) -> None:
    token = opened.pop("csrf_token")
    assert token
    assert opened == {
        "row_version": "2",
        "version": "2",
        **{name: str(value) for name, value in SAID.items()},
        **{f"base_{name}": str(value) for name, value in SAID.items()},
    }


def test_a_save_goes_back_to_the_draft(manager: FlaskClient, opened: Data, database: Database) -> None:
    answer = manager.post(DRAFT, data=opened | {"title": "New words", "weight": "30"})
    assert (answer.status_code, answer.location) == (303, DRAFT)
    assert says(database) == Fields("New words", "Connect a bank account.", 30, "/pay")
    page = manager.get(DRAFT).text
    assert "Saved." in page
    assert "20 to 30" in page


def test_line_breaks_of_browsers_are_no_change(manager: FlaskClient, opened: Data, database: Database) -> None:
    manager.post(DRAFT, data=opened | {"description": "One\r\ntwo"})
    assert says(database).description == "One\ntwo"


def test_the_longest_text_that_is_allowed_is_saved_in_any_script(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    longest = "\N{EARTH GLOBE EUROPE-AFRICA}" * 5_000
    data = opened | {"description": longest}
    assert manager.post(DRAFT, data=data, content_type=MULTIPART).status_code == 303
    again = form_of(manager.get(DRAFT), "draft-form") | {"title": "x"}
    assert manager.post(DRAFT, data=again, content_type=MULTIPART).status_code == 303
    assert says(database).description == longest


def test_what_breaks_a_rule_is_said_at_its_field_and_stays_typed(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    before = draft(database)
    answer = manager.post(DRAFT, data=opened | {"title": "", "weight": "ten", "description": "Kept."})
    assert answer.status_code == 422
    for testid, message in (("title", "Title is required."), ("weight", "Weight must be a whole number")):
        assert f'data-testid="{testid}-error"' in answer.text
        assert message in answer.text
    again = form_of(answer, "draft-form")
    assert (again["weight"], again["description"], again["row_version"]) == ("ten", "Kept.", "2")
    assert draft(database) == before
    assert re.findall(r'<(?:input|textarea)(?=[^>]* autofocus)[^>]* id="([^"]+)"', answer.text) == ["title"]


def test_it_says_that_it_was_not_saved(manager: FlaskClient, opened: Data) -> None:
    """At the foot of the form, where else it says when it was."""
    for wrong in ({"title": ""}, {"row_version": "one"}):
        answer = manager.post(DRAFT, data=opened | wrong)
        foot = answer.text.partition('data-testid="save-draft"')[2].partition("</form>")[0]
        assert "Not saved. Last saved <time" in foot
        assert "Not saved yet" in answer.text.partition("</h1>")[2].partition('class="sub"')[0]
    as_opened = manager.get(DRAFT).text
    assert "Not saved" not in as_opened
    assert "autofocus" not in as_opened


@pytest.mark.parametrize("row_version", ["", "one", "-1", "0", "1.0", "9" * 40])
def test_a_row_version_that_is_no_number_saves_nothing(
    manager: FlaskClient, opened: Data, database: Database, row_version: str
) -> None:
    before = draft(database)
    answer = manager.post(DRAFT, data=opened | {"title": "Kept", "row_version": row_version})
    assert answer.status_code == 422
    assert 'data-testid="form-problem"' in answer.text
    assert form_of(answer, "draft-form")["title"] == "Kept"
    assert draft(database) == before


@pytest.mark.parametrize("missing", ["row_version", "title", "description", "weight", "action_url"])
def test_a_field_that_is_missing_saves_nothing(
    manager: FlaskClient, opened: Data, database: Database, missing: str
) -> None:
    before = draft(database)
    fields = {name: value for name, value in opened.items() if name != missing}
    assert manager.post(DRAFT, data=fields).status_code == 422
    assert draft(database) == before


def test_a_row_version_above_the_newest_saves_nothing(manager: FlaskClient, opened: Data, database: Database) -> None:
    before = draft(database)
    assert manager.post(DRAFT, data=opened | {"row_version": "7"}).status_code == 409
    assert draft(database) == before


def test_a_step_without_a_draft_leads_back_to_the_step(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    session.commit()
    answer = manager.get(DRAFT)
    assert (answer.status_code, answer.location) == (303, f"/steps/{STEP}")
    assert "This step has no draft." in manager.get(f"/steps/{STEP}").text


def test_an_unknown_step_has_no_draft(manager: FlaskClient) -> None:
    assert manager.get("/steps/nowhere/draft").status_code == 404
    assert send(manager, "/steps/nowhere/draft/start").status_code == 404
    assert send(manager, "/steps/nowhere/draft/discard", row_version="1").status_code == 404


@pytest.mark.parametrize("role", [Role.VIEWER, Role.SUPPORT])
@pytest.mark.parametrize("path", ["", "/start", "/discard"])
def test_others_may_not_touch_drafts(app: Flask, database: Database, opened: Data, role: Role, path: str) -> None:
    client, before = app.test_client(), draft(database)
    sign_in_as(client, database, role)
    assert client.get(DRAFT).status_code == 403
    assert (
        send(client, DRAFT + path, {name: opened[name] for name in opened if name != "csrf_token"}).status_code == 403
    )
    assert draft(database) == before


def test_signed_out_what_was_typed_is_kept(app: Flask, opened: Data, database: Database) -> None:
    client, before = app.test_client(), draft(database)
    token = csrf_token(client.get("/sign-in").text)
    answer = client.post(DRAFT, data=opened | {"title": "Typed for long", "csrf_token": token})
    assert answer.status_code == 401
    assert "Typed for long" in answer.text
    assert client.get(DRAFT).location == f"/sign-in?next={DRAFT}"
    assert draft(database) == before


def test_a_save_needs_a_token(manager: FlaskClient, opened: Data, database: Database) -> None:
    before = draft(database)
    assert manager.post(DRAFT, data=opened | {"csrf_token": ""}).status_code == 400
    assert draft(database) == before


def test_the_form_takes_as_many_queries_with_more_steps(manager: FlaskClient, opened: Data, database: Database) -> None:
    def more() -> None:
        with database.transaction() as session:
            for number in range(5):
                a_step(session, f"step-{number}")

    assert same_however_much_there_is(manager, DRAFT, more) <= 7


# Two people at once


def test_fields_that_only_one_of_them_changed_are_merged(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, weight="30")
    panel = manager.post(DRAFT, data=opened | {"action_url": "/pay/start"})
    assert panel.status_code == 409
    assert "The admin saved this draft while you were editing" in panel.text
    assert "One field was merged. Nothing is saved until you press Save merged." in panel.text
    assert "The admin changed it: <del>20</del> <ins>30</ins>" in panel.text
    assert "You changed it: /pay<ins>/start</ins>" in panel.text
    assert "autofocus" in panel.text
    assert says(database).action_url == "/pay", "nothing is saved yet"
    answer = manager.post(DRAFT, data=form_of(panel, "merge-panel"))
    assert answer.status_code == 303
    assert says(database) == Fields("Set up payments", "Connect a bank account.", 30, "/pay/start")


def test_a_save_without_a_change_overtakes_nobody(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    before, told = draft(database), manager.get("/activity?what=drafts").text
    saved_by(colleague)
    assert draft(database) == before
    assert manager.get("/activity?what=drafts").text.count("Saved the draft") == told.count("Saved the draft")
    assert manager.post(DRAFT, data=opened | {"title": "New words"}).status_code == 303
    assert says(database).title == "New words"


def test_what_they_took_back_is_not_told_as_merged(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, weight="30")
    saved_by(colleague, weight="20")
    panel = manager.post(DRAFT, data=opened | {"title": "New words"})
    assert panel.status_code == 409
    assert (
        "The draft is back to what it was when you opened it. Nothing is saved until you press Save merged."
        in panel.text
    )
    assert 'data-testid="merged-title"' in panel.text
    assert ">Merged</span>" not in panel.text
    assert manager.post(DRAFT, data=form_of(panel, "merge-panel")).status_code == 303
    assert says(database) == Fields("New words", "Connect a bank account.", 20, "/pay")


@pytest.mark.parametrize(("choice", "words"), [("theirs", "By them."), ("mine", "By me.\nTwo lines.")])
def test_a_field_that_both_changed_is_for_people_to_choose(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database, choice: str, words: str
) -> None:
    saved_by(colleague, description="By them.")
    panel = manager.post(DRAFT, data=opened | {"description": "By me.\r\nTwo lines."})
    assert panel.status_code == 409
    assert "<b>Description</b> was changed by both of you and needs your choice." in panel.text
    fields = form_of(panel, "merge-panel")
    assert "choice_description" not in fields, "neither is chosen for them"
    assert manager.post(DRAFT, data=fields | {"choice_description": choice}).status_code == 303
    assert says(database).description == words


def test_a_merge_can_be_overtaken_again(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, description="By them.")
    first = form_of(manager.post(DRAFT, data=opened | {"description": "By me.", "title": "Mine"}), "merge-panel")
    saved_by(colleague, title="Theirs", weight="40")
    second = manager.post(DRAFT, data=first | {"choice_description": "mine"})
    assert second.status_code == 409
    fields = form_of(second, "merge-panel")
    assert fields["row_version"] == "4"
    assert (fields["description"], fields["weight"]) == ("By me.", "40")
    assert (fields["base_title"], fields["mine_title"]) == ("Theirs", "Mine")
    assert "choice_title" not in fields
    assert manager.post(DRAFT, data=fields | {"choice_title": "mine"}).status_code == 303
    assert says(database) == Fields("Mine", "By me.", 40, "/pay")


def test_when_both_typed_the_same_the_panel_says_that_it_is_saved(
    manager: FlaskClient, colleague: FlaskClient, opened: Data
) -> None:
    saved_by(colleague, title="The same")
    panel = manager.post(DRAFT, data=opened | {"title": "The same"}).text
    assert "What you typed is already saved." in panel
    assert "Nothing is saved until" not in panel
    assert "You both made the same change" in panel


def test_ones_own_second_window_is_not_a_colleague(manager: FlaskClient, opened: Data) -> None:
    saved_by(manager, title="In the other window", weight="30", action_url="/both")
    panel = manager.post(DRAFT, data=opened | {"title": "Here", "weight": "40", "action_url": "/both"}).text
    assert "You saved this draft in another window" in panel
    assert "<b>Title</b> and <b>Weight</b> were changed in both windows and need your choice." in panel
    assert "Both windows made the same change" in panel
    assert "both of you" not in panel
    assert "You both" not in panel


def beside(page: str) -> tuple[str, list[str]]:
    """The step as people will see it, and what is told of each of its fields against the live version."""
    seen = words(part(page, "as-seen").partition("</section>")[0])
    against = part(page, "against-live").partition("</section>")[0]
    return seen, [words(one) for one in re.findall(r"<dd>(.*?)</dd>", against)]


def test_beside_a_merge_that_was_refused_stands_what_it_says(
    manager: FlaskClient, colleague: FlaskClient, opened: Data
) -> None:
    saved_by(colleague, title="Theirs", weight="30")
    panel = manager.post(DRAFT, data=opened | {"title": "Mine", "description": "New words.", "action_url": "/x"})
    seen, against = beside(panel.text)
    assert "Theirs New words. 30 of 30 points" in seen
    assert against == ["Changed", "Changed", "20 to 30", "Changed"]
    sent = form_of(panel, "merge-panel")
    undecided = manager.post(DRAFT, data=sent | {"weight": "40"})
    assert undecided.status_code == 422
    assert "Theirs New words. 40 of 40 points" in beside(undecided.text)[0]
    wrong = manager.post(DRAFT, data=sent | {"choice_title": "mine", "weight": "abc"})
    assert wrong.status_code == 422
    seen, against = beside(wrong.text)
    assert "Mine New words. 30 of 30 points" in seen, "where it breaks a rule, as it is saved"
    assert against == ["Changed", "Changed", "20 to 30", "Changed"]


@pytest.mark.parametrize(
    "choice", [{"choice_title": "ours"}, {"choice_title": ""}, {}], ids=["unknown", "empty", "none"]
)
def test_without_a_choice_nothing_is_saved(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database, choice: Data
) -> None:
    saved_by(colleague, title="Theirs", description="By them.")
    panel = manager.post(DRAFT, data=opened | {"title": "Mine", "description": "By me.", "action_url": "/x"})
    fields = form_of(panel, "merge-panel") | {"choice_description": "mine", "action_url": "/y"}
    before = draft(database)
    answer = manager.post(DRAFT, data=fields | choice)
    assert answer.status_code == 422
    assert "Title is not decided yet: choose one of the two." in answer.text
    assert "is not valid" not in answer.text
    # the radio has the focus, and not the panel
    assert answer.text.count(" autofocus") == 1
    assert re.search(r'name="choice_title" value="theirs" aria-describedby="title-error" autofocus', answer.text)
    # a token is signed with the second it was made in
    assert form_of(answer, "merge-panel") | {"csrf_token": ""} == fields | {"csrf_token": ""}
    assert draft(database) == before


def test_a_missing_choice_is_said_with_all_else_that_is_wrong(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, title="Theirs")
    fields = form_of(manager.post(DRAFT, data=opened | {"title": "Mine"}), "merge-panel") | {"weight": "ten"}
    answer = manager.post(DRAFT, data=fields)
    assert answer.status_code == 422
    assert "Title is not decided yet" in answer.text
    assert "Weight must be a whole number" in answer.text
    assert (
        "One field is not valid: see the message there. <b>Title</b> was changed by both of you and needs your choice."
        in answer.text
    )
    assert says(database).title == "Theirs"


def test_a_merge_that_breaks_a_rule_is_asked_for_again_with_both_sides(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, title="Theirs", description="By them.", weight="30")
    panel = manager.post(
        DRAFT, data=opened | {"title": "Mine", "description": "By me.\r\nTwo lines.", "action_url": "/x"}
    )
    sent = form_of(panel, "merge-panel") | {"weight": "", "action_url": "nowhere"}
    sent |= {"choice_title": "mine", "choice_description": "theirs"}
    before = draft(database)
    again = manager.post(DRAFT, data=sent)
    assert again.status_code == 422
    assert "Two fields are not valid: see the messages there." in again.text
    for testid, message in (("weight", "Weight must be a whole number"), ("action_url", "Opens must be an http")):
        assert f'data-testid="{testid}-error"' in again.text
        assert message in again.text
    for sentence in (
        "The admin saved this draft while you were editing",
        "Set up payments</p>",
        "Connect a bank account.</p>",
        "The admin changed it: <del>20</del> <ins>30</ins>",
        "You changed it: <del>/pay</del> <ins>nowhere</ins>",
        "Saves over draft 3, the newest",
    ):
        assert sentence in again.text
    for text in ("Theirs", "By them.", "Mine", "Two lines."):
        assert text in re.sub(r"</?(ins|del)>", "", again.text)
    fields = form_of(again, "merge-panel")
    assert {name: value for name, value in fields.items() if name != "csrf_token"} == {
        name: value.replace("\r\n", "\n") for name, value in sent.items() if name != "csrf_token"
    }
    assert draft(database) == before
    repaired = fields | {"weight": "40", "action_url": "/y", "choice_description": "mine"}
    assert manager.post(DRAFT, data=repaired).status_code == 303
    assert says(database) == Fields("Mine", "By me.\nTwo lines.", 40, "/y")


def test_a_field_of_a_merge_that_both_changed_alike_is_still_told_so(
    manager: FlaskClient, colleague: FlaskClient, opened: Data
) -> None:
    saved_by(colleague, title="The same", weight="30")
    panel = manager.post(DRAFT, data=opened | {"title": "The same", "action_url": "/x"})
    again = manager.post(DRAFT, data=form_of(panel, "merge-panel") | {"weight": "ten"})
    assert again.status_code == 422
    assert "One field is not valid: see the message there." in again.text
    assert "You both made the same change" in again.text
    assert again.text.count("Unchanged since you opened it") == 1


def test_a_merge_that_breaks_a_rule_may_be_overtaken_too(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, description="By them.")
    sent = form_of(manager.post(DRAFT, data=opened | {"description": "By me."}), "merge-panel")
    saved_by(colleague, description="By them again.")
    again = manager.post(DRAFT, data=sent | {"title": "", "choice_description": "mine"})
    assert again.status_code == 422
    fields = form_of(again, "merge-panel")
    assert (fields["base_description"], fields["row_version"]) == ("By them.", "3")
    newest = manager.post(DRAFT, data=fields | {"title": "Kept"})
    assert newest.status_code == 409
    fields = form_of(newest, "merge-panel")
    assert (fields["base_description"], fields["mine_description"]) == ("By them again.", "By me.")
    assert fields["title"] == "Kept"
    assert "choice_description" not in fields, "between others it is chosen anew"
    assert says(database).title == "Set up payments"


def test_the_longest_text_is_merged_in_any_script(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    base, theirs, mine = (
        emoji * 5_000 for emoji in ("\N{EARTH GLOBE EUROPE-AFRICA}", "\N{ROCKET}", "\N{PARTY POPPER}")
    )
    saved_by(colleague, description=base)
    stale = form_of(manager.get(DRAFT), "draft-form")
    saved_by(colleague, description=theirs)
    panel = manager.post(DRAFT, data=stale | {"description": mine}, content_type=MULTIPART)
    sent = form_of(panel, "merge-panel") | {"title": "", "choice_description": "mine"}
    again = manager.post(DRAFT, data=sent, content_type=MULTIPART)
    assert again.status_code == 422
    fields = form_of(again, "merge-panel") | {"title": "Kept"}
    assert [fields[f"{side}_description"] for side in ("opened", "base", "mine")] == [base, theirs, mine]
    assert manager.post(DRAFT, data=fields, content_type=MULTIPART).status_code == 303
    assert says(database).description == mine


@pytest.mark.parametrize("base", ["ten", ""])
def test_a_stale_save_whose_base_was_tampered_with_keeps_what_was_typed(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database, base: str
) -> None:
    saved_by(colleague, title="Theirs")
    before = draft(database)
    answer = manager.post(DRAFT, data=opened | {"title": "Mine", "base_weight": base})
    assert answer.status_code == 422
    assert form_of(answer, "draft-form")["title"] == "Mine"
    assert draft(database) == before


def test_html_in_a_merge_is_text(manager: FlaskClient, colleague: FlaskClient, opened: Data) -> None:
    saved_by(colleague, title="<b>theirs</b>")
    panel = manager.post(DRAFT, data=opened | {"title": "<i>mine</i>"}).text
    assert "<b>theirs" not in panel
    assert "<i>mine" not in panel


# The draft is gone


def released(session: Session) -> None:
    releases.release(session, MAYA, STEP)


def discarded(session: Session) -> None:
    found = steps.get(session, STEP).draft
    assert found
    drafts.discard(session, MAYA, STEP, found.row_version)


@pytest.mark.parametrize(
    ("meanwhile", "says_so"),
    [
        (released, "This draft was released while you were editing"),
        (discarded, "This draft was discarded while you were editing"),
    ],
)
def test_a_draft_that_is_gone_gives_back_what_was_typed(
    manager: FlaskClient,
    opened: Data,
    database: Database,
    meanwhile: Callable[[Session], None],
    says_so: str,
) -> None:
    with database.transaction() as session:
        meanwhile(session)
    panel = manager.post(DRAFT, data=opened | {"title": "Typed for long", "weight": "30"})
    assert panel.status_code == 409
    assert says_so in panel.text
    assert draft(database) is None
    fields = form_of(panel, "merge-panel")
    assert (fields["title"], fields["weight"]) == ("Typed for long", "30")
    answer = manager.post(f"{DRAFT}/start", data=fields)
    assert (answer.status_code, answer.location) == (303, DRAFT)
    assert says(database).title == "Typed for long"


def test_a_rollback_to_a_version_is_not_told_as_its_release(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    with database.transaction() as session:
        released(session)
        a_release(session)
        releases.roll_back(session, NOOR, STEP)
    panel = manager.post(DRAFT, data=opened | {"title": "Typed for long"}).text
    assert "maya@example.com released it as release 2." in panel


def test_a_save_never_lands_in_the_draft_of_another_version(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    with database.transaction() as session:
        released(session)
        drafts.start(session, MAYA, STEP)
    answer = manager.post(DRAFT, data=opened | {"title": "For version 2"})
    assert answer.status_code == 409
    assert form_of(answer, "merge-panel")["version"] == "3"
    assert says(database) == Fields(**SAID)


def test_what_draft_was_opened_is_told_by_its_row_version_alone(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    del opened["version"]
    assert manager.post(DRAFT, data=opened | {"title": "Saved"}).status_code == 303
    assert says(database).title == "Saved"
    assert send(manager, f"{DRAFT}/discard", row_version="3").status_code == 303
    assert draft(database) is None


def test_when_somebody_started_a_draft_meanwhile_the_typed_one_is_merged_into_it(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    with database.transaction() as session:
        discarded(session)
    fields = form_of(manager.post(DRAFT, data=opened | {"title": "Mine"}), "merge-panel")
    send(colleague, f"{DRAFT}/start")
    panel = manager.post(f"{DRAFT}/start", data=fields)
    assert panel.status_code == 409
    assert form_of(panel, "merge-panel")["title"] == "Mine"
    assert says(database) == Fields(**SAID)


def test_what_breaks_a_rule_in_a_draft_that_is_gone_is_said_there(
    manager: FlaskClient, opened: Data, database: Database
) -> None:
    with database.transaction() as session:
        discarded(session)
    fields = form_of(manager.post(DRAFT, data=opened), "merge-panel")
    answer = manager.post(f"{DRAFT}/start", data=fields | {"weight": "ten", "title": "Kept"})
    assert answer.status_code == 422
    assert form_of(answer, "merge-panel")["title"] == "Kept"
    assert draft(database) is None


@pytest.mark.parametrize("weight", ["10", "ten"])
def test_a_step_that_went_with_its_only_draft_can_be_made_again(
    manager: FlaskClient, database: Database, session: Session, weight: str
) -> None:
    a_step(session, released=False, **SAID)
    session.commit()
    fields = form_of(manager.get(DRAFT), "draft-form") | {"title": "Typed for long", "weight": weight}
    with database.transaction() as other:
        discarded(other)
    answer = manager.post(DRAFT, data=fields)
    assert answer.status_code == 404
    again = form_of(answer, "new-step-form")
    assert (again["step_id"], again["title"], again["weight"]) == (STEP, "Typed for long", weight)
    assert manager.post("/steps/new", data=again | {"weight": "10"}).status_code == 303
    assert says(database).title == "Typed for long"


# Discarding


def test_a_draft_is_discarded(manager: FlaskClient, opened: Data, database: Database) -> None:
    answer = send(manager, f"{DRAFT}/discard", row_version="2", version="2")
    assert (answer.status_code, answer.location) == (303, f"/steps/{STEP}")
    assert draft(database) is None


def test_the_only_draft_of_a_step_goes_with_it(manager: FlaskClient, session: Session) -> None:
    a_step(session, released=False)
    session.commit()
    answer = send(manager, f"{DRAFT}/discard", row_version="1", version="1")
    assert (answer.status_code, answer.location) == (303, "/steps")
    assert steps.checklist(session) == []


def test_a_draft_that_was_saved_meanwhile_is_not_discarded(
    manager: FlaskClient, colleague: FlaskClient, opened: Data, database: Database
) -> None:
    saved_by(colleague, title="Theirs")
    answer = send(manager, f"{DRAFT}/discard", row_version="1", version="2")
    assert answer.status_code == 409
    assert "The admin saved this draft since you opened it, so it was not discarded." in answer.text
    assert says(database).title == "Theirs"


def test_a_draft_that_is_gone_cannot_be_discarded_again(manager: FlaskClient, opened: Data, database: Database) -> None:
    with database.transaction() as session:
        released(session)
    answer = send(manager, f"{DRAFT}/discard", row_version="1", version="2")
    assert (answer.status_code, answer.location) == (303, f"/steps/{STEP}")
    assert "already released or discarded" in manager.get(f"/steps/{STEP}").text


@pytest.mark.parametrize("row_version", ["", "one", "-1"])
def test_a_discard_without_a_number_discards_nothing(
    manager: FlaskClient, opened: Data, database: Database, row_version: str
) -> None:
    assert send(manager, f"{DRAFT}/discard", row_version=row_version, version="2").status_code == 422
    assert draft(database)


def test_a_draft_of_saved_words_only_is_told_on_the_step(manager: FlaskClient, session: Session) -> None:
    a_step(session)
    a_draft(session, title="Other words")
    session.commit()
    assert "Changes <b>title</b>." in manager.get(f"/steps/{STEP}").text
