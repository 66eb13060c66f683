"""What a save does about a conflict, and when it stops: rule by rule, against answers from a script."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from dashboard.client import (
    Client,
    Conflict,
    GaveUp,
    NoLongerWanted,
    NotFound,
    RateLimited,
    Unanswered,
    Unavailable,
    Withdrawn,
    always,
    unless_finished,
)
from tests.client.conftest import (
    ANNA,
    BASE,
    STEP,
    Clock,
    Script,
    a_step,
    change,
    conflict,
    problem,
    saved,
)

READ, WRITE = ("GET", f"/api/onboarding/steps/{STEP}?user_id={ANNA}"), ("PATCH", f"/api/onboarding/steps/{STEP}")
CUT = httpx.ReadError("cut")


def test_it_reads_then_saves_over_what_it_read(client: Client, script: Script) -> None:
    script.answers = [a_step(row_version=4), saved(row_version=5)]
    done = client.update_step(ANNA, STEP, "done")
    assert script.told == [READ, WRITE]
    assert script.bodies == [{"user_id": ANNA, "status": "done", "row_version": 4}]
    assert script.attempts == [None, None]
    assert script.asked[0].headers["Authorization"] == "Bearer obd_secret"
    assert (done.status, done.row_version, done.progress, done.finished) == ("done", 5, 50, False)
    assert (done.already, done.retries) == (False, 0)


def test_it_saves_over_what_the_caller_saw(client: Client, script: Script) -> None:
    script.answers = [saved()]
    client.update_step(ANNA, STEP, "done", row_version=1)
    assert script.told == [WRITE]


def test_what_is_so_already_is_not_written(client: Client, script: Script) -> None:
    script.answers = [a_step("done", 7)]
    done = client.update_step(ANNA, STEP, "done")
    assert (done.already, done.row_version, done.conflict) == (True, 7, None)


@pytest.mark.parametrize("status", [409, 412])
def test_after_a_conflict_it_reads_again_and_says_which_try_it_is(client: Client, script: Script, status: int) -> None:
    moved = change(2, "todo", "in_progress")
    script.answers = [conflict(1, moved, status=status), a_step("in_progress", 2), saved(row_version=3)]
    done = client.update_step(ANNA, STEP, "done", row_version=1)
    assert script.told == [WRITE, READ, WRITE]
    assert [body["row_version"] for body in script.bodies] == [1, 2]
    assert script.attempts[-1] == "1"
    assert (done.retries, done.already) == (1, False)


def test_only_saves_are_counted_as_attempts(client: Client, script: Script) -> None:
    moved = change(2, "todo", "in_progress")
    script.answers = [problem(503), a_step(), conflict(1, moved), CUT, a_step("in_progress", 2), saved(row_version=3)]
    done = client.update_step(ANNA, STEP, "done")
    assert script.told == [READ, READ, WRITE, READ, READ, WRITE]
    assert [script.attempts[2], script.attempts[5], done.retries] == [None, "1", 3]


def test_a_conflict_that_is_what_was_asked_for_counts_as_done(client: Client, script: Script) -> None:
    script.answers = [conflict(1, change(2, "todo", "skipped"), change(3, "skipped", "done"))]
    done = client.update_step(ANNA, STEP, "done", row_version=1)
    assert (done.already, done.row_version, done.retries) == (True, 3, 0)
    assert done.conflict
    assert [one.by for one in done.conflict.changes] == ["staff:sam", "staff:sam"]


# Cut off before the answer --------------------------------------------------------------------------------------------


def test_a_save_that_was_kept_although_its_answer_was_lost_is_done(client: Client, script: Script) -> None:
    script.answers = [CUT, conflict(1, change(2, "todo", "in_progress"))]
    done = client.update_step(ANNA, STEP, "in_progress", row_version=1)
    assert script.told == [WRITE, WRITE]
    assert (done.already, done.row_version, done.retries) == (True, 2, 1)


@pytest.mark.parametrize("intent", [always, unless_finished])
def test_it_is_not_saved_again_when_somebody_moved_on_from_it(client: Client, script: Script, intent: Any) -> None:
    """The first try was kept, then somebody changed it: to save it again would overwrite them."""
    script.answers = [CUT, conflict(1, change(2, "todo", "in_progress"), change(3, "in_progress", "todo"))]
    done = client.update_step(ANNA, STEP, "in_progress", intent, row_version=1)
    assert (done.already, done.row_version) == (True, 2)
    assert done.conflict
    assert done.conflict.current.status == "todo"


@pytest.mark.parametrize(
    "moved",
    [
        [change(2, "todo", "in_progress", "release"), change(3, "in_progress", "todo")],
        [change(2, "todo", "todo"), change(3, "todo", "in_progress"), change(4, "in_progress", "todo")],
        [change(2, "todo", "done"), change(3, "done", "todo")],
    ],
)
def test_what_somebody_else_did_is_not_taken_for_ours(
    client: Client, script: Script, moved: list[dict[str, Any]]
) -> None:
    """A try over version 1 can only have made version 2, and as a save."""
    script.answers = [CUT, conflict(1, *moved), a_step("todo", 4), saved("in_progress", 5)]
    done = client.update_step(ANNA, STEP, "in_progress", always, row_version=1)
    assert (done.already, done.row_version) == (False, 5)


@pytest.mark.parametrize(
    "before", [httpx.ConnectError("refused"), httpx.ConnectTimeout(""), httpx.PoolTimeout(""), problem(429)]
)
def test_a_try_that_cannot_have_been_kept_is_none_of_ours(client: Client, script: Script, before: Any) -> None:
    moved = [change(2, "todo", "in_progress"), change(3, "in_progress", "todo")]
    script.answers = [before, conflict(1, *moved), a_step("todo", 3), saved("in_progress", 4)]
    assert not client.update_step(ANNA, STEP, "in_progress", row_version=1).already


def test_a_conflict_settles_what_became_of_the_tries_before(client: Client, script: Script) -> None:
    """A lost try over version 1 was none; what others did over version 2 cannot have been it."""
    script.answers = [
        CUT,
        conflict(1, change(2, "todo", "todo")),
        a_step("todo", 2),
        conflict(2, change(3, "todo", "in_progress"), change(4, "in_progress", "todo")),
        a_step("todo", 4),
        saved("in_progress", 5),
    ]
    assert not client.update_step(ANNA, STEP, "in_progress", row_version=1).already


def test_a_read_that_was_cut_leaves_nothing_open(client: Client, script: Script) -> None:
    script.answers = [CUT, a_step(), conflict(1, change(2, "todo", "in_progress"), change(3, "in_progress", "todo"))]
    script.answers += [a_step("todo", 3), saved("in_progress", 4)]
    assert not client.update_step(ANNA, STEP, "in_progress").already


@pytest.mark.parametrize(
    "broken",
    [
        CUT,
        httpx.ReadTimeout(""),
        httpx.WriteError(""),
        httpx.WriteTimeout(""),
        httpx.RemoteProtocolError("Server disconnected"),
        httpx.ConnectError(""),
        httpx.ConnectTimeout(""),
        httpx.PoolTimeout(""),
        problem(503),
        httpx.Response(502, text="<h1>Bad gateway</h1>"),
        httpx.Response(504),
        problem(408),
        problem(429),
        httpx.Response(200, content=b'{"success": true, "step": {"id"'),
        httpx.Response(409, content=b'{"type": ', headers={"Content-Type": "application/problem+json"}),
    ],
    ids=repr,
)
def test_the_same_save_is_sent_again(client: Client, script: Script, broken: Any) -> None:
    script.answers = [broken, broken if isinstance(broken, Exception) else problem(503), saved()]
    done = client.update_step(ANNA, STEP, "done", row_version=1)
    assert script.told == [WRITE] * 3
    assert {body["row_version"] for body in script.bodies} == {1}
    assert script.attempts == [None, "1", "2"]
    assert (done.already, done.retries) == (False, 2)


# The intent -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ([change(2, "todo", "todo", "release")], True),
        ([change(2, "in_progress", "todo", "release")], True),
        ([change(2, "done", "done", "release")], True),
        ([change(2, "done", "done")], True),
        ([change(2, "todo", "done")], False),
        ([change(2, "todo", "skipped")], False),
        ([change(2, "todo", "done"), change(3, "done", "todo")], False),
        ([change(2, "todo", "done", "release")], False),
        ([change(2, "done", "skipped")], False),
    ],
)
def test_the_usual_intent_respects_who_finished_or_skipped_meanwhile(
    client: Client, script: Script, changes: list[dict[str, Any]], wanted: bool
) -> None:
    last = changes[-1]
    script.answers = [conflict(1, *changes), a_step(last["to"], last["row_version"]), saved("in_progress", 9)]
    if wanted:
        assert client.update_step(ANNA, STEP, "in_progress", row_version=1).row_version == 9
        return
    with pytest.raises(NoLongerWanted) as refused:
        client.update_step(ANNA, STEP, "in_progress", row_version=1)
    assert refused.value.conflict.current.row_version == last["row_version"]
    assert not refused.value.unsure
    assert len(script.asked) == 1


@pytest.mark.parametrize(("status", "wanted"), [("todo", True), ("done", False), ("skipped", False)])
def test_without_a_list_of_changes_the_current_state_decides(status: str, wanted: bool) -> None:
    bare = {"attemptedVersion": 1, "currentVersion": 2, "currentState": {"status": status, "row_version": 2}}
    assert unless_finished(Conflict(409, bare), "in_progress") is wanted


def test_an_intent_of_the_callers_own_is_asked_each_time(client: Client, script: Script) -> None:
    asked: list[tuple[int, str, str]] = []

    def only_twice(met: Conflict, wanted: str) -> bool:
        asked.append((met.attempted, met.current.status, wanted))
        return len(asked) < 2

    script.answers = [conflict(1, change(2, "todo", "done")), a_step("done", 2), conflict(2, change(3, "done", "todo"))]
    with pytest.raises(NoLongerWanted):
        client.update_step(ANNA, STEP, "skipped", only_twice, row_version=1)
    assert asked == [(1, "done", "skipped"), (2, "todo", "skipped")]


def test_what_moved_between_the_conflict_and_the_reading_is_asked_about_too(client: Client, script: Script) -> None:
    script.answers = [conflict(1, change(2, "todo", "todo")), a_step("done", 5)]
    with pytest.raises(NoLongerWanted) as refused:
        client.update_step(ANNA, STEP, "in_progress", row_version=1)
    met = refused.value.conflict
    assert (met.attempted, met.current.status, met.current.row_version) == (1, "done", 5)
    assert [(one.row_version, one.kind, one.to_status) for one in met.changes] == [
        (2, "event", "todo"),
        (5, "unseen", "done"),
    ]


def test_what_the_reading_finds_to_be_so_is_done(client: Client, script: Script) -> None:
    script.answers = [conflict(1, change(2, "todo", "todo")), a_step("in_progress", 3)]
    done = client.update_step(ANNA, STEP, "in_progress", row_version=1)
    assert (done.already, done.row_version) == (True, 3)


def test_always_saves_over_whatever_is_there(client: Client, script: Script) -> None:
    script.answers = [conflict(1, change(2, "todo", "done")), a_step("skipped", 3), saved("todo", 4)]
    assert client.update_step(ANNA, STEP, "todo", always, row_version=1).row_version == 4


# One save and no more -------------------------------------------------------------------------------------------------


def test_a_plain_save_raises_its_conflict(client: Client, script: Script) -> None:
    script.answers = [conflict(1, change(2, "todo", "in_progress"))]
    with pytest.raises(Conflict) as met:
        client.save_step(ANNA, STEP, "done", 1)
    assert (met.value.attempted, met.value.current.row_version, met.value.unsure) == (1, 2, False)
    assert len(script.asked) == 1


def test_a_plain_save_too_is_sent_again_when_it_was_cut_off(client: Client, script: Script) -> None:
    script.answers = [CUT, conflict(1, change(2, "todo", "done"))]
    assert client.save_step(ANNA, STEP, "done", 1).already


# A person who is not known yet ----------------------------------------------------------------------------------------


def test_a_new_person_is_made_by_the_save(client: Client, script: Script) -> None:
    script.answers = [problem(404), conflict(1, change(3, "todo", "todo", "release")), problem(404), saved()]
    client.update_step(ANNA, STEP, "done", create=True)
    created = (WRITE[0], WRITE[1] + "?create=true")
    assert script.told == [READ, created, READ, created]
    assert [body["row_version"] for body in script.bodies] == [1, 3]


def test_without_create_an_unknown_person_is_not_found(client: Client, script: Script) -> None:
    script.answers = [problem(404)]
    with pytest.raises(NotFound):
        client.update_step(ANNA, STEP, "done")


# The end of trying ----------------------------------------------------------------------------------------------------


def test_it_gives_up_with_the_last_conflict(script: Script, clock: Clock) -> None:
    client = Client(BASE, "t", retry=clock.retry(attempts=3), transport=httpx.MockTransport(script))
    script.answers = [conflict(1, change(2, "todo", "todo")), a_step(row_version=2)]
    script.answers += [conflict(2, change(3, "todo", "todo")), a_step(row_version=3)]
    script.answers += [conflict(3, change(4, "todo", "todo"))]
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done", row_version=1)
    assert end.value.attempts == 3
    assert end.value.conflict is end.value.last
    assert end.value.conflict
    assert end.value.conflict.attempted == 3
    assert not end.value.unsure


def test_the_last_conflict_is_kept_when_something_else_came_after_it(script: Script, clock: Clock) -> None:
    client = Client(BASE, "t", retry=clock.retry(attempts=2), transport=httpx.MockTransport(script))
    script.answers = [conflict(1, change(2, "todo", "todo")), a_step(row_version=2), problem(503, request_id="r-1")]
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done", row_version=1)
    assert end.value.conflict
    assert end.value.conflict.attempted == 1
    assert isinstance(end.value.last, Unavailable)
    assert (end.value.last.request_id, end.value.unsure) == ("r-1", True)


@pytest.mark.parametrize(
    ("ends", "unsure"),
    [
        ([httpx.ConnectError("")] * 2, False),
        ([httpx.ReadTimeout("")] * 2, True),
        ([problem(429)] * 2, False),
        ([CUT, problem(429)], True),
        ([problem(503), httpx.ConnectError("")], True),
    ],
)
def test_it_says_whether_it_may_have_been_kept(script: Script, clock: Clock, ends: list[Any], unsure: bool) -> None:
    client = Client(BASE, "t", retry=clock.retry(attempts=2), transport=httpx.MockTransport(script))
    script.answers = list(ends)
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done", row_version=1)
    assert (end.value.unsure, end.value.conflict) == (unsure, None)


def test_a_step_withdrawn_after_a_lost_answer_may_have_been_saved(client: Client, script: Script) -> None:
    script.answers = [CUT, problem(410)]
    with pytest.raises(Withdrawn) as gone:
        client.update_step(ANNA, STEP, "done", row_version=1)
    assert gone.value.unsure


def test_nothing_else_is_tried_again(client: Client, script: Script) -> None:
    for status in (400, 401, 403, 404, 410, 413, 415, 422, 428, 500):
        script.answers = [problem(status)]
        with pytest.raises(Exception, match=f"{status}: Why"):
            client.update_step(ANNA, STEP, "done", row_version=1)
        assert script.answers == []


# Pauses ---------------------------------------------------------------------------------------------------------------


def test_pauses_grow_up_to_a_longest_one(client: Client, script: Script, clock: Clock) -> None:
    script.answers = [CUT] * 7 + [saved()]
    client.update_step(ANNA, STEP, "done", row_version=1)
    assert clock.slept == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])


def test_pauses_are_random_from_nothing_on(client: Client, script: Script, clock: Clock) -> None:
    clock.chance = 0
    script.answers = [CUT] * 3 + [saved()]
    client.update_step(ANNA, STEP, "done", row_version=1)
    assert clock.slept == [0, 0, 0]


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7.0), ("Tue, 24 Nov 2026 10:00:09 GMT", 9.0), ("Tue, 24 Nov 2026 09:00:00 GMT", 0), ("soon", 0), ("-1", 0)],
)
def test_retry_after_is_heeded_and_chance_comes_on_top(
    client: Client, script: Script, clock: Clock, status: int, said: str, seconds: float
) -> None:
    headers = {"Retry-After": said, "Date": "Tue, 24 Nov 2026 10:00:00 GMT"}
    script.answers = [problem(status, headers), saved()]
    client.update_step(ANNA, STEP, "done", row_version=1)
    assert clock.slept == pytest.approx([seconds + 0.1])


def test_it_does_not_wait_for_what_is_after_the_deadline(client: Client, script: Script, clock: Clock) -> None:
    script.answers = [problem(429, {"Retry-After": "3600"})]
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done", row_version=1)
    assert isinstance(end.value.last, RateLimited)
    assert (end.value.last.retry_after_s, clock.slept) == (3600, [])


def test_the_deadline_ends_it_before_the_attempts_do(script: Script, clock: Clock) -> None:
    rules = clock.retry(attempts=100, deadline_s=25)
    client = Client(BASE, "t", retry=rules, timeout_s=10, transport=httpx.MockTransport(script))
    script.answers = [httpx.ReadTimeout("")] * 100
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done", row_version=1)
    waited = [request.extensions["timeout"]["read"] for request in script.asked]
    assert waited == pytest.approx([10, 10, 25 - 20.3])
    assert end.value.attempts == 3
    assert clock.now == pytest.approx(1_025)


@pytest.mark.parametrize("chance", [0.25, 0.5, 1.0])
def test_an_outage_of_25_seconds_is_bridged_whatever_the_pauses(clock: Clock, chance: float) -> None:
    """A server that is restarted refuses connections meanwhile: every try ends at once."""
    clock.chance = chance
    back_at = clock.now + 25

    def is_down(request: httpx.Request) -> httpx.Response:
        if clock.now < back_at:
            raise httpx.ConnectError("refused")
        return saved()

    client = Client(BASE, "t", retry=clock.retry(), transport=httpx.MockTransport(is_down))
    assert client.update_step(ANNA, STEP, "done", row_version=1).retries > 8


def test_no_save_begins_after_the_deadline(client: Client, script: Script, clock: Clock) -> None:
    def slow(_: httpx.Request) -> httpx.Response:
        clock.now += 40
        return a_step()

    script.answers = [slow]
    with pytest.raises(GaveUp) as end:
        client.update_step(ANNA, STEP, "done")
    assert script.told == [READ]
    assert isinstance(end.value.last, Unanswered)
    assert not end.value.unsure
