"""The people, as the host product keeps them up to date."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from sqlalchemy.orm import Session

from tests.api.conftest import Caller
from tests.factories import ANNA, a_save

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


@pytest.mark.parametrize("user_id", ["a b", "ü/ß"[:1], "x" * 200, "<b>", "a@b.example", "..%2e", "%", "🙂", "a;b=c,d"])
def test_any_text_is_an_id(api: Caller, world: Session, user_id: str) -> None:
    made = api("PUT", f"{USERS}/{quote(user_id, safe='')}", {"name": "<i>N</i>"})
    assert (made.status_code, made.json["user"]["user_id"], made.json["user"]["name"]) == (201, user_id, "<i>N</i>")
    assert api("GET", f"/api/onboarding/steps?user_id={quote(user_id, safe='')}").status_code == 200
