"""The people, as the host product keeps them up to date."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding.actor import Actor
from dashboard.web.addresses import pack
from tests.api.conftest import Caller
from tests.factories import ANNA, OTHER, STEP, a_save, snapshot

USERS = "/api/onboarding/users"


def test_a_new_person_is_201_and_a_known_one_200(api: Caller, world: Session) -> None:
    made = api("PUT", f"{USERS}/dora", {"name": " Dora ", "email": "dora@example.com"})
    assert made.status_code == 201
    user = made.json["user"]
    assert user.pop("createdAt")
    assert user == {"user_id": "dora", "name": "Dora", "email": "dora@example.com", "progress": 0, "finished": False}
    again = api("PUT", f"{USERS}/dora", {"name": "Dora B."})
    assert again.status_code == 200
    assert (again.json["user"]["name"], again.json["user"]["email"]) == ("Dora B.", "")


def test_progress_stays(api: Caller, world: Session) -> None:
    a_save(world, "done")
    world.commit()
    assert api("PUT", f"{USERS}/{ANNA}", {"name": "Anna"}).json["user"]["progress"] == 75


@pytest.mark.parametrize(
    "user_id",
    ["a b", "ü/ß", "a/b/", "x" * 200, "<b>", "a@b.example", "..%2e", "%", "🙂", "a;b=c,d", "x/steps/y", "a/erase"],
)
def test_any_text_is_an_id(api: Caller, world: Session, user_id: str) -> None:
    address = f"{USERS}/{quote(user_id, safe='')}"
    made = api("PUT", address, {"name": "<i>N</i>"})
    assert (made.status_code, made.json["user"]["user_id"], made.json["user"]["name"]) == (201, user_id, "<i>N</i>")
    assert api("GET", f"/api/onboarding/steps?user_id={quote(user_id, safe='')}").status_code == 200
    assert api("DELETE", address).status_code == 200


@pytest.mark.parametrize("user_id", ["..", "/a//b", "~x", "a\nb"])
def test_an_id_that_no_address_can_hold_comes_packed(api: Caller, world: Session, user_id: str) -> None:
    address = f"{USERS}/~{pack(user_id)}"
    assert api("PUT", address, {}).json["user"]["user_id"] == user_id
    assert api("DELETE", address).status_code == 200


@pytest.mark.parametrize("user_id", [" ", "\t", "\u00a0", "dora "])
def test_an_id_that_is_blank_or_ends_in_a_blank_is_told_so(api: Caller, world: Session, user_id: str) -> None:
    body = {"user_id": user_id, "status": "done", "row_version": 1}
    for answer in (
        api("PUT", f"{USERS}/{quote(user_id)}", {}),
        api("PATCH", f"/api/onboarding/steps/{STEP}?create=true", body),
    ):
        told = [{"member": "user_id", "reason": "has a blank at its beginning or end"}]
        assert (answer.status_code, answer.json["errors"]) == (422, told)


def test_to_delete_is_to_erase(api: Caller, world: Session) -> None:
    a_save(world, "done", actor=Actor(f"user:{ANNA}", "api"), comment="Anna called.")
    a_save(world, "done", ANNA, OTHER)
    world.commit()
    api("PATCH", f"/api/onboarding/steps/{STEP}", {"user_id": ANNA, "status": "done", "row_version": 1})
    answer = api("DELETE", f"{USERS}/{ANNA}")
    assert answer.status_code == 200
    assert answer.json == {
        "success": True,
        "erased": {"steps": 2},
        "anonymised": {"events": 2, "conflicts": 1, "logEntries": 1},
    }
    world.rollback()
    assert not [row for rows in snapshot(world).values() for row in rows if "anna" in row.lower()]
    entry = world.execute(text("SELECT actor, action FROM audit_log ORDER BY id DESC LIMIT 1")).one()
    assert tuple(entry) == ("token:host", "person.erase")
    assert api("DELETE", f"{USERS}/{ANNA}").status_code == 404


@pytest.mark.parametrize("shown", ["a%0Ab", "~a", "~Li4=", "~\u00fc", "~"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
def test_an_id_that_is_not_packed_as_it_should_be_is_404_and_says_how(
    api: Caller, world: Session, method: str, shown: str
) -> None:
    answer = api(method, f"{USERS}/{shown}", {} if method == "PUT" else None)
    assert (answer.status_code, "Allow" in answer.headers) == (404, False)
    told = "encode an id that begins with ~ or that an address cannot hold as ~ and its base64url, without =;"
    assert told in answer.json["detail"]


def test_an_erased_person_may_be_created_anew_as_a_new_one(api: Caller, world: Session) -> None:
    a_save(world, "done")
    world.commit()
    api("DELETE", f"{USERS}/{ANNA}")
    assert (
        api("PATCH", f"/api/onboarding/steps/{STEP}", {"user_id": ANNA, "status": "done", "row_version": 1}).status_code
        == 404
    )
    made = api("PUT", f"{USERS}/{ANNA}", {"name": "Anna"})
    assert (made.status_code, made.json["user"]["progress"]) == (201, 0)
    step = api("GET", f"/api/onboarding/steps/{STEP}?user_id={ANNA}").json
    assert (step["status"], step["row_version"], step["updatedAt"]) == ("todo", 1, None)
