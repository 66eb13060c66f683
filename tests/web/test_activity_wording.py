"""Activity in words: each action that the code records has a wording and a filter, and each change is told."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from dashboard.onboarding.activity import ActivityPage, Entry
from dashboard.onboarding.activity_filter import ACTIONS, STATUS_CHANGE, SYSTEM_ACTORS, WHAT
from dashboard.onboarding.carryover import Kind
from dashboard.onboarding.history import Who
from dashboard.web import activity_wording

PACKAGE = Path(__file__).parents[2] / "dashboard"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def done(action: str, **more: Any) -> Entry:
    members: dict[str, Any] = {
        "at": NOW,
        "id": 1,
        "actor": "staff:maya@example.com",
        "action": action,
        "step_id": None,
        "user_id": None,
        "from_status": None,
        "to_status": None,
        "row_version": None,
        "subject": "",
        "changes": {},
        "comment": "",
        "source": "",
    }
    return Entry(**members | more)


def sentence(action: str, **more: Any) -> str:
    return activity_wording.sentence(done(action, **more))


# Nothing that is recorded goes without words --------------------------------------------------------------------------


def recorded() -> Iterator[str]:
    """The action of every call of record() in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "record":
                yield from actions(node.args[2])


def actions(node: ast.expr) -> Iterator[str]:
    """The values that the expression can have."""
    if isinstance(node, ast.Constant):
        yield str(node.value)
    elif isinstance(node, ast.IfExp):
        yield from (*actions(node.body), *actions(node.orelse))
    else:
        assert ast.unparse(node) == "f'release.{terms.kind}'", f"{ast.unparse(node)}: teach this test its values"
        yield from (f"release.{kind}" for kind in get_args(Kind))


def test_every_recorded_action_has_words() -> None:
    found = set(recorded())
    assert len(found) > 20
    assert found - set(activity_wording.SENTENCES) == set()


def test_every_action_with_words_is_in_one_filter() -> None:
    filtered = [action for of_one in ACTIONS.values() for action in of_one if action != STATUS_CHANGE]
    assert len(filtered) == len(set(filtered))
    assert set(filtered) == set(activity_wording.SENTENCES)


def test_every_filter_has_a_label_and_actions() -> None:
    assert list(activity_wording.WHAT_LABELS) == list(WHAT)
    assert ["all", *ACTIONS] == list(WHAT)


def test_every_system_actor_can_be_filtered_and_has_a_name() -> None:
    written = {key for path in PACKAGE.rglob("*.py") for key in re.findall(r'"(system:[a-z-]+)"', path.read_text())}
    assert written == set(SYSTEM_ACTORS) == set(activity_wording.SYSTEM_NAMES)


# Words ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (done("release.migrate", subject="release 3", changes={"version": [1, 2]}), "Released version 2"),
        (done("release.publish", changes={"version": [None, 1]}), "Published version 1"),
        (done("release.rollback", changes={"version": [2, 1]}), "Rolled back to version 1"),
        (done("release.withdraw", changes={"version": [2, None]}), "Withdrew the step"),
        (done("release.restore", changes={"version": [None, 2]}), "Restored the step as version 2"),
        (done("draft.save", subject="version 4"), "Saved the draft of version 4"),
        (done("people.import", subject="2,000 people"), "Imported 2,000 people"),
        (done("sign_in.accepted", subject="maya@example.com"), "Signed in"),
        (done("staff.role_changed", subject="noor@example.com"), "Changed the role of noor@example.com"),
        (done("staff.sessions_ended", subject="a@b", changes={"sessions": [2, 0]}), "Ended 2 sessions for a@b"),
        (done("staff.sessions_ended", subject="a@b", changes={"sessions": [1, 0]}), "Ended 1 session for a@b"),
        (done("token.created", subject="{0} {version}"), "Created the token {0} {version}"),
        (done("plugin.ran", subject="twice"), "plugin.ran twice"),
        (done("plugin.ran"), "plugin.ran"),
    ],
    ids=lambda value: value.action if isinstance(value, Entry) else "",
)
def test_an_action_is_told_in_plain_words(entry: Entry, words: str) -> None:
    assert activity_wording.sentence(entry) == words


@pytest.mark.parametrize("action", activity_wording.SENTENCES)
@pytest.mark.parametrize("changes", [{}, {"version": 5, "sessions": "x"}, {"version": [1], "sessions": [None, None]}])
def test_no_words_need_what_was_not_recorded(action: str, changes: dict[str, Any]) -> None:
    assert "{" not in sentence(action, changes=changes)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([20, 25], "<del>20</del> → <ins>25</ins>"),
        ([None, 2000], "2,000"),
        ([3, None], "<del>3</del>"),
        ([None, None], "none"),
        ([None, ""], "none"),
        (["", "/new"], "/new"),
        (["/a", "/b"], "<del>/a</del> → <ins>/b</ins>"),
        (["Set up payments", "Set up payouts"], "Set up <del>payments</del> <ins>payouts</ins>"),
        ([["a", "b"], ["b", "a"]], "<del>a, b</del> → <ins>b, a</ins>"),
        ([None, ["progress:read", "steps:read"]], "progress:read, steps:read"),
        ([True, False], "<del>True</del> → <ins>False</ins>"),
        (["<b>", "<i>"], "<del>&lt;b&gt;</del> → <ins>&lt;i&gt;</ins>"),
        ([None, "<script>"], "&lt;script&gt;"),
        ("<whole>", "&#34;&lt;whole&gt;&#34;"),
        ({"a": 1}, "{&#34;a&#34;: 1}"),
        ([1, 2, 3], "[1, 2, 3]"),
    ],
    ids=str,
)
def test_a_change_is_told_with_what_was_before(value: object, told: str) -> None:
    assert str(activity_wording.difference("weight", value).text) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([None, "2027-02-27T04:52:30.638733+00:00"], "27 Feb 2027, 04:52 UTC"),
        ([None, "2027-02-27T04:52:30+05:00"], "26 Feb 2027, 23:52 UTC"),
        ([None, None], "none"),
        ([None, "some day"], "some day"),
        ([None, "0001-01-01T00:00:00+05:00"], "0001-01-01T00:00:00+05:00"),
    ],
)
def test_a_time_is_told_as_everywhere(value: object, told: str) -> None:
    assert str(activity_wording.difference("expires_at", value).text) == told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (["viewer", "admin"], "<del>Viewer</del> → <ins>Administrator</ins>"),
        ([None, "support"], "Support agent"),
        ([None, "of old"], "of old"),
        ([None, ["admin"]], "admin"),
    ],
)
def test_a_role_is_told_as_everywhere(value: object, told: str) -> None:
    assert str(activity_wording.difference("role", value).text) == told


@pytest.mark.parametrize(
    ("who", "source", "told"),
    [
        (Who("Maya", "manager"), "web", "Onboarding manager"),
        (Who("Tomás", "support"), "bulk", "Support agent, in bulk"),
        (Who("Anna"), "api", "API"),
        (Who("host", "API"), "api", "API"),
        (Who("Anna"), "web", ""),
    ],
)
def test_who_did_it_has_the_role_and_the_way_it_came(who: Who, source: str, told: str) -> None:
    entry = done(STATUS_CHANGE, id=None, user_id="usr_1", step_id="a", source=source)
    assert activity_wording.tell(entry, ActivityPage(names={entry.actor: who}), {}).by_detail == told


def test_members_have_labels_in_the_order_of_the_form() -> None:
    entry = done(
        "draft.save", changes={"own": [1, 2], "weight": [1, 2], "description": ["a", "b"], "title": ["a", "b"]}
    )
    page = ActivityPage(names={entry.actor: Who("Maya")})
    told = activity_wording.tell(entry, page, {})
    assert [one.label for one in told.differences] == ["Title", "Description", "Weight", "own"]


def test_a_release_leads_to_its_receipt_and_nothing_else_does() -> None:
    assert (
        activity_wording.receipt_of(done("release.migrate", step_id="a b", subject="release 12"))
        == "/steps/a%20b/releases/12"
    )
    for other in (
        done("draft.save", step_id="a", subject="release 12"),
        done("release.migrate", step_id="a", subject="release x"),
        done("release.migrate", subject="release 12"),
    ):
        assert activity_wording.receipt_of(other) == ""


def test_who_is_not_there_any_more_is_told_as_such() -> None:
    entry = done(STATUS_CHANGE, id=None, user_id="erased-7", step_id="gone", actor="user:erased-7", source="bulk")
    told = activity_wording.tell(entry, ActivityPage(names={entry.actor: Who("erased-7")}), {})
    assert (told.person, told.person_id, told.by) == ("An erased person", "", "An erased person")
    assert (told.step, told.step_id, told.by_detail) == ("gone", "", "in bulk")
    assert activity_wording.person_called("usr_1", {}) == "usr_1"


def test_a_program_of_ours_is_called_by_what_it_is() -> None:
    entry = done("people.import", actor="system:import", source="import")
    told = activity_wording.tell(entry, ActivityPage(names={entry.actor: Who("import", "system")}), {})
    assert (told.by, told.by_detail) == ("An import", "system, import")
