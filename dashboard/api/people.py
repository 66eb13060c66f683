"""The people who go through the checklist, as the host product knows them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from flask import Response
from flask_openapi.blueprint import APIBlueprint
from flask_openapi.models.tag import Tag
from pydantic import ConfigDict, Field

from dashboard.api.access import Caller
from dashboard.api.messages import Answer, Body, CamelAnswer, Id, Query, reply
from dashboard.api.problems import PEOPLE, Problem
from dashboard.api.routing import endpoint
from dashboard.api.vocabulary import ERASED_USER
from dashboard.database import Session
from dashboard.onboarding import erasure, people
from dashboard.onboarding.people import LONGEST
from dashboard.staff.permissions import Scope
from dashboard.web import addresses

TAG = Tag(name="People", description="Who goes through the checklist, as the host product knows them.")

blueprint = APIBlueprint("api_people", __name__, url_prefix=PEOPLE, abp_tags=[TAG])
blueprint.record_once(addresses.install)


class UserPath(Query):
    user_id: Id = Field(description="Slashes and all; an id that no address can hold comes as ~ and its base64url.")


class ErasedPath(UserPath):
    user_id: Id = Field(description=UserPath.model_fields["user_id"].description, examples=[ERASED_USER])


class Details(Body):
    """All that is kept of a person. It takes the place of what was kept before: what is left out becomes empty."""

    # to pass over a misspelt member would empty the one that was meant
    model_config = ConfigDict(extra="forbid")

    name: str = Field("", max_length=LONGEST["name"])
    email: str = Field("", max_length=LONGEST["email"])


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


class Gone(Answer):
    """What was deleted with the person."""

    steps: int


class Anonymised(CamelAnswer):
    """What stays, because it was counted: without anything that tells whose it was."""

    events: int
    conflicts: int
    log_entries: int


class PersonErased(Answer):
    """The person is gone. The name that is left of them in the history is not told: it would say whose it was."""

    success: Literal[True] = True
    erased: Gone
    anonymised: Anonymised


@endpoint(
    blueprint.put,
    "/<user_id:user_id>",
    Scope.PROGRESS_WRITE,
    PersonKept,
    # an id that no address can hold, and that did not come packed
    {404: Problem},
    creates=True,
    backend_only=True,
)
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


@endpoint(blueprint.delete, "/<user_id:user_id>", Scope.PROGRESS_WRITE, PersonErased, {404: Problem}, backend_only=True)
def delete_user(session: Session, caller: Caller, path: ErasedPath) -> Response:
    """Erase a person and their progress; what was counted stays, without telling whose it was.

    A save at the same time is erased with them, or finds nobody. The same id can be created anew, as a new person: by
    their own token too.
    """
    stored = erasure.erase(session, caller.actor, path.user_id, typed=path.user_id).stored
    anonymised = Anonymised(events=stored.events, conflicts=stored.conflicts, log_entries=stored.audit)
    return reply(PersonErased(erased=Gone(steps=stored.steps), anonymised=anonymised))
