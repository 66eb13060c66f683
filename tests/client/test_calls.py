"""Each call: what it sends, what it makes of the answer, and which refusal becomes which exception."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from dashboard import client as package
from dashboard.client import (
    Client,
    ClientError,
    Conflict,
    Fault,
    Forbidden,
    GaveUp,
    Invalid,
    NotFound,
    RateLimited,
    Refusal,
    ReleaseConflict,
    Retry,
    Unauthorized,
    Unavailable,
    Unreadable,
    Withdrawn,
)
from tests.client.conftest import ANNA, AT, BASE, STEP, Clock, Script, a_step, change, ok, problem, saved

CUT = httpx.ReadError("cut")
NEWER = {"unheard_of": {"deep": [1]}, "another": None}
ADMIN = "/api/admin/onboarding"

PERSON = {"user_id": ANNA, "name": "Anna", "email": "a@example.com", "createdAt": AT, "progress": 5, "finished": False}
SAYS = {"title": "Set up payments", "description": "", "weight": 10, "actionUrl": ""}
RELEASED = {
    "success": True,
    "dryRun": False,
    "usersAffected": 150,
    "progressCopied": 100,
    "progressReset": 50,
    "untouched": 50,
    "impact": {"everybody": 200},
    "releaseId": 9,
    "receipt": {"impact": {}},
}


# Reading --------------------------------------------------------------------------------------------------------------


def test_the_checklist(client: Client, script: Script) -> None:
    step = a_step("done", 3).json() | {"updatedAt": AT} | NEWER
    script.answers = [ok({"user_id": ANNA, "progress": 33, "finished": False, "steps": [step], **NEWER})]
    found = client.steps("an/na & co")
    assert script.told == [("GET", "/api/onboarding/steps?user_id=an%2Fna+%26+co")]
    assert (found.progress, found.finished) == (33, False)
    (one,) = found.steps
    assert (one.id, one.action_url, one.row_version, one.etag) == (STEP, "/settings/payments", 3, '"3"')
    assert one.updated_at
    assert one.updated_at.utcoffset() is not None


def test_one_step_of_any_name(client: Client, script: Script) -> None:
    script.answers = [a_step()]
    assert client.step(ANNA, "../users?/ü").row_version == 1
    assert script.told == [("GET", f"/api/onboarding/steps/..%2Fusers%3F%2F%C3%BC?user_id={ANNA}")]


def test_a_status_that_nobody_knew_can_be_read(client: Client, script: Script) -> None:
    script.answers = [a_step("postponed", 2)]
    assert client.step(ANNA, STEP).status == "postponed"


def test_reading_is_tried_again(client: Client, script: Script) -> None:
    script.answers = [CUT, problem(503), problem(429, {"Retry-After": "1"}), a_step()]
    assert client.step(ANNA, STEP).row_version == 1
    assert script.attempts == [None, "1", "2", "3"]


# People ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201])
def test_putting_a_person(client: Client, script: Script, status: int) -> None:
    script.answers = [CUT, ok({"success": True, "user": PERSON | NEWER}, status)]
    assert client.put_user(ANNA, name="Anna").progress == 5
    assert script.told == [("PUT", "/api/onboarding/users/anna")] * 2
    assert script.bodies[0] == {"name": "Anna", "email": ""}


@pytest.mark.parametrize(
    ("user_id", "held"),
    [
        ("a.b_c-d:e@f+1", "a.b_c-d:e@f+1"),
        ("..", "~Li4"),
        ("a/b", "~YS9i"),
        ("~x", "~fng"),
        ("ü", "~w7w"),
        ("a\n", "~YQo"),
    ],
)
def test_an_id_that_an_address_would_lose_is_packed(client: Client, script: Script, user_id: str, held: str) -> None:
    script.answers = [ok({"success": True})]
    client.erase_user(user_id)
    assert script.told == [("DELETE", f"/api/onboarding/users/{quote(held, safe='~')}")]


def test_erasing_a_person(client: Client, script: Script) -> None:
    script.answers = [ok({"success": True})]
    client.erase_user(ANNA)
    assert script.told == [("DELETE", f"/api/onboarding/users/{ANNA}")]


def test_whoever_was_not_there_cannot_be_erased(client: Client, script: Script) -> None:
    script.answers = [problem(429), problem(404)]
    with pytest.raises(NotFound):
        client.erase_user(ANNA)


def test_whoever_is_gone_after_a_lost_answer_was_erased(client: Client, script: Script) -> None:
    script.answers = [CUT, problem(404)]
    client.erase_user(ANNA)


# Many at once ---------------------------------------------------------------------------------------------------------


def refused(user_id: str, status: int, **members: Any) -> dict[str, Any]:
    return {"user_id": user_id, "status": status, "error": "Title", "message": "Why.", **members}


def moved(user_id: str, status: str, row_version: int, **more: Any) -> dict[str, Any]:
    state = {"status": status, "row_version": row_version}
    return refused(user_id, 409, attemptedVersion=1, currentVersion=row_version, currentState=state, **more)


def batch(*results: dict[str, Any]) -> httpx.Response:
    return ok({"step_id": STEP, "status": "done", "results": list(results), **NEWER})


def test_many_are_saved_each_for_itself(client: Client, script: Script) -> None:
    kept = {"user_id": ANNA, "status": 200, "step": saved().json()["step"], "progress": 40}
    unknown, wrong = refused("dan", 404), refused("eve", 422, errors=[{"member": "row_version", "reason": "is 9"}])
    script.answers = [batch(kept, moved("ben", "done", 3), moved("cleo", "skipped", 2), unknown, wrong)]
    everybody = [(ANNA, 1), ("ben", 1), ("cleo", 1), ("dan", 1), ("eve", 9)]
    results = client.save_many(STEP, "done", everybody)
    assert script.told == [("PATCH", "/api/onboarding/steps")]
    assert script.bodies == [
        {
            "status": "done",
            "step_id": STEP,
            "updates": [{"user_id": user_id, "row_version": row_version} for user_id, row_version in everybody],
        }
    ]
    assert [one.user_id for one in results] == [user_id for user_id, _ in everybody]
    anna, ben, cleo, dan, eve = results
    assert anna.saved
    assert (anna.saved.row_version, anna.saved.progress, anna.saved.already, anna.refusal) == (2, 40, False, None)
    assert ben.saved
    assert (ben.saved.row_version, ben.saved.already) == (3, True)
    assert isinstance(cleo.refusal, Conflict)
    assert (cleo.saved, cleo.refusal.current.status, cleo.refusal.unsure) == (None, "skipped", False)
    assert isinstance(dan.refusal, NotFound)
    assert isinstance(eve.refusal, Invalid)
    assert (eve.refusal.detail, eve.refusal.members) == ("Why.", {"row_version": "is 9"})


def test_a_batch_that_was_cut_off_is_sent_again_and_says_what_is_unsure(client: Client, script: Script) -> None:
    """Where the answer lists the changes, our own lost save is among them; where not, a conflict may be about it."""
    ours = [change(2, "todo", "done"), change(3, "done", "todo")]
    script.answers = [
        CUT,
        batch(moved(ANNA, "done", 2), moved("ben", "todo", 3, changes=ours), moved("cleo", "todo", 3)),
    ]
    anna, ben, cleo = client.save_many(STEP, "done", [(ANNA, 1), ("ben", 1), ("cleo", 1)])
    assert anna.saved
    assert ben.saved
    assert (anna.saved.already, ben.saved.already, ben.saved.row_version) == (True, True, 2)
    assert cleo.refusal
    assert cleo.refusal.unsure


@pytest.mark.parametrize("broken", [{}, {"user_id": ANNA, "status": 200}, {"user_id": ANNA, "status": None}])
def test_a_result_without_its_members_is_unreadable(client: Client, script: Script, broken: dict[str, Any]) -> None:
    script.answers = [batch(broken)]
    with pytest.raises(Unreadable) as error:
        client.save_many(STEP, "done", [(ANNA, 1)])
    assert error.value.unsure


# Releases -------------------------------------------------------------------------------------------------------------


def test_the_checklist_as_staff_see_it(client: Client, script: Script) -> None:
    draft = {**SAYS, "version": 3, "row_version": 2, "basedOn": 2, "editedAt": AT, "editedBy": "staff:maya"}
    step = {**SAYS, "id": STEP, "position": 1, "version": 2, "release": 2, "withdrawn": False}
    script.answers = [ok({"steps": [step | {"draft": draft} | NEWER, step | {"draft": None}], **NEWER})]
    first, second = client.definitions()
    assert first.draft
    assert (first.draft.based_on, first.draft.row_version, second.draft) == (2, 2, None)
    assert script.told == [("GET", f"{ADMIN}/steps")]


def a_version(number: int) -> dict[str, Any]:
    return {**SAYS, "version": number, "state": "past", "basedOn": None, "editedAt": AT, "editedBy": "x", **NEWER}


def a_release(number: int) -> dict[str, Any]:
    policy = {"done": "keep", "skipped": "keep", "inProgress": "reset"}
    made = {"releasedAt": AT, "by": "staff:maya", "note": "", "policy": policy, "reopenFinished": False}
    undone = {"undone": False, "undoneBy": None, "receipt": None}
    return {"id": 10 + number, "number": number, "kind": "migrate", "version": number, **made, **undone, **NEWER}


def test_versions_and_releases_come_page_by_page_as_they_are_taken(client: Client, script: Script) -> None:
    versions, releases = f"{ADMIN}/steps/{STEP}/versions", f"{ADMIN}/steps/{STEP}/releases"
    script.answers = [ok({"id": STEP, "versions": [a_version(3), a_version(2)], "next": 2})]
    taken = client.versions(STEP)
    assert [next(taken).version, next(taken).version] == [3, 2]
    assert script.told == [("GET", versions)]
    script.answers = [problem(503), ok({"id": STEP, "versions": [a_version(1)], "next": None})]
    assert [one.version for one in taken] == [1]
    assert script.told[1:] == [("GET", f"{versions}?before=2")] * 2

    script.answers = [ok({"id": STEP, "releases": [a_release(2), a_release(1)], "next": None})]
    newest, first = client.releases(STEP)
    assert (newest.number, newest.by, newest.policy["inProgress"], first.id) == (2, "staff:maya", "reset", 11)
    assert script.told[3:] == [("GET", releases)]


def test_a_release_says_all_that_it_was_told(client: Client, script: Script) -> None:
    script.answers = [ok(RELEASED | NEWER)]
    done = client.migrate(
        STEP,
        1,
        2,
        {"weight": 20, "action_url": "/pay"},
        policy={"in_progress": "keep"},
        expect={"progress_reset": 50, "tolerance": 5},
        note="Why",
        reopen_finished=True,
        discard_draft=True,
    )
    assert script.told == [("POST", f"{ADMIN}/migrate-version")]
    assert script.bodies == [
        {
            "stepId": STEP,
            "fromVersion": 1,
            "toVersion": 2,
            "newStepData": {"weight": 20, "actionUrl": "/pay"},
            "dryRun": False,
            "policy": {"inProgress": "keep"},
            "expect": {"progressReset": 50, "tolerance": 5},
            "note": "Why",
            "reopenFinished": True,
            "discardDraft": True,
        }
    ]
    assert (done.users_affected, done.progress_copied, done.progress_reset, done.untouched) == (150, 100, 50, 50)
    assert (done.release_id, done.impact["everybody"], done.restored) == (9, 200, None)


def test_a_rollback(client: Client, script: Script) -> None:
    script.answers = [ok(RELEASED | {"restored": 4, "keptLater": 1})]
    done = client.rollback(STEP, 2, note="Back")
    assert script.told == [("POST", f"{ADMIN}/rollback-version")]
    assert script.bodies == [{"stepId": STEP, "fromVersion": 2, "dryRun": False, "note": "Back"}]
    assert (done.restored, done.kept_later) == (4, 1)


def migrate(client: Client, *, dry_run: bool = False) -> object:
    return client.migrate(STEP, 1, 2, {}, dry_run=dry_run)


def roll_back(client: Client, *, dry_run: bool = False) -> object:
    return client.rollback(STEP, 2, dry_run=dry_run)


either = pytest.mark.parametrize("release", [migrate, roll_back])


@either
@pytest.mark.parametrize(
    ("first", "dry_run", "unsure"),
    [
        (CUT, False, True),
        (problem(503), False, True),
        (httpx.ConnectError(""), False, False),
        (problem(429), False, False),
        (CUT, True, False),
    ],
)
def test_a_conflict_after_a_lost_answer_may_be_about_our_own_release(
    client: Client, script: Script, release: Any, first: Any, dry_run: bool, unsure: bool
) -> None:
    script.answers = [first, problem(409, reasons=["Version 1 is not live: version 2 is."])]
    with pytest.raises(ReleaseConflict) as refused:
        release(client, dry_run=dry_run)
    assert refused.value.reasons == ["Version 1 is not live: version 2 is."]
    assert refused.value.unsure is unsure
    assert script.bodies[0] == script.bodies[1]


@either
def test_a_release_that_did_not_arrive_is_asked_for_again(client: Client, script: Script, release: Any) -> None:
    script.answers = [CUT, problem(503), ok(RELEASED)]
    assert release(client).release_id == 9


@either
def test_a_conflict_at_the_first_try_is_sure(client: Client, script: Script, release: Any) -> None:
    script.answers = [problem(409, reasons=["A draft is open."])]
    with pytest.raises(ReleaseConflict) as refused:
        release(client)
    assert (refused.value.unsure, refused.value.reasons) == (False, ["A draft is open."])


# Refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "members", "kind", "told"),
    [
        (400, {}, Refusal, {}),
        (401, {}, Unauthorized, {}),
        (403, {"scope": "progress:write"}, Forbidden, {"scope": "progress:write"}),
        (404, {}, NotFound, {}),
        (409, {}, Refusal, {}),
        (410, {}, Withdrawn, {}),
        (422, {"errors": [{"member": "status", "reason": "is odd"}]}, Invalid, {"members": {"status": "is odd"}}),
        (428, {}, Refusal, {}),
        (500, {"request_id": "r-1"}, Fault, {"request_id": "r-1"}),
    ],
)
def test_refusals_are_typed(
    client: Client, script: Script, status: int, members: dict[str, Any], kind: type[Refusal], told: dict[str, Any]
) -> None:
    script.answers = [problem(status, **members, **NEWER)]
    with pytest.raises(Refusal) as refused:
        client.step(ANNA, STEP)
    assert type(refused.value) is kind
    assert (refused.value.status, refused.value.detail, str(refused.value)) == (status, "Why.", f"{status}: Why.")
    assert refused.value.problem["unheard_of"] == {"deep": [1]}
    assert {name: getattr(refused.value, name) for name in told} == told


@pytest.mark.parametrize(("status", "kind"), [(429, RateLimited), (502, Unavailable), (503, Unavailable)])
def test_what_may_pass_is_typed_too(script: Script, clock: Clock, status: int, kind: type[Refusal]) -> None:
    client = Client(BASE, "t", retry=clock.retry(attempts=1), transport=httpx.MockTransport(script))
    script.answers = [problem(status)]
    with pytest.raises(GaveUp, match="after 1 try: ") as end:
        client.step(ANNA, STEP)
    assert type(end.value.last) is kind
    assert not end.value.unsure


@pytest.mark.parametrize("content", [b"", b"<h1>Not found</h1>", b"[]", b"null", b"\xff"])
def test_a_refusal_that_is_no_problem_document_has_the_words_of_its_status(
    client: Client, script: Script, content: bytes
) -> None:
    script.answers = [httpx.Response(404, content=content), httpx.Response(499, content=content)]
    with pytest.raises(NotFound, match="404: Not Found"):
        client.step(ANNA, STEP)
    with pytest.raises(Refusal, match="499: no reason given"):
        client.step(ANNA, STEP)


@pytest.mark.parametrize(
    "answer",
    [
        ok({"id": STEP}),
        ok(a_step().json() | {"row_version": "many"}),
        httpx.Response(200, content=b"null"),
        problem(409, attemptedVersion=1),
        problem(409, attemptedVersion=1, currentState={"status": "done", "row_version": 2}, changes=None),
        problem(409, attemptedVersion=None, currentState={"status": "done", "row_version": 2}),
    ],
)
def test_an_answer_without_its_members_is_unreadable(client: Client, script: Script, answer: httpx.Response) -> None:
    script.answers = [answer]
    with pytest.raises(Unreadable) as error:
        client.step(ANNA, STEP)
    assert not error.value.unsure


def test_a_redirect_is_not_followed(client: Client, script: Script) -> None:
    script.answers = [httpx.Response(302, headers={"Location": "https://elsewhere.example/"})]
    with pytest.raises(Refusal, match="302: Found"):
        client.step(ANNA, STEP)
    assert len(script.asked) == 1


# The client itself ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["dashboard.example", "ftp://dashboard.example", ""])
def test_an_address_without_its_scheme_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="base_url"):
        Client(address, "t")


@pytest.mark.parametrize("address", [BASE, f"{BASE}/", f"{BASE}/below/", f"{BASE}/below"])
def test_the_dashboard_may_be_below_an_address(script: Script, address: str) -> None:
    script.answers = [a_step()]
    Client(address, "t", transport=httpx.MockTransport(script)).step(ANNA, STEP)
    below = "/below" if "below" in address else ""
    assert script.told == [("GET", f"{below}/api/onboarding/steps/{STEP}?user_id={ANNA}")]


def test_it_is_closed_at_the_end_of_its_block(script: Script) -> None:
    with Client(BASE, "t", transport=httpx.MockTransport(script)) as client:
        script.answers = [a_step()]
        client.step(ANNA, STEP)
    with pytest.raises(RuntimeError, match="closed"):
        client.step(ANNA, STEP)


def test_its_secret_is_in_no_message_and_not_in_its_repr(client: Client, script: Script) -> None:
    script.answers = [problem(401)]
    with pytest.raises(Unauthorized) as refused:
        client.step(ANNA, STEP)
    assert "obd_secret" not in repr(client) + str(refused.value) + repr(refused.value)


def test_everything_that_is_raised_or_answered_can_be_imported() -> None:
    kinds = {kind.__name__ for kind in _below(ClientError)} | {"Client", "Retry", "Saved"}
    assert kinds <= set(package.__all__)
    assert {name for name in package.__all__ if not hasattr(package, name)} == set()


def _below(kind: type[Any]) -> set[type[Any]]:
    return {kind}.union(*(_below(one) for one in kind.__subclasses__()))


def test_an_answer_that_comes_drop_by_drop_is_given_up_after_the_time_of_one_request() -> None:
    sent: list[bytes] = []

    def drops() -> Iterator[bytes]:
        while len(sent) < 500:
            sent.append(b" ")
            time.sleep(0.005)
            yield b" "

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=drops()))
    with (
        Client(BASE, "obd_secret", timeout_s=0.05, retry=Retry(attempts=1), transport=transport) as client,
        pytest.raises(ClientError, match="took too long"),
    ):
        client.step(ANNA, STEP)
    assert len(sent) < 100


@pytest.mark.parametrize("token", ["", "obd_secret\n", " obd_secret", "obd secret", "obd_sécret", "obd_secret\0"])
def test_a_token_that_cannot_be_sent_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ValueError, match="token must be the secret alone") as refused:
        Client(BASE, token)
    assert "obd" not in str(refused.value)
