"""The people going through the checklist, as the host product knows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import ConfigDict, Field

from dashboard.api.access import Caller
from dashboard.api.messages import Answer, Body, CamelAnswer, Id, Query, reply
from dashboard.api.openapi import NO_PERSON, Refused, wrong
from dashboard.api.problems import PEOPLE, Problem, no_address
from dashboard.api.routing import endpoint
from dashboard.api.vocabulary import ERASED_USER
from dashboard.database import Session
from dashboard.onboarding import erasure, people
from dashboard.onboarding.people import LONGEST
from dashboard.staff.permissions import Scope
from dashboard.web import addresses

TAG = Tag(name="People", description="The people on the checklist, as the host product knows them.")

blueprint = APIBlueprint("api_people", __name__, url_prefix=PEOPLE, abp_tags=[TAG])
blueprint.record_once(addresses.install)


class UserPath(Query):
    user_id: Id = Field(
        description="Slashes included. An id that begins with ~, or that an address cannot hold (line ends, `..`, `//`), "
        "goes as ~ and its base64url, without =."
    )


class ErasedPath(UserPath):
    user_id: Id = Field(description=UserPath.model_fields["user_id"].description, examples=[ERASED_USER])


class Details(Body):
    """All that is stored of a person. It replaces what was stored before: members left out become empty."""

    # ignoring a misspelt member would empty the one that was meant
    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=LONGEST["name"])
    email: str = Field("", max_length=LONGEST["email"])


class Person(Answer):
    """A person, and their progress in percent."""

    user_id: str
    name: str
    email: str
    created_at: datetime = Field(serialization_alias="createdAt")
    progress: int
    finished: bool


class PersonKept(Answer):
    """The person as stored now."""

    success: Literal[True] = True
    user: Person


class Gone(Answer):
    """What was deleted with the person."""

    steps: int


class Anonymised(CamelAnswer):
    """What stays, so that counts stay right: without the person's identity."""

    events: int
    conflicts: int
    log_entries: int


class PersonErased(Answer):
    """The person was erased. Their name in the history is not returned: it would identify them."""

    success: Literal[True] = True
    erased: Gone
    anonymised: Anonymised


@endpoint(
    blueprint.put,
    "/<user_id:user_id>",
    Scope.PROGRESS_WRITE,
    PersonKept,
    {
        404: Refused(Problem, example=no_address(f"{PEOPLE}/~bWVs=")),
        422: wrong("name", "must be at most 200 characters"),
    },
    creates=True,
    backend_only=True,
)
def put_user(session: Session, caller: Caller, path: UserPath, body: Details) -> Response:
    """Create a person, or replace their details; their progress stays.

    An id must not begin with `erased-`, or begin or end with a blank.
    """
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


@endpoint(
    blueprint.delete,
    "/<user_id:user_id>",
    Scope.PROGRESS_WRITE,
    PersonErased,
    {404: NO_PERSON, 422: wrong("user_id", "must be at most 200 characters")},
    backend_only=True,
)
def delete_user(session: Session, caller: Caller, path: ErasedPath) -> Response:
    """Erase a person and their progress; the counts stay, without anything that identifies them.

    A save at the same time is erased too, or is answered by 404. The same id can be created again, as a new person, even
    by their own token.
    """
    stored = erasure.erase(session, caller.actor, path.user_id, typed=path.user_id)
    anonymised = Anonymised(events=stored.events, conflicts=stored.conflicts, log_entries=stored.audit)
    return reply(PersonErased(erased=Gone(steps=stored.steps), anonymised=anonymised))
