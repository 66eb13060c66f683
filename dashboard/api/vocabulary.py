"""The meaning of the API's members, by name, with examples: so that the same name means the same everywhere.

Descriptions and examples in a model itself take precedence. The examples are all from one world, the demo's, so that
readers can try them out.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from dashboard.onboarding.plans import counts

Json = Any

USER, STEP, NEWEST = "usr_7f3k2q", "setup-payments", 6
OTHER_USER, OTHER_STEP = "usr_249esc", "install-mobile-app"
ERASED_USER = "usr_gskrpm"
"""A person in no other example: erasing them leaves the others working."""
TITLE, ACTION_URL = "Set up payments", "/settings/payments"
DESCRIPTION = "Connect your bank account so that customers can pay you."
RELEASED = "connect-data-source"
MOMENT = datetime(2026, 11, 24, 10, 36, 18, tzinfo=UTC)
REQUEST_ID = "c14b0fd486cd403c9f9c912fa864ac52"
NO_PEOPLE = {"done": 0, "skipped": 0, "in_progress": 0, "todo": 0}
DONE_AND_SKIPPED = {"done": NO_PEOPLE | {"done": 1206}, "skipped": NO_PEOPLE | {"skipped": 52}}
SPREAD = {"bands": [134, 203, 204, 167, 52, 194, 109, 103, 190, 107, 537], "median": 60, "finished": 537}

IMPACT = {
    "everybody": 2000,
    "affected": 1263,
    "copied": 1258,
    "reset": 5,
    "restored": 0,
    "keptLater": 0,
    "untouched": 737,
    "matrix": DONE_AND_SKIPPED | {"in_progress": NO_PEOPLE | {"todo": 5}, "todo": NO_PEOPLE | {"todo": 737}},
    "before": SPREAD,
    "after": SPREAD | {"bands": [316, 141, 92, 166, 56, 190, 107, 99, 189, 107, 537], "median": 61},
    "moves": {"up": 429, "down": 608, "same": 963, "largest_drop": 5, "fall_from_100": 0},
    "totalWeight": {"before": 95, "after": 100},
}
ROLLED_BACK = {
    "everybody": 2000,
    "affected": 1366,
    "copied": 1263,
    "reset": 0,
    "restored": 103,
    "keptLater": 5,
    "untouched": 634,
    "matrix": DONE_AND_SKIPPED
    | {"in_progress": NO_PEOPLE | {"in_progress": 5}, "todo": NO_PEOPLE | {"in_progress": 103, "todo": 634}},
    "before": SPREAD,
    "after": SPREAD,
    "moves": {"up": 0, "down": 0, "same": 2000, "largest_drop": 0, "fall_from_100": 0},
    "totalWeight": {"before": 100, "after": 100},
}
RECEIPT: dict[str, Json] = {
    "kind": "migrate",
    "version": 3,
    "fromVersion": 2,
    "policy": {"done": True, "skipped": True, "in_progress": False},
    "reopensFinished": False,
    "changes": [{"member": "weight", "before": 15, "after": 20}],
    "predicted": {"reset": 5},
    "actual": counts(IMPACT),
    "drift": {"reset": 0},
    "impact": IMPACT,
    "invariants": ["no status is lost under a policy that keeps it"],
    "milliseconds": 17.4,
}


class Member(NamedTuple):
    """An example (...: as its schema has it) and the meaning; no words if those of the bare name will do."""

    example: Json
    means: str = ""


MEMBERS: Mapping[str, Member] = {
    # people
    "user_id": Member(USER, "The person, by the host product's id for them."),
    "name": Member("Amara Okafor", "Their name."),
    "email": Member("amara@example.com", "Their email address."),
    "createdAt": Member("2026-10-26T10:36:18Z", "When they were added here."),
    "user": Member(..., "The person."),
    "progress": Member(45, "Percentage, 0 to 100, of the live steps' points that are done or skipped."),
    "finished": Member(False, "Whether they reached 100 percent, and no release has reopened that since."),
    # their steps
    "id": Member(STEP, "The step's own id."),
    "step_id": Member(STEP, "The step, by its id."),
    "step": Member(..., "The step as it is now."),
    "steps": Member(..., "The steps, in the order of the checklist."),
    "title": Member(TITLE, "The task's name."),
    "description": Member(DESCRIPTION, "What to do, in a few sentences."),
    "weight": Member(20, "Points, 1 to 1,000; a person's progress is counted in them."),
    "actionUrl": Member(ACTION_URL, "Where the task opens: a path, an http or https address, or empty."),
    "position": Member(5, "Its place on the checklist, from 1."),
    "version": Member(3, "The live version of its text and weight."),
    "StepOverview.version": Member(3, "The live version; null: none."),
    "release": Member(4, "The number of the release that made it live; null: never released."),
    "withdrawn": Member(False, "Whether it is off the checklist."),
    "draft": Member(..., "The next version, not released yet; null: none."),
    "status": Member("done", "The person's status for the step."),
    "row_version": Member(NEWEST, "Goes up by one with every save, and with every release of the step."),
    "updatedAt": Member("2026-11-24T10:36:18Z", "When it was last saved or reset; null: never."),
    "success": Member(True, "Always true; a refusal has another status and another shape."),
    "If-Match": Member(f'"{NEWEST}"', "The ETag of what was read."),
    "X-Retry-Attempt": Member(1, "How often this was tried before."),
    "Step.status": Member("in_progress"),
    "Checklist.user_id": Member(USER),
    "SavedStep.row_version": Member(NEWEST + 1),
    "SavedStep.updatedAt": Member("2026-11-24T10:36:18Z", "When it was saved."),
    "StepSaved.progress": Member(45 + 20),
    # many people at once
    "Batch.step_id": Member(OTHER_STEP),
    "Batch.updates": Member([{"user_id": USER, "row_version": 2}, {"user_id": OTHER_USER, "row_version": 2}]),
    "updates": Member(..., "Whose step, and the row_version of it that was read. Each person once."),
    "BatchSaved.step_id": Member(OTHER_STEP),
    "BatchSaved.status": Member("done", "The status that was asked for."),
    "results": Member(
        ..., "The result of each, in the order of `updates`: saved, or refused with a problem. See `status`."
    ),
    "BatchSaved.results": Member(
        [
            {
                "user_id": USER,
                "status": 200,
                "step": {
                    "id": OTHER_STEP,
                    "status": "done",
                    "row_version": 3,
                    "updatedAt": "2026-11-24T10:36:18Z",
                },
                "progress": 45,
                "finished": False,
            },
            {
                "user_id": OTHER_USER,
                "status": 409,
                "type": "/api/docs#step-conflict",
                "title": "Conflict",
                "detail": "Step was modified by another request",
                "attemptedVersion": 2,
                "currentVersion": 3,
                "currentState": {"status": "done", "row_version": 3},
                "suggestion": "Fetch the latest state and retry",
                "changes": [
                    {
                        "row_version": 3,
                        "at": "2026-11-20T08:12:40Z",
                        "by": f"user:{OTHER_USER}",
                        "kind": "event",
                        "from": "in_progress",
                        "to": "done",
                    }
                ],
                "error": "Conflict",
                "message": "Step was modified by another request",
            },
        ]
    ),
    # erasing
    "erased": Member(..., "What was deleted with the person."),
    "anonymised": Member(..., "What stays, so that counts stay right."),
    "Gone.steps": Member(6, "How many steps they had started."),
    "events": Member(12, "How many saves they had."),
    "conflicts": Member(1, "How many stale saves they had."),
    "logEntries": Member(0, "How many activity entries."),
    # drafts
    "Draft.version": Member(4, "The version it will become."),
    "Draft.row_version": Member(7, "How often the draft was saved."),
    "Draft.title": Member("Set up payments and payouts"),
    "Draft.weight": Member(30),
    "basedOn": Member(3, "The version it was started from; null: none."),
    "editedAt": Member("2026-11-24T10:20:05Z", "When it was last saved."),
    "editedBy": Member("staff:maya@demo.example", "Who saved it last: staff, token or user, and which."),
    # releases
    "stepId": Member(RELEASED, "The step, by its id."),
    "fromVersion": Member(2, "The live version."),
    "toVersion": Member(3, "The version after the newest one."),
    "newStepData": Member(..., "What changes."),
    "dryRun": Member(True, "Whether this was a dry run."),
    "note": Member("The new connector is live.", "The reason, for the history."),
    "policy": Member(..., "What people keep."),
    "expect": Member(..., "What a dry run predicted."),
    "done": Member("keep", "Whether steps that are done stay done."),
    "skipped": Member("keep", "Whether skipped steps stay skipped."),
    "inProgress": Member("reset", "Whether those in progress continue or start again."),
    "Expectation.progressReset": Member(5, "How many people it said would be reset."),
    "Expectation.tolerance": Member(10, "By how many people that may be off."),
    "NewStepData.title": Member("Connect a data source"),
    "NewStepData.description": Member("Bring in your numbers through the new connector."),
    "NewStepData.actionUrl": Member("/data/connectors"),
    "usersAffected": Member(1263),
    "progressCopied": Member(1258, "People who keep their status."),
    "progressReset": Member(5, "People reset to To do."),
    "releaseId": Member(None, "The release's id; null after a dry run."),
    "receipt": Member(RECEIPT, "The record of the release; null: it was adopted from another database."),
    "RolledBack.usersAffected": Member(1366),
    "RolledBack.progressCopied": Member(1263),
    "RolledBack.progressReset": Member(0),
    "RolledBack.untouched": Member(634),
    "RolledBack.restored": Member(103),
    "RolledBack.keptLater": Member(5),
    "RolledBack.receipt": Member(
        RECEIPT
        | {
            "kind": "rollback",
            "version": 1,
            "policy": {"done": True, "skipped": True, "in_progress": True},
            "changes": [{"member": "action_url", "before": "/data/connectors", "after": "/data/connect"}],
            "predicted": None,
            "actual": counts(ROLLED_BACK),
            "drift": None,
            "impact": ROLLED_BACK,
            "milliseconds": 16.8,
        }
    ),
    "RolledBack.impact": Member(
        ROLLED_BACK | {"changes": [{"member": "actionUrl", "before": "/data/connectors", "after": "/data/connect"}]}
    ),
    # versions and releases
    "versions": Member(..., "The versions, newest first."),
    "releases": Member(..., "The releases, newest first."),
    "next": Member(None, "The `before` of the next page; null: this is the last page."),
    ".before": Member(4, "Continue at `next` of the previous page."),
    ".limit": Member(50, "The most to return."),
    "state": Member("live", "Live, draft or past."),
    "StepVersion.version": Member(3, "The number of the version."),
    "StepVersion.basedOn": Member(1),
    "StepRelease.id": Member(11, "The release's id."),
    "number": Member(4, "The number of the release, from 1 for each step."),
    "StepRelease.kind": Member("migrate", "The kind of release."),
    "StepRelease.version": Member(3, "The version that went live; null: the step was withdrawn."),
    "releasedAt": Member("2026-11-12T09:36:18Z", "When it went live."),
    "StepRelease.by": Member("staff:maya@demo.example"),
    "StepRelease.note": Member("Payouts are part of it now."),
    "reopenFinished": Member(False, "Whether people who fall below 100 percent lose their finished state."),
    "undone": Member(False, "Whether it was undone."),
    "undoneBy": Member(None, "The id of the release that undid it; null: none."),
    "StepRelease.receipt": Member(RECEIPT | {"fromVersion": 1, "predicted": None, "drift": None, "milliseconds": 21.2}),
    # what a release does to everybody
    "impact": Member(..., "What it does to everyone."),
    "everybody": Member(2000, "All people."),
    "affected": Member(1263, "People affected: copied, reset and restored."),
    "copied": Member(1258, "People who keep their status."),
    "reset": Member(5, "People reset to To do."),
    "restored": Member(0, "People who get back what a release had reset."),
    "keptLater": Member(0, "People who keep what they did since."),
    "untouched": Member(737, "People who had not started the step."),
    "matrix": Member(
        IMPACT["matrix"],
        "People by status before, then by status after.",
    ),
    "before": Member(SPREAD, "How it was."),
    "after": Member(IMPACT["after"], "How it is."),
    "bands": Member(SPREAD["bands"], "People at 0 to 9 percent, 10 to 19 and so on; the last are those at 100."),
    "median": Member(60, "The median percentage."),
    "Spread.finished": Member(537, "How many have finished."),
    "moves": Member(..., "How people's percentages move."),
    "up": Member(429, "How many go up."),
    "down": Member(608, "How many go down."),
    "same": Member(963, "How many stay the same."),
    "largest_drop": Member(5, "The most points that anyone loses."),
    "fall_from_100": Member(0, "How many fall below 100 percent."),
    "fallFrom100": Member(0),
    "totalWeight": Member(..., "The points of all live steps, before and after."),
    "TotalWeight.before": Member(95),
    "TotalWeight.after": Member(100),
    "changes": Member(..., "What changed."),
    "member": Member("weight", "Which member."),
    "Changed.before": Member(15, "What it said; null: nothing was live."),
    "Changed.after": Member(20, "What it says."),
    "KeptChange.before": Member(15, "What it said; null: nothing was live."),
    "KeptChange.after": Member(20, "What it says."),
    # refusals
    "scope": Member("progress:write", "The scope that the token lacks; null: it has the scope, but is a user's."),
    "errors": Member(..., "One entry for each member that breaks a rule."),
    "reason": Member("must be a whole number from 1 to 1,000", "The rule it breaks."),
    "reasons": Member(["Version 1 is not live: version 2 is."], "The reasons, one sentence each."),
    "currentState": Member(..., "The row's current state."),
    "suggestion": Member("Fetch the latest state and retry", "What to do next."),
    "at": Member("2026-11-24T10:36:18Z", "When."),
    "by": Member("user:usr_7f3k2q", "Who: staff, token or user, and which."),
    "kind": Member("event", "A save of the step, or a release of it."),
    "from": Member("todo", "The status before."),
    "to": Member("in_progress", "The status after."),
}


def known(owner: str, name: str) -> Member | None:
    """What is known of the member `name` of a schema, or of a parameter, which has no owner.

    The words are those of the bare name if it has none of its own.
    """
    own, bare = MEMBERS.get(f"{owner}.{name}"), MEMBERS.get(name)
    if own is None:
        return bare
    return own if own.means or bare is None else Member(own.example, bare.means)
