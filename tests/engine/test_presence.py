"""Who else has a draft open."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from dashboard.onboarding import drafts, presence
from dashboard.onboarding.actor import Actor
from tests.factories import MAYA

TOMAS = Actor("staff:tomas@example.com")


def every_test_begins_with(session: Session) -> None:
    drafts.create(session, MAYA, "one", {"title": "One"})


def test_everybody_with_the_draft_open_is_named_once(session: Session) -> None:
    for row_version in (1, 2):
        presence.beat(session, MAYA, "one", row_version)
    presence.beat(session, TOMAS, "one", 1)
    found = presence.editors(session, "one")
    assert {(editor.actor, editor.row_version) for editor in found} == {(MAYA.key, 2), (TOMAS.key, 1)}


def test_whoever_leaves_is_gone_at_once(session: Session) -> None:
    presence.beat(session, MAYA, "one", 1)
    presence.leave(session, MAYA, "one")
    assert presence.editors(session, "one") == []


def test_whoever_is_not_heard_of_is_gone_within_a_minute(session: Session) -> None:
    presence.beat(session, MAYA, "one", 1)
    session.execute(text("UPDATE draft_editors SET seen_at = now() - interval '59 seconds'"))
    assert presence.editors(session, "one") == []
    presence.beat(session, TOMAS, "one", 1)
    assert session.scalar(text("SELECT count(*) FROM draft_editors")) == 1


def test_discarding_the_first_draft_takes_its_editors_along(session: Session) -> None:
    presence.beat(session, TOMAS, "one", 1)
    drafts.discard(session, MAYA, "one", 1)
    assert session.scalar(text("SELECT count(*) FROM draft_editors")) == 0
