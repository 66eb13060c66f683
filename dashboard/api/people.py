"""The people who go through the checklist, as the host product knows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import ConfigDict, Field

from dashboard.api.access import Caller
from dashboard.api.messages import Answer, Body, Id, Query, reply
from dashboard.api.routing import endpoint
from dashboard.database import Session
from dashboard.onboarding import people
from dashboard.staff.permissions import Scope

TAG = Tag(name="People", description="Who goes through the checklist, as the host product knows them.")

blueprint = APIBlueprint("api_people", __name__, url_prefix="/api/onboarding/users", abp_tags=[TAG])


class UserPath(Query):
    user_id: Id


class Details(Body):
    """All that is kept of a person. It takes the place of what was kept before: what is left out becomes empty."""

    # to pass over a misspelt member would empty the one that was meant
    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=200)
    email: str = Field("", max_length=320)


class Person(Answer):
    """A person, and how far they are in percent."""

    user_id: str
    name: str
    email: str
    created_at: datetime = Field(serialization_alias="createdAt")
    progress: int
    finished: bool


class PersonKept(Answer):
    """The person as they are kept now."""

    success: Literal[True] = True
    user: Person


@endpoint(blueprint.put, "/<user_id>", Scope.PROGRESS_WRITE, PersonKept, {}, creates=True, backend_only=True)
def put_user(session: Session, caller: Caller, path: UserPath, body: Details) -> Response:
    """Create a person, or replace what is known of them; their progress stays."""
    person, is_new = people.put(session, caller.actor, path.user_id, name=body.name, email=body.email)
    kept = Person(
        user_id=person.user_id,
        name=person.name,
        email=person.email,
        created_at=person.created_at,
        progress=person.progress,
        finished=person.finished,
    )
    return reply(PersonKept(user=kept), 201 if is_new else 200)
